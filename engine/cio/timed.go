package cio

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// timed gives deadlines to a connection that has none, as a channel of ssh.
//
// Each Read and Write of the connection is done by a goroutine, in a buffer of its
// own, and waited for until the deadline. What is left behind then is not lost: the
// next Read returns what came, and the piece that is being written goes on its way, as
// in a socket. Write counts it.
type timed struct {
	net.Conn
	start func(func())

	writing sync.Mutex // held by a Write, so that two don't mix. It goes before mu.

	mu      sync.Mutex // guards what follows
	changed *sync.Cond // a goroutine is through, or a deadline has passed or was moved
	closed  bool
	in, out half
	got     []byte          // came in, and nobody has read it yet
	buffer  *[pipeSize]byte // where got is; nil = nothing is
	lost    int             // of the last piece, by out.err
}

// half is one direction of a timed connection.
type half struct {
	deadline time.Time
	timer    *time.Timer
	busy     bool  // a goroutine is at work
	err      error // of the connection: it stays
}

// dialTimed makes of dial, which may be nil, one whose connections have deadlines;
// start starts goroutines, nil = the go statement.
func dialTimed(dial engine.DialFunc, start func(func())) engine.DialFunc {
	if dial == nil {
		return nil
	}
	if start == nil {
		start = func(f func()) { go f() }
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil || conn == nil || conn.SetDeadline(time.Time{}) == nil {
			return conn, err
		}
		c := &timed{Conn: conn, start: start}
		c.changed = sync.NewCond(&c.mu)
		return c, nil
	}
}

// Read reads what has come in, or waits for it.
func (c *timed) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.in.over():
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(c.got) > 0:
			n := copy(p, c.got)
			if c.got = c.got[n:]; len(c.got) == 0 {
				pipeBuffers.Put(c.buffer)
				c.buffer = nil
			}
			return n, nil
		case c.in.err != nil:
			return 0, c.in.err
		case c.in.busy:
			c.wait(&c.in)
		default:
			c.in.busy = true
			c.start(c.read)
		}
	}
}

func (c *timed) read() {
	buffer := pipeBuffers.Get().(*[pipeSize]byte)
	n, err := c.Conn.Read(buffer[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.buffer, c.got = buffer, buffer[:n]
	} else {
		pipeBuffers.Put(buffer)
	}
	c.in.busy, c.in.err = false, err
	c.changed.Broadcast()
}

// Write writes p piece by piece, and waits for the last one too.
func (c *timed) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return n, net.ErrClosed
		case c.out.over() && (c.out.busy || n < len(p)):
			return n, os.ErrDeadlineExceeded
		case c.out.busy:
			c.wait(&c.out)
		case c.out.err != nil:
			return max(n-c.lost, 0), c.out.err
		case n == len(p):
			return n, nil
		default:
			buffer := pipeBuffers.Get().(*[pipeSize]byte)
			piece := buffer[:copy(buffer[:], p[n:])]
			n += len(piece)
			c.out.busy = true
			c.start(func() {
				c.write(piece)
				pipeBuffers.Put(buffer)
			})
		}
	}
}

func (c *timed) write(piece []byte) {
	n, err := c.Conn.Write(piece)
	if err == nil && n < len(piece) {
		err = io.ErrShortWrite
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.busy, c.out.err, c.lost = false, err, len(piece)-n
	c.changed.Broadcast()
}

// over reports whether the deadline has passed.
func (h *half) over() bool { return !h.deadline.IsZero() && !time.Now().Before(h.deadline) }

// wait waits for something to change in h, its deadline included. c.mu is held.
func (c *timed) wait(h *half) {
	if !h.deadline.IsZero() {
		left := time.Until(h.deadline)
		if h.timer == nil {
			h.timer = time.AfterFunc(left, c.wake)
		} else {
			h.timer.Reset(left)
		}
	}
	c.changed.Wait()
}

func (c *timed) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed.Broadcast()
}

// SetDeadline sets both deadlines; zero = none.
func (c *timed) SetDeadline(t time.Time) error { return c.date(t, &c.in, &c.out) }

// SetReadDeadline sets that of Read.
func (c *timed) SetReadDeadline(t time.Time) error { return c.date(t, &c.in) }

// SetWriteDeadline sets that of Write.
func (c *timed) SetWriteDeadline(t time.Time) error { return c.date(t, &c.out) }

func (c *timed) date(t time.Time, halves ...*half) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range halves {
		h.deadline = t
	}
	c.changed.Broadcast()
	return nil
}

// quiet reports whether the connection, as far as is known, is open and has nothing
// to be read.
func (c *timed) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && len(c.got) == 0 && c.in.err == nil && c.out.err == nil
}

// CloseWrite tells the peer that nothing more will be written, if the connection can.
func (c *timed) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close ends all Reads and Writes, and does not wait for the connection, whose Close
// may have to wait for a Write.
func (c *timed) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.changed.Broadcast()
		for _, h := range []*half{&c.in, &c.out} {
			if h.timer != nil {
				h.timer.Stop()
			}
		}
		c.start(func() { c.Conn.Close() })
	}
	return nil
}
