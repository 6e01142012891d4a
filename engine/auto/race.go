package auto

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// attempt is a QUIC handshake in the background. All requests for its route share
// it; it outlives them.
type attempt struct {
	route route
	done  chan struct{}
	err   error // set before done is closed
	// headStart is when requests stop waiting for it.
	headStart time.Time

	// Guarded by Engine.mu. A failed handshake breaks the alternative as soon as
	// it is known that TCP works.
	over, works bool
}

// ended reports whether the handshake is over; err may then be read.
func (a *attempt) ended() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// suspicion is a failure of HTTP/3 that may be the network's.
type suspicion struct {
	route route
	err   error
}

// choose decides how req goes. It may wait: for the resolver, and for a
// handshake's head start.
func (e *Engine) choose(ctx context.Context, req *engine.Request) (choice, error) {
	c := choice{protocol: TCP}
	if req.URL == nil {
		c.reason, c.excluded = NotHTTPS, true // the engine for TCP says what is wrong
		return c, nil
	}
	c.origin = hostPort(req.URL)
	if c.reason = e.excluded(req); c.reason != "" {
		c.excluded = true
		return c, nil
	}
	demanded := req.Needs.Has(engine.HTTP3)
	if s, ok := e.suspected(c.origin); ok && !demanded {
		c.route, c.reason, c.err = s.route, Suspected, s.err
		return c, nil
	}
	candidates, err := e.candidates(ctx, req, c.origin)
	if err != nil {
		return c, err
	}
	if demanded {
		c.protocol, c.reason = HTTP3, Demanded
		c.route = route{c.origin, append(candidates, c.origin)[0]}
		return c, nil
	}
	for _, at := range candidates {
		if r := (route{c.origin, at}); e.h3.Connected(req.URL, alternative(r)) {
			c.protocol, c.reason, c.route = HTTP3, Connected, r
			return c, nil
		}
	}
	now := time.Now()
	c.reason = NoAlternative
	c.begun = now
	for _, at := range candidates {
		r := route{c.origin, at}
		until, failures := e.cache.state(r)
		if now.Before(until) {
			if c.route == (route{}) {
				c.reason = MarkedBroken
			}
			continue
		}
		a := e.try(req.URL, r)
		c.attempts = append(c.attempts, a)
		switch {
		case failures == 0 && (a.ended() || now.Before(a.headStart)):
			c.route = r
			return e.wait(ctx, req, c, a)
		case c.route != (route{}): // the reason is that of the first
		case failures > 0:
			c.route, c.reason = r, Probing
		default:
			c.route, c.reason = r, Late
		}
	}
	return c, nil
}

// excluded returns why req must go by TCP, "" if it need not.
func (e *Engine) excluded(req *engine.Request) Reason {
	switch {
	case req.URL.Scheme != "https" || req.URL.Hostname() == "":
		return NotHTTPS
	case e.h3 == nil:
		return e.unusable
	case req.UnixSocket != "" || req.Protocol != "" || req.Method == http.MethodConnect || req.WantRawHead:
		return Unsuited
	case !e.h3.Capabilities().Has(req.Needs):
		return Unsuited
	case e.proxied(req):
		return Proxied
	}
	return ""
}

// candidates returns the authorities where origin may have HTTP/3: those of
// Alt-Svc, or else those of DNS.
func (e *Engine) candidates(ctx context.Context, req *engine.Request, origin string) ([]string, error) {
	if found := e.cache.lookup(origin, time.Now()); len(found) > 0 {
		return found, nil
	}
	if e.config.Resolver == nil {
		return nil, nil
	}
	if _, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
		return nil, nil // an address has no records
	}
	l := e.services.of(e.ctx, origin)
	if err := await(ctx, l.done, e.patience(req, e.config.DNSWait)); err != nil {
		return nil, err
	}
	found := e.services.authorities(l)
	if e.unverified {
		var own []Alternative
		for _, at := range found {
			own = append(own, Alternative{Authority: at})
		}
		found = nil
		for _, a := range onHost(own, req.URL.Hostname()) {
			found = append(found, a.Authority)
		}
	}
	return found, nil
}

