package engine

import (
	"context"
	"crypto/tls"
	"math"
	"net"
	"net/netip"
	"syscall"
)

// Config is what all engines share; each field's zero value is a default that
// the engine's documentation names. An engine's own Config goes before it.
type Config struct {
	// TLS configures TLS: roots, certificates, VerifyConnection, Rand,
	// InsecureSkipVerify and so on; nil = crypto/tls's defaults. The engine works
	// on a clone. Go does not let the cipher suites of TLS 1.3 be chosen, and makes
	// keys from its own source of randomness, whatever Rand is.
	TLS *tls.Config

	// Proxy chooses a proxy; nil = by the environment (HTTP_PROXY, HTTPS_PROXY,
	// ALL_PROXY, NO_PROXY); [NoProxy] = none.
	Proxy ProxyFunc

	// Pipelining advises an HTTP/1.1 engine that can to send requests on a
	// connection before the answers to earlier ones are there.
	Pipelining bool

	// MaxConnections and MaxConnectionsPerRoute bound open connections; 0 = the
	// engine's default, negative = no bound.
	MaxConnections, MaxConnectionsPerRoute int

	// MaxConcurrent bounds the exchanges that run at once, whatever the
	// connections; 0 = no bound. Further ones wait, in order, within
	// Timeouts.Pool.
	MaxConcurrent int

	// Timeouts of every request, unless it brings its own.
	Timeouts Timeouts

	// MaxHeaderBytes and MaxHeaderFields bound a response's head (trailers
	// too); 0 = 256 KiB and 1,000 fields.
	MaxHeaderBytes, MaxHeaderFields int

	// Dial opens connections in place of net.Dialer; nil = net.Dialer. address
	// is host:port, or a path for network "unix".
	Dial DialFunc

	// Resolve looks up a host name; nil = net.DefaultResolver. An empty result
	// without an error is an error.
	Resolve ResolveFunc

	// DialControl runs on each socket after it is made and before it connects;
	// an error refuses the connection. address is the numeric address, so that
	// what it allows is what is connected to. It is not called for connections
	// made by Dial.
	DialControl func(ctx context.Context, network, address string, conn syscall.RawConn) error

	// Go starts the engine's goroutines; nil = the go statement. It must run f
	// in another goroutine and not wait for it.
	Go func(f func())

	// NoStaleRetry forbids the silent re-send of a request on a fresh
	// connection when a reused one turns out to be dead.
	NoStaleRetry bool
}

// DialFunc opens a connection, in the manner of net.Dialer.DialContext. It must
// return when ctx ends.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// ResolveFunc returns the addresses of host, most preferred first.
type ResolveFunc func(ctx context.Context, host string) ([]netip.Addr, error)

// Start runs f by c.Go or the go statement.
func (c *Config) Start(f func()) {
	if c.Go != nil {
		c.Go(f)
		return
	}
	go f()
}

// Bound makes a bound of a field that says how many there may be at most: a
// negative one is none. For engines.
func Bound(n int) int {
	if n < 0 {
		return math.MaxInt
	}
	return n
}
