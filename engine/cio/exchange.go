package cio

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/transfer"
)

// exchange is one request and its response. When it is over it is used again, if
// nobody else can have a hold of it any more; what the caller keeps is an answer.
//
// The goroutine that calls Execute, and then the one that reads the body, own
// the exchange; the writer of a large request body (upload) and Abort touch the
// connection, the clock and atomics only.
type exchange struct {
	answer *answer

	// ctx is the call's: Abort is told only the cause of its end.
	ctx    context.Context
	engine *Engine
	req    *engine.Request

	conn    *conn
	reg     engine.Registration
	clock   clock
	upload  *upload
	ticket  *ticket // its place on a shared connection; nil = it has one for itself
	spare   *ticket // of an earlier use
	sendErr error   // writing failed, and perhaps there is an answer nevertheless
	noReuse error   // why this connection is not to be reused
	resends int     // to other pipelined connections

	aborted atomic.Bool // ctx has ended
	sent    atomic.Bool // a byte of the request was written to this connection

	asked    bool // Trace was told that it waits for a connection
	gated    bool // it holds a place in Engine.gate
	answered bool // a byte of the response was read from this connection
	opened   bool // the body was opened: it can be sent again only if it is replayable
	resent   bool
	reached  bool // an earlier connection had taken some of the request
	late     bool // the look at a reused connection can wait until the request is written
	unseen   bool // it waits
	early    bool // the first read was done together with the write, by talk
	lent     bool // others may have a hold of it when it is over

	talk talk

	traceMu sync.Mutex // serialises trace hooks while there is an upload

	// The small buffer: the request's head, then the response's head and what
	// of the (decoded) body came with it. buf[r:w] is unread.
	small *[smallSize]byte
	buf   []byte
	r, w  int
	scan  h1.Scanner

	// The body:
	kind   h1.BodyKind
	left   int64       // of a BodyLength
	chunks *h1.Decoder // of a BodyChunked
	end    error       // what follows on buf[r:w]: nil = more from the connection
}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func newExchange(ctx context.Context, e *Engine, req *engine.Request) *exchange {
	x := exchanges.Get().(*exchange)
	x.answer = &answer{x: x}
	x.ctx, x.engine, x.req = ctx, e, req
	return x
}

// ended reports whether nothing of the response is left to be read.
func (x *exchange) ended() bool { return x.r == x.w && x.end != nil }

// over gives back what an exchange that has ended needs no more: itself if it can
// be used again, else its buffer. Abort, Close and the writer of a body are the
// ones who may still have a hold of it; lent and Release tell of them.
func (x *exchange) over() {
	if x.lent || x.end != io.EOF || !x.answer.use.Released() {
		x.giveBuffer()
		return
	}
	x.answer.x = nil
	if x.ticket != nil {
		*x.ticket = ticket{}
		x.spare = x.ticket
	}
	*x = exchange{small: x.small, spare: x.spare}
	exchanges.Put(x)
}

// run sends the request on a connection, and again on a fresh one if the first
// was dead, and reads the head of the response.
//
// It and what it calls down to the wait for the answer do the rare things in
// functions of their own, so that their frames are small: with thousands of
// exchanges, each waiting on a stack of its own, that is memory to fetch.
func (x *exchange) run() error {
	c, err := x.first()
	for c != nil {
		if err = x.try(c); err == nil {
			return nil
		}
		c, err = x.another(c, err)
	}
	return err
}

// first returns the connection to begin with; nil if the exchange has failed, or
// has been on a shared one.
func (x *exchange) first() (*conn, error) {
	route, err := x.engine.dialer.Route(x.req)
	if err != nil {
		return nil, err
	}
	if x.mayPipeline() {
		c, alone, err := x.runPiped(route)
		if c != nil || err != nil || !alone {
			return c, err
		}
	}
	return x.connect(route, nil)
}

// another returns the connection to go on with after c failed by err.
func (x *exchange) another(c *conn, err error) (*conn, error) {
	if err == errUnfit {
		var slot *route
		if c.yield() {
			// Those used before it are hardly better: its slot serves a new one, and
			// keeps our place in the queue.
			slot = c.route
		}
		return x.connect(c.route.key, slot)
	}
	resend := x.mayResend(err)
	err = x.opError(engine.OpReceive, err)
	if !resend {
		return nil, err
	}
	if t := x.req.Trace; t != nil && t.Resent != nil {
		t.Resent(err)
	}
	x.rewind()
	return x.connect(c.route.key, nil)
}

// rewind makes x ready for a second connection.
func (x *exchange) rewind() {
	x.resent, x.reached = true, x.reached || x.sent.Load()
	x.sent.Store(false)
	x.answer.use.Reset()
	x.upload, x.sendErr, x.noReuse = nil, nil, nil
	x.scan.Reset()
}

// connect takes a connection from the pool or makes one; with a slot it makes
// one. Without a connection it returns the exchange's error.
func (x *exchange) connect(route dial.Route, slot *route) (c *conn, err error) {
	trace := x.req.Trace
	if trace != nil && trace.PoolWait != nil && !x.asked {
		trace.PoolWait(route.String())
	}
	x.asked = false
	// With that hook the look comes first: it tells of what is used.
	x.late = trace == nil || trace.GotConn == nil
	if slot != nil {
		c, err = x.fill(route, slot)
	} else {
		c, err = x.obtain(route, x.resent, x.await)
	}
	if err != nil {
		return nil, x.opError(engine.OpConnect, err)
	}
	if trace != nil && trace.GotConn != nil {
		c.tell(trace)
	}
	return c, nil
}

