package enginetest

import (
	"context"
	"io"
	"log"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

// dialer connects to addr whatever is asked for, and tells what was asked for.
func dialer(addr string, asked chan<- string) engine.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if asked != nil {
			asked <- address
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// refusing returns an address where nothing listens.
func (t *T) refusing() string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// hexSize reads a chunk size, 0 if it is none.
func hexSize(s string) int {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 16, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

func listen(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }

// blockedResolver waits for the end of its context.
func blockedResolver(started chan<- struct{}) engine.ResolveFunc {
	return func(ctx context.Context, _ string) ([]netip.Addr, error) {
		started <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

// quietLog throws away what the standard server says of broken connections.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
