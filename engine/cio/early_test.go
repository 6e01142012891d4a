package cio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// tight starts a server on a socket, and returns how to dial it: what is sent and not
// read fills the socket after a few KiB.
func tight(t *testing.T, serve func(net.Conn)) engine.DialFunc {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(served.Wait)
	t.Cleanup(func() { ln.Close() })
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			err = c.(*net.UnixConn).SetWriteBuffer(4 << 10)
		}
		return c, err
	}
}

// TestAnswerToHalfARequest: the server answers when it has read the head, and reads
// no more. The answer is read however little the connection takes in.
func TestAnswerToHalfARequest(t *testing.T) {
	const refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
	serve := func(c net.Conn) {
		r := bufio.NewReaderSize(c, 16)
		for {
			line, err := r.ReadString('\n')
			if err != nil || line == "\r\n" {
				break
			}
		}
		io.WriteString(c, refusal)
		<-t.Context().Done() // nothing more is read, and the connection stays open
	}
	pipe := func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serve(theirs)
		return ours, nil
	}
	socket := tight(t, serve)
	for name, dial := range map[string]engine.DialFunc{"pipe": pipe, "socket": socket} {
		for _, size := range []int{1, 16, 4 << 10, 9 << 10, 20 << 10, 64 << 10, 65 << 10} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				e := newEngine(t, cio.Config{Dial: dial})
				var told []string
				req := &engine.Request{Method: "POST", URL: mustURL(t, "http://half.test/"), Body: content.Text(strings.Repeat("x", size))}
				req.Trace = &engine.Trace{WroteHeader: func() { told = append(told, "head") }}
				done := make(chan error, 1)
				go func() {
					resp, body, err := fetch(t.Context(), e, req)
					if err == nil && (resp.Status != 413 || body != "no") {
						err = fmt.Errorf("%d, %q", resp.Status, body)
					}
					done <- err
				}()
				if err := within(t, "the answer", done); err != nil {
					t.Error(err)
				}
				if len(told) != 1 {
					t.Errorf("trace: %v", told)
				}
			})
		}
	}
}

// TestRestOfARequest: what the socket did not take at once arrives, in order and once.
func TestRestOfARequest(t *testing.T) {
	e := newEngine(t, cio.Config{Dial: tight(t, func(c net.Conn) {
		pc := &peerConn{Conn: c, Reader: bufio.NewReaderSize(c, 16)}
		for {
			head := pc.head()
			if head == "" {
				return
			}
			n, _ := strconv.Atoi(fieldOf(head, "Content-Length"))
			pc.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, pc.take(n)))
		}
	})})
	for size := 1 << 10; size <= 66<<10; size += 3001 {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, "%d,", i)
		}
		for range 2 { // fresh or not
			resp, body := mustFetch(t, e, &engine.Request{Method: "POST", URL: mustURL(t, "http://rest.test/"), Body: content.Text(b.String())})
			if resp.Status != 200 || body != b.String() {
				t.Fatalf("%d bytes: %d, %d bytes that differ", size, resp.Status, len(body))
			}
		}
	}
	if s := e.Stats(); s.Open != 1 {
		t.Errorf("%+v", s)
	}
}

// TestGreeting: what a server sends before it is asked is the answer to the first
// request, for one that says at once that it is too busy; but nothing follows on it.
func TestGreeting(t *testing.T) { eachWay(t, testGreeting) }

func testGreeting(t *testing.T, config cio.Config) {
	greeted := make(chan struct{}, 8)
	p := newPeer(t, func(c *peerConn) {
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
		greeted <- struct{}{}
		for c.head() != "" {
			c.send(ok)
		}
	})
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		<-greeted
		return c, err
	}
	e := newEngine(t, config)
	for range 3 {
		resp, body := mustFetch(t, e, p.get())
		if body != "early" || resp.Reused {
			t.Errorf("%q, reused %v", body, resp.Reused)
		}
	}
	if s := e.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

// TestNoReuseAfter408: the server gave the connection up.
func TestNoReuseAfter408(t *testing.T) {
	p := newPeer(t, answering("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"))
	e := newEngine(t, cio.Config{})
	mustFetch(t, e, p.get())
	if s := e.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}
