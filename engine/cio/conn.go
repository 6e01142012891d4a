package cio

import (
	"crypto/tls"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/socket"
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
	// direct: it may be written and read through the prober. That is for sockets
	// themselves: what a Dial puts around one has Read and Write of its own.
	direct bool

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
	c.direct = c.plain() && c.takesIn()
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
func (c *conn) shut() { c.finish(c.bottom.Close, true) }

// yield closes the connection like shut but keeps its slot, which is then the
// caller's; false means that it was closed, and the slot given back, before.
func (c *conn) yield() bool {
	closed, _ := c.finish(c.bottom.Close, false)
	return closed
}

// bury closes an idle connection whose slot was given back already; it doesn't
// wait for the peer. With TLS it says farewell, which a socket takes at once. What
// else a Dial has made may take it only when the peer reads: there a timer does it,
// in a goroutine of its own like the pool's sweep.
func (c *conn) bury() {
	switch {
	case c.bottom == c.Conn.Conn:
		c.finish(c.bottom.Close, false)
	case c.takesIn():
		c.finish(c.part, false)
	default:
		time.AfterFunc(0, func() { c.finish(c.part, false) })
	}
}

// farewell is how long the last record may take, if a peer doesn't read, or a
// socket is full of what one has not read. crypto/tls would give it 5 s.
const farewell = 10 * time.Millisecond

// part closes the connection by TLS, and below that when its time is over.
func (c *conn) part() error {
	late := time.AfterFunc(farewell, func() { c.bottom.Close() })
	defer late.Stop()
	return c.Conn.Close()
}

// end closes the connection on behalf of who got it by an upgrade. He waits for the
// farewell, which goes behind all that he has written; who wants the slot does not.
func (c *conn) end() error {
	_, err := c.finish(func() error {
		c.pool.drop(c.route)
		return c.Conn.Close()
	}, false)
	return err
}

// finish closes the connection, by the function given, unless it is closed.
func (c *conn) finish(closing func() error, drop bool) (closed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, nil
	}
	c.closed = true
	err = closing()
	if drop {
		c.pool.drop(c.route)
	}
	return true, err
}

func (c *conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
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

// plain reports whether the look at the connection is the prober's alone: there is a
// socket, and no TLS.
func (c *conn) plain() bool { return c.prober != nil && c.bottom == c.Conn.Conn }

// resumes reports whether a Write that its deadline has ended tells what the system has
// taken in, and can be gone on with.
func (c *conn) resumes() bool {
	_, timed := c.bottom.(*timed)
	return !timed && c.bottom == c.Conn.Conn
}

// takesIn reports whether a small request can be written without waiting for the
// peer: there is a buffer on the way, the kernel's.
func (c *conn) takesIn() bool {
	switch c.bottom.(type) {
	case *socket.Conn, *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

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
	if t, ok := c.bottom.(*timed); ok && !t.quiet() {
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
