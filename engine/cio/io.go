package cio

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/godwit-go/godwit/internal/socket"
	"github.com/godwit-go/godwit/internal/transfer"
)

// read reads from the connection within the limits. It returns an error only
// with no bytes.
func (x *exchange) read(p []byte) (int, error) {
	if x.ticket != nil {
		return x.ticket.pipe.read(x.ticket, p)
	}
	if x.early {
		return x.takeEarly()
	}
	if !x.clock.each() {
		n, err := x.conn.Read(p)
		if n > 0 {
			x.answered = true
			return n, nil
		}
		return 0, x.clock.explain(err)
	}
	begin := time.Now()
	for {
		x.clock.armRead(x.conn, begin)
		n, err := x.conn.Read(p)
		if n > 0 {
			x.answered = true
			x.clock.Moved()
			return n, nil
		}
		if err == nil || !isDeadline(err) {
			return 0, err
		}
		if d := x.clock.ReadDue(begin); d.Over(time.Now()) {
			return 0, d.Err()
		}
	}
}

// seen looks at the connection, if that is still to be done.
func (x *exchange) seen() bool {
	if !x.unseen {
		return true
	}
	x.unseen = false
	return x.conn.fit() || x.greeted()
}

// greeted reports whether the connection is a new one. What came on it before its
// first request is taken for the answer, as by that a server says that it is too
// busy; nothing follows on it then.
func (x *exchange) greeted() bool {
	if x.conn.used {
		return false
	}
	x.noReuse = errUnasked
	return true
}

var errUnasked = errors.New("bytes came in before the first request")

// ask writes a whole request and, where that saves a system call, reads the
// beginning of the answer into the buffer: read then returns it.
func (x *exchange) ask(request []byte) error {
	if !x.unseen || !x.conn.direct || x.clock.each() || x.req.Trace != nil { // which is to be told in between
		if !x.seen() {
			return errUnfit
		}
		if x.req.Body == nil || !x.conn.direct {
			return x.write(request)
		}
		return x.put(request)
	}
	x.unseen = false
	t := &x.talk
	*t = talk{request: request, answer: x.buf}
	x.conn.prober.ask(t)
	if t.wrote < len(request) {
		return x.askedInPart(t)
	}
	x.sent.Store(true)
	x.early = true
	return nil
}

// askedInPart goes on after an ask that has not written all.
func (x *exchange) askedInPart(t *talk) error {
	rest := t.request[t.wrote:]
	switch {
	case t.err != nil:
		return x.clock.explain(x.netError("write", t.err)) // it was over before it began
	case t.writeErr != nil:
		return x.wrote(t.wrote, x.netError("write", t.writeErr))
	case !t.quiet && !x.greeted():
		return errUnfit
	case x.req.Body == nil:
		return x.write(rest)
	}
	x.wrote(t.wrote, nil)
	x.startRest(rest)
	return nil
}

// put writes a whole request as far as the socket takes it at once.
func (x *exchange) put(request []byte) error {
	n, err := x.conn.prober.put(request)
	if err = x.wrote(n, x.netError("write", err)); err == nil && n < len(request) {
		x.startRest(request[n:])
	}
	return err
}

// talk is a request and the first read of its answer, for prober.ask, and what
// became of them.
type talk struct {
	request, answer []byte
	quiet           bool // the connection was open and had nothing to be read
	wrote, got      int
	writeErr        error
	readErr         error
	err             error // of the wait for the answer, or for the right to begin
}

// takeEarly is the read that ask has done; the bytes are in the buffer already.
func (x *exchange) takeEarly() (int, error) {
	t := &x.talk
	x.early = false
	if t.got > 0 {
		x.answered = true
		return t.got, nil
	}
	return 0, x.clock.explain(x.netError("read", cmp.Or(t.err, t.readErr)))
}

// netError makes of an error of the poller or of a system call what package net
// would have made of it.
func (x *exchange) netError(op string, err error) error {
	switch e := err.(type) {
	case *net.OpError:
		return &net.OpError{Op: op, Net: e.Net, Source: e.Source, Addr: e.Addr, Err: e.Err}
	case *os.SyscallError:
		c := x.conn.bottom
		return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: e}
	}
	return err
}

// write writes all of p within the limits.
func (x *exchange) write(p []byte) error {
	if x.clock.Idle <= 0 {
		n, err := x.conn.Write(p)
		return x.wrote(n, err)
	}
	resumes := x.conn.resumes()
	for begin := time.Now(); len(p) > 0; {
		piece := p
		if !resumes {
			// After a timeout TLS cannot tell what was sent: a piece is a record.
			piece = p[:min(len(p), 16<<10)]
		}
		d := x.clock.WriteDue(begin)
		if resumes {
			d = x.clock.look(d)
		}
		x.conn.SetWriteDeadline(d.At)
		n, err := x.conn.Write(piece)
		if n > 0 {
			x.sent.Store(true)
			x.clock.Moved()
			begin = time.Now()
			p = p[n:]
		}
		if err == nil {
			continue
		}
		if !isDeadline(err) {
			return err
		}
		if !resumes {
			return d.Err()
		}
		if d = x.clock.WriteDue(begin); d.Over(time.Now()) {
			return d.Err()
		}
	}
	return nil
}

// readFrom moves a piece of a file to a TCP connection by the kernel. Its error
// is one to blame the body for if it is the file's.
func (x *exchange) readFrom(piece io.LimitedReader) (int64, error) {
	size, tcp := piece.N, socket.TCP(x.conn.Conn.Conn)
	for begin := time.Now(); ; {
		if x.clock.Idle > 0 {
			tcp.SetWriteDeadline(x.clock.look(x.clock.WriteDue(begin)).At)
		}
		n, err := tcp.ReadFrom(&piece)
		if n > 0 {
			x.sent.Store(true)
			x.clock.Moved()
			begin = time.Now()
		}
		if err == nil {
			return size - piece.N, nil
		}
		if _, ok := errors.AsType[*os.PathError](err); ok {
			return size - piece.N, transfer.Blame(err)
		}
		if d := x.clock.WriteDue(begin); isDeadline(err) && !d.Over(time.Now()) {
			continue
		} else if isDeadline(err) {
			err = d.Err()
		}
		return size - piece.N, err
	}
}

// wrote takes notice of a write without an idle timeout.
func (x *exchange) wrote(n int, err error) error {
	if n > 0 && !x.sent.Load() {
		x.sent.Store(true)
	}
	return x.clock.explain(err)
}

func isDeadline(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
