package cio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

func wantOp(t testing.TB, err error, op engine.Op, is error, sent bool) {
	t.Helper()
	oe, isOp := errors.AsType[*engine.OpError](err)
	if !isOp || oe.Op != op || !errors.Is(err, is) || oe.Sent != sent {
		t.Errorf("error = %#v, want %s: %v, sent %v", err, op, is, sent)
	}
}

func wantKind(t testing.TB, err error, kind engine.TimeoutKind) {
	t.Helper()
	if te, isTimeout := errors.AsType[*engine.TimeoutError](err); !isTimeout || te.Kind != kind {
		t.Errorf("error = %v, want a %s timeout", err, kind)
	}
}

// TestPipeliningAbandon: the first of three gives its response up, in each
// state; the other two get theirs, on the same connection if what is left of
// the first is small.
func TestPipeliningAbandon(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	never := "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"
	closes := func(resp *engine.Response, _ context.CancelFunc) { resp.Body.Close() }
	cancels := func(_ *engine.Response, cancel context.CancelFunc) { cancel() }
	for name, tc := range map[string]struct {
		wire     string
		deadline time.Duration
		abandon  func(*engine.Response, context.CancelFunc) // nil = there is no head yet
		kept     bool
	}{
		"close, small":           {answer("0123456789"), 0, closes, true},
		"close, in the buffer":   {answer(big[:20_000]), 0, closes, true},
		"close, chunks":          {chunked(big[:20_000]), 0, closes, true},
		"close, medium":          {answer(big[:60_000]), 0, closes, true},
		"close, chunks, medium":  {chunked(big[:60_000]), 0, closes, true},
		"close, large":           {answer(big), 0, closes, false},
		"close, chunks, large":   {chunked(big), 0, closes, false},
		"close, never ends":      {never, 0, closes, false},
		"close, until close":     {"HTTP/1.1 200 OK\r\n\r\nx", 0, closes, false},
		"cancel, medium":         {answer(big[:60_000]), 0, cancels, true},
		"cancel, large":          {answer(big), 0, cancels, false},
		"deadline, medium":       {answer(big[:60_000]), time.Second, func(*engine.Response, context.CancelFunc) { time.Sleep(time.Second) }, true},
		"cancel, no head, small": {answer("x"), 0, nil, true},
		"deadline, no head":      {answer("x"), time.Second, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				d := newPipes(t, func(c *peerConn) {
					for line := range ahead(c) {
						if line != "GET /first" {
							c.send(answer(line))
							continue
						}
						<-release
						c.send(tc.wire)
						if tc.wire == never {
							io.Copy(io.Discard, c.Conn)
						}
					}
				})
				e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req := getting(t, pipeSite, "/first")
				if tc.deadline > 0 {
					req.Deadline = time.Now().Add(tc.deadline)
				}
				started := make(chan *engine.Response, 1)
				go func() {
					resp, err := e.Execute(ctx, req)
					if (err == nil) != (tc.abandon != nil) {
						t.Error(err)
					}
					started <- resp
				}()
				synctest.Wait()
				var done []<-chan outcome
				for i := range 2 {
					done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i))))
					synctest.Wait()
				}
				if tc.abandon != nil {
					close(release)
					tc.abandon(<-started, cancel)
				} else {
					if tc.deadline == 0 {
						cancel()
					}
					<-started
					close(release)
				}
				for i, ch := range done {
					if got := <-ch; got.err != nil || got.body != fmt.Sprintf("GET /%d", i) {
						t.Errorf("%d: %+v", i, got)
					}
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				if (d.n == 1) != tc.kept {
					t.Errorf("%d connections, kept: want %v", d.n, tc.kept)
				}
			})
		})
	}
}

