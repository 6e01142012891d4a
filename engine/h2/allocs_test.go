//go:build !race

package h2_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/godwit-go/godwit/engine/h2"
)

// fixed answers every request by the same two frames, and allocates nothing.
func fixed(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r, h := bufio.NewReader(c), make([]byte, 9)
		r.Discard(24)
		c.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // SETTINGS
		// HEADERS with :status 200, and DATA.
		out := []byte{0, 0, 1, 1, 4, 0, 0, 0, 0, 0x88, 0, 0, 2, 0, 1, 0, 0, 0, 0, 'o', 'k'}
		for {
			if _, err := io.ReadFull(r, h); err != nil {
				return
			}
			if _, err := r.Discard(int(h[0])<<16 | int(h[1])<<8 | int(h[2])); err != nil {
				return
			}
			if id := binary.BigEndian.Uint32(h[5:]); h[3] == 1 {
				binary.BigEndian.PutUint32(out[5:], id)
				binary.BigEndian.PutUint32(out[15:], id)
				c.Write(out)
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-over
	})
	return "http://" + l.Addr().String()
}

// TestAllocations: what a small GET on a kept connection may cost. The race
// detector would add its own.
func TestAllocations(t *testing.T) {
	const most = 15
	req := request(t, "GET", fixed(t)+"/path?query", "User-Agent", "test", "Accept", "*/*", "Cookie", "a=b")
	e := newEngine(t, h2.Config{}, nil)
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	buf := make([]byte, 100)
	for name, ctx := range map[string]context.Context{"plain": context.Background(), "cancellable": cancellable} {
		got := testing.AllocsPerRun(500, func() {
			resp, err := e.Execute(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			for n := 0; err == nil; {
				if n, err = resp.Body.Read(buf); n > 2 {
					t.Fatalf("read %q", buf[:n])
				}
			}
			resp.Body.Close()
		})
		t.Logf("%s: %v allocations", name, got)
		if got > most {
			t.Errorf("%s: %v allocations, want at most %d", name, got, most)
		}
	}
	e.Close()
}
