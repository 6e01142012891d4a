// Package auto is an engine that chooses for each origin between HTTP/3 and what
// its engine for TCP speaks, HTTP/2 and HTTP/1.1, as browsers do.
//
// That an origin has HTTP/3 is learnt from its responses (Alt-Svc, RFC 7838) and
// from DNS (HTTPS records, RFC 9460, by a [Resolver]). With the first request that
// might use it, a QUIC handshake begins, and has a head start before TCP connects.
// Where TCP is connected already the request takes that connection, and the
// handshake is for those that follow. Connections race, requests never do: who is
// ready first carries the request, and it is sent once, so that a body which can be
// read only once is safe.
//
// An alternative whose handshake fails, while TCP works, is broken for five
// minutes, and for twice as long each further time; it is then tried in the
// background, at no request's cost. The server of an alternative must prove by
// its certificate that it is the origin. Requests by a proxy, over a unix socket
// and upgrades go by TCP.
//
// Response.Proto tells how a request went, and Config.OnEvent why.
package auto

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/envproxy"
)

const name = "auto"

// Engine is made by [Config]; its zero value is not usable. It is safe for
// concurrent use.
type Engine struct {
	config     Config // complete
	tcp        *cio.Engine
	h3         *http3.Engine      // nil = there is none
	proxies    []engine.ProxyFunc // each may be nil: the environment's
	unverified bool
	cache      *cache
	services   services
	saver      saver
	unusable   Reason          // why h3 is nil
	timeouts   engine.Timeouts // of requests that bring none
	closed     atomic.Bool

	ctx    context.Context // of what runs in the background
	cancel context.CancelFunc

	environmentOnce sync.Once
	environment     engine.ProxyFunc

	mu       sync.Mutex // guards what follows, and the fields of attempts that say so
	attempts map[route]*attempt
	suspects map[string]suspicion // by origin
}

var _ engine.Engine = (*Engine)(nil)

// Name returns "auto".
func (*Engine) Name() string { return name }

// Capabilities returns what the engine for TCP can do, and HTTP/3. A request that
// needs what HTTP/3 has not goes by TCP.
func (e *Engine) Capabilities() engine.Capabilities {
	c := e.tcp.Capabilities() &^ engine.CustomGo
	if e.h3 != nil {
		c |= engine.HTTP3
	}
	return c
}

// Close refuses new requests with ErrClosed, closes idle connections at once and
// others when their exchange ends, and saves what is to be saved; what responses
// tell that come later is not. It returns the error of the last save.
func (e *Engine) Close() error {
	e.closed.Store(true)
	e.cancel()
	err := e.tcp.Close()
	if e.h3 != nil {
		err = errors.Join(err, e.h3.Close())
	}
	return errors.Join(err, e.flush())
}

// NetworkChanged is for programs that know that the network has changed: what was
// broken on the old one is tried again, and alternatives go that their origins
// have not said persist (RFC 7838 §2.2). Handshakes that are under way are given
// up, and idle connections closed.
func (e *Engine) NetworkChanged() {
	e.abandon()
	e.cache.networkChanged()
	e.services.forget()
	e.tcp.CloseIdle()
	if e.h3 != nil {
		e.h3.CloseIdle()
	}
	e.save()
}

// Snapshot returns what the engine remembers at this moment.
func (e *Engine) Snapshot() Snapshot { return e.cache.snapshot(time.Now()) }

// Execute sends req; see engine.Engine.
func (e *Engine) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if e.closed.Load() {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	if err := engine.Check(name, e.Capabilities(), req.Needs); err != nil {
		return nil, err
	}
	c, err := e.choose(ctx, req)
	if err != nil {
		return nil, err
	}
	e.tell(c.event())
	if c.protocol == TCP {
		resp, err := e.byTCP(ctx, req, &c)
		if c.protocol == TCP {
			return resp, err
		}
		e.tell(c.event())
	}
	resp, again, err := e.byHTTP3(ctx, req, c)
	switch {
	case again == "":
		return resp, err
	case c.reason == Rescued && again == Repeated:
		return nil, err
	case c.reason == Rescued:
		return nil, c.err // TCP was tried
	}
	c = choice{origin: c.origin, protocol: TCP, route: c.route, reason: again, err: err}
	e.tell(c.event())
	resp, err = e.byTCP(ctx, req, &c)
	if o, ok := errors.AsType[*engine.OpError](err); ok && again == Repeated && !o.Sent {
		err = &engine.OpError{Op: o.Op, Err: o.Err, Sent: true} // by HTTP/3
	}
	return resp, err
}

