package enginetest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func quote(s string) string { return strconv.Quote(s) }
func itoa(n int) string     { return strconv.Itoa(n) }

// script serves one connection; see [conn] for what it can do. When it returns
// the server waits for the client to close the connection: one that is still
// open when the engine is closed counts as leaked.
type script func(c *conn)

// server is a scripted TCP (or unix) server.
type server struct {
	*leakcheck.Listener
	// URL is "http://127.0.0.1:port", Addr the part behind the slashes.
	URL, Addr string

	t     *T
	wg    sync.WaitGroup
	ended chan struct{}
}

// conn is a connection that a script serves. A method that meets the end of the
// connection, or of the test, ends the script.
type conn struct {
	net.Conn
	// N is the connection's number, from 0.
	N int
	// Gone is closed when the script is over and the client has closed the
	// connection.
	Gone chan struct{}

	t      *T
	srv    *server
	r      *bufio.Reader
	closed bool
}

// received is a request as it came over the wire.
type received struct {
	// Raw is the head, blank line included; Line its first line.
	Raw, Line      string
	Method, Target string
	Fields         header.Header
	Body           string
	Chunked        bool
	Trailer        header.Header
}

// script starts a server; connection n runs scripts[n], later ones the last.
func (t *T) script(scripts ...script) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return t.scriptOn(l, scripts...)
}

func (t *T) scriptOn(l net.Listener, scripts ...script) *server {
	if t.s.bridged() {
		return t.scriptWith(l, (*server).serveBridged, scripts...)
	}
	return t.scriptWith(l, (*server).serve, scripts...)
}

func (t *T) scriptWith(l net.Listener, serve func(*server, net.Conn, int, script), scripts ...script) *server {
	s := &server{Listener: leakcheck.Listen(l), Addr: l.Addr().String(), t: t, ended: make(chan struct{})}
	s.URL = "http://" + s.Addr
	s.wg.Go(func() {
		for n := 0; ; n++ {
			c, err := s.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { serve(s, c, n, scripts[min(n, len(scripts)-1)]) })
		}
	})
	t.onServerEnd(s.end)
	return s
}

// end closes the listener and waits for the client to close what it opened.
func (s *server) end() {
	s.Listener.Close()
	close(s.ended)
	s.WaitClosed(s.t)
	s.CloseConns()
	s.wg.Wait()
}

func (s *server) serve(nc net.Conn, n int, run script) {
	nc.SetDeadline(time.Now().Add(3 * patience))
	c := &conn{Conn: nc, N: n, Gone: make(chan struct{}), t: s.t, srv: s, r: bufio.NewReaderSize(nc, 64<<10)}
	defer func() {
		if !c.closed {
			io.Copy(io.Discard, c.r)
			c.Conn.Close()
		}
		close(c.Gone)
	}()
	run(c)
}

// stop ends the script.
func (c *conn) stop() { runtime.Goexit() }

// request reads a whole request; without one the script ends.
func (c *conn) request() *received {
	r := c.head()
	c.readBody(r)
	return r
}

// head reads the head of a request.
func (c *conn) head() *received {
	r := &received{}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.stop()
		}
		r.Raw += line
		text, ok := strings.CutSuffix(line, "\r\n")
		switch {
		case !ok:
			c.t.Errorf("the request has a line without CRLF: %q", line)
			c.stop()
		case r.Line == "":
			r.Line = text
			var proto string
			r.Method, text, _ = strings.Cut(text, " ")
			r.Target, proto, _ = strings.Cut(text, " ")
			if proto != "HTTP/1.1" {
				c.t.Errorf("request line %q, want version HTTP/1.1", r.Line)
			}
		case text == "":
			return r
		default:
			c.field(&r.Fields, text)
		}
	}
}

func (c *conn) field(h *header.Header, line string) {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !header.ValidName(name) {
		c.t.Errorf("the request has a bad field line %q", line)
	}
	h.Add(name, strings.Trim(value, " \t"))
}

