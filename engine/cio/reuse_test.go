package cio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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

func TestConnectionCloseOfTheRequest(t *testing.T) {
	p := newPeer(t, answering(ok))
	e := newEngine(t, cio.Config{})
	req := p.get()
	req.Header = header.New("connection", "x, Close")
	for range 2 {
		if resp, _ := mustFetch(t, e, req); resp.Reused {
			t.Error("reused")
		}
	}
	if s := e.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

// TestUnaskedBytes: what a server sends on an idle connection never becomes the
// answer to the next request, however soon that comes.
func TestUnaskedBytes(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(t *testing.T) {
			sent, certs := make(chan struct{}), certificates(t)
			const stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
			p := newPeer(t, func(c *peerConn) {
				if secure {
					s := tls.Server(c.Conn, &tls.Config{Certificates: certs})
					defer s.Close()
					c = &peerConn{Conn: s, Reader: c.Reader, n: c.n}
					c.Reader.Reset(s)
				}
				if c.n == 0 {
					c.head()
					c.send(ok)
					c.send(stray)
					sent <- struct{}{}
					c.rest()
					return
				}
				answering(ok)(c)
			})
			if secure {
				p.url.Scheme = "https"
			}
			e := newEngine(t, cio.Config{TLS: &tls.Config{InsecureSkipVerify: true}})
			mustFetch(t, e, p.get())
			within(t, "stray bytes", sent)
			resp, body := mustFetch(t, e, p.get())
			if resp.Reused || body != "ok" {
				t.Errorf("reused %v, body %q", resp.Reused, body)
			}
		})
	}
}

// certificates borrows the certificate of an httptest server.
func certificates(t *testing.T) []tls.Certificate {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.TLS.Certificates
}

// TestDeadAtReuse: the server reads the second request of a connection and
// closes it without an answer.
func TestDeadAtReuse(t *testing.T) {
	once := body{5, false, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }}
	for _, tc := range []struct {
		name    string
		req     engine.Request
		config  cio.Config
		resends bool
	}{
		{"GET", engine.Request{Method: "GET"}, cio.Config{}, true},
		{"HEAD", engine.Request{Method: "HEAD"}, cio.Config{}, true},
		{"PUT", engine.Request{Method: "PUT", Body: content.Text("hello")}, cio.Config{}, true},
		{"PUT, streamed", engine.Request{Method: "PUT", Body: streamed("hello", 5)}, cio.Config{}, true},
		{"PUT, chunked", engine.Request{Method: "PUT", Body: streamed("hello", -1)}, cio.Config{}, true},
		{"PUT, not replayable", engine.Request{Method: "PUT", Body: once}, cio.Config{}, false},
		{"PUT, in memory, not replayable", engine.Request{Method: "PUT", Body: onlyOnce{content.Bytes([]byte("hello"), "")}}, cio.Config{}, false},
		{"POST", engine.Request{Method: "POST", Body: content.Text("hello")}, cio.Config{}, false},
		{"POST without body", engine.Request{Method: "POST"}, cio.Config{}, false},
		{"PATCH", engine.Request{Method: "PATCH"}, cio.Config{}, false},
		{"POST with a key", engine.Request{Method: "POST", Body: content.Text("hello"), Header: header.New("idempotency-key", "x")}, cio.Config{}, true},
		{"NoStaleRetry of the request", engine.Request{Method: "GET", NoStaleRetry: true}, cio.Config{}, false},
		{"NoStaleRetry of the engine", engine.Request{Method: "GET"}, cio.Config{NoStaleRetry: true}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPeer(t, func(c *peerConn) {
				c.head()
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				c.head() // the second request: no answer
			})
			e := newEngine(t, tc.config)
			mustFetch(t, e, p.get())
			resent := 0
			tc.req.URL = p.url
			tc.req.Trace = &engine.Trace{Resent: func(cause error) {
				resent++
				if cause == nil {
					t.Error("Resent without a cause")
				}
			}}
			resp, err := e.Execute(t.Context(), &tc.req)
			if !tc.resends {
				oe, ok := errors.AsType[*engine.OpError](err)
				if !ok || !oe.Sent || resent != 0 {
					t.Fatalf("error %#v, resent %d times, want an OpError with Sent", err, resent)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if resp.Reused || resent != 1 {
				t.Errorf("reused %v, resent %d times", resp.Reused, resent)
			}
			resp.Body.Close()
		})
	}
}

// TestResendIsOnce: a fresh connection that ends too is an error, and so is a
// connection that ends after a byte of the answer.
func TestResendIsOnce(t *testing.T) {
	for _, tc := range []struct {
		name, second string
		connections  int32
	}{
		{"no answer at all", "", 2},
		{"part of an answer", "HTTP/1.1 2", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPeer(t, func(c *peerConn) {
				c.head()
				if c.n == 0 {
					c.send(ok)
					c.head()
					c.send(tc.second)
				}
			})
			e := newEngine(t, cio.Config{})
			mustFetch(t, e, p.get())
			_, err := e.Execute(t.Context(), p.get())
			oe, isOp := errors.AsType[*engine.OpError](err)
			if !isOp || oe.Op != engine.OpReceive || !errors.Is(err, io.ErrUnexpectedEOF) || !oe.Sent {
				t.Errorf("error = %#v", err)
			}
			if n := p.accepted.Load(); n != tc.connections {
				t.Errorf("%d connections, want %d", n, tc.connections)
			}
		})
	}
}

