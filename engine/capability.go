package engine

import (
	"math/bits"
	"strings"
)

// Capabilities is a set of things that an engine can do.
type Capabilities uint64

// The capabilities. An engine that lacks one refuses a request or an option
// that needs it with *[UnsupportedError].
const (
	HTTP1            Capabilities = 1 << iota // HTTP/1.0 and HTTP/1.1
	HTTP2                                     // HTTP/2
	HTTP3                                     // HTTP/3
	Upgrade                                   // Request.Protocol: WebSocket and others
	Connect                                   // method CONNECT with a raw stream
	RequestTrailers                           // trailer fields in requests
	ResponseTrailers                          // trailer fields in responses
	Informational                             // 1xx responses shown to Trace
	ExpectContinue                            // Expect: 100-continue
	Duplex                                    // the response is read while the request body is still sent
	RawHead                                   // Request.WantRawHead
	FieldOrder                                // the order and case of fields are kept on the wire
	Pipelining                                // HTTP/1.1 pipelining
	RequestTimeout                            // Request.Deadline
	ConnectTimeout                            // Timeouts.Connect
	HeaderTimeout                             // Timeouts.Header
	IdleTimeout                               // Timeouts.Idle
	PoolTimeout                               // Timeouts.Pool
	ConnectionLimits                          // Config.MaxConnections and MaxConnectionsPerRoute
	ConcurrencyLimit                          // Config.MaxConcurrent
	HeaderLimits                              // Config.MaxHeaderBytes and MaxHeaderFields
	HTTPProxy                                 // http proxies, absolute-form and CONNECT
	HTTPSProxy                                // proxies spoken to over TLS
	SOCKS4Proxy                               // socks4 and socks4a
	SOCKS5Proxy                               // socks5 and socks5h
	RequestProxy                              // Request.Proxy
	TLSConfig                                 // Config.TLS
	UnixSocket                                // Request.UnixSocket
	CustomDial                                // Config.Dial
	CustomResolve                             // Config.Resolve
	DialControl                               // Config.DialControl
	CustomGo                                  // Config.Go
	NoStaleRetry                              // Config.NoStaleRetry and Request.NoStaleRetry
	ConnectionInfo                            // Response.Conn and Reused
	EngineRedirects                           // redirects followed by the engine itself, as an option
	endOfCapabilities
)

// AllCapabilities is the set of everything that this package knows.
const AllCapabilities = endOfCapabilities - 1

var capabilityNames = [...]string{
	"HTTP/1.1", "HTTP/2", "HTTP/3", "upgrade", "CONNECT", "request trailers", "response trailers",
	"1xx responses", "Expect: 100-continue", "duplex streaming", "raw response head", "field order and case",
	"pipelining", "request timeout", "connect timeout", "header timeout", "idle timeout", "pool timeout",
	"connection limits", "concurrency limit", "header limits", "HTTP proxy", "HTTPS proxy", "SOCKS4 proxy",
	"SOCKS5 proxy", "proxy per request", "TLS config", "unix sockets", "custom dialer", "custom resolver",
	"dial control", "custom goroutine starter", "no stale retry", "connection info", "engine redirects",
}

// Has reports whether c contains all of other.
func (c Capabilities) Has(other Capabilities) bool { return c&other == other }

// Each returns the single capabilities in c, in the order of their declaration.
func (c Capabilities) Each() []Capabilities {
	var each []Capabilities
	for c != 0 {
		one := c & -c
		each = append(each, one)
		c &^= one
	}
	return each
}

// String names the capabilities in c, separated by commas.
func (c Capabilities) String() string {
	var names []string
	for _, one := range c.Each() {
		if i := bits.TrailingZeros64(uint64(one)); i < len(capabilityNames) {
			names = append(names, capabilityNames[i])
		}
	}
	return strings.Join(names, ", ")
}

// Check returns *[UnsupportedError] if have lacks any of need.
func Check(engine string, have, need Capabilities) error {
	if missing := need &^ have; missing != 0 {
		return &UnsupportedError{Engine: engine, Capability: missing}
	}
	return nil
}
