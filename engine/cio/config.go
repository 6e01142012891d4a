package cio

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h1"
)

// Config makes an [Engine]; it is an engine.Factory. Its zero value is ready to
// use. A field that is set goes before its like in the shared engine.Config;
// the default named here holds where both are unset.
type Config struct {
	// MaxConnections bounds the open connections; 0 = 1,000, negative = no bound. At
	// the bound an idle connection to somewhere else is closed to make room; if there
	// is none, requests wait in order (Timeouts.Pool), whatever their hosts.
	MaxConnections int
	// MaxConnectionsPerRoute bounds the open connections to one host and port,
	// by one proxy; 0 = 100, negative = no bound.
	MaxConnectionsPerRoute int
	// MaxIdlePerRoute bounds the idle ones among them; 0 = no further bound.
	MaxIdlePerRoute int
	// KeepAlive is how long a connection may be idle before it is closed;
	// 0 = 60 s. A server that announces a shorter time (Keep-Alive: timeout=5)
	// is believed. Negative: connections are not reused.
	KeepAlive time.Duration
	// MaxAge is how long a connection is given new requests; 0 = for ever.
	MaxAge time.Duration

	// Timeouts of every request, unless it brings its own. Connect: 0 = 10 s;
	// the others: 0 = none. engine.NoTimeout = none.
	Timeouts engine.Timeouts
	// ExpectContinueTimeout is how long a request with Expect: 100-continue
	// waits for an answer before it sends its body; 0 = 1 s.
	ExpectContinueTimeout time.Duration

	// ConnectAttempts is how often to try to connect, within Timeouts.Connect;
	// 0 = once.
	ConnectAttempts int
	// LocalAddr is the address to connect from; zero = any. It is not for
	// connections made by Dial.
	LocalAddr netip.Addr
	// TCPKeepAlive configures the probes of TCP connections; zero = after 15 s,
	// every 15 s, 9 times. Without Enable but with another field set, as in
	// net.KeepAliveConfig{Idle: -1}, there are none. It is not for connections made
	// by Dial.
	TCPKeepAlive net.KeepAliveConfig
	// TCPDelay lets the system hold back small writes until earlier ones are
	// acknowledged (Nagle's algorithm), which it is else told not to do
	// (TCP_NODELAY). It is not for connections made by Dial.
	TCPDelay bool
	// Hosts says where a "host:port" or a "host" is: at an "address:port" or an
	// "address"; nil = no overrides. It holds for proxies too, but not for names
	// that a proxy looks up. NewEngine refuses what is no host or port.
	Hosts map[string]string

	// TLS configures TLS; nil = crypto/tls's defaults, with a session cache.
	TLS *tls.Config
	// Proxy chooses a proxy; nil = by the environment; engine.NoProxy = none.
	Proxy engine.ProxyFunc
	// Dial opens connections; nil = net.Dialer. LocalAddr, DialControl and the
	// fields for TCP are then its own affair. It must return when its context ends:
	// a request does not wait for it any longer, and the bounds do not count it. A
	// connection whose SetDeadline is an error, as of ssh, is read and written by
	// goroutines, one for each Read or Write: all limits hold there too.
	Dial engine.DialFunc
	// Resolve looks up host names; nil = net.DefaultResolver.
	Resolve engine.ResolveFunc
	// DialControl runs on each socket before it connects; nil = nothing does.
	DialControl func(ctx context.Context, network, address string, conn syscall.RawConn) error
	// Go starts goroutines; nil = the go statement.
	Go func(f func())
	// MaxConcurrent bounds the exchanges that run at once, from Execute to the
	// end of the body; 0 = no bound. Further ones wait in order (Timeouts.Pool).
	MaxConcurrent int

	// Pipelining sends requests on a connection before the answers to earlier
	// ones are there. It is for GET, HEAD and OPTIONS without a body, an upgrade
	// or an Expect or Connection field, and not by proxies that forward requests;
	// all others have a connection for themselves. Responses come in order: one
	// that is slow, or not read, holds up those behind it. If the connection ends,
	// requests of whose answer no byte has come are sent again on another one,
	// up to three times, unless NoStaleRetry is set.
	Pipelining bool
	// PipelineMaxSize bounds the unanswered requests on a connection; 0 = 20.
	PipelineMaxSize int

	// Protocols are those to speak; 0 = HTTP1 | HTTP2: over TLS the server chooses,
	// by ALPN, at the first connection to an origin, for which requests that come
	// meanwhile wait. HTTP/2 is for https URLs; WantRawHead, CONNECT, and Protocol
	// unless the server has announced to take it by HTTP/2, are left to HTTP/1.1.
	// With HTTP2 alone what needs HTTP/1.1 is an error. A TLS.NextProtos without
	// "h2" takes HTTP2 out, if that leaves HTTP1; it is not looked at else.
	Protocols Protocols
	// Coalesce lets an https origin share the HTTP/2 connection of another one
	// that has the same address and port and whose certificate holds for it
	// (RFC 9113 §9.1.1). A 421 is answered by a connection of its own. It is left
	// alone where a proxy is used, for origins that Hosts places, or if Config.TLS
	// names a server, verifies nothing, or has checks of its own (pins).
	Coalesce bool

	// NoStaleRetry forbids the silent re-send on a dead reused connection.
	NoStaleRetry bool
	// Lenient reads what browsers read, where RFC 9112 wants it refused: bare
	// LF, folded fields, Content-Length beside chunks and the like.
	Lenient bool
	// MaxHeaderBytes and MaxHeaderFields bound a response's head, and its
	// trailer section; 0 = 256 KiB and 1,000 fields.
	MaxHeaderBytes, MaxHeaderFields int
}

