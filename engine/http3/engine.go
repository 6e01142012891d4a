// Package http3 is an engine that speaks HTTP/3 and nothing else, over quic-go.
//
// Requests to an origin share one QUIC connection, over a UDP socket of its own,
// up to the number of streams that the server allows; further ones wait. A server
// without HTTP/3 is an error that says so. Engine auto falls back to HTTP/2 and
// HTTP/1.1 instead.
//
// HTTP/3 needs https URLs, and no proxy that this module knows carries it: a
// request for which a proxy is configured, by Config or by the environment, is
// refused with *engine.UnsupportedError and never sent around the proxy.
//
// Field names are lower case on the wire; responses list them in canonical form
// and alphabetical order. Fields that belong to a connection of HTTP/1.1
// (Connection and what it names, Keep-Alive, Proxy-Connection, TE but for trailers)
// are not sent; "Connection: close" lets the connection take no further requests. A
// field Upgrade without Request.Protocol is refused. A Host field becomes
// :authority. quic-go takes five 1xx responses to a request and fails at the sixth.
//
// Request.Protocol is an extended CONNECT (RFC 9220) where the server allows it,
// else *engine.UnsupportedError. The answer is then a 2xx with Upgraded set: a
// [*Stream], which shares its connection with other requests. The like holds for
// CONNECT.
//
// Changes of the client's address and other migration of connections are
// quic-go's own affair: a socket is bound to no address unless LocalAddr says so.
package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/envproxy"
	"github.com/godwit-go/godwit/internal/gate"
)

const name = "http3"

const capabilities = engine.HTTP3 | engine.Upgrade | engine.Connect |
	engine.RequestTrailers | engine.ResponseTrailers | engine.Informational | engine.ExpectContinue | engine.Duplex |
	engine.RequestTimeout | engine.ConnectTimeout | engine.HeaderTimeout | engine.IdleTimeout | engine.PoolTimeout |
	engine.ConnectionLimits | engine.ConcurrencyLimit | engine.HeaderLimits | engine.RequestProxy |
	engine.TLSConfig | engine.CustomResolve | engine.DialControl | engine.NoStaleRetry | engine.ConnectionInfo

// Engine is made by [Config]; its zero value is not usable. It is safe for
// concurrent use.
type Engine struct {
	config     Config // complete
	tls        *tls.Config
	quic       *quic.Config
	transport  *h3.Transport // makes HTTP/3 of a QUIC connection
	pool       pool
	concurrent *gate.Gate // running exchanges
	closed     atomic.Bool

	environmentOnce sync.Once
	environment     engine.ProxyFunc
}

var _ engine.Engine = (*Engine)(nil)

func newEngine(c Config) *Engine {
	e := &Engine{config: c, tls: &tls.Config{}, quic: c.quicConfig(), concurrent: gate.New(c.MaxConcurrent, nil)}
	if c.TLS != nil {
		e.tls = c.TLS.Clone()
	}
	if e.tls.ClientSessionCache == nil {
		e.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	e.tls.NextProtos = []string{h3.NextProtoH3}
	e.tls.MinVersion = max(e.tls.MinVersion, tls.VersionTLS13)
	e.transport = &h3.Transport{
		EnableDatagrams:        c.Datagrams,
		MaxResponseHeaderBytes: c.MaxHeaderBytes,
		DisableCompression:     true,
	}
	e.pool.init(e)
	return e
}

// Name returns "http3".
func (*Engine) Name() string { return name }

// Capabilities returns what the engine can do. RequestProxy means that
// Request.Proxy is asked, so that engine.NoProxy overrides what else is
// configured; a proxy that it names is refused.
func (*Engine) Capabilities() engine.Capabilities { return capabilities }

// Close refuses new requests with ErrClosed, those that wait for their turn too, and
// closes idle connections at once, others when their exchange ends.
func (e *Engine) Close() error {
	e.closed.Store(true)
	e.concurrent.Close()
	e.pool.close()
	return nil
}

// CloseIdle closes the idle connections; requests go on.
func (e *Engine) CloseIdle() { e.pool.closeIdle() }

// Execute sends req; see engine.Engine.
func (e *Engine) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	return e.ExecuteAt(ctx, req, "")
}

// ExecuteAt is Execute by an alternative service of the origin (RFC 7838): the
// connection leads to authority, a "host:port", and the server there must prove
// by its certificate that it is the origin. "" = the origin itself. It is for
// those who choose between protocols, as engine auto does; they add Alt-Used
// themselves.
func (e *Engine) ExecuteAt(ctx context.Context, req *engine.Request, authority string) (*engine.Response, error) {
	return e.execute(ctx, req, authority, false)
}

// ErrNotConnected is the cause when there is no connection for
// [Engine.ExecuteConnected].
var ErrNotConnected = errors.New("no connection is open")

// ExecuteConnected is [Engine.ExecuteAt] on a connection that is open, which
// [Engine.Connect] makes. If there is none, or it turns out to be dead, nothing is
// dialled: the error is ErrNotConnected, in an *engine.OpError that says whether
// something was sent. If nothing was, a body that can be opened only once has not
// been.
func (e *Engine) ExecuteConnected(ctx context.Context, req *engine.Request, authority string) (*engine.Response, error) {
	return e.execute(ctx, req, authority, true)
}

