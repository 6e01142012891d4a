package transfer_test

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/transfer"
)

// TestUse: whichever of a Read and a Close comes first, one of them cleans up.
func TestUse(t *testing.T) {
	var u transfer.Use
	if err := u.Enter(); err != nil {
		t.Fatal(err)
	}
	if err := u.Enter(); err != transfer.ErrInUse {
		t.Errorf("a second Read: %v", err)
	}
	if u.Leave() || u.Closed() {
		t.Error("closed before Close")
	}
	if err := u.Enter(); err != nil {
		t.Errorf("Read after Read: %v", err)
	}
	if first, read, done := u.Close(); !first || !read || done {
		t.Errorf("Close beside a Read: %v %v %v", first, read, done)
	}
	if first, _, _ := u.Close(); first {
		t.Error("the second Close is the first")
	}
	if !u.Leave() {
		t.Error("the Read does not clean up after the Close")
	}
	if err := u.Enter(); err != transfer.ErrClosed {
		t.Errorf("Read after Close: %v", err)
	}
	if !u.Release() || !u.Released() {
		t.Error("Release after Close")
	}
	u.Reset()
	if u.Closed() || u.Released() || u.Release() {
		t.Error("Reset forgets nothing")
	}
	if first, read, done := u.Close(); !first || read || !done {
		t.Errorf("Close after Release: %v %v %v", first, read, done)
	}
}

func TestDue(t *testing.T) {
	begin := time.Unix(100, 0)
	never, soon, late := transfer.In(engine.NoTimeout, begin, engine.KindIdle), transfer.In(1, begin, engine.KindIdle), transfer.In(2, begin, engine.KindHeader)
	for _, tc := range []struct {
		name      string
		got, want transfer.Due
	}{
		{"soon, late", soon.Or(late), soon},
		{"late, soon", late.Or(soon), soon},
		{"never, late", never.Or(late), late},
		{"late, never", late.Or(never), late},
		{"never, never", never.Or(never), transfer.Due{}},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %v", tc.name, tc.got)
		}
	}
	if never.Over(begin.Add(time.Hour)) || soon.Over(begin) || !soon.Over(begin.Add(1)) {
		t.Error("Over")
	}
	if e, ok := late.Err().(*engine.TimeoutError); !ok || e.Kind != engine.KindHeader || e.Limit != 2 {
		t.Errorf("error %v", late.Err())
	}
}

// TestClock: which limit holds when.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		req := &engine.Request{Deadline: begin.Add(100 * time.Second), HeadOnly: true}
		var k transfer.Clock
		k.Init(req, engine.Timeouts{Header: 20 * time.Second, Idle: 30 * time.Second})
		k.Begin = begin
		want := func(when string, d transfer.Due, kind engine.TimeoutKind, after time.Duration) {
			t.Helper()
			if d.Kind != kind || !d.At.Equal(begin.Add(after*time.Second)) {
				t.Errorf("%s: %s at %v, want %s at %d s", when, d.Kind, d.At.Sub(begin), kind, after)
			}
		}
		want("at first", k.ReadDue(begin), engine.KindIdle, 30)
		k.Proceed = begin.Add(time.Second)
		want("waiting for 100", k.ReadDue(begin), transfer.KindContinue, 1)
		k.Proceed = time.Time{}
		time.Sleep(5 * time.Second)
		if !k.Sent() {
			t.Error("there is a header timeout")
		}
		want("sent", k.ReadDue(begin), engine.KindHeader, 25)
		want("sent, for writes", k.WriteDue(begin), engine.KindIdle, 30)
		k.Unsent()
		k.Moved()
		want("sent again", k.ReadDue(begin), engine.KindIdle, 35)
		k.Idle = 0
		want("without an idle timeout", k.ReadDue(begin), engine.KindRequest, 100)
		k.Sent()
		k.HeadOver.Store(true)
		if d := k.ReadDue(begin); !d.At.IsZero() {
			t.Errorf("after the head: %+v", d)
		}
		k.Header = 0
		if k.Sent() {
			t.Error("there is no header timeout")
		}
	})
}

// stuck is a body whose Read waits for Close, or ignores that too.
type stuck struct {
	closed, reads chan struct{}
	deaf          chan struct{} // Read waits for it; nil = for Close
}

