// Package cio is an HTTP/1.1 engine of its own, with no dependency: "concurrent
// I/O". It is the default engine.
//
// The goroutine that calls Execute writes the request and reads the response
// itself. There is no goroutine for a connection and none for a request, unless
// the body is large or not in memory: it is then written by a second goroutine
// while the first one waits for the response, which may come early. An idle
// connection holds no buffers. What a Dial returns may be without deadlines: its
// Reads and Writes have goroutines.
//
// Right before a request is written, a look at the connection tells whether
// anything came in unasked: then it is closed, and another one used. What crosses
// the request on the wire nobody can tell from its answer. Timeouts are deadlines of
// the connection; the end of a context closes it at once.
//
// Requests and responses are those of RFC 9110 and RFC 9112; how strictly they
// are read is told by package internal/h1 and Config.Lenient.
package cio

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/sharedctx"
	"github.com/godwit-go/godwit/internal/transfer"
)

const name = "cio"

const capabilities = engine.HTTP1 | engine.HTTP2 | engine.Upgrade | engine.Connect |
	engine.RequestTrailers | engine.ResponseTrailers | engine.Informational | engine.ExpectContinue |
	engine.Pipelining | engine.Duplex | engine.RawHead | engine.FieldOrder |
	engine.RequestTimeout | engine.ConnectTimeout | engine.HeaderTimeout | engine.IdleTimeout | engine.PoolTimeout |
	engine.ConnectionLimits | engine.ConcurrencyLimit | engine.HeaderLimits |
	engine.HTTPProxy | engine.HTTPSProxy | engine.SOCKS4Proxy | engine.SOCKS5Proxy | engine.RequestProxy |
	engine.TLSConfig | engine.UnixSocket | engine.CustomDial | engine.CustomResolve | engine.DialControl |
	engine.CustomGo | engine.NoStaleRetry | engine.ConnectionInfo

// Engine is made by [Config]; its zero value is not usable. It is safe for
// concurrent use.
type Engine struct {
	config Config // complete
	limits h1.Limits
	dialer *dial.Dialer
	pool   *pool
	http2  *http2        // nil = HTTP/1.1 only
	lanes  *lanes        // nil = requests are not pipelined
	gate   chan struct{} // holds a place for each running exchange; nil = no bound

	closed  chan struct{} // by Close
	closing sync.Once

	contexts sharedctx.Watcher
}

var _ engine.Engine = (*Engine)(nil)

// Name returns "cio".
func (*Engine) Name() string { return name }

// Capabilities returns what the engine can do.
func (*Engine) Capabilities() engine.Capabilities { return capabilities }

// Execute sends req; see engine.Engine.
//
// A 101 that req asked for, and a 2xx answer to CONNECT, end the exchange: from
// then on neither ctx nor any timeout reaches the connection, which belongs to
// the receiver. Upgraded is a net.Conn.
func (e *Engine) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	x, resp, err := e.begin(ctx, req)
	if x == nil {
		return resp, err
	}
	returned := false
	defer func() {
		if !returned {
			x.abandon()
		}
	}()
	a := x.answer
	err = x.run()
	returned = true
	if err != nil {
		x.leaveGate()
		return nil, err
	}
	if x.ended() {
		x.over()
	}
	return &a.Response, nil
}

// abandon gives up what the exchange holds because a hook has panicked, so that
// nothing is lost if the caller recovers.
func (x *exchange) abandon() {
	x.lent = true
	x.reg.Stop()
	if t := x.ticket; t != nil {
		t.abandon()
	} else if x.conn != nil && !x.answer.use.Released() {
		x.conn.shut()
	}
	x.leaveGate()
}

// begin returns the exchange to be run, or nil and what became of the request
// without one.
func (e *Engine) begin(ctx context.Context, req *engine.Request) (*exchange, *engine.Response, error) {
	if err := engine.Check(name, capabilities, req.Needs); err != nil {
		return nil, nil, err
	}
	if req.URL == nil {
		return nil, nil, &engine.OpError{Op: engine.OpBuild, Err: errors.New("the request has no URL")}
	}
	if err := ctxerr.Of(ctx); err != nil {
		return nil, nil, &engine.OpError{Op: engine.OpPool, Err: err}
	}
	resp, tried, err := e.byHTTP2(ctx, req)
	if resp != nil || err != nil {
		return nil, resp, err
	}
	x := newExchange(ctx, e, req)
	x.asked = tried
	x.clock.Init(req, req.Timeouts.Or(e.config.Timeouts))
	if err := x.enterGate(); err != nil {
		return nil, nil, &engine.OpError{Op: engine.OpPool, Err: err}
	}
	return x, nil, nil
}

// byHTTP2 sends req by HTTP/2, if that may be: without a response and an error it
// is left to HTTP/1.1. tried tells that the server was asked.
func (e *Engine) byHTTP2(ctx context.Context, req *engine.Request) (resp *engine.Response, tried bool, err error) {
	if e.http2 == nil || req.URL.Scheme != "https" && !e.http2.only {
		return nil, false, nil
	}
	route, err := e.dialer.Route(req)
	if err != nil || !e.http2.suits(req, route) {
		return nil, false, err
	}
	resp, err = e.http2.execute(ctx, req, route)
	if err == errHTTP1 {
		return nil, true, nil
	}
	return resp, true, err
}

// enterGate waits for a place among the exchanges that may run at once.
func (x *exchange) enterGate() error {
	gate := x.engine.gate
	if gate == nil {
		return nil
	}
	select {
	case gate <- struct{}{}:
		x.gated = true
		return nil
	default:
	}
	var expired <-chan time.Time
	limit := x.clock.Whole.Or(transfer.In(x.req.Timeouts.Or(x.engine.config.Timeouts).Pool, time.Now(), engine.KindPool))
	if !limit.At.IsZero() {
		timer := time.NewTimer(time.Until(limit.At))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case gate <- struct{}{}:
		x.gated = true
		return nil
	case <-x.ctx.Done():
		return ctxerr.Of(x.ctx)
	case <-x.engine.closed:
		return engine.ErrClosed
	case <-expired:
		return limit.Err()
	}
}

// Close refuses new requests with ErrClosed, those that wait for a connection or
// for their turn too, and closes idle connections at once, others when their
// exchange ends.
func (e *Engine) Close() error {
	e.closing.Do(func() { close(e.closed) })
	if e.http2 != nil {
		e.http2.pool.CloseIdle(true)
	}
	e.pool.closeIdle(true)
	e.lanes.close()
	e.contexts.Close()
	return nil
}

// CloseIdle closes the idle connections; requests go on.
func (e *Engine) CloseIdle() {
	if e.http2 != nil {
		e.http2.pool.CloseIdle(false)
	}
	e.pool.closeIdle(false)
}

// start runs f in another goroutine.
func (e *Engine) start(f func()) {
	if e.config.Go != nil {
		e.config.Go(f)
		return
	}
	go f()
}
