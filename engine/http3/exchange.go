package http3

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

// exchange is one call of Execute and the response that it made.
//
// Its context is its own: the caller's, by engine.OnAbort, and every limit of
// time end it with the error as its cause, and quic-go then gives the stream up.
type exchange struct {
	engine   *Engine
	req      *engine.Request
	to       target
	ctx      context.Context
	cancel   context.CancelCauseFunc
	abort    engine.Registration
	timeouts engine.Timeouts
	started  time.Time

	only     bool          // on a connection that is there
	early    bool          // the request may go before the handshake is complete
	expects  bool          // it says "Expect: 100-continue"
	answered chan struct{} // closed when 100 Continue or a final response has come; nil unless expects
	sent     atomic.Bool   // the head was written
	activity atomic.Int64  // when the last byte moved, in time since started
	sourcing atomic.Int32  // the sender's own code is being waited for

	traceMu sync.Mutex // serialises the caller's hooks; guards silent
	silent  bool       // the exchange is over

	mu       sync.Mutex // guards what follows; taken before traceMu, never after it
	op       engine.Op
	got      *got // the connection in use
	upload   *upload
	deadline *time.Timer
	pool     *time.Timer
	connect  *time.Timer
	header   *time.Timer
	idle     *time.Timer
	watch    int // counts the starts of idle
	entered  bool
	over     bool
	first    bool // a byte of the answer has come
	refused  bool // a final response came instead of 100 Continue
	headed   bool // the final response's head is there
	written  bool // the whole request was, or its body was given up
}

func newExchange(ctx context.Context, e *Engine, req *engine.Request, to target) *exchange {
	x := &exchange{engine: e, req: req, to: to, started: time.Now(), op: engine.OpPool, timeouts: req.Timeouts.Or(e.config.Timeouts)}
	x.ctx, x.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := ctxerr.Of(ctx); err != nil {
		x.cancel(err)
		return x
	}
	x.abort = engine.OnAbort(ctx, x)
	x.early = e.config.EarlyData && (req.Method == http.MethodGet || req.Method == http.MethodHead) &&
		req.Body == nil && req.Trailer == nil && req.Protocol == ""
	if req.Body != nil && strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		x.expects, x.answered = true, make(chan struct{})
	}
	if !req.Deadline.IsZero() {
		kind := first(req.DeadlineKind, engine.KindRequest)
		expire := func() { x.cancel(&engine.TimeoutError{Kind: kind, Limit: req.DeadlineLimit}) }
		if left := time.Until(req.Deadline); left <= 0 {
			expire()
		} else {
			x.deadline = time.AfterFunc(left, expire)
		}
	}
	return x
}

// Abort ends the exchange; it is for engine.OnAbort.
func (x *exchange) Abort(cause error) { x.cancel(ctxerr.With(context.Canceled, cause)) }

func (x *exchange) execute() (*engine.Response, error) {
	if x.ctx.Err() != nil {
		return nil, context.Cause(x.ctx)
	}
	if err := x.enter(); err != nil {
		return nil, err
	}
	if x.only { // before the body is touched: it may then be sent otherwise
		if err := x.acquire(); err != nil {
			return nil, err
		}
	}
	x.prepareBody()
	if err := x.openBody(); err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		if x.connection() == nil {
			if err := x.acquire(); err != nil {
				return nil, err
			}
		}
		resp, err := x.send()
		if err == nil {
			return resp, nil
		}
		if x.ctx.Err() != nil || !x.again(err, attempt) {
			return nil, err
		}
		x.early = false
		x.hook(func(t *engine.Trace) { call(t.Resent, err) })
	}
}