func (e *Engine) execute(ctx context.Context, req *engine.Request, authority string, only bool) (*engine.Response, error) {
	if e.closed.Load() {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	if err := engine.Check(name, capabilities, needs(req)); err != nil {
		return nil, err
	}
	to, err := e.target(req, authority)
	if err != nil {
		return nil, err
	}
	if err := check(req); err != nil {
		return nil, err
	}
	x := newExchange(ctx, e, req, to)
	x.only = only
	resp, err := x.execute()
	if err != nil {
		err = x.failure(err)
		x.finish()
		return nil, err
	}
	return resp, nil
}

// Connect makes a connection to origin, an https URL, by authority as in
// [Engine.ExecuteAt], unless there is one already. It returns when the handshake
// is complete; the connection is then idle in the pool, where it stays a second
// for its first request even if KeepAlive is negative or others wait for its place.
// Timeouts.Connect and Pool hold. No proxy is asked for.
func (e *Engine) Connect(ctx context.Context, origin *url.URL, authority string) error {
	if e.closed.Load() {
		return &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	req := &engine.Request{Method: "GET", URL: origin, Proxy: engine.NoProxy}
	to, err := e.target(req, authority)
	if err != nil {
		return err
	}
	x := newExchange(ctx, e, req, to)
	x.early = false
	defer x.finish()
	err = x.acquire()
	if err == nil {
		err = x.awaitHandshake(x.got)
	}
	if err != nil {
		return x.failure(err)
	}
	e.pool.reserve(x.connection())
	return nil
}

// Connected reports whether there is a connection that a request to origin by
// authority would use.
func (e *Engine) Connected(origin *url.URL, authority string) bool {
	return e.pool.has(target{origin: hostPort(origin), at: authority})
}

// needs returns the capabilities that req asks for.
func needs(req *engine.Request) engine.Capabilities {
	need := req.Needs
	if req.UnixSocket != "" {
		need |= engine.UnixSocket
	}
	if req.WantRawHead {
		need |= engine.RawHead
	}
	return need
}

// target is where connections lead: what they are pooled by.
type target struct {
	origin string // host:port, lower case
	at     string // host:port of an alternative service, "" = the origin's own
}

func (t target) addr() string { return first(t.at, t.origin) }

// target works out where req goes, and refuses it if that is by a proxy.
func (e *Engine) target(req *engine.Request, authority string) (target, error) {
	u := req.URL
	build := func(text string) error { return &engine.OpError{Op: engine.OpBuild, Err: errors.New(text)} }
	if u == nil {
		return target{}, build("the request has no URL")
	}
	if err := e.refuseProxy(req); err != nil {
		return target{}, err
	}
	switch {
	case u.Scheme == "http":
		return target{}, &engine.UnsupportedError{Engine: name, Capability: engine.HTTP1, Detail: "HTTP/3 needs an https URL; this one is http://" + u.Host}
	case u.Scheme != "https":
		return target{}, build("scheme \"" + u.Scheme + "\" in the URL is neither http nor https")
	case u.Hostname() == "":
		return target{}, build("the URL \"" + u.Redacted() + "\" has no host")
	}
	if authority != "" {
		if host, _, err := net.SplitHostPort(authority); err != nil || host == "" {
			return target{}, build("the authority \"" + authority + "\" is no host:port")
		}
	}
	return target{origin: hostPort(u), at: authority}, nil
}

// proxyCapabilities names what a proxy's scheme would need.
var proxyCapabilities = map[string]engine.Capabilities{
	"http": engine.HTTPProxy, "https": engine.HTTPSProxy, "socks4": engine.SOCKS4Proxy, "socks4a": engine.SOCKS4Proxy,
	"socks5": engine.SOCKS5Proxy, "socks5h": engine.SOCKS5Proxy,
}

// refuseProxy fails if a proxy is configured for req: going around it could show
// the client's address, or leave a network that only the proxy may leave.
func (e *Engine) refuseProxy(req *engine.Request) error {
	choose, from := req.Proxy, "the request"
	if choose == nil {
		choose, from = e.config.Proxy, "the configuration"
	}
	if choose == nil {
		e.environmentOnce.Do(func() { e.environment = envproxy.Read() })
		choose, from = e.environment, "the environment"
	}
	proxy, err := choose(req.URL)
	if err != nil {
		return &engine.OpError{Op: engine.OpProxy, Err: err}
	}
	if proxy == nil {
		return nil
	}
	need, ok := proxyCapabilities[strings.ToLower(proxy.Scheme)]
	if !ok {
		need = engine.HTTPProxy
	}
	return &engine.UnsupportedError{Engine: name, Capability: need,
		Detail: from + " names the proxy " + proxy.Scheme + "://" + proxy.Host + ", which HTTP/3 would bypass; set Proxy to engine.NoProxy to go directly"}
}

// hostPort returns u's host in lower case with a port.
func hostPort(u *url.URL) string {
	return net.JoinHostPort(strings.ToLower(u.Hostname()), first(u.Port(), "443"))
}