// TestPipeliningPatience: the response of one that has left does not come; after
// a second the others go elsewhere.
func TestPipeliningPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				if line == "GET /stuck" {
					continue
				}
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
		ctx, cancel := context.WithCancel(t.Context())
		stuck := sending(ctx, e, getting(t, pipeSite, "/stuck"))
		synctest.Wait()
		cancel()
		begin := time.Now()
		req := getting(t, pipeSite, "/next")
		resent := 0
		req.Trace = &engine.Trace{Resent: func(error) { resent++ }}
		// It joins before the first one leaves.
		if (<-stuck).err == nil {
			t.Error("no error")
		}
		if _, body := mustFetch(t, e, req); body != "GET /next" || resent > 1 || time.Since(begin) > time.Second {
			t.Errorf("%q, resent %d times, after %v", body, resent, time.Since(begin))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				if line == "GET /stuck" {
					io.Copy(io.Discard, c.Conn)
				}
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
		ctx, cancel := context.WithCancel(t.Context())
		stuck := sending(ctx, e, getting(t, pipeSite, "/stuck"))
		synctest.Wait()
		resent := 0
		req := getting(t, pipeSite, "/next")
		req.Trace = &engine.Trace{Resent: func(error) { resent++ }}
		next := sending(t.Context(), e, req)
		synctest.Wait()
		begin := time.Now()
		cancel()
		if (<-stuck).err == nil {
			t.Error("no error")
		}
		if got := <-next; got.err != nil || got.body != "GET /next" || resent != 1 || time.Since(begin) != time.Second {
			t.Errorf("%+v, resent %d times, after %v", got, resent, time.Since(begin))
		}
	})
}

// TestPipeliningCancelInLine: those behind and before one that leaves the line
// get their own responses.
func TestPipeliningCancelInLine(t *testing.T) {
	for left := range 5 {
		for _, how := range []string{"cancel", "deadline"} {
			t.Run(fmt.Sprint(how, " ", left), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					release := make(chan struct{})
					d := newPipes(t, func(c *peerConn) {
						lines := ahead(c)
						c.send(answer(<-lines))
						<-release
						for line := range lines {
							c.send(answer(line))
						}
					})
					e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
					var done []<-chan outcome
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					for i := range 5 {
						req, c := getting(t, pipeSite, fmt.Sprintf("/%d", i)), t.Context()
						if i == left && how == "cancel" {
							c = ctx
						} else if i == left {
							req.Deadline = time.Now().Add(time.Second)
						}
						done = append(done, sending(c, e, req))
						synctest.Wait()
					}
					if how == "cancel" {
						cancel()
						wantOp(t, (<-done[left]).err, engine.OpReceive, context.Canceled, true)
					} else {
						wantKind(t, (<-done[left]).err, engine.KindRequest)
					}
					close(release)
					for i, ch := range done {
						if i == left {
							continue
						}
						if got := <-ch; got.err != nil || got.body != fmt.Sprintf("GET /%d", i) {
							t.Errorf("%d: %+v", i, got)
						}
					}
				})
			})
		}
	}
}

// TestPipeliningTimeouts: the limits of one that waits in line hold for it alone.
func TestPipeliningTimeouts(t *testing.T) {
	for name, tc := range map[string]struct {
		timeouts engine.Timeouts
		kind     engine.TimeoutKind
		after    time.Duration
	}{
		"header": {engine.Timeouts{Header: 3 * time.Second}, engine.KindHeader, 3 * time.Second},
		"idle":   {engine.Timeouts{Idle: 3 * time.Second}, engine.KindIdle, 5 * time.Second}, // a byte comes after 2 s
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newPipes(t, func(c *peerConn) {
					lines := ahead(c)
					c.send(answer(<-lines))
					for line := range lines {
						a := answer(line)
						time.Sleep(2 * time.Second)
						c.send(a[:1])
						time.Sleep(8 * time.Second)
						c.send(a[1:])
					}
				})
				e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
				a := sending(t.Context(), e, getting(t, pipeSite, "/a"))
				synctest.Wait()
				req := getting(t, pipeSite, "/b")
				req.Timeouts = tc.timeouts
				begin := time.Now()
				_, _, err := fetch(t.Context(), e, req)
				wantKind(t, err, tc.kind)
				if took := time.Since(begin); took != tc.after {
					t.Errorf("after %v, want %v", took, tc.after)
				}
				if got := <-a; got.err != nil || got.body != "GET /a" {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestPipelineEnds: the connection ends, in several ways, after two of five
// responses; the rest is sent again.
func TestPipelineEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		end     string
		partial bool // the third has an error
		forbid  bool // NoStaleRetry
	}{
		"EOF":                 {},
		"in a head":           {end: "HTTP/1.1 200 OK\r\n", partial: true},
		"in a body":           {end: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", partial: true},
		"garbage":             {end: "ICY 200\r\n\r\n", partial: true},
		"doubtful framing":    {end: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", partial: true},
		"EOF, no second send": {forbid: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen [6]atomic.Int32
				d := newPipes(t, func(c *peerConn) {
					lines := ahead(c)
					if c.n > 0 {
						for line := range lines {
							c.send(answer(line))
						}
						return
					}
					c.send(answer(<-lines))
					var got []string
					for range 5 {
						got = append(got, <-lines)
					}
					c.send(answer(got[0]) + answer(got[1]) + tc.end)
				})
				e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, NoStaleRetry: tc.forbid})
				var done []<-chan outcome
				for i := range 5 {
					req := getting(t, pipeSite, fmt.Sprintf("/%d", i))
					req.Trace = &engine.Trace{Resent: func(cause error) {
						seen[i].Add(1)
						if cause == nil {
							t.Error("Resent without a cause")
						}
					}}
					done = append(done, sending(t.Context(), e, req))
					synctest.Wait()
				}
				for i, ch := range done {
					got := <-ch
					fails := i == 2 && tc.partial || i >= 2 && tc.forbid
					if fails {
						oe, isOp := errors.AsType[*engine.OpError](got.err)
						if !isOp || oe.Op != engine.OpReceive || !oe.Sent || engine.IsTimeout(oe) || seen[i].Load() != 0 {
							t.Errorf("%d: error = %#v, resent %d times", i, got.err, seen[i].Load())
						}
						continue
					}
					want := int32(0)
					if i >= 2 {
						want = 1
					}
					if got.err != nil || got.body != fmt.Sprintf("GET /%d", i) || seen[i].Load() != want {
						t.Errorf("%d: %+v, resent %d times", i, got, seen[i].Load())
					}
				}
			})
		})
	}
}

