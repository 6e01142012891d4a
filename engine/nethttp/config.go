package nethttp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/gate"
)

// Protocol chooses the versions of HTTP.
type Protocol int

const (
	// Auto offers HTTP/2 and HTTP/1.1 by ALPN, and speaks HTTP/1.1 without TLS.
	Auto Protocol = iota
	// HTTP1 speaks HTTP/1.1 only.
	HTTP1
	// HTTP2 speaks HTTP/2 over TLS only; http URLs fail.
	HTTP2
	// H2C speaks HTTP/2 only, without TLS by prior knowledge (RFC 9113 §3.3).
	H2C
)

// Config makes an Engine. Where a field has its zero value, the shared
// engine.Config's field of the same meaning counts, and then the default named
// here.
type Config struct {
	// Protocol chooses the versions of HTTP; zero = Auto.
	Protocol Protocol
	// HTTP2 are net/http's settings for HTTP/2; nil = its defaults.
	HTTP2 *http.HTTP2Config

	// Timeouts of every request, unless it brings its own. Connect: 0 = 10 s (with
	// Preconfigured: none); the others: 0 = none. engine.NoTimeout = none.
	Timeouts engine.Timeouts

	// MaxConnections bounds the open connections in all; 0 = no bound. Dials
	// wait in order, within Timeouts.Pool; idle connections make room for them, but
	// one that a request to the same host waits for goes to that, whoever was first.
	MaxConnections int
	// MaxConnectionsPerRoute bounds those of one scheme, host and proxy;
	// 0 = no bound.
	MaxConnectionsPerRoute int
	// MaxConcurrent bounds the exchanges that run at once; 0 = no bound.
	MaxConcurrent int
	// MaxIdle and MaxIdlePerRoute bound the idle connections that are kept, those
	// by each proxy and each unix socket apart; 0 = 100, negative = none per route.
	MaxIdle, MaxIdlePerRoute int
	// KeepAlive is how long an idle connection is kept; 0 = 90 s.
	KeepAlive time.Duration

	// MaxHeaderBytes and MaxHeaderFields bound a response's head;
	// 0 = 256 KiB and 1,000 fields.
	MaxHeaderBytes, MaxHeaderFields int

	// TCPKeepAlive configures the probes of TCP connections; zero = after 15 s,
	// every 15 s, 9 times. Without Enable but with another field set, as in
	// net.KeepAliveConfig{Idle: -1}, there are none. It is not for connections made
	// by Dial.
	TCPKeepAlive net.KeepAliveConfig
	// TCPDelay lets the system hold back small writes until earlier ones are
	// acknowledged (Nagle's algorithm), which it is else told not to do
	// (TCP_NODELAY). It is not for connections made by Dial.
	TCPDelay bool

	// TLS configures TLS; nil = crypto/tls's defaults.
	TLS *tls.Config
	// Proxy chooses a proxy; nil = by the environment.
	Proxy engine.ProxyFunc
	// Dial, Resolve and DialControl are as in engine.Config.
	Dial        engine.DialFunc
	Resolve     engine.ResolveFunc
	DialControl func(ctx context.Context, network, address string, conn syscall.RawConn) error

	// FollowRedirects follows redirects within the engine, as http.Client does:
	// the client above sees the last response only. Off, which is right for use
	// with godwit's client, whose own redirects honour its plugins.
	FollowRedirects bool
	// MaxRedirects bounds the redirects of one request; 0 = 50.
	MaxRedirects int

	// CustomizeTransport changes the http.Transport, when all else is set; what it
	// changes is its own responsibility. It is called once for direct connections,
	// and again for the transports of each proxy, of each unix socket and of
	// upgrades to what is not websocket, when they are first used: their
	// DialContext leads there. If it sets Proxy, which is nil here, the engine
	// chooses none, and net/http talks to those by itself.
	CustomizeTransport func(*http.Transport)
	// CustomizeRequest changes each http.Request before it is sent.
	CustomizeRequest func(*http.Request)
	// Interceptors stand around a whole call, the first outermost;
	// NetworkInterceptors around each attempt, inside the engine's redirects.
	// They must keep the request's context or derive theirs from it.
	Interceptors, NetworkInterceptors []func(http.RoundTripper) http.RoundTripper

	// Preconfigured sends the requests in place of the engine's own transport.
	// Options that are about that transport are then an error. The engine's
	// Close calls its CloseIdleConnections, if it has that method.
	Preconfigured http.RoundTripper
}

