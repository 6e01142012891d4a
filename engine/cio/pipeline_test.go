package cio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

// ahead reads requests before earlier ones are answered; it yields their
// request lines without the version: "GET /1".
func ahead(c *peerConn) <-chan string {
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for h := c.head(); h != ""; h = c.head() {
			line, _, _ := strings.Cut(h, " HTTP/1.1\r\n")
			lines <- line
		}
	}()
	return lines
}

func answer(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func chunked(body string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for len(body) > 0 {
		n := min(len(body), 1000)
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// echo answers each request by its own line.
func echo(c *peerConn) {
	for line := range ahead(c) {
		c.send(answer(line))
	}
}

type outcome struct {
	resp *engine.Response
	body string
	err  error
}

// sending starts a GET of path and returns where its outcome comes.
func sending(ctx context.Context, e engine.Engine, req *engine.Request) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		resp, body, err := fetch(ctx, e, req)
		done <- outcome{resp, body, err}
	}()
	return done
}

func getting(t testing.TB, u *url.URL, path string) *engine.Request {
	return &engine.Request{Method: "GET", URL: mustURL(t, "http://"+u.Host+path)}
}

// pipelined makes an engine that has one connection, and shows it that the
// server at u can pipeline.
func pipelined(t testing.TB, u *url.URL, c cio.Config) *cio.Engine {
	t.Helper()
	c.Pipelining, c.MaxConnectionsPerRoute = true, max(c.MaxConnectionsPerRoute, 1)
	e := newEngine(t, c)
	mustFetch(t, e, getting(t, u, "/warm"))
	return e
}

var pipeSite = &url.URL{Scheme: "http", Host: "pipe.test"}

// TestPipeliningOrder: all requests are on the wire before the first answer,
// which comes late; bodies of all sizes and framings reach who asked for them.
func TestPipeliningOrder(t *testing.T) {
	sizes := []int{0, 2, 100, 5000, 40_000, 300_000}
	body := func(i int) string { return strings.Repeat(fmt.Sprintf("<%d>", i), sizes[i%len(sizes)]/4+1) }
	p := newPeer(t, func(c *peerConn) {
		lines := ahead(c)
		<-lines
		c.send(ok)
		var got []string
		for range 20 {
			got = append(got, <-lines)
		}
		for _, line := range got {
			var i int
			fmt.Sscanf(line, "GET /%d", &i)
			if i%2 == 0 {
				c.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + chunked(body(i)))
			} else {
				c.send(answer(body(i)))
			}
		}
		for range lines {
		}
	})
	e := pipelined(t, p.url, cio.Config{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			req := getting(t, p.url, fmt.Sprintf("/%d", i))
			hints := 0
			req.Trace = &engine.Trace{Informational: func(int, header.Header) error { hints++; return nil }}
			resp, got, err := fetch(t.Context(), e, req)
			if err != nil || got != body(i) || hints != 1-i%2 || !resp.Reused {
				t.Errorf("%d: %d bytes of %d, %d hints, error %v", i, len(got), len(body(i)), hints, err)
			}
		})
	}
	wg.Wait()
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if s := e.Stats(); s.Open != 1 || s.Idle != 1 {
		t.Errorf("%+v", s)
	}
}

// TestPipelineMaxSize: never more unanswered requests on a connection than
// PipelineMaxSize, then a further connection, then a place in line.
func TestPipelineMaxSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var unanswered [3]int
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			lines := ahead(c)
			c.send(answer(<-lines))
			pending := make(chan string, 100)
			go func() {
				defer close(pending)
				for line := range lines {
					mu.Lock()
					if unanswered[c.n]++; unanswered[c.n] > 3 {
						t.Errorf("connection %d has %d unanswered requests", c.n, unanswered[c.n])
					}
					mu.Unlock()
					pending <- line
				}
			}()
			for line := range pending {
				<-release
				mu.Lock()
				unanswered[c.n]--
				mu.Unlock()
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, PipelineMaxSize: 3, MaxConnectionsPerRoute: 3})
		var done []<-chan outcome
		for i := range 12 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i))))
			synctest.Wait()
		}
		// The first answer on a new connection came at once.
		if s := e.Stats(); s.Open != 3 || s.Idle != 0 {
			t.Errorf("%+v", s)
		}
		close(release)
		for i, ch := range done {
			if got := <-ch; got.err != nil || got.body != fmt.Sprintf("GET /%d", i) {
				t.Errorf("%d: %q, %v", i, got.body, got.err)
			}
		}
	})
}

