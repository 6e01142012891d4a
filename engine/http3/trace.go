package http3

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"github.com/godwit-go/godwit/engine"
)

// hook runs f on the caller's trace, unless there is none or the exchange is
// over. Hooks come from several goroutines; here they take turns.
func (x *exchange) hook(f func(*engine.Trace)) {
	if x.req.Trace == nil {
		return
	}
	x.traceMu.Lock()
	defer x.traceMu.Unlock()
	if !x.silent {
		f(x.req.Trace)
	}
}

func call[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

// dialTrace passes the dialer's events on.
func (x *exchange) dialTrace() *engine.Trace {
	return &engine.Trace{
		DNSStart: func(host string) {
			x.setOp(engine.OpDNS)
			x.hook(func(t *engine.Trace) { call(t.DNSStart, host) })
		},
		DNSDone: func(addrs []string, err error) {
			x.hook(func(t *engine.Trace) {
				if t.DNSDone != nil {
					t.DNSDone(addrs, err)
				}
			})
		},
		ConnectStart: func(network, address string) {
			x.setOp(engine.OpConnect)
			x.hook(func(t *engine.Trace) {
				if t.ConnectStart != nil {
					t.ConnectStart(network, address)
				}
			})
		},
		ConnectDone: func(network, address string, err error) {
			x.hook(func(t *engine.Trace) {
				if t.ConnectDone != nil {
					t.ConnectDone(network, address, err)
				}
			})
		},
		TLSStart: func() {
			x.hook(func(t *engine.Trace) {
				if t.TLSStart != nil {
					t.TLSStart()
				}
			})
		},
		TLSDone: func(state tls.ConnectionState, err error) {
			x.hook(func(t *engine.Trace) {
				if t.TLSDone != nil {
					t.TLSDone(state, err)
				}
			})
		},
	}
}

// traced returns the exchange's context with quic-go's hooks.
func (x *exchange) traced() context.Context {
	attempt := x.attempt.Load()
	return httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{
		WroteHeaders: x.wroteHeaders,
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if x.attempt.Load() == attempt { // quic-go ends late with a body that was given up
				x.wroteRequest(info.Err)
			}
		},
		Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			return x.informational(status, http.Header(h))
		},
		GotFirstResponseByte: x.firstByte,
	})
}

func (x *exchange) wroteHeaders() {
	x.sent.Store(true)
	x.timers.Touch()
	x.timers.Stop(engine.KindPool)
	x.hook(func(t *engine.Trace) {
		if t.WroteHeader != nil {
			t.WroteHeader()
		}
	})
}

func (x *exchange) wroteRequest(err error) {
	x.timers.Touch()
	x.mu.Lock()
	x.written = true
	if err == nil {
		x.op = engine.OpReceive
	}
	x.mu.Unlock()
	switch {
	case err == nil:
		x.timers.Start(engine.KindHeader)
	case x.sent.Load():
	case isNetwork(err) || connectionLost(err):
		x.sent.Store(true) // nobody knows how much
	default:
		// quic-go does not know how to send the head, and would wait for an
		// answer to it all the same.
		x.cancel(&engine.OpError{Op: engine.OpBuild, Err: err})
	}
	x.hook(func(t *engine.Trace) { call(t.WroteRequest, err) })
}

func (x *exchange) firstByte() {
	x.timers.Touch()
	x.mu.Lock()
	x.op, x.first = engine.OpReceive, true
	x.mu.Unlock()
	x.hook(func(t *engine.Trace) {
		if t.FirstByte != nil {
			t.FirstByte()
		}
	})
}

// informational passes a 1xx response on; an error of the hook ends the
// exchange with it.
func (x *exchange) informational(status int, h http.Header) (err error) {
	x.timers.Touch()
	if status == http.StatusContinue {
		x.proceed(true)
	}
	x.hook(func(t *engine.Trace) {
		if t.Informational != nil {
			err = t.Informational(status, convert(h))
		}
	})
	if err != nil {
		x.cancel(&hookError{err})
	}
	return err
}

// hookError marks an error that a hook of the caller ended the exchange with.
type hookError struct{ err error }

func (e *hookError) Error() string { return e.err.Error() }
func (e *hookError) Unwrap() error { return e.err }
