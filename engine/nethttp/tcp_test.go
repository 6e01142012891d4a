package nethttp_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/testpeer"
)

// TestTCPOptions reads what the sockets got.
func TestTCPOptions(t *testing.T) {
	s := serve(t, false, nil, ok)
	for _, tc := range []struct {
		name                     string
		config                   nethttp.Config
		noDelay, keepAlive, idle int
	}{
		{"defaults", nethttp.Config{}, 1, 1, 15},
		{"set", nethttp.Config{TCPDelay: true, TCPKeepAlive: net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second}}, 0, 1, 77},
		{"none", nethttp.Config{TCPKeepAlive: net.KeepAliveConfig{Idle: -1}}, 1, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var raw syscall.RawConn
			tc.config.DialControl = func(_ context.Context, _, _ string, c syscall.RawConn) error { raw = c; return nil }
			send(t, newEngine(t, tc.config, engine.Config{}), request(t, s.URL))
			probes, idle, noDelay := testpeer.SocketOptions(t, raw)
			if noDelay != tc.noDelay || probes != tc.keepAlive || tc.idle > 0 && idle != tc.idle {
				t.Errorf("TCP_NODELAY %d, SO_KEEPALIVE %d, TCP_KEEPIDLE %d; want %d, %d, %d", noDelay, probes, idle, tc.noDelay, tc.keepAlive, tc.idle)
			}
		})
	}
}