// TestPipeliningWaitsForAPlace: with one full connection, requests wait, are
// counted, time out and can be cancelled.
func TestPipeliningWaitsForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			lines := ahead(c)
			c.send(answer(<-lines))
			for line := range lines {
				<-release
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, PipelineMaxSize: 2})
		a := sending(t.Context(), e, getting(t, pipeSite, "/a"))
		b := sending(t.Context(), e, getting(t, pipeSite, "/b"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cancelled := sending(ctx, e, getting(t, pipeSite, "/cancelled"))
		late := getting(t, pipeSite, "/late")
		late.Timeouts.Pool = time.Second
		timedOut := sending(t.Context(), e, late)
		c := sending(t.Context(), e, getting(t, pipeSite, "/c"))
		synctest.Wait()
		if s := e.Stats(); s.Waiting != 3 || s.Routes[0].Waiting != 3 || s.Open != 1 {
			t.Errorf("%+v", s)
		}
		cancel()
		wantOp(t, (<-cancelled).err, engine.OpPool, context.Canceled, false)
		wantKind(t, (<-timedOut).err, engine.KindPool)
		close(release)
		for i, ch := range []<-chan outcome{a, b, c} {
			if got := <-ch; got.err != nil || got.body != "GET /"+string(rune('a'+i)) {
				t.Errorf("%+v", got)
			}
		}
	})
}

// TestFirstRequestIsNotPipelined: before the first response nothing is known of
// the server, so that requests have connections for themselves.
func TestFirstRequestIsNotPipelined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				<-release
				c.send(answer(line))
			}
		})
		e := newEngine(t, cio.Config{Dial: d.dial, Pipelining: true})
		var done []<-chan outcome
		for i := range 3 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i))))
			synctest.Wait()
			if s := e.Stats(); s.Open != i+1 {
				t.Errorf("%+v", s)
			}
		}
		release <- struct{}{} // one answer is enough
		synctest.Wait()
		for i := range 2 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i+3))))
			synctest.Wait()
		}
		if s := e.Stats(); s.Open != 3 {
			t.Errorf("%+v", s)
		}
		close(release)
		for i, ch := range done {
			if got := <-ch; got.err != nil || got.body != fmt.Sprintf("GET /%d", i) {
				t.Errorf("%+v", got)
			}
		}
	})
}

// TestNotPipelined: these never share a connection, in either direction.
func TestNotPipelined(t *testing.T) {
	for name, change := range map[string]func(*engine.Request){
		"POST":              func(r *engine.Request) { r.Method, r.Body = "POST", content.Text("x") },
		"PUT":               func(r *engine.Request) { r.Method = "PUT" },
		"DELETE":            func(r *engine.Request) { r.Method = "DELETE" },
		"GET with a body":   func(r *engine.Request) { r.Body = content.Text("x") },
		"GET with a stream": func(r *engine.Request) { r.Body = streamed("", 0) },
		"Expect":            func(r *engine.Request) { r.Header = header.New("expect", "100-continue") },
		"Connection":        func(r *engine.Request) { r.Header = header.New("connection", "close") },
		"Upgrade":           func(r *engine.Request) { r.Header = header.New("upgrade", "x") },
		"Protocol":          func(r *engine.Request) { r.Protocol = "websocket" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				d := newPipes(t, func(c *peerConn) {
					for h := c.head(); h != ""; h = c.head() {
						if !strings.HasPrefix(h, "GET /warm") {
							<-release
						}
						if strings.Contains(h, "Content-Length: 1\r\n") {
							c.take(1)
						}
						if strings.Contains(h, "chunked\r\n") {
							c.take(len("0\r\n\r\n"))
						}
						c.send(ok)
					}
				})
				e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, MaxConnectionsPerRoute: 3})
				req := getting(t, pipeSite, "/")
				change(req)
				var done []<-chan outcome
				for range 3 {
					done = append(done, sending(t.Context(), e, req))
					synctest.Wait()
				}
				if s := e.Stats(); s.Open != 3 {
					t.Errorf("%+v", s)
				}
				close(release)
				for _, ch := range done {
					if got := <-ch; got.err != nil {
						t.Error(got.err)
					}
				}
			})
		})
	}
}

