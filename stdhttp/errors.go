package stdhttp

import (
	"crypto/tls"
	"errors"
	"io"
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
	return &failure{err}
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
	return &failure{err}
}

// failure is a net.Error. Its text is that of the cause alone, for callers look
// for net/http's texts at its beginning and end; method, URL and the number of the
// attempt are in the *godwit.Error.
type failure struct{ err error }

func (f *failure) Error() string {
	if reset, ok := errors.AsType[*h2.ResetError](f.err); ok {
		// connect-go knows the code by this, as others do.
		return "stream error: reset by the server; " + reset.Code.String() + "; received from peer"
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
