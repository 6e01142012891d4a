package cio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

// shared runs a test on one connection whose server answers each request, /first
// by wire, and only after release is closed.
func shared(t *testing.T, wire string, run func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome)) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				if line == "GET /first" {
					<-release
					c.send(wire)
				} else {
					c.send(answer(line))
				}
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
		run(t, e, release, func() <-chan outcome {
			synctest.Wait()
			done := sending(t.Context(), e, getting(t, pipeSite, "/behind"))
			synctest.Wait()
			return done
		})
	})
}

func wantBehind(t testing.TB, done <-chan outcome) {
	t.Helper()
	if got := <-done; got.err != nil || got.body != "GET /behind" {
		t.Errorf("the one behind: %+v", got)
	}
}

// TestPipeliningCloseWhileReading: Close ends a Read that waits, and only that.
func TestPipeliningCloseWhileReading(t *testing.T) {
	shared(t, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
		close(release)
		resp, err := e.Execute(t.Context(), getting(t, pipeSite, "/first"))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := resp.Body.Read(make([]byte, 99))
			done <- err
		}()
		synctest.Wait()
		resp.Body.Close()
		if err := <-done; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Read returned %v", err)
		}
		wantBehind(t, behind())
	})
}

// stuckWriter blocks in Write until it is let go.
type stuckWriter chan struct{}

func (w stuckWriter) Write(p []byte) (int, error) {
	<-w
	return len(p), nil
}

// TestPipeliningStuckReceiver: the caller is in WriteTo, and its writer does not
// come back; the end of its context, its deadline or a Close lets others go on.
func TestPipeliningStuckReceiver(t *testing.T) {
	for name, end := range map[string]func(context.CancelFunc, io.Closer){
		"cancel":   func(cancel context.CancelFunc, _ io.Closer) { cancel() },
		"deadline": func(context.CancelFunc, io.Closer) { time.Sleep(time.Minute) },
		"close":    func(_ context.CancelFunc, c io.Closer) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			shared(t, answer(strings.Repeat("x", 60_000)), func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
				close(release)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req := getting(t, pipeSite, "/first")
				req.Deadline = time.Now().Add(time.Minute)
				resp, err := e.Execute(ctx, req)
				if err != nil {
					t.Fatal(err)
				}
				w, copied := make(stuckWriter), make(chan error)
				go func() {
					_, err := resp.Body.(io.WriterTo).WriteTo(w)
					copied <- err
				}()
				done := behind()
				end(cancel, resp.Body)
				wantBehind(t, done)
				close(w)
				if <-copied == nil {
					t.Error("WriteTo returned no error")
				}
				resp.Body.Close()
			})
		})
	}
}

// TestPipeliningForgottenBody: a deadline ends a response that nobody reads or
// closes; a late Read says so.
func TestPipeliningForgottenBody(t *testing.T) {
	shared(t, answer(strings.Repeat("x", 60_000)), func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
		close(release)
		req := getting(t, pipeSite, "/first")
		req.Deadline = time.Now().Add(time.Minute)
		resp, err := e.Execute(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		wantBehind(t, behind()) // after a minute
		n, err := io.Copy(io.Discard, struct{ io.Reader }{resp.Body})
		wantKind(t, err, engine.KindRequest)
		if n >= 60_000 {
			t.Errorf("%d bytes came", n)
		}
		resp.Body.Close()
	})
}

// TestPipeliningHookEnds: an exchange that its own hook ends leaves a connection
// that cannot be trusted; the one behind goes elsewhere.
func TestPipeliningHookEnds(t *testing.T) {
	shared(t, "HTTP/1.1 103 Early Hints\r\n\r\n"+ok, func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
		req := getting(t, pipeSite, "/first")
		req.Trace = &engine.Trace{Informational: func(int, header.Header) error { return errSource }}
		first := sending(t.Context(), e, req)
		done := behind()
		close(release)
		if err := (<-first).err; !errors.Is(err, errSource) {
			t.Errorf("error = %v", err)
		}
		wantBehind(t, done)
	})
}