var _ engine.Factory = Config{}

// engineName is the engine's name.
const engineName = "nethttp"

const (
	defaultMaxIdle      = 100
	defaultKeepAlive    = 90 * time.Second
	defaultHeaderBytes  = 256 << 10
	defaultHeaderFields = 1000
	defaultMaxRedirects = 50
	continueTimeout     = time.Second
)

// Name returns "nethttp".
func (Config) Name() string { return engineName }

// NewEngine makes an *Engine. Config.Go and NoStaleRetry of shared are
// *engine.UnsupportedError, since net/http starts goroutines and repeats
// requests by itself.
func (c Config) NewEngine(shared engine.Config) (engine.Engine, error) {
	c = c.merge(shared)
	if err := c.check(shared); err != nil {
		return nil, err
	}
	if c.Timeouts.Connect == 0 && c.Preconfigured == nil {
		c.Timeouts.Connect = 10 * time.Second
	}
	e := &Engine{config: c, capabilities: c.capabilities()}
	e.concurrent = gate.New(c.MaxConcurrent, nil)
	e.connections = gate.New(c.MaxConnections, e.closeIdle)
	e.routes.limit, e.routes.waiting = c.MaxConnectionsPerRoute, e.closeIdle
	e.dialer = &dial.Dialer{
		Engine: engineName, Proxy: c.Proxy, Dial: c.Dial, Resolve: c.Resolve, Control: c.DialControl,
		KeepAlive: c.TCPKeepAlive, Delay: c.TCPDelay, Tunnel: c.Protocol == H2C,
	}
	if c.Preconfigured == nil {
		e.main = e.transport(special{})
		e.dialer.TLS = e.main.TLSClientConfig.Clone() // for https proxies; net/http changes its own
	}
	e.chain = e.build()
	return e, nil
}

