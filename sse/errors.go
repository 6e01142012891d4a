package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/eventstream"
	"github.com/godwit-go/godwit/internal/hopeless"
)

// Reason tells why a stream ended.
type Reason string

// The reasons.
const (
	// Cancelled: ctx ended, or the client was cancelled or closed.
	Cancelled Reason = "cancelled"
	// BadRequest: the request cannot be sent, or another attempt would fail like
	// this one: a bad option, an unknown host, a certificate, a validator.
	BadRequest Reason = "the request cannot succeed"
	// Refused: the status was neither 200 nor 204.
	Refused Reason = "the server refused"
	// NotEventStream: the Content-Type was not text/event-stream, or the body
	// has a content coding that the client does not know.
	NotEventStream Reason = "the answer is no event stream"
	// Disconnected: the connection failed, and Reconnect is off.
	Disconnected Reason = "the connection failed"
	// AttemptsUsedUp: it failed as often as MaxAttempts allows.
	AttemptsUsedUp Reason = "reconnecting failed too often (see sse.MaxAttempts)"
	// BodyNotReplayable: the request would have to be sent again, but its body
	// can be read only once.
	BodyNotReplayable Reason = "the request body cannot be sent again"
	// BadLastEventID: the last id has characters that no field can carry, so
	// that the stream cannot be resumed without repeating events.
	BadLastEventID Reason = "the last event id cannot be sent"
	// TooLarge: a line or an event was longer than MaxLine or MaxEvent allows.
	TooLarge Reason = "too large"
	// BadData: the data of one event could not be decoded; the stream goes on.
	BadData Reason = "the data cannot be decoded"
)

// Error tells why a stream ended. Programs look at Reason, and at the cause with
// errors.Is and errors.As: *[godwit.Error] with what it wraps,
// *[godwit.StatusError], *[godwit.DecodeError].
type Error struct {
	Reason Reason
	// LastEventID is the id to go on from, by the option LastEventID; "" = none.
	LastEventID string
	// Attempts is how many requests were sent since the last event, or since the
	// start.
	Attempts int
	// Response is what the server answered if the reason is Refused or
	// NotEventStream, with the start of its body in memory; else nil.
	Response *godwit.Response
	Err      error
}

func (e *Error) Error() string {
	s := "sse: " + string(e.Reason)
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (%d requests without an event)", e.Attempts)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.LastEventID != "" {
		s += fmt.Sprintf(" (last event id %q)", e.LastEventID)
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout.
func (e *Error) Timeout() bool {
	return engine.IsTimeout(e.Err) || errors.Is(e.Err, context.DeadlineExceeded)
}

// errLeft says that nothing is to be told: the loop was left, or the server has
// nothing.
var errLeft = errors.New("the loop was left")

// errEnded is how the end of a stream reads in an error.
var errEnded = fmt.Errorf("the server ended the stream: %w", io.EOF)

// notEventStream is an answer of another kind.
type notEventStream struct {
	why      string
	response *godwit.Response
}

func (e *notEventStream) Error() string { return e.why }

// reasonOf sorts the errors of one connection. Disconnected is what another
// attempt may mend.
func reasonOf(err error) Reason {
	if _, ok := errors.AsType[*eventstream.LimitError](err); ok || errors.Is(err, godwit.ErrBodyTooLarge) {
		return TooLarge
	}
	if _, ok := errors.AsType[*notEventStream](err); ok {
		return NotEventStream
	}
	if _, ok := errors.AsType[*godwit.StatusError](err); ok {
		return Refused
	}
	if errors.Is(err, godwit.ErrNotReplayable) {
		return BodyNotReplayable
	}
	if _, ok := errors.AsType[*engine.TimeoutError](err); ok {
		return Disconnected
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, godwit.ErrClientClosed) || errors.Is(err, engine.ErrClosed) {
		return Cancelled
	}
	if hopeless.Error(err) {
		return BadRequest
	}
	return Disconnected
}

// unknownHost reports a name that does not exist. Of a host that was there before
// it means that the network is gone.
func unknownHost(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// unsent reports errors of requests of which nothing reached a server, and whose
// body was not touched.
func unsent(err error) bool {
	oe, ok := errors.AsType[*engine.OpError](err)
	if !ok || oe.Sent {
		return false
	}
	switch oe.Op {
	case engine.OpPool, engine.OpDNS, engine.OpConnect, engine.OpProxy, engine.OpTLS:
		return true
	}
	return false
}
