//go:build unix

package cio

import (
	"cmp"
	"io"
	"os"
	"syscall"

	"github.com/godwit-go/godwit/internal/socket"
)

// prober looks at a descriptor without taking anything from it, and can ask and
// be answered by the fewest system calls. One exchange at a time uses it. Every
// idle connection has one, so that it is small.
type prober struct {
	raw    syscall.RawConn
	visit  func(fd uintptr) bool // p.see, made once
	buffer [1]byte
	silent bool
	talk   *talk // what is to be done beside the look; nil = nothing
}

func newProber(raw syscall.RawConn) *prober {
	p := &prober{raw: raw}
	p.visit = p.see
	return p
}

// quiet reports whether the connection is open and has nothing to be read.
func (p *prober) quiet() bool {
	p.silent = false
	return p.raw.Read(p.visit) == nil && p.silent
}

// ask writes t.request, if the connection is quiet, and reads the beginning of
// the answer into t.answer, which may be the same memory. If the socket does not
// take all of the request it returns at once: the rest is left to an ordinary
// write.
//
// A read of package net is tried before it waits, in vain if it follows on a
// write. Here the look before the write, which is needed anyway, is what tells
// that there is nothing to be read: all of it is one read in the poller's eyes,
// so that what comes after the look ends the wait.
func (p *prober) ask(t *talk) {
	p.silent, p.talk = false, t
	t.err = p.raw.Read(p.visit)
	p.talk = nil
}

// put writes what the socket takes at once.
func (p *prober) put(b []byte) (n int, err error) {
	var failed error
	err = p.raw.Write(func(fd uintptr) bool {
		if n, failed = socket.Send(fd, b); failed != nil && failed != syscall.EAGAIN {
			failed = os.NewSyscallError("write", failed)
		} else {
			failed = nil
		}
		return true
	})
	return n, cmp.Or(err, failed)
}

// see is called when a look or an ask begins and, in an ask, whenever there may
// be something to read.
func (p *prober) see(fd uintptr) (done bool) {
	if p.silent {
		return p.talk.read(fd)
	}
	_, err := socket.Peek(fd, p.buffer[:])
	p.silent = err == syscall.EAGAIN
	if !p.silent || p.talk == nil {
		return true
	}
	return p.talk.write(fd)
}

// write reports whether it has failed to write all of the request.
func (t *talk) write(fd uintptr) (done bool) {
	t.quiet = true
	n, err := socket.Send(fd, t.request)
	t.wrote = n
	if err != nil && err != syscall.EAGAIN {
		t.writeErr = os.NewSyscallError("write", err)
	}
	return t.wrote < len(t.request)
}

// read reports whether there was something to read, the end included.
func (t *talk) read(fd uintptr) (done bool) {
	n, err := socket.Recv(fd, t.answer)
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		t.readErr = os.NewSyscallError("read", err)
	case n == 0:
		t.readErr = io.EOF
	}
	t.got = n
	return true
}
