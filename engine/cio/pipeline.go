package cio

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/transfer"
)

// Pipelining (RFC 9112 §9.3.2): several requests are on a connection before the
// answer to the first of them is there.
//
// A lane is what a route has of it, a pipe a connection that carries several
// exchanges, a ticket an exchange's place in line. A pipe exists while requests
// are on it; an idle connection is the pool's, as ever, and so limits, expiry,
// statistics and Close need to know nothing of pipes.
//
// Nobody but callers works here. Who takes a place adds its request to the
// pipe's buffer; the first to do so has the duty to write it, and lets other
// goroutines run once before that, if others are on their way: their requests
// go by the same system call. The caller at the head of the line reads its own
// response and hands the turn to the next, together with the bytes that it read
// too many.
//
// Who leaves early keeps its place: the next in line discards its response, or
// gives the connection up if that takes too long, and then all whose answer has
// not begun go to another connection.
//
// What comes unasked must not answer a request that is written after it, and so
// nobody gets in line where bytes may lie unread for long: behind a response that is
// not read at once, and those that follow on it. When they are over, a look at the
// connection tells whether anything is left there.
//
// A route is pipelined once a response has shown HTTP/1.1 and that connections
// persist. It is not for barFor, after maxStrikes connections in a row that lost
// requests, or left one unanswered for muteFor until its time was over, before they
// had answered as many as fit on one.
const (
	defaultPipelineMaxSize = 20

	maxStrikes = 3
	barFor     = 5 * time.Minute
	muteFor    = time.Second / 4 // shorter silences may be the caller's impatience

	// maxPipelinedResends is how often a request goes to another pipelined
	// connection. After that it gets a connection for itself.
	maxPipelinedResends = 2

	// stallFor is how long a response may take to be read to its end, so that one
	// which the network cuts in two costs no further connection.
	stallFor = time.Millisecond

	// What a caller puts up with to discard the response of another one.
	drainMax      = 64 << 10
	drainPatience = time.Second

	maxLanes  = 1024 // kept without being in use
	maxAlarms = 64
)

var (
	errBusy       = errors.New("no connection is free")
	errNotDrained = errors.New("an earlier response on the connection was given up, and the rest of it is long or slow")
	errOldHTTP    = errors.New("the server speaks HTTP/1.0")
)

// lostError tells that a pipelined connection ended before a byte of the answer.
type lostError struct{ cause error }

func (e *lostError) Error() string {
	return fmt.Sprintf("the pipelined connection ended before this request was answered: %v", e.cause)
}

func (e *lostError) Unwrap() error { return e.cause }

// lanes keeps the lanes of an engine.
type lanes struct {
	depth int

	mu      sync.Mutex // guards byRoute; a lane's lock comes after it
	byRoute map[dial.Route]*lane
}

// newLanes returns nil if c does not pipeline.
func newLanes(c Config) *lanes {
	if !c.Pipelining || c.PipelineMaxSize == 1 || c.KeepAlive < 0 {
		return nil
	}
	return &lanes{depth: c.PipelineMaxSize, byRoute: make(map[dial.Route]*lane)}
}

func (s *lanes) of(e *Engine, route dial.Route) *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.byRoute[route]
	if l == nil {
		if len(s.byRoute) >= maxLanes {
			for key, old := range s.byRoute {
				if !old.inUse() {
					delete(s.byRoute, key)
				}
			}
		}
		l = &lane{engine: e, route: route, depth: s.depth}
		s.byRoute[route] = l
	}
	return l
}

// stats returns the requests that wait for a place.
func (s *lanes) stats() (routes []RouteStats) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, l := range s.byRoute {
		l.mu.Lock()
		n := len(l.queue)
		l.mu.Unlock()
		if n > 0 {
			routes = append(routes, RouteStats{Route: key.String(), Waiting: n})
		}
	}
	return routes
}

// close refuses those who wait for a place. The pool is closed already.
func (s *lanes) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.byRoute {
		l.mu.Lock()
		l.dismiss(errPoolClosed)
		l.mu.Unlock()
	}
}

// lane is what a route has of pipelining.
//
// Who finds no place tries to open a further connection, one caller at a time:
// the scout. If the pool has none to give, it waits in line for a place; if
// there is no pipe either, in the pool's queue. A connection that cannot be made
// fails all who wait, if there is no pipe, unless it was the scout's own limit, or
// end, that kept it from being made.
type lane struct {
	engine *Engine
	route  dial.Route
	depth  int

	// mu guards what follows and the fields of pipes and tickets that say so. It
	// goes before the locks of connections and of the pool.
	mu     sync.Mutex
	pipes  []*pipe
	queue  []*ticket // wait for a place, in order of arrival
	scout  *ticket
	trying time.Time // since when a connection is being made and there is no pipe; zero = it is not
	places uint64    // asked for so far
	proven bool      // a response has shown that the server can
	never  bool      // the route leads by a proxy that forwards requests
	// strikes counts the failures in a row; barred is until when not to
	// pipeline, as the pool counts time.
	strikes int
	barred  time.Duration
	alarms  []*alarm // to be used again
}

