package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
)

// errRejectedEarly is what streams of rejected early data end with.
var errRejectedEarly = quic.Err0RTTRejected

// isRejected reports whether the server says that it has not processed the
// request (RFC 9114 §4.1.1).
func isRejected(err error) bool {
	e, ok := errors.AsType[*h3.Error](err)
	return ok && e.Remote && e.ErrorCode == h3.ErrCodeRequestRejected
}

// connectionLost reports whether err is the end of the connection, not only of a
// stream. Streams may tell before the connection itself does.
func connectionLost(err error) bool {
	if _, ok := errors.AsType[*quic.ApplicationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*quic.TransportError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*quic.StatelessResetError](err); ok {
		return true
	}
	return errors.Is(err, errRejectedEarly)
}

// failure makes of quic-go's errors what engines return. The exchange's own end
// goes before whatever quic-go made of it; then what has a type already; then the
// phase.
func (x *exchange) failure(err error) error {
	op, sent := x.currentOp(), x.reached || x.sent.Load() && !isRejected(err)
	if _, ok := errors.AsType[*engine.OpError](err); !ok && x.ctx.Err() != nil {
		err = context.Cause(x.ctx)
		if t, ok := errors.AsType[*engine.TimeoutError](err); ok && t.Kind == engine.KindConnect {
			if op != engine.OpDNS {
				op = engine.OpConnect // a request that went early may be further
			}
			return &engine.OpError{Op: op, Err: silence(x.to.addr(), err), Sent: sent}
		}
	}
	if f, ok := errors.AsType[*bodyFault](err); ok {
		return &engine.OpError{Op: engine.OpSend, Err: f.err, Sent: sent}
	}
	if h, ok := errors.AsType[*hookError](err); ok {
		return &engine.OpError{Op: engine.OpReceive, Err: h.err, Sent: sent}
	}
	if o, ok := errors.AsType[*engine.OpError](err); ok {
		return &engine.OpError{Op: o.Op, Err: o.Err, Sent: o.Sent || sent}
	}
	if errors.Is(err, engine.ErrClosed) {
		return &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	if x.ctx.Err() == nil {
		op, err = classify(op, err)
	}
	return &engine.OpError{Op: op, Err: err, Sent: sent}
}

// classify tells a refused handshake, a broken connection and a broken message
// apart.
func classify(op engine.Op, err error) (engine.Op, error) {
	if e, ok := errors.AsType[*quic.TransportError](err); ok {
		switch {
		case e.ErrorCode.IsCryptoError():
			return engine.OpTLS, withAlert(err) // a client certificate is judged when the handshake is over
		case !e.Remote:
			return engine.OpReceive, &engine.ProtocolError{Reason: err.Error(), Section: "RFC 9000 §20.1"}
		}
		return op, lost(err)
	}
	if e, ok := errors.AsType[*h3.Error](err); ok {
		if !e.Remote && e.ErrorCode != h3.ErrCodeRequestCanceled && e.ErrorCode != h3.ErrCodeNoError {
			return engine.OpReceive, &engine.ProtocolError{Reason: err.Error(), Section: "RFC 9114 §8.1"}
		}
		return op, fmt.Errorf("the server gave the exchange up: %w", lost(err))
	}
	switch {
	case op == engine.OpReceive && isMalformed(err):
		return op, &engine.ProtocolError{Reason: err.Error(), Section: "RFC 9114 §4.1.2"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return op, err
	case errors.Is(err, io.EOF), isNetwork(err):
		return op, lost(err)
	}
	if _, ok := errors.AsType[*engine.ProtocolError](err); ok || op != engine.OpReceive {
		return op, err
	}
	if isLimit(err) {
		return op, &limitError{&engine.ProtocolError{Reason: err.Error()}}
	}
	return op, &engine.ProtocolError{Reason: err.Error(), Section: "RFC 9114"}
}

// withAlert adds to err, a failed handshake, the alert of the server, if it was one
// (RFC 9001 §4.8). It has the form that crypto/tls gives it over TCP: who looks for
// it there, as package certs does, need not know QUIC. The text stays.
func withAlert(err error) error {
	e, ok := errors.AsType[*quic.TransportError](err)
	if !ok || !e.Remote || !e.ErrorCode.IsCryptoError() {
		return err
	}
	return fmt.Errorf("%w%.0w", err, &net.OpError{Op: "remote error", Err: tls.AlertError(e.ErrorCode - 0x100)})
}

// lost marks err as an end before the message's.
func lost(err error) error { return fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err) }

// isNetwork reports whether err is about the connection, not the message.
func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok { // quic-go's timeouts and resets too
		return true
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return true
	}
	_, ok := errors.AsType[*quic.StreamError](err)
	return ok || errors.Is(err, errRejectedEarly)
}

// limitError marks a response that is larger than this engine's settings allow.
// That says nothing of the server's HTTP/3.
type limitError struct{ *engine.ProtocolError }

func (e *limitError) Unwrap() error { return e.ProtocolError }

// isLimit reports whether quic-go has given a response up for its size or its
// number of 1xx responses; the errors have no type.
func isLimit(err error) bool {
	text := err.Error()
	return strings.Contains(text, "HEADERS frame too large") || strings.Contains(text, "headers too large") ||
		strings.Contains(text, "too many 1xx")
}

// isMalformed reports whether quic-go has read a whole field section and cannot
// make sense of it; the errors have no type, and one that ends too early within
// is no end of the stream.
func isMalformed(err error) bool {
	text := err.Error()
	return strings.Contains(text, "qpack: ") || strings.Contains(text, "http3: invalid response: ") && !isLimit(err)
}

// ServerFault reports whether err, which an engine of this package returned for a
// request on a connection, speaks against the server's HTTP/3 or the way to it: a
// broken protocol, or a connection that was lost. An orderly end (H3_NO_ERROR) and
// this engine's own limits do not.
func ServerFault(err error) bool {
	if _, limit := errors.AsType[*limitError](err); limit {
		return false
	}
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok && h3.ErrCode(e.ErrorCode) == h3.ErrCodeNoError {
		return false
	}
	_, protocol := errors.AsType[*engine.ProtocolError](err)
	return protocol || connectionLost(err)
}
