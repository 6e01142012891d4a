package testpeer

import (
	"syscall"
	"testing"
)

// SocketOptions reads SO_KEEPALIVE, TCP_KEEPIDLE and TCP_NODELAY of a TCP socket.
func SocketOptions(t testing.TB, c syscall.RawConn) (probes, idle, noDelay int) {
	t.Helper()
	get := func(fd uintptr, level, option int) int {
		v, err := syscall.GetsockoptInt(int(fd), level, option)
		if err != nil {
			t.Error(err)
		}
		return v
	}
	err := c.Control(func(fd uintptr) {
		probes = get(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		idle = get(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
		noDelay = get(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
	})
	if err != nil {
		t.Fatal(err)
	}
	return probes, idle, noDelay
}
