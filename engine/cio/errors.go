package cio

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/h1"
)

// mayResend decides whether the request is sent again on a fresh connection,
// once, after err.
//
// The connection must have been a reused one that ended (was closed or reset)
// before a byte of the answer. Then the request is sent again if not a byte of
// it was written, or if its method is idempotent (RFC 9110 §9.2.2) or an
// Idempotency-Key says that repeating it does no harm. A body that was opened
// must be replayable. NoStaleRetry forbids all of it.
func (x *exchange) mayResend(err error) bool {
	switch {
	case x.resent, x.answered, !x.answer.Reused, x.req.NoStaleRetry, x.engine.config.NoStaleRetry:
		return false
	case x.aborted.Load(), !broken(err) && !broken(x.sendErr):
		return false
	case (x.opened || x.sent.Load()) && x.req.Body != nil && !x.req.Body.Replayable():
		return false
	case x.upload != nil && x.upload.Failure() != nil:
		return false // it was us who ended the connection
	}
	return !x.sent.Load() || idempotent(x.req)
}

func idempotent(req *engine.Request) bool {
	switch req.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY":
		return true
	}
	return req.Header.Has("Idempotency-Key")
}

// broken reports whether err tells that the peer ended the connection.
func broken(err error) bool {
	if err == nil || os.IsTimeout(err) || errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return true
	}
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op != "remote error" && e.Op != "local error" // those are TLS alerts
}

// ctxError is the error of an exchange whose context has ended.
func (x *exchange) ctxError() error {
	if err := ctxerr.Of(x.ctx); err != nil {
		return err
	}
	return context.Canceled // Abort was called, whatever the context says
}

// opError makes of err what Execute and the Body return: what lies behind it
// goes before it, and it is wrapped in op if it names no phase itself.
func (x *exchange) opError(op engine.Op, err error) error {
	if x.aborted.Load() {
		err = wrap(op, x.ctxError())
	} else if x.upload != nil {
		if failed := x.upload.Failure(); failed != nil {
			err = failed
		}
	}
	if _, ok := errors.AsType[*h1.InputError](err); ok && !x.sent.Load() {
		op = engine.OpBuild
	}
	e := wrap(op, err)
	if sent := x.sent.Load() || x.reached; sent && !e.Sent {
		e = &engine.OpError{Op: e.Op, Err: e.Err, Sent: true}
	}
	return e
}

func wrap(op engine.Op, err error) *engine.OpError {
	if e, ok := err.(*engine.OpError); ok {
		return e
	}
	return &engine.OpError{Op: op, Err: err}
}
