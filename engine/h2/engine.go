// Package h2 is an engine that speaks HTTP/2 and nothing else: over TLS, where
// the server must choose it by ALPN, and over plain TCP by prior knowledge (h2c).
// A server that speaks HTTP/1 only is an error that says so.
//
// Requests to an origin share one connection, up to the number of streams that
// the server allows; then a further one is made. The goroutine that calls Execute
// sends its request and waits for the answer; a connection has one goroutine,
// which reads. See package internal/h2 for how that works, and for what a hostile
// server may do.
//
// Field names are lower case in both directions, as HTTP/2 wants them. Fields
// that belong to a connection of HTTP/1.1 (Connection and what it names,
// Keep-Alive, Proxy-Connection, Upgrade, TE but for trailers) are not sent;
// "Connection: close" lets the connection take no further requests. A Host field
// becomes :authority.
//
// Request.Protocol is an extended CONNECT (RFC 8441) where the server has
// announced that it takes such, else *engine.UnsupportedError. The answer is then
// a 2xx, not 101, with Upgraded set: a net.Conn with CloseWrite, which shares its
// connection with other requests. The like holds for CONNECT.
package h2

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
	conn "github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/h2/exchange"
	"github.com/godwit-go/godwit/internal/h2/pool"
	"github.com/godwit-go/godwit/internal/sharedctx"
)

const name = "h2"

const capabilities = engine.HTTP2 | engine.Upgrade | engine.Connect |
	engine.RequestTrailers | engine.ResponseTrailers | engine.Informational | engine.ExpectContinue | engine.Duplex |
	engine.RequestTimeout | engine.ConnectTimeout | engine.HeaderTimeout | engine.IdleTimeout | engine.PoolTimeout |
	engine.ConnectionLimits | engine.ConcurrencyLimit | engine.HeaderLimits |
	engine.HTTPProxy | engine.HTTPSProxy | engine.SOCKS4Proxy | engine.SOCKS5Proxy | engine.RequestProxy |
	engine.TLSConfig | engine.UnixSocket | engine.CustomDial | engine.CustomResolve | engine.DialControl |
	engine.CustomGo | engine.NoStaleRetry | engine.ConnectionInfo

// Engine is made by [Config]; its zero value is not usable. It is safe for
// concurrent use.
type Engine struct {
	config  Config // complete
	options exchange.Options
	dialer  *dial.Dialer
	pool    *pool.Pool
	gate    chan struct{} // holds a place for each running exchange; nil = no bound
	leave   func()        // gives it back
	closed  chan struct{} // by Close
	closing sync.Once

	contexts sharedctx.Watcher
}

var _ engine.Engine = (*Engine)(nil)

// Name returns "h2".
func (*Engine) Name() string { return name }

// Capabilities returns what the engine can do.
func (*Engine) Capabilities() engine.Capabilities { return capabilities }

// Execute sends req; see engine.Engine.
func (e *Engine) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	need := req.Needs
	if req.WantRawHead {
		need |= engine.RawHead
	}
	if err := engine.Check(name, capabilities, need); err != nil {
		return nil, err
	}
	if req.URL == nil {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: errors.New("the request has no URL")}
	}
	if req.Protocol == "" && req.Header.Has("Upgrade") {
		return nil, &engine.UnsupportedError{Engine: name, Capability: engine.HTTP1,
			Detail: fmt.Sprintf("the field Upgrade belongs to it; ask for %.40q by Request.Protocol", req.Header.Get("Upgrade"))}
	}
	if err := ctxerr.Of(ctx); err != nil {
		return nil, &engine.OpError{Op: engine.OpPool, Err: err}
	}
	route, err := e.dialer.Route(req)
	if err != nil {
		return nil, err
	}
	x := exchange.New(ctx, &e.options, req)
	if e.gate != nil {
		if err := x.Enter(e.gate, e.closed); err != nil {
			return nil, err
		}
		x.OnEnd = sync.OnceFunc(e.leave) // a hook that panics ends it twice
	}
	leave, failed := x.OnEnd, true
	defer func() {
		if failed && leave != nil {
			leave()
		}
	}()
	x, err = e.run(ctx, x, route, req)
	if err != nil {
		return nil, err
	}
	failed = false
	return &x.Response, nil
}

// run tries the exchange on a connection, and on another one where the first
// has not taken it.
func (e *Engine) run(ctx context.Context, x *exchange.Exchange, route dial.Route, req *engine.Request) (*exchange.Exchange, error) {
	for {
		got, err := e.connect(ctx, x, route, req)
		if err != nil {
			return nil, x.Fail(engine.OpConnect, err)
		}
		err = x.Try(&got.Conn.Conn, got.Used)
		if e.config.KeepAlive < 0 {
			got.Retire()
		}
		if err == nil {
			return x, nil
		}
		if !x.MayResend(err) {
			return nil, err
		}
		x = x.Again(err)
	}
}

// connect gets a place on a connection.
func (e *Engine) connect(ctx context.Context, x *exchange.Exchange, route dial.Route, req *engine.Request) (pool.Got, error) {
	trace := req.Trace
	if trace != nil && trace.PoolWait != nil {
		trace.PoolWait(route.String())
	}
	got, err := e.pool.Get(ctx, route, &pool.Want{
		Limit: x.PoolLimit,
		Fresh: x.Fresh(),
		Dial: func() (*dial.Conn, any, error) {
			c, err := x.DialHTTP2(e.dialer, route)
			return c, nil, err
		},
	})
	if err == nil && trace != nil && trace.GotConn != nil {
		got.Tell(trace)
	}
	return got, err
}

// Close refuses new requests with ErrClosed, those that wait for a connection
// or for their turn too, and closes idle connections at once, others when their
// last exchange ends.
func (e *Engine) Close() error {
	e.closing.Do(func() { close(e.closed) })
	e.pool.CloseIdle(true)
	e.contexts.Close()
	return nil
}

// CloseIdle closes the idle connections; requests go on.
func (e *Engine) CloseIdle() { e.pool.CloseIdle(false) }

// Stats is a snapshot of an engine's connections.
type Stats = pool.Stats

// RouteStats are the figures of one route.
type RouteStats = pool.RouteStats

// Stats returns the figures of the engine's connections at this moment.
func (e *Engine) Stats() Stats { return e.pool.Stats() }

// start runs f in another goroutine.
func (e *Engine) start(f func()) {
	if e.config.Go != nil {
		e.config.Go(f)
		return
	}
	go f()
}

// ResetError is the cause of the error of a request whose stream the server has
// reset; GoAwayError of one that the server has not processed before it went away.
// LostError is that of one whose connection ended.
type (
	ResetError  = conn.ResetError
	GoAwayError = conn.GoAwayError
	LostError   = conn.LostError
)

// ErrCode is an error code of HTTP/2 (RFC 9113 §7).
type ErrCode = conn.ErrCode
