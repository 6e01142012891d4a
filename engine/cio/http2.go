package cio

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h2"
	h2exchange "github.com/godwit-go/godwit/internal/h2/exchange"
	h2pool "github.com/godwit-go/godwit/internal/h2/pool"
	"github.com/godwit-go/godwit/internal/h2/priority"
)

// Protocols is a set of protocols.
type Protocols uint8

// The protocols of [Config].
const (
	HTTP1 Protocols = 1 << iota // HTTP/1.1
	HTTP2                       // HTTP/2, by ALPN
)

// http2 is the part of the engine that speaks HTTP/2.
//
// The first request to an https origin makes a connection on which the server
// chooses the protocol; others that come meanwhile wait for it. Is it HTTP/2,
// they all share the connection. Is it not, the connection goes to the pool of
// those for HTTP/1.1, and so do the requests; that is remembered for a while.
// Connections of both kinds have their slots in that pool.
type http2 struct {
	engine  *Engine
	options h2exchange.Options
	dialer  *dial.Dialer
	pool    *h2pool.Pool
	only    bool // no HTTP/1.1

	mu      sync.Mutex // guards what follows
	old     map[dial.Route]time.Time
	aliases map[dial.Route]alias
}

// errHTTP1 tells that a request goes by HTTP/1.1: the server has not chosen
// HTTP/2, or takes this request by HTTP/1.1 only.
var errHTTP1 = h2pool.ErrElsewhere

// errChanged is why a request that was begun by HTTP/2 cannot go on by HTTP/1.1.
var errChanged = errors.New("the server has changed from HTTP/2 to HTTP/1.1, and the request body, which was opened, cannot be opened again")

const (
	rememberOld = 10 * time.Minute // that a server speaks HTTP/1.1 only
	maxKnown    = 10_000           // routes to remember something about
)

func newHTTP2(e *Engine) *http2 {
	c := e.config
	d := c.dialer(e.dialer.Sessions)
	d.NextProtos = []string{"h2", "http/1.1"}
	x := &http2{engine: e, dialer: d, only: c.Protocols == HTTP2, old: make(map[dial.Route]time.Time), aliases: make(map[dial.Route]alias)}
	if x.only {
		d.NextProtos = []string{"h2"}
	}
	x.options = h2exchange.Options{
		Engine: name, Timeouts: c.Timeouts, ExpectContinueTimeout: c.ExpectContinueTimeout, NoStaleRetry: c.NoStaleRetry, Start: e.start,
		Priority: priority.Of, Opened: priority.Opened, Contexts: &e.contexts,
	}
	x.pool = h2pool.New(h2pool.Config{
		MaxConnections: c.MaxConnections, MaxPerRoute: c.MaxConnectionsPerRoute, KeepAlive: c.KeepAlive, MaxAge: c.MaxAge,
		Claimed: func(owner any) bool { return e.pool.claimed(owner.(*slotted).route) }, Ended: x.ended,
		Conn: c.http2(),
	})
	return x
}

// http2 configures connections that speak HTTP/2. Package engine/h2 has options
// for what is not set here.
func (c Config) http2() h2.Config {
	config := h2.Defaults()
	config.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, config.MaxHeaderBytes)
	config.MaxHeaderFields = cmp.Or(c.MaxHeaderFields, config.MaxHeaderFields)
	config.Go = c.Go
	return config
}

// slotted is a connection with a slot in the engine's pool.
type slotted struct {
	route *route
}

// ended gives back the slot of a connection.
func (x *http2) ended(owner any) { x.engine.pool.drop(owner.(*slotted).route) }

// makeRoom closes an idle connection for those who wait in r, if its slot would
// help them.
func (x *http2) makeRoom(r *route) {
	switch own, any := x.engine.pool.lacks(r); {
	case own:
		x.pool.EvictFrom(r.key)
	case any:
		x.pool.Evict()
	}
}

