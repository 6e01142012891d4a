package http3_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/header"
)

// TestConnectionDies: what may have been processed on a used connection is sent
// again only if that does no harm.
func TestConnectionDies(t *testing.T) {
	text := func() content.Content { return content.Text("text") }
	for _, row := range []struct {
		name, method string
		body         content.Content
		fields       header.Header
		fresh        bool // the connection has carried no other request
		begins       bool // the server has begun to answer
		forbidden    bool // by NoStaleRetry
		requests     int32
	}{
		{name: "get", method: "GET", requests: 2},
		{name: "put", method: "PUT", body: text(), requests: 2},
		{name: "query", method: "QUERY", body: text(), requests: 2},
		{name: "put once", method: "PUT", body: content.Once(text()), requests: 1},
		{name: "post", method: "POST", requests: 1},
		{name: "post with a body", method: "POST", body: text(), requests: 1},
		{name: "patch", method: "PATCH", body: text(), requests: 1},
		{name: "post with a key", method: "POST", body: text(), fields: header.New("Idempotency-Key", "7"), requests: 2},
		{name: "get on a fresh connection", method: "GET", fresh: true, requests: 1},
		{name: "get that is being answered", method: "GET", begins: true, requests: 1},
		{name: "get without leave", method: "GET", forbidden: true, requests: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			var requests atomic.Int32
			var used atomic.Bool
			begun := make(chan struct{})
			s := play(t, nil, func(_ int, c *scripted, s *quic.Stream) {
				whole(s)
				if !row.fresh && !used.Swap(true) {
					answer(s, "first")
					return
				}
				if requests.Add(1) == 1 {
					if row.begins {
						put(s, head("103"))
						<-begun
					}
					c.quit(h3.ErrCodeInternalError)
					return
				}
				answer(s, "again")
			})
			e := newEngine(t, http3.Config{NoStaleRetry: row.forbidden})
			if !row.fresh {
				get(t, e, s.URL)
			}
			var resent int32
			req := request(t, row.method, s.URL)
			req.Body, req.Header, req.Trace = row.body, row.fields, &engine.Trace{
				Resent:        func(error) { resent++ },
				Informational: func(int, header.Header) error { close(begun); return nil },
			}
			resp, err := e.Execute(t.Context(), req)
			if (err == nil) != (row.requests == 2) || requests.Load() != row.requests || resent != row.requests-1 {
				t.Errorf("%v after %d requests, Resent %d times", err, requests.Load(), resent)
			}
			if err == nil {
				resp.Body.Close()
			} else if o, ok := errors.AsType[*engine.OpError](err); !ok || !o.Sent {
				t.Errorf("%v does not say that something was sent", err)
			}
		})
	}
}

// TestSentTells: the error says whether the request may have reached the server,
// by any of its attempts.
func TestSentTells(t *testing.T) {
	gone := errors.New("no second connection")
	for _, row := range []struct {
		name   string
		method string
		body   content.Content
		end    func(*scripted, *quic.Stream)
		sent   bool
	}{
		{"rejected", "POST", content.Once(content.Text("x")), func(_ *scripted, s *quic.Stream) { reset(s, h3.ErrCodeRequestRejected) }, false},
		{"rejected, and no other connection", "GET", nil, func(_ *scripted, s *quic.Stream) { reset(s, h3.ErrCodeRequestRejected) }, false},
		{"reset", "GET", nil, func(_ *scripted, s *quic.Stream) { reset(s, h3.ErrCodeInternalError) }, true},
		{"lost, and no other connection", "GET", nil, func(c *scripted, _ *quic.Stream) { c.quit(h3.ErrCodeInternalError) }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := play(t, nil, func(n int, c *scripted, s *quic.Stream) {
				if n == 0 {
					answer(s, "first")
					return
				}
				row.end(c, s)
			})
			var dials atomic.Int32
			e := newEngine(t, http3.Config{}, func(c *engine.Config) {
				c.DialControl = func(context.Context, string, string, syscall.RawConn) error {
					if dials.Add(1) > 1 {
						return gone
					}
					return nil
				}
			})
			get(t, e, s.URL)
			req := request(t, row.method, s.URL)
			req.Body = row.body
			_, err := e.Execute(t.Context(), req)
			if o, ok := errors.AsType[*engine.OpError](err); !ok || o.Sent != row.sent {
				t.Errorf("%v: sent %v, want %v", err, ok && o.Sent, row.sent)
			}
		})
	}
}

