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
// A phase that did not happen (DNS and so on of a connection used again), or
// that the engine does not tell of, is 0.
type Timings struct {
	// Start is when the request went to the engine.
	Start time.Time
	// Queue is the wait for a connection, without the time to make one.
	Queue time.Duration
	// DNS, Connect and TLS are the parts of making a connection; Connect
	// includes the way through a proxy.
	DNS, Connect, TLS time.Duration
	// Send is the time to write the request, body included.
	Send time.Duration
	// FirstByte is the wait from the end of the request to the first byte of the
	// response; 0 if that came before the whole request was written.
	FirstByte time.Duration
	// Body is the time from the response's head to the end of its body.
	Body time.Duration
	// Total is the time from Start to the end of the body.
	Total time.Duration
	// Reused tells that the connection had carried a request before.
	Reused        bool
	Local, Remote net.Addr
	// TLSState is the state of a TLS connection that was made for this send.
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
	mu sync.Mutex // guards what follows

	start, wait, gotConn, dns, connect, tls, wrote, head time.Time
	t                                                    Timings
}

func (w *stopwatch) timings() Timings {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.t
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
	watch := &stopwatch{start: time.Now()}
	watch.t.Start, watch.gotConn = watch.start, watch.start
	c.ctx.mu.Lock()
	c.unusual().watch = watch
	c.ctx.mu.Unlock()
	w.Trace = joinTraces(watch.trace(), w.Trace)
}

func since(from, now time.Time) time.Duration {
	if from.IsZero() {
		return 0
	}
	return now.Sub(from)
}

func (w *stopwatch) trace() *engine.Trace {
	return &engine.Trace{
		PoolWait: func(string) { w.at(func(now time.Time) { w.wait = now }) },
		GotConn: func(c engine.GotConn) {
			w.at(func(now time.Time) {
				w.gotConn, w.t.Reused, w.t.Local, w.t.Remote = now, c.Reused, c.Local, c.Remote
				w.t.Queue = max(0, since(w.wait, now)-w.t.DNS-w.t.Connect-w.t.TLS)
			})
		},
		DNSStart:     func(string) { w.at(func(now time.Time) { w.dns = now }) },
		DNSDone:      func([]string, error) { w.at(func(now time.Time) { w.t.DNS = since(w.dns, now) }) },
		ConnectStart: func(string, string) { w.at(func(now time.Time) { w.startConnect(now) }) },
		ConnectDone: func(_, _ string, err error) {
			w.at(func(now time.Time) {
				if err == nil {
					w.t.Connect = since(w.connect, now)
				}
			})
		},
		TLSStart: func() { w.at(func(now time.Time) { w.tls = now }) },
		TLSDone: func(state tls.ConnectionState, err error) {
			w.at(func(now time.Time) {
				w.t.TLS = since(w.tls, now)
				if err == nil {
					w.t.TLSState = &state
				}
			})
		},
		WroteRequest: func(error) { w.at(func(now time.Time) { w.wrote, w.t.Send = now, since(w.gotConn, now) }) },
		FirstByte:    func() { w.at(func(now time.Time) { w.t.FirstByte = since(w.wrote, now) }) },
	}
}

// startConnect keeps the first of several parallel attempts.
func (w *stopwatch) startConnect(now time.Time) {
	if w.connect.IsZero() {
		w.connect = now
	}
}

// headDone and bodyDone are told by the client.
func (w *stopwatch) headDone(resp *Response) {
	w.at(func(now time.Time) {
		w.head = now
		if w.t.Remote == nil && resp.conn != nil {
			w.t.Local, w.t.Remote, w.t.Reused = resp.conn.Local, resp.conn.Remote, resp.reused
		}
	})
	resp.OnClose(func(error) {
		w.at(func(now time.Time) { w.t.Body, w.t.Total = since(w.head, now), since(w.start, now) })
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
