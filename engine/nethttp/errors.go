package nethttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
)

func (e *tooManyRedirects) Error() string {
	return fmt.Sprintf("stopped after %d redirects (nethttp.Config.MaxRedirects)", e.limit)
}

// failure makes of net/http's errors what engines return. The exchange's own end
// goes before whatever net/http made of it; then the fault of the request's body,
// which may wrap an error of another exchange; then what has a type already; then
// the phase that the hooks have seen.
func (x *exchange) failure(err error) error {
	op, sent := x.currentOp(), x.sent.Load()
	if fault := x.faulted(); fault != nil {
		return &engine.OpError{Op: fault.Op, Err: fault.Err, Sent: sent}
	}
	if ended := ctxerr.Of(x.ctx); ended != nil {
		return x.ended(ended)
	}
	if fault := x.uploadFailure(); fault != nil {
		return &engine.OpError{Op: engine.OpSend, Err: fault, Sent: sent}
	}
	if u, ok := errors.AsType[*engine.UnsupportedError](err); ok {
		return &engine.OpError{Op: engine.OpBuild, Err: u, Sent: sent}
	}
	if o, ok := errors.AsType[*engine.OpError](err); ok {
		return &engine.OpError{Op: o.Op, Err: o.Err, Sent: o.Sent || sent}
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.Canceled) {
		// Ours has not ended: another request, which had the connection before, was
		// cancelled so late that net/http closed it under this one.
		err = fmt.Errorf("net/http has closed the connection (%v): %w", err, io.ErrUnexpectedEOF)
	}
	if h, ok := errors.AsType[*hookError](err); ok {
		return &engine.OpError{Op: engine.OpReceive, Err: h.err, Sent: sent}
	}
	if _, ok := errors.AsType[*tooManyRedirects](err); ok {
		op = engine.OpReceive
	}
	if op == engine.OpReceive {
		err = received(err)
	}
	return &engine.OpError{Op: op, Err: err, Sent: sent}
}

// ended returns the error of an exchange that why has ended. Where a connection was
// still being made for it, that tells the phase, and the proxy if it is to blame.
func (x *exchange) ended(why error) error {
	e := &engine.OpError{Op: x.currentOp(), Err: why}
	if failed := x.endDials(why); failed != nil {
		e, _ = errors.AsType[*engine.OpError](dial.Overdue(failed, why))
	}
	e.Sent = x.sent.Load()
	return e
}

// errProxyURL is for URLs whose own error would show credentials.
var errProxyURL = errors.New("the proxy's URL cannot be parsed")

// received tells a broken connection from a broken message. net/http wraps both
// alike, but only the first has an error of the network inside.
func received(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the server closed the connection: %w", io.ErrUnexpectedEOF)
	case strings.Contains(err.Error(), "unexpected EOF reading trailer"):
		return fmt.Errorf("%v: %w", err, io.ErrUnexpectedEOF)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded), isNetwork(err):
		return err
	}
	if _, ok := errors.AsType[*engine.ProtocolError](err); ok {
		return err
	}
	text := err.Error()
	for _, sign := range []string{
		"HTTP/1.x transport connection broken", "malformed", "invalid", "headers exceeded", "header list", "1xx informational",
		"PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "COMPRESSION_ERROR", "chunk", "frame", "too long",
	} {
		if strings.Contains(text, sign) {
			return &engine.ProtocolError{Reason: text}
		}
	}
	return err
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}