// byHTTP3 sends req by HTTP/3. If it is to be sent by TCP instead, again says why.
func (e *Engine) byHTTP3(ctx context.Context, req *engine.Request, c choice) (resp *engine.Response, again Reason, err error) {
	sent, at := req, c.route.authority
	if at == c.origin {
		at = ""
	}
	if at != "" && !req.Header.Has("Alt-Used") {
		copied := *req
		copied.Header = req.Header.Clone()
		copied.Header.Add("Alt-Used", altUsed(at)) // RFC 7838 §5
		sent = &copied
	}
	repeatable := req.Body == nil || req.Body.Replayable()
	if c.reason == Demanded { // then it must not go by TCP
		resp, err = e.h3.ExecuteAt(ctx, sent, at)
		repeatable = false
	} else {
		resp, err = e.h3.ExecuteConnected(ctx, sent, at)
	}
	if o, ok := errors.AsType[*engine.OpError](err); ok && errors.Is(err, http3.ErrNotConnected) {
		if !o.Sent {
			return nil, Unsent, err
		}
		if e.cache.lose(c.route) { // once it may have been dead for long
			e.suspect(c.route, err)
		}
		return nil, Repeated, err // else the error would be what became of the connection
	}
	if err != nil {
		if e.blame(err) {
			e.suspect(c.route, err)
			if o, ok := errors.AsType[*engine.OpError](err); ok && !o.Sent && repeatable && ctx.Err() == nil {
				return nil, Unsent, err
			}
		}
		return nil, "", wrapName(err)
	}
	if e.cache.work(c.route) {
		e.tell(Event{Kind: Recovered, Origin: c.origin, Authority: c.route.authority})
		e.save()
	}
	if resp.Status == misdirected {
		e.services.drop(c.route)
		if e.cache.drop(c.route) {
			e.save()
		}
		if !elsewhere(req) {
			e.suspect(c.route, errMisdirected) // or it would be learnt anew, and asked in vain each time
		}
		if repeatable { // RFC 7838 §6, RFC 9110 §15.5.20
			resp.Body.Close()
			return nil, Misdirected, nil
		}
		return resp, "", nil
	}
	e.learn(req, resp, c.origin)
	return resp, "", nil
}

// altUsed writes an authority as Alt-Used has it.
func altUsed(at string) string { return strings.TrimSuffix(at, ":443") }

// blame reports whether err speaks against the alternative, and not against the
// request, its limits or its caller.
func (e *Engine) blame(err error) bool {
	o, ok := errors.AsType[*engine.OpError](err)
	if !ok || errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrClosed) {
		return false
	}
	t, limit := errors.AsType[*engine.TimeoutError](err)
	if limit && t.Kind != engine.KindConnect || !limit && errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return connecting(o.Op) || http3.ServerFault(err)
}

// connecting reports whether op comes before there is a connection.
func connecting(op engine.Op) bool {
	return op == engine.OpDNS || op == engine.OpConnect || op == engine.OpTLS
}

// byTCP sends req by the engine for TCP; if a handshake that is under way turns out
// to be quicker, c becomes a choice of HTTP/3, and nothing was sent.
//
// That TCP works is what makes a failed alternative a broken one: else it may be
// the network, and the suspicion ends.
func (e *Engine) byTCP(ctx context.Context, req *engine.Request, c *choice) (*engine.Response, error) {
	resp, err := e.raced(ctx, req, c)
	switch {
	case c.protocol != TCP:
		return nil, nil
	case err != nil:
		if !c.excluded && e.blame(err) {
			e.acquit(c.origin)
		}
		return nil, wrapName(err)
	case !c.excluded:
		e.tcpWorks(c, resp.Status)
	}
	e.learn(req, resp, c.origin)
	return resp, nil
}

