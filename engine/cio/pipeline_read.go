package cio

import (
	"io"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/transfer"
)

// How the caller at the head of a line reads from a pipe.

// fill reads from the connection on behalf of t, whose turn it is. It returns an
// error only with no bytes.
func (p *pipe) fill(t *ticket, b []byte) (int, error) {
	x := t.x
	var begin time.Time
	if x.clock.Idle > 0 {
		begin = time.Now()
	}
	for again := false; ; again = true {
		if !t.told && t.written.Load() {
			t.tell(p)
		}
		d := x.sharedDue(p, begin)
		if !p.drainBy.IsZero() {
			d = d.Or(transfer.Due{At: p.drainBy})
		}
		if dated := !d.At.IsZero(); dated || again || p.dated.Load() {
			p.dated.Store(dated)
			p.conn.SetReadDeadline(d.At)
		}
		if err := t.endedBy(); err != nil {
			return 0, err
		}
		if !t.told && t.written.Load() {
			continue // just now
		}
		n, err := p.conn.Read(b)
		if n > 0 {
			p.heard = p.touch()
			return n, nil
		}
		switch {
		case err == nil:
		case !isDeadline(err):
			return 0, err
		default:
			now := time.Now()
			if d = x.sharedDue(p, begin); d.Over(now) {
				return 0, d.Err()
			}
			if !p.drainBy.IsZero() && !now.Before(p.drainBy) {
				return 0, errNotDrained
			}
		}
	}
}

// more reads into the pipe's buffer, which grows when a head does not fit.
func (p *pipe) more(t *ticket) error {
	switch {
	case p.r == p.w:
		p.r, p.w = 0, 0
	case p.w < len(p.buf):
	case p.r > 0:
		p.w = copy(p.buf, p.buf[p.r:p.w])
		p.r = 0
	default:
		p.buf = append(p.buf, make([]byte, len(p.buf))...)
	}
	n, err := p.fill(t, p.buf[p.w:])
	p.w += n
	p.asked = p.taken.Load()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// readHead is exchange.readHead for a shared connection.
func (p *pipe) readHead(t *ticket, scan *h1.Scanner) ([]byte, error) {
	for {
		if p.r < p.w {
			if err := p.first(t); err != nil {
				return nil, err
			}
			n, err := scan.Scan(p.buf[p.r:p.w])
			if err != nil {
				return nil, err
			}
			if n > 0 {
				raw := p.buf[p.r : p.r+n]
				p.r += n
				scan.Reset()
				return raw, nil
			}
		}
		if err := p.more(t); err != nil {
			return nil, err
		}
	}
}

// first takes notice of the first byte of a response.
func (p *pipe) first(t *ticket) error {
	x := t.x
	switch {
	case p.head != t.seq && p.head >= p.asked: // it is another's
		return errSurplus
	case p.head != t.seq, x.answered:
		return nil
	}
	x.answered = true
	if t.seq >= p.asked {
		return &engine.ProtocolError{Reason: "a response came before its request was sent", Section: "RFC 9112 §9.3.2"}
	}
	if trace := x.req.Trace; trace != nil {
		if !t.told {
			t.tell(p)
		}
		if trace.FirstByte != nil {
			trace.FirstByte()
		}
	}
	return nil
}

// read is exchange.read for a shared connection: bytes that are here already go
// first, and what may belong to the next response stays in the pipe's buffer.
func (p *pipe) read(t *ticket, b []byte) (int, error) {
	if p.r == p.w {
		if x := t.x; x.kind == h1.BodyLength {
			return p.fill(t, b)
		}
		p.r, p.w = 0, 0
		n, err := p.fill(t, p.buf)
		if err != nil {
			return 0, err
		}
		p.w = n
		p.asked = p.taken.Load()
	}
	n := copy(b, p.buf[p.r:p.w])
	p.r += n
	return n, nil
}

// drain discards the responses in line before t, whose callers have left.
func (p *pipe) drain(t *ticket) error {
	defer func() { p.drainBy = time.Time{} }()
	for p.head != t.seq {
		p.drainBy = time.Now().Add(drainPatience)
		method, err := p.methodAtHead(t)
		if err == nil {
			err = p.skip(t, method)
		}
		if err == nil && p.r < p.w && p.head+1 >= p.asked {
			err = errSurplus
		}
		if err != nil {
			if t.x.gaveUp(err) || t.state.Load() == ticketLost {
				return err
			}
			p.leave(t, err) // all go elsewhere, t too
			return &lostError{err}
		}
		p.lane.mu.Lock()
		p.rest = rest{}
		if t.placed() {
			p.advance()
			p.lane.admit()
		}
		p.lane.mu.Unlock()
		if t.state.Load() == ticketLost {
			return &lostError{t.cause}
		}
	}
	return nil
}

func (p *pipe) methodAtHead(t *ticket) (string, error) {
	p.lane.mu.Lock()
	defer p.lane.mu.Unlock()
	if !t.placed() {
		return "", &lostError{t.cause}
	}
	return (*p.at(p.head)).method, nil
}

// skip discards the rest of the response at the head of the line, within
// drainMax; t works for another.
func (p *pipe) skip(t *ticket, method string) error {
	limits, s := t.x.engine.limits, &p.rest
	for scan := (h1.Scanner{Limits: limits}); !s.headDone; {
		raw, err := p.readHead(t, &scan)
		if err != nil {
			return err
		}
		head, err := h1.ParseHead(raw, limits)
		if err != nil {
			return err
		}
		if head.Status/100 == 1 && head.Status != 101 {
			continue
		}
		framing, err := head.Framing(method, limits)
		switch {
		case err != nil:
			return err
		case !framing.KeepAlive || framing.KeepAliveTimeout == 0 || framing.Kind == h1.BodyTunnel:
			return errNotKept
		}
		*s = rest{headDone: true, kind: framing.Kind, left: framing.Length}
		if s.kind == h1.BodyChunked {
			s.chunks = &h1.Decoder{Limits: limits}
		}
	}
	if s.kind == h1.BodyNone || s.kind == h1.BodyLength && s.left == 0 {
		return nil
	}
	if s.kind == h1.BodyLength && s.left > drainMax {
		return errNotDrained
	}
	return p.skipBody(t)
}

func (p *pipe) skipBody(t *ticket) error {
	s := &p.rest
	for total := 0; total <= drainMax; {
		if p.r == p.w {
			if err := p.more(t); err != nil {
				return err
			}
		}
		have := p.buf[p.r:p.w]
		switch s.kind {
		case h1.BodyLength:
			n := int(min(int64(len(have)), s.left))
			p.r += n
			if s.left -= int64(n); s.left == 0 {
				return nil
			}
			total += n
		case h1.BodyChunked:
			_, behind, err := s.chunks.Decode(have)
			if err != nil {
				return err
			}
			p.r = p.w - len(behind)
			if s.chunks.Done() {
				return nil
			}
			total += len(have)
		default:
			return errNotDrained
		}
	}
	return errNotDrained
}
