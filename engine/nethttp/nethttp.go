// Package nethttp is the standard library's HTTP client as an engine.
//
// It speaks HTTP/1.1 and HTTP/2 and takes whatever is made for net/http: a
// preconfigured http.RoundTripper, interceptors around it, changes to its
// http.Transport. What net/http lacks is added here: a bound on connections in
// all, timeouts of single phases for each request, and typed errors.
//
// net/http keeps neither order nor case of fields; names are sent in canonical
// form, and responses list them in alphabetical order. Its own decompression is
// off: Content-Encoding reaches the caller.
package nethttp

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/gate"
)

// Engine sends requests by net/http. It is made by Config.NewEngine and safe for
// concurrent use.
type Engine struct {
	config       Config
	capabilities engine.Capabilities
	dialer       *dial.Dialer
	connections  *gate.Gate // open connections
	routes       routes
	concurrent   *gate.Gate      // running exchanges
	main         *http.Transport // nil with Preconfigured
	chain        http.RoundTripper
	closed       atomic.Bool
	live         live

	mu      sync.Mutex // guards what follows
	special map[special]*specialTransport
	uses    uint64 // of special
}

type idleCloser interface{ CloseIdleConnections() }

var _ engine.Engine = (*Engine)(nil)

// Name returns "nethttp".
func (*Engine) Name() string { return engineName }

// Capabilities returns what this engine can do, which depends on Config.Protocol
// and Preconfigured.
func (e *Engine) Capabilities() engine.Capabilities { return e.capabilities }

// Close refuses new requests with ErrClosed, those that wait for their turn by
// MaxConcurrent too, and closes idle connections; others are closed when their
// exchange ends.
func (e *Engine) Close() error {
	e.closed.Store(true)
	e.concurrent.Close()
	e.closeIdle()
	e.live.close()
	return nil
}

// CloseIdle closes the idle connections; requests go on.
func (e *Engine) CloseIdle() { e.closeIdle() }

// makeRoom closes idle connections if somebody waits for a slot.
func (e *Engine) makeRoom() {
	if e.connections.Crowded() || e.routes.crowded() {
		e.closeIdle()
	}
}

func (e *Engine) closeIdle() {
	if e.main == nil {
		if c, ok := e.config.Preconfigured.(idleCloser); ok {
			c.CloseIdleConnections()
		}
		return
	}
	e.main.CloseIdleConnections()
	e.mu.Lock()
	known := slices.Collect(maps.Values(e.special)) // of connections that CustomizeTransport makes, live knows nothing
	e.mu.Unlock()
	for _, t := range known {
		t.CloseIdleConnections()
	}
	for t := range e.live.inUse() {
		t.CloseIdleConnections()
	}
}

// Execute sends req; see engine.Engine.
func (e *Engine) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if e.closed.Load() {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	if err := engine.Check(engineName, e.capabilities, needs(req)); err != nil {
		return nil, err
	}
	x := newExchange(ctx, e, req)
	returned := false
	defer func() {
		if !returned { // a function of the caller's panicked, such as Proxy
			x.finish()
		}
	}()
	resp, err := x.execute()
	if err != nil {
		err = x.failure(err)
		x.finish()
	}
	returned = true
	return resp, err
}

// needs returns the capabilities that req asks for.
func needs(req *engine.Request) engine.Capabilities {
	need := req.Needs
	for _, n := range []struct {
		asked bool
		what  engine.Capabilities
	}{
		{req.Protocol != "", engine.Upgrade}, {req.Method == http.MethodConnect, engine.Connect},
		{req.Trailer != nil, engine.RequestTrailers}, {!req.Deadline.IsZero(), engine.RequestTimeout},
		{engine.Limited(req.Timeouts.Pool), engine.PoolTimeout}, {engine.Limited(req.Timeouts.Connect), engine.ConnectTimeout},
		{engine.Limited(req.Timeouts.Header), engine.HeaderTimeout}, {engine.Limited(req.Timeouts.Idle), engine.IdleTimeout},
		{req.Proxy != nil, engine.RequestProxy}, {req.UnixSocket != "", engine.UnixSocket},
		{req.NoStaleRetry, engine.NoStaleRetry}, {req.WantRawHead, engine.RawHead},
	} {
		if n.asked {
			need |= n.what
		}
	}
	return need
}

// build composes interceptors, redirects and transports.
func (e *Engine) build() http.RoundTripper {
	c := e.config
	var rt http.RoundTripper = roundTripper(e.send)
	for _, around := range slices.Backward(c.NetworkInterceptors) {
		rt = around(rt)
	}
	if c.FollowRedirects {
		rt = e.follow(rt)
	}
	for _, around := range slices.Backward(c.Interceptors) {
		rt = around(rt)
	}
	return rt
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// follow stands for the engine-level redirects.
func (e *Engine) follow(rt http.RoundTripper) http.RoundTripper {
	limit := or(e.config.MaxRedirects, defaultMaxRedirects)
	client := &http.Client{Transport: rt, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > limit {
			return &tooManyRedirects{limit}
		}
		return nil
	}}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := client.Do(r)
		if e, ok := errors.AsType[*url.Error](err); ok {
			return nil, e.Err // the body that comes with a refused redirect is closed already
		}
		return resp, err
	})
}

// send is the innermost RoundTripper: it chooses the transport.
func (e *Engine) send(r *http.Request) (*http.Response, error) {
	if e.main == nil {
		return e.verify(r, e.config.Preconfigured)
	}
	if r.URL == nil || r.Header == nil { // an interceptor's request; net/http says what is missing
		return e.verify(r, e.main)
	}
	routed, route, err := e.routed(r, exchangeOf(r.Context()))
	if err != nil {
		if r.Body != nil {
			r.Body.Close() // as every RoundTripper does
		}
		return nil, err
	}
	return e.verify(routed, e.transportFor(route))
}

// mustStayHTTP1 reports whether ALPN could end in HTTP/2, which knows no upgrade.
// For websocket net/http itself sees to that.
func (e *Engine) mustStayHTTP1(r *http.Request, protocol string) bool {
	return protocol != "" && e.config.Protocol == Auto && r.URL.Scheme == "https" && !strings.EqualFold(protocol, "websocket")
}

type tooManyRedirects struct{ limit int }