// inUse reports whether somebody is in the lane. What it has learnt of the server
// may be forgotten.
func (l *lane) inUse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pipes) > 0 || len(l.queue) > 0 || l.scout != nil
}

// isBarred reports whether the route is not to be pipelined. mu is held.
func (l *lane) isBarred() bool {
	return l.never || l.barred > 0 && l.engine.pool.now() < l.barred
}

// enter gets t a place in a pipe. Instead of one it may return a connection that
// t is to use alone, or alone without one: then t is not pipelined at all.
func (l *lane) enter(t *ticket, limits engine.Timeouts) (c *conn, alone bool, err error) {
	l.mu.Lock()
	if t.alarm == nil {
		t.alarm = l.takeAlarm()
	}
	if l.isBarred() {
		l.mu.Unlock()
		return nil, true, nil
	}
	if len(l.queue) == 0 {
		if p := l.vacancy(); p != nil {
			p.seat(t)
			l.mu.Unlock()
			return nil, false, nil
		}
	}
	t.arrival = l.places
	l.places++
	if l.scout == nil {
		l.scout = t
		t.state.Store(ticketScouts)
	} else {
		t.state.Store(ticketQueued)
		l.queue = append(l.queue, t)
	}
	l.mu.Unlock()
	p := patience{begin: time.Now(), connect: limits.Connect}
	p.place = t.x.clock.Whole.Or(transfer.In(limits.Pool, p.begin, engine.KindPool))
	for {
		switch t.state.Load() {
		case ticketQueued:
			if err = l.linger(t, p); err != nil {
				return nil, false, err
			}
		case ticketScouts:
			if c, alone, err = l.fetch(t, p); err != nil || alone {
				return c, alone, err
			}
		case ticketDismissed:
			return nil, t.cause == nil, t.cause
		default:
			return nil, false, nil
		}
	}
}

// patience is for how long a ticket waits to get into a pipe.
type patience struct {
	begin   time.Time
	place   transfer.Due  // for a place, or in the pool's queue
	connect time.Duration // for a connection that is being made
}

// due is when the connection that is being made must be there. What others have
// spent on it counts for who waits for them. mu is held.
func (l *lane) due(p patience) transfer.Due {
	switch {
	case l.trying.IsZero():
		return transfer.Due{}
	case l.trying.After(p.begin):
		return transfer.In(p.connect, l.trying, engine.KindConnect)
	}
	return transfer.In(p.connect, p.begin, engine.KindConnect)
}

// linger waits in the queue until something changes; an error ends the wait.
func (l *lane) linger(t *ticket, p patience) error {
	l.mu.Lock()
	limit, connecting := p.place, !l.trying.IsZero()
	if connecting {
		limit = t.x.clock.Whole.Or(l.due(p)) // no bound was reached, so that Timeouts.Pool does not count
	}
	l.mu.Unlock()
	var err error
	if t.x.aborted.Load() {
		err = t.x.ctxError()
	} else {
		now := time.Now()
		if !limit.Over(now) {
			t.alarm.wait(now, limit.At)
			return nil
		}
		err = limit.Err()
	}
	if connecting {
		err = l.route.Blame(t.x.ctx, &engine.OpError{Op: engine.OpConnect, Err: err})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, t)
	if i < 0 {
		// It was served just now. A place may be taken and given up again; with
		// the scout's part the next one has to go on.
		if l.scout == t {
			l.resign()
			return err
		}
		return nil
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return err
}

// fetch gets a connection for t, the scout, and makes a pipe of it.
func (l *lane) fetch(t *ticket, p patience) (c *conn, alone bool, err error) {
	c, err = l.obtain(t, p)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, errBusy):
		if len(l.pipes) == 0 {
			return nil, false, nil // the pipe that it should have waited for is gone
		}
		l.scout = nil
		if p := l.vacancy(); p != nil && len(l.queue) == 0 {
			p.seat(t)
		} else {
			t.state.Store(ticketQueued)
			l.enqueue(t)
			l.admit()
		}
		return nil, false, nil
	case err != nil:
		if len(l.pipes) == 0 && ctxerr.Of(t.x.ctx) == nil && !t.x.aborted.Load() && !engine.IsTimeout(err) {
			l.dismiss(err)
		}
		l.resign()
		return nil, false, err
	}
	l.scout, l.trying = nil, time.Time{}
	if c.Forward {
		// How the request is written depends on it; and such proxies are the
		// least to be trusted with pipelining.
		l.never = true
		l.dismiss(nil)
		return c, true, nil
	}
	l.open(c, t)
	return nil, false, nil
}

