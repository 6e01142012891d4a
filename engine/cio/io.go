package cio

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// read reads from the connection within the limits. It returns an error only
// with no bytes.
func (x *exchange) read(p []byte) (int, error) {
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
			x.clock.moved()
			return n, nil
		}
		if err == nil || !isDeadline(err) {
			return 0, err
		}
		if d := x.clock.readDue(begin); d.over(time.Now()) {
			return 0, d.error()
		}
	}
}

// write writes all of p within the limits.
func (x *exchange) write(p []byte) error {
	if x.clock.idle <= 0 {
		n, err := x.conn.Write(p)
		return x.wrote(n, err)
	}
	plain := x.conn.bottom == x.conn.Conn.Conn
	for begin := time.Now(); len(p) > 0; {
		piece := p
		if !plain {
			// After a timeout TLS cannot tell what was sent: a piece is a record.
			piece = p[:min(len(p), 16<<10)]
		}
		d := x.clock.writeDue(begin)
		x.conn.SetWriteDeadline(d.at)
		n, err := x.conn.Write(piece)
		if n > 0 {
			x.sent.Store(true)
			x.clock.moved()
			begin = time.Now()
			p = p[n:]
		}
		if err == nil {
			continue
		}
		if !isDeadline(err) {
			return err
		}
		if d = x.clock.writeDue(begin); !plain || d.over(time.Now()) {
			return d.error()
		}
	}
	return nil
}

// readFrom moves a piece of a file to a TCP connection by the kernel. Its error
// is a sourceError if the file is to blame.
func (x *exchange) readFrom(piece io.LimitedReader) (int64, error) {
	size, tcp := piece.N, x.conn.Conn.Conn.(*net.TCPConn)
	for begin := time.Now(); ; {
		if x.clock.idle > 0 {
			tcp.SetWriteDeadline(x.clock.writeDue(begin).at)
		}
		n, err := tcp.ReadFrom(&piece)
		if n > 0 {
			x.sent.Store(true)
			x.clock.moved()
			begin = time.Now()
		}
		if err == nil {
			return size - piece.N, nil
		}
		if _, ok := errors.AsType[*os.PathError](err); ok {
			return size - piece.N, &sourceError{err}
		}
		if d := x.clock.writeDue(begin); isDeadline(err) && !d.over(time.Now()) {
			continue
		} else if isDeadline(err) {
			err = d.error()
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