var _ engine.Factory = Config{}

// The defaults of Config.
const (
	defaultMaxConnections         = 1000
	defaultMaxConnectionsPerRoute = 100
	defaultKeepAlive              = 60 * time.Second
	defaultConnectTimeout         = 10 * time.Second
	defaultExpectContinueTimeout  = time.Second
)

// Name returns "cio".
func (Config) Name() string { return name }

// NewEngine makes an engine. It fails for values that make no sense; all that
// engines share is honoured.
func (c Config) NewEngine(shared engine.Config) (engine.Engine, error) {
	if _, err := dial.CanonicalHosts(c.Hosts); err != nil {
		return nil, fmt.Errorf("cio: Hosts: %w", err)
	}
	e := c.New(shared)
	if err := e.config.check(); err != nil {
		return nil, err
	}
	return e, nil
}

// check refuses what makes no sense; c is complete.
func (c Config) check() error {
	switch {
	case c.MaxHeaderBytes < 0 || c.MaxHeaderFields < 0:
		return fmt.Errorf("cio: MaxHeaderBytes %d, MaxHeaderFields %d: a bound is not negative; 0 = the default", c.MaxHeaderBytes, c.MaxHeaderFields)
	case c.Protocols&^(HTTP1|HTTP2) != 0:
		return fmt.Errorf("cio: Protocols %#x: there are HTTP1 and HTTP2", uint(c.Protocols))
	}
	return nil
}

// New is NewEngine with the concrete type, which has statistics and CloseIdle. It
// refuses nothing.
func (c Config) New(shared engine.Config) *Engine {
	c = c.over(shared)
	e := &Engine{
		config: c,
		limits: h1.Limits{MaxBytes: c.MaxHeaderBytes, MaxFields: c.MaxHeaderFields, Lenient: c.Lenient},
		dialer: c.dialer(tls.NewLRUClientSessionCache(0)),
		pool:   newPool(c),
		lanes:  newLanes(c),
		closed: make(chan struct{}),
	}
	if c.Protocols&HTTP2 != 0 {
		e.http2 = newHTTP2(e)
	}
	if c.MaxConcurrent > 0 {
		e.gate = make(chan struct{}, c.MaxConcurrent)
	}
	return e
}

// dialer makes a dialer; c is complete.
func (c Config) dialer(sessions tls.ClientSessionCache) *dial.Dialer {
	return &dial.Dialer{
		Engine:    name,
		TLS:       c.TLS,
		Sessions:  sessions,
		Proxy:     c.Proxy,
		Dial:      dialTimed(c.Dial, c.Go),
		Resolve:   c.Resolve,
		Control:   c.DialControl,
		Go:        c.Go,
		Attempts:  c.ConnectAttempts,
		LocalAddr: c.LocalAddr,
		KeepAlive: c.TCPKeepAlive,
		Delay:     c.TCPDelay,
		Hosts:     c.Hosts,
	}
}

// over returns c with its unset fields taken from shared, then from the defaults.
func (c Config) over(shared engine.Config) Config {
	c.MaxConnections = cmp.Or(c.MaxConnections, shared.MaxConnections, defaultMaxConnections)
	c.MaxConnectionsPerRoute = cmp.Or(c.MaxConnectionsPerRoute, shared.MaxConnectionsPerRoute, defaultMaxConnectionsPerRoute)
	c.MaxConnections, c.MaxConnectionsPerRoute = engine.Bound(c.MaxConnections), engine.Bound(c.MaxConnectionsPerRoute)
	c.MaxConcurrent = cmp.Or(c.MaxConcurrent, shared.MaxConcurrent)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, shared.MaxHeaderBytes)
	c.MaxHeaderFields = cmp.Or(c.MaxHeaderFields, shared.MaxHeaderFields)
	c.KeepAlive = cmp.Or(c.KeepAlive, defaultKeepAlive)
	c.ExpectContinueTimeout = cmp.Or(c.ExpectContinueTimeout, defaultExpectContinueTimeout)
	c.Timeouts = c.Timeouts.Or(shared.Timeouts).Or(engine.Timeouts{Connect: defaultConnectTimeout})
	c.Pipelining = c.Pipelining || shared.Pipelining
	c.PipelineMaxSize = max(cmp.Or(c.PipelineMaxSize, defaultPipelineMaxSize), 1)
	c.Hosts, _ = dial.CanonicalHosts(c.Hosts) // what New cannot refuse fails when it is used
	c.NoStaleRetry = c.NoStaleRetry || shared.NoStaleRetry
	c.Protocols = cmp.Or(c.Protocols, HTTP1|HTTP2)
	c.TLS = cmp.Or(c.TLS, shared.TLS)
	if c.Protocols&HTTP1 != 0 && c.TLS != nil && len(c.TLS.NextProtos) > 0 && !slices.Contains(c.TLS.NextProtos, "h2") {
		c.Protocols = HTTP1
	}
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
	if c.Go == nil {
		c.Go = shared.Go
	}
	return c
}
