package cio_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/cio"
)

// enciphered is a connection that looks like a socket, since it has all the methods
// of one, and is none: what it writes is not what goes over the wire.
type enciphered struct{ *net.TCPConn }

func (c enciphered) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	cipher(p[:n])
	return n, err
}

func (c enciphered) Write(p []byte) (int, error) {
	q := append([]byte(nil), p...)
	cipher(q)
	return c.TCPConn.Write(q)
}

func cipher(b []byte) {
	for i := range b {
		b[i] ^= 0x55
	}
}

func dialEnciphered(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return enciphered{c.(*net.TCPConn)}, nil
}

// deciphering is script at the other end of such a connection.
func deciphering(script func(*peerConn)) func(*peerConn) {
	return func(c *peerConn) {
		c.Conn = enciphered{c.Conn.(*net.TCPConn)}
		c.Reader.Reset(c.Conn)
		script(c)
	}
}

// TestWrappedSocket: a connection of Dial is read and written by its own methods,
// whatever it has besides.
func TestWrappedSocket(t *testing.T) { eachWay(t, testWrappedSocket) }

func testWrappedSocket(t *testing.T, config cio.Config) {
	p := newPeer(t, deciphering(func(c *peerConn) {
		for h := c.head(); h != ""; h = c.head() {
			n, _ := strconv.Atoi(fieldOf(h, "Content-Length"))
			c.send(answer(c.take(n)))
		}
	}))
	config.Dial = dialEnciphered
	e := newEngine(t, config)
	for _, size := range []int{0, 10, 20 << 10, 200 << 10, 0} {
		text, req := strings.Repeat("x", size), p.get()
		if size > 0 {
			req = p.post(content.Text(text))
		}
		req.Deadline = time.Now().Add(10 * time.Second) // the server may have read nonsense
		if _, got := mustFetch(t, e, req); got != text {
			t.Errorf("%d bytes came back as %d", size, len(got))
		}
	}
	if n := p.accepted.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestWrappedSocketIsLookedAt: one that was closed while it was idle is not used.
func TestWrappedSocketIsLookedAt(t *testing.T) {
	p := newPeer(t, deciphering(func(c *peerConn) {
		c.head()
		c.take(1)
		c.send(ok)
	}))
	e := newEngine(t, cio.Config{Dial: dialEnciphered})
	for range 3 {
		req := p.post(content.Text("x"))
		req.NoStaleRetry = true
		req.Deadline = time.Now().Add(10 * time.Second)
		mustFetch(t, e, req)
		eventually(t, "the server has closed the connection", func() bool { return p.open.Load() == 0 })
	}
}
