package cio_test

import (
	"bufio"
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

// TestUnfitConnection: a connection on which something came in, or that was
// closed, is found before anything is written to it, whichever way the request
// is written: no re-send is needed, and a body is opened once.
func TestUnfitConnection(t *testing.T) {
	const stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
	requests := map[string]func(p *peer) *engine.Request{
		"together with the write": (*peer).get,
		"before a trace": func(p *peer) *engine.Request {
			req := p.get()
			req.Trace = &engine.Trace{}
			return req
		},
		"with a header timeout": func(p *peer) *engine.Request {
			req := p.get()
			req.Timeouts.Header = time.Minute
			return req
		},
		"with a deadline": func(p *peer) *engine.Request {
			req := p.get()
			req.Deadline = time.Now().Add(time.Minute)
			return req
		},
		"a head beyond the buffer": func(p *peer) *engine.Request {
			req := p.get()
			req.Header = header.New("X-Long", strings.Repeat("x", 20<<10))
			return req
		},
		"a body that can be opened once": func(p *peer) *engine.Request { return p.post(streamed("body", 4)) },
		"a body after 100 Continue": func(p *peer) *engine.Request {
			req := p.post(streamed("body", 4))
			req.Header = header.New("Expect", "100-continue")
			req.Timeouts.Header = time.Minute
			return req
		},
	}
	for name, request := range requests {
		for _, closes := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", stray bytes", true: ", closed"}[closes], func(t *testing.T) {
				done := make(chan struct{})
				p := newPeer(t, func(c *peerConn) {
					head := c.head()
					if c.n > 0 && strings.Contains(head, "100-continue") {
						c.send("HTTP/1.1 100 Continue\r\n\r\n")
					}
					if strings.HasPrefix(head, "POST") {
						c.take(4)
					}
					c.send(ok)
					if c.n > 0 {
						return
					}
					if closes {
						c.Close()
					} else {
						c.send(stray)
					}
					done <- struct{}{}
					c.rest()
				})
				e := newEngine(t, cio.Config{NoStaleRetry: true, MaxConnectionsPerRoute: 1})
				mustFetch(t, e, p.get())
				within(t, "the end of the first connection", done)
				resp, body := mustFetch(t, e, request(p))
				if resp.Reused || body != "ok" {
					t.Errorf("reused %v, body %q", resp.Reused, body)
				}
			})
		}
	}
}

// TestRequestBeyondTheSocket: a request of which the socket takes only a part at
// once goes out whole. A TCP socket takes so little at once as soon as it takes
// anything; that of a unix socket is bounded.
func TestRequestBeyondTheSocket(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Skip("no unix sockets: ", err)
	}
	defer ln.Close()
	heads := make(chan string, 2)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		peer := &peerConn{Conn: c, Reader: bufio.NewReaderSize(c, 16)}
		for head := peer.head(); head != ""; head = peer.head() {
			heads <- head
			peer.send(ok)
		}
	}()
	e := newEngine(t, cio.Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", ln.Addr().String())
		if err == nil {
			err = c.(*net.UnixConn).SetWriteBuffer(1)
		}
		return c, err
	}})
	long := strings.Repeat("x", 8<<10)
	for _, reused := range []bool{false, true} {
		req := &engine.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "example.org", Path: "/"}}
		req.Header = header.New("X-Long", long)
		resp, body := mustFetch(t, e, req)
		if resp.Reused != reused || body != "ok" {
			t.Errorf("reused %v, body %q", resp.Reused, body)
		}
		if head := within(t, "a head", heads); !strings.Contains(head, "X-Long: "+long+"\r\n") {
			t.Errorf("the head lost something: %d bytes", len(head))
		}
	}
}