// TestPipelinesRunDry: a request that is not pipelined gets the connection even
// though there is always another GET.
func TestPipelinesRunDry(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		for h := c.head(); h != ""; h = c.head() {
			if strings.HasPrefix(h, "POST") {
				c.take(1)
			}
			c.send(ok)
		}
	})
	e := pipelined(t, p.url, cio.Config{})
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 5 {
		wg.Go(func() {
			for !stop.Load() {
				if _, _, err := fetch(t.Context(), e, p.get()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		mustFetch(t, e, p.post(content.Text("x")))
	}
	stop.Store(true)
	wg.Wait()
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestPipeliningHEAD: a HEAD's Content-Length announces no bytes.
func TestPipeliningHEAD(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		for line := range ahead(c) {
			if strings.HasPrefix(line, "HEAD") {
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
			} else {
				c.send(answer(line))
			}
		}
	})
	e := pipelined(t, p.url, cio.Config{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			req := getting(t, p.url, fmt.Sprintf("/%d", i))
			want := fmt.Sprintf("GET /%d", i)
			if i%2 == 0 {
				req.Method, want = "HEAD", ""
			}
			if _, got := mustFetch(t, e, req); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
	wg.Wait()
}

// TestPipeliningByProxy: a proxy that forwards requests is not pipelined.
func TestPipeliningByProxy(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		for h := c.head(); h != ""; h = c.head() {
			if !strings.HasPrefix(h, "GET http://origin.test/") || c.Buffered() > 0 {
				t.Errorf("%q, and %d bytes after it", h, c.Buffered())
			}
			c.send(ok)
		}
	})
	e := newEngine(t, cio.Config{Pipelining: true, Proxy: engine.FixedProxy(p.url), MaxConnectionsPerRoute: 2})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { mustFetch(t, e, &engine.Request{Method: "GET", URL: mustURL(t, "http://origin.test/")}) })
	}
	wg.Wait()
}

// TestPipeliningStress: 64 goroutines with random cancellations, deadlines and
// early closes on 3 connections that end now and then; what is answered is
// answered rightly.
func TestPipeliningStress(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		r := rand.New(rand.NewPCG(uint64(c.n), 1))
		for line := range ahead(c) {
			body := line + strings.Repeat("|"+line, r.IntN(300))
			switch n := r.IntN(400); {
			case n == 0:
				return
			case n == 1:
				a := answer(body)
				c.send(a[:r.IntN(len(a))])
				return
			case n == 2:
				c.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
				return
			case n < 200:
				c.send(chunked(body))
			default:
				c.send(answer(body))
			}
		}
	})
	e := pipelined(t, p.url, cio.Config{MaxConnectionsPerRoute: 3, Timeouts: engine.Timeouts{Idle: 20 * time.Second}})
	var wg sync.WaitGroup
	var good atomic.Int32
	for g := range 64 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for i := range 50 {
				ctx, cancel := context.WithCancel(t.Context())
				req := getting(t, p.url, fmt.Sprintf("/%d-%d", g, i))
				switch r.IntN(8) {
				case 0:
					time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel)
				case 1:
					req.Deadline = time.Now().Add(time.Duration(r.IntN(3000)) * time.Microsecond)
				case 2:
					if resp, err := e.Execute(ctx, req); err == nil {
						resp.Body.Read(make([]byte, r.IntN(2000)))
						resp.Body.Close()
					}
				}
				_, body, err := fetch(ctx, e, req)
				line := fmt.Sprintf("GET /%d-%d", g, i)
				for part := range strings.SplitSeq(body, "|") {
					if part != line && !(err != nil && strings.HasPrefix(line, part)) {
						t.Errorf("%s got %q", line, part)
						break
					}
				}
				if err == nil {
					good.Add(1)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if n := good.Load(); n < 1000 {
		t.Errorf("only %d of 3200 came through", n)
	}
}

