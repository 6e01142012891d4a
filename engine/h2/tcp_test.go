package h2_test

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/internal/testpeer"
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
	if _, idle, noDelay := testpeer.SocketOptions(t, socket); noDelay != 0 || idle != 77 {
		t.Errorf("TCP_NODELAY %d, TCP_KEEPIDLE %d", noDelay, idle)
	}
}
