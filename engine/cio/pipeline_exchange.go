package cio

import (
	"errors"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/transfer"
)

// mayPipeline reports whether the request may share a connection: it is safe
// (RFC 9110 §9.2.1), so that sending it again does no harm, has no body, and asks
// nothing of the connection.
func (x *exchange) mayPipeline() bool {
	if x.engine.lanes == nil || x.req.Protocol != "" || x.req.Trailer != nil {
		return false
	}
	switch x.req.Method {
	case "GET", "HEAD", "OPTIONS":
	default:
		return false
	}
	if body := x.req.Body; body != nil {
		if data, ok := content.BytesOf(body); !ok || len(data) > 0 || body.ContentLength() != 0 {
			return false
		}
	}
	h := x.req.Header
	for i := range h.Len() {
		switch name := h.At(i).Name; len(name) {
		case len("Expect"):
			if header.EqualFold(name, "Expect") {
				return false
			}
		case len("Upgrade"):
			if header.EqualFold(name, "Upgrade") {
				return false
			}
		case len("Proxy-Authorization"):
			if header.EqualFold(name, "Proxy-Authorization") {
				return false
			}
		case len("Connection"):
			if header.EqualFold(name, "Connection") {
				return false
			}
		}
	}
	return true
}

// runPiped runs the exchange on connections that it shares. If it is not to be
// pipelined after all, alone is set, and c is a connection to use if there is
// one.
func (x *exchange) runPiped(key dial.Route) (c *conn, alone bool, err error) {
	x.lent = true // until it has left in peace
	x.takeBuffer()
	head, err := h1.AppendRequestHead(x.small[:0], &h1.RequestHead{
		Method: x.req.Method, URL: x.req.URL, Header: x.req.Header, Length: h1.NoBody,
	})
	if err != nil {
		x.giveBuffer()
		return nil, false, &engine.OpError{Op: engine.OpBuild, Err: err}
	}
	if x.clock.each() {
		x.clock.Begin = time.Now()
	}
	x.scan.Limits = x.engine.limits
	x.takeTicket(x.engine.lanes.of(x.engine, key), head)
	x.reg = x.onAbort()
	for {
		if c, alone, err = x.queueUp(); err == nil && (c != nil || !alone) {
			x.tellConn(c)
		}
		if err == nil && !alone {
			if err = x.converse(); err == nil {
				return nil, false, nil
			}
			resend := x.mayResendPiped(err)
			err = x.opError(engine.OpReceive, err)
			if resend {
				if t := x.req.Trace; t != nil && t.Resent != nil {
					t.Resent(err)
				}
				x.rewind()
				if x.resends++; x.resends <= maxPipelinedResends {
					x.resent, x.ticket.told = false, false
					continue
				}
				alone, err = true, nil // and on a fresh connection
			}
		}
		x.giveBuffer()
		if stopped := x.reg.Stop(); alone && stopped {
			x.ticket = nil
		} else if alone {
			if c != nil {
				c.pool.put(c)
			}
			alone, c, err = false, nil, x.opError(engine.OpPool, x.ctxError())
		}
		return c, alone, err
	}
}

// queueUp gets a place in line.
func (x *exchange) queueUp() (c *conn, alone bool, err error) {
	trace, t := x.req.Trace, x.ticket
	if trace != nil && trace.PoolWait != nil && !x.asked {
		trace.PoolWait(t.lane.route.String())
	}
	x.asked = false
	c, alone, err = t.lane.enter(t, x.req.Timeouts.Or(x.engine.config.Timeouts))
	if err != nil {
		e := wrap(engine.OpPool, err)
		return nil, false, &engine.OpError{Op: e.Op, Err: e.Err, Sent: e.Sent || x.reached}
	}
	return c, alone, nil
}

// tellConn tells of the connection that x has got: c or, without one, the pipe's.
func (x *exchange) tellConn(c *conn) {
	trace, t := x.req.Trace, x.ticket
	switch {
	case trace == nil || trace.GotConn == nil:
	case c != nil:
		c.tell(trace)
	default:
		got := engine.GotConn{Local: x.conn.Info.Local, Remote: x.conn.Info.Remote, Reused: x.answer.Reused}
		if t.seq == 0 {
			got.Idle = x.conn.idleFor
		}
		trace.GotConn(got)
	}
}

