package websocket

import (
	"io"
	"os"
	"sync"
	"time"
)

// stream is a raw connection whose reads can be broken off.
type stream interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// past is a deadline that breaks off what waits.
var past = time.Unix(1, 0)

// streamOf returns rw itself if it has deadlines, as those of cio, nethttp and
// mock have, else one whose reads a goroutine does while somebody waits.
func streamOf(rw io.ReadWriteCloser) stream {
	if s, ok := rw.(stream); ok && s.SetReadDeadline(time.Time{}) == nil {
		return s
	}
	return &pump{ReadWriteCloser: rw}
}

// setWriteDeadline does so where the stream can.
func setWriteDeadline(s stream, t time.Time) {
	if d, ok := s.(interface{ SetWriteDeadline(time.Time) error }); ok {
		d.SetWriteDeadline(t)
	}
}

// pump gives a stream without deadlines a read deadline. A read that was broken
// off goes on in its goroutine, and the next one takes what it got; there is
// never more than one, and none when nobody has ever waited in vain.
type pump struct {
	io.ReadWriteCloser

	mu      sync.Mutex // guards what follows
	reading chan struct{}
	buf     []byte
	got     []byte // unread, in buf
	err     error
	due     chan struct{} // closed at the deadline
	timer   *time.Timer
}

// Read reads through the pump's own buffer.
func (p *pump) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.got) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		if p.reading == nil {
			p.reading = make(chan struct{})
			go p.fetch(p.reading)
		}
		if p.due == nil {
			p.due = make(chan struct{})
		}
		reading, due := p.reading, p.due
		p.mu.Unlock()
		select {
		case <-reading:
		case <-due:
		}
		p.mu.Lock()
		if len(p.got) == 0 && p.err == nil && isClosed(due) {
			return 0, os.ErrDeadlineExceeded
		}
	}
	n := copy(b, p.got)
	p.got = p.got[n:]
	return n, nil
}

// CloseWrite ends what the peer reads, where the stream can do that.
func (p *pump) CloseWrite() error {
	if half, ok := p.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// fetch does one read.
func (p *pump) fetch(done chan struct{}) {
	if p.buf == nil {
		p.buf = make([]byte, bufferSize)
	}
	n, err := p.ReadWriteCloser.Read(p.buf)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got, p.err, p.reading = p.buf[:n], err, nil
	close(done)
}

// SetReadDeadline makes reads fail at t; zero = never.
func (p *pump) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if p.due == nil || isClosed(p.due) {
		p.due = make(chan struct{})
	}
	due := p.due
	switch left := time.Until(t); {
	case t.IsZero():
	case left <= 0:
		close(due)
	default:
		p.timer = time.AfterFunc(left, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.due == due && !isClosed(due) {
				close(due)
			}
		})
	}
	return nil
}
