// Package engine is the contract between the client and what carries its
// requests: an [Engine] sends one request and returns one response.
//
// Engines live in packages of their own (engine/cio, engine/nethttp, …); the
// suite in engine/enginetest is this contract in executable form. Authors of
// engines need this package and nothing of the client.
package engine

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

// Engine sends requests. It is safe for concurrent use.
type Engine interface {
	// Name returns the engine's name, for errors and logs: "cio", "nethttp".
	Name() string

	// Execute sends req and returns when the head of the final response is
	// there; Response.Body streams the rest. It returns either a response or an
	// error, never both.
	//
	// Execute must not follow redirects, interpret the status (a 500 is no
	// error), touch cookies or credentials, decode the body, or change req, its
	// URL, header or attributes. It may re-send by itself only on a connection
	// that was reused and ended before a byte of the answer: what cannot have
	// reached the server, and what may have if it is idempotent or carries an
	// Idempotency-Key (RFC 9110 §9.2.2); and only if the body is replayable and
	// NoStaleRetry is not set.
	//
	// When ctx ends, Execute returns at once, and so do reads of the Body; see
	// [OnAbort] for the cheap way. Once Execute has failed or Body is closed the
	// engine no longer reads the request body.
	//
	// A request that needs what the engine cannot do fails at once with
	// *[UnsupportedError]; nothing is ignored in silence. Other errors are an
	// *[OpError] that names the phase; its cause may be *[TimeoutError],
	// *[ProtocolError], ErrClosed or ctx's own error.
	Execute(ctx context.Context, req *Request) (*Response, error)

	// Capabilities returns what the engine can do. The set is constant.
	Capabilities() Capabilities

	// Close refuses new requests with ErrClosed and closes idle connections at
	// once, others when their exchange ends. It does not wait, and may be called
	// more than once.
	Close() error
}

// Request is one request on the wire: a single attempt, a single hop. The
// engine does not change it, and the sender does not while Execute runs or the
// response body is open.
type Request struct {
	// Method is a token, checked: "GET", "PROPFIND".
	Method string

	// URL is absolute, with scheme http or https, a host, and no user info. The
	// fragment is not sent.
	URL *url.URL

	// Header holds all fields but those that are the engine's own: Host (unless
	// given here, which overrides the URL's), Content-Length, Transfer-Encoding,
	// Trailer, and Connection and Upgrade as Protocol needs them. "Connection:
	// close" may stand here. Names and values are checked. Order and case are
	// kept on the wire where the protocol has them.
	Header header.Header

	// Body is nil if there is none. Its ContentType is already in Header.
	// Without a body the engine sends Content-Length: 0 for POST, PUT and PATCH
	// and no framing field for other methods.
	Body content.Content

	// TrailerNames and Trailer send trailer fields after a body of unknown
	// length. Trailer is called when the body is at its end; nil = none.
	TrailerNames []string
	Trailer      func() header.Header

	// Deadline ends the exchange, reading of the body included; zero = none. The
	// engine enforces it and returns *TimeoutError of kind DeadlineKind.
	Deadline     time.Time
	DeadlineKind TimeoutKind
	// DeadlineLimit is the duration that Deadline came from, for the error's text.
	DeadlineLimit time.Duration

	// Timeouts of this request go before the engine's own.
	Timeouts Timeouts

	// Proxy goes before the engine's own proxy; nil = the engine's.
	Proxy ProxyFunc

	// UnixSocket is the path of a socket to connect to instead of URL's host.
	UnixSocket string

	// Protocol asks for an upgrade: "websocket" or any other token for the
	// Upgrade field. The response is then either 101 with Upgraded set, or the
	// server's refusal, an ordinary response.
	Protocol string

	// Needs are the capabilities that this request cannot do without. The
	// client checks them before Execute.
	Needs Capabilities

	// HeadOnly ends the Deadline with the response's head.
	HeadOnly bool

	// NoStaleRetry forbids the silent re-send on a dead reused connection.
	NoStaleRetry bool

	// WantRawHead asks for Response.RawHead.
	WantRawHead bool

	// Trace receives events; nil = none, at no cost.
	Trace *Trace

	// Attributes are the request's, for settings that an engine defines itself.
	Attributes attr.Attributes
}

