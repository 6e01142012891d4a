package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
)

// Config makes an [Engine]; it is an engine.Factory. Its zero value is ready to
// use. A field that is set goes before its like in the shared engine.Config; the
// default named here holds where both are unset.
type Config struct {
	// EarlyData sends GET and HEAD requests without a body in the first packets
	// of a resumed connection (0-RTT), a round trip earlier. Whoever records such
	// packets can send them to the server again, so that it is for requests only
	// whose repetition does no harm. A server that answers 425 Too Early gets the
	// request once more when the handshake is complete (RFC 8470 §5.2).
	EarlyData bool
	// Datagrams offers HTTP datagrams (RFC 9297); see [Stream].
	Datagrams bool

	// MaxConnections bounds the open connections; 0 = 1,000, negative = no bound. At the bound an
	// idle connection is closed to make room; if there is none, requests wait in
	// order (Timeouts.Pool). There is one connection for each origin, so that
	// engine.Config.MaxConnectionsPerRoute is always kept.
	MaxConnections int
	// MaxConcurrent bounds the exchanges that run at once, from Execute to the
	// end of the body; 0 = no bound.
	MaxConcurrent int
	// KeepAlive is how long a connection may be idle before it is closed;
	// 0 = 60 s. Negative: connections are closed after their last exchange.
	KeepAlive time.Duration
	// PingInterval is the pause after which a packet keeps the connection open
	// on its way and at the server; 0 = 15 s, negative = none.
	PingInterval time.Duration

	// Timeouts of every request, unless it brings its own. Connect: 0 = 10 s;
	// the others: 0 = none. engine.NoTimeout = none.
	Timeouts engine.Timeouts
	// ExpectContinueTimeout is how long a request with Expect: 100-continue
	// waits for an answer before it sends its body; 0 = 1 s.
	ExpectContinueTimeout time.Duration
	// FallbackDelay is the head start of an address before the next one;
	// 0 = 250 ms (RFC 8305 §5).
	FallbackDelay time.Duration

	// LocalAddr is the address to send from; zero = any, and the system may
	// change it when the network changes.
	LocalAddr netip.Addr
	// Hosts says where a "host:port" or a "host" is: at an "address:port" or an
	// "address"; nil = no overrides. NewEngine refuses what is no host or port.
	Hosts map[string]string

	// TLS configures TLS, of which QUIC uses version 1.3; nil = crypto/tls's
	// defaults, with a session cache.
	TLS *tls.Config
	// Proxy chooses a proxy; nil = by the environment. A request that it names a
	// proxy for is refused: HTTP/3 would bypass it. engine.NoProxy = none.
	Proxy engine.ProxyFunc
	// Resolve looks up host names; nil = net.DefaultResolver.
	Resolve engine.ResolveFunc
	// DialControl runs on each UDP socket before anything is sent from it, with
	// network "udp4" or "udp6" and the server's numeric address; an error refuses
	// the connection. The socket is not connected. nil = nothing runs.
	DialControl func(ctx context.Context, network, address string, conn syscall.RawConn) error

	// NoStaleRetry forbids the silent re-send of a request on a fresh connection.
	// One of which nothing was sent gets another connection all the same.
	NoStaleRetry bool
	// MaxHeaderBytes and MaxHeaderFields bound a response's head, and its
	// trailer section; 0 = 256 KiB and 1,000 fields.
	MaxHeaderBytes, MaxHeaderFields int

	// QUIC holds quic-go's own settings: windows, idle timeout, packet size,
	// tracer; nil = its defaults. The engine works on a clone and sets the
	// handshake timeout, KeepAlivePeriod, datagrams and the token store where
	// they are unset.
	QUIC *quic.Config
}

var _ engine.Factory = Config{}

// The defaults of Config.
const (
	defaultMaxConnections  = 1000
	defaultKeepAlive       = 60 * time.Second
	defaultPingInterval    = 15 * time.Second
	defaultConnectTimeout  = 10 * time.Second
	defaultContinueTimeout = time.Second
	defaultFallbackDelay   = 250 * time.Millisecond
	defaultHeaderBytes     = 256 << 10
	defaultHeaderFields    = 1000
)

// Name returns "http3".
func (Config) Name() string { return name }

