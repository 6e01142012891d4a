package soak_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/internal/leakcheck"
)

// fate is how the server treats a request.
type fate struct {
	name  string
	good  bool // the response is complete
	may   bool // it may be, as far as the client can see
	hangs bool // nothing comes until the client gives up
	small bool // the body is
	empty bool // there is none
	serve func(*exchange)
}

// exchange is one request at the server.
type exchange struct {
	net.Conn
	req   *http.Request
	id    string
	size  int
	close bool // the connection is to be closed after it
}

func (x *exchange) body() string { return strings.Repeat(x.id, x.size/len(x.id)+1)[:x.size] }

func (x *exchange) head(fields string) string {
	return "HTTP/1.1 200 OK\r\nId: " + x.id + "\r\n" + fields + "\r\n"
}

func (x *exchange) whole() string {
	return x.head("Content-Length: "+strconv.Itoa(x.size)+"\r\n") + x.body()
}

func (x *exchange) chunked() string {
	b, out := x.body(), x.head("Transfer-Encoding: chunked\r\n")
	for len(b) > 0 {
		n := min(len(b), 1+len(b)/3)
		out += fmt.Sprintf("%x\r\n%s\r\n", n, b[:n])
		b = b[n:]
	}
	return out + "0\r\n\r\n"
}

func (x *exchange) send(s string) { io.WriteString(x.Conn, s) }

// reset ends the connection with a RST.
func (x *exchange) reset() {
	x.close = true
	if c, ok := tcp(x.Conn); ok {
		c.SetLinger(0)
	}
}

func tcp(c net.Conn) (*net.TCPConn, bool) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	t, ok := leakcheck.Unwrap(c).(*net.TCPConn)
	return t, ok
}

// wait waits until the client has closed the connection.
func (x *exchange) wait() {
	x.close = true
	io.Copy(io.Discard, x.Conn)
}

// goodFates are at the start of fates.
const goodFates = 8

var fates = []fate{
	{name: "length", good: true, serve: func(x *exchange) { x.send(x.whole()) }},
	{name: "chunked", good: true, serve: func(x *exchange) { x.send(x.chunked()) }},
	{name: "until-close", good: true, serve: func(x *exchange) { x.close = true; x.send(x.head("") + x.body()) }},
	{name: "empty", good: true, empty: true, serve: func(x *exchange) { x.send(x.head("Content-Length: 0\r\n")) }},
	{name: "informational", good: true, serve: func(x *exchange) { x.send("HTTP/1.1 103 Early Hints\r\nId: poison\r\n\r\n" + x.whole()) }},
	{name: "slow", good: true, small: true, serve: func(x *exchange) {
		all := x.whole()
		for step := 1 + len(all)/20; len(all) > 0; all = all[min(step, len(all)):] {
			x.send(all[:min(step, len(all))])
		}
	}},
	// What follows on the response must not be taken for the next one.
	{name: "surplus", good: true, small: true, serve: func(x *exchange) {
		x.send(x.whole() + "HTTP/1.1 200 OK\r\nId: poison\r\nContent-Length: 6\r\n\r\npoison")
		x.wait()
	}},
	{name: "close-after", good: true, serve: func(x *exchange) { x.send(x.whole()); x.close = true }},

	{name: "reset-after", may: true, serve: func(x *exchange) { x.send(x.whole()); x.reset() }},
	{name: "half-close", may: true, serve: func(x *exchange) {
		x.send(x.whole())
		if c, ok := x.Conn.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		} else if c, ok := tcp(x.Conn); ok {
			c.CloseWrite()
		}
		x.wait()
	}},
	{name: "close", serve: func(x *exchange) { x.close = true }},
	{name: "reset", serve: func(x *exchange) { x.reset() }},
	{name: "garbage", serve: func(x *exchange) { x.send("\x00\xff poison \r\n\r\n" + x.whole()); x.close = true }},
	{name: "half-head", serve: func(x *exchange) { x.send("HTTP/1.1 200 OK\r\nId: " + x.id); x.close = true }},
	{name: "reset-in-head", serve: func(x *exchange) { x.send("HTTP/1.1 200"); x.reset() }},
	{name: "short", serve: func(x *exchange) {
		x.send(x.head("Content-Length: "+strconv.Itoa(x.size+10)+"\r\n") + x.body())
		x.close = true
	}},
	{name: "reset-in-body", serve: func(x *exchange) {
		x.send(x.head("Content-Length: "+strconv.Itoa(x.size+10)+"\r\n") + x.body())
		x.reset()
	}},
	{name: "half-chunk", serve: func(x *exchange) {
		x.send(strings.TrimSuffix(x.chunked(), "0\r\n\r\n") + "ff\r\npoison")
		x.close = true
	}},
	{name: "no-last-chunk", serve: func(x *exchange) { x.send(strings.TrimSuffix(x.chunked(), "0\r\n\r\n")); x.close = true }},
	{name: "bad-chunk", serve: func(x *exchange) { x.send(strings.TrimSuffix(x.chunked(), "0\r\n\r\n") + "poison\r\n"); x.wait() }},
	{name: "two-lengths", serve: func(x *exchange) {
		x.send(x.head("Content-Length: 1\r\nContent-Length: 2\r\n") + x.body())
		x.wait()
	}},
	{name: "hang", hangs: true, serve: func(x *exchange) { x.wait() }},
	{name: "hang-in-head", hangs: true, serve: func(x *exchange) { x.send("HTTP/1.1 200 OK\r\nId: " + x.id); x.wait() }},
	{name: "hang-in-body", hangs: true, serve: func(x *exchange) {
		x.send(x.head("Content-Length: "+strconv.Itoa(x.size+10)+"\r\n") + x.body())
		x.wait()
	}},
}