// TestCloseInAPipeline: a response that announces the end is read to its end,
// while those behind it are on another connection already.
func TestCloseInAPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			lines := ahead(c)
			c.send(answer(<-lines))
			for line := range lines {
				if line != "GET /closes" {
					c.send(answer(line))
					continue
				}
				time.Sleep(time.Second) // the others come meanwhile
				c.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto be ")
				<-release
				c.send("continued")
				return
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, MaxConnectionsPerRoute: 2})
		first := sending(t.Context(), e, getting(t, pipeSite, "/closes"))
		synctest.Wait()
		var done []<-chan outcome
		for i := range 4 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i))))
		}
		for i, ch := range done {
			if got := <-ch; got.err != nil || got.body != fmt.Sprintf("GET /%d", i) {
				t.Errorf("%d: %+v", i, got)
			}
		}
		close(release)
		if got := <-first; got.err != nil || got.body != "to be continued" {
			t.Errorf("%+v", got)
		}
	})
}

// TestSurplusInAPipeline: bytes that nobody asked for never become a response.
func TestSurplusInAPipeline(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		for line := range ahead(c) {
			c.send(answer(line) + answer("stray"))
		}
	})
	e := newEngine(t, cio.Config{Pipelining: true})
	for i := range 5 {
		var put []error
		req := getting(t, p.url, fmt.Sprintf("/%d", i))
		req.Trace = &engine.Trace{PutIdle: func(err error) { put = append(put, err) }}
		if resp, got := mustFetch(t, e, req); got != fmt.Sprintf("GET /%d", i) || resp.Reused || len(put) != 1 || put[0] == nil {
			t.Errorf("%d: %q, reused %v, PutIdle %v", i, got, resp.Reused, put)
		}
	}
}

