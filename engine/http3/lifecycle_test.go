package http3_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/testpeer"
)

// TestGracefulShutdown: a connection with GOAWAY takes no new requests, and those
// on it end.
func TestGracefulShutdown(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		ok(w, r)
	})
	e := newEngine(t, http3.Config{})
	done := make(chan string, 1)
	go func() {
		_, body := get(t, e, s.URL)
		done <- body
	}()
	within(t, "the request", began)
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	close(release)
	if body := within(t, "the response", done); body != "ok" {
		t.Errorf("body %q", body)
	}
	if err := within(t, "the shutdown", down); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestRestart: after a restart of the server the next request has a new connection.
func TestRestart(t *testing.T) {
	for _, abrupt := range []bool{false, true} {
		s := serve(t, ok)
		addr, _ := net.ResolveUDPAddr("udp4", s.Addr)
		e := newEngine(t, http3.Config{})
		get(t, e, s.URL)
		if abrupt {
			within(t, "the connection", s.conns).CloseWithError(0x102, "gone")
		}
		s.stop()
		socket, err := net.ListenUDP("udp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		again := serveOn(t, socket, ok)
		get(t, e, again.URL)
		if n := len(again.conns); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	}
}

// TestRejected: what the server says it has not processed is sent again, if the
// body can be.
func TestRejected(t *testing.T) {
	for _, row := range []struct {
		name string
		body content.Content
		no   bool
		sent int32
	}{
		{"replayable", content.Text("text"), false, 2},
		{"once", content.Once(content.Text("text")), false, 1},
		{"forbidden", content.Text("text"), true, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			var n atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				text, _ := io.ReadAll(r.Body)
				if n.Add(1) == 1 {
					if stream, err := w.(h3.HTTPStreamer).HTTPStream(); err == nil {
						stream.CancelRead(quic.StreamErrorCode(h3.ErrCodeRequestRejected))
						stream.CancelWrite(quic.StreamErrorCode(h3.ErrCodeRequestRejected))
					}
					return
				}
				_, _ = w.Write(text)
			})
			e := newEngine(t, http3.Config{NoStaleRetry: row.no})
			req := request(t, "POST", s.URL)
			req.Body = row.body
			var resent atomic.Int32
			req.Trace = &engine.Trace{Resent: func(error) { resent.Add(1) }}
			resp, err := e.Execute(t.Context(), req)
			if (err == nil) != (row.sent == 2) || n.Load() != row.sent || resent.Load() != row.sent-1 {
				t.Errorf("%v after %d requests, Resent %d times", err, n.Load(), resent.Load())
			}
			if err == nil {
				defer resp.Body.Close()
				if text, err := io.ReadAll(resp.Body); string(text) != "text" || err != nil {
					t.Errorf("%q, %v", text, err)
				}
			}
		})
	}
}

// TestCloseLetsExchangesEnd: Close closes idle connections at once, others with
// their last exchange.
func TestCloseLetsExchangesEnd(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, "last")
	})
	e := newEngine(t, http3.Config{})
	resp, err := e.Execute(t.Context(), request(t, "GET", s.URL))
	if err != nil {
		t.Fatal(err)
	}
	c := within(t, "the connection", s.conns)
	e.Close()
	if _, err := e.Execute(t.Context(), request(t, "GET", s.URL)); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	close(release)
	if text, err := io.ReadAll(resp.Body); string(text) != "first last" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	within(t, "the connection's end", c.Context().Done())
}

// TestCancelledDial: a dial that nobody waits for any more ends.
func TestCancelledDial(t *testing.T) {
	leakcheck.Goroutines(t)
	e, err := http3.Config{}.New(engine.Config{Proxy: engine.NoProxy})
	if err != nil {
		t.Fatal(err)
	}
	drop := "https://" + testpeer.SilentUDP(t)
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{}, 1)
	done := make(chan error, 2)
	for range 2 {
		req := request(t, "GET", drop)
		req.Trace = &engine.Trace{TLSStart: func() { started <- struct{}{} }}
		go func() {
			_, err := e.Execute(ctx, req)
			done <- err
		}()
	}
	within(t, "the handshake", started)
	cancel()
	for range 2 {
		if err := within(t, "Execute after cancel", done); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	e.Close()
}

// TestSharedDial: the dial goes on when the request that began it has left.
func TestSharedDial(t *testing.T) {
	s := serve(t, ok)
	_, port, _ := net.SplitHostPort(s.Addr)
	asked, release := make(chan struct{}), make(chan struct{})
	e := newEngine(t, http3.Config{}, func(c *engine.Config) {
		resolve := resolveTo("127.0.0.1")
		c.Resolve = func(ctx context.Context, host string) (a []netip.Addr, err error) {
			asked <- struct{}{}
			<-release
			return resolve(ctx, host)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	run := func(ctx context.Context, waiting chan<- struct{}, done chan<- error) {
		req := request(t, "GET", "https://example.test:"+port)
		req.Trace = &engine.Trace{PoolWait: func(string) { close(waiting) }}
		resp, err := e.Execute(ctx, req)
		if err == nil {
			err = resp.Body.Close()
		}
		done <- err
	}
	go run(ctx, make(chan struct{}), first)
	within(t, "the lookup", asked)
	waiting := make(chan struct{})
	go run(t.Context(), waiting, second)
	within(t, "the second request", waiting)
	cancel()
	if err := within(t, "the first request", first); !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	close(release)
	select {
	case err := <-second:
		if err != nil {
			t.Errorf("the second: %v", err)
		}
	case <-asked: // it came after the first had left, and began anew
		if err := within(t, "the second request", second); err != nil {
			t.Errorf("the second: %v", err)
		}
	}
}

// TestMaxConnections: an idle connection makes room.
func TestMaxConnections(t *testing.T) {
	a, b := serve(t, ok), serve(t, ok)
	e := newEngine(t, http3.Config{MaxConnections: 1})
	for range 3 {
		get(t, e, a.URL)
		get(t, e, b.URL)
	}
	if len(a.conns) != 3 || len(b.conns) != 3 {
		t.Errorf("%d and %d connections, want 3 and 3", len(a.conns), len(b.conns))
	}
}

// TestUploadIsGivenUp: closing the response ends a request body that the server
// does not read.
func TestUploadIsGivenUp(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	e := newEngine(t, http3.Config{})
	req := request(t, "POST", s.URL)
	closed := make(chan struct{})
	req.Body = content.Reader(&endless{closed: closed}, "", -1)
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	within(t, "the body's Close", closed)
}

type endless struct{ closed chan struct{} }

func (*endless) Read(p []byte) (int, error) { return len(p), nil }
func (e *endless) Close() error             { close(e.closed); return nil }
