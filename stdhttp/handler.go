package stdhttp

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/godwit-go/godwit/engine"
)

// Handler returns the factory of an engine that answers each request by calling
// h, in process: without a socket, a port or a wire. It is for tests of a
// program's own handlers, and for programs that are client and server in one.
//
//	c := godwit.New(godwit.WithEngine(stdhttp.Handler(mux)))
//
// h runs in a goroutine of its own, as in http.Server, and sees what it would see
// there: a request with RequestURI, Host and a body that streams, a
// ResponseWriter that is an http.Flusher, an http.Hijacker and an io.ReaderFrom
// and has the deadlines of http.ResponseController, 1xx responses, trailers. The
// request's context ends when the client's call does or when h returns; of values
// it holds those of http.ServerContextKey and http.LocalAddrContextKey, and none of
// the caller's. A read deadline closes the request's body when it is reached; what
// was read of it stays. A handler that is slow to be read
// is held up after 64 KiB. One that panics before its answer began fails the
// exchange with an error that holds the panic; later it cuts the body off,
// io.ErrUnexpectedEOF. What it panics with goes nowhere else.
//
// URLs of any host come to h; https URLs with a TLS field that says so. Proxies
// of the environment are ignored. Options about connections (TLS, dialers,
// proxies, limits) are *engine.UnsupportedError.
func Handler(h http.Handler) engine.Factory { return handlerFactory{h} }

type handlerFactory struct{ handler http.Handler }

const handlerName = "handler"

// Name returns "handler".
func (handlerFactory) Name() string { return handlerName }

// handlerCapabilities are what the engine can do. There is no pool and nothing to
// connect to, so timeouts for these hold by themselves.
const handlerCapabilities = engine.HTTP1 | engine.Upgrade | engine.Connect | engine.RequestTrailers |
	engine.ResponseTrailers | engine.Informational | engine.ExpectContinue | engine.Duplex | engine.RequestTimeout |
	engine.ConnectTimeout | engine.HeaderTimeout | engine.IdleTimeout | engine.PoolTimeout | engine.CustomGo |
	engine.NoStaleRetry | engine.ConnectionInfo

// NewEngine makes the engine.
func (f handlerFactory) NewEngine(shared engine.Config) (engine.Engine, error) {
	if f.handler == nil {
		return nil, errors.New("stdhttp: Handler(nil): there is nothing to answer by; http.DefaultServeMux is one")
	}
	for _, option := range []struct {
		set  bool
		what engine.Capabilities
	}{
		{shared.TLS != nil, engine.TLSConfig}, {shared.Dial != nil, engine.CustomDial},
		{shared.Resolve != nil, engine.CustomResolve}, {shared.DialControl != nil, engine.DialControl},
		{shared.MaxConnections != 0 || shared.MaxConnectionsPerRoute != 0, engine.ConnectionLimits},
		{shared.MaxConcurrent != 0, engine.ConcurrencyLimit},
		{shared.MaxHeaderBytes != 0 || shared.MaxHeaderFields != 0, engine.HeaderLimits},
	} {
		if option.set {
			return nil, unsupported(option.what)
		}
	}
	return &handlerEngine{handler: f.handler, shared: shared, server: &http.Server{Handler: f.handler}}, nil
}

func unsupported(what engine.Capabilities) error {
	return &engine.UnsupportedError{Engine: handlerName, Capability: what, Detail: "it has no connections"}
}

// handlerEngine is what Handler makes.
type handlerEngine struct {
	handler http.Handler
	shared  engine.Config
	server  *http.Server // for http.ServerContextKey; it serves nothing
	closed  atomic.Bool
}

var _ engine.Engine = (*handlerEngine)(nil)

// Name returns "handler".
func (*handlerEngine) Name() string { return handlerName }

// Capabilities returns what the engine can do.
func (*handlerEngine) Capabilities() engine.Capabilities { return handlerCapabilities }

// Close refuses new requests; those that run go on.
func (e *handlerEngine) Close() error {
	e.closed.Store(true)
	return nil
}

// Execute lets the handler answer; see engine.Engine.
func (e *handlerEngine) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if e.closed.Load() {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	if err := e.check(req); err != nil {
		return nil, err
	}
	return newServing(ctx, e, req).run()
}

// check refuses what needs a connection.
func (e *handlerEngine) check(req *engine.Request) error {
	need := req.Needs
	for _, n := range []struct {
		asked bool
		what  engine.Capabilities
	}{
		{req.Proxy != nil, engine.RequestProxy}, {req.UnixSocket != "", engine.UnixSocket}, {req.WantRawHead, engine.RawHead},
	} {
		if n.asked {
			need |= n.what
		}
	}
	if err := engine.Check(handlerName, handlerCapabilities, need); err != nil {
		return err
	}
	if e.shared.Proxy == nil {
		return nil
	}
	proxy, err := e.shared.Proxy(req.URL)
	if err != nil {
		return &engine.OpError{Op: engine.OpProxy, Err: err}
	}
	if proxy == nil {
		return nil
	}
	switch proxy.Scheme {
	case "https":
		return unsupported(engine.HTTPSProxy)
	case "socks4", "socks4a":
		return unsupported(engine.SOCKS4Proxy)
	case "socks5", "socks5h":
		return unsupported(engine.SOCKS5Proxy)
	}
	return unsupported(engine.HTTPProxy)
}

// inProcess is the address of both ends.
type inProcess struct{}

func (inProcess) Network() string { return "inprocess" }
func (inProcess) String() string  { return "127.0.0.1:0" }
