package http3

import (
	"net"
	"syscall"
)

// reportRefusals says whether the socket is to report that nothing listens at the
// other end. Sockets that are not connected do so on demand only (ip(7),
// IP_RECVERR); without it a closed port looks like a lost packet, and the failure
// comes with the connect timeout. It is an improvement where it can be had, so
// that its own failure is none.
func reportRefusals(socket *net.UDPConn, on bool) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	value := 0
	if on {
		value = 1
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_RECVERR, value)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, value)
	})
}
