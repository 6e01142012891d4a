package websocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/ws"
)

// link is one WebSocket connection over a stream of bytes.
//
// No goroutine belongs to it but for the time that a pong takes to be sent: who
// reads sees pings and the close frame, keep-alive runs on a timer. Its
// buffers are taken when bytes move and given back before anybody waits without
// reading. Order of the locks: read before frame, message before frame, mu last.
type link struct {
	stream  stream
	release *godwit.Detached // closes the stream; the client knows of it until then
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
	spoke     atomic.Bool // a message has come
	closeSent atomic.Bool // nothing but a close frame was sent last
	mute      atomic.Bool // rare.mute is set
	dead      atomic.Bool // err is set
	pongDue   atomic.Bool // a pong waits for who holds frame

	mu   sync.Mutex // guards what follows
	err  error      // of all that is done from now on
	rare *controls
}

// controls is what few connections have: what is to be said or heard in control
// frames, and why nothing can be said any more.
type controls struct {
	mute   error   // of all that would write: writing has failed, or a close frame was sent
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

// errCancelled is what Client.Cancel gives.
var errCancelled = fmt.Errorf("websocket: Client.Cancel ended the connection: %w", context.Canceled)

// farewellError is what a connection gives that we closed and the server, too.
type farewellError struct{ answer *CloseError }

func (*farewellError) Error() string     { return errClosed.Error() }
func (e *farewellError) Unwrap() []error { return []error{errClosed, e.answer} }

// lateCloseError is what a connection gives that we closed after it had ended.
type lateCloseError struct{ before error }

func (e *lateCloseError) Error() string {
	return errClosed.Error() + ", after it had ended: " + e.before.Error()
}
func (e *lateCloseError) Unwrap() []error { return []error{errClosed, e.before} }

// closedHere is the error of a connection that has ended with err and that we close.
func closedHere(err error) error {
	if errors.Is(err, errClosed) {
		return err
	}
	return &lateCloseError{err}
}

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
// that it ended with. That we closed it is noted in any case.
func (l *link) fail(err error) error {
	l.mu.Lock()
	if before := l.err; before != nil {
		if err == errClosed {
			l.err = closedHere(before)
		}
		l.mu.Unlock()
		return before
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
	if l.set.reconnects && err != errClosed {
		l.stream.Close() // and is one of the client's until there is another
	} else {
		l.release.Close()
	}
	l.read.close()
	l.message.close()
	l.frame.close()
	l.watch.close()
	l.out.watch.close()
	return err
}

// broke ends the connection because the peer broke a rule: it is told which.
func (l *link) broke(err error) error {
	e, ok := errors.AsType[*ws.Error](err)
	if !ok {
		return l.fail(err)
	}
	return l.dismiss(&godwit.ProtocolError{Reason: e.Reason, Section: e.Section}, e.Code, e.Reason, controlTime)
}

// dismiss is fail, with a close frame before if nobody else writes and it takes no
// longer than limit.
func (l *link) dismiss(err error, code int, reason string, limit time.Duration) error {
	if l.frame.tryLock() {
		defer l.frame.unlock()
		if !l.mute.Load() && !l.closeSent.Swap(true) {
			setWriteDeadline(l.stream, time.Now().Add(limit))
			l.writeControl(ws.Close, ws.AppendClose(nil, code, cutReason(reason)))
		}
	}
	return l.fail(err)
}

// lost ends the connection because the stream failed.
func (l *link) lost(doing string, err error) error {
	if l.cancelled() {
		return l.fail(errCancelled)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err == io.ErrUnexpectedEOF {
		return l.fail(fmt.Errorf("websocket: the connection ended without a close frame: %w", err))
	}
	return l.fail(fmt.Errorf("websocket: %s: %w", doing, err))
}

// lostWriting is called when a write failed. What the server said before it went
// can still be read, so that only the writing half ends.
func (l *link) lostWriting(err error) error {
	if l.cancelled() || errors.Is(err, os.ErrDeadlineExceeded) {
		return l.lost("write", err)
	}
	return l.silence(fmt.Errorf("websocket: write: %w", err))
}

// silence ends the writing half with err unless it has ended, and returns the error
// that it ended with.
func (l *link) silence(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	c := l.controls()
	if c.mute == nil {
		c.mute = err
		l.mute.Store(true)
		l.message.close()
	}
	return c.mute
}

// muted returns why nothing can be written any more, nil if it can.
func (l *link) muted() error {
	if !l.mute.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rare.mute
}

// cancelled reports whether Client.Cancel ended the connection.
func (l *link) cancelled() bool { return l.release.Err() == context.Canceled }

// turnedAway returns why an operation did not get its turn.
func (l *link) turnedAway(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return cmp.Or(l.failure(), l.muted())
}

// ready returns nil if the connection can be written to. One that cannot ends if
// there will be another, also if it is the server that has not closed it yet.
func (l *link) ready() error {
	if l.set.reconnects {
		if err := l.muted(); err != nil && err != errClosed {
			return l.fail(err)
		}
	}
	return l.failure()
}

// heard reports whether a message has come.
func (l *link) heard() bool { return l.spoke.Load() }

// unlimit lets messages be of any length.
func (l *link) unlimit() { l.unlimited.Store(true) }

// registered returns what the client knows of the connection.
func (l *link) registered() *godwit.Detached { return l.release }

// controlTime is how long a pong, or a close frame that says what was wrong, may
// take to be written; atOnce is that of a caller whose time is over.
const (
	controlTime = 5 * time.Second
	atOnce      = 100 * time.Millisecond
)

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
