package cio_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
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
