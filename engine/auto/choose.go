package auto

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

// choice is how a request goes, and why.
type choice struct {
	origin   string
	protocol string
	route    route // by HTTP/3, or what was tried
	reason   Reason
	attempts []*attempt // race with TCP; their failure counts when TCP works
	begun    time.Time
	excluded bool // TCP tells nothing of the way to the origin
	err      error
}

func (c *choice) event() Event {
	return Event{Kind: Chosen, Origin: c.origin, Authority: c.route.authority, Protocol: c.protocol, Reason: c.reason, Err: c.err}
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
	if ctx.Err() != nil {
		return c, ended(ctx)
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
		c.protocol, c.reason, c.route = HTTP3, Demanded, e.best(req.URL, c.origin, candidates)
		return c, nil
	}
	if r, ok := e.connected(req.URL, c.origin, candidates); ok {
		c.protocol, c.reason, c.route = HTTP3, Connected, r
		return c, nil
	}
	return e.attempt(ctx, req, c, candidates)
}

// attempt begins handshakes with the candidates up to the first that has not
// failed, which gets its head start.
func (e *Engine) attempt(ctx context.Context, req *engine.Request, c choice, candidates []string) (choice, error) {
	c.begun, c.reason = time.Now(), NoAlternative
	for _, at := range candidates {
		r := route{c.origin, at}
		until, failures := e.cache.state(r)
		if c.begun.Before(until) {
			if c.route == (route{}) {
				c.reason = MarkedBroken
			}
			continue
		}
		a := e.try(req.URL, r)
		c.attempts = append(c.attempts, a)
		switch {
		case failures == 0 && (a.ended() || c.begun.Before(a.headStart)):
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

// connected returns the first candidate with an open connection. One that has
// failed since it was opened is left alone.
func (e *Engine) connected(u *url.URL, origin string, candidates []string) (route, bool) {
	for _, at := range candidates {
		r := route{origin, at}
		if !e.h3.Connected(u, alternative(r)) {
			continue
		}
		if until, _ := e.cache.state(r); !time.Now().Before(until) {
			return r, true
		}
	}
	return route{}, false
}

// best returns where a request that must go by HTTP/3 has the best chance.
func (e *Engine) best(u *url.URL, origin string, candidates []string) route {
	if r, ok := e.connected(u, origin, candidates); ok {
		return r
	}
	for _, at := range candidates {
		r := route{origin, at}
		if until, _ := e.cache.state(r); !time.Now().Before(until) {
			return r
		}
	}
	return route{origin, origin}
}

// excluded returns why req must go by TCP, "" if it need not.
func (e *Engine) excluded(req *engine.Request) Reason {
	switch {
	case req.URL.Scheme != "https" || req.URL.Hostname() == "":
		return NotHTTPS
	case e.h3 == nil:
		return e.unusable
	case req.UnixSocket != "" || req.Protocol != "" || req.Method == http.MethodConnect || req.WantRawHead || req.Header.Has("Upgrade"):
		return Unsuited
	case !e.h3.Capabilities().Has(req.Needs):
		return Unsuited
	case e.proxied(req):
		return Proxied
	}
	return ""
}

// candidates returns the authorities where origin may have HTTP/3: those of
// Alt-Svc, or else those of DNS. Where nobody looks at certificates, one on another
// host could be anybody.
func (e *Engine) candidates(ctx context.Context, req *engine.Request, origin string) ([]string, error) {
	host := strings.ToLower(req.URL.Hostname())
	unproven := func(at string) bool { return e.unverified && !onHost(at, host) }
	// What was kept may come from an engine that did look.
	if found := slices.DeleteFunc(e.cache.lookup(origin, time.Now()), unproven); len(found) > 0 {
		return found, nil
	}
	if e.config.Resolver == nil {
		return nil, nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil, nil // an address has no records
	}
	l := e.services.of(e.ctx, origin)
	found := e.services.authorities(l)
	if len(found) == 0 {
		if err := await(ctx, l.done, e.patience(req, time.Until(l.begun.Add(e.config.DNSWait)))); err != nil {
			return nil, err
		}
		found = e.services.authorities(l)
	}
	return slices.DeleteFunc(slices.Clone(found), unproven), nil
}

// onHost reports whether an authority is on host, which is lower case.
func onHost(authority, host string) bool {
	h, _, err := net.SplitHostPort(authority)
	return err == nil && h == host
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

// ended makes the error of a request whose context has ended before it had a
// connection.
func ended(ctx context.Context) error {
	return &engine.OpError{Op: engine.OpConnect, Err: ctxerr.Of(ctx)}
}

// wait gives the handshake its head start. It has that once: requests that come
// later wait for what is left of it. Where TCP need not connect there is nothing
// to wait for.
func (e *Engine) wait(ctx context.Context, req *engine.Request, c choice, a *attempt) (choice, error) {
	if !a.ended() && e.warm(c.origin) {
		c.reason = Warm
		return c, nil
	}
	if err := await(ctx, a.over.Done(), e.patience(req, time.Until(a.headStart))); err != nil {
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

// warm reports whether TCP has a connection to origin, be it idle, in use or
// being made.
func (e *Engine) warm(origin string) bool {
	for _, r := range e.tcp.Stats().Routes {
		if r.Route == "https://"+origin && r.Open > 0 {
			return true
		}
	}
	return false
}