func (s *stuck) Read([]byte) (int, error) {
	s.reads <- struct{}{}
	if s.deaf != nil {
		<-s.deaf
	} else {
		<-s.closed
	}
	return 0, io.EOF
}

func (s *stuck) Close() error { close(s.closed); return nil }

// TestFinish: the owner waits for the goroutine as long as it promises, stops the
// transport of what is not complete, and closes the source of who is stuck.
func TestFinish(t *testing.T) {
	for _, tc := range []struct {
		name  string
		deaf  bool
		after time.Duration
	}{
		{"a read that ends with Close", false, 10 * time.Millisecond},
		{"a read that does not", true, 110 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := &stuck{closed: make(chan struct{}), reads: make(chan struct{}, 10)}
				if tc.deaf {
					body.deaf = make(chan struct{})
				}
				u := new(transfer.Upload)
				u.Init(&transfer.Source{Reader: body}, 5)
				ended := make(chan error, 1)
				go u.Run(func() error {
					_, err := u.Next(make([]byte, 10), 5)
					return err
				}, func(err error) { ended <- err })
				<-body.reads
				begin, stops := time.Now(), 0
				if u.Finish(true, func() { stops++ }) || stops != 1 {
					t.Errorf("complete, %d stops", stops)
				}
				if got := time.Since(begin); got != tc.after {
					t.Errorf("Finish took %v, want %v", got, tc.after)
				}
				<-body.closed
				if tc.deaf {
					close(body.deaf)
				}
				if err := <-ended; err != transfer.ErrClosed {
					t.Errorf("error %v", err)
				}
				u.Fail(errors.New("late"), func() { stops++ })
				if u.Failure() != nil || stops != 1 {
					t.Error("what comes after the end counts")
				}
			})
		})
	}
}

// TestFinishWaits: an answer that comes while the last bytes are being sent does
// not stop them.
func TestFinishWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := new(transfer.Upload)
		u.Init(&transfer.Source{Reader: io.NopCloser(strings.NewReader("hello"))}, 5)
		begun := make(chan struct{})
		go u.Run(func() error {
			if n, err := u.Next(make([]byte, 10), 5); n != 5 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			close(begun)
			time.Sleep(20 * time.Millisecond)
			u.Complete()
			return nil
		}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
		<-begun
		if !u.Finish(true, func() { t.Error("stopped") }) || !u.Sent() {
			t.Error("not complete")
		}
	})
}

// TestFinishLooks: what comes behind the announced end, a little later than the
// answer, is still a fault; a source that keeps quiet holds up the owner no longer
// than another.
func TestFinishLooks(t *testing.T) {
	for _, tc := range []struct {
		name     string
		late     time.Duration
		complete bool
		after    time.Duration
	}{
		{"a late byte", 5 * time.Millisecond, false, 5 * time.Millisecond},
		{"too late", time.Hour, true, 10 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := &tardy{late: tc.late, closed: make(chan struct{})}
				u := new(transfer.Upload)
				u.Init(&transfer.Source{Reader: body}, 0)
				stops := 0
				stop := func() { stops++ }
				go u.Run(func() error {
					u.Complete()
					return u.NoMore()
				}, func(err error) {
					if cause, ok := transfer.Fault(err); ok {
						u.Fail(cause, stop)
					}
				})
				synctest.Wait()
				begin := time.Now()
				if complete := u.Finish(true, stop); complete != tc.complete {
					t.Errorf("complete: %v", complete)
				}
				if got := time.Since(begin); got != tc.after {
					t.Errorf("Finish took %v, want %v", got, tc.after)
				}
				if failed := u.Failure() == transfer.ErrLong; failed == tc.complete || (stops > 0) == tc.complete {
					t.Errorf("failure %v, %d stops", u.Failure(), stops)
				}
			})
		})
	}
}

// tardy is a body whose one byte comes late, unless it is closed before.
type tardy struct {
	late   time.Duration
	closed chan struct{}
}

func (b *tardy) Read(p []byte) (int, error) {
	timer := time.NewTimer(b.late)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 1, nil
	case <-b.closed:
		return 0, io.EOF
	}
}

func (b *tardy) Close() error { close(b.closed); return nil }