// readBody reads the body that r's head announces.
func (c *conn) readBody(r *received) {
	length, hasLength := r.Fields.Lookup("Content-Length")
	coding, hasCoding := r.Fields.Lookup("Transfer-Encoding")
	switch {
	case hasLength && hasCoding:
		c.t.Errorf("the request has Content-Length and Transfer-Encoding:\n%s", r.Raw)
	case hasCoding:
		if coding != "chunked" {
			c.t.Errorf("Transfer-Encoding %q, want chunked", coding)
		}
		r.Chunked = true
		c.readChunks(r)
	case hasLength:
		n, err := strconv.Atoi(length)
		if err != nil {
			c.t.Errorf("Content-Length %q", length)
			c.stop()
		}
		r.Body = c.read(n)
	}
}

func (c *conn) readChunks(r *received) {
	var body strings.Builder
	for {
		size, err := strconv.ParseUint(c.line(), 16, 32)
		if err != nil {
			c.t.Errorf("bad chunk size in the request: %v", err)
			c.stop()
		}
		if size == 0 {
			break
		}
		body.WriteString(c.read(int(size)))
		if end := c.read(2); end != "\r\n" {
			c.t.Errorf("a chunk of the request ends with %q", end)
			c.stop()
		}
	}
	r.Body = body.String()
	for line := c.line(); line != ""; line = c.line() {
		c.field(&r.Trailer, line)
	}
}

// line reads a line that ends with CRLF.
func (c *conn) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.stop()
	}
	return strings.TrimSuffix(line, "\r\n")
}

// read reads exactly n bytes.
func (c *conn) read(n int) string {
	b := make([]byte, n)
	if _, err := io.ReadFull(c.r, b); err != nil {
		c.stop()
	}
	return string(b)
}

// write sends exact bytes.
func (c *conn) write(parts ...string) {
	for _, p := range parts {
		if _, err := io.WriteString(c.Conn, p); err != nil {
			c.stop()
		}
	}
}

// bytewise sends s one byte a write.
func (c *conn) bytewise(s string) {
	for i := range len(s) {
		c.write(s[i : i+1])
	}
}

// respond sends a 200 with body and Content-Length.
func (c *conn) respond(body string, fields ...string) {
	c.write(response(body, fields...))
}

// response renders a 200 with body, Content-Length and further field lines.
func response(body string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n", len(body))
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String() + "\r\n" + body
}

// end closes the connection in order (FIN).
func (c *conn) end() {
	c.closed = true
	c.Conn.Close()
}

// reset closes the connection with RST.
func (c *conn) reset() {
	raw := leakcheck.Unwrap(c.Conn)
	if secure, ok := raw.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	if tcp, ok := raw.(interface{ SetLinger(sec int) error }); ok {
		tcp.SetLinger(0)
	}
	c.closed = true
	raw.Close()
	c.Conn.Close()
}

// closeWrite closes the server's direction only.
func (c *conn) closeWrite() {
	if half, ok := leakcheck.Unwrap(c.Conn).(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// wait waits for ch, or ends the script at the end of the test.
func (c *conn) wait(ch <-chan struct{}) {
	select {
	case <-ch:
	case <-c.srv.ended:
		c.stop()
	}
}

// untilClosed reads until the client closes the connection and returns what
// came.
func (c *conn) untilClosed() string {
	b, _ := io.ReadAll(c.r)
	return string(b)
}

// respond starts a server that answers every request with body.
func (t *T) respond(body string, fields ...string) *server {
	return t.script(func(c *conn) {
		for {
			c.request()
			c.respond(body, fields...)
		}
	})
}

// record starts a server that keeps each request and answers "ok".
func (t *T) record() (*server, <-chan *received) {
	requests := make(chan *received, 64)
	s := t.script(func(c *conn) {
		for {
			r := c.request()
			requests <- r
			if r.Method == "HEAD" {
				c.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
			} else {
				c.respond("ok")
			}
		}
	})
	return s, requests
}

// raw starts a server that answers each connection's first request with exact
// bytes and then closes.
func (t *T) raw(answer string) *server {
	return t.script(func(c *conn) {
		c.request()
		c.write(answer)
		c.end()
	})
}
