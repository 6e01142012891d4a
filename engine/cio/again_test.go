package cio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/transfer"
)

// What an exchange leaves behind is used by later ones. These tests hold on to
// old answers.

// eachWay runs a test without and with pipelining.
func eachWay(t *testing.T, test func(t *testing.T, config cio.Config)) {
	t.Run("alone", func(t *testing.T) { test(t, cio.Config{}) })
	t.Run("pipelined", func(t *testing.T) { test(t, cio.Config{Pipelining: true}) })
}

// TestOldAnswersAreDead: whatever is done with the body of an answer that is over
// touches neither its connection nor the answers that came after it.
func TestOldAnswersAreDead(t *testing.T) { eachWay(t, testOldAnswersAreDead) }

func testOldAnswersAreDead(t *testing.T, config cio.Config) {
	for name, answer := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nId: a\r\n\r\nhello",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nT: 1\r\n\r\n",
		"empty":   "HTTP/1.1 204 No Content\r\nId: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, answering(answer))
			e := newEngine(t, config)
			first, body := mustFetch(t, e, p.get()) // closed by it
			read, err := e.Execute(t.Context(), p.get())
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(read.Body); string(b) != body || err != nil {
				t.Fatalf("%q, %v", b, err)
			}
			unread, err := e.Execute(t.Context(), p.get())
			if err != nil {
				t.Fatal(err)
			}
			unread.Body.Close()

			now, err := e.Execute(t.Context(), p.get())
			if err != nil {
				t.Fatal(err)
			}
			var b [8]byte
			if n, err := read.Body.Read(b[:]); n != 0 || err != io.EOF {
				t.Errorf("behind the end: %d bytes, %v", n, err)
			}
			if n, err := read.Body.(io.WriterTo).WriteTo(io.Discard); n != 0 || err != nil {
				t.Errorf("WriteTo behind the end: %d bytes, %v", n, err)
			}
			for _, old := range []*engine.Response{first, read, unread} {
				for range 2 {
					if err := old.Body.Close(); err != nil {
						t.Error(err)
					}
				}
				if n, err := old.Body.Read(b[:]); n != 0 || !errors.Is(err, transfer.ErrClosed) {
					t.Errorf("closed: %d bytes, %v", n, err)
				}
				if old.Status != now.Status || old.Header.Get("Id") != now.Header.Get("Id") {
					t.Errorf("an old answer became %d, %v", old.Status, old.Header)
				}
				if name == "chunked" && old != unread && old.Trailer().Get("T") != "1" {
					t.Error("an old answer has lost its trailers")
				}
			}
			if got, err := io.ReadAll(now.Body); string(got) != body || err != nil {
				t.Errorf("beside them: %q, %v", got, err)
			}
			now.Body.Close()
			if n := p.accepted.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestHoldersOfOldAnswers: callers close, read and cancel when it is too late, and
// at the last moment, from other goroutines; each answer is the one to its request.
func TestHoldersOfOldAnswers(t *testing.T) { eachWay(t, testHoldersOfOldAnswers) }

func testHoldersOfOldAnswers(t *testing.T, config cio.Config) {
	const callers, calls = 16, 300
	p := newPeer(t, func(c *peerConn) {
		for {
			head := c.head()
			if head == "" {
				return
			}
			id := fieldOf(head, "Id")
			switch len(id) % 3 {
			case 0:
				c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nId: %s\r\nContent-Length: %d\r\n\r\n%[1]s", id, len(id)))
			case 1: // the body comes later
				c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nId: %s\r\nContent-Length: %d\r\n\r\n", id, len(id)))
				c.send(id)
			case 2:
				c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nId: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%[1]s\r\n", id, len(id)))
				c.send("0\r\n\r\n")
			}
		}
	})
	e := newEngine(t, config)
	old := make(chan io.ReadCloser, 64)
	var holders, wg sync.WaitGroup
	for range 4 {
		holders.Go(func() {
			var b [4]byte
			for body := range old {
				if rand.IntN(2) == 0 {
					body.Read(b[:])
				}
				body.Close()
			}
		})
	}
	for g := range callers {
		wg.Go(func() {
			for i := range calls {
				id := fmt.Sprintf("%d-%d%s", g, i, strings.Repeat("x", rand.IntN(3)))
				if err := oldCall(t.Context(), e, p, id, old); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	close(old)
	holders.Wait()
	eventually(t, "all connections are idle", func() bool { s := e.Stats(); return s.Open == s.Idle })
}

// oldCall sends a request and lets others have the answer's body: when it was
// read, or while that is done.
func oldCall(ctx context.Context, e *cio.Engine, p *peer, id string, old chan<- io.ReadCloser) error {
	req := p.get()
	req.Header = header.New("Id", id)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := e.Execute(ctx, req)
	if err != nil {
		return err
	}
	if got := resp.Header.Get("Id"); got != id {
		return fmt.Errorf("answered as %s", got)
	}
	early := rand.IntN(3)
	switch early {
	case 1:
		old <- resp.Body
	case 2:
		go cancel()
	}
	b, err := io.ReadAll(resp.Body)
	if early == 0 || err == nil {
		old <- resp.Body
	}
	switch {
	case err == nil && early != 1 && string(b) != id:
		return fmt.Errorf("the body is %q", b)
	case err != nil && early == 0:
		return err
	case !strings.HasPrefix(id, string(b)) && early != 1:
		return fmt.Errorf("the body begins with %q", b)
	case err != nil && early == 1 && !errors.Is(err, transfer.ErrClosed) && !errors.Is(err, transfer.ErrInUse):
		return err
	case err != nil && early == 2 && !errors.Is(err, context.Canceled):
		return err
	}
	return nil
}

func fieldOf(head, name string) string {
	for line := range strings.Lines(head) {
		if n, v, ok := strings.Cut(line, ":"); ok && n == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// TestCloseInTheLastMoment: a Close beside the Read that ends the body may come too
// late for it, and then must leave alone who has the connection next.
func TestCloseInTheLastMoment(t *testing.T) { eachWay(t, testCloseInTheLastMoment) }

func testCloseInTheLastMoment(t *testing.T, config cio.Config) {
	p := newPeer(t, func(c *peerConn) {
		for c.head() != "" {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
			c.send("ok")
		}
	})
	config.MaxConnectionsPerRoute = 1
	e := newEngine(t, config)
	for range 2000 {
		resp, err := e.Execute(t.Context(), p.get())
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() {
			resp.Body.Close()
			close(closed)
		}()
		_, err = bufio.NewReader(resp.Body).Peek(2)
		next, body, nextErr := fetch(t.Context(), e, p.get())
		if nextErr != nil || body != "ok" {
			t.Fatalf("the next answer: %q, %v", body, nextErr)
		}
		if err == nil && !next.Reused && e.Stats().Open > 1 {
			t.Fatal("a second connection")
		}
		<-closed
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, body, err := fetch(ctx, e, p.get()); body != "ok" || err != nil {
		t.Errorf("in the end: %q, %v", body, err)
	}
}

// TestUsedAgain: an exchange is used again when it has come to its end, and nobody
// can have a hold of it.
func TestUsedAgain(t *testing.T) { eachWay(t, testUsedAgain) }

func testUsedAgain(t *testing.T, config cio.Config) {
	const slow = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok"
	more := make(chan struct{})
	p := newPeer(t, func(c *peerConn) {
		for {
			switch head := c.head(); {
			case head == "":
				return
			case strings.HasPrefix(head, "GET /slow"):
				c.send(slow)
				<-more
				c.send("ok")
			case strings.HasPrefix(head, "PUT"):
				c.take(2)
				fallthrough
			default:
				c.send(ok)
			}
		}
	})
	e := newEngine(t, config)
	execute := func(ctx context.Context, req *engine.Request) io.ReadCloser {
		t.Helper()
		resp, err := e.Execute(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Body
	}
	slowly := p.get()
	slowly.URL = slowly.URL.JoinPath("slow")
	put := &engine.Request{Method: "PUT", URL: p.url, Body: streamed("ab", 2)}

	read := execute(t.Context(), p.get())
	io.ReadAll(read)
	unread := execute(t.Context(), p.get())
	unread.Close()
	for name, body := range map[string]io.Closer{"read": read, "closed before it was read": unread} {
		if !cio.UsedAgain(body) {
			t.Errorf("%s: not used again", name)
		}
	}

	late := execute(&tardy{Context: t.Context()}, p.get())
	io.ReadAll(late)
	uploaded := execute(t.Context(), put)
	io.ReadAll(uploaded)
	given := execute(t.Context(), slowly)
	given.Close() // and its connection
	for name, body := range map[string]io.Closer{"Abort under way": late, "a writer of its own": uploaded, "given up": given} {
		if cio.UsedAgain(body) {
			t.Errorf("%s: used again", name)
		}
	}
	more <- struct{}{}

	body := execute(t.Context(), slowly)
	if n, err := body.Read(make([]byte, 2)); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	done := make(chan error)
	go func() {
		for {
			_, err := body.(io.WriterTo).WriteTo(io.Discard)
			if !errors.Is(err, transfer.ErrInUse) { // by the look below
				done <- err
				return
			}
		}
	}()
	eventually(t, "the body is in use", func() bool {
		_, err := body.Read(nil)
		return errors.Is(err, transfer.ErrInUse)
	})
	end := cio.BeginClose(body)
	more <- struct{}{}
	within(t, "the read", done)
	if cio.UsedAgain(body) {
		t.Error("used again with a Close under way")
	}
	end()
	if _, b, err := fetch(t.Context(), e, p.get()); b != "ok" || err != nil {
		t.Errorf("after it: %q, %v", b, err)
	}
}

// TestLateAbort: Abort may be under way when an exchange ends, and then runs when
// others are.
func TestLateAbort(t *testing.T) { eachWay(t, testLateAbort) }

func testLateAbort(t *testing.T, config cio.Config) {
	asked := make(chan struct{})
	answer := make(chan struct{})
	var requests atomic.Int32
	p := newPeer(t, func(c *peerConn) {
		for c.head() != "" {
			if requests.Add(1) > 1 {
				close(asked)
				<-answer
			}
			c.send(ok)
		}
	})
	e := newEngine(t, config)
	ctx := &tardy{Context: t.Context()}
	if _, body, err := fetch(ctx, e, p.get()); body != "ok" || err != nil {
		t.Fatalf("%q, %v", body, err)
	}
	done := make(chan error)
	go func() {
		_, body, err := fetch(t.Context(), e, p.get())
		if err == nil && body != "ok" {
			err = fmt.Errorf("body %q", body)
		}
		done <- err
	}()
	within(t, "the next request", asked)
	ctx.aborter.Abort(context.Canceled)
	close(answer)
	if err := within(t, "the next answer", done); err != nil {
		t.Error(err)
	}
}

// tardy is a context that ends just when the exchange does, and aborts later.
type tardy struct {
	context.Context
	aborter engine.Aborter
}

func (c *tardy) AddAborter(a engine.Aborter) uint64 { c.aborter = a; return 1 }
func (c *tardy) RemoveAborter(uint64) bool          { return false }

// TestForgetsEngines: what is used again keeps nothing of an engine that is closed.
func TestForgetsEngines(t *testing.T) {
	p := newPeer(t, answering(ok))
	closed := func() weak.Pointer[cio.Engine] {
		e := cio.Config{Pipelining: true, Proxy: engine.NoProxy}.New(engine.Config{})
		for range 3 {
			mustFetch(t, e, p.get())
		}
		e.Close()
		return weak.Make(e)
	}()
	other := newEngine(t, cio.Config{})
	eventually(t, "the engine is collected", func() bool {
		mustFetch(t, other, p.get())
		runtime.GC()
		return closed.Value() == nil
	})
}

// TestLyingWriter: a Writer that breaks its contract harms nobody but itself.
func TestLyingWriter(t *testing.T) {
	p := newPeer(t, answering(ok))
	e := newEngine(t, cio.Config{})
	for _, n := range []int{-1, 0, 1, 100} {
		resp, err := e.Execute(t.Context(), p.get())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.(io.WriterTo).WriteTo(liar(n)); err == nil {
			t.Errorf("a Writer that says it wrote %d of 2 bytes: no error", n)
		}
		io.ReadAll(resp.Body)
		resp.Body.Close()
	}
}

type liar int

func (n liar) Write([]byte) (int, error) { return int(n), nil }
