package cio_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// peer is a server that does as the test says, byte by byte.
type peer struct {
	t        *testing.T
	ln       net.Listener
	url      *url.URL
	accepted atomic.Int32
	open     atomic.Int32

	mu    sync.Mutex // guards conns
	conns []net.Conn
	wg    sync.WaitGroup
}

// peerConn is one connection of a peer.
type peerConn struct {
	net.Conn
	*bufio.Reader
	n int // 0 for the first connection
}

// newPeer starts a server; script runs for each connection, which is closed when
// it returns.
func newPeer(t *testing.T, script func(c *peerConn)) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, ln: ln, url: &url.URL{Scheme: "http", Host: ln.Addr().String(), Path: "/"}}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(p.accepted.Add(1)) - 1
			p.open.Add(1)
			p.mu.Lock()
			p.conns = append(p.conns, c)
			p.mu.Unlock()
			p.wg.Go(func() {
				defer p.open.Add(-1)
				defer c.Close()
				script(&peerConn{Conn: c, Reader: bufio.NewReader(c), n: n})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (c *peerConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// head reads a request's head; "" at the end of the connection.
func (c *peerConn) head() string {
	var b strings.Builder
	for {
		line, err := c.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return ""
		}
		if line == "\r\n" {
			return b.String()
		}
	}
}

func (c *peerConn) send(s string) { io.WriteString(c.Conn, s) }

// drip sends s byte by byte, each in a segment of its own as far as the kernel
// lets it.
func (c *peerConn) drip(s string) {
	for i := range len(s) {
		c.send(s[i : i+1])
	}
}

// take reads n bytes of a body.
func (c *peerConn) take(n int) string {
	b := make([]byte, n)
	n, _ = io.ReadFull(c, b)
	return string(b[:n])
}

// rest waits for the client to close the connection, and returns what it sent.
func (c *peerConn) rest() string {
	b, _ := io.ReadAll(c)
	return string(b)
}

// answering returns a script that answers every request by response.
func answering(response string) func(*peerConn) {
	return func(c *peerConn) {
		for c.head() != "" {
			c.send(response)
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// newEngine makes an engine that is closed at the end of the test, which fails
// if the engine has more open connections than idle ones then.
func newEngine(t testing.TB, c cio.Config) *cio.Engine {
	t.Helper()
	if c.Proxy == nil {
		c.Proxy = engine.NoProxy
	}
	e := c.New(engine.Config{})
	t.Cleanup(func() {
		if s := e.Stats(); s.Open != s.Idle || s.Waiting != 0 {
			t.Errorf("at the end of the test: %+v", s)
		}
		e.Close()
		if s := e.Stats(); s.Open != 0 || s.Idle != 0 || len(s.Routes) != 0 {
			t.Errorf("after Close: %+v", s)
		}
	})
	return e
}

func (p *peer) get() *engine.Request { return &engine.Request{Method: "GET", URL: p.url} }

func (p *peer) post(body content.Content) *engine.Request {
	return &engine.Request{Method: "POST", URL: p.url, Body: body}
}

// fetch executes req and reads the body to its end.
func fetch(ctx context.Context, e engine.Engine, req *engine.Request) (*engine.Response, string, error) {
	resp, err := e.Execute(ctx, req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func mustFetch(t testing.TB, e engine.Engine, req *engine.Request) (*engine.Response, string) {
	t.Helper()
	resp, body, err := fetch(t.Context(), e, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// within fails the test if ch does not deliver in time.
func within[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: nothing happened", what)
		panic("unreachable")
	}
}

// eventually polls for a state that another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// body is a Content that is not in memory.
type body struct {
	length     int64
	replayable bool
	open       func() (io.ReadCloser, error)
}

func (body) ContentType() string    { return "" }
func (b body) ContentLength() int64 { return b.length }
func (b body) Replayable() bool     { return b.replayable }
func (b body) Open(context.Context) (io.ReadCloser, error) {
	return b.open()
}

// streamed returns s as a body of that announced length, read from a reader.
func streamed(s string, length int64) body {
	return body{length, true, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func hex(n int) string { return strconv.FormatInt(int64(n), 16) }
