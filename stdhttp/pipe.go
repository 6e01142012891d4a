package stdhttp

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeSize is how much is on its way at most, as in the buffers of a socket.
const pipeSize = 64 << 10

// half is one direction of a stream in memory. One side writes and ends it, the
// other reads and shuts it.
type half struct {
	mu       sync.Mutex // guards what follows
	wake     *sync.Cond
	data     []byte
	ended    error  // what readers get after data; nil = not ended
	broken   error  // what readers get at once
	closed   bool   // by the reader
	whenShut func() // once
	reads    limit
	writes   limit
}

// limit is a deadline.
type limit struct {
	at    time.Time
	timer *time.Timer
}

func (l *limit) passed() bool { return !l.at.IsZero() && !time.Now().Before(l.at) }

func newHalf() *half {
	h := &half{}
	h.wake = sync.NewCond(&h.mu)
	return h
}

// Read waits for bytes, or for the end.
func (h *half) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.closed:
			return 0, net.ErrClosed
		case h.broken != nil:
			return 0, h.broken
		case h.reads.passed():
			return 0, os.ErrDeadlineExceeded
		case len(h.data) > 0:
			n := copy(p, h.data)
			h.data = h.data[n:]
			h.wake.Broadcast()
			return n, nil
		case h.ended != nil:
			return 0, h.ended
		}
		h.wake.Wait()
	}
}

// Write waits for room.
func (h *half) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	written := 0
	for {
		switch {
		case h.ended != nil:
			return written, net.ErrClosed
		case h.closed || h.broken != nil:
			return written, io.ErrClosedPipe
		case h.writes.passed():
			return written, os.ErrDeadlineExceeded
		case len(p) == 0:
			return written, nil
		}
		if room := pipeSize - len(h.data); room > 0 {
			n := min(room, len(p))
			h.data = append(h.data, p[:n]...)
			p = p[n:]
			written += n
			h.wake.Broadcast()
			continue
		}
		h.wake.Wait()
	}
}

// late reports whether the deadline of writes has passed.
func (h *half) late() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes.passed()
}

// end is the writer's: err follows what was written.
func (h *half) end(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended == nil {
		h.ended = err
	}
	h.stopTimer(&h.writes)
	h.wake.Broadcast()
}

// fail breaks the stream: readers get err at once.
func (h *half) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken == nil && (h.ended == nil || len(h.data) > 0) {
		h.broken, h.data = err, nil
	}
	h.wake.Broadcast()
}

// shut is the reader's: it wants no more.
func (h *half) shut() {
	h.mu.Lock()
	h.closed, h.data = true, nil
	h.stopTimer(&h.reads)
	f := h.whenShut
	h.whenShut = nil
	h.wake.Broadcast()
	h.mu.Unlock()
	if f != nil {
		f()
	}
}

// onShut runs f when the reader wants no more, or now.
func (h *half) onShut(f func()) {
	h.mu.Lock()
	if !h.closed {
		h.whenShut, f = f, nil
	}
	h.mu.Unlock()
	if f != nil {
		f()
	}
}

func (h *half) stopTimer(l *limit) {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// setDeadline sets one of the deadlines.
func (h *half) setDeadline(l *limit, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopTimer(l)
	l.at = at
	if !at.IsZero() && !h.closed {
		l.timer = time.AfterFunc(time.Until(at), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.wake.Broadcast()
		})
	}
	h.wake.Broadcast()
}

// conn is one end of a connection in memory.
type conn struct{ in, out *half }

var _ net.Conn = (*conn)(nil)

func newPipe() (a, b *conn) {
	one, other := newHalf(), newHalf()
	return &conn{one, other}, &conn{other, one}
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.Write(p) }

// CloseWrite ends what the peer reads.
func (c *conn) CloseWrite() error {
	c.out.end(io.EOF)
	return nil
}

// Close ends both directions.
func (c *conn) Close() error {
	c.out.end(io.EOF)
	c.in.shut()
	return nil
}

func (*conn) LocalAddr() net.Addr  { return inProcess{} }
func (*conn) RemoteAddr() net.Addr { return inProcess{} }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(at time.Time) error {
	c.SetReadDeadline(at)
	return c.SetWriteDeadline(at)
}

// SetReadDeadline makes reads fail at a time; zero = never.
func (c *conn) SetReadDeadline(at time.Time) error {
	c.in.setDeadline(&c.in.reads, at)
	return nil
}

// SetWriteDeadline makes writes that wait fail at a time; zero = never.
func (c *conn) SetWriteDeadline(at time.Time) error {
	c.out.setDeadline(&c.out.writes, at)
	return nil
}