// NewEngine makes an engine. Config.Dial and Go of shared are
// *engine.UnsupportedError; a TLS configuration that does not allow version 1.3 is
// an error, and so are Hosts that are none.
func (c Config) NewEngine(shared engine.Config) (engine.Engine, error) {
	e, err := c.New(shared)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// New is NewEngine with the concrete type, which has CloseIdle and the methods
// for alternative services.
func (c Config) New(shared engine.Config) (*Engine, error) {
	switch {
	case shared.Dial != nil:
		return nil, &engine.UnsupportedError{Engine: name, Capability: engine.CustomDial, Detail: "QUIC runs over UDP sockets, which a DialFunc does not open"}
	case shared.Go != nil:
		return nil, &engine.UnsupportedError{Engine: name, Capability: engine.CustomGo, Detail: "quic-go starts its goroutines itself"}
	}
	hosts, err := dial.CanonicalHosts(c.Hosts)
	if err != nil {
		return nil, fmt.Errorf("http3: Hosts: %w", err)
	}
	c = c.over(shared)
	c.Hosts = hosts
	if c.TLS != nil && c.TLS.MaxVersion != 0 && c.TLS.MaxVersion < tls.VersionTLS13 {
		return nil, errors.New("http3: TLS.MaxVersion is below TLS 1.3, which QUIC needs: raise it, or leave it 0")
	}
	return newEngine(c), nil
}

// over returns c with its unset fields taken from shared, then from the defaults.
func (c Config) over(shared engine.Config) Config {
	c.MaxConnections = engine.Bound(first(c.MaxConnections, shared.MaxConnections, defaultMaxConnections))
	c.MaxConcurrent = first(c.MaxConcurrent, shared.MaxConcurrent)
	c.MaxHeaderBytes = first(c.MaxHeaderBytes, shared.MaxHeaderBytes, defaultHeaderBytes)
	c.MaxHeaderFields = first(c.MaxHeaderFields, shared.MaxHeaderFields, defaultHeaderFields)
	c.KeepAlive = first(c.KeepAlive, defaultKeepAlive)
	c.PingInterval = first(c.PingInterval, defaultPingInterval)
	c.ExpectContinueTimeout = first(c.ExpectContinueTimeout, defaultContinueTimeout)
	c.FallbackDelay = first(c.FallbackDelay, defaultFallbackDelay)
	c.Timeouts = c.Timeouts.Or(shared.Timeouts).Or(engine.Timeouts{Connect: defaultConnectTimeout})
	c.NoStaleRetry = c.NoStaleRetry || shared.NoStaleRetry
	c.TLS = first(c.TLS, shared.TLS)
	if c.Proxy == nil {
		c.Proxy = shared.Proxy
	}
	if c.Resolve == nil {
		c.Resolve = shared.Resolve
	}
	if c.DialControl == nil {
		c.DialControl = shared.DialControl
	}
	return c
}

// quicConfig returns the settings of the connections.
func (c Config) quicConfig() *quic.Config {
	q := &quic.Config{}
	if c.QUIC != nil {
		q = c.QUIC.Clone()
	}
	if q.HandshakeIdleTimeout == 0 {
		// The exchanges' own limits come first; this is for those without one.
		q.HandshakeIdleTimeout = defaultConnectTimeout
		if engine.Limited(c.Timeouts.Connect) {
			q.HandshakeIdleTimeout = max(q.HandshakeIdleTimeout, c.Timeouts.Connect)
		}
	}
	if q.KeepAlivePeriod == 0 {
		q.KeepAlivePeriod = max(c.PingInterval, 0)
	}
	if q.MaxIncomingStreams == 0 {
		q.MaxIncomingStreams = -1 // servers open none in HTTP/3
	}
	if q.TokenStore == nil {
		q.TokenStore = quic.NewLRUTokenStore(maxRemembered, 4)
	}
	if len(q.Versions) == 0 {
		q.Versions = []quic.Version{quic.Version1}
	}
	q.EnableDatagrams = q.EnableDatagrams || c.Datagrams
	return q
}

// maxRemembered bounds what is kept of origins between connections.
const maxRemembered = 256

// first returns the first value that is set.
func first[T comparable](values ...T) T {
	var unset T
	for _, v := range values {
		if v != unset {
			return v
		}
	}
	return unset
}
