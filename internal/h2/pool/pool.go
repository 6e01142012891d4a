// Package pool keeps the HTTP/2 connections of an engine, by route.
package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/h2/exchange"
)

// Config configures a pool. It is complete: zero is taken as it stands.
type Config struct {
	// MaxConnections and MaxPerRoute bound the open connections.
	MaxConnections, MaxPerRoute int
	// KeepAlive is how long a connection may be idle, MaxAge how long it is given
	// new requests; MaxAge 0 = for ever.
	KeepAlive, MaxAge time.Duration
	// Claimed reports whether somebody else wants what the owner's connection takes
	// up: it is closed when it is idle. It must not call the pool. nil = nobody
	// does.
	Claimed func(owner any) bool
	// Ended is told of the owner of each connection that is no longer the pool's;
	// it must not call the pool. nil = nobody wants to know.
	Ended func(owner any)
	// Conn configures the connections; its Changed is the pool's.
	Conn h2.Config
}

// Pool keeps connections. It is safe for concurrent use.
//
// Requests to a route share its connections. Of those that find no room, one
// makes a further connection if the bounds allow it, and only one at a time; the
// others wait for it as they wait for room: in order of arrival. A connection
// that cannot be made fails all who wait for it, unless it was the one request's
// own limit, or end, that kept it from being made. As long as the route has a
// connection that takes streams it fails nobody: all wait for room there, and
// the next attempt comes after a pause. No further connection is made either
// while a server takes no streams on one that it has (a bound of 0).
type Pool struct {
	config  Config
	waiting atomic.Int32 // requests that wait

	// mu guards what follows and the fields of routes. It goes before a
	// connection's own lock.
	mu     sync.Mutex
	routes map[dial.Route]*route
	open   int // connections, those being made included
	closed bool
	timer  *time.Timer
	armed  bool
}

// route is what the pool knows of one route.
type route struct {
	key     dial.Route
	conns   []*Conn
	dialing bool
	streams uint32 // what a connection takes, by the server's last word; 0 = unknown
	open    int
	waiters []*waiter // in order of arrival

	// connecting tells that who dials has what it takes to do so, changed is
	// closed when that is no longer so, or is at last; nil = nobody has asked.
	connecting bool
	changed    chan struct{}

	// After a dial that has failed:
	failures int
	retryAt  time.Time // no further connection before that while there is a usable one
}

// Conn is a connection of a pool.
type Conn struct {
	exchange.Conn
	route *route
	owner any
	made  time.Time
}

// waiter waits for a place on a connection, or for the right to make one.
type waiter struct {
	grant chan grant // has room for one
}

// grant is a place on a connection, or an error, or else the right to dial.
type grant struct {
	conn *Conn
	err  error
}

// New makes a pool.
func New(config Config) *Pool {
	return &Pool{config: config, routes: make(map[dial.Route]*route)}
}

// Want is what a request wants of the pool.
type Want struct {
	// Limit says until when to wait, and why not any longer, where it has waited
	// already: dialing tells that a connection is being made, and not that the
	// bounds keep it from being made; both have their own time, and an error that is
	// an *engine.OpError. A zero time = for ever.
	Limit func(dialing bool, waited time.Duration) (time.Time, error)
	// Fresh asks for a connection that was not used before, if there may be a
	// further one.
	Fresh bool
	// Slot waits for what somebody else's bounds want of a connection that Dial
	// then makes; nil = there is no such thing.
	Slot func() error
	// Dial makes a connection. The owner is for Config.Ended.
	Dial func() (c *dial.Conn, owner any, err error)
}

// Got is a place for a stream on a connection.
type Got struct {
	*Conn
	// Used tells that the connection has carried a stream, Idle for how long it
	// had none.
	Used bool
	Idle time.Duration
}

// Tell calls GotConn. A panic in it gives the place back.
func (g Got) Tell(trace *engine.Trace) {
	panics := true
	defer func() {
		if panics {
			g.Unreserve()
		}
	}()
	trace.GotConn(engine.GotConn{Local: g.Info.Local, Remote: g.Info.Remote, Reused: g.Used, Idle: g.Idle})
	panics = false
}