// TestPipeliningTrace: each hook once, and in order, also for one that waits in
// line.
func TestPipeliningTrace(t *testing.T) {
	shared(t, ok, func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
		first := sending(t.Context(), e, getting(t, pipeSite, "/first"))
		synctest.Wait()
		var events []string
		note := func(s string) { events = append(events, s) }
		req := getting(t, pipeSite, "/second")
		req.Trace = &engine.Trace{
			PoolWait:     func(route string) { note("wait " + route) },
			GotConn:      func(c engine.GotConn) { note(fmt.Sprint("got, reused ", c.Reused)) },
			WroteHeader:  func() { note("head") },
			WroteRequest: func(err error) { note(fmt.Sprint("request ", err)) },
			FirstByte:    func() { note("first byte") },
			PutIdle:      func(err error) { note(fmt.Sprint("put ", err)) },
			Resent:       func(err error) { note("resent") },
		}
		done := sending(t.Context(), e, req)
		synctest.Wait()
		if got, want := strings.Join(events, ", "), "wait http://pipe.test:80, got, reused true, head, request <nil>"; got != want {
			t.Errorf("in line: %s, want %s", got, want)
		}
		close(release)
		<-first
		<-done
		if got := strings.Join(events[4:], ", "); got != "first byte, put <nil>" {
			t.Errorf("then: %s", got)
		}
	})
}

// TestPipeliningBlockedWrite: the server stops to read. Who writes can be
// cancelled; the one whose response is under way gets it all the same.
func TestPipeliningBlockedWrite(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.send(ok)
		if c.n > 0 {
			echo(c)
			return
		}
		c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		c.head()
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no")
		<-release
		c.send("ne")
		c.rest()
	})
	e := pipelined(t, p.url, cio.Config{})
	first, err := e.Execute(t.Context(), getting(t, p.url, "/first"))
	if err != nil {
		t.Fatal(err)
	}
	// Larger than all buffers of the kernel together, so that its write blocks.
	ctx, cancel := context.WithCancel(t.Context())
	large := getting(t, p.url, "/large")
	large.Header = header.New("X", strings.Repeat("x", 16<<20))
	blocked := sending(ctx, e, large)
	cancel()
	if err := within(t, "the blocked one", blocked).err; !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	close(release)
	if b, err := io.ReadAll(first.Body); string(b) != "one" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	first.Body.Close()
}