// TestPipeliningFallback: servers that don't bear it are not pipelined after a
// few failures, and no request fails.
func TestPipeliningFallback(t *testing.T) {
	simple := func(before string) func(*peerConn, *atomic.Int32) {
		return func(c *peerConn, _ *atomic.Int32) { c.send(before + <-ahead(c)) }
	}
	for name, script := range map[string]func(c *peerConn, pipelined *atomic.Int32){
		"announces the end": simple("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
		"HTTP/1.0":          simple("HTTP/1.0 200 OK\r\n\r\n"),
		"closes after one": func(c *peerConn, pipelined *atomic.Int32) {
			lines := ahead(c)
			for line := range lines {
				time.Sleep(time.Millisecond)
				others := len(lines)
				c.send(answer(line))
				if others > 0 {
					pipelined.Add(1)
					return
				}
			}
		},
		"answers the first only": func(c *peerConn, pipelined *atomic.Int32) {
			for lines := ahead(c); ; {
				line, open := <-lines
				if !open {
					return
				}
				time.Sleep(time.Millisecond)
				for ; len(lines) > 0; <-lines {
					pipelined.Store(1)
				}
				c.send(answer(line))
			}
		},
		"HTTP/1.0, persists": func(c *peerConn, pipelined *atomic.Int32) {
			for lines := ahead(c); ; {
				line, open := <-lines
				if !open {
					return
				}
				time.Sleep(time.Millisecond)
				pipelined.Add(int32(len(lines)))
				c.send("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + strings.TrimPrefix(answer(line), "HTTP/1.1 200 OK\r\n"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int32
				d := newPipes(t, func(c *peerConn) { script(c, &n) })
				e := newEngine(t, cio.Config{Dial: d.dial, Pipelining: true, MaxConnectionsPerRoute: 2})
				mustFetch(t, e, getting(t, pipeSite, "/"))
				round := func(mayFail bool) {
					var wg sync.WaitGroup
					for i := range 20 {
						wg.Go(func() {
							req := getting(t, pipeSite, fmt.Sprintf("/%d", i))
							req.Timeouts.Header = time.Second
							if _, got, err := fetch(t.Context(), e, req); got != fmt.Sprintf("GET /%d", i) && (err == nil || !mayFail) {
								t.Errorf("%d: %q, %v", i, got, err)
							}
						})
					}
					wg.Wait()
				}
				for range 5 {
					round(name == "answers the first only")
				}
				n.Store(0)
				round(false)
				if n.Load() > 0 {
					t.Error("still pipelined")
				}
			})
		})
	}
}

// TestPipeliningClose: Close lets the requests on the wire end, and refuses the
// rest.
func TestPipeliningClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			lines := ahead(c)
			c.send(answer(<-lines))
			<-release
			for line := range lines {
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, PipelineMaxSize: 2})
		var done []<-chan outcome
		for i := range 4 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i))))
			synctest.Wait()
		}
		e.CloseIdle()
		if s := e.Stats(); s.Open != 1 || s.Waiting != 2 {
			t.Errorf("%+v", s)
		}
		e.Close()
		synctest.Wait()
		if s := e.Stats(); s.Waiting != 0 {
			t.Errorf("%+v", s) // though nothing on the wire has ended
		}
		if _, _, err := fetch(t.Context(), e, getting(t, pipeSite, "/late")); !errors.Is(err, engine.ErrClosed) {
			t.Error(err)
		}
		close(release)
		for i, ch := range done {
			got := <-ch
			if i < 2 && (got.err != nil || got.body != fmt.Sprintf("GET /%d", i)) {
				t.Errorf("%d: %+v", i, got)
			}
			if i >= 2 && !errors.Is(got.err, engine.ErrClosed) {
				t.Errorf("%d: %v", i, got.err)
			}
		}
		if s := e.Stats(); s.Open != 0 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestSurplusBehindABody: what came together with a body, before the next request
// was written, is not the answer to that.
func TestSurplusBehindABody(t *testing.T) {
	big, evil := strings.Repeat("x", 20_000), answer("evil")
	for name, wire := range map[string]string{"length": answer(big) + evil, "chunks": chunked(big) + evil, "a part": answer(big) + evil[:9]} {
		for _, read := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", read ", read), func(t *testing.T) {
				shared(t, wire, func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
					close(release)
					resp, err := e.Execute(t.Context(), getting(t, pipeSite, "/first"))
					if err != nil {
						t.Fatal(err)
					}
					done := behind()
					if read {
						if b, err := io.ReadAll(resp.Body); len(b) != len(big) || err != nil {
							t.Errorf("%d bytes, %v", len(b), err)
						}
					}
					resp.Body.Close()
					wantBehind(t, done)
				})
			})
		}
	}
}

// TestSurplusBehindAnAbandonedBody: the same, where the next in line discards the
// body and a third one is behind it.
func TestSurplusBehindAnAbandonedBody(t *testing.T) {
	shared(t, answer(strings.Repeat("x", 20_000))+answer("evil"), func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
		close(release)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if _, err := e.Execute(ctx, getting(t, pipeSite, "/first")); err != nil {
			t.Fatal(err)
		}
		done, third := behind(), behind()
		cancel()
		wantBehind(t, done)
		wantBehind(t, third)
	})
}