// Get returns a place on a connection to key. Its errors are those of Dial, and
// *engine.OpError with Op pool, or connect for who waited for a connection that
// another made: if the time ran out and key has a proxy, with *engine.ProxyError.
func (p *Pool) Get(ctx context.Context, key dial.Route, w *Want) (Got, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return Got{}, closedError()
	}
	r := p.routes[key]
	if r == nil {
		r = &route{key: key}
		p.routes[key] = r
	}
	if len(r.waiters) == 0 {
		if w.Fresh && p.mayDial(r) {
			p.mu.Unlock()
			return p.dial(ctx, r, w)
		}
		if got, ok := r.reserve(p.config.MaxAge); ok {
			p.mu.Unlock()
			return got, nil
		}
		if p.mayDial(r) {
			p.mu.Unlock()
			return p.dial(ctx, r, w)
		}
	}
	me := p.queue(r, len(r.waiters))
	p.serve() // room may have come up since its owner looked for waiters
	p.mu.Unlock()
	return p.await(ctx, r, me, w)
}

// queue adds a waiter to those of r, at place i. mu is held.
func (p *Pool) queue(r *route, i int) *waiter {
	w := &waiter{grant: make(chan grant, 1)}
	r.waiters = slices.Insert(r.waiters, i, w)
	p.waiting.Add(1)
	return w
}

// reserve takes a place on a connection that has one, the oldest first so that
// the others can become idle.
func (r *route) reserve(maxAge time.Duration) (Got, bool) {
	for _, c := range r.conns {
		if c.old(maxAge) {
			continue // it is retired by expire
		}
		if used, idle, ok := c.Reserve(); ok {
			return Got{c, used, idle}, true
		}
	}
	return Got{}, false
}

func (c *Conn) old(maxAge time.Duration) bool { return maxAge > 0 && time.Since(c.made) >= maxAge }

// usable reports whether r has a connection that takes streams, now or when
// others have ended; shut, whether there is one whose server takes none.
func (r *route) usable(maxAge time.Duration) (usable, shut bool) {
	for _, c := range r.conns {
		if s := c.State(); s.Usable && !c.old(maxAge) {
			usable, shut = true, shut || s.Shut
		}
	}
	return usable, shut
}

// mayDial takes the right to make a connection for r, if there is one; an idle
// connection to somewhere else is closed to make room. mu is held.
func (p *Pool) mayDial(r *route) bool {
	if r.dialing || r.open >= p.config.MaxPerRoute {
		return false
	}
	if usable, shut := r.usable(p.config.MaxAge); shut || usable && time.Now().Before(r.retryAt) {
		return false
	}
	if p.open >= p.config.MaxConnections && !p.evict(nil) {
		return false
	}
	r.dialing = true
	r.open++
	p.open++
	p.routes[r.key] = r
	return true
}

// evict retires the connection that has been idle for longest, of the route of or
// with nil of any, and gives its slot away. mu is held.
func (p *Pool) evict(of *route) bool {
	var victim *Conn
	var since time.Time
	for _, r := range p.routes {
		if of != nil && r != of {
			continue
		}
		for _, c := range r.conns {
			if s := c.State(); !s.Idle.IsZero() && (victim == nil || s.Idle.Before(since)) {
				victim, since = c, s.Idle
			}
		}
	}
	if victim == nil || !victim.Drop() {
		return false
	}
	p.forget(victim)
	return true
}

// forget takes c from its route. mu is held.
func (p *Pool) forget(c *Conn) {
	r := c.route
	i := slices.Index(r.conns, c)
	if i < 0 {
		return
	}
	r.conns = slices.Delete(r.conns, i, i+1)
	p.ended(c.owner)
	p.gaveUp(r)
}

func (p *Pool) ended(owner any) {
	if p.config.Ended != nil {
		p.config.Ended(owner)
	}
}

// gaveUp gives back a slot of r. mu is held.
func (p *Pool) gaveUp(r *route) {
	r.open--
	p.open--
	if r.open == 0 && len(r.waiters) == 0 && p.routes[r.key] == r {
		delete(p.routes, r.key)
	}
}

// serve gives places, and the right to dial, to those who wait. mu is held.
func (p *Pool) serve() {
	if p.waiting.Load() == 0 {
		return
	}
	for _, r := range p.routes {
		for len(r.waiters) > 0 {
			if got, ok := r.reserve(p.config.MaxAge); ok {
				r.pop(p).grant <- grant{conn: got.Conn}
			} else if p.mayDial(r) {
				r.pop(p).grant <- grant{}
				break
			} else {
				break
			}
		}
	}
}

func (r *route) pop(p *Pool) *waiter {
	w := r.waiters[0]
	r.waiters = r.waiters[1:]
	p.waiting.Add(-1)
	return w
}

