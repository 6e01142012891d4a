package cio_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

func TestUpgrade(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		head := c.head()
		if !strings.Contains(head, "\r\nConnection: Upgrade\r\nUpgrade: echo\r\n") {
			t.Errorf("head %q", head)
		}
		c.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: Echo\r\n\r\nearly")
		io.Copy(c.Conn, c)
	})
	e := newEngine(t, cio.Config{MaxConcurrent: 1})
	ctx, cancel := context.WithCancel(t.Context())
	req := p.get()
	req.Protocol, req.Deadline, req.Timeouts.Idle = "echo", time.Now().Add(time.Minute), time.Minute
	resp, err := e.Execute(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // ends nothing: the connection is ours now
	if resp.Status != 101 || resp.Upgraded == nil {
		t.Fatalf("%+v", resp)
	}
	if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Body: %d, %v", n, err)
	}
	resp.Body.Close()
	io.WriteString(resp.Upgraded, " late")
	b := make([]byte, len("early late"))
	if _, err := io.ReadFull(resp.Upgraded, b); err != nil || string(b) != "early late" {
		t.Errorf("%q, %v", b, err)
	}
	if _, isConn := resp.Upgraded.(net.Conn); !isConn {
		t.Error("Upgraded is no net.Conn")
	}
	if s := e.Stats(); s.Open != 1 || s.Idle != 0 {
		t.Errorf("%+v", s)
	}
	resp.Upgraded.(interface{ CloseWrite() error }).CloseWrite()
	if rest, err := io.ReadAll(resp.Upgraded); len(rest) != 0 || err != nil {
		t.Errorf("after CloseWrite: %q, %v", rest, err)
	}
	resp.Upgraded.Close()
	if err := resp.Upgraded.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestUpgradedIsClosed: what came with the head is not read after Close either.
func TestUpgradedIsClosed(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
		c.rest()
	})
	req := p.get()
	req.Protocol = "echo"
	resp, err := newEngine(t, cio.Config{}).Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Upgraded.Close()
	if n, err := resp.Upgraded.Read(make([]byte, 8)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestReadTwo: what comes is read into one piece of memory after the other, where
// the connection can (internal/socket), and fails as a read does.
func TestReadTwo(t *testing.T) {
	steps := make(chan string)
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
		for s := range steps {
			c.send(s)
		}
	})
	req := p.get()
	req.Protocol = "echo"
	resp, err := newEngine(t, cio.Config{}).Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	conn := resp.Upgraded.(interface {
		net.Conn
		ReadTwo(a, b []byte) (int, error)
	})
	defer conn.Close()
	a, b := make([]byte, 4), make([]byte, 8)
	want := func(text string) {
		t.Helper()
		n, err := conn.ReadTwo(a, b)
		if got := string(a[:min(n, 4)]) + string(b[:max(n-4, 0)]); err != nil || got != text {
			t.Fatalf("%q, %v, want %q", got, err, text)
		}
	}
	want("earl")
	want("y")
	for _, s := range []string{"012345", "0123456789ab", "01", "0123"} {
		steps <- s
		if !cio.ReadsTwo(resp.Upgraded) {
			want(s[:min(len(s), 4)])
			io.CopyN(io.Discard, conn, int64(len(s)-min(len(s), 4)))
			continue
		}
		want(s)
	}
	conn.SetReadDeadline(time.Unix(1, 0))
	if n, err := conn.ReadTwo(a, b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after its deadline: %d, %v", n, err)
	}
	conn.SetReadDeadline(time.Time{})
	done := make(chan error)
	go func() {
		_, err := conn.ReadTwo(a, b)
		done <- err
	}()
	close(steps) // and with that the connection
	if err := <-done; err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	conn.Close()
	n, err := conn.ReadTwo(a, b)
	if e, ok := errors.AsType[*net.OpError](err); n != 0 || !ok || e.Op != "read" || !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %d, %v", n, err)
	}
}

func TestUpgradeRefused(t *testing.T) {
	p := newPeer(t, answering("HTTP/1.1 426 no\r\nContent-Length: 2\r\n\r\nno"))
	e := newEngine(t, cio.Config{})
	req := p.get()
	req.Protocol = "websocket"
	if resp, body := mustFetch(t, e, req); resp.Status != 426 || body != "no" || resp.Upgraded != nil {
		t.Errorf("%d %q", resp.Status, body)
	}
}

func TestConnect(t *testing.T) {
	for name, answer := range map[string]string{"200": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "204": "HTTP/1.1 204 OK\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(c *peerConn) {
				if head := c.head(); !strings.HasPrefix(head, "CONNECT far:22 HTTP/1.1\r\nHost: far:22\r\n") {
					t.Errorf("head %q", head)
				}
				c.send(answer + "hello")
				c.rest()
			})
			e := newEngine(t, cio.Config{})
			resp, err := e.Execute(t.Context(), &engine.Request{Method: "CONNECT", URL: p.url, Header: header.New("Host", "far:22")})
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 5)
			if _, err := io.ReadFull(resp.Upgraded, b); err != nil || string(b) != "hello" || resp.ContentLength != 0 {
				t.Errorf("%q, %v, length %d", b, err, resp.ContentLength)
			}
			resp.Upgraded.Close()
		})
	}
}