// TestPipeliningDialFails: who waits for a connection that another one makes waits
// for no longer than if he made his own.
func TestPipeliningDialFails(t *testing.T) {
	const limit = 3 * time.Second
	mute := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go io.Copy(io.Discard, server)
		return client, nil
	}
	failing := func(ctx context.Context, _, _ string) (net.Conn, error) {
		time.Sleep(time.Second)
		return nil, errSource
	}
	for name, tc := range map[string]struct {
		dial   engine.DialFunc
		scheme string
		op     engine.Op
		after  time.Duration // of the first; the others fail with it, or after limit
	}{
		"hangs":     {hangingDial, "http", engine.OpConnect, limit},
		"TLS hangs": {mute, "https", engine.OpTLS, limit},
		"fails":     {failing, "http", engine.OpConnect, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, cio.Config{Dial: tc.dial, Pipelining: true, Protocols: cio.HTTP1, Timeouts: engine.Timeouts{Connect: limit}})
				begin := time.Now()
				var wg sync.WaitGroup
				for i := range 20 {
					wg.Go(func() {
						_, _, err := fetch(t.Context(), e, &engine.Request{Method: "GET", URL: mustURL(t, tc.scheme+"://pipe.test/")})
						want := min(tc.after, time.Duration(i)*time.Millisecond+limit)
						if tc.after == limit {
							want = time.Duration(i)*time.Millisecond + limit
							wantKind(t, err, engine.KindConnect)
						} else if !errors.Is(err, errSource) {
							t.Errorf("%d: %v", i, err)
						}
						if oe, isOp := errors.AsType[*engine.OpError](err); !isOp || i == 0 && oe.Op != tc.op || oe.Op == engine.OpPool || oe.Sent {
							t.Errorf("%d: %#v", i, err)
						}
						if took := time.Since(begin); took != want {
							t.Errorf("%d: after %v, want %v", i, took, want)
						}
					})
					time.Sleep(time.Millisecond)
				}
				wg.Wait()
			})
		})
	}
}

// TestPipeliningDialEnds: what ends one's attempt to connect for a reason of his own
// is not the others'.
func TestPipeliningDialEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		first, second func(*engine.Request)
		cancel        bool
		fails         error // the second
	}{
		"cancelled":        {cancel: true},
		"deadline":         {first: func(r *engine.Request) { r.Deadline = time.Now().Add(time.Second) }},
		"connect timeout":  {first: func(r *engine.Request) { r.Timeouts.Connect = time.Second }},
		"the other's own":  {second: func(r *engine.Request) { r.Timeouts.Connect = time.Second }, fails: context.DeadlineExceeded},
		"in the pool only": {second: func(r *engine.Request) { r.Timeouts.Pool = 3 * time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newPipes(t, echo)
				slow := func(ctx context.Context, network, addr string) (net.Conn, error) {
					select {
					case <-time.After(2 * time.Second):
						return d.dial(ctx, network, addr)
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}
				e := newEngine(t, cio.Config{Dial: slow, Pipelining: true, MaxConnectionsPerRoute: 1})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				a, b := getting(t, pipeSite, "/a"), getting(t, pipeSite, "/b")
				if tc.first != nil {
					tc.first(a)
				}
				if tc.second != nil {
					tc.second(b)
				}
				first := sending(ctx, e, a)
				synctest.Wait()
				second := sending(t.Context(), e, b)
				synctest.Wait()
				begin := time.Now()
				if tc.cancel {
					cancel()
				}
				got := <-second
				if !errors.Is(got.err, tc.fails) || tc.fails == nil && got.body != "GET /b" {
					t.Errorf("the second: %+v", got)
				}
				if tc.fails != nil {
					wantKind(t, got.err, engine.KindConnect)
					if took := time.Since(begin); took != time.Second {
						t.Errorf("after %v", took)
					}
				}
				if got := <-first; (got.err != nil) != (tc.cancel || tc.first != nil) {
					t.Errorf("the first: %+v", got)
				}
			})
		})
	}
}

// TestPipeliningDialWaited: who waits for a connection that another one makes could
// not connect, by the route's proxy if it has one; no bound keeps it waiting.
func TestPipeliningDialWaited(t *testing.T) {
	for name, tc := range map[string]struct {
		limit func(*engine.Request)
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		is    error
		kind  engine.TimeoutKind
	}{
		"request timeout": {limit: func(r *engine.Request) { r.Deadline = time.Now().Add(time.Second) }, kind: engine.KindRequest},
		"connect timeout": {limit: func(r *engine.Request) {
			r.Timeouts.Pool, r.Timeouts.Connect = time.Second/2, time.Second
		}, kind: engine.KindConnect},
		"deadline": {ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, errSource)
		}, is: errSource},
		"cancelled": {ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, is: context.Canceled},
	} {
		for _, proxy := range []string{"", "socks5h://user:secret@proxy.test:1080"} {
			t.Run(name+", "+proxy, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					choose := engine.NoProxy
					if proxy != "" {
						u := mustURL(t, proxy)
						choose = func(*url.URL) (*url.URL, error) { return u, nil }
					}
					e := newEngine(t, cio.Config{Dial: hangingDial, Pipelining: true, Proxy: choose})
					ctx, cancel := context.WithCancel(t.Context())
					first := sending(ctx, e, getting(t, pipeSite, "/"))
					synctest.Wait()
					req, own := getting(t, pipeSite, "/"), t.Context()
					if tc.limit != nil {
						tc.limit(req)
					}
					if tc.ctx != nil {
						var done context.CancelFunc
						own, done = tc.ctx(own)
						defer done()
					}
					begin := time.Now()
					err := (<-sending(own, e, req)).err
					if took := time.Since(begin); took != time.Second {
						t.Errorf("after %v", took)
					}
					if tc.is != nil {
						wantOp(t, err, engine.OpConnect, tc.is, false)
					} else {
						wantOp(t, err, engine.OpConnect, context.DeadlineExceeded, false)
						wantKind(t, err, tc.kind)
					}
					blamed, got := errors.AsType[*engine.ProxyError](err)
					if want := proxy != "" && name != "cancelled"; got != want || got && blamed.Proxy != "socks5h://proxy.test:1080" {
						t.Errorf("%v: blames a proxy: %v, want %v", err, got, want)
					}
					cancel()
					<-first
				})
			})
		}
	}
}

