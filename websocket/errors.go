package websocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/hopeless"
)

// StatusCode is the code of a close frame (RFC 6455 §7.4).
type StatusCode int

// The registered codes.
const (
	StatusNormalClosure      StatusCode = 1000
	StatusGoingAway          StatusCode = 1001
	StatusProtocolError      StatusCode = 1002
	StatusUnsupportedData    StatusCode = 1003
	StatusNoStatus           StatusCode = 1005 // a close frame without a code
	StatusAbnormalClosure    StatusCode = 1006 // no close frame; only from engines that deliver messages
	StatusInvalidPayload     StatusCode = 1007
	StatusPolicyViolation    StatusCode = 1008
	StatusMessageTooBig      StatusCode = 1009
	StatusMandatoryExtension StatusCode = 1010
	StatusInternalError      StatusCode = 1011
	StatusServiceRestart     StatusCode = 1012
	StatusTryAgainLater      StatusCode = 1013
	StatusBadGateway         StatusCode = 1014
	statusNone               StatusCode = -1
)

// String returns the number.
func (c StatusCode) String() string { return strconv.Itoa(int(c)) }

// CloseError tells that the server closed the connection, and how.
type CloseError struct {
	Code   StatusCode
	Reason string
}

func (e *CloseError) Error() string {
	s := "websocket: closed by the server with status " + e.Code.String()
	if e.Reason != "" {
		s += " " + strconv.Quote(e.Reason)
	}
	return s
}

// CloseStatus returns the status that the server closed the connection with, -1
// if err is no [CloseError].
func CloseStatus(err error) StatusCode {
	if e, ok := errors.AsType[*CloseError](err); ok {
		return e.Code
	}
	return statusNone
}

// ErrMessageTooLarge is the cause when a message is larger than ReadLimit.
var ErrMessageTooLarge = errors.New("websocket: message too large")

// PongTimeoutError tells that the server answered a keep-alive ping with nothing
// at all. Its Timeout method returns true.
type PongTimeoutError struct {
	// Limit is the one given to KeepAlive.
	Limit time.Duration
}

func (e *PongTimeoutError) Error() string {
	return fmt.Sprintf("websocket: nothing from the server within %v of a ping", e.Limit)
}

// Timeout returns true.
func (*PongTimeoutError) Timeout() bool { return true }

// HandshakeError tells that the server did not agree to speak WebSocket, or not
// as it has to.
type HandshakeError struct {
	// Reason says what is wrong with the response.
	Reason string
	// Response is the server's, with the beginning of its body (64 KiB) as its
	// Bytes. Of a 101 that does not say what to switch to, engines show no more
	// than the status.
	Response *godwit.Response
}

func (e *HandshakeError) Error() string {
	return "websocket: handshake failed: " + e.Reason
}

// Temporary reports whether what ended a connection, or kept one from being
// made, may be over soon: it is when the network failed, a timeout of the client
// was reached, the server went away, restarted, was overloaded or failed by itself
// (1001, 1005, 1006, 1011 to 1014; a handshake answered by 408, 429 or 5xx), and
// not when the connection was closed here or normally, by Client.Cancel or the end
// of a context, when either side broke a rule, or when another attempt would meet
// the same error: a bad option or URL, a certificate, too many redirects, what the
// engine cannot do.
func Temporary(err error) bool {
	if err == nil || overForGood(err) {
		return false
	}
	if e, ok := errors.AsType[*CloseError](err); ok {
		switch e.Code {
		case StatusGoingAway, StatusNoStatus, StatusAbnormalClosure, StatusInternalError, StatusServiceRestart, StatusTryAgainLater, StatusBadGateway:
			return true
		}
		return false
	}
	if e, ok := errors.AsType[*HandshakeError](err); ok {
		return mayPass(e.Response.Status)
	}
	if e, ok := errors.AsType[*godwit.StatusError](err); ok {
		return mayPass(e.Response.Status)
	}
	if _, ok := errors.AsType[*godwit.ProtocolError](err); ok {
		return false
	}
	return !hopeless.Error(err) && !resetHandshake(err)
}

// resetHandshake reports that the server refused a handshake over HTTP/2 by the
// error code for requests that it takes for malformed, or not on HTTP/2.
func resetHandshake(err error) bool {
	if _, ok := errors.AsType[*godwit.Error](err); !ok {
		return false // of a connection that stood: proxies that cut it say this, too
	}
	e, ok := errors.AsType[*h2.ResetError](err)
	return ok && (e.Code == h2.CodeProtocol || e.Code == h2.CodeHTTP11Required)
}

// overForGood reports the ends that somebody here meant, and errors of ours.
func overForGood(err error) bool {
	for _, is := range []error{errClosed, ErrMessageTooLarge, godwit.ErrClientClosed, context.Canceled} {
		if errors.Is(err, is) {
			return true
		}
	}
	if _, ok := errors.AsType[*argumentError](err); ok {
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) && !timedOut(err)
}

// timedOut reports a limit of the client, the network's or Subscribe's own, which
// are context.DeadlineExceeded to errors.Is as well as the end of a context is.
func timedOut(err error) bool {
	if _, ok := errors.AsType[*godwit.TimeoutError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	_, ok := errors.AsType[*subscribeTimeout](err)
	return ok
}

func mayPass(s godwit.Status) bool { return s == 408 || s == 429 || s >= 500 }

// argumentError is what Dial was given and cannot use.
type argumentError struct{ error }

func (e *argumentError) Unwrap() error { return e.error }
