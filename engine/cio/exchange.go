package cio

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h1"
)

// exchange is one request and its response. It is the response's Body too, so
// that a response costs one object; it is never used again, because who has the
// Body may call Close whenever he likes.
//
// The goroutine that calls Execute, and then the one that reads the body, own
// the exchange; the writer of a large request body (upload) and Abort touch the
// connection, the clock and atomics only.
type exchange struct {
	engine.Response

	// ctx is the call's: Abort is told only the cause of its end.
	ctx    context.Context
	engine *Engine
	req    *engine.Request

	conn   *conn
	reg    engine.Registration
	clock  clock
	upload *upload
	gated  bool // it holds a place in Engine.gate

	aborted  atomic.Bool // ctx has ended
	sent     atomic.Bool // a byte of the request was written to this connection
	answered bool        // a byte of the response was read from this connection
	opened   bool        // the body was opened: it can be sent again only if it is replayable
	resent   bool
	reached  bool  // an earlier connection had taken some of the request
	sendErr  error // writing failed, and perhaps there is an answer nevertheless
	noReuse  error // why this connection is not to be reused

	traceMu sync.Mutex // serialises trace hooks while there is an upload

	// The small buffer: the request's head, then the response's head and what
	// of the (decoded) body came with it. buf[r:w] is unread.
	small *[smallSize]byte
	buf   []byte
	r, w  int
	scan  h1.Scanner

	// The body:
	state   atomic.Uint32
	kind    h1.BodyKind
	left    int64       // of a BodyLength
	chunks  *h1.Decoder // of a BodyChunked
	trailer header.Header
	end     error // what follows on buf[r:w]: nil = more from the connection
}

// run sends the request on a connection, and again on a fresh one if the first
// was dead, and reads the head of the response.
func (x *exchange) run() error {
	route, err := x.engine.dialer.Route(x.req)
	if err != nil {
		return err
	}
	for {
		c, err := x.connect(route)
		if err != nil {
			return x.opError(engine.OpConnect, err)
		}
		err = x.try(c)
		if err == nil {
			return nil
		}
		resend := x.mayResend(err)
		err = x.opError(engine.OpReceive, err)
		if !resend {
			return err
		}
		if t := x.req.Trace; t != nil && t.Resent != nil {
			t.Resent(err)
		}
		x.rewind()
	}
}

// rewind makes x ready for a second connection.
func (x *exchange) rewind() {
	x.resent, x.reached = true, x.reached || x.sent.Load()
	x.sent.Store(false)
	x.state.Store(0)
	x.upload, x.sendErr, x.noReuse = nil, nil, nil
	x.scan.Reset()
}

// connect takes a connection from the pool or makes one.
func (x *exchange) connect(route dial.Route) (*conn, error) {
	trace := x.req.Trace
	if trace != nil && trace.PoolWait != nil {
		trace.PoolWait(route.String())
	}
	e, fresh := x.engine, x.resent
	for {
		c, r, err := e.pool.take(route, fresh, x.await)
		if err != nil {
			return nil, &engine.OpError{Op: engine.OpPool, Err: err}
		}
		if c != nil && !c.fit() {
			// Those used before it are hardly better: its slot serves a new one, and
			// keeps our place in the queue.
			if !c.yield() {
				continue
			}
			c = nil
		}
		if c == nil {
			if c, err = x.dial(route, r); err != nil {
				e.pool.drop(r)
				return nil, err
			}
		}
		if trace != nil && trace.GotConn != nil {
			trace.GotConn(engine.GotConn{Local: c.Info.Local, Remote: c.Info.Remote, Reused: c.used, Idle: c.idleFor})
		}
		return c, nil
	}
}

// await waits in the pool's queue.
func (x *exchange) await(r *route, w *waiter) (*conn, error) {
	t := x.req.Timeouts.Or(x.engine.config.Timeouts)
	return x.engine.pool.await(x.ctx, r, w, x.clock.whole.or(in(t.Pool, time.Now(), engine.KindPool)))
}

// dial makes a connection within the connect timeout and the request's deadline.
func (x *exchange) dial(route dial.Route, r *route) (*conn, error) {
	timeout := x.req.Timeouts.Or(x.engine.config.Timeouts).Connect
	whole := x.clock.whole
	cut := false
	if !whole.at.IsZero() {
		left := time.Until(whole.at)
		if left <= 0 {
			return nil, &engine.OpError{Op: engine.OpConnect, Err: whole.error()}
		}
		if cut = !engine.Limited(timeout) || left < timeout; cut {
			timeout = left
		}
	}
	d, err := x.engine.dialer.Connect(x.ctx, route, timeout, x.req.Trace)
	if err != nil {
		// The limit that was reached is the request's, not that of connecting.
		if t, ok := errors.AsType[*engine.TimeoutError](err); ok && cut && t.Kind == engine.KindConnect {
			op := engine.OpConnect
			if e, ok := errors.AsType[*engine.OpError](err); ok {
				op = e.Op
			}
			err = &engine.OpError{Op: op, Err: whole.error()}
		}
		return nil, err
	}
	return newConn(d, x.engine.pool, r), nil
}

// try runs the exchange on c up to the response's head.
func (x *exchange) try(c *conn) error {
	x.conn, x.Reused, x.answered = c, c.used, false
	x.clock.start(c)
	x.reg = engine.OnAbort(x.ctx, x)
	err := x.send()
	if err == nil {
		err = x.receive()
	}
	if err == nil {
		return nil
	}
	why := err
	if _, ok := errors.AsType[*h1.InputError](err); ok && !x.sent.Load() {
		why = nil // nothing was written: the connection is as good as before
	}
	x.release(why)
	x.giveBuffer()
	return err
}

// Abort breaks the exchange because its context has ended; it implements
// engine.Aborter.
func (x *exchange) Abort(error) {
	x.aborted.Store(true)
	x.conn.shut()
}

var _ engine.Aborter = (*exchange)(nil)

// release ends what the exchange has to do with its connection: it goes back to
// the pool or, if there is a reason against it, is closed.
func (x *exchange) release(why error) {
	if x.upload != nil && !x.upload.finish(why == nil) && why == nil {
		why = errUnsent
	}
	if why == nil {
		why = x.noReuse
	}
	if !x.reg.Stop() && why == nil {
		why = x.ctxError()
	}
	// A Close that comes from now on leaves the connection alone; one that came
	// before may be about to close it.
	if x.state.Or(stateReleased)&stateClosed != 0 && why == nil {
		why = errUnread
	}
	c := x.conn
	c.used = true
	if why == nil {
		why = c.pool.put(c)
	} else {
		c.shut()
	}
	if t := x.req.Trace; t != nil && t.PutIdle != nil {
		x.traceMu.Lock()
		t.PutIdle(why)
		x.traceMu.Unlock()
	}
}

// finish ends the exchange, after its head.
func (x *exchange) finish(why error) {
	x.release(why)
	x.leaveGate()
}

func (x *exchange) leaveGate() {
	if x.gated {
		x.gated = false
		<-x.engine.gate
	}
}

func (x *exchange) giveBuffer() {
	if x.small != nil {
		putSmall(x.small)
		x.small = nil
	}
	x.buf, x.r, x.w = nil, 0, 0
}