// converse waits for x's turn and reads the response, the body as far as it is
// here.
func (x *exchange) converse() error {
	t, p := x.ticket, x.ticket.pipe
	x.answered = false
	x.clock.Unsent()
	err := t.await(p)
	if err == nil && p.head != t.seq {
		err = p.drain(t)
	}
	if err == nil {
		err = x.receive()
	}
	if err == nil && x.end == nil && !x.settle(p) {
		err = t.cause // writing it has failed while it was answered
	}
	if err == nil {
		return nil
	}
	if t.state.Load() == ticketLost && !x.answered {
		err = &lostError{t.cause}
	}
	why := p.leave(t, err)
	if trace := x.req.Trace; trace != nil && trace.PutIdle != nil {
		trace.PutIdle(why)
	}
	return err
}

// settle takes what is here of the body out of the pipe's buffer. If it is all,
// the next in line can go on before the caller reads. It reports whether x still has
// its place, or needs none any more.
func (x *exchange) settle(p *pipe) bool {
	for x.end == nil && p.r < p.w && x.w < len(x.buf) {
		x.w += x.pullOwned(x.buf[x.w:])
	}
	if x.end != nil {
		if x.r == x.w {
			x.giveBuffer()
		}
		return true
	}
	t := x.ticket
	t.lane.mu.Lock()
	placed := t.placed()
	if placed {
		p.stall(x)
		p.noteHead(t)
	}
	t.lane.mu.Unlock()
	if !placed {
		return false
	}
	if limit := x.clock.Total(); !limit.At.IsZero() {
		t.deadline = time.AfterFunc(time.Until(limit.At), t.expire)
	}
	t.unhold()
	return true
}

// pullPiped is pull for a body on a shared connection.
func (x *exchange) pullPiped(b []byte) int {
	t := x.ticket
	if !t.take() {
		x.endBy(t.endedBy())
		return 0
	}
	n := x.pullOwned(b)
	if x.end == nil {
		t.unhold()
	}
	return n
}

// skim drops what is here of a body that is closed early: perhaps it is all.
func (x *exchange) skim() {
	t := x.ticket
	if x.end != nil || x.buf == nil || !t.take() {
		return
	}
	for x.end == nil && t.pipe.r < t.pipe.w {
		x.pullOwned(x.buf)
	}
	if x.end == nil {
		t.hold.Store(holdNone)
	}
}

// leavePipe is release for a shared connection. Who leaves it after the whole
// response is not in line any more, and nobody else knows of the ticket.
func (x *exchange) leavePipe(why error) {
	t := x.ticket
	whole, stopped := why == nil && x.resends == 0, x.reg.Stop()
	inTime := t.deadline == nil || t.deadline.Stop()
	closed := x.answer.use.Release()
	why = t.pipe.leave(t, why)
	x.lent = !(whole && stopped && inTime && !closed && t.state.Load() == ticketLeft)
	if trace := x.req.Trace; trace != nil && trace.PutIdle != nil {
		trace.PutIdle(why)
	}
}

// sharedDue is when x has waited for too long since begin. Bytes of others keep
// the connection from being idle.
func (x *exchange) sharedDue(p *pipe, begin time.Time) transfer.Due {
	k := &x.clock
	d := k.Total()
	if k.Idle > 0 {
		if last := p.began.Add(time.Duration(p.lastByte.Load())); last.After(begin) {
			begin = last
		}
		d = d.Or(transfer.In(k.Idle, begin, engine.KindIdle))
	}
	return d.Or(k.HeaderDue())
}

// mayResendPiped decides whether the request is sent again after err: its
// connection ended before a byte of the answer. A request that was the first
// on a fresh connection is not sent again, as without pipelining. One that was not
// on the wire yet is not sent again but for the first time.
func (x *exchange) mayResendPiped(err error) bool {
	if x.aborted.Load() || x.answered {
		return false
	}
	if x.sent.Load() && (x.req.NoStaleRetry || x.engine.config.NoStaleRetry) {
		return false
	}
	if _, lost := errors.AsType[*lostError](err); lost {
		return true
	}
	return x.answer.Reused && broken(err)
}
