package http3

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/expiry"
)

// exchange is one call of Execute and the response that it made.
//
// Its context is its own: the caller's, by engine.OnAbort, and every limit of
// time end it with the error as its cause, and quic-go then gives the stream up.
type exchange struct {
	engine *Engine
	req    *engine.Request
	to     target
	ctx    context.Context
	cancel context.CancelCauseFunc
	abort  engine.Registration
	timers expiry.Timers

	only     bool          // on a connection that is there
	early    bool          // the request may go before the handshake is complete
	expects  bool          // it says "Expect: 100-continue"
	answered chan struct{} // closed when 100 Continue or a final response has come; nil unless expects
	sent     atomic.Bool   // something of the head may have been written
	attempt  atomic.Int32  // how often it was sent again
	reached  bool          // an earlier attempt may have reached the server

	traceMu sync.Mutex // serialises the caller's hooks; guards silent
	silent  bool       // the exchange is over

	mu      sync.Mutex // guards what follows; taken before traceMu, never after it
	op      engine.Op
	got     *got // the connection in use
	upload  *upload
	entered bool
	over    bool
	first   bool // a byte of the answer has come
	refused bool // a final response came instead of 100 Continue
	written bool // the whole request was, or its body was given up
}

func newExchange(ctx context.Context, e *Engine, req *engine.Request, to target) *exchange {
	x := &exchange{engine: e, req: req, to: to, op: engine.OpPool}
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
	x.timers.Init(req, req.Timeouts.Or(e.config.Timeouts), x.cancel, nil)
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
	for {
		if x.connection() == nil {
			if err := x.acquire(); err != nil {
				return nil, err
			}
		}
		resp, err := x.send()
		if err == nil {
			return resp, nil
		}
		if x.ctx.Err() != nil || !x.again(err) {
			return nil, err
		}
	}
}

// enter waits for a place among the concurrent exchanges.
func (x *exchange) enter() error {
	x.timers.Start(engine.KindPool)
	if !x.engine.concurrent.Enter(x.ctx.Done()) {
		return cmp.Or(context.Cause(x.ctx), engine.ErrClosed)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entered = true
	return nil
}

// acquire gets the exchange its connection.
func (x *exchange) acquire() error {
	x.timers.Start(engine.KindPool)
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
	x.hook(func(t *engine.Trace) {
		call(t.GotConn, engine.GotConn{Local: g.conn.conn.LocalAddr(), Remote: g.conn.conn.RemoteAddr(), Reused: g.reused, Idle: g.idle})
	})
	return nil
}

// await waits for a connection that is being made.
func (x *exchange) await(d *dialling) (*got, error) {
	select {
	case <-d.slotted:
		x.timers.Stop(engine.KindPool)
		x.setOp(engine.OpConnect)
		x.timers.Start(engine.KindConnect)
	case <-d.done:
	case <-x.ctx.Done():
		x.engine.pool.leave(x.to, d)
		return nil, context.Cause(x.ctx)
	}
	select {
	case <-d.done:
		return x.engine.pool.collect(d)
	case <-x.ctx.Done():
		x.engine.pool.leave(x.to, d)
		return nil, context.Cause(x.ctx)
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

// again reports whether the request is sent again after err, and then lets the
// connection go.
//
// Either the server has not processed it: it had no stream yet, the server says
// so (H3_REQUEST_REJECTED), or it refused early data. Or the connection had
// carried others and died before anything of an answer came, and repeating the
// request does no harm. NoStaleRetry forbids all but what was not sent at all.
func (x *exchange) again(err error) bool {
	x.mu.Lock()
	g, first := x.got, x.first
	x.mu.Unlock()
	if g == nil || x.attempt.Load() >= maxResends {
		return false
	}
	if x.only && x.req.Body != nil && !x.req.Body.Replayable() && x.begun() {
		return false // nobody could send it otherwise if there is no other connection
	}
	unsent := !x.sent.Load() && (g.pooled || g.early)
	dead := g.dead() || connectionLost(err)
	switch {
	case unsent:
	case x.engine.config.NoStaleRetry, x.req.NoStaleRetry, first:
		return false
	case isRejected(err):
	case dead && x.early && g.early:
	case dead && g.pooled && idempotent(x.req):
	default:
		return false
	}
	if !x.rewind() {
		return false
	}
	x.engine.pool.giveUp(g.conn)
	x.letGo()
	x.attempt.Add(1)
	x.reached = x.reached || x.sent.Load() && !isRejected(err) && !errors.Is(err, errRejectedEarly)
	x.sent.Store(false)
	x.early = false
	x.timers.Stop(engine.KindConnect, engine.KindHeader, engine.KindIdle)
	if !unsent {
		x.hook(func(t *engine.Trace) { call(t.Resent, err) })
	}
	return true
}

// idempotent reports whether a repetition does no harm: it lists the methods of
// RFC 9110 §9.2.2, and QUERY.
func idempotent(req *engine.Request) bool {
	switch req.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY":
		return true
	}
	return req.Header.Has("Idempotency-Key")
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
	u, entered, g := x.upload, x.entered, x.got
	stuck := u != nil && g != nil && x.sent.Load() && !x.written
	x.mu.Unlock()
	x.timers.End()
	x.abort.Stop()
	x.cancel(nil)
	if u != nil {
		u.Stop()
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
		x.engine.concurrent.Leave()
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
