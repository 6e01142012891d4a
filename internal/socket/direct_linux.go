//go:build !386 && !s390x && !race && !msan && !asan

package socket

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// Of returns a connection that stands for conn and costs less, if there is one: for
// a TCP connection. Else it returns conn.
func Of(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	c := &Conn{TCPConn: tcp, raw: raw}
	c.in.visit, c.out.visit = c.in.recv, c.out.send
	return c
}

// Conn is a TCP connection that is read by recv and written by send. After a system
// call caches are cold, and each line of memory counts: what is rare stands apart.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn
	in  half
	out half
	two *twofold // nil until it is wanted; in.mu guards it
}

// half is one direction of a connection, and the Read or Write that goes on there.
type half struct {
	mu    sync.Mutex
	visit func(fd uintptr) (done bool) // recv or send, made once
	p     []byte
	n     int
	errno syscall.Errno
}

// SyscallConn returns the connection's descriptor.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// Read reads as package net does.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.TCPConn.Read(p)
	}
	r := &c.in
	r.mu.Lock()
	r.p = p
	err := c.raw.Read(r.visit)
	n, errno := r.n, r.errno
	r.p = nil
	r.mu.Unlock()
	if err != nil || errno != 0 || n == 0 {
		return 0, c.failure("read", err, errno)
	}
	return n, nil
}

// recv reports whether there was something to read, the end included.
func (r *half) recv(fd uintptr) (done bool) {
	for {
		n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&r.p[0])), uintptr(len(r.p)), 0, 0, 0)
		switch errno {
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
			continue
		}
		r.n, r.errno = int(n), errno
		return true
	}
}

// Write writes as package net does.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return c.TCPConn.Write(p)
	}
	w := &c.out
	w.mu.Lock()
	w.p, w.n = p, 0
	err := c.raw.Write(w.visit)
	n, errno := w.n, w.errno
	w.p = nil
	w.mu.Unlock()
	if n < len(p) {
		return n, c.failure("write", err, errno)
	}
	return n, nil
}

// send reports whether all is written, or nothing more can be.
func (w *half) send(fd uintptr) (done bool) {
	for {
		p := w.p[w.n:]
		n, _, errno := syscall.Syscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
			continue
		case 0:
			w.n += int(n)
		}
		if w.errno = errno; errno != 0 || w.n == len(w.p) {
			return true
		}
	}
}

// failure is the error that package net would return: err is the poller's, or else
// errno the kernel's, or else it is the end.
func (c *Conn) failure(op string, err error, errno syscall.Errno) error {
	switch e, _ := err.(*net.OpError); {
	case e != nil:
		e.Op = op
		return e
	case err != nil:
		return err
	case errno == 0:
		return io.EOF
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, errno)}
}

// ReadTwo reads into a and, if that becomes full, into b.
func (c *Conn) ReadTwo(a, b []byte) (int, error) {
	if len(a) == 0 || len(b) == 0 {
		return c.Read(a)
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	t := c.two
	if t == nil {
		t = new(twofold)
		t.visit = t.readv
		c.two = t
	}
	t.pieces[0].Base, t.pieces[1].Base = &a[0], &b[0]
	t.pieces[0].SetLen(len(a))
	t.pieces[1].SetLen(len(b))
	err := c.raw.Read(t.visit)
	t.pieces = [2]syscall.Iovec{}
	if err != nil || t.errno != 0 || t.n == 0 {
		return 0, c.failure("read", err, t.errno)
	}
	return t.n, nil
}

// twofold is a ReadTwo that goes on.
type twofold struct {
	visit  func(fd uintptr) (done bool) // readv, made once
	pieces [2]syscall.Iovec
	n      int
	errno  syscall.Errno
}

// readv reports whether there was something to read, the end included.
func (t *twofold) readv(fd uintptr) (done bool) {
	for {
		n, _, errno := syscall.Syscall(syscall.SYS_READV, fd, uintptr(unsafe.Pointer(&t.pieces)), uintptr(len(t.pieces)))
		switch errno {
		case syscall.EAGAIN:
			return false
		case syscall.EINTR:
			continue
		}
		t.n, t.errno = int(n), errno
		return true
	}
}

// Recv reads from a socket into p, which must not be empty, as [syscall.Read] does. A
// signal does not interrupt it.
func Recv(fd uintptr, p []byte) (int, error) { return call(syscall.SYS_RECVFROM, fd, p, 0) }

// Peek looks at what Recv would read, and does not wait for it.
func Peek(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_RECVFROM, fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
}

// Send writes what a socket takes of p, which must not be empty, as [syscall.Write]
// does. A signal does not interrupt it.
func Send(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_SENDTO, fd, p, syscall.MSG_NOSIGNAL)
}

func call(trap, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, errno := syscall.Syscall6(trap, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
			continue
		}
		return 0, errno
	}
}
