package godwit

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

var timedSetting = NewSetting("Timed", false)

// Timed measures the phases of each send: see [Call.Timings]. Without it nothing
// is measured, at no cost.
func Timed(on ...bool) Option { return timedSetting.Set(switchedOn(on)) }

// Timings tells how long the phases of one send took, the last one of the call.
// They follow each other and together are Total. A phase that did not happen (DNS
// and so on of a connection used again), or that the engine does not tell of, is 0.
type Timings struct {
	// Start is when the request went to the engine.
	Start time.Time
	// Queue is the time before the request had its connection, without that to
	// make it: the wait for a place where the engine is bounded, and attempts that
	// were of no use, such as a send on a connection that turned out to be dead.
	Queue time.Duration
	// DNS, Connect and TLS are the parts of making the connection, and follow each
	// other. Connect lasts until TLS with the origin begins, or without it until
	// the connection is there: it includes the way through a proxy, TLS with the
	// proxy too. QUIC's handshake counts as TLS.
	DNS, Connect, TLS time.Duration
	// Send is the time to write the request, body included, and the wait for 100
	// Continue. It ends with the first byte of the response if that comes earlier.
	Send time.Duration
	// FirstByte is the wait from the end of the request to the first byte of the
	// response, or to its whole head if 1xx responses came before it; 0 if Send
	// ended with it.
	FirstByte time.Duration
	// Body is the time from the first byte of the response to the end of its body.
	// What was not written of the request by then is written meanwhile, or given
	// up: that takes up to 0.2 s if a Read of the request's body ignores Close.
	Body time.Duration
	// Total is the time from Start to the end of the body.
	Total time.Duration
	// Reused tells that the connection had carried a request before.
	Reused        bool
	Local, Remote net.Addr
	// TLSState is that of [Response.TLS], when there is a response.
	TLSState *tls.ConnectionState
}

// Timings returns what was measured of the last send, if the request has the
// option [Timed]. While the body is being read, Body and Total are 0.
func (c *Call) Timings() Timings {
	if watch := c.stopwatch(); watch != nil {
		return watch.timings()
	}
	return Timings{}
}

func (c *Call) stopwatch() *stopwatch {
	c.ctx.mu.Lock()
	defer c.ctx.mu.Unlock()
	if c.rare == nil {
		return nil
	}
	return c.rare.watch
}

// stopwatch notes the moments of one send. Engines may call the hooks of
// parallel connection attempts at once.
type stopwatch struct {
	secure bool // the origin speaks TLS; else it is a proxy that does

	mu sync.Mutex // guards what follows

	dns, connect, tls time.Time // of a connection that is being made
	connected         bool      // hooks of attempts that are not needed any more may come

	gotConn, wrote, first, end time.Time // first: a byte of the final response

	t Timings // without what is between those four
}

func (w *stopwatch) timings() Timings {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, sent := w.t, w.wrote
	if sent.IsZero() || between(w.first, sent) > 0 {
		sent = w.first
	}
	t.Send, t.FirstByte = between(w.gotConn, sent), between(sent, w.first)
	t.Body, t.Total = between(w.first, w.end), between(t.Start, w.end)
	return t
}

// between is 0 if one of the moments did not come.
func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return to.Sub(from)
}

// at runs f with the time under the lock.
func (w *stopwatch) at(f func(now time.Time)) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	f(now)
}

// measure starts a stopwatch for a send and hangs it into the trace.
func (c *Call) measure(w *engine.Request) {
	watch := &stopwatch{secure: w.URL.Scheme == "https", t: Timings{Start: time.Now()}}
	c.ctx.mu.Lock()
	c.unusual().watch = watch
	c.ctx.mu.Unlock()
	w.Trace = joinTraces(watch.trace(), w.Trace)
}

func (w *stopwatch) trace() *engine.Trace {
	return &engine.Trace{
		PoolWait: func(string) { w.at(w.asked) },
		GotConn:  func(c engine.GotConn) { w.at(func(now time.Time) { w.got(c, now) }) },
		DNSStart: func(string) { w.dialing(func(now time.Time) { w.dns = now }) },
		DNSDone: func([]string, error) {
			w.dialing(func(now time.Time) {
				took := between(w.dns, now)
				w.t.DNS += took
				if !w.connect.IsZero() {
					w.connect = w.connect.Add(took) // a lookup on the way through a proxy
				}
			})
		},
		ConnectStart: func(string, string) {
			w.dialing(func(now time.Time) {
				if w.connect.IsZero() { // the first of several attempts
					w.connect = now
				}
			})
		},
		ConnectDone: func(_, _ string, err error) {
			w.dialing(func(now time.Time) {
				if err == nil && w.tls.IsZero() {
					w.t.Connect = between(w.connect, now)
				}
			})
		},
		TLSStart: func() { w.dialing(w.startTLS) },
		TLSDone: func(tls.ConnectionState, error) {
			w.dialing(func(now time.Time) { w.t.TLS = between(w.tls, now) })
		},
		WroteRequest: func(error) { w.at(func(now time.Time) { w.wrote = now }) },
		FirstByte:    func() { w.at(func(now time.Time) { w.first = now }) },
		Informational: func(int, header.Header) error {
			w.at(func(time.Time) { w.first = time.Time{} }) // no engine tells of the final one's
			return nil
		},
	}
}