// TestPipeliningBehindALongBodyAndADial: who waits for a connection that cannot be made
// gets on the one that there is, when its long body is over.
func TestPipeliningBehindALongBodyAndADial(t *testing.T) {
	big := strings.Repeat("x", 70_000)
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				if line == "GET /big" {
					line = big
				}
				c.send(answer(line))
			}
		})
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			if d.n > 0 {
				return hangingDial(ctx, network, addr)
			}
			return d.dial(ctx, network, addr)
		}
		e := pipelined(t, pipeSite, cio.Config{Dial: dial, MaxConnectionsPerRoute: 2})
		resp, err := e.Execute(t.Context(), getting(t, pipeSite, "/big"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		dials := sending(ctx, e, getting(t, pipeSite, "/dials"))
		synctest.Wait()
		done := sending(t.Context(), e, getting(t, pipeSite, "/behind"))
		synctest.Wait()
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		wantBehind(t, done)
		if took := time.Since(begin); took > 0 {
			t.Errorf("it waited %v for the dial", took)
		}
		cancel()
		<-dials
	})
}

// TestPipeliningPoolIsNotConnecting: the wait for a slot in the pool does not count
// as connecting.
func TestPipeliningPoolIsNotConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) {
			for line := range ahead(c) {
				if line == "GET /slow" {
					time.Sleep(time.Minute)
				}
				c.send(answer(line))
			}
		})
		slow := func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(2 * time.Second)
			return d.dial(ctx, network, addr)
		}
		e := newEngine(t, cio.Config{Dial: slow, Pipelining: true, MaxConnections: 1, Timeouts: engine.Timeouts{Connect: 3 * time.Second}})
		a := sending(t.Context(), e, getting(t, &url.URL{Host: "other.test"}, "/slow"))
		time.Sleep(10 * time.Second)
		var done []<-chan outcome
		for range 3 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, "/b")))
			synctest.Wait()
		}
		for _, ch := range append(done, a) {
			if got := <-ch; got.err != nil {
				t.Error(got.err)
			}
		}
	})
}

// TestPipeliningQueue: who came first gets the first place.
func TestPipeliningQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var order []string
		d := newPipes(t, func(c *peerConn) {
			lines := ahead(c)
			c.send(answer(<-lines))
			for line := range lines {
				<-release
				order = append(order, line)
				c.send(answer(line))
			}
		})
		e := pipelined(t, pipeSite, cio.Config{Dial: d.dial, PipelineMaxSize: 2})
		var done []<-chan outcome
		var want []string
		for i := range 6 {
			done = append(done, sending(t.Context(), e, getting(t, pipeSite, fmt.Sprintf("/%d", i))))
			want = append(want, fmt.Sprintf("GET /%d", i))
			synctest.Wait()
		}
		close(release)
		for _, ch := range done {
			if got := <-ch; got.err != nil {
				t.Error(got.err)
			}
		}
		if !slices.Equal(order, want) {
			t.Errorf("order %v", order)
		}
	})
}

// TestPipeliningMakesRoom: who waits for a slot closes an idle HTTP/2 connection.
func TestPipeliningMakesRoom(t *testing.T) {
	s, _, config := counted(t, true, echoProto)
	p := newPeer(t, echo)
	e := newEngine(t, cio.Config{TLS: config, Pipelining: true, MaxConnections: 1})
	for range 3 {
		if _, got, err := send(t, e, s.URL); err != nil || got != "HTTP/2.0" {
			t.Fatal(got, err)
		}
		req := p.get()
		req.Timeouts.Pool = 10 * time.Second
		mustFetch(t, e, req)
	}
}
