package stdhttp

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
)

// explain makes of the client's error what http.Transport returns for its like.
func (x *exchange) explain(err error) error {
	if ended := x.ended(); ended != nil {
		return ended
	}
	op := opOf(err)
	if bad, ok := errors.AsType[tls.RecordHeaderError](err); ok && op == engine.OpTLS {
		return bad // http.Client asserts the type to tell of a server without TLS
	}
	if x.closedUnanswered(op, err) {
		return io.EOF
	}
	f := &failure{err: err}
	if (op == engine.OpDNS || op == engine.OpConnect) && lookupFailed(err) {
		f.dial = &net.OpError{Op: "dial", Net: "tcp", Err: cause(err)}
	}
	return f
}

// lookupFailed reports an error that package net's dialer would have wrapped.
func lookupFailed(err error) bool {
	if _, wrapped := errors.AsType[*net.OpError](err); wrapped {
		return false
	}
	_, name := errors.AsType[*net.DNSError](err)
	_, address := errors.AsType[*net.AddrError](err)
	return name || address
}

// closedUnanswered reports whether the server closed the connection before the
// first byte of an answer. Callers, Kubernetes' among them, compare net/http's
// error for it to io.EOF.
func (x *exchange) closedUnanswered(op engine.Op, err error) bool {
	switch {
	case op != engine.OpSend && op != engine.OpReceive, x.answering.Load():
		return false
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return false
	case x.upload != nil && x.upload.failed(err):
		return false
	}
	if _, reset := errors.AsType[*h2.ResetError](err); reset {
		return false
	}
	_, lost := errors.AsType[*h2.LostError](err)
	return !lost // net/http's HTTP/2 says io.ErrUnexpectedEOF
}

func opOf(err error) engine.Op {
	if e, ok := errors.AsType[*godwit.Error](err); ok {
		return e.Op
	}
	return ""
}

// explainBody does so for an error of a body.
func (x *exchange) explainBody(err error) error {
	if ended := x.ended(); ended != nil {
		return ended
	}
	if _, reset := errors.AsType[*h2.ResetError](err); !reset && errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	return &failure{err: err}
}

// failure is a net.Error. Its text is that of the cause alone, for callers look
// for net/http's texts at its beginning and end; method, URL and the number of the
// attempt are in the *godwit.Error.
type failure struct {
	err  error
	dial *net.OpError // what package net would have said, nil = nothing or the like
}

func (f *failure) Error() string {
	if reset, ok := errors.AsType[*h2.ResetError](f.err); ok {
		// connect-go knows the code by this, as others do.
		return "stream error: reset by the server; " + reset.Code.String() + "; received from peer"
	}
	if f.dial != nil {
		return f.dial.Error()
	}
	for err := f.err; ; {
		switch e := err.(type) {
		case *godwit.Error:
			err = e.Err
		case *engine.OpError:
			err = e.Err
		case *engine.ProtocolError:
			if strings.HasPrefix(e.Reason, "stream error: ") { // net/http's own
				return e.Reason
			}
			return e.Error()
		default:
			return err.Error()
		}
	}
}

// Unwrap returns the client's error.
func (f *failure) Unwrap() error { return f.err }

// cause returns what lies under the client's and the engine's error.
func cause(err error) error {
	for {
		switch e := err.(type) {
		case *godwit.Error:
			err = e.Err
		case *engine.OpError:
			err = e.Err
		default:
			return err
		}
	}
}

// As makes a *net.OpError of a failed lookup, and of a reset stream, like
// net/http's own error, the StreamError of package golang.org/x/net/http2, which
// is not imported for that.
func (f *failure) As(target any) bool {
	if to, ok := target.(**net.OpError); ok && f.dial != nil {
		*to = f.dial
		return true
	}
	reset, ok := errors.AsType[*h2.ResetError](f.err)
	to := reflect.ValueOf(target).Elem()
	if !ok || to.Kind() != reflect.Struct {
		return false
	}
	from := reflect.ValueOf(streamError{Code: uint32(reset.Code), Cause: errFromPeer})
	if to.NumField() != from.NumField() {
		return false
	}
	for i := range from.NumField() {
		has, wants := from.Type().Field(i), to.Type().Field(i)
		if has.Name != wants.Name || !has.Type.ConvertibleTo(wants.Type) {
			return false
		}
	}
	for i := range from.NumField() {
		to.Field(i).Set(from.Field(i).Convert(to.Field(i).Type()))
	}
	return true
}

// streamError has the fields of http2.StreamError. The stream's number is not
// known here.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

var errFromPeer = errors.New("received from peer")

// Timeout reports whether a limit of time was reached.
func (f *failure) Timeout() bool {
	t, ok := f.err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// Temporary reports whether the cause says so; it is part of net.Error.
func (f *failure) Temporary() bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](f.err)
	return ok && t.Temporary()
}