// obtain gets a connection for t, the scout: errBusy if there is none and t can wait
// for a place in a pipe instead.
func (l *lane) obtain(t *ticket, p patience) (*conn, error) {
	x, pool := t.x, l.engine.pool
	whole := x.clock.Whole
	defer func() { x.clock.Whole = whole }()
	x.clock.Whole = whole.Or(l.try(p))
	return x.obtain(l.route, x.resends > 0, func(r *route, w *waiter) (*conn, error) {
		l.mu.Lock()
		busy := len(l.pipes) > 0
		l.trying = time.Time{}
		l.mu.Unlock()
		if busy {
			pool.leave(r, w)
			return nil, errBusy
		}
		if h := l.engine.http2; h != nil {
			h.makeRoom(r)
		}
		c, err := pool.await(x.ctx, r, w, p.place.At, p.place.Err())
		if err == nil {
			x.clock.Whole = whole.Or(l.try(p))
		}
		return c, err
	})
}

// try takes notice that a connection is being made, and returns until when that may
// take.
func (l *lane) try(p patience) transfer.Due {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trying.IsZero() && len(l.pipes) == 0 {
		l.trying = time.Now()
		for _, t := range l.queue {
			t.alarm.ring() // its limit has changed
		}
	}
	return l.due(p)
}

// open makes a pipe of a connection; t gets the first place. mu is held.
func (l *lane) open(c *conn, t *ticket) {
	p := newPipe(l, c)
	l.pipes = append(l.pipes, p)
	p.seat(t)
	l.admit()
	l.promote()
}

// enqueue puts t into the queue, by its arrival. mu is held.
func (l *lane) enqueue(t *ticket) {
	i := len(l.queue)
	for i > 0 && l.queue[i-1].arrival > t.arrival {
		i--
	}
	l.queue = slices.Insert(l.queue, i, t)
}

// vacancy returns a pipe with a free place, or nil; the pipe that was made first
// is filled first. mu is held.
func (l *lane) vacancy() *pipe {
	room := uint64(1)
	if l.proven {
		room = uint64(l.depth)
	}
	pool := l.engine.pool
	for _, p := range l.pipes {
		if p.closing != nil || p.tail-p.head >= room || p.stalled() {
			continue
		}
		if pool.maxAge > 0 && pool.now() >= p.conn.made+pool.maxAge {
			continue
		}
		if pool.claimed(p.conn.route) {
			return nil // pipes run dry, so that who waits gets a connection
		}
		return p
	}
	return nil
}

// admit gives free places to who waits for one. mu is held.
func (l *lane) admit() {
	for len(l.queue) > 0 {
		p := l.vacancy()
		if p == nil {
			return
		}
		t := l.queue[0]
		l.queue = slices.Delete(l.queue, 0, 1)
		p.seat(t)
		t.alarm.ring()
	}
}

// promote makes the first in the queue the scout, unless there is one. mu is
// held.
func (l *lane) promote() {
	if l.scout != nil || len(l.queue) == 0 {
		return
	}
	t := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	l.scout = t
	t.state.Store(ticketScouts)
	t.alarm.ring()
}

// resign makes the next in the queue the scout. mu is held.
func (l *lane) resign() {
	l.scout = nil
	if l.promote(); l.scout == nil {
		l.trying = time.Time{}
	}
}

// strike counts a failure of the server to bear pipelining. mu is held.
func (l *lane) strike() {
	if l.strikes++; l.strikes >= maxStrikes {
		l.bar()
	}
}

// bar stops pipelining for a while; then the route has to prove itself anew. mu
// is held.
func (l *lane) bar() {
	l.strikes, l.proven = 0, false
	l.barred = l.engine.pool.now() + barFor
	l.dismiss(nil)
}

// dismiss lets all who wait go: to fail by why or, if that is nil, to do without
// pipelining. mu is held.
func (l *lane) dismiss(why error) {
	for _, t := range l.queue {
		t.cause = why
		t.state.Store(ticketDismissed)
		t.alarm.ring()
	}
	l.queue = nil
}

// takeAlarm returns an alarm; mu is held.
func (l *lane) takeAlarm() *alarm {
	if n := len(l.alarms); n > 0 {
		a := l.alarms[n-1]
		l.alarms = l.alarms[:n-1]
		return a
	}
	return &alarm{bell: make(chan struct{}, 1)}
}

// giveAlarm takes t's alarm back; a late ring disturbs nobody. mu is held.
func (l *lane) giveAlarm(t *ticket) {
	if t.alarm != nil && len(l.alarms) < maxAlarms {
		l.alarms = append(l.alarms, t.alarm)
	}
	t.alarm = nil
}
