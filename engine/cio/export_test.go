package cio

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	h2pool "github.com/godwit-go/godwit/internal/h2/pool"
	"github.com/godwit-go/godwit/internal/socket"
)

// UsedAgain reports whether the exchange behind a body has gone to others.
func UsedAgain(body io.Closer) bool { return body.(*answer).x == nil }

// BeginClose does the first half of a Close, and returns the other.
func BeginClose(body io.Closer) (end func()) {
	a := body.(*answer)
	_, read, done := a.use.Close()
	return func() {
		if read && !done {
			a.x.breakOff()
		}
	}
}

// QueueInLane lets a request wait for a place in a pipe, on a route that the pool
// does not know, until leave is called.
func QueueInLane(e *Engine, addr string) (leave func()) {
	l := e.lanes.of(e, dial.Route{Addr: addr})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, &ticket{alarm: l.takeAlarm()})
	return e.lanes.close
}

// QueueForHTTP2 lets a request wait for the HTTP/2 connection that another one
// makes, without a slot of the pool, until leave is called.
func QueueForHTTP2(e *Engine, addr string) (leave func()) {
	var wg sync.WaitGroup
	gone := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			_, _ = e.http2.pool.Get(context.Background(), dial.Route{TLS: true, Addr: addr}, &h2pool.Want{
				Limit: func(bool, time.Duration) (time.Time, error) { return time.Time{}, nil },
				Dial: func() (*dial.Conn, any, error) {
					<-gone
					return nil, nil, errors.New("nobody is there")
				},
			})
		})
	}
	return func() {
		close(gone)
		wg.Wait()
	}
}

// DialTimed makes of dial one whose connections have deadlines.
func DialTimed(dial engine.DialFunc) engine.DialFunc { return dialTimed(dial, nil) }

// ReadsTwo reports whether a ReadTwo of an upgraded connection fills both pieces.
func ReadsTwo(c io.ReadWriteCloser) bool {
	_, ok := c.(*upgraded).Conn.(*socket.Conn)
	return ok
}