// TestClosedWhileIdle: a connection that the server closed is found before the
// request is written, so that even a POST goes through.
func TestClosedWhileIdle(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.take(2)
		c.send(ok)
	})
	e := newEngine(t, cio.Config{})
	for i := range 5 {
		resp, err := e.Execute(t.Context(), p.post(content.Text("hi")))
		if err != nil {
			t.Fatal(i, err)
		}
		if resp.Reused {
			t.Errorf("request %d ran on a closed connection", i)
		}
		resp.Body.Close()
		eventually(t, "the server closes", func() bool { return p.open.Load() == 0 })
	}
}

// TestCloseUnread: a body that is closed early keeps the connection only if the
// rest was here already.
func TestCloseUnread(t *testing.T) {
	const big = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
	for name, tc := range map[string]struct {
		wire string
		kept bool
	}{
		"small":         {ok, true},
		"small chunked": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"large":         {big + strings.Repeat("x", 100000), false},
		"never sent":    {big, false},
		"unknown":       {"HTTP/1.1 200 OK\r\n\r\nx", false},
		"endless":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, answering(tc.wire))
			e := newEngine(t, cio.Config{})
			var put []error
			req := p.get()
			req.Trace = &engine.Trace{PutIdle: func(err error) { put = append(put, err) }}
			resp, err := e.Execute(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if err := resp.Body.Close(); err != nil {
				t.Errorf("second Close: %v", err)
			}
			if s := e.Stats(); (s.Idle == 1) != tc.kept || s.Open != s.Idle {
				t.Errorf("%+v", s)
			}
			if len(put) != 1 || (put[0] == nil) != tc.kept {
				t.Errorf("PutIdle: %v", put)
			}
		})
	}
}

func TestIdleExpiry(t *testing.T) {
	for name, tc := range map[string]struct {
		config cio.Config
		hint   string
		alive  time.Duration // still open then
		gone   time.Duration
	}{
		"default":          {cio.Config{}, "", 59 * time.Second, 61 * time.Second},
		"KeepAlive":        {cio.Config{KeepAlive: 5 * time.Second}, "", 4 * time.Second, 6 * time.Second},
		"MaxAge":           {cio.Config{MaxAge: 3 * time.Second}, "", 2 * time.Second, 4 * time.Second},
		"the server's":     {cio.Config{}, "Keep-Alive: timeout=5, max=9\r\n", 3 * time.Second, 5 * time.Second},
		"the server's one": {cio.Config{}, "Keep-Alive: timeout=1\r\n", 400 * time.Millisecond, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newPipes(t, answering("HTTP/1.1 200 OK\r\n"+tc.hint+"Content-Length: 2\r\n\r\nok"))
				tc.config.Dial = d.dial
				e := newEngine(t, tc.config)
				mustFetch(t, e, d.get())
				time.Sleep(tc.alive)
				if s := e.Stats(); s.Idle != 1 {
					t.Fatalf("after %v: %+v", tc.alive, s)
				}
				time.Sleep(tc.gone - tc.alive)
				synctest.Wait()
				if s := e.Stats(); s.Open != 0 || len(s.Routes) != 0 {
					t.Errorf("after %v: %+v", tc.gone, s)
				}
			})
		})
	}
}

func TestNoKeepAlive(t *testing.T) {
	p := newPeer(t, answering(ok))
	e := newEngine(t, cio.Config{KeepAlive: -1})
	mustFetch(t, e, p.get())
	if s := e.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

func TestCloseIdleAndClose(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(c *peerConn) {
		for c.head() != "" {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			if c.n > 0 {
				<-release
			}
			c.send("k")
		}
	})
	e := newEngine(t, cio.Config{})
	mustFetch(t, e, p.get())
	e.CloseIdle()
	eventually(t, "the server sees the close", func() bool { return p.open.Load() == 0 })
	resp, err := e.Execute(t.Context(), p.get())
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
	e.Close()
	if _, err := e.Execute(t.Context(), p.get()); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	close(release)
	if b, err := io.ReadAll(resp.Body); string(b) != "ok" || err != nil {
		t.Errorf("a running exchange: %q, %v", b, err)
	}
	resp.Body.Close()
	eventually(t, "the last connection is closed", func() bool { return p.open.Load() == 0 })
}

// overTLS lets script answer by TLS 1.2, where an alert can be told by its type, and
// returns what a client needs for that.
func overTLS(script func(raw net.Conn, c *peerConn)) (func(*peerConn), *tls.Config) {
	s := httptest.NewTLSServer(nil)
	s.Close()
	return func(c *peerConn) {
		secure := tls.Server(c.Conn, &tls.Config{Certificates: s.TLS.Certificates})
		script(c.Conn, &peerConn{Conn: secure, Reader: bufio.NewReader(secure), n: c.n})
	}, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
}