// enter waits for a place among the concurrent exchanges.
func (x *exchange) enter() error {
	x.startTimer(&x.pool, x.timeouts.Pool, engine.KindPool)
	if !x.engine.concurrent.enter(x.ctx.Done()) {
		return context.Cause(x.ctx)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entered = true
	return nil
}

// acquire gets the exchange its connection.
func (x *exchange) acquire() error {
	x.startTimer(&x.pool, x.timeouts.Pool, engine.KindPool)
	x.setOp(engine.OpPool)
	x.hook(func(t *engine.Trace) { call(t.PoolWait, "https://"+x.to.addr()) })
	g, d, err := x.engine.pool.take(x.ctx, x)
	if err != nil {
		return err
	}
	if d != nil {
		if g, err = x.await(d); err != nil {
			return err
		}
	}
	x.mu.Lock()
	x.got = g
	x.mu.Unlock()
	if !x.early && !g.complete() {
		x.startTimer(&x.connect, x.timeouts.Connect, engine.KindConnect)
		select {
		case <-g.conn.conn.HandshakeComplete():
		case <-g.conn.conn.Context().Done(): // sending finds out
		case <-x.ctx.Done():
			return context.Cause(x.ctx)
		}
	}
	x.mu.Lock()
	x.op = engine.OpSend
	x.stopLocked(&x.connect)
	x.mu.Unlock()
	x.hook(func(t *engine.Trace) {
		call(t.GotConn, engine.GotConn{Local: g.conn.conn.LocalAddr(), Remote: g.conn.conn.RemoteAddr(), Reused: g.reused, Idle: g.idle})
	})
	return nil
}

// await waits for a connection that is being made.
func (x *exchange) await(d *dialling) (*got, error) {
	select {
	case <-d.slotted:
		x.stopTimers(&x.pool)
		x.setOp(engine.OpConnect)
		x.startTimer(&x.connect, x.timeouts.Connect, engine.KindConnect)
	case <-d.done:
	case <-x.ctx.Done():
		x.engine.pool.leave(x.to, d)
		return nil, context.Cause(x.ctx)
	}
	select {
	case <-d.done:
		g, err := x.engine.pool.collect(d)
		if err == nil {
			// The wait for a free stream begins.
			x.startTimer(&x.pool, x.timeouts.Pool, engine.KindPool)
		}
		return g, err
	case <-x.ctx.Done():
		x.engine.pool.leave(x.to, d)
		err := context.Cause(x.ctx)
		if t, ok := errors.AsType[*engine.TimeoutError](err); ok && t.Kind == engine.KindConnect {
			err = &engine.OpError{Op: x.currentOp(), Err: silence(x.to.addr(), err)}
		}
		return nil, err
	}
}

// letGo gives the connection back and reports whether it is kept.
func (x *exchange) letGo() bool {
	x.mu.Lock()
	g := x.got
	x.got = nil
	x.mu.Unlock()
	return g != nil && x.engine.pool.release(g.conn)
}

// maxResends bounds how often a request that the server has not processed is sent
// again: on a fresh connection instead of a dead one, and then without 0-RTT.
const maxResends = 2

// again reports whether the request may be sent again after err, and then lets
// the connection go.
func (x *exchange) again(err error, attempt int) bool {
	x.mu.Lock()
	g, first := x.got, x.first
	x.mu.Unlock()
	if g == nil || attempt >= maxResends || x.engine.config.NoStaleRetry || x.req.NoStaleRetry {
		return false
	}
	if x.only && x.req.Body != nil && !x.req.Body.Replayable() && x.upload.begun() {
		return false // nobody could send it otherwise if there is no other connection
	}
	dead := g.dead() || connectionLost(err)
	early := x.early && g.early
	switch {
	case !x.sent.Load() && (g.pooled || g.early): // the stream was not to be had
	case isRejected(err):
	case early && dead && !first:
	case g.pooled && dead && !first && idempotent(x.req.Method):
	default:
		return false
	}
	if !x.rewind() {
		return false
	}
	x.engine.pool.giveUp(g.conn)
	x.letGo()
	x.sent.Store(false)
	x.stopTimers(&x.header, &x.idle)
	return true
}

// idempotent lists the methods of RFC 9110 §9.2.2, and QUERY.
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY":
		return true
	}
	return false
}

