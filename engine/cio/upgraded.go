package cio

import (
	"errors"
	"net"
)

// upgraded is the connection after its protocol was switched.
type upgraded struct {
	net.Conn
	conn  *conn
	early []byte // came with the head
}

// Read returns first what came together with the response's head.
func (u *upgraded) Read(p []byte) (int, error) {
	if len(u.early) > 0 {
		if u.conn.isClosed() {
			return 0, net.ErrClosed
		}
		n := copy(p, u.early)
		if u.early = u.early[n:]; len(u.early) == 0 {
			u.early = nil
		}
		return n, nil
	}
	return u.Conn.Read(p)
}

// ReadTwo reads into a and, if that becomes full and it can be done at once, into b.
func (u *upgraded) ReadTwo(a, b []byte) (int, error) {
	if c, ok := u.Conn.(interface {
		ReadTwo(a, b []byte) (int, error)
	}); ok && len(u.early) == 0 {
		return c.ReadTwo(a, b)
	}
	return u.Read(a)
}

// CloseWrite tells the peer that nothing more will be written. It is an error if
// the connection cannot.
func (u *upgraded) CloseWrite() error {
	if c, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection and gives back its slot.
func (u *upgraded) Close() error { return u.conn.end() }
