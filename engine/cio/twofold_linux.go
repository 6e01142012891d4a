package cio

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// twofold reads into two pieces of memory by one system call.
type twofold struct {
	visit  func(fd uintptr) bool // t.read, made once
	pieces [2]syscall.Iovec
	n      int
	err    error
}

// ReadTwo reads into a and, if that becomes full, into b, where it can; else into a
// alone. It is for one goroutine at a time.
func (u *upgraded) ReadTwo(a, b []byte) (int, error) {
	if len(a) == 0 || len(b) == 0 || len(u.early) > 0 || !u.conn.plain() {
		return u.Read(a)
	}
	t := u.two
	if t == nil {
		t = new(twofold)
		t.visit = t.read
		u.two = t
	}
	t.pieces[0].Base, t.pieces[1].Base = &a[0], &b[0]
	t.pieces[0].SetLen(len(a))
	t.pieces[1].SetLen(len(b))
	t.n, t.err = 0, nil
	err := u.conn.prober.raw.Read(t.visit)
	t.pieces = [2]syscall.Iovec{}
	switch e, _ := err.(*net.OpError); {
	case e != nil:
		e.Op = "read"
	case err == nil && t.err != nil:
		err = &net.OpError{Op: "read", Net: u.LocalAddr().Network(), Source: u.LocalAddr(), Addr: u.RemoteAddr(), Err: t.err}
	case err == nil && t.n == 0:
		err = io.EOF
	}
	return t.n, err
}

// read reports whether there was something to read, the end included.
func (t *twofold) read(fd uintptr) (done bool) {
	for {
		n, _, errno := syscall.Syscall(syscall.SYS_READV, fd, uintptr(unsafe.Pointer(&t.pieces)), uintptr(len(t.pieces)))
		switch errno {
		case 0:
			t.n = int(n)
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		default:
			t.err = os.NewSyscallError("readv", errno)
		}
		return true
	}
}