const misdirected = 421

var errMisdirected = errors.New("it answered 421 Misdirected Request, and the origin itself did not")

// raced sends req by the engine for TCP, in a race with the attempts of c.
func (e *Engine) raced(ctx context.Context, req *engine.Request, c *choice) (*engine.Response, error) {
	r := newRace(ctx, c.attempts)
	if r == nil {
		return e.tcp.Execute(ctx, req)
	}
	defer r.end()
	resp, err := e.tcp.Execute(r, r.entry(req))
	if err == nil {
		r.connected.Store(true)
		return resp, nil
	}
	a, reason, err := e.outcome(r, req, c.begun, err)
	if a == nil {
		return nil, err
	}
	c.protocol, c.reason, c.route, c.err = HTTP3, reason, a.route, nil
	if err != nil {
		c.err = wrapName(err)
	}
	return nil, nil
}

// wrapName names this engine in what the engines below cannot do.
func wrapName(err error) error {
	u, ok := errors.AsType[*engine.UnsupportedError](err)
	if !ok {
		return err
	}
	own := *u
	own.Engine = name
	if o, ok := errors.AsType[*engine.OpError](err); ok {
		return &engine.OpError{Op: o.Op, Err: &own, Sent: o.Sent}
	}
	return &own
}

// learn reads Alt-Svc of a response that came from the origin itself, by TLS.
func (e *Engine) learn(req *engine.Request, resp *engine.Response, origin string) {
	if e.h3 == nil || req.URL.Scheme != "https" || resp.Status == misdirected || elsewhere(req) || resp.Conn == nil || resp.Conn.TLS == nil {
		return
	}
	values := resp.Header.Values("Alt-Svc")
	if len(values) == 0 {
		return
	}
	now := time.Now()
	host := strings.ToLower(req.URL.Hostname())
	found, clear, err := parseAltSvc(strings.Join(values, ", "), host, now)
	if err != nil {
		e.tell(Event{Kind: Trouble, Origin: origin, Err: err})
		return
	}
	if e.unverified {
		found = slices.DeleteFunc(found, func(a Alternative) bool { return !onHost(a.Authority, host) })
	}
	found = slices.DeleteFunc(found, func(a Alternative) bool { return !now.Before(a.Expires) }) // "ma=0"
	if !e.cache.store(origin, found, now) {
		return
	}
	e.save()
	if clear || len(found) == 0 {
		e.tell(Event{Kind: Forgotten, Origin: origin})
	}
	for _, a := range found {
		e.tell(Event{Kind: Learned, Origin: origin, Authority: a.Authority})
	}
}

// elsewhere reports whether req asks another server than its URL names: what the
// answer says is not about that.
func elsewhere(req *engine.Request) bool {
	host := req.Header.Get("Host")
	return req.UnixSocket != "" || host != "" && !strings.EqualFold(host, req.URL.Host)
}

// proxied reports whether a proxy is configured for req, or whether that cannot
// be told: the engine for TCP will.
func (e *Engine) proxied(req *engine.Request) bool {
	choices := e.proxies
	if req.Proxy != nil {
		choices = []engine.ProxyFunc{req.Proxy}
	}
	for _, choose := range choices {
		if choose == nil {
			e.environmentOnce.Do(func() { e.environment = envproxy.Read() })
			choose = e.environment
		}
		if proxy, err := choose(req.URL); proxy != nil || err != nil {
			return true
		}
	}
	return false
}

// hostPort returns u's host in lower case with a port.
func hostPort(u *url.URL) string {
	return net.JoinHostPort(strings.ToLower(u.Hostname()), first(u.Port(), "443"))
}
