package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/ws"
)

// link is one WebSocket connection over a stream of bytes.
//
// No goroutine belongs to it: who reads answers pings and sees the close frame,
// who writes sends what is left to be said, keep-alive runs on a timer. Its
// buffers are taken when bytes move and given back before anybody waits without
// reading. Order of the locks: read before frame, message before frame, mu last.
type link struct {
	stream  stream
	release io.Closer // closes the stream and ends the call
	call    *godwit.Call
	set     *settings
	deflate *ws.Deflate // as agreed; nil = no compression

	read  gate // held by who reads; guards in
	in    input
	watch watch // of the reader

	message gate // held from the first to the last frame of a message
	frame   gate // held while a frame is written; guards what follows
	out     outgoing

	alive *keepAlive // nil if there is none

	unlimited atomic.Bool // messages may be of any length
	closeSent atomic.Bool // nothing but a close frame was sent last
	dead      atomic.Bool // err is set
	pongDue   atomic.Bool // a pong waits for who holds frame

	mu   sync.Mutex // guards what follows
	err  error      // of all that is done from now on
	rare *controls
}

// controls is what is to be said or heard in control frames.
type controls struct {
	pong   []byte  // to be sent by who holds frame
	pings  []*ping // that wait for their pong, oldest first
	pinged uint64  // counts pings
}

// controls returns it for changing; mu is held.
func (l *link) controls() *controls {
	if l.rare == nil {
		l.rare = new(controls)
	}
	return l.rare
}

// breakOff ends the read that waits.
func (l *link) breakOff() { l.stream.SetReadDeadline(past) }

// errClosed is what a connection that we closed gives.
var errClosed = fmt.Errorf("websocket: the connection was closed here: %w", net.ErrClosed)

// failure returns the error of a connection that has ended, nil of one that
// lives.
func (l *link) failure() error {
	if !l.dead.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// fail ends the connection with err unless it has ended, and returns the error
// that it ended with.
func (l *link) fail(err error) error {
	l.mu.Lock()
	if l.err != nil {
		err = l.err
		l.mu.Unlock()
		return err
	}
	l.err = err
	l.dead.Store(true)
	var pings []*ping
	if l.rare != nil {
		pings = l.rare.pings
		l.rare.pings, l.rare.pong = nil, nil
	}
	l.mu.Unlock()
	if l.alive != nil {
		l.alive.stop()
	}
	for _, p := range pings {
		close(p.answered)
	}
	l.release.Close()
	l.watch.close()
	l.out.watch.close()
	return err
}

// broke ends the connection because the peer broke a rule: it is told which, if
// that can be done at once.
func (l *link) broke(err error) error {
	e, ok := errors.AsType[*ws.Error](err)
	if !ok {
		return l.fail(err)
	}
	if l.frame.tryLock() {
		if !l.closeSent.Swap(true) {
			setWriteDeadline(l.stream, time.Now().Add(controlTime))
			l.writeControl(ws.Close, ws.AppendClose(nil, e.Code, cutReason(e.Reason)))
		}
		l.frame.unlock()
	}
	return l.fail(&godwit.ProtocolError{Reason: e.Reason, Section: e.Section})
}

// lost ends the connection because the stream failed.
func (l *link) lost(doing string, err error) error {
	if cause := l.callEnded(); cause != nil {
		return l.fail(fmt.Errorf("websocket: %w", cause))
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err == io.ErrUnexpectedEOF {
		return l.fail(fmt.Errorf("websocket: the connection ended without a close frame: %w", err))
	}
	return l.fail(fmt.Errorf("websocket: %s: %w", doing, err))
}

// callEnded returns why the client ended the call that the connection belongs
// to, nil if it did not.
func (l *link) callEnded() error {
	if l.call == nil {
		return nil
	}
	return context.Cause(l.call.Context())
}

// controlTime is how long a pong, or a close frame that says what was wrong, may
// take to be written.
const controlTime = 5 * time.Second

// cutReason makes a reason short enough.
func cutReason(s string) string {
	if len(s) <= ws.MaxReason {
		return s
	}
	s = s[:ws.MaxReason]
	for len(s) > 0 && s[len(s)-1] >= 0x80 {
		s = s[:len(s)-1]
	}
	return s
}
