package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// NetConn returns the connection as a net.Conn: each Write is a message of the
// given type, and what is read are the messages' bytes, one after the other, of
// that type only. Messages may be of any length: ReadLimit bounds what is kept
// in memory, and here nothing is.
//
// A close by the server with StatusNormalClosure or StatusGoingAway is io.EOF, unless
// there should have been another connection and could not be; Close sends
// StatusNormalClosure, and what follows is net.ErrClosed; it ends a Read that waits at
// once, and waits for the server, and a Write, up to CloseTimeout. A message of the
// other type closes the connection with StatusUnsupportedData. Deadlines work as those
// of any net.Conn, but for writes and in compressed messages of one frame: there one
// that passes in the middle of a frame ends the connection. When ctx ends, all
// operations fail.
//
// The Conn must not be read beside it. With WithReconnect what is read is what
// comes, over all connections; one that is lost inside a message is an error of one
// Read, and the rest of that message is lost.
func (c *Conn) NetConn(ctx context.Context, kind MessageType) net.Conn {
	n := &netConn{conn: c, kind: kind}
	n.read.begin(ctx)
	n.write.begin(ctx)
	return n
}

type netConn struct {
	conn        *Conn
	kind        MessageType
	read, write timeLimit
	closed      atomic.Bool // here

	mu  sync.Mutex // held by who reads
	now io.Reader  // the message in progress
}

// Read reads some of the messages' bytes.
func (n *netConn) Read(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ctx := n.read.context()
	for {
		if n.closed.Load() {
			return 0, net.ErrClosed
		}
		if len(p) == 0 {
			return 0, nil
		}
		if n.now == nil {
			if err := n.next(ctx); err != nil {
				return 0, explainRead(err)
			}
		}
		m, streamed := n.now.(*messageReader)
		if streamed {
			m.ctx, m.keeps = ctx, true
		}
		got, err := n.now.Read(p)
		if err != nil && (!streamed || m.err != nil || m.link.dead.Load()) {
			n.now = nil // no more comes of this message, here or on another connection
		}
		if err == io.EOF {
			if got == 0 {
				continue
			}
			err = nil
		}
		return got, explainRead(err)
	}
}

// next waits for a message of the right type.
func (n *netConn) next(ctx context.Context) error {
	kind, r, err := n.conn.stream(ctx, true)
	if err != nil {
		return err
	}
	if kind != n.kind {
		defer context.AfterFunc(ctx, func() { n.conn.CloseNow() })()
		n.conn.Close(StatusUnsupportedData, "unexpected "+kind.String()+" message")
		return errors.New("websocket: a " + kind.String() + " message came where " + n.kind.String() + " is read")
	}
	n.now = r
	return nil
}

// explainRead makes errors those of the Read of a net.Conn.
func explainRead(err error) error {
	if e, ok := err.(*CloseError); ok && (e.Code == StatusNormalClosure || e.Code == StatusGoingAway) {
		return io.EOF
	}
	return explain(err)
}

// errDeadline is why a timeLimit ends its context.
var errDeadline = fmt.Errorf("websocket: a deadline of NetConn: %w", os.ErrDeadlineExceeded)

// explain makes errors those of a net.Conn.
func explain(err error) error {
	switch {
	case errors.Is(err, errDeadline):
		return os.ErrDeadlineExceeded
	case errors.Is(err, errClosed):
		return net.ErrClosed
	}
	return err
}

// Write sends a message.
func (n *netConn) Write(p []byte) (int, error) {
	if n.closed.Load() {
		return 0, net.ErrClosed
	}
	if err := n.conn.Write(n.write.context(), n.kind, p); err != nil {
		return 0, explain(err)
	}
	return len(p), nil
}

// Close closes the connection with StatusNormalClosure.
func (n *netConn) Close() error {
	n.closed.Store(true)
	n.read.end() // who waits is not to wait for the server's farewell
	defer n.write.end()
	return n.conn.Close(StatusNormalClosure, "")
}

// LocalAddr returns the address of this end.
func (n *netConn) LocalAddr() net.Addr { return address(n.conn.now.Load().local) }

// RemoteAddr returns the address of the server or proxy.
func (n *netConn) RemoteAddr() net.Addr { return address(n.conn.now.Load().remote) }

func address(a net.Addr) net.Addr {
	if a == nil {
		return unknownAddr{}
	}
	return a
}

// unknownAddr stands for an address that the engine does not tell.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "websocket" }
func (unknownAddr) String() string  { return "unknown" }

// SetDeadline sets both deadlines.
func (n *netConn) SetDeadline(t time.Time) error {
	n.read.set(t)
	n.write.set(t)
	return nil
}

// SetReadDeadline makes reads fail at t; zero = never.
func (n *netConn) SetReadDeadline(t time.Time) error {
	n.read.set(t)
	return nil
}

// SetWriteDeadline makes writes fail at t; zero = never.
func (n *netConn) SetWriteDeadline(t time.Time) error {
	n.write.set(t)
	return nil
}

// timeLimit is a deadline that can be moved, as a context.
type timeLimit struct {
	base context.Context

	mu     sync.Mutex // guards what follows
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	moved  int // counts calls of set
}

// context returns the context that ends at the deadline.
func (d *timeLimit) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

func (d *timeLimit) begin(base context.Context) {
	d.base = base
	d.ctx, d.cancel = context.WithCancelCause(base)
}

// set moves the deadline, for operations that run, too.
func (d *timeLimit) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.ctx.Err() != nil {
		d.ctx, d.cancel = context.WithCancelCause(d.base)
	}
	d.moved++
	cancel, moved := d.cancel, d.moved
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		cancel(errDeadline)
	default:
		d.timer = time.AfterFunc(left, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.moved == moved { // else it came too late to be stopped
				cancel(errDeadline)
			}
		})
	}
}

// end gives up what watches the context.
func (d *timeLimit) end() {
	d.set(time.Time{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancel(errClosed)
}
