package pool

import (
	"context"
	"errors"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/h2/exchange"
)

// How long a route with a usable connection waits after a dial that has failed:
// twice as long after each further one.
const (
	minPause = 100 * time.Millisecond
	maxPause = 10 * time.Second
)

// ErrElsewhere is an error of Want.Dial that tells that requests to the route do
// not go by HTTP/2: all who wait get it.
var ErrElsewhere = errors.New("the server has not chosen HTTP/2")

// dial makes a connection by a right that mayDial has taken.
func (p *Pool) dial(ctx context.Context, r *route, w *Want) (Got, error) {
	var made *dial.Conn
	var owner any
	var err error
	returned := false
	defer func() {
		if !returned { // a panic of the caller's own code
			p.giveRight(r)
		}
	}()
	if w.Slot != nil {
		err = w.Slot()
	}
	if err == nil {
		p.mu.Lock()
		r.connects(true)
		p.mu.Unlock()
		made, owner, err = w.Dial()
	}
	returned = true
	if err != nil {
		if me := p.failed(ctx, r, err); me != nil {
			return p.await(ctx, r, me, w)
		}
		return Got{}, err
	}
	c := &Conn{Conn: exchange.Conn{Info: made.Info}, route: r, owner: owner, made: time.Now()}
	config := p.config.Conn
	config.Changed = func(hc *h2.Conn) { p.changed(c, hc) }
	p.mu.Lock()
	r.failures, r.retryAt = 0, time.Time{}
	r.dialed()
	for _, c := range r.conns {
		r.streams = max(r.streams, c.State().Limit)
	}
	config.AssumedStreams = r.streams
	if p.closed {
		p.gaveUp(r)
		p.ended(owner)
		p.mu.Unlock()
		h2.Discard(made.Conn)
		return Got{}, closedError()
	}
	// Changed must not find c half made, nor absent.
	c.Conn.Conn = h2.New(made.Conn, config)
	r.conns = append(r.conns, c)
	_, _, ok := c.Reserve()
	var me *waiter
	var reason error
	if !ok {
		if reason = c.Reason(); reason == nil {
			me = p.queue(r, 0) // the server was quick to say that it takes no streams
		}
	}
	p.arm()
	p.serve()
	p.mu.Unlock()
	p.changed(c, c.Conn.Conn) // what was missed
	switch {
	case ok:
		return Got{Conn: c}, nil
	case me != nil:
		return p.await(ctx, r, me, w)
	}
	return Got{}, &engine.OpError{Op: engine.OpReceive, Err: reason}
}

// failed ends a dial that came to err. Who dialed is to wait if a waiter is
// returned, else he fails, and with him all who wait, unless err is about him
// only: then one of them tries.
func (p *Pool) failed(ctx context.Context, r *route, err error) (me *waiter) {
	timeout, ok := errors.AsType[*engine.TimeoutError](err)
	own := ctx.Err() != nil || ok && timeout.Kind != engine.KindConnect
	p.mu.Lock()
	defer p.mu.Unlock()
	usable, _ := r.usable(p.config.MaxAge)
	switch {
	case own || p.closed:
	case usable && !errors.Is(err, ErrElsewhere):
		p.backOff(r)
		me = p.queue(r, 0)
	case !engine.IsTimeout(err):
		for len(r.waiters) > 0 {
			r.pop(p).grant <- grant{err: err}
		}
	}
	r.dialed()
	p.gaveUp(r)
	p.serve()
	return me
}

// backOff lets r make no further connection for a while. mu is held.
func (p *Pool) backOff(r *route) {
	pause := min(minPause<<min(r.failures, 10), maxPause)
	r.failures++
	r.retryAt = time.Now().Add(pause)
	time.AfterFunc(pause, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.serve()
	})
}

// giveRight gives the right to make a connection back, unused.
func (p *Pool) giveRight(r *route) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.dialed()
	p.gaveUp(r)
	p.serve()
}

// dialed takes back the right to make a connection. mu is held.
func (r *route) dialed() {
	r.dialing = false
	r.connects(false)
}
