package cio

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
)

// pool keeps idle connections by route and bounds the open ones.
//
// A slot is the right to have one connection open; it is taken before dialing
// and given back when the connection is closed. Of a route's idle connections
// the one used last is used next, so that the surplus can expire. Who finds
// neither an idle connection nor a slot waits; a connection that becomes idle
// goes to the first waiter of its route, a slot to the first of all waiters that
// may use it. The connection is closed for its slot if that one came earlier:
// those of a busy route would else have it among themselves for ever.
//
// Expiry costs no goroutine: an idle connection's time is looked at when it is
// taken, and one timer for the whole pool, set only while something is idle,
// closes what nobody takes.
type pool struct {
	maxOpen, maxPerRoute, maxIdle int
	keepAlive, maxAge             time.Duration
	began                         time.Time // what durations in the pool count from

	// mu guards what follows and the fields of routes. Nothing that may block is
	// called with it held; it is the innermost lock.
	mu       sync.Mutex
	routes   map[dial.Route]*route
	queued   []*route // those with waiters
	open     int      // slots taken
	waiting  int
	arrivals uint64
	closed   bool
	timer    *time.Timer
	timerAt  time.Duration // when the timer fires; 0 = it is not set
}

// route is what the pool knows of one route. It is dropped when it has neither
// slots nor waiters.
type route struct {
	key     dial.Route
	open    int
	idle    []*conn   // the one used last at the end
	waiters []*waiter // in order of arrival
}

// waiter waits for a connection or a slot.
type waiter struct {
	arrival uint64
	fresh   bool       // wants a slot, not a used connection
	grant   chan grant // has room for one
}

// grant is what a waiter gets: a connection, or else an error, or else a slot.
type grant struct {
	conn *conn
	err  error
}

// Why a connection does not go back to the pool.
var (
	errSurplus    = errors.New("bytes after the response")
	errNotKept    = errors.New("the peer or the request does not keep the connection")
	errUnread     = errors.New("the body was not read to its end")
	errUnfit      = errors.New("the connection was closed, or something came in on it, while it was idle")
	errUnsent     = errors.New("the request body was not sent to its end")
	errIdleFull   = errors.New("enough idle connections")
	errTooOld     = errors.New("the connection is too old")
	errPanicked   = errors.New("a hook panicked")
	errMadeRoom   = errors.New("closed to make room")
	errPoolClosed = engine.ErrClosed
)

func newPool(c Config) *pool {
	return &pool{
		maxOpen:     c.MaxConnections,
		maxPerRoute: c.MaxConnectionsPerRoute,
		maxIdle:     c.MaxIdlePerRoute,
		keepAlive:   c.KeepAlive,
		maxAge:      c.MaxAge,
		began:       time.Now(),
		routes:      make(map[dial.Route]*route),
	}
}

// now is the time as the pool counts it; always above 0.
func (p *pool) now() time.Duration { return time.Since(p.began) + 1 }

// take returns an idle connection of the route or, with a nil conn, a slot in
// r: who gets one must end with put, or drop(r). With fresh it is always a slot.
// If it has to wait it calls wait to do so.
func (p *pool) take(key dial.Route, fresh bool, wait func(*route, *waiter) (*conn, error)) (*conn, *route, error) {
	var dead []*conn
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, nil, errPoolClosed
	}
	r := p.routes[key]
	if r == nil {
		r = &route{key: key}
		p.routes[key] = r
	}
	if !fresh {
		var c *conn
		if c, dead = p.popIdle(r, dead); c != nil {
			p.mu.Unlock()
			closeAll(dead)
			return c, r, nil
		}
	}
	ok, dead := p.reserve(r, dead)
	if ok {
		p.mu.Unlock()
		closeAll(dead)
		return nil, r, nil
	}
	p.arrivals++
	w := &waiter{arrival: p.arrivals, fresh: fresh, grant: make(chan grant, 1)}
	if len(r.waiters) == 0 {
		p.queued = append(p.queued, r)
	}
	r.waiters = append(r.waiters, w)
	p.waiting++
	p.routes[key] = r // forget may have dropped it just now
	p.mu.Unlock()
	closeAll(dead)
	c, err := wait(r, w)
	return c, r, err
}