// TestSurplusBehindALongBody: the same, where a body was not read to its end when the
// next requests came: those wait, and go on the connection only if nothing is left
// there.
func TestSurplusBehindALongBody(t *testing.T) {
	long, middling := strings.Repeat("x", 70_000), strings.Repeat("x", 20_000) // this is read together with its head
	for name, tc := range map[string]struct{ wire, evil string }{
		"length":   {answer(long), answer("evil")},
		"chunks":   {chunked(long), answer("evil")},
		"a part":   {answer(long), "HTTP/1.1"},
		"middling": {answer(middling), answer("evil")},
		"clean":    {answer(long), ""},
	} {
		for _, end := range []string{"read", "closed", "cancelled"} {
			t.Run(name+", "+end, func(t *testing.T) {
				open, sent := make(chan struct{}), make(chan struct{})
				p := newPeer(t, func(c *peerConn) {
					for line := range ahead(c) {
						if line == "GET /big" {
							c.send(tc.wire)
							<-open
							c.send(tc.evil)
							close(sent)
							continue
						}
						c.send(answer(line))
					}
				})
				e := pipelined(t, p.url, cio.Config{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				resp, err := e.Execute(ctx, getting(t, p.url, "/big"))
				if err != nil {
					t.Fatal(err)
				}
				close(open)
				<-sent
				<-time.After(2 * time.Millisecond)
				var done []<-chan outcome
				for i := range 3 {
					done = append(done, sending(t.Context(), e, getting(t, p.url, fmt.Sprintf("/%d", i))))
				}
				eventually(t, "all wait", func() bool { return e.Stats().Waiting == 3 })
				switch end {
				case "read":
					if _, err := io.ReadAll(resp.Body); err != nil {
						t.Error(err)
					}
				case "cancelled":
					cancel()
				}
				resp.Body.Close()
				for i, ch := range done {
					if got := within(t, "an answer", ch); got.err != nil || got.body != fmt.Sprintf("GET /%d", i) {
						t.Errorf("%d: %q, %v", i, got.body, got.err)
					}
				}
				if n, kept := p.accepted.Load(), tc.evil == "" && end == "read"; (n == 1) != kept {
					t.Errorf("%d connections", n)
				}
			})
		}
	}
}

// TestSurplusBehindTwoLongBodies: no request is written behind those that were in
// line already either.
func TestSurplusBehindTwoLongBodies(t *testing.T) {
	big := strings.Repeat("x", 70_000)
	p := newPeer(t, func(c *peerConn) {
		for line := range ahead(c) {
			switch line {
			case "GET /a":
			case "GET /b":
				c.send(answer(big) + answer(big) + answer("evil"))
			default:
				c.send(answer(line))
			}
		}
	})
	e := pipelined(t, p.url, cio.Config{})
	heads := make(chan *engine.Response, 2)
	for _, path := range []string{"/a", "/b"} {
		go func() {
			resp, err := e.Execute(t.Context(), getting(t, p.url, path))
			if err != nil {
				t.Error(err)
			}
			heads <- resp
		}()
		if path == "/a" {
			eventually(t, "it is the first", func() bool { s := e.Stats(); return s.Idle == 0 && s.Open == 1 })
		}
	}
	first := within(t, "the first", heads)
	done := sending(t.Context(), e, getting(t, p.url, "/c"))
	for _, resp := range []*engine.Response{first, nil} {
		if resp == nil {
			resp = within(t, "the second", heads)
		}
		eventually(t, "the third waits", func() bool { return e.Stats().Waiting == 1 })
		if b, err := io.ReadAll(resp.Body); len(b) != len(big) || err != nil {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		if resp == first && e.Stats().Waiting != 1 {
			t.Error("the third was written before the second was read")
		}
	}
	if got := within(t, "the third", done); got.err != nil || got.body != "GET /c" || p.accepted.Load() != 2 {
		t.Errorf("%+v, %d connections", got, p.accepted.Load())
	}
}

// TestPipeliningBehindAPart: requests go on behind a response for a millisecond, and
// not if it is long.
func TestPipeliningBehindAPart(t *testing.T) {
	for name, tc := range map[string]struct {
		wire        string
		here        int // so many of its bytes
		soon, later int // requests that wait
	}{
		"not read":     {answer(strings.Repeat("x", 20_000)), 20_000, 0, 1},
		"cut in two":   {answer("to be continued"), 40, 0, 1},
		"cut in three": {chunked("to be continued"), 55, 0, 1},
		"long":         {answer(strings.Repeat("x", 20_000)), 1000, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				d := newPipes(t, func(c *peerConn) {
					for line := range ahead(c) {
						if line == "GET /first" {
							if tc.here < 20_000 {
								c.send(tc.wire[:tc.here])
								<-release
								c.send(tc.wire[tc.here:])
							} else {
								c.send(tc.wire)
							}
							continue
						}
						c.send(answer(line))
					}
				})
				e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
				resp, err := e.Execute(t.Context(), getting(t, pipeSite, "/first"))
				if err != nil {
					t.Fatal(err)
				}
				var done []<-chan outcome
				for _, want := range []int{tc.soon, tc.later} {
					done = append(done, sending(t.Context(), e, getting(t, pipeSite, "/behind")))
					synctest.Wait()
					if got := e.Stats().Waiting; got != want {
						t.Errorf("%d wait, want %d", got, want)
					}
					time.Sleep(time.Millisecond)
				}
				close(release)
				if _, err := io.ReadAll(resp.Body); err != nil {
					t.Error(err)
				}
				for _, ch := range done {
					wantBehind(t, ch)
				}
				if d.n != 1 {
					t.Errorf("%d connections", d.n)
				}
			})
		})
	}
}

