package nethttp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"

	"github.com/godwit-go/godwit/engine"
)

// hook runs f on the caller's trace, unless there is none or the exchange is
// over. net/http calls its hooks from several goroutines; here they take turns.
func (x *exchange) hook(f func(*engine.Trace)) {
	if x.req.Trace == nil {
		return
	}
	defer x.caught()
	x.traceMu.Lock()
	defer x.traceMu.Unlock()
	if !x.silent {
		f(x.req.Trace)
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
		TLSStart: x.tlsStart,
		TLSDone:  x.tlsDone,
	}
}

func (x *exchange) tlsStart() {
	x.setOp(engine.OpTLS)
	x.hook(func(t *engine.Trace) {
		if t.TLSStart != nil {
			t.TLSStart()
		}
	})
}

func (x *exchange) tlsDone(state tls.ConnectionState, err error) {
	x.hook(func(t *engine.Trace) {
		if t.TLSDone != nil {
			t.TLSDone(state, err)
		}
	})
}

func call[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

// traced returns the exchange's context with net/http's hooks.
func (x *exchange) traced() context.Context {
	t := &httptrace.ClientTrace{
		GetConn:           x.getConn,
		GotConn:           x.gotConn,
		WroteHeaders:      x.wroteHeaders,
		WroteRequest:      x.wroteRequest,
		TLSHandshakeStart: x.tlsStart,
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				x.secured()
			}
			x.tlsDone(state, err)
		},
		Wait100Continue: func() {
			x.hook(func(t *engine.Trace) {
				if t.Wait100 != nil {
					t.Wait100()
				}
			})
		},
		// Comes before the body is read; Got1xxResponse may come after.
		Got100Continue: func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.continued = true
		},
		Got1xxResponse: x.informational,
		GotFirstResponseByte: func() {
			x.timers.Touch()
			x.mu.Lock()
			x.op, x.final = engine.OpReceive, true
			x.mu.Unlock()
			x.hook(func(t *engine.Trace) {
				if t.FirstByte != nil {
					t.FirstByte()
				}
			})
		},
		PutIdleConn: func(err error) {
			x.hook(func(t *engine.Trace) { call(t.PutIdle, err) })
			if err == nil {
				x.engine.makeRoom()
			}
		},
	}
	if x.engine.main == nil {
		own := x.dialTrace()
		t.DNSStart = func(i httptrace.DNSStartInfo) { own.DNSStart(i.Host) }
		t.DNSDone = func(i httptrace.DNSDoneInfo) {
			addrs := make([]string, len(i.Addrs))
			for n, a := range i.Addrs {
				addrs[n] = a.String()
			}
			own.DNSDone(addrs, i.Err)
		}
		t.ConnectStart, t.ConnectDone = own.ConnectStart, own.ConnectDone
	}
	return httptrace.WithClientTrace(x.ctx, t)
}

// getConn: an attempt asks for a connection. If it is the second one and the
// first got a connection that was used before, net/http repeats the request.
func (x *exchange) getConn(route string) {
	x.timers.Start(engine.KindPool)
	x.timers.Stop(engine.KindHeader) // of an attempt before
	x.mu.Lock()
	resent := x.asked && x.reused
	x.asked, x.connected, x.awaited, x.op = true, false, nil, engine.OpPool
	x.final, x.continued, x.interim = false, false, 0
	x.mu.Unlock()
	x.hook(func(t *engine.Trace) {
		if resent {
			call(t.Resent, errStale)
		}
		call(t.PoolWait, route)
	})
}

var errStale = errors.New("nethttp: the reused connection was dead")

// gotConn: the attempt has its connection.
func (x *exchange) gotConn(info httptrace.GotConnInfo) {
	x.timers.Stop(engine.KindPool, engine.KindConnect)
	x.mu.Lock()
	x.op, x.connected, x.reused = engine.OpSend, true, info.Reused
	x.conn = info.Conn
	c, multiplexed := unwrap(info.Conn)
	x.own = c
	if multiplexed {
		x.own = nil
	}
	x.mu.Unlock()
	if c != nil {
		c.settled()
	}
	x.giveUpDials(nil)
	x.timers.StartIdle()
	x.hook(func(t *engine.Trace) {
		call(t.GotConn, engine.GotConn{Local: info.Conn.LocalAddr(), Remote: info.Conn.RemoteAddr(), Reused: info.Reused, Idle: info.IdleTime})
	})
}

// unwrap returns the engine's connection under c, and whether other exchanges
// run on it too.
func unwrap(c net.Conn) (own *conn, multiplexed bool) {
	for {
		secure, ok := c.(*tls.Conn)
		if !ok {
			break
		}
		multiplexed = multiplexed || secure.ConnectionState().NegotiatedProtocol == "h2"
		c = secure.NetConn()
	}
	own, _ = c.(*conn)
	return own, multiplexed
}

func (x *exchange) wroteHeaders() {
	x.sent.Store(true)
	x.timers.Touch()
	x.hook(func(t *engine.Trace) {
		if t.WroteHeader != nil {
			t.WroteHeader()
		}
	})
}

func (x *exchange) wroteRequest(info httptrace.WroteRequestInfo) {
	x.timers.Touch()
	if info.Err == nil {
		x.setOp(engine.OpReceive)
		x.timers.Start(engine.KindHeader)
	}
	x.hook(func(t *engine.Trace) { call(t.WroteRequest, info.Err) })
}

// informational passes a 1xx response on; an error of the hook ends the
// exchange with it.
func (x *exchange) informational(status int, h textproto.MIMEHeader) (err error) {
	x.timers.Touch()
	x.mu.Lock()
	x.final = false
	x.interim++
	tooMany := x.interim > maxInterim
	x.mu.Unlock()
	if tooMany {
		return &engine.ProtocolError{Reason: "the server sends 1xx responses without end", Section: "RFC 9110 §15.2"}
	}
	x.hook(func(t *engine.Trace) {
		if t.Informational != nil {
			err = t.Informational(status, convert(http.Header(h)))
		}
	})
	if err != nil {
		err = &hookError{err}
	}
	return err
}

// maxInterim bounds the 1xx responses, which net/http does not do for those that
// a hook sees.
const maxInterim = 100

// hookError marks an error that a hook of the caller ended the exchange with.
type hookError struct{ err error }

func (e *hookError) Error() string { return e.err.Error() }
func (e *hookError) Unwrap() error { return e.err }
