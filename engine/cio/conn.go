package cio

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/internal/dial"
)

// conn is a connection with a slot in the pool. One exchange at a time owns it,
// or the pool while it is idle; only shut may be called by others.
type conn struct {
	*dial.Conn
	pool  *pool
	route *route

	// bottom is what lies below TLS: closing it never blocks.
	bottom net.Conn
	// prober is nil where the descriptor cannot be looked at.
	prober *prober

	// mu guards closed. It is held until the slot is given back, so that who
	// comes second finds it given back. It goes before the pool's.
	mu     sync.Mutex
	closed bool

	used  bool // it has carried an exchange
	dated bool // a deadline is set

	// As the pool counts time:
	made, idleSince, expires time.Duration
	idleFor                  time.Duration // how long it was idle before this exchange
	serverKeeps              time.Duration // what the server said of idle connections; 0 = nothing
}

func newConn(d *dial.Conn, p *pool, r *route) *conn {
	c := &conn{Conn: d, pool: p, route: r, bottom: bottomOf(d.Conn), made: p.now()}
	if s, ok := c.bottom.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.prober = newProber(raw)
		}
	}
	return c
}

func bottomOf(c net.Conn) net.Conn {
	for {
		t, ok := c.(*tls.Conn)
		if !ok {
			return c
		}
		c = t.NetConn()
	}
}

// shut closes the connection, at once and without a farewell, and gives back its
// slot. It may be called by any goroutine and more than once; it doesn't block.
func (c *conn) shut() { c.finish(c.bottom, true) }

// yield closes the connection like shut but keeps its slot, which is then the
// caller's; false means that it was closed, and the slot given back, before.
func (c *conn) yield() bool {
	closed, _ := c.finish(c.bottom, false)
	return closed
}

// bury closes an idle connection whose slot was given back already. With TLS it
// says farewell: nothing is on its way that could make that block.
func (c *conn) bury() { c.finish(c.Conn, false) }

// end closes the connection on behalf of who got it by an upgrade.
func (c *conn) end() error {
	_, err := c.finish(c.Conn, true)
	return err
}

// finish closes the connection, by the layer given, unless it is closed.
func (c *conn) finish(layer io.Closer, drop bool) (closed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, nil
	}
	c.closed = true
	err = layer.Close()
	if drop {
		c.pool.drop(c.route)
	}
	return true, err
}

// margin is how much earlier than the server we give a connection up.
const margin = time.Second

// keepFor is how long the connection may be idle from now.
func (c *conn) keepFor(limit time.Duration) time.Duration {
	switch s := c.serverKeeps; {
	case s <= 0:
		return limit
	case s <= margin:
		return min(limit, s/2)
	default:
		return min(limit, s-margin)
	}
}

// undate takes off the deadline of an earlier exchange.
func (c *conn) undate() bool {
	if !c.dated {
		return true
	}
	c.dated = false
	return c.SetDeadline(time.Time{}) == nil
}

// looksLate reports whether a look at the connection can wait until the request
// is about to be written: it then costs next to nothing (prober.ask), and what
// comes in meanwhile is seen too.
func (c *conn) looksLate() bool { return c.used && c.prober != nil && c.bottom == c.Conn.Conn }

// past is a deadline that makes reads look at what is there and not wait.
var past = time.Unix(1, 0)

// fit reports whether an idle connection can carry a request: it is open, and
// nothing has come in on it. What a server sends unasked (408 before it closes,
// the rest of an answer that was longer than it said) must not become the answer
// to the next request.
func (c *conn) fit() bool {
	if c.prober != nil && !c.prober.quiet() {
		return false
	}
	if c.bottom != c.Conn.Conn {
		return c.nothingDecrypted()
	}
	return true
}

// nothingDecrypted reports whether TLS holds no bytes that it has read already.
// A read whose deadline is over returns those and does not touch the network.
func (c *conn) nothingDecrypted() bool {
	if c.SetReadDeadline(past) != nil {
		return false
	}
	var b [1]byte
	n, err := c.Read(b[:])
	return n == 0 && os.IsTimeout(err) && c.SetReadDeadline(time.Time{}) == nil
}
