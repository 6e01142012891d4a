package observer_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/observer"
)

// big is more than pipes and buffers on the way take in.
var big = strings.Repeat("0123456789abcdef", 1<<16)

func handler(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, "plain text")
		z.Close()
	case "/bad":
		w.WriteHeader(418)
		io.WriteString(w, "teapot")
	case "/hop":
		w.Header().Set("Location", "/bad")
		w.WriteHeader(302)
	case "/big":
		io.WriteString(w, big)
	default:
		w.Header().Set("X-A", "1")
		io.WriteString(w, "hello")
	}
}

// record is what a handler saw.
type record struct {
	mu   sync.Mutex
	seen []string
	done chan struct{}
}

func newRecord() *record { return &record{done: make(chan struct{}, 1024)} }

func (r *record) handle(_ context.Context, c *observer.Copy) error {
	data, err := io.ReadAll(c.Body)
	text := string(data)
	if len(text) > 100 {
		text = fmt.Sprintf("%d bytes, intact: %v", len(text), strings.HasPrefix(big, text))
	}
	r.mu.Lock()
	r.seen = append(r.seen, fmt.Sprintf("%d %s %v %v %v: %s", c.Status, c.Request.URL.Path, c.Streamed, c.Decoded, err, text))
	r.mu.Unlock()
	r.done <- struct{}{}
	return nil
}

// take waits for n copies.
func (r *record) take(t *testing.T, n int) []string {
	t.Helper()
	for range n {
		select {
		case <-r.done:
		case <-time.After(30 * time.Second):
			t.Fatal("the handler was not called, or did not end")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

func TestBuffered(t *testing.T) {
	for path, want := range map[string]string{
		"/":     "200 / false [] <nil>: hello",
		"/gzip": "200 /gzip false [gzip] <nil>: plain text",
		"/bad":  "418 /bad false [] <nil>: teapot",
		"/hop":  "418 /bad false [] <nil>: teapot",
		"/big":  "200 /big false [] <nil>: 1048576 bytes, intact: true",
	} {
		r := newRecord()
		everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+path))
			if err != nil {
				t.Fatal(err)
			}
			// The handler has run before Do returned.
			if len(r.done) != 1 {
				t.Errorf("%s: %d copies", path, len(r.done))
			}
			if got := r.take(t, 1); got[0] != want {
				t.Errorf("%q, want %q", got, want)
			}
			if resp.Text() == "" {
				t.Errorf("the caller's body: %q", resp.Text())
			}
		}, godwit.Install(observer.New(observer.Config{Handle: r.handle})))
	}
}

func TestStreamed(t *testing.T) {
	for path, want := range map[string]string{
		"/":     "200 / true [] <nil>: hello",
		"/gzip": "200 /gzip true [gzip] <nil>: plain text",
		"/big":  "200 /big true [] <nil>: 1048576 bytes, intact: true",
	} {
		for name, read := range map[string]func(io.Reader) (int64, error){
			"Read":    func(r io.Reader) (int64, error) { return io.Copy(io.Discard, struct{ io.Reader }{r}) },
			"WriteTo": func(r io.Reader) (int64, error) { return r.(io.WriterTo).WriteTo(io.Discard) },
		} {
			r := newRecord()
			everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
				err := c.Stream(t.Context(), godwit.NewRequest("GET", base+path), func(resp *godwit.Response) error {
					_, err := read(resp.Body)
					return err
				})
				if got := r.take(t, 1); err != nil || got[0] != want {
					t.Errorf("%s %s: %q, %v, want %q", path, name, got, err, want)
				}
			}, godwit.Install(observer.New(observer.Config{Handle: r.handle, Buffer: 2 << 20})))
		}
	}
}

func TestClosedEarly(t *testing.T) {
	r := newRecord()
	everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
		for _, row := range []struct {
			path string
			read int64
			want string
		}{
			{"/", 2, "200 / true [] " + observer.ErrClosed.Error() + ": he"},
			{"/", 5, "200 / true [] <nil>: hello"}, // all of it, if not its end
			{"/", 0, "200 / true [] " + observer.ErrClosed.Error() + ": "},
		} {
			resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base+row.path))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, resp.Body, row.read); err != nil {
				t.Fatal(err)
			}
			resp.Close()
			if got := r.take(t, 1); got[0] != row.want {
				t.Errorf("%d bytes: %q, want %q", row.read, got, row.want)
			}
		}
	}, godwit.Install(observer.New(observer.Config{Handle: r.handle})))
}

// TestSlowHandler: a handler that reads nothing until the caller has all of it
// holds up nobody and gets what fits, without gaps.
func TestSlowHandler(t *testing.T) {
	got := make(chan string, 1)
	read := make(chan struct{})
	slow := func(_ context.Context, c *observer.Copy) error {
		<-read
		data, err := io.ReadAll(c.Body)
		got <- fmt.Sprint(len(data) <= 100<<10 && strings.HasPrefix(big, string(data)), errors.Is(err, observer.ErrOverrun))
		return nil
	}
	everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
		read = make(chan struct{})
		err := c.Stream(t.Context(), godwit.NewRequest("GET", base+"/big"), func(resp *godwit.Response) error {
			data, err := io.ReadAll(resp.Body)
			if string(data) != big {
				t.Errorf("the caller got %d bytes", len(data))
			}
			return err
		})
		close(read)
		if s := <-got; err != nil || s != "true true" {
			t.Errorf("%v, %s", err, s)
		}
	}, godwit.Install(observer.New(observer.Config{Handle: slow, Buffer: 100 << 10})))
}