// dialing is at while there is no connection.
func (w *stopwatch) dialing(f func(now time.Time)) {
	w.at(func(now time.Time) {
		if !w.connected {
			f(now)
		}
	})
}

// asked begins anew: an attempt before this one had a connection that was of no
// use, or has given up.
func (w *stopwatch) asked(time.Time) {
	w.connected, w.connect, w.tls = false, time.Time{}, time.Time{}
	w.t.DNS, w.t.Connect, w.t.TLS = 0, 0, 0
}

// startTLS ends the way to the origin, unless the handshake is one with a proxy.
// Of parallel handshakes, which QUIC has, the first one counts.
func (w *stopwatch) startTLS(now time.Time) {
	if w.secure && (w.tls.IsZero() || w.t.TLS > 0) {
		w.t.Connect, w.t.TLS, w.tls = between(w.connect, now), 0, now
	}
}

func (w *stopwatch) got(c engine.GotConn, now time.Time) {
	w.connected, w.gotConn, w.wrote, w.first = true, now, time.Time{}, time.Time{}
	w.t.Reused, w.t.Local, w.t.Remote = c.Reused, c.Local, c.Remote
	switch {
	case c.Reused:
		w.t.DNS, w.t.Connect, w.t.TLS = 0, 0, 0
	case w.tls.IsZero():
		w.t.Connect = between(w.connect, now)
	}
	w.t.Queue = max(0, now.Sub(w.t.Start)-w.t.DNS-w.t.Connect-w.t.TLS)
}

// headDone and bodyDone are told by the client.
func (w *stopwatch) headDone(resp *Response) {
	w.at(func(now time.Time) {
		if w.first.IsZero() {
			w.first = now
		}
		if resp.answer().Conn == nil {
			return
		}
		w.t.TLSState = resp.TLS()
		if w.t.Remote == nil {
			w.t.Local, w.t.Remote, w.t.Reused = resp.LocalAddr(), resp.RemoteAddr(), resp.Reused()
		}
	})
	resp.OnClose(func(error) {
		w.at(func(now time.Time) { w.end = now })
	})
}

// joinTraces calls a's hooks and then b's; either may be nil.
func joinTraces(a, b *engine.Trace) *engine.Trace {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return &engine.Trace{
		PoolWait:      both(a.PoolWait, b.PoolWait),
		GotConn:       both(a.GotConn, b.GotConn),
		DNSStart:      both(a.DNSStart, b.DNSStart),
		DNSDone:       both2(a.DNSDone, b.DNSDone),
		ConnectStart:  both2(a.ConnectStart, b.ConnectStart),
		ConnectDone:   both3(a.ConnectDone, b.ConnectDone),
		TLSStart:      both0(a.TLSStart, b.TLSStart),
		TLSDone:       both2(a.TLSDone, b.TLSDone),
		WroteHeader:   both0(a.WroteHeader, b.WroteHeader),
		WroteRequest:  both(a.WroteRequest, b.WroteRequest),
		Wait100:       both0(a.Wait100, b.Wait100),
		Informational: bothInformational(a.Informational, b.Informational),
		FirstByte:     both0(a.FirstByte, b.FirstByte),
		PutIdle:       both(a.PutIdle, b.PutIdle),
		Resent:        both(a.Resent, b.Resent),
	}
}

func both0(a, b func()) func() {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return func() { a(); b() }
}

func both[A any](a, b func(A)) func(A) {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return func(x A) { a(x); b(x) }
}

func both2[A, B any](a, b func(A, B)) func(A, B) {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return func(x A, y B) { a(x, y); b(x, y) }
}

func both3[A, B, C any](a, b func(A, B, C)) func(A, B, C) {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return func(x A, y B, z C) { a(x, y, z); b(x, y, z) }
}

// bothInformational stops at the first error, which ends the exchange.
func bothInformational(a, b func(int, header.Header) error) func(int, header.Header) error {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return func(status int, h header.Header) error {
		if err := a(status, h); err != nil {
			return err
		}
		return b(status, h)
	}
}