// await waits for a grant.
func (p *Pool) await(ctx context.Context, r *route, me *waiter, w *Want) (Got, error) {
	var waited, dialed time.Duration
	for {
		p.mu.Lock()
		connecting, changed := r.watch()
		p.mu.Unlock()
		spent := &waited
		if connecting {
			spent = &dialed
		}
		begin := time.Now()
		g, err, done := me.wait(ctx, changed, w, connecting, *spent)
		*spent += time.Since(begin)
		switch {
		case err != nil:
			p.quit(r, me)
			return Got{}, r.overdue(ctx, err, dialed > waited)
		case done:
			return p.granted(ctx, r, g, w)
		}
	}
}

// overdue makes of err, the end of a wait, what Get returns. The phase of a limit
// that ends it whatever it is for is that of most of it: between two who try to
// connect there is a moment in which nobody does.
func (r *route) overdue(ctx context.Context, err error, connecting bool) error {
	e, ok := err.(*engine.OpError)
	if !ok {
		e = &engine.OpError{Op: engine.OpPool, Err: err}
		if connecting {
			e.Op = engine.OpConnect
		}
	}
	if e.Op == engine.OpConnect {
		return r.key.Blame(ctx, e)
	}
	return e
}

// wait waits for a grant; without one, and without an error, changed was closed.
func (me *waiter) wait(ctx context.Context, changed <-chan struct{}, w *Want, connecting bool, waited time.Duration) (g grant, err error, done bool) {
	var expired <-chan time.Time
	limit, reason := w.Limit(connecting, waited)
	if !limit.IsZero() {
		timer := time.NewTimer(time.Until(limit))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case g = <-me.grant:
		return g, nil, true
	case <-changed:
		return grant{}, nil, false
	case <-ctx.Done():
		return grant{}, ctxerr.Of(ctx), false
	case <-expired:
		return grant{}, reason, false
	}
}

// watch returns whether a connection is being made, and what is closed when that
// changes. mu is held.
func (r *route) watch() (connecting bool, changed <-chan struct{}) {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.connecting, r.changed
}

// connects notes whether a connection is being made. mu is held.
func (r *route) connects(now bool) {
	if r.connecting != now && r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
	r.connecting = now
}

// quit gives up waiting.
func (p *Pool) quit(r *route, me *waiter) {
	p.mu.Lock()
	if i := slices.Index(r.waiters, me); i >= 0 {
		r.waiters = slices.Delete(r.waiters, i, i+1)
		p.waiting.Add(-1)
		if r.open == 0 && len(r.waiters) == 0 && p.routes[r.key] == r {
			delete(p.routes, r.key)
		}
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	// A grant came at the same time: it goes to the next one.
	switch g := <-me.grant; {
	case g.conn != nil:
		g.conn.Unreserve()
	case g.err == nil:
		p.giveRight(r)
	}
}

func (p *Pool) granted(ctx context.Context, r *route, g grant, w *Want) (Got, error) {
	switch {
	case g.err != nil:
		return Got{}, g.err
	case g.conn != nil:
		return Got{Conn: g.conn, Used: true}, nil
	}
	return p.dial(ctx, r, w)
}

// changed hears that c has room, is idle, or is over. made is c's own connection,
// which c may not yet hold.
func (p *Pool) changed(c *Conn, made *h2.Conn) {
	claimed := p.config.Claimed != nil && p.config.Claimed(c.owner)
	if p.waiting.Load() == 0 && made.Alive() && !claimed {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !made.Alive() {
		p.forget(c)
	} else if claimed && made.Drop() {
		p.forget(c)
	}
	p.serve()
}

// Evict closes the connection that has been idle for longest, if there is one.
func (p *Pool) Evict() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evict(nil)
}

// EvictFrom is Evict for the connections to key.
func (p *Pool) EvictFrom(key dial.Route) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.routes[key]; r != nil {
		p.evict(r)
	}
}

// ExtendedConnect reports whether a connection to key takes streams, and on them
// requests with a :protocol.
func (p *Pool) ExtendedConnect(key dial.Route) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.routes[key]
	return r != nil && slices.ContainsFunc(r.conns, func(c *Conn) bool { return c.ExtendedConnect() && c.State().Usable })
}

// Find returns the route of a connection that takes streams and for which ok
// reports true.
func (p *Pool) Find(ok func(key dial.Route, c *engine.Conn) bool) (key dial.Route, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, r := range p.routes {
		for _, c := range r.conns {
			if c.State().Usable && ok(key, c.Info) {
				return key, true
			}
		}
	}
	return dial.Route{}, false
}

func closedError() error { return &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed} }