func or[T comparable](values ...T) (zero T) {
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// merge fills unset fields from shared.
func (c Config) merge(shared engine.Config) Config {
	c.Timeouts = c.Timeouts.Or(shared.Timeouts)
	c.MaxConnections = or(c.MaxConnections, shared.MaxConnections)
	c.MaxConnectionsPerRoute = or(c.MaxConnectionsPerRoute, shared.MaxConnectionsPerRoute)
	c.MaxConcurrent = or(c.MaxConcurrent, shared.MaxConcurrent)
	c.MaxHeaderBytes = or(c.MaxHeaderBytes, shared.MaxHeaderBytes)
	c.MaxHeaderFields = or(c.MaxHeaderFields, shared.MaxHeaderFields)
	c.TLS = or(c.TLS, shared.TLS)
	if c.Proxy == nil {
		c.Proxy = shared.Proxy
	}
	if c.Dial == nil {
		c.Dial = shared.Dial
	}
	if c.Resolve == nil {
		c.Resolve = shared.Resolve
	}
	if c.DialControl == nil {
		c.DialControl = shared.DialControl
	}
	return c
}

// check refuses what cannot be honoured. c is merged already.
func (c Config) check(shared engine.Config) error {
	unsupported := func(what engine.Capabilities, detail string) error {
		return &engine.UnsupportedError{Engine: engineName, Capability: what, Detail: detail}
	}
	switch {
	case shared.Go != nil:
		return unsupported(engine.CustomGo, "net/http starts its goroutines itself")
	case shared.NoStaleRetry:
		return unsupported(engine.NoStaleRetry, "net/http repeats requests on dead connections by itself")
	case c.Protocol < Auto || c.Protocol > H2C:
		return errors.New("nethttp: Config.Protocol is none of Auto, HTTP1, HTTP2 and H2C")
	case c.Preconfigured == nil:
		return nil
	}
	for _, option := range []struct {
		set  bool
		name string
	}{
		{c.Protocol != Auto, "Protocol"}, {c.HTTP2 != nil, "HTTP2"}, {c.MaxConnections != 0, "MaxConnections"},
		{c.MaxConnectionsPerRoute != 0, "MaxConnectionsPerRoute"}, {c.MaxIdle != 0, "MaxIdle"},
		{c.MaxIdlePerRoute != 0, "MaxIdlePerRoute"}, {c.KeepAlive != 0, "KeepAlive"},
		{c.MaxHeaderBytes != 0, "MaxHeaderBytes"}, {c.TLS != nil, "TLS"}, {c.Proxy != nil, "Proxy"},
		{c.Dial != nil, "Dial"}, {c.Resolve != nil, "Resolve"}, {c.DialControl != nil, "DialControl"},
		{c.TCPKeepAlive != (net.KeepAliveConfig{}), "TCPKeepAlive"}, {c.TCPDelay, "TCPDelay"},
		{c.CustomizeTransport != nil, "CustomizeTransport"}, {engine.Limited(c.Timeouts.Connect), "Timeouts.Connect"},
	} {
		if option.set {
			return errors.New("nethttp: option " + option.name + " is about the engine's own transport and cannot be applied to Preconfigured; set it there, or leave one of both out")
		}
	}
	return c.checkOpaque()
}

// checkOpaque refuses timeouts that an unknown RoundTripper gives no sign for.
func (c Config) checkOpaque() error {
	have := c.capabilities()
	var need engine.Capabilities
	if engine.Limited(c.Timeouts.Header) {
		need |= engine.HeaderTimeout
	}
	if engine.Limited(c.Timeouts.Idle) {
		need |= engine.IdleTimeout
	}
	return engine.Check(engineName, have, need)
}

// capabilities returns what an engine of this configuration can do.
func (c Config) capabilities() engine.Capabilities {
	caps := engine.HTTP1 | engine.RequestTimeout | engine.PoolTimeout | engine.ConcurrencyLimit |
		engine.EngineRedirects | engine.RequestTrailers | engine.ResponseTrailers
	if _, ok := c.Preconfigured.(*http.Transport); c.Preconfigured != nil && !ok {
		return caps
	}
	caps |= engine.HTTP2 | engine.Upgrade | engine.Informational | engine.ExpectContinue | engine.Duplex |
		engine.HeaderTimeout | engine.IdleTimeout | engine.ConnectionInfo
	if c.Preconfigured != nil {
		return caps
	}
	caps |= engine.ConnectTimeout | engine.ConnectionLimits | engine.HeaderLimits | engine.HTTPProxy |
		engine.HTTPSProxy | engine.SOCKS4Proxy | engine.SOCKS5Proxy | engine.RequestProxy | engine.TLSConfig | engine.UnixSocket |
		engine.CustomDial | engine.CustomResolve | engine.DialControl
	switch c.Protocol {
	case HTTP1:
		caps &^= engine.HTTP2
	case HTTP2, H2C:
		caps &^= engine.HTTP1 | engine.Upgrade
	}
	return caps
}

func (c Config) protocols() *http.Protocols {
	p := &http.Protocols{}
	p.SetHTTP1(c.Protocol == Auto || c.Protocol == HTTP1)
	p.SetHTTP2(c.Protocol != HTTP1)
	p.SetUnencryptedHTTP2(c.Protocol == H2C)
	return p
}

// transport makes a transport.
func (e *Engine) transport(route special) *http.Transport {
	c := e.config
	if route.http1 {
		c.Protocol = HTTP1
	}
	t := &http.Transport{
		Protocols:              c.protocols(),
		HTTP2:                  c.HTTP2,
		DisableCompression:     true,
		MaxIdleConns:           or(c.MaxIdle, defaultMaxIdle),
		MaxIdleConnsPerHost:    or(c.MaxIdlePerRoute, defaultMaxIdle),
		MaxConnsPerHost:        c.MaxConnectionsPerRoute,
		IdleConnTimeout:        or(c.KeepAlive, defaultKeepAlive),
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: int64(or(c.MaxHeaderBytes, defaultHeaderBytes)),
	}
	t.DialContext = e.dialContext(route, t)
	t.TLSClientConfig = &tls.Config{}
	if c.TLS != nil {
		t.TLSClientConfig = c.TLS.Clone()
	}
	if t.TLSClientConfig.ClientSessionCache == nil {
		t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	if c.CustomizeTransport != nil {
		c.CustomizeTransport(t)
	}
	t.TLSClientConfig = guarded(t.TLSClientConfig)
	if u, err := url.Parse(route.proxy); err == nil && route.forward {
		t.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: u.Host}) // TLS with it is dial's
	}
	return t
}
