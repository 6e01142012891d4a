package cio_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/internal/testpeer"
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
		if _, idle, noDelay := testpeer.SocketOptions(t, socket); noDelay != 0 || idle != 77 {
			t.Errorf("h2 %v: TCP_NODELAY %d, TCP_KEEPIDLE %d", h2, noDelay, idle)
		}
	}
}