// returning is a body whose Reads return these numbers, and then EOF.
func returning(counts ...int) io.Reader { return &counted{counts} }

type counted struct{ counts []int }

func (c *counted) Read([]byte) (n int, err error) {
	if len(c.counts) == 0 {
		return 0, io.EOF
	}
	n, c.counts = c.counts[0], c.counts[1:]
	return n, nil
}

// shutPanics is a body whose Close panics.
type shutPanics struct{ io.Reader }

func (shutPanics) Close() error { panic("shut") }

// TestOpenClosePanics: so does that of a body that is looked at only to see that it
// is empty.
func TestOpenClosePanics(t *testing.T) {
	body := content.Reader(shutPanics{strings.NewReader("")}, "", 0)
	_, err := transfer.Open(t.Context(), body, transfer.Due{}, func(f func()) { go f() })
	if err == nil || !strings.Contains(err.Error(), "panicked: shut") {
		t.Errorf("error %v", err)
	}
}

// TestFaults: what is wrong with a body is told from what is wrong with the
// transport, and reaches the trace as it is.
func TestFaults(t *testing.T) {
	broken, never := errors.New("broken"), make([]int, 1000)
	next := func(u *transfer.Upload) error {
		for left := u.Length; left > 0; {
			n, err := u.Next(make([]byte, 4), left)
			if err != nil {
				return err
			}
			left -= int64(n)
		}
		return u.NoMore()
	}
	for _, tc := range []struct {
		name  string
		body  io.Reader
		send  func(*transfer.Upload) error
		fault bool
		want  string // of the error; "" = none
	}{
		{"sound", strings.NewReader("hello"), next, false, ""},
		{"with EOF at once", iotest.DataErrReader(strings.NewReader("hello")), next, false, ""},
		{"short", strings.NewReader("hell"), next, true, transfer.ErrShort.Error()},
		{"longer within a piece", strings.NewReader("hello wo"), next, true, transfer.ErrLong.Error()},
		{"longer after it", iotest.OneByteReader(strings.NewReader("hello!")), next, true, transfer.ErrLong.Error()},
		{"broken", io.MultiReader(strings.NewReader("he"), iotest.ErrReader(broken)), next, true, "broken"},
		{"broken after it", io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(broken)), next, true, "broken"},
		{"a count too large", returning(5), next, true, "returned 5 for a buffer of 4 bytes"},
		{"a count below 0", returning(-1), next, true, "returned -1 for a buffer of 4 bytes"},
		{"no progress", returning(never...), next, true, io.ErrNoProgress.Error()},
		{"no progress after it", returning(append([]int{4, 1}, never...)...), next, true, io.ErrNoProgress.Error()},
		{"slow progress", returning(slices.Concat(never[:98], []int{4}, never[:98], []int{1}, never[:98])...), next, false, ""},
		{"panic of Close", shutPanics{strings.NewReader("hello")}, next, true, "panicked: shut"},
		{"panic of Close too", shutPanics{iotest.ErrReader(broken)}, next, true, "broken"},
		{"transport", nil, func(*transfer.Upload) error { return broken }, false, "broken"},
		{"panic", nil, func(*transfer.Upload) error { panic("oh") }, true, "oh"},
		{"Goexit", nil, func(*transfer.Upload) error { runtime.Goexit(); return nil }, true, "Goexit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := new(transfer.Upload)
			rc, ok := tc.body.(io.ReadCloser)
			if !ok {
				rc = io.NopCloser(tc.body)
			}
			u.Init(&transfer.Source{Reader: rc}, 5)
			var traced, got error
			done := make(chan struct{})
			go u.Run(func() error { return tc.send(u) }, func(err error) {
				defer close(done)
				got = err
				u.Report(&engine.Trace{WroteRequest: func(err error) { traced = err }}, new(sync.Mutex), err)
			})
			<-done
			cause, ok := transfer.Fault(got)
			if ok {
				got = cause
			}
			if ok != tc.fault || (got == nil) != (tc.want == "") || got != nil && !strings.Contains(got.Error(), tc.want) {
				t.Errorf("error %v (of the body: %v), want %q", got, ok, tc.want)
			}
			if traced != got {
				t.Errorf("the trace got %v, want %v", traced, got)
			}
		})
	}
}
