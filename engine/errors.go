package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-go/godwit/header"
)

// Op names the phase of a call in which an error arose.
type Op string

// The phases, in the order of a call.
const (
	OpBuild   Op = "build"   // before any I/O: a bad URL, field, option or capability
	OpPool    Op = "pool"    // waiting for a connection
	OpDNS     Op = "dns"     // name lookup
	OpConnect Op = "connect" // TCP or unix connection
	OpProxy   Op = "proxy"   // talking to the proxy
	OpTLS     Op = "tls"     // TLS handshake
	OpSend    Op = "send"    // writing the request, or reading its body
	OpReceive Op = "receive" // reading the response
	OpDecode  Op = "decode"  // making a value of the body
)

// OpError is an error and the phase in which it arose: what engines return.
type OpError struct {
	Op  Op
	Err error
	// Sent tells that some of the request may have reached the server. A
	// request that was not sent can be repeated whatever its method.
	Sent bool
}

func (e *OpError) Error() string { return string(e.Op) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout.
func (e *OpError) Timeout() bool { return IsTimeout(e.Err) }

// IsTimeout reports whether err is, or wraps, an error whose Timeout method
// says so.
func IsTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

// ProxyError tells that a proxy failed, or refused to connect to the origin: what
// it says is not the origin's answer. What went wrong when it refused is in
// Status, else in Err.
type ProxyError struct {
	// Proxy is its URL, without credentials.
	Proxy string
	// Status is its answer to CONNECT; 0 if there was none, or it speaks SOCKS.
	Status int
	// Header holds the fields of that answer, such as Proxy-Authenticate.
	Header header.Header
	Err    error
}

func (e *ProxyError) Error() string { return "proxy " + e.Proxy + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// Is reports whether the proxy's answer says what target does: 403 and 407 are
// ErrProxyDenied.
func (e *ProxyError) Is(target error) bool {
	return target == ErrProxyDenied && (e.Status == 403 || e.Status == 407)
}

// ErrProxyDenied is what errors.Is finds in a ProxyError where asking again makes
// no difference: the proxy wants other credentials, or its rules forbid the origin.
var ErrProxyDenied = errors.New("the proxy denies it")

// TimeoutKind tells which limit a [TimeoutError] ran into.
type TimeoutKind string

// The kinds of timeouts.
const (
	KindRequest TimeoutKind = "request" // the whole call, all hops and attempts
	KindAttempt TimeoutKind = "attempt" // one attempt
	KindPool    TimeoutKind = "pool"    // waiting for a connection
	KindConnect TimeoutKind = "connect" // making a connection
	KindHeader  TimeoutKind = "header"  // waiting for the response's head
	KindIdle    TimeoutKind = "idle"    // a pause between two bytes
)

// TimeoutError tells that a limit of time was reached. It Is
// context.DeadlineExceeded, and its Timeout method returns true.
type TimeoutError struct {
	Kind TimeoutKind
	// Limit is the configured duration; 0 if unknown.
	Limit time.Duration
}

func (e *TimeoutError) Error() string {
	if e.Limit <= 0 {
		return string(e.Kind) + " timeout"
	}
	return fmt.Sprintf("%s timeout after %v", e.Kind, e.Limit)
}

// Timeout returns true.
func (*TimeoutError) Timeout() bool { return true }

// Temporary returns true, as net.Error of a timeout does.
func (*TimeoutError) Temporary() bool { return true }

// Is reports whether target is context.DeadlineExceeded.
func (*TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// UnsupportedError tells that an engine cannot do what a request or an option
// asks of it.
type UnsupportedError struct {
	Engine     string
	Capability Capabilities
	// Detail adds what exactly was asked for; may be empty.
	Detail string
}

func (e *UnsupportedError) Error() string {
	s := "engine " + e.Engine + " does not support " + e.Capability.String()
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// ProtocolError tells that the peer broke the protocol, or framed its message
// in a way that cannot be trusted. The connection is closed.
type ProtocolError struct {
	// Reason says what is wrong, with the offending input quoted and cut short.
	Reason string
	// Section is the specification's, "RFC 9112 §6.3"; may be empty.
	Section string
}

func (e *ProtocolError) Error() string {
	if e.Section == "" {
		return "protocol error: " + e.Reason
	}
	return "protocol error: " + e.Reason + " (" + e.Section + ")"
}

// ErrClosed is the cause of every request to an engine that was closed.
var ErrClosed = errors.New("engine is closed")