// patience returns how long req may wait, within its own limits.
func (e *Engine) patience(req *engine.Request, wait time.Duration) time.Duration {
	if !req.Deadline.IsZero() {
		wait = min(wait, time.Until(req.Deadline))
	}
	if limit := e.connectLimit(req); engine.Limited(limit) {
		wait = min(wait, limit)
	}
	return wait
}

// connectLimit returns how long req may take to connect.
func (e *Engine) connectLimit(req *engine.Request) time.Duration {
	return req.Timeouts.Or(e.timeouts).Connect
}

// await waits for done, for a time, or for the end of ctx, which is an error.
func await(ctx context.Context, done <-chan struct{}, wait time.Duration) error {
	select {
	case <-done:
		return nil
	default:
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
		return ended(ctx)
	}
	return nil
}

// wait gives the handshake its head start. It has that once: requests that come
// later wait for what is left of it.
func (e *Engine) wait(ctx context.Context, req *engine.Request, c choice, a *attempt) (choice, error) {
	if err := await(ctx, a.done, e.patience(req, time.Until(a.headStart))); err != nil {
		return c, err
	}
	if !a.ended() {
		c.reason = Late
		return c, nil
	}
	if a.err != nil {
		c.reason, c.err = HandshakeError, a.err
		return c, nil
	}
	c.protocol, c.reason = HTTP3, Won
	return c, nil
}

// rescue reports whether req, which could not be sent by TCP because of err, is
// to go by a handshake that is still under way, or is complete by now; it waits
// for that as long as req may take to connect.
func (e *Engine) rescue(ctx context.Context, req *engine.Request, c *choice, err error) bool {
	o, ok := errors.AsType[*engine.OpError](err)
	if !ok || o.Sent || !connecting(o.Op) || ctx.Err() != nil || req.Body != nil && !req.Body.Replayable() {
		return false
	}
	for _, a := range c.attempts {
		wait := time.Duration(math.MaxInt64) // the handshake has its own limit
		if limit := e.connectLimit(req); engine.Limited(limit) {
			wait = limit - time.Since(c.begun)
		}
		if !req.Deadline.IsZero() {
			wait = min(wait, time.Until(req.Deadline))
		}
		if await(ctx, a.done, wait) != nil {
			return false
		}
		if a.ended() && a.err == nil {
			c.protocol, c.reason, c.route, c.err = HTTP3, Rescued, a.route, err
			return true
		}
	}
	return false
}

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
	a := &attempt{route: r, done: make(chan struct{}), headStart: time.Now().Add(e.config.HeadStart)}
	e.attempts[r] = a
	origin := &url.URL{Scheme: "https", Host: u.Host}
	go func() {
		err := e.h3.Connect(e.ctx, origin, alternative(r))
		e.conclude(a, err)
	}()
	return a
}

// conclude ends an attempt.
func (e *Engine) conclude(a *attempt, err error) {
	if err == nil && e.cache.work(a.route) {
		e.tell(Event{Kind: Recovered, Origin: a.route.origin, Authority: a.route.authority})
		e.save()
	}
	e.mu.Lock()
	a.err, a.over = err, true
	delete(e.attempts, a.route)
	broken := err != nil && a.works
	e.mu.Unlock()
	if broken {
		e.fail(a.route, err)
	}
	close(a.done)
}

// tcpWorks tells that a request has gone by TCP as c says. If a handshake that was
// begun for it has failed, or HTTP/3 to its origin before, it was not the network.
func (e *Engine) tcpWorks(c choice) {
	var broken []suspicion
	e.mu.Lock()
	for _, a := range c.attempts {
		if a.over && a.err != nil && !a.works {
			broken = append(broken, suspicion{a.route, a.err})
		}
		a.works = true
	}
	if s, ok := e.suspects[c.origin]; ok {
		broken = append(broken, s)
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

// fail marks a route as broken, if err speaks against it.
func (e *Engine) fail(r route, err error) {
	if e.closed.Load() || !e.blame(err) {
		return
	}
	until := e.cache.fail(r, time.Now())
	e.tell(Event{Kind: Failed, Origin: r.origin, Authority: r.authority, Err: err, Until: until})
	e.save()
}