// TestPipeliningLargeHeads: more bytes of requests than a caller may write while
// nobody reads are written by a goroutine.
func TestPipeliningLargeHeads(t *testing.T) {
	p := newPeer(t, echo)
	e := pipelined(t, p.url, cio.Config{})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			req := getting(t, p.url, fmt.Sprintf("/%d", i))
			req.Header = header.New("Cookie", strings.Repeat("c", 20<<10))
			if _, body, err := fetch(t.Context(), e, req); err != nil || body != fmt.Sprintf("GET /%d", i) {
				t.Errorf("%d: %q, %v", i, body, err)
			}
		})
	}
	wg.Wait()
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestPipeliningTLS: a read that is handed over in the middle of a record loses
// nothing.
func TestPipeliningTLS(t *testing.T) {
	certs := certificates(t)
	got, release := make(chan struct{}), make(chan struct{})
	p := newPeer(t, func(c *peerConn) {
		s := tls.Server(c.Conn, &tls.Config{Certificates: certs})
		defer s.Close()
		c = &peerConn{Conn: s, Reader: c.Reader, n: c.n}
		c.Reader.Reset(s)
		for line := range ahead(c) {
			if line == "GET /first" {
				got <- struct{}{}
				<-release
			}
			c.send(answer(line))
		}
	})
	p.url.Scheme = "https"
	e := newEngine(t, cio.Config{Pipelining: true, MaxConnectionsPerRoute: 1, TLS: &tls.Config{InsecureSkipVerify: true}})
	to := func(path string) *engine.Request {
		return &engine.Request{Method: "GET", URL: mustURL(t, "https://"+p.url.Host+path)}
	}
	mustFetch(t, e, to("/warm"))
	ctx, cancel := context.WithCancel(t.Context())
	first := sending(ctx, e, to("/first"))
	within(t, "the first request", got)
	sent := make(chan struct{})
	req := to("/second")
	req.Trace = &engine.Trace{WroteRequest: func(error) { close(sent) }}
	second := sending(t.Context(), e, req)
	within(t, "the second request", sent)
	cancel()
	if err := within(t, "the first", first).err; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	if o := within(t, "the second", second); o.err != nil || o.body != "GET /second" {
		t.Errorf("%+v", o)
	}
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestPipeliningMaxAge: a connection that is always in use grows old all the
// same.
func TestPipeliningMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				time.Sleep(time.Second)
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, MaxAge: time.Minute})
		var wg sync.WaitGroup
		for range 2 { // they overlap, so that the connection is never idle
			wg.Go(func() {
				for range 60 {
					if _, _, err := fetch(t.Context(), e, getting(t, pipeSite, "/")); err != nil {
						t.Error(err)
					}
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.n < 2 || d.n > 4 {
			t.Errorf("%d connections in two minutes", d.n)
		}
	})
}

// TestPipeliningDutyGoesOn: who was to write the gathered requests is cancelled
// before it does; another one writes them.
func TestPipeliningDutyGoesOn(t *testing.T) {
	shared(t, ok, func(t *testing.T, e *cio.Engine, release chan struct{}, behind func() <-chan outcome) {
		first := sending(t.Context(), e, getting(t, pipeSite, "/first"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var last <-chan outcome
		req := getting(t, pipeSite, "/cancelled")
		req.Trace = &engine.Trace{GotConn: func(engine.GotConn) {
			last = behind()
			cancel()
			synctest.Wait()
		}}
		if _, _, err := fetch(ctx, e, req); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		close(release)
		if got := <-first; got.err != nil {
			t.Error(got.err)
		}
		begin := time.Now()
		wantBehind(t, last)
		if took := time.Since(begin); took > 0 {
			t.Errorf("it was written after %v", took)
		}
	})
}

// TestPipeliningBlockedAlone: a lone caller whose write blocks can be cancelled,
// and its deadline holds.
func TestPipeliningBlockedAlone(t *testing.T) {
	for _, how := range []string{"cancel", "deadline", "idle"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stop := make(chan struct{})
				defer close(stop)
				d := newPipes(t, func(c *peerConn) {
					c.head()
					c.send(ok)
					<-stop
				})
				e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req := getting(t, pipeSite, "/")
				switch how {
				case "deadline":
					req.Deadline = time.Now().Add(time.Second)
				case "idle":
					req.Timeouts.Idle = time.Second
				}
				done := sending(ctx, e, req)
				synctest.Wait()
				begin := time.Now()
				switch how {
				case "cancel":
					cancel()
					wantOp(t, (<-done).err, engine.OpReceive, context.Canceled, true)
				case "deadline":
					wantKind(t, (<-done).err, engine.KindRequest)
				case "idle":
					wantKind(t, (<-done).err, engine.KindIdle)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("after %v", took)
				}
				if s := e.Stats(); s.Open != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestPipeliningServerAnswersBeforeItReadsOn: writing and reading at once is not
// left to one caller, where nothing between the two sides takes bytes in.
func TestPipeliningServerAnswersBeforeItReadsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			for h := c.head(); h != ""; h = c.head() {
				line, _, _ := strings.Cut(h, " HTTP/1.1\r\n")
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				req := getting(t, pipeSite, fmt.Sprintf("/%d", i))
				req.Header = header.New("Cookie", strings.Repeat("c", 3000))
				for range 20 {
					if _, body, err := fetch(t.Context(), e, req); err != nil || body != fmt.Sprintf("GET /%d", i) {
						t.Errorf("%d: %q, %v", i, body, err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestPipeliningCloseKeeps: a body that is closed early, with nobody behind,
// keeps the connection if all of it is here.
func TestPipeliningCloseKeeps(t *testing.T) {
	for name, wire := range map[string]string{
		"length": answer(strings.Repeat("x", 20_000)),
		"chunks": chunked(strings.Repeat("x", 20_000)),
	} {
		t.Run(name, func(t *testing.T) {
			shared(t, wire, func(t *testing.T, e *cio.Engine, release chan struct{}, _ func() <-chan outcome) {
				close(release)
				resp, err := e.Execute(t.Context(), getting(t, pipeSite, "/first"))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if s := e.Stats(); s.Idle != 1 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestPipeliningPanics: a hook panics, and the caller recovers: those behind, and
// those who come later, go on.
func TestPipeliningPanics(t *testing.T) {
	boom := func() { panic("hook") }
	for name, trace := range map[string]*engine.Trace{
		"PoolWait":      {PoolWait: func(string) { boom() }},
		"ConnectStart":  {ConnectStart: func(string, string) { boom() }},
		"resent":        {ConnectStart: func(string, string) { boom() }},
		"GotConn":       {GotConn: func(engine.GotConn) { boom() }},
		"WroteRequest":  {WroteRequest: func(error) { boom() }},
		"FirstByte":     {FirstByte: boom},
		"Informational": {Informational: func(int, header.Header) error { boom(); return nil }},
		"PutIdle":       {PutIdle: func(error) { boom() }},
	} {
		for _, others := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", others ", others), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					release := make(chan struct{})
					d := newPipes(t, func(c *peerConn) {
						lines := ahead(c)
						c.send(answer(<-lines))
						<-release
						for line := range lines {
							if line == "GET /resent" && c.n == 0 {
								return
							}
							c.send("HTTP/1.1 103 Early Hints\r\n\r\n" + answer(line))
						}
					})
					e := newEngine(t, cio.Config{Dial: d.dial, Pipelining: true, MaxConnectionsPerRoute: 1, MaxConcurrent: 3})
					if name != "ConnectStart" {
						mustFetch(t, e, getting(t, pipeSite, "/warm"))
					} else {
						close(release)
					}
					var first, last <-chan outcome
					if others && name != "ConnectStart" {
						first = sending(t.Context(), e, getting(t, pipeSite, "/before"))
						synctest.Wait()
					}
					ended := make(chan any)
					go func() {
						defer func() { ended <- recover() }()
						req := getting(t, pipeSite, "/"+name)
						req.Trace = trace
						fetch(t.Context(), e, req)
					}()
					if others {
						synctest.Wait()
						last = sending(t.Context(), e, getting(t, pipeSite, "/behind"))
						synctest.Wait()
					}
					if name != "ConnectStart" {
						close(release)
					}
					if v := <-ended; v != "hook" {
						t.Errorf("recovered %v", v)
					}
					if first != nil {
						if got := <-first; got.err != nil || got.body != "GET /before" {
							t.Errorf("%+v", got)
						}
					}
					if last != nil {
						wantBehind(t, last)
					}
					for range 4 {
						req := getting(t, pipeSite, "/later")
						req.Deadline = time.Now().Add(time.Minute)
						if _, body, err := fetch(t.Context(), e, req); err != nil || body != "GET /later" {
							t.Fatalf("%q, %v", body, err)
						}
					}
				})
			})
		}
	}
}

// TestPipeliningDutyIsNotAReaders: the one who was to write is cancelled, and nobody
// else waits in line; who comes next does not wait for the response under way.
func TestPipeliningDutyIsNotAReaders(t *testing.T) {
	shared(t, ok, func(t *testing.T, e *cio.Engine, release chan struct{}, _ func() <-chan outcome) {
		first := sending(t.Context(), e, getting(t, pipeSite, "/first"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		req := getting(t, pipeSite, "/cancelled")
		req.Trace = &engine.Trace{GotConn: func(engine.GotConn) {
			cancel()
			synctest.Wait()
		}}
		if _, _, err := fetch(ctx, e, req); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		wrote := false
		req = getting(t, pipeSite, "/behind")
		req.Trace = &engine.Trace{WroteRequest: func(error) { wrote = true }}
		done := sending(t.Context(), e, req)
		synctest.Wait()
		if !wrote {
			t.Error("the request waits for the response under way")
		}
		close(release)
		if got := <-first; got.err != nil {
			t.Error(got.err)
		}
		wantBehind(t, done)
	})
}

// TestPipeliningLateWrite: a request is written only when its turn to read has come:
// its header timeout begins then, and the hooks are told.
func TestPipeliningLateWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			c.head()
			c.send(ok)
			c.head()
			time.Sleep(time.Second)
			c.send(ok)
			time.Sleep(time.Second)
			c.rest()
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
		first := sending(t.Context(), e, getting(t, pipeSite, "/first"))
		synctest.Wait()
		begin := time.Now()
		req := getting(t, pipeSite, "/")
		req.Timeouts.Header = 3 * time.Second
		var wrote time.Duration
		req.Trace = &engine.Trace{WroteRequest: func(error) { wrote = time.Since(begin) }}
		_, _, err := fetch(t.Context(), e, req)
		wantKind(t, err, engine.KindHeader)
		if took := time.Since(begin); took != 5*time.Second || wrote != 2*time.Second {
			t.Errorf("after %v, written after %v", took, wrote)
		}
		if got := <-first; got.err != nil {
			t.Error(got.err)
		}
	})
}

// TestPipeliningRequestIsTheCallers: what becomes of a request after its exchange has
// failed does not matter to those behind it.
func TestPipeliningRequestIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				if line == "GET /first" {
					<-release
				}
				if line == "HEAD /" {
					c.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
				} else {
					c.send(answer(line))
				}
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
		first := sending(t.Context(), e, getting(t, pipeSite, "/first"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		req := getting(t, pipeSite, "/")
		req.Method = "HEAD"
		cancelled := sending(ctx, e, req)
		synctest.Wait()
		done := sending(t.Context(), e, getting(t, pipeSite, "/behind"))
		synctest.Wait()
		cancel()
		<-cancelled
		req.Method = "GET"
		close(release)
		<-first
		begin := time.Now()
		wantBehind(t, done)
		if took := time.Since(begin); took > 0 {
			t.Errorf("after %v", took)
		}
	})
}

// failingWrites is a connection on which a write begins to fail.
type failingWrites struct {
	net.Conn
	fail chan error // what a write of more than 99 bytes returns
}

func (c failingWrites) Write(p []byte) (int, error) {
	if len(p) > 99 {
		return 0, <-c.fail
	}
	return c.Conn.Write(p)
}

// TestPipeliningWriteFailsWhileAnswered: a response that came before its request was
// written whole ends with an error if writing fails in the middle of it.
func TestPipeliningWriteFailsWhileAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, fail := make(chan struct{}), make(chan error)
		d := newPipes(t, func(c *peerConn) {
			c.head()
			c.send(ok)
			c.head()
			<-begun
			c.send(ok + "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")
			c.rest()
		})
		dialing := func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.dial(ctx, network, addr)
			return failingWrites{c, fail}, err
		}
		e := pipelined(t, pipeSite, cio.Config{Dial: dialing})
		first := sending(t.Context(), e, getting(t, pipeSite, "/first"))
		synctest.Wait()
		req := getting(t, pipeSite, "/"+strings.Repeat("x", 99))
		req.Trace = &engine.Trace{Informational: func(int, header.Header) error {
			fail <- errSource
			synctest.Wait()
			return nil
		}}
		done := sending(t.Context(), e, req)
		synctest.Wait()
		close(begun)
		if got := <-first; got.err != nil {
			t.Error(got.err)
		}
		if got := <-done; !errors.Is(got.err, errSource) {
			t.Errorf("error = %v", got.err)
		}
	})
}

// TestPipeliningWriterLeaves: who has just got the turn to read is still writing for
// others, blocked, and is cancelled; the next one reads.
func TestPipeliningWriterLeaves(t *testing.T) {
	dir, err := os.MkdirTemp("", "godwit")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ln, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	queued, begun, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				c := &peerConn{Conn: conn, Reader: bufio.NewReaderSize(conn, 16), n: n}
				if n > 0 {
					echo(c)
					return
				}
				c.head()
				c.send(ok)
				c.head() // of /first
				c.head() // of /writer
				close(begun)
				select {
				case <-queued:
				case <-t.Context().Done():
				}
				c.head() // of /next
				c.take(20)
				c.send(answer("GET /first"))
				select {
				case <-left:
				case <-t.Context().Done():
				}
				c.send(answer("GET /writer") + answer("GET /next"))
				c.rest()
			})
		}
	})
	small := func(context.Context, string, string) (net.Conn, error) {
		c, err := net.Dial("unix", ln.Addr().String())
		if err == nil {
			c.(*net.UnixConn).SetWriteBuffer(4 << 10)
		}
		return c, err
	}
	e := pipelined(t, pipeSite, cio.Config{Dial: small, Timeouts: engine.Timeouts{Idle: 8 * time.Second}})
	large := func(path string, got func()) *engine.Request {
		req := getting(t, pipeSite, path)
		req.Header = header.New("X", strings.Repeat("x", 14<<10))
		req.Trace = &engine.Trace{GotConn: func(engine.GotConn) { got() }}
		return req
	}
	wrote := make(chan struct{})
	req := getting(t, pipeSite, "/first")
	req.Trace = &engine.Trace{WroteRequest: func(error) { close(wrote) }}
	first := sending(t.Context(), e, req)
	within(t, "the first is written", wrote)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var next <-chan outcome
	req = getting(t, pipeSite, "/writer")
	req.Trace = &engine.Trace{GotConn: func(engine.GotConn) {
		seated := make(chan struct{})
		next = sending(t.Context(), e, large("/next", func() { close(seated) }))
		<-seated
	}}
	writer := sending(ctx, e, req)
	within(t, "the writer begins", begun)
	var once sync.Once
	last := sending(t.Context(), e, large("/last", func() { once.Do(func() { close(queued) }) }))
	if got := within(t, "the first", first); got.err != nil {
		t.Error(got.err)
	}
	cancel()
	if got := within(t, "the writer", writer); !errors.Is(got.err, context.Canceled) {
		t.Error(got.err)
	}
	close(left)
	for path, done := range map[string]<-chan outcome{"/next": next, "/last": last} {
		if got := within(t, path, done); got.err != nil || got.body != "GET "+path {
			t.Errorf("%s: %q, %v", path, got.body, got.err)
		}
	}
}

// TestPipeliningDutyOfAllLost: the one who was to write for all is cancelled, and the
// only one left has the turn to read already, its request unwritten.
func TestPipeliningDutyOfAllLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			c.head()
			c.send(ok)
			<-release
			echo(c)
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial})
		first := sending(t.Context(), e, getting(t, pipeSite, "/first")) // its write blocks
		synctest.Wait()
		done := sending(t.Context(), e, getting(t, pipeSite, "/behind"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		req := getting(t, pipeSite, "/last")
		req.Trace = &engine.Trace{GotConn: func(engine.GotConn) {
			close(release)
			<-first
			cancel()
			synctest.Wait()
		}}
		if _, _, err := fetch(ctx, e, req); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		wantBehind(t, done)
	})
}