// unread are the fates that may come over a request before its body is read.
var unread = map[string]bool{"close": true, "reset": true, "short": true, "garbage": true}

// server runs the fates that requests ask for.
type server struct {
	t        *testing.T
	listener *leakcheck.Listener
	url      string
	byName   map[string]*fate
}

func (s *server) addr() string { return s.listener.Addr().String() }

func newServer(t *testing.T, config *tls.Config) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, listener: leakcheck.Listen(l), byName: make(map[string]*fate)}
	for i := range fates {
		s.byName[fates[i].name] = &fates[i]
		if fates[i].good != (i < goodFates) {
			t.Fatalf("fate %s is on the wrong side of goodFates", fates[i].name)
		}
	}
	var accept net.Listener = s.listener
	s.url = "http://" + s.addr() + "/"
	if config != nil {
		accept, s.url = tls.NewListener(s.listener, config), "https://"+s.addr()+"/"
	}
	serveAll(t, accept, s.listener, s.serve)
	return s
}

// serveAll runs f for each connection, until the test ends.
func serveAll(t *testing.T, accept net.Listener, counted *leakcheck.Listener, f func(net.Conn)) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := accept.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { accept.Close(); counted.CloseConns(); wg.Wait() })
}

func (s *server) serve(c net.Conn) {
	r := bufio.NewReaderSize(c, 4096)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		x := &exchange{Conn: c, req: req, id: req.Header.Get("Id")}
		x.size, _ = strconv.Atoi(req.Header.Get("Size"))
		f := s.byName[req.Header.Get("Fate")]
		if f == nil || len(x.id) != 16 {
			s.t.Errorf("a request with fate %q and id %q", req.Header.Get("Fate"), x.id)
			return
		}
		if !unread[f.name] && !s.readBody(x) {
			return
		}
		f.serve(x)
		if x.close || unread[f.name] {
			return
		}
	}
}

// readBody reads the request's body, which must be the id's own.
func (s *server) readBody(x *exchange) bool {
	got, err := io.ReadAll(x.req.Body)
	if err != nil {
		return false // the client gave up
	}
	if want := strings.Repeat(x.id, len(got)/len(x.id)+1)[:len(got)]; string(got) != want {
		s.t.Errorf("request %s has the body %.50q of another", x.id, got)
	}
	return true
}

func newCertificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
