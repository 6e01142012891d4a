package auto

import (
	"context"
	"net/url"
	"time"
)

// attempt is a QUIC handshake in the background. All requests for its route share
// it; it outlives them.
type attempt struct {
	route route
	// headStart is when requests stop waiting for it.
	headStart time.Time
	// over ends with the handshake; err is set before that.
	over context.Context
	end  context.CancelFunc
	err  error
	// giveUp ends the handshake.
	giveUp context.CancelFunc

	// Guarded by Engine.mu. A failed handshake breaks the alternative as soon as
	// it is known that TCP works.
	finished, works bool
}

// ended reports whether the handshake is over; err may then be read.
func (a *attempt) ended() bool { return a.over.Err() != nil }

// alternative is what the engine for HTTP/3 knows a route by.
func alternative(r route) string {
	if r.authority == r.origin {
		return ""
	}
	return r.authority
}

// try begins a handshake, or joins the one that runs.
func (e *Engine) try(u *url.URL, r route) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := e.attempts[r]; a != nil {
		return a
	}
	a := &attempt{route: r, headStart: time.Now().Add(e.config.HeadStart)}
	a.over, a.end = context.WithCancel(context.Background())
	ctx, giveUp := context.WithCancel(e.ctx)
	a.giveUp = giveUp
	e.attempts[r] = a
	origin := &url.URL{Scheme: "https", Host: u.Host}
	go func() {
		defer giveUp()
		e.conclude(a, e.h3.Connect(ctx, origin, alternative(r)))
	}()
	return a
}

// conclude ends an attempt. That it has failed is known to the cache before
// another one can begin.
func (e *Engine) conclude(a *attempt, err error) {
	e.mu.Lock()
	a.err, a.finished = err, true
	broken := a.works && e.blame(err)
	e.mu.Unlock()
	switch {
	case err == nil:
		e.tell(Event{Kind: Opened, Origin: a.route.origin, Authority: a.route.authority})
	case broken:
		e.fail(a.route, err)
	}
	e.mu.Lock()
	if e.attempts[a.route] == a {
		delete(e.attempts, a.route)
	}
	e.mu.Unlock()
	a.end()
}

// abandon ends the attempts that run, and all suspicions: they are held against
// nobody.
func (e *Engine) abandon() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.attempts {
		a.giveUp()
	}
	clear(e.attempts)
	clear(e.suspects)
}

// suspicion is a failure of HTTP/3 that may be the network's.
type suspicion struct {
	route route
	err   error
}

// tcpWorks tells that a request has gone by TCP as c says, and was answered with
// status. If a handshake that was begun for it has failed, or HTTP/3 to its origin
// before, it was not the network.
func (e *Engine) tcpWorks(c *choice, status int) {
	var broken []suspicion
	e.mu.Lock()
	for _, a := range c.attempts {
		if a.finished && !a.works && e.blame(a.err) {
			broken = append(broken, suspicion{a.route, a.err})
		}
		a.works = true
	}
	if s, ok := e.suspects[c.origin]; ok {
		if s.err != errMisdirected || status != misdirected {
			broken = append(broken, s)
		}
		delete(e.suspects, c.origin)
	}
	e.mu.Unlock()
	for _, s := range broken {
		e.fail(s.route, s.err)
	}
}

// suspect notes that a request by r has failed. The next ones go by TCP: if that
// works, r is broken, and if not, it is acquitted.
func (e *Engine) suspect(r route, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.suspects) >= e.config.MaxOrigins {
		clear(e.suspects)
	}
	e.suspects[r.origin] = suspicion{r, err}
}

func (e *Engine) suspected(origin string) (suspicion, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.suspects[origin]
	return s, ok
}

func (e *Engine) acquit(origin string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.suspects, origin)
}

// fail marks a route as broken.
func (e *Engine) fail(r route, err error) {
	if e.closed.Load() {
		return
	}
	until := e.cache.fail(r, time.Now())
	e.tell(Event{Kind: Failed, Origin: r.origin, Authority: r.authority, Err: err, Until: until})
	e.save()
}