// popIdle takes the idle connection used last; the expired ones that it meets
// are appended to dead, their slots given back. mu is held.
func (p *pool) popIdle(r *route, dead []*conn) (*conn, []*conn) {
	if len(r.idle) == 0 {
		return nil, dead
	}
	now := p.now()
	for len(r.idle) > 0 {
		last := len(r.idle) - 1
		c := r.idle[last]
		r.idle[last] = nil
		r.idle = r.idle[:last]
		if now < c.expires {
			c.idleFor = now - c.idleSince
			return c, dead
		}
		p.forget(r)
		dead = append(dead, c)
	}
	return nil, dead
}

// reserve takes a slot for r if there is one or an idle connection can be closed
// to make one: the oldest of any route or, at the limit of r, its own. mu is held.
func (p *pool) reserve(r *route, dead []*conn) (bool, []*conn) {
	victim := (*route)(nil)
	switch {
	case r.open >= p.maxPerRoute:
		if len(r.idle) == 0 {
			return false, dead
		}
		victim = r
	case p.open >= p.maxOpen:
		for _, other := range p.routes {
			if len(other.idle) > 0 && (victim == nil || other.idle[0].idleSince < victim.idle[0].idleSince) {
				victim = other
			}
		}
		if victim == nil {
			return false, dead
		}
	}
	if victim != nil {
		dead = append(dead, victim.idle[0])
		victim.idle = slices.Delete(victim.idle, 0, 1)
		p.forget(victim)
	}
	p.open++
	r.open++
	p.routes[r.key] = r // forget may have dropped it
	return true, dead
}

// forget gives back a slot without passing it on. mu is held.
func (p *pool) forget(r *route) {
	p.open--
	r.open--
	p.tidy(r)
}

// tidy drops r if nothing refers to it any more. mu is held.
func (p *pool) tidy(r *route) {
	if r.open == 0 && len(r.waiters) == 0 && p.routes[r.key] == r {
		delete(p.routes, r.key)
	}
}

// drop gives back a slot of r and lets waiters have it.
func (p *pool) drop(r *route) {
	p.mu.Lock()
	p.forget(r)
	p.serve()
	p.mu.Unlock()
}

// serve hands free slots to waiters, first come first served. mu is held.
func (p *pool) serve() {
	for p.waiting > 0 && p.open < p.maxOpen {
		r := p.firstQueued()
		if r == nil {
			return
		}
		p.open++
		r.open++
		p.pop(r).grant <- grant{}
	}
}

// claimed reports whether somebody waits for what a connection of r takes up, or
// the pool is closed.
func (p *pool) claimed(r *route) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed || p.waiting > 0 && (len(r.waiters) > 0 || p.firstQueued() != nil)
}

// lacks tells what keeps those who wait in r from a slot: the bound of r, or that
// of all routes; neither if nobody waits.
func (p *pool) lacks(r *route) (own, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(r.waiters) == 0 {
		return false, false
	}
	own = r.open >= p.maxPerRoute
	return own, !own && p.open >= p.maxOpen
}

// firstQueued returns the route below its limit whose first waiter came first.
// mu is held.
func (p *pool) firstQueued() *route {
	var found *route
	for _, r := range p.queued {
		if r.open < p.maxPerRoute && (found == nil || r.waiters[0].arrival < found.waiters[0].arrival) {
			found = r
		}
	}
	return found
}

// overtakes reports whether who is first in r, served now, would go before somebody
// elsewhere who came earlier and needs but a slot. mu is held.
func (p *pool) overtakes(r *route) bool {
	q := p.firstQueued()
	return q != nil && q.waiters[0].arrival < r.waiters[0].arrival
}

// pop takes the first waiter of r. mu is held.
func (p *pool) pop(r *route) *waiter {
	w := r.waiters[0]
	p.unqueue(r, 0)
	return w
}

func (p *pool) unqueue(r *route, i int) {
	r.waiters = slices.Delete(r.waiters, i, i+1)
	p.waiting--
	if len(r.waiters) == 0 {
		p.queued = slices.DeleteFunc(p.queued, func(q *route) bool { return q == r })
	}
}

