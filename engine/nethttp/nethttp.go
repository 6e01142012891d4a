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
	concurrent   *gate.Gate // running exchanges
	main         *http.Transport
	chain        http.RoundTripper
	closed       atomic.Bool
	live         live

	environmentOnce  sync.Once
	environmentProxy engine.ProxyFunc

	mu      sync.Mutex // guards what follows
	special map[specialRoute]*http.Transport
	closers []idleCloser
}

// specialRoute is what net/http cannot have in one transport: connections to
// different sockets for one host, and HTTP/1.1 only for upgrades.
type specialRoute struct {
	unix  string
	http1 bool
}

type idleCloser interface{ CloseIdleConnections() }

var _ engine.Engine = (*Engine)(nil)

// Name returns "nethttp".
func (*Engine) Name() string { return engineName }

// Capabilities returns what this engine can do, which depends on Config.Protocol
// and Preconfigured.
func (e *Engine) Capabilities() engine.Capabilities { return e.capabilities }

// Close refuses new requests and closes idle connections; others are closed
// when their exchange ends.
func (e *Engine) Close() error {
	e.closed.Store(true)
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
	e.mu.Lock()
	closers := slices.Clone(e.closers)
	e.mu.Unlock()
	for _, c := range closers {
		c.CloseIdleConnections()
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
	resp, err := x.execute()
	if err != nil {
		err = x.failure(err)
		x.finish()
		return nil, err
	}
	return resp, nil
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
	route := specialRoute{}
	if x := exchangeOf(r.Context()); x != nil {
		route = specialRoute{unix: x.req.UnixSocket, http1: e.mustStayHTTP1(r, x.req.Protocol)}
	}
	return e.verify(r, e.transportFor(route))
}

// mustStayHTTP1 reports whether ALPN could end in HTTP/2, which knows no upgrade.
// For websocket net/http itself sees to that.
func (e *Engine) mustStayHTTP1(r *http.Request, protocol string) bool {
	return protocol != "" && e.config.Protocol == Auto && r.URL.Scheme == "https" && !strings.EqualFold(protocol, "websocket")
}

func (e *Engine) transportFor(route specialRoute) *http.Transport {
	if route == (specialRoute{}) {
		return e.main
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.special[route]
	if t == nil {
		protocols := e.config.protocols()
		if route.http1 {
			protocols = Config{Protocol: HTTP1}.protocols()
		}
		t = e.transport(route.unix, protocols)
		if e.special == nil {
			e.special = make(map[specialRoute]*http.Transport)
		}
		e.special[route] = t
		e.closers = append(e.closers, t)
	}
	return t
}

// proxy is the transports' Proxy.
func (e *Engine) proxy(r *http.Request) (*url.URL, error) {
	choose := e.config.Proxy
	x := exchangeOf(r.Context())
	if x != nil && x.req.Proxy != nil {
		choose = x.req.Proxy
	}
	if choose == nil {
		choose = e.environment()
	}
	u, err := choose(r.URL)
	if err != nil {
		return nil, &engine.OpError{Op: engine.OpProxy, Err: err}
	}
	if u != nil {
		switch u.Scheme {
		case "http", "https", "socks5", "socks5h":
		case "socks4", "socks4a":
			return nil, &engine.UnsupportedError{Engine: engineName, Capability: engine.SOCKS4Proxy}
		default:
			return nil, &engine.OpError{Op: engine.OpProxy, Err: errors.New("proxies of scheme \"" + u.Scheme + "\" are unknown; there are http, https, socks5 and socks5h")}
		}
	}
	if u != nil && x != nil && r.URL.Scheme == "https" {
		if u, err = dial.WithCredentials(u, x.req.Header); err != nil {
			return nil, &engine.OpError{Op: engine.OpProxy, Err: err}
		}
		r.Header.Del("Proxy-Authorization") // it goes with CONNECT
	}
	if x != nil {
		x.setProxy(u)
	}
	return u, nil
}

// refusedByProxy makes an error of an answer to CONNECT that is no success.
func refusedByProxy(_ context.Context, proxy *url.URL, connect *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &engine.OpError{Op: engine.OpProxy, Err: errors.New(
		proxy.Scheme + " proxy " + proxy.Host + ": CONNECT " + connect.URL.Opaque + " was refused: " + resp.Status)}
}

type tooManyRedirects struct{ limit int }
