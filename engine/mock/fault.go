package mock

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// Error returns a Handler that fails with err: as it is if it is, or wraps, an
// *engine.OpError or *engine.UnsupportedError, else as the cause of one with Op
// receive, as of a request that may have reached the server.
func Error(err error) Handler {
	return Func(func(context.Context, *Request) (*Response, error) { return nil, err })
}

// Refused returns a Handler that fails as if nobody listened there.
func Refused() Handler {
	return Error(&engine.OpError{Op: engine.OpConnect, Err: &net.OpError{
		Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}})
}

// NoSuchHost returns a Handler that fails as if the host had no address.
func NoSuchHost() Handler {
	return Func(func(_ context.Context, req *Request) (*Response, error) {
		return nil, &engine.OpError{Op: engine.OpDNS, Err: &net.DNSError{
			Err: "no such host", Name: req.URL.Hostname(), IsNotFound: true}}
	})
}

// Reset returns a Handler that fails as if the connection were reset while the
// response was awaited.
func Reset() Handler {
	return Error(&engine.OpError{Op: engine.OpReceive, Err: errReset(), Sent: true})
}

func errReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// Hang returns a Handler that never answers: the call ends by its context, its
// deadline or its header timeout.
func Hang() Handler {
	return Func(func(ctx context.Context, _ *Request) (*Response, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
}

// Timeout returns a Handler that runs into the timeout of that kind: after the
// time that the request, or the engine's Config, allows for it, at once if that
// is not limited.
func Timeout(kind engine.TimeoutKind) Handler {
	return Func(func(ctx context.Context, req *Request) (*Response, error) {
		op, sent, limit := engine.OpReceive, true, time.Duration(0)
		switch kind {
		case engine.KindPool:
			op, sent, limit = engine.OpPool, false, req.timeouts.Pool
		case engine.KindConnect:
			op, sent, limit = engine.OpConnect, false, req.timeouts.Connect
		case engine.KindHeader:
			limit = req.timeouts.Header
		case engine.KindIdle:
			limit = req.timeouts.Idle
		}
		if !engine.Limited(limit) {
			limit = 0
		}
		if (kind == engine.KindRequest || kind == engine.KindAttempt) && req.DeadlineKind == kind && !req.Deadline.IsZero() {
			<-ctx.Done() // the engine's own timer ends it
			return nil, context.Cause(ctx)
		}
		if err := sleep(ctx, limit); err != nil {
			return nil, err
		}
		return nil, &engine.OpError{Op: op, Err: &engine.TimeoutError{Kind: kind, Limit: limit}, Sent: sent}
	})
}

// Delay returns a Handler that waits for d and then lets h answer. It stops
// waiting when the call ends.
func Delay(d time.Duration, h Handler) Handler {
	return Func(func(ctx context.Context, req *Request) (*Response, error) {
		if err := sleep(ctx, d); err != nil {
			return nil, err
		}
		return h.Answer(ctx, req)
	})
}

// Streaming returns a Handler that lets h answer before the request's body is
// read; h reads what it wants by Request.Reader. An answer to a request with
// "Expect: 100-continue" then comes without the body, unless h reads it. What h
// leaves can be read by its response's stream (both directions at once) until
// the response's body is at its end or closed.
func Streaming(h Handler) Handler { return streaming{h} }

type streaming struct{ Handler }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var (
	errNoReply    = errors.New("mock: a rule made by When has no Reply")
	errNilHandler = errors.New("mock: a handler is nil")
)
