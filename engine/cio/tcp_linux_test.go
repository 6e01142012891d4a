package cio_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine/cio"
)

// TestTCPOptions: what Config says of TCP holds for the sockets of both protocols.
func TestTCPOptions(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		s, _, config := counted(t, h2, echoProto)
		var socket syscall.RawConn
		e := newEngine(t, cio.Config{
			TLS: config, TCPDelay: true, TCPKeepAlive: net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second},
			DialControl: func(_ context.Context, _, _ string, c syscall.RawConn) error { socket = c; return nil },
		})
		if _, _, err := send(t, e, s.URL); err != nil {
			t.Fatal(err)
		}
		err := socket.Control(func(fd uintptr) {
			noDelay, err1 := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
			idle, err2 := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
			if noDelay != 0 || idle != 77 || err1 != nil || err2 != nil {
				t.Errorf("h2 %v: TCP_NODELAY %d, %v, TCP_KEEPIDLE %d, %v", h2, noDelay, err1, idle, err2)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