// startTimer lets the exchange fail after limit, if that is one.
func (x *exchange) startTimer(timer **time.Timer, limit time.Duration, kind engine.TimeoutKind) {
	if !engine.Limited(limit) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if *timer != nil || x.over {
		return // it runs already, and goes on
	}
	*timer = time.AfterFunc(limit, func() { x.cancel(&engine.TimeoutError{Kind: kind, Limit: limit}) })
}

func (x *exchange) stopTimers(timers ...**time.Timer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopLocked(timers...)
}

func (x *exchange) stopLocked(timers ...**time.Timer) {
	for _, t := range timers {
		if *t != nil {
			(*t).Stop()
			*t = nil
		}
	}
}

// touch notes that a byte has moved.
func (x *exchange) touch() { x.activity.Store(int64(time.Since(x.started))) }

// startIdle begins to watch for pauses; until the head is there, or during one
// read of the body.
func (x *exchange) startIdle() {
	limit := x.timeouts.Idle
	if !engine.Limited(limit) {
		return
	}
	x.touch()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over || x.idle != nil {
		return
	}
	x.watch++
	watch := x.watch
	x.idle = time.AfterFunc(limit, func() { x.checkIdle(watch, limit) })
}

// checkIdle ends the exchange if the pause was long enough, else it looks again
// when it can be. While the sender's own code is waited for there is no pause.
func (x *exchange) checkIdle(watch int, limit time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.idle == nil || x.watch != watch {
		return
	}
	pause := time.Since(x.started) - time.Duration(x.activity.Load())
	switch {
	case x.sourcing.Load() > 0:
		x.idle.Reset(limit)
	case pause < limit:
		x.idle.Reset(limit - pause)
	default:
		x.cancel(&engine.TimeoutError{Kind: engine.KindIdle, Limit: limit})
	}
}

func (x *exchange) setOp(op engine.Op) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.op = op
}

func (x *exchange) currentOp() engine.Op {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.op
}

// uploadGrace is how long the request's body may go on being written when its
// response is complete; a server that does not want it says so.
const uploadGrace = 5 * time.Second

// finish gives back all that the exchange holds, once.
func (x *exchange) finish() {
	x.mu.Lock()
	if x.over {
		x.mu.Unlock()
		return
	}
	x.over = true
	x.stopLocked(&x.deadline, &x.pool, &x.connect, &x.header, &x.idle)
	u, entered, g := x.upload, x.entered, x.got
	stuck := u != nil && g != nil && x.sent.Load() && !x.written
	x.mu.Unlock()
	x.abort.Stop()
	x.cancel(nil)
	if u != nil {
		u.stop()
	}
	if stuck {
		time.AfterFunc(uploadGrace, func() { x.unstick(g.conn) })
	}
	kept := x.letGo()
	if g != nil {
		err := error(nil)
		if !kept {
			err = errNotKept
		}
		x.hook(func(t *engine.Trace) { call(t.PutIdle, err) })
	}
	x.traceMu.Lock()
	x.silent = true
	x.traceMu.Unlock()
	if entered {
		x.engine.concurrent.leave()
	}
}

var errNotKept = errors.New("http3: the connection takes no further requests")

// unstick gives a connection up on which a write hangs that nobody can reach any
// more: quic-go forgets the stream when the response is at its end.
func (x *exchange) unstick(c *conn) {
	x.mu.Lock()
	written := x.written
	x.mu.Unlock()
	if !written {
		x.engine.pool.giveUp(c)
	}
}

// bodyOf returns the request's body, or nil if it has none to send.
func bodyOf(req *engine.Request) content.Content {
	if req.Body != nil && req.Body.ContentLength() == 0 && req.Trailer == nil {
		if _, ok := req.Body.(content.Trailerer); !ok {
			return nil
		}
	}
	return req.Body
}