// Timeouts bounds single phases of an exchange. In each field zero means the
// engine's default and [NoTimeout] none.
type Timeouts struct {
	// Pool is how long to wait for a free connection slot.
	Pool time.Duration
	// Connect covers name lookup, TCP or proxy connection and TLS handshake of a
	// new connection, over all attempts.
	Connect time.Duration
	// Header is the time from the end of the request to the response's head.
	Header time.Duration
	// Idle is the longest pause between two bytes, in both directions.
	Idle time.Duration
}

// Or returns t with its zero fields taken from fallback.
func (t Timeouts) Or(fallback Timeouts) Timeouts {
	or := func(a, b time.Duration) time.Duration {
		if a == 0 {
			return b
		}
		return a
	}
	return Timeouts{
		Pool:    or(t.Pool, fallback.Pool),
		Connect: or(t.Connect, fallback.Connect),
		Header:  or(t.Header, fallback.Header),
		Idle:    or(t.Idle, fallback.Idle),
	}
}

// NoTimeout in place of a timeout means: none.
const NoTimeout time.Duration = 1<<63 - 1

// Limited reports whether d is a real limit: neither unset nor NoTimeout.
func Limited(d time.Duration) bool { return d > 0 && d != NoTimeout }

// ProxyFunc returns the proxy for a request to u: http, https, socks4, socks4a,
// socks5 or socks5h with optional user info, or nil for a direct connection.
type ProxyFunc func(u *url.URL) (*url.URL, error)

// NoProxy connects directly, whatever the environment says.
func NoProxy(*url.URL) (*url.URL, error) { return nil, nil }

// FixedProxy returns a ProxyFunc that always answers proxy.
func FixedProxy(proxy *url.URL) ProxyFunc {
	return func(*url.URL) (*url.URL, error) { return proxy, nil }
}

// Response is the head of a response and the stream of its body.
type Response struct {
	// Status is the status code, 100 to 999.
	Status int
	// Reason is the reason phrase as sent; "" on HTTP/2 and later.
	Reason string
	// Proto is "HTTP/1.0", "HTTP/1.1", "HTTP/2.0" or "HTTP/3.0".
	Proto string
	// Header holds the fields as received.
	Header header.Header
	// Trailer returns the trailer fields; it is valid once Body has returned
	// io.EOF. nil = the engine or the response has none.
	Trailer func() header.Header
	// ContentLength is the length of the body on the wire, -1 if not known. For
	// HEAD and 304 it is what the header announces though Body is empty.
	ContentLength int64
	// Body is never nil. It is read by one goroutine at a time; Close may be
	// called from another and more than once. A body that ends before its
	// framing says so yields io.ErrUnexpectedEOF in an *OpError. Closing it
	// early gives up the connection unless what is left is already here.
	Body io.ReadCloser
	// Upgraded is the raw connection after a 101 that Protocol asked for, or a
	// 2xx answer to CONNECT; the receiver closes it, and from then on neither the
	// context nor a deadline of the request reaches it. Body is then empty.
	Upgraded io.ReadWriteCloser
	// RawHead is the head's bytes, status line to blank line, if WantRawHead.
	RawHead []byte
	// Conn describes the connection; nil if the engine doesn't know. It must
	// not be changed.
	Conn *Conn
	// Reused tells that the connection had carried a request before.
	Reused bool
}

// Conn describes a connection.
type Conn struct {
	Local, Remote net.Addr
	// TLS is nil on a plain connection.
	TLS *tls.ConnectionState
	// Proxy is the proxy in use, without credentials, or nil.
	Proxy *url.URL
}

// Factory makes an engine. Every engine package's Config is one.
type Factory interface {
	// Name returns the engine's name.
	Name() string
	// NewEngine makes an engine from the factory's own fields and, where these
	// are unset, from what all engines share. Options that the engine cannot
	// honour are an error.
	NewEngine(shared Config) (Engine, error)
}