// suits reports whether a request may go by HTTP/2. What needs HTTP/1.1 by its
// nature does not: the raw head, the case of fields, an upgrade unless a server
// is known to take it by HTTP/2 (RFC 8441).
func (x *http2) suits(req *engine.Request, route dial.Route) bool {
	if !route.TLS || req.WantRawHead || req.Method == "CONNECT" || req.Needs&(engine.RawHead|engine.FieldOrder|engine.Pipelining|engine.HTTP1) != 0 {
		return x.only
	}
	if req.Protocol == "" && req.Header.Has("Upgrade") {
		return x.only // the field has no meaning in HTTP/2
	}
	if req.Protocol != "" {
		return x.only || x.pool.ExtendedConnect(route)
	}
	if x.only {
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	learnt, old := x.old[route]
	if old && time.Since(learnt) > rememberOld {
		delete(x.old, route)
		old = false
	}
	return !old
}

// execute sends req by HTTP/2. The error is errHTTP1 if the server speaks
// HTTP/1.1.
func (x *http2) execute(ctx context.Context, req *engine.Request, route dial.Route) (*engine.Response, error) {
	if x.only {
		if err := x.unable(req, route); err != nil {
			return nil, err
		}
	}
	y := h2exchange.New(ctx, &x.options, req)
	if gate := x.engine.gate; gate != nil {
		if err := y.Enter(gate, x.engine.closed); err != nil {
			return nil, err
		}
		y.OnEnd = sync.OnceFunc(func() { <-gate }) // a misdirected request ends twice
	}
	leave, failed := y.OnEnd, true
	defer func() {
		if failed && leave != nil {
			leave()
		}
	}()
	y, err := x.run(ctx, y, req, route)
	if err != nil {
		return nil, err
	}
	failed = false
	return &y.Response, nil
}

// unable is the error for what an engine without HTTP/1.1 cannot do.
func (x *http2) unable(req *engine.Request, route dial.Route) error {
	need := req.Needs & (engine.FieldOrder | engine.Pipelining | engine.HTTP1)
	if req.WantRawHead {
		need |= engine.RawHead
	}
	if !route.TLS {
		return &engine.UnsupportedError{Engine: name, Capability: engine.HTTP1, Detail: "Config.Protocols leaves HTTP/2 alone, which http URLs have by engine/h2 only"}
	}
	if need != 0 {
		return &engine.UnsupportedError{Engine: name, Capability: need, Detail: "Config.Protocols leaves HTTP/2 alone"}
	}
	return nil
}

func (x *http2) run(ctx context.Context, y *h2exchange.Exchange, req *engine.Request, route dial.Route) (*h2exchange.Exchange, error) {
	for {
		shared, err := x.alias(ctx, req, route)
		if err != nil {
			return nil, y.Fail(engine.OpDNS, err)
		}
		got, err := x.connect(ctx, y, req, shared)
		if err == errHTTP1 {
			if !y.HandOver() {
				err = y.Fail(engine.OpConnect, errChanged)
			}
			return nil, err
		}
		if err != nil {
			return nil, y.Fail(engine.OpConnect, err)
		}
		err = y.Try(&got.Conn.Conn, got.Used)
		if x.engine.config.KeepAlive < 0 {
			got.Retire()
		}
		switch {
		case err == nil && shared != route && y.Status == misdirected:
			x.misdirected(route)
			if !y.Repeatable() {
				return y, nil
			}
			y = y.Discard()
		case err == nil:
			return y, nil
		case x.wantsHTTP1(req, err):
			if h2.HTTP11Required(err) {
				x.remember(route)
				if shared == route {
					got.Retire()
				}
			}
			if !y.HandOver() {
				return nil, err
			}
			if t := req.Trace; t != nil && t.Resent != nil {
				t.Resent(err)
			}
			return nil, errHTTP1
		case y.MayResend(err):
			y = y.Again(err)
		default:
			return nil, err
		}
	}
}

// wantsHTTP1 reports whether err is that of a request which HTTP/1.1 may carry
// instead: the server says so, or takes no such upgrade by HTTP/2, or not any
// more.
func (x *http2) wantsHTTP1(req *engine.Request, err error) bool {
	if x.only {
		return false
	}
	if _, unsupported := errors.AsType[*engine.UnsupportedError](err); unsupported {
		return req.Protocol != ""
	}
	return h2.HTTP11Required(err) && !req.NoStaleRetry && !x.engine.config.NoStaleRetry
}

// remember notes that a server speaks HTTP/1.1 only, or wants to.
func (x *http2) remember(route dial.Route) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.old) >= maxKnown {
		clear(x.old)
	}
	x.old[route] = time.Now()
}

// connect gets a place on a connection.
func (x *http2) connect(ctx context.Context, y *h2exchange.Exchange, req *engine.Request, key dial.Route) (h2pool.Got, error) {
	trace := req.Trace
	if trace != nil && trace.PoolWait != nil {
		trace.PoolWait(key.String())
	}
	var slot *route
	got, err := x.pool.Get(ctx, key, &h2pool.Want{
		Limit: y.PoolLimit, Fresh: y.Fresh(),
		Slot: func() (err error) { slot, err = x.slot(ctx, y, key); return err },
		Dial: func() (*dial.Conn, any, error) { return x.dial(y, key, slot) },
	})
	if err == nil && trace != nil && trace.GotConn != nil {
		got.Tell(trace)
	}
	return got, err
}

// slot takes a slot of the engine's pool for a connection.
func (x *http2) slot(ctx context.Context, y *h2exchange.Exchange, key dial.Route) (*route, error) {
	p := x.engine.pool
	idle, slot, err := p.take(key, true, func(r *route, w *waiter) (*conn, error) {
		limit, reason := y.PoolLimit(false, 0)
		x.makeRoom(r)
		return p.await(ctx, r, w, limit, reason)
	})
	if err != nil {
		return nil, wrap(engine.OpPool, err)
	}
	if idle != nil { // it was granted one that speaks HTTP/1.1
		p.put(idle)
		return nil, errHTTP1
	}
	return slot, nil
}

// dial makes a connection in a slot. One that speaks HTTP/1.1 is put into the
// engine's pool.
func (x *http2) dial(y *h2exchange.Exchange, key dial.Route, slot *route) (*dial.Conn, any, error) {
	p := x.engine.pool
	failed := true
	defer func() {
		if failed { // by a panic in a hook, perhaps
			p.drop(slot)
		}
	}()
	dial := y.Dial
	if x.only {
		dial = y.DialHTTP2
	}
	d, err := dial(x.dialer, key)
	if err != nil {
		return nil, nil, err
	}
	failed = false
	if d.Proto == "h2" {
		return d, &slotted{slot}, nil
	}
	x.remember(key)
	p.put(newConn(d, p, slot))
	return nil, nil, errHTTP1
}
