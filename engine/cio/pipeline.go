package cio

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
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
// A route is pipelined once a response has shown HTTP/1.1 and that connections
// persist. It is not for barFor, after maxStrikes connections in a row that lost
// requests before they had answered as many as fit on one.
const (
	defaultPipelineMaxSize = 20

	maxStrikes = 3
	barFor     = 5 * time.Minute

	// maxPipelinedResends is how often a request goes to another pipelined
	// connection. After that it gets a connection for itself.
	maxPipelinedResends = 2

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

// waiting adds the requests that wait for a place to the pool's statistics.
func (s *lanes) waiting(stats *Stats) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, l := range s.byRoute {
		l.mu.Lock()
		n := len(l.queue)
		l.mu.Unlock()
		if n == 0 {
			continue
		}
		stats.Waiting += n
		name := key.String()
		for i := range stats.Routes {
			if stats.Routes[i].Route == name {
				stats.Routes[i].Waiting += n
				break
			}
		}
	}
}

// lane is what a route has of pipelining.
//
// Who finds no place tries to open a further connection, one caller at a time:
// the scout. If the pool has none to give, it waits in line for a place; if
// there is no pipe either, in the pool's queue.
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
	proven bool // a response has shown that the server can
	never  bool // the route leads by a proxy that forwards requests
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
// t is to use alone, or alone without one: then t is not pipelined at all. pause
// is how long it may wait.
func (l *lane) enter(t *ticket, pause time.Duration) (c *conn, alone bool, err error) {
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
	if l.scout == nil {
		l.scout = t
		t.state.Store(ticketScouts)
	} else {
		t.state.Store(ticketQueued)
		l.queue = append(l.queue, t)
	}
	l.mu.Unlock()
	limit := t.x.clock.Whole.Or(transfer.In(pause, time.Now(), engine.KindPool))
	for {
		switch t.state.Load() {
		case ticketQueued:
			if err = l.linger(t, limit); err != nil {
				return nil, false, err
			}
		case ticketScouts:
			if c, alone, err = l.fetch(t, limit); err != nil || alone {
				return c, alone, err
			}
		case ticketDismissed:
			return nil, true, nil
		default:
			return nil, false, nil
		}
	}
}

// linger waits in the queue until something changes; an error ends the wait.
func (l *lane) linger(t *ticket, limit transfer.Due) error {
	var err error
	switch {
	case t.x.aborted.Load():
		err = t.x.ctxError()
	default:
		now := time.Now()
		if !limit.Over(now) {
			t.alarm.wait(now, limit.At)
			return nil
		}
		err = limit.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.queue, t)
	if i < 0 {
		// It was served just now. A place may be taken and given up again; with
		// the scout's part the next one has to go on.
		if l.scout == t {
			l.scout = nil
			l.promote()
			return err
		}
		return nil
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	return err
}

// fetch gets a connection for t, the scout, and makes a pipe of it.
func (l *lane) fetch(t *ticket, limit transfer.Due) (c *conn, alone bool, err error) {
	x, pool := t.x, l.engine.pool
	c, err = x.obtain(l.route, x.resends > 0, func(r *route, w *waiter) (*conn, error) {
		if l.hasPipes() {
			pool.leave(r, w)
			return nil, errBusy
		}
		return pool.await(x.ctx, r, w, limit)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scout = nil
	switch {
	case errors.Is(err, errBusy):
		if p := l.vacancy(); p != nil && len(l.queue) == 0 {
			p.seat(t)
		} else if len(l.pipes) == 0 {
			l.scout = t // the pipe that it should have waited for is gone
		} else {
			t.state.Store(ticketQueued)
			l.queue = slices.Insert(l.queue, 0, t)
			l.admit()
		}
		return nil, false, nil
	case err != nil:
		l.promote()
		return nil, false, err
	case c.Forward:
		// How the request is written depends on it; and such proxies are the
		// least to be trusted with pipelining.
		l.never = true
		l.dismiss()
		return c, true, nil
	}
	p := newPipe(l, c)
	l.pipes = append(l.pipes, p)
	p.seat(t)
	l.admit()
	l.promote()
	return nil, false, nil
}

func (l *lane) hasPipes() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pipes) > 0
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
		if p.closing != nil || p.tail-p.head >= room {
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
	l.dismiss()
}

// dismiss lets all who wait go without pipelining. mu is held.
func (l *lane) dismiss() {
	for _, t := range l.queue {
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