// TestFailures: neither errors nor panics reach the call; they are events.
func TestFailures(t *testing.T) {
	boom := errors.New("boom")
	failures := map[string]struct {
		config observer.Config
		want   string
	}{
		"error":        {observer.Config{Handle: func(context.Context, *observer.Copy) error { return boom }}, "boom"},
		"panic":        {observer.Config{Handle: func(context.Context, *observer.Copy) error { panic("ouch") }}, "observer: panic: ouch"},
		"filter panic": {observer.Config{Handle: func(context.Context, *observer.Copy) error { return boom }, Filter: func(*godwit.Response) bool { panic("no") }}, "observer: panic: no"},
	}
	for name, row := range failures {
		events := make(chan observer.Failed, 10)
		listen := godwit.On(func(_ context.Context, e observer.Failed) { events <- e })
		everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
			text, err := godwit.Get[string](t.Context(), c, base)
			if e := <-events; err != nil || text != "hello" || e.Cause.Error() != row.want || e.Call == nil {
				t.Errorf("%s: %q, %v, %v", name, text, err, e)
			}
			err = c.Stream(t.Context(), godwit.NewRequest("GET", base), func(resp *godwit.Response) error {
				data, err := io.ReadAll(resp.Body)
				text = string(data)
				return err
			})
			if e := <-events; err != nil || text != "hello" || e.Cause.Error() != row.want {
				t.Errorf("%s, streamed: %q, %v, %v", name, text, err, e)
			}
		}, godwit.Install(observer.New(row.config)), listen)
	}
}

func TestBrokenBody(t *testing.T) {
	r := newRecord()
	c := godwit.New(godwit.Install(observer.New(observer.Config{Handle: r.handle})), godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.OK("0123456789").WithTruncation(4)}}))
	defer c.Join(context.WithoutCancel(t.Context()))
	defer c.Close()
	err := c.Stream(t.Context(), godwit.NewRequest("GET", "http://example.org/"), func(resp *godwit.Response) error {
		_, err := io.ReadAll(resp.Body)
		return err
	})
	if got := r.take(t, 1)[0]; err == nil || !strings.Contains(got, "unexpected EOF: 0123") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFilterAndOff(t *testing.T) {
	r := newRecord()
	other := newRecord()
	filter := func(resp *godwit.Response) bool { return !resp.Status.IsSuccess() }
	everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
		for _, row := range []struct {
			path           string
			opts           []godwit.Option
			seen, seenElse int
		}{
			{"/", nil, 0, 0},
			{"/bad", nil, 1, 0},
			{"/bad", []godwit.Option{observer.Off(true)}, 0, 0},
			{"/bad", []godwit.Option{observer.Handle(other.handle)}, 0, 1},
		} {
			if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base+row.path, row.opts...)); err != nil {
				t.Fatal(err)
			}
			if len(r.done) != row.seen || len(other.done) != row.seenElse {
				t.Errorf("%s: %d and %d copies", row.path, len(r.done), len(other.done))
			}
			r.take(t, row.seen)
			other.take(t, row.seenElse)
		}
	}, godwit.Install(observer.New(observer.Config{Handle: r.handle, Filter: filter})))
}

// TestJoinWaits: a client is not done before its handlers are, and Cancel ends
// them.
func TestJoinWaits(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	wait := func(ctx context.Context, c *observer.Copy) error {
		close(entered)
		<-ctx.Done()
		_, err := io.ReadAll(c.Body)
		left <- err
		return err
	}
	c := godwit.New(godwit.Install(observer.New(observer.Config{Handle: wait})), godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.OK("hello")}}))
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", "http://example.org/"))
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	resp.Close()
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Join(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Join did not wait: %v", err)
	}
	c.Cancel()
	if err := <-left; !errors.Is(err, observer.ErrClosed) {
		t.Errorf("%v", err)
	}
	if err := c.Join(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestConcurrent(t *testing.T) {
	r := newRecord()
	everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				if i%2 == 0 {
					if text, err := godwit.Get[string](t.Context(), c, base); err != nil || text != "hello" {
						t.Errorf("%q, %v", text, err)
					}
					return
				}
				err := c.Stream(t.Context(), godwit.NewRequest("GET", base), func(resp *godwit.Response) error {
					_, err := io.Copy(io.Discard, resp.Body)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, s := range r.take(t, 64) {
			if !strings.HasSuffix(s, "<nil>: hello") {
				t.Error(s)
			}
		}
	}, godwit.Install(observer.New(observer.Config{Handle: r.handle})))
}
