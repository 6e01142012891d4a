//go:build unix && (!linux || 386 || s390x || race || msan || asan)

package socket

import "syscall"

// Recv reads from a socket as [syscall.Read] does. A signal does not interrupt it.
func Recv(fd uintptr, p []byte) (int, error) { return repeat(syscall.Read, fd, p) }

// Send writes to a socket as [syscall.Write] does. A signal does not interrupt it.
func Send(fd uintptr, p []byte) (int, error) { return repeat(syscall.Write, fd, p) }

// Peek looks at what Recv would read, and does not wait for it.
func Peek(fd uintptr, p []byte) (int, error) {
	return repeat(func(fd int, p []byte) (int, error) {
		n, _, err := syscall.Recvfrom(fd, p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return n, err
	}, fd, p)
}

// repeat repeats a call that a signal interrupted.
func repeat(call func(fd int, p []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
