package enginetest

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
)

// wide opens the windows so far that they hold up nothing.
func (c *frameConn) wide() { c.check(c.framer.WriteWindowUpdate(0, 1<<30)) }

// wideStreams are settings with the widest windows.
func wideStreams(more ...http2.Setting) []http2.Setting {
	return append([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}}, more...)
}

// h2StalledServer: requests keep their deadlines though the server has stopped to
// read and the socket is full.
func h2StalledServer(t *T) {
	release := make(chan struct{})
	s, ca := t.frames(wideStreams(), func(c *frameConn) {
		c.wide()
		c.respond(c.request().id, "ok")
		<-release
	})
	t.onServerEnd(func() { close(release) })
	e := t.engine(ca.trust(), func(c *engine.Config) {
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				nc.(*net.TCPConn).SetWriteBuffer(8 << 10)
			}
			return nc, err
		}
	})
	t.get(e, s.URL, 200, "ok")
	for i := range 16 {
		req := t.deadline(s.URL)
		req.Method, req.Body = "POST", inMemory(pattern(24<<10+i))
		t.timesOut(e, req, engine.KindRequest)
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1: a stream that ends costs no other", n)
	}
}

// blockable is a connection without buffers whose writes wait, from a time on,
// until it is closed.
type blockable struct {
	net.Conn
	block, closed chan struct{}
	once          sync.Once
}

func (b *blockable) Write(p []byte) (int, error) {
	select {
	case <-b.block:
		<-b.closed
		return 0, net.ErrClosed
	default:
		return b.Conn.Write(p)
	}
}

func (b *blockable) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Conn.Close()
}

// h2BlockedWrite: the like on a connection of the caller's own that is no socket.
func h2BlockedWrite(t *T) {
	block := make(chan struct{})
	s, ca := t.frames(wideStreams(), func(c *frameConn) { c.answers("ok") })
	e := t.engine(ca.trust(), func(c *engine.Config) {
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &blockable{Conn: nc, block: block, closed: make(chan struct{})}, nil
		}
	})
	t.get(e, s.URL, 200, "ok")
	close(block)
	for range 3 {
		t.timesOut(e, t.deadline(s.URL), engine.KindRequest)
	}
}

// h2TunnelStalls: a Write to a tunnel keeps its deadline and ends with Close
// though the server does not read.
func h2TunnelStalls(t *T) {
	release := make(chan struct{})
	s, ca := t.frames(wideStreams(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}), func(c *frameConn) {
		c.wide()
		c.respond(c.request().id, "first")
		r, _ := c.head()
		c.headers(r.id, false, ":status", "200")
		<-release
	})
	t.onServerEnd(func() { close(release) })
	e := t.engine(ca.trust())
	t.get(e, s.URL, 200, "first")
	req := t.request("GET", s.URL)
	req.Protocol = "websocket"
	resp := t.must(e, req)
	tunnel, ok := resp.Upgraded.(net.Conn)
	if !ok {
		t.Fatalf("Upgraded is %T, want a net.Conn", resp.Upgraded)
	}
	large := make([]byte, 64<<20)
	tunnel.SetWriteDeadline(time.Now().Add(short))
	t.quick("a Write with a deadline", func() {
		n, err := tunnel.Write(large)
		if n == 0 || n == len(large) {
			t.Errorf("%d bytes were taken", n)
		}
		t.wantIs(err, os.ErrDeadlineExceeded)
	})
	tunnel.SetWriteDeadline(time.Time{})
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		close(begun)
		_, err := tunnel.Write(large)
		ended <- err
	}()
	<-begun
	t.quick("Close", func() { tunnel.Close() })
	t.wantIs(within(t, "a Write after Close", ended), net.ErrClosed)
}

// h2TunnelHead: what a 2xx to CONNECT says about content does not count
// (RFC 9110 §9.3.6).
func h2TunnelHead(t *T) {
	for _, head := range [][]string{{":status", "200", "content-length", "0"}, {":status", "200", "content-length", "3"}, {":status", "204"}} {
		s, ca := t.frames([]http2.Setting{{ID: http2.SettingEnableConnectProtocol, Val: 1}}, func(c *frameConn) {
			c.respond(c.request().id, "first")
			r, _ := c.head()
			c.headers(r.id, false, head...)
			c.data(r.id, false, "hello")
			for {
				if f, ok := c.next().(*http2.DataFrame); ok {
					c.data(f.StreamID, f.StreamEnded(), string(f.Data()))
				}
			}
		})
		e := t.engine(ca.trust())
		t.get(e, s.URL, 200, "first")
		req := t.request("GET", s.URL)
		req.Protocol = "websocket"
		resp := t.must(e, req)
		if resp.Upgraded == nil {
			t.Fatalf("%q: status %d, Upgraded is nil", head, resp.Status)
		}
		t.quick("the tunnel", func() {
			t.expect(resp.Upgraded, "hello")
			if _, err := io.WriteString(resp.Upgraded, "and back"); err != nil {
				t.Errorf("%q: %v", head, err)
			}
			t.expect(resp.Upgraded, "and back")
		})
		resp.Upgraded.Close()
	}
}
