package cio_test

import (
	"bufio"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/godwit-go/godwit/engine"
)

// pipes is a server at the other end of net.Pipe connections, for tests in a
// synctest bubble.
type pipes struct {
	t      testing.TB
	script func(*peerConn)

	mu    sync.Mutex // guards n and conns
	n     int
	conns []net.Conn
	wg    sync.WaitGroup
}

func newPipes(t testing.TB, script func(*peerConn)) *pipes {
	d := &pipes{t: t, script: script}
	t.Cleanup(func() {
		d.mu.Lock()
		for _, c := range d.conns {
			c.Close()
		}
		d.mu.Unlock()
		d.wg.Wait()
	})
	return d
}

// dial is an engine.DialFunc.
func (d *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &peerConn{Conn: server, Reader: bufio.NewReader(server), n: d.n}
	d.n++
	d.conns = append(d.conns, server)
	d.wg.Go(func() {
		defer server.Close()
		d.script(c)
	})
	return client, nil
}

func (d *pipes) get() *engine.Request {
	return &engine.Request{Method: "GET", URL: mustURL(d.t, "http://pipe.test/")}
}

func failingDial(context.Context, string, string) (net.Conn, error) { return nil, errSource }

func hangingDial(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
