package mock

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// connect returns one end of a stream and lets peer play the other one.
func (e *Engine) connect(peer func(io.ReadWriteCloser)) io.ReadWriteCloser {
	there, here := newHalf(), newHalf()
	client := &duplex{in: here, out: there}
	server := &duplex{in: there, out: here}
	e.openBodies.Add(1)
	client.closing = func() { e.openBodies.Add(-1) }
	e.shared.Start(func() {
		defer server.Close()
		if peer != nil {
			peer(server)
		}
	})
	return client
}

// duplex is one end of a stream in memory. It buffers without bound, so that two
// peers that write at the same time do not wait for each other.
type duplex struct {
	in, out *half
	closed  atomic.Bool
	closing func()
}

func (d *duplex) Read(p []byte) (int, error)  { return d.in.read(p) }
func (d *duplex) Write(p []byte) (int, error) { return d.out.write(p) }

// CloseWrite ends what the peer reads.
func (d *duplex) CloseWrite() error {
	d.out.end()
	return nil
}

// Close ends both directions.
func (d *duplex) Close() error {
	if d.closed.Swap(true) {
		return net.ErrClosed
	}
	d.out.end()
	d.in.shut()
	if d.closing != nil {
		d.closing()
	}
	return nil
}

// SetDeadline sets both deadlines.
func (d *duplex) SetDeadline(t time.Time) error {
	d.in.setDeadline(t)
	d.out.setWriteDeadline(t)
	return nil
}

// SetReadDeadline makes reads fail at t; zero = never.
func (d *duplex) SetReadDeadline(t time.Time) error {
	d.in.setDeadline(t)
	return nil
}

// SetWriteDeadline makes writes fail from t on, though they never wait.
func (d *duplex) SetWriteDeadline(t time.Time) error {
	d.out.setWriteDeadline(t)
	return nil
}

// half is one direction.
type half struct {
	mu            sync.Mutex // guards what follows
	wake          *sync.Cond
	data          []byte
	ended         bool // by the writer
	broken        bool // by the reader
	deadline      time.Time
	writeDeadline time.Time
	timer         *time.Timer
}

func newHalf() *half {
	h := &half{}
	h.wake = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.broken:
			return 0, net.ErrClosed
		case len(h.data) > 0:
			n := copy(p, h.data)
			h.data = h.data[n:]
			return n, nil
		case h.ended:
			return 0, io.EOF
		case passed(h.deadline):
			return 0, os.ErrDeadlineExceeded
		}
		h.wake.Wait()
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

var errPeerClosed = errors.New("mock: write to a stream that the peer has closed")

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.ended:
		return 0, net.ErrClosed
	case h.broken:
		return 0, errPeerClosed
	case passed(h.writeDeadline):
		return 0, os.ErrDeadlineExceeded
	}
	h.data = append(h.data, p...)
	h.wake.Broadcast()
	return len(p), nil
}

func (h *half) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	h.wake.Broadcast()
}

func (h *half) shut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken, h.data = true, nil
	if h.timer != nil {
		h.timer.Stop()
	}
	h.wake.Broadcast()
}

func (h *half) setDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	h.deadline = t
	if !t.IsZero() && !h.broken {
		h.timer = time.AfterFunc(time.Until(t), h.alarm)
	}
	h.wake.Broadcast()
}

// alarm lets waiting reads look at the deadline.
func (h *half) alarm() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wake.Broadcast()
}

func (h *half) setWriteDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writeDeadline = t
}