// TestConnectionDiesInTheHead: a head that was sent in part may have arrived.
func TestConnectionDiesInTheHead(t *testing.T) {
	var requests atomic.Int32
	s := play(t, nil, func(n int, c *scripted, s *quic.Stream) {
		if n == 0 {
			whole(s)
			answer(s, "first")
			return
		}
		requests.Add(1)
		_, _ = io.ReadFull(s, make([]byte, 400))
		c.quit(h3.ErrCodeInternalError)
	}, func(c *quic.Config) { c.InitialStreamReceiveWindow, c.MaxStreamReceiveWindow = 1000, 1000 })
	e := newEngine(t, http3.Config{})
	get(t, e, s.URL)
	req := request(t, "POST", s.URL)
	req.Header = header.New("X-Long", strings.Repeat("x", 10_000))
	_, err := e.Execute(t.Context(), req)
	if o, ok := errors.AsType[*engine.OpError](err); !ok || !o.Sent || requests.Load() != 1 {
		t.Errorf("%v after %d requests", err, requests.Load())
	}
}

// TestGoAway: a connection that takes no further requests costs none of them,
// whatever its method; the one that runs on it goes on.
func TestGoAway(t *testing.T) {
	for _, row := range []struct {
		name string
		body content.Content
	}{{"without a body", nil}, {"with a body", content.Text("text")}} {
		t.Run(row.name, func(t *testing.T) {
			release := make(chan struct{})
			var processed atomic.Int32
			s := play(t, nil, func(n int, c *scripted, s *quic.Stream) {
				switch {
				case n == 0:
					whole(s)
					put(s, head("200"), frame(0, []byte("first ")))
					c.goAway(4)
					<-release
					put(s, frame(0, []byte("last")))
					s.Close()
				case s.StreamID() == 4: // it may have been sent before GOAWAY came
					reset(s, h3.ErrCodeRequestRejected)
				default:
					whole(s)
					processed.Add(1)
					answer(s, "elsewhere")
				}
			})
			e := newEngine(t, http3.Config{})
			first, err := e.Execute(t.Context(), request(t, "GET", s.URL))
			if err != nil {
				t.Fatal(err)
			}
			defer first.Body.Close()
			if _, err := io.ReadFull(first.Body, make([]byte, 6)); err != nil {
				t.Fatal(err)
			}
			req := request(t, "POST", s.URL)
			req.Body = row.body
			resp, body := send(t, e, req)
			if body != "elsewhere" || resp.Reused || processed.Load() != 1 {
				t.Errorf("%q, reused %v, processed %d times", body, resp.Reused, processed.Load())
			}
			close(release)
			if text, err := io.ReadAll(first.Body); string(text) != "last" || err != nil {
				t.Errorf("the running one: %q, %v", text, err)
			}
			if n := len(s.conns); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
}

// TestRejectedReadsAnew: what still reads the body for the attempt that was
// rejected is given up, and the next one opens the body again.
func TestRejectedReadsAnew(t *testing.T) {
	for _, row := range []struct {
		name   string
		fields header.Header
	}{{"reading", header.Header{}}, {"waiting for 100 Continue", header.New("Expect", "100-continue")}} {
		t.Run(row.name, func(t *testing.T) {
			reading := make(chan struct{})
			expects := row.fields.Len() > 0
			s := play(t, nil, func(n int, _ *scripted, s *quic.Stream) {
				if n == 0 {
					<-reading
					reset(s, h3.ErrCodeRequestRejected)
					return
				}
				if expects {
					put(s, head("100"))
				}
				if got, _ := io.ReadAll(s); !strings.HasSuffix(string(got), "\x00\x09from here") {
					answer(s, "not whole")
					return
				}
				answer(s, "whole")
			})
			tell := sync.OnceFunc(func() { close(reading) })
			req := request(t, "POST", s.URL)
			req.Header, req.Trace = row.fields, &engine.Trace{Wait100: tell}
			opened := 0
			req.Body = content.Opener(func(context.Context) (io.ReadCloser, error) {
				if opened++; opened == 1 && !expects {
					in, _ := io.Pipe() // nobody writes
					return &told{in, tell}, nil
				}
				return io.NopCloser(strings.NewReader("from here")), nil
			}, "", -1)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			resp, err := newEngine(t, http3.Config{ExpectContinueTimeout: time.Hour}).Execute(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); string(text) != "whole" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
