//go:build unix

package cio

import "syscall"

// prober looks at a descriptor without taking anything from it.
type prober struct {
	raw    syscall.RawConn
	look   func(fd uintptr) bool // p.peek, made once
	buffer [1]byte
	silent bool
}

func newProber(raw syscall.RawConn) *prober {
	p := &prober{raw: raw}
	p.look = p.peek
	return p
}

// quiet reports whether the connection is open and has nothing to be read.
func (p *prober) quiet() bool {
	p.silent = false
	return p.raw.Read(p.look) == nil && p.silent
}

func (p *prober) peek(fd uintptr) bool {
	for {
		_, _, err := syscall.Recvfrom(int(fd), p.buffer[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			p.silent = err == syscall.EAGAIN
			return true
		}
	}
}
