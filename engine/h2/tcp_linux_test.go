package h2_test

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine/h2"
)

// TestTCPOptions: what Config says of TCP holds for the sockets.
func TestTCPOptions(t *testing.T) {
	s := serve(t, true, func(http.ResponseWriter, *http.Request) {})
	var socket syscall.RawConn
	e := newEngine(t, h2.Config{
		TCPDelay: true, TCPKeepAlive: net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second},
		DialControl: func(_ context.Context, _, _ string, c syscall.RawConn) error { socket = c; return nil },
	}, s)
	resp, err := e.Execute(t.Context(), request(t, "GET", s.URL))
	read(t, resp, err)
	err = socket.Control(func(fd uintptr) {
		noDelay, err1 := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
		idle, err2 := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
		if noDelay != 0 || idle != 77 || err1 != nil || err2 != nil {
			t.Errorf("TCP_NODELAY %d, %v, TCP_KEEPIDLE %d, %v", noDelay, err1, idle, err2)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