// leave takes w back. If it was served meanwhile, what it got goes on.
func (p *pool) leave(r *route, w *waiter) {
	p.mu.Lock()
	if i := slices.Index(r.waiters, w); i >= 0 {
		p.unqueue(r, i)
		p.tidy(r)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	switch g := <-w.grant; {
	case g.conn != nil:
		p.put(g.conn)
	case g.err == nil:
		p.drop(r)
	}
}

// put makes c idle or hands it to a waiter, and returns nil; or it closes c and
// returns why.
func (p *pool) put(c *conn) error {
	r := c.route
	p.mu.Lock()
	now := p.now()
	why := p.unfit(c, now)
	if why == nil && len(r.waiters) > 0 && !r.waiters[0].fresh && !p.overtakes(r) {
		c.idleFor = 0
		p.pop(r).grant <- grant{conn: c}
		p.mu.Unlock()
		return nil
	}
	if why == nil {
		why = p.unwanted(r)
	}
	if why != nil {
		p.mu.Unlock()
		c.shut()
		return why
	}
	c.idleSince = now
	r.idle = append(r.idle, c)
	if p.timerAt == 0 || c.expires < p.timerAt {
		p.arm(now, c.expires)
	}
	p.mu.Unlock()
	return nil
}

// unfit tells why c cannot be used again, and works out for how long it can.
// mu is held.
func (p *pool) unfit(c *conn, now time.Duration) error {
	if p.closed {
		return errPoolClosed
	}
	c.expires = now + c.keepFor(p.keepAlive)
	if p.maxAge > 0 {
		c.expires = min(c.expires, c.made+p.maxAge)
	}
	if c.expires <= now {
		return errTooOld
	}
	return nil
}

// unwanted tells why r should have no further idle connection. mu is held.
func (p *pool) unwanted(r *route) error {
	switch {
	case p.waiting > 0 && (len(r.waiters) > 0 || p.firstQueued() != nil):
		return errMadeRoom // somebody waits for the slot
	case p.maxIdle > 0 && len(r.idle) >= p.maxIdle:
		return errIdleFull
	}
	return nil
}

// arm sets the timer, at most sweepPause early or late. mu is held.
func (p *pool) arm(now, at time.Duration) {
	at = max(at, now+sweepPause)
	p.timerAt = at
	if p.timer == nil {
		p.timer = time.AfterFunc(at-now, p.sweep)
		return
	}
	p.timer.Reset(at - now)
}

// sweepPause is the shortest time between two sweeps.
const sweepPause = 100 * time.Millisecond

// sweep closes what has expired and sets the timer for what is left.
func (p *pool) sweep() {
	var dead []*conn
	p.mu.Lock()
	now, next := p.now(), time.Duration(0)
	p.timerAt = 0
	for _, r := range p.routes {
		r.idle = slices.DeleteFunc(r.idle, func(c *conn) bool {
			if c.expires <= now {
				dead = append(dead, c)
				return true
			}
			if next == 0 || c.expires < next {
				next = c.expires
			}
			return false
		})
	}
	p.release(dead)
	if next > 0 {
		p.arm(now, next)
	}
	p.mu.Unlock()
	closeAll(dead)
}

// release gives back the slots of idle connections. mu is held.
func (p *pool) release(conns []*conn) {
	for _, c := range conns {
		p.forget(c.route)
	}
	p.serve()
}

// closeIdle closes all idle connections; with final, the pool too.
func (p *pool) closeIdle(final bool) {
	var dead []*conn
	p.mu.Lock()
	for _, r := range p.routes {
		dead = append(dead, r.idle...)
		r.idle = nil
	}
	if final {
		p.closed = true
		for _, r := range slices.Clone(p.queued) {
			for len(r.waiters) > 0 {
				p.pop(r).grant <- grant{err: errPoolClosed}
			}
		}
	}
	p.release(dead)
	if p.timer != nil {
		p.timer.Stop()
		p.timerAt = 0
	}
	p.mu.Unlock()
	closeAll(dead)
}

// closeAll closes connections whose slots were given back already.
func closeAll(dead []*conn) {
	for _, c := range dead {
		c.bury()
	}
}

// await waits for what the pool grants w, until the limit, where the error is
// reason; a zero time = for ever.
func (p *pool) await(ctx context.Context, r *route, w *waiter, limit time.Time, reason error) (*conn, error) {
	var expired <-chan time.Time
	if !limit.IsZero() {
		timer := time.NewTimer(time.Until(limit))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case g := <-w.grant:
		return g.conn, g.err
	case <-ctx.Done():
		p.leave(r, w)
		return nil, ctxerr.Of(ctx)
	case <-expired:
		p.leave(r, w)
		return nil, reason
	}
}
