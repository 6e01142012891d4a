package nethttp_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
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
			option := func(level, name, want int) {
				var got int
				var err error
				if ended := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), level, name) }); ended != nil || err != nil {
					t.Fatal(ended, err)
				}
				if got != want {
					t.Errorf("option %d of level %d is %d, want %d", name, level, got, want)
				}
			}
			option(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, tc.noDelay)
			option(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, tc.keepAlive)
			if tc.idle > 0 {
				option(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, tc.idle)
			}
		})
	}
}