// tell calls GotConn. A panic in it loses the connection, and not its slot too.
func (c *conn) tell(trace *engine.Trace) {
	panics := true
	defer func() {
		if panics {
			c.shut()
		}
	}()
	trace.GotConn(engine.GotConn{Local: c.Info.Local, Remote: c.Info.Remote, Reused: c.used, Idle: c.idleFor})
	panics = false
}

// obtain is connect without its trace; fresh asks for a new connection, and wait
// waits in the pool's queue.
func (x *exchange) obtain(route dial.Route, fresh bool, wait func(*route, *waiter) (*conn, error)) (*conn, error) {
	e := x.engine
	for {
		c, r, err := e.pool.take(route, fresh, wait)
		if err != nil {
			return nil, &engine.OpError{Op: engine.OpPool, Err: err}
		}
		if x.unseen = c != nil && x.late && c.plain(); x.unseen {
			return c, nil
		}
		if c != nil && !(c.undate() && c.fit()) {
			if !c.yield() {
				continue
			}
			c = nil
		}
		if c == nil {
			return x.fill(route, r)
		}
		return c, nil
	}
}

// fill makes a connection for a slot of r.
func (x *exchange) fill(route dial.Route, r *route) (*conn, error) {
	failed := true
	defer func() {
		if failed { // by a panic in a hook, perhaps
			x.engine.pool.drop(r)
		}
	}()
	c, err := x.dial(route, r)
	failed = err != nil
	x.unseen = !failed && c.plain()
	return c, err
}

// await waits in the pool's queue.
func (x *exchange) await(r *route, w *waiter) (*conn, error) {
	if h := x.engine.http2; h != nil {
		h.makeRoom(r)
	}
	t := x.req.Timeouts.Or(x.engine.config.Timeouts)
	limit := x.clock.Whole.Or(transfer.In(t.Pool, time.Now(), engine.KindPool))
	return x.engine.pool.await(x.ctx, r, w, limit.At, limit.Err())
}

// dial makes a connection within the connect timeout and the request's deadline.
func (x *exchange) dial(route dial.Route, r *route) (*conn, error) {
	timeout := x.req.Timeouts.Or(x.engine.config.Timeouts).Connect
	whole := x.clock.Whole
	cut := false
	if !whole.At.IsZero() {
		left := time.Until(whole.At)
		if left <= 0 {
			return nil, &engine.OpError{Op: engine.OpConnect, Err: whole.Err()}
		}
		if cut = !engine.Limited(timeout) || left < timeout; cut {
			timeout = left
		}
	}
	d, err := x.engine.dialer.Connect(x.ctx, route, timeout, x.req.Trace)
	if err != nil {
		// The limit that was reached is the request's, not that of connecting.
		if t, ok := errors.AsType[*engine.TimeoutError](err); ok && cut && t.Kind == engine.KindConnect {
			err = dial.Overdue(err, whole.Err())
		}
		return nil, err
	}
	return newConn(d, x.engine.pool, r), nil
}

// try runs the exchange on c up to the response's head.
func (x *exchange) try(c *conn) error {
	x.conn, x.answer.Reused, x.answered = c, c.used, false
	x.clock.start(c)
	x.reg = x.onAbort()
	err := x.send()
	if err == nil {
		err = x.receive()
	}
	if err == nil {
		return nil
	}
	if err == errUnfit {
		if x.reg.Stop() {
			x.giveBuffer()
			return err // the caller gives the connection up
		}
		err = x.ctxError()
	}
	why := err
	if _, ok := errors.AsType[*h1.InputError](err); ok && !x.sent.Load() {
		why = nil // nothing was written: the connection is as good as before
	}
	x.release(why)
	x.giveBuffer()
	return err
}

// onAbort registers with the end of the context. One that comes often has a stand-in
// for that, which is for nothing else: what brings values of its own may share it.
func (x *exchange) onAbort() engine.Registration {
	return engine.OnAbort(x.engine.contexts.Of(x.ctx), x)
}

// Abort breaks the exchange because its context has ended; it implements
// engine.Aborter.
func (x *exchange) Abort(error) {
	x.aborted.Store(true)
	if x.ticket != nil {
		x.ticket.abort()
		return
	}
	x.conn.shut()
}

var _ engine.Aborter = (*exchange)(nil)

// release ends what the exchange has to do with its connection: it goes back to
// the pool or, if there is a reason against it, is closed.
func (x *exchange) release(why error) {
	if x.ticket != nil {
		x.leavePipe(why)
		return
	}
	if x.upload != nil && !x.upload.finish(why == nil) && why == nil {
		why = errUnsent
	}
	if why == nil {
		why = x.noReuse
	}
	if !x.reg.Stop() {
		x.lent = true
		if why == nil {
			why = x.ctxError()
		}
	}
	// A Close that comes from now on leaves the connection alone; one that came
	// before may be about to close it.
	if x.answer.use.Release() {
		x.lent = true
		if why == nil {
			why = errUnread
		}
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
		defer x.traceMu.Unlock()
		t.PutIdle(why)
	}
}

// finish ends the exchange, after its head.
func (x *exchange) finish(why error) {
	defer x.leaveGate()
	x.release(why)
}

func (x *exchange) leaveGate() {
	if x.gated {
		x.gated = false
		<-x.engine.gate
	}
}

func (x *exchange) takeBuffer() {
	if x.small == nil {
		x.small = getSmall()
	}
	x.buf = x.small[:]
}

func (x *exchange) giveBuffer() {
	if x.small != nil {
		putSmall(x.small)
		x.small = nil
	}
	x.buf, x.r, x.w = nil, 0, 0
}
