package h2

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/godwit-go/godwit/engine"
)

// ErrCode is an error code (RFC 9113 §7).
type ErrCode uint32

// The error codes.
const (
	CodeNo              ErrCode = 0x0
	CodeProtocol        ErrCode = 0x1
	CodeInternal        ErrCode = 0x2
	CodeFlowControl     ErrCode = 0x3
	CodeSettingsTimeout ErrCode = 0x4
	CodeStreamClosed    ErrCode = 0x5
	CodeFrameSize       ErrCode = 0x6
	CodeRefusedStream   ErrCode = 0x7
	CodeCancel          ErrCode = 0x8
	CodeCompression     ErrCode = 0x9
	CodeConnect         ErrCode = 0xa
	CodeEnhanceYourCalm ErrCode = 0xb
	CodeInadequate      ErrCode = 0xc
	CodeHTTP11Required  ErrCode = 0xd
)

var codeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func (c ErrCode) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "error code " + strconv.FormatUint(uint64(c), 10)
}

// Error tells that the peer broke the protocol. It wraps the
// *engine.ProtocolError that says how.
type Error struct {
	// Code is what the peer is told.
	Code ErrCode
	// StreamID is the stream that is lost; 0 = all of the connection is.
	StreamID uint32
	Err      *engine.ProtocolError
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

func connError(code ErrCode, section, format string, args ...any) *Error {
	return streamError(0, code, section, format, args...)
}

func streamError(id uint32, code ErrCode, section, format string, args ...any) *Error {
	return &Error{Code: code, StreamID: id, Err: &engine.ProtocolError{
		Reason: "HTTP/2: " + fmt.Sprintf(format, args...), Section: section,
	}}
}

// ResetError tells that the server ended a stream by RST_STREAM. It Is
// io.ErrUnexpectedEOF.
type ResetError struct{ Code ErrCode }

func (e *ResetError) Error() string { return "HTTP/2: the server reset the stream: " + e.Code.String() }

// Unwrap returns io.ErrUnexpectedEOF.
func (*ResetError) Unwrap() error { return io.ErrUnexpectedEOF }

// GoAwayError tells that the server ended the connection by GOAWAY before it
// processed the request.
type GoAwayError struct {
	Code ErrCode
	// Debug is what the server said beside, cut short.
	Debug string
}

func (e *GoAwayError) Error() string {
	return "HTTP/2: the server goes away: " + e.reason()
}

func (e *GoAwayError) reason() string {
	if e.Debug == "" {
		return e.Code.String()
	}
	return e.Code.String() + " " + strconv.Quote(e.Debug)
}

// LostError tells that the connection ended under a stream. Its cause is the
// connection's error; it Is io.ErrUnexpectedEOF too.
type LostError struct {
	Err error
	// GoAway is what the server said before the connection ended; nil = nothing.
	// It is no cause of this error: the stream was among those that the server may
	// have processed.
	GoAway *GoAwayError
}

func (e *LostError) Error() string {
	s := "HTTP/2: the connection is lost: " + e.Err.Error()
	if e.GoAway != nil {
		s += ", after GOAWAY with " + e.GoAway.reason()
	}
	return s
}

// Unwrap returns the cause and io.ErrUnexpectedEOF.
func (e *LostError) Unwrap() []error { return []error{e.Err, io.ErrUnexpectedEOF} }

// lostTo makes of the end of a connection the error of its streams; said is the
// server's GOAWAY, if there was one.
func lostTo(err error, said *GoAwayError) error {
	switch err.(type) {
	case *Error, *GoAwayError, *LostError:
		return err
	}
	return &LostError{err, said}
}

// HTTP11Required reports whether err tells that the server wants HTTP/1.1 in
// place of HTTP/2 for the request (RFC 9113 §7): it said so by RST_STREAM or by
// GOAWAY.
func HTTP11Required(err error) bool {
	if e, ok := errors.AsType[*ResetError](err); ok {
		return e.Code == CodeHTTP11Required
	}
	if e, ok := errors.AsType[*LostError](err); ok && e.GoAway != nil {
		return e.GoAway.Code == CodeHTTP11Required
	}
	e, ok := errors.AsType[*GoAwayError](err)
	return ok && e.Code == CodeHTTP11Required
}

// lengthError is a body that does not fit its Content-Length: a violation, and
// where it is too short also an end that came too early.
type lengthError struct {
	cause *Error
	short bool
}

func (e *lengthError) Error() string { return e.cause.Error() }

func (e *lengthError) Unwrap() []error {
	if e.short {
		return []error{e.cause, io.ErrUnexpectedEOF}
	}
	return []error{e.cause}
}

// Unprocessed reports whether err tells that the server has done nothing about
// the request (RFC 9113 §8.7), so that it can be sent again whatever its method.
func Unprocessed(err error) bool {
	if errors.Is(err, ErrUnfit) {
		return true
	}
	if _, ok := errors.AsType[*GoAwayError](err); ok {
		return true
	}
	reset, ok := errors.AsType[*ResetError](err)
	return ok && reset.Code == CodeRefusedStream
}

var (
	// ErrUnfit tells that the connection takes no more streams: nothing was sent.
	ErrUnfit = errors.New("HTTP/2: the connection takes no more streams")
	// ErrCanceled is the end of a stream that its owner canceled.
	ErrCanceled = errors.New("HTTP/2: the stream was canceled")
	// ErrPing is the cause of the end of a connection that did not answer a PING.
	ErrPing = errors.New("HTTP/2: no answer to a PING")
	// ErrWriteTimeout is the cause of the end of a connection that took nothing.
	ErrWriteTimeout = errors.New("HTTP/2: the server takes no bytes")
	// ErrClosed is the cause of the end of a connection that we closed.
	ErrClosed = errors.New("HTTP/2: the connection was closed")
	// ErrSendClosed tells of bytes after the end of what is sent on a stream.
	ErrSendClosed = errors.New("HTTP/2: write on a closed stream")
)
