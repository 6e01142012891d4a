package dial_test

import (
	"net"
	"syscall"
	"testing"
)

// tcpOptions reads SO_KEEPALIVE, TCP_KEEPIDLE and TCP_NODELAY.
func tcpOptions(t *testing.T, c *net.TCPConn) (probes, idle, noDelay int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	get := func(fd uintptr, level, option int) int {
		v, err := syscall.GetsockoptInt(int(fd), level, option)
		if err != nil {
			t.Error(err)
		}
		return v
	}
	err = raw.Control(func(fd uintptr) {
		probes = get(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		idle = get(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
		noDelay = get(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
	})
	if err != nil {
		t.Fatal(err)
	}
	return probes, idle, noDelay
}
