package cio

import (
	"io"
	"strconv"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
)

// maxInformational is how many 1xx responses may come before the final one.
const maxInformational = 100

// receive reads the head of the final response and prepares the body.
func (x *exchange) receive() error {
	if x.answer.Status != 0 {
		return nil // it came in place of 100 Continue
	}
	err := x.nextHead(false)
	if err != nil && x.sendErr != nil && !x.answered {
		// There is no answer that would say why the request was not taken.
		return &engine.OpError{Op: engine.OpSend, Err: x.sendErr}
	}
	return err
}

// nextHead reads heads up to the final one and sets the response from it.
// With until100 it returns on 100 Continue too, the response's Status then 0.
func (x *exchange) nextHead(until100 bool) error {
	x.scan.Limits = x.engine.limits
	var head h1.Head
	for range maxInformational {
		raw, err := x.readHead()
		if err != nil {
			return err
		}
		if err := head.Parse(raw, x.engine.limits); err != nil {
			return err
		}
		if head.Status >= 200 || head.Status == 101 {
			return x.respond(&head, raw)
		}
		if t := x.req.Trace; t != nil && t.Informational != nil {
			if err := x.informed(t, &head); err != nil {
				return err
			}
		}
		if head.Status == 100 && until100 {
			return nil
		}
	}
	return &engine.ProtocolError{
		Reason:  "more than " + strconv.Itoa(maxInformational) + " interim responses",
		Section: "RFC 9110 §15.2",
	}
}

// readHead reads up to the end of a head and returns its bytes, which are valid
// until the next read.
func (x *exchange) readHead() ([]byte, error) {
	if x.ticket != nil {
		return x.ticket.pipe.readHead(x.ticket, &x.scan)
	}
	if x.r == x.w {
		x.r, x.w = 0, 0
	}
	for {
		if x.w > x.r {
			n, err := x.scan.Scan(x.buf[x.r:x.w])
			if err != nil {
				return nil, err
			}
			if n > 0 {
				raw := x.buf[x.r : x.r+n]
				x.r += n
				x.scan.Reset()
				return raw, nil
			}
		}
		x.makeRoom()
		first := !x.answered
		n, err := x.read(x.buf[x.w:])
		x.w += n
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if t := x.req.Trace; t != nil && t.FirstByte != nil && first {
			x.begun(t)
		}
	}
}

// informed and begun call hooks, which may panic.
func (x *exchange) informed(t *engine.Trace, head *h1.Head) error {
	x.traceMu.Lock()
	defer x.traceMu.Unlock()
	return t.Informational(head.Status, head.Header)
}

func (x *exchange) begun(t *engine.Trace) {
	x.traceMu.Lock()
	defer x.traceMu.Unlock()
	t.FirstByte()
}

// makeRoom makes sure that buf has room behind w. The limits of the scanner
// bound its growth.
func (x *exchange) makeRoom() {
	if x.w < len(x.buf) {
		return
	}
	if x.r > 0 {
		x.w = copy(x.buf, x.buf[x.r:x.w])
		x.r = 0
		return
	}
	x.buf = append(x.buf, make([]byte, len(x.buf))...)
}

// respond sets the response from its head. If the rest of the response is here
// already the connection is released at once.
func (x *exchange) respond(head *h1.Head, raw []byte) error {
	framing, err := head.Framing(x.req.Method, x.engine.limits)
	if err != nil {
		return err
	}
	if head.Status == 101 && (x.req.Protocol == "" || !head.UpgradesTo(x.req.Protocol)) {
		return &engine.ProtocolError{
			Reason:  "101 Switching Protocols to what was not asked for: Upgrade: " + strconv.Quote(head.Header.Get("Upgrade")),
			Section: "RFC 9110 §7.8",
		}
	}
	a := x.answer
	a.Status, a.Reason, a.Proto, a.Header = head.Status, head.Reason, head.Proto(), head.Header
	a.ContentLength = framing.Announced
	a.Body, a.Conn = a, x.conn.Info
	if x.req.WantRawHead {
		a.RawHead = append([]byte(nil), raw...)
	}
	x.conn.serverKeeps = time.Duration(framing.KeepAliveTimeout) * time.Second
	// A 408 may have been on its way before there was a request, and is an end in any
	// case (RFC 9110 §15.5.9).
	if (!framing.KeepAlive || framing.KeepAliveTimeout == 0 || head.Status == 408) && x.noReuse == nil {
		x.noReuse = errNotKept
	}
	if x.ticket == nil {
		x.clock.headDone(x.conn)
	} else {
		x.clock.HeadOver.Store(true)
	}
	x.kind, x.left = framing.Kind, framing.Length
	switch x.kind {
	case h1.BodyTunnel:
		return x.upgrade()
	case h1.BodyNone:
		x.left = 0
		x.kind = h1.BodyLength
	case h1.BodyChunked:
		x.chunks = &h1.Decoder{Limits: x.engine.limits}
		a.Trailer = x.chunks.Trailer
	}
	// What is here is decoded now: often it is all, and the connection is free.
	x.w = x.r + x.decode(x.buf[x.r:x.w])
	return nil
}

// upgrade hands the connection over to the receiver, with what has been read
// beyond the head.
func (x *exchange) upgrade() error {
	if x.upload != nil && !x.upload.finish(true) {
		return &engine.OpError{Op: engine.OpReceive, Err: &engine.ProtocolError{
			Reason: "the protocol was switched before the request was complete", Section: "RFC 9110 §7.8",
		}}
	}
	if !x.reg.Stop() {
		return x.ctxError()
	}
	x.answer.use.Release()
	x.lent = true
	x.leaveGate()
	if x.conn.dated {
		x.conn.SetDeadline(time.Time{})
	}
	x.conn.prober = nil // no request comes any more
	u := &upgraded{Conn: x.conn.Conn.Conn, conn: x.conn}
	if x.r < x.w {
		u.early = append([]byte(nil), x.buf[x.r:x.w]...)
	}
	x.giveBuffer()
	x.end = io.EOF
	x.answer.ContentLength = 0 // a tunnel ignores what the head announces (RFC 9110 §9.3.6)
	x.answer.Upgraded = u
	return nil
}