// isFarewell reports whether the next record is an alert, which is the last there is.
func isFarewell(raw net.Conn) bool {
	b, _ := io.ReadAll(raw)
	return len(b) > 0 && b[0] == 21
}

// TestIdleTLSIsClosed: who closes an idle connection waits for no peer that doesn't
// read; one that does read gets a close_notify.
func TestIdleTLSIsClosed(t *testing.T) {
	closers := map[string]func(*testing.T, *cio.Engine, *pipes){
		"CloseIdle": func(_ *testing.T, e *cio.Engine, _ *pipes) { e.CloseIdle() },
		"Close":     func(_ *testing.T, e *cio.Engine, _ *pipes) { e.Close() },
		"another route": func(t *testing.T, e *cio.Engine, d *pipes) {
			for i := range 2 {
				req := d.get()
				req.URL = mustURL(t, fmt.Sprintf("http://other%d.test/", i))
				mustFetch(t, e, req)
			}
		},
		"expiry": func(*testing.T, *cio.Engine, *pipes) { time.Sleep(2 * time.Second) },
	}
	for name, closing := range closers {
		for _, reads := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/reads %v", name, reads), func(t *testing.T) {
				var said atomic.Int32
				secure, config := overTLS(func(raw net.Conn, c *peerConn) {
					c.head()
					c.send(ok)
					if reads && isFarewell(raw) {
						said.Add(1)
					}
				})
				synctest.Test(t, func(t *testing.T) {
					var gone atomic.Int32
					over := make(chan struct{})
					d := newPipes(t, func(c *peerConn) {
						if c.n >= 2 {
							answering(ok)(c)
							return
						}
						secure(c)
						<-over
					})
					dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
						c, err := d.dial(ctx, network, addr)
						return &toldClose{Conn: c, told: func() { gone.Add(1) }}, err
					}
					e := newEngine(t, cio.Config{Dial: dial, TLS: config, MaxConnections: 2, KeepAlive: time.Second})
					defer close(over)
					for i := range 2 {
						req := d.get()
						req.URL = mustURL(t, fmt.Sprintf("https://idle%d.test/", i))
						mustFetch(t, e, req)
						time.Sleep(time.Millisecond) // they are idle for longer than what comes next
					}
					begin := time.Now()
					closing(t, e, d)
					if took := time.Since(begin); took > 0 && name != "expiry" {
						t.Errorf("it took %v", took)
					}
					time.Sleep(100 * time.Millisecond)
					synctest.Wait()
					if n := gone.Load(); n != 2 {
						t.Errorf("%d connections are closed", n)
					}
					if reads && said.Load() != 2 {
						t.Errorf("%d servers were told", said.Load())
					}
				})
			})
		}
	}
}

// toldClose tells when it is closed first.
type toldClose struct {
	net.Conn
	once sync.Once
	told func()
}

func (c *toldClose) Close() error {
	c.once.Do(c.told)
	return c.Conn.Close()
}

// TestFarewellBySocket is the like of TestIdleTLSIsClosed for a real one.
func TestFarewellBySocket(t *testing.T) {
	said := make(chan bool, 1)
	secure, config := overTLS(func(raw net.Conn, c *peerConn) {
		c.head()
		c.send(ok)
		said <- isFarewell(raw)
	})
	p := newPeer(t, secure)
	p.url.Scheme = "https"
	e := newEngine(t, cio.Config{TLS: config})
	mustFetch(t, e, p.get())
	e.Close()
	if !within(t, "the end of the connection", said) {
		t.Error("no close_notify")
	}
}

// TestUpgradedTLSIsClosed: its slot is free before the peer takes the farewell, and
// that has all of crypto/tls's time, since it goes behind what was written.
func TestUpgradedTLSIsClosed(t *testing.T) {
	secure, config := overTLS(func(_ net.Conn, c *peerConn) {
		c.head()
		c.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
	})
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		d := newPipes(t, func(c *peerConn) {
			if c.n > 0 {
				answering(ok)(c)
				return
			}
			secure(c)
			<-over
		})
		e := newEngine(t, cio.Config{Dial: d.dial, TLS: config, MaxConnections: 1})
		defer close(over)
		req := d.get()
		req.URL, req.Protocol = mustURL(t, "https://upgraded.test/"), "echo"
		resp, err := e.Execute(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		begin, closed := time.Now(), make(chan time.Duration)
		go func() {
			resp.Upgraded.Close()
			closed <- time.Since(begin)
		}()
		mustFetch(t, e, d.get())
		if took := time.Since(begin); took > 0 {
			t.Errorf("another request took %v", took)
		}
		if took := <-closed; took != 5*time.Second {
			t.Errorf("Close took %v", took)
		}
	})
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// onlyOnce is a body in memory that is not to be sent again.
type onlyOnce struct{ content.Content }

func (onlyOnce) Replayable() bool { return false }

func (o onlyOnce) Bytes() ([]byte, bool) { return content.BytesOf(o.Content) }