// TestNoStaleRetryInAPipeline: a request that was not yet written when the connection
// ended goes on another one even so; its sending there is the first.
func TestNoStaleRetryInAPipeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			if c.n > 0 {
				echo(c)
				return
			}
			c.head()
			c.send(ok)
			c.head()
			<-release // the next is being written
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, NoStaleRetry: true})
		var done []<-chan outcome
		for i := range 4 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i))))
			synctest.Wait()
		}
		close(release)
		for i, ch := range done {
			got := <-ch
			if i < 2 {
				if oe, isOp := errors.AsType[*engine.OpError](got.err); !isOp || !oe.Sent {
					t.Errorf("%d: error = %#v", i, got.err)
				}
			} else if got.err != nil || got.body != fmt.Sprintf("GET /%d", i) {
				t.Errorf("%d: %+v", i, got)
			}
		}
	})
}

// TestPipeliningImpatience: short timeouts of the caller's own, and errors of his
// hooks, say nothing of the server; a server that says nothing for long is not
// pipelined.
func TestPipeliningImpatience(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		hook    error
		barred  bool
	}{
		"short timeout": {timeout: 20 * time.Millisecond},
		"long timeout":  {timeout: time.Second, barred: true},
		"hook":          {hook: errSource},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newPipes(t, func(c *peerConn) {
					for line := range ahead(c) {
						time.Sleep(time.Millisecond)
						if line == "GET /slow" {
							if tc.hook != nil {
								c.send("HTTP/1.1 102 Processing\r\n\r\n")
							}
							time.Sleep(10 * time.Second)
						}
						c.send(answer(line))
					}
				})
				e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, MaxConnectionsPerRoute: 20})
				for range 4 {
					quick := sending(t.Context(), e, getting(t, pipeSite, "/quick"))
					synctest.Wait()
					req := getting(t, pipeSite, "/slow")
					if tc.hook != nil {
						req.Trace = &engine.Trace{Informational: func(int, header.Header) error { return tc.hook }}
					} else {
						req.Deadline = time.Now().Add(tc.timeout)
					}
					slow := sending(t.Context(), e, req)
					synctest.Wait()
					behind := sending(t.Context(), e, getting(t, pipeSite, "/behind"))
					if err := (<-slow).err; tc.hook == nil {
						wantKind(t, err, engine.KindRequest)
					} else if !errors.Is(err, tc.hook) {
						t.Error(err)
					}
					if got := <-behind; got.err != nil {
						t.Error(got.err)
					}
					if got := <-quick; got.err != nil {
						t.Error(got.err)
					}
				}
				mustFetch(t, e, getting(t, pipeSite, "/warm"))
				var done []<-chan outcome
				for range 5 {
					done = append(done, sending(t.Context(), e, getting(t, pipeSite, "/")))
				}
				synctest.Wait()
				if s := e.Stats(); (s.Open > 1) != tc.barred {
					t.Errorf("%+v", s)
				}
				for _, ch := range done {
					if got := <-ch; got.err != nil {
						t.Error(got.err)
					}
				}
			})
		})
	}
}
