package websocket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"

	"github.com/godwit-go/godwit/internal/ws"
)

// checkClose refuses what a close frame cannot carry.
func checkClose(code StatusCode, reason string) error {
	switch {
	case code == StatusNoStatus && reason == "":
		return nil
	case !ws.ValidCode(int(code)):
		return fmt.Errorf("websocket: close code %d may not be sent; use 1000 to 1014 but 1004 to 1006, or 3000 to 4999", code)
	case len(reason) > ws.MaxReason:
		return fmt.Errorf("websocket: the close reason has %d bytes, the limit is %d", len(reason), ws.MaxReason)
	case !utf8.ValidString(reason):
		return errors.New("websocket: the close reason is not UTF-8")
	}
	return nil
}

// close says farewell: a close frame, and the peer's. Messages that come before
// it are dropped.
func (l *link) close(code StatusCode, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	limit := l.set.closeTimeout
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, errNoFarewell)
	defer cancel()
	err := l.sendClose(ctx, ws.AppendClose(nil, int(code), reason), errClosed)
	if end := l.awaitClose(ctx); err == nil { // the server's may be there though ours cannot go
		err = end
	}
	if errors.Is(err, errNoFarewell) || errors.Is(err, os.ErrDeadlineExceeded) {
		err = noFarewell(limit)
	}
	ended := l.fail(errClosed) // or before we came, or by the peer's answer
	_, farewell := errors.AsType[*CloseError](ended)
	switch {
	case farewell || errors.Is(err, errClosed):
		return nil
	case err == nil && ended != errClosed:
		return ended
	}
	return err
}

var errNoFarewell = errors.New("no close frame")

func noFarewell(limit time.Duration) error {
	return fmt.Errorf("websocket: no close frame from the server within %v (see websocket.CloseTimeout): %w", limit, context.DeadlineExceeded)
}

// sendClose sends the close frame, once. From then on all that would write gets why.
func (l *link) sendClose(ctx context.Context, payload []byte, why error) error {
	if err := l.failure(); err != nil {
		return err
	}
	if !l.frame.lock(ctx.Done(), nil) {
		return l.turnedAway(ctx)
	}
	defer l.unlockFrame()
	if l.closeSent.Load() {
		return nil
	}
	if err := l.muted(); err != nil {
		return err
	}
	l.closeSent.Store(true)
	defer l.silence(why)
	if deadline, ok := ctx.Deadline(); ok {
		setWriteDeadline(l.stream, deadline)
	}
	defer context.AfterFunc(ctx, func() { setWriteDeadline(l.stream, past) })()
	if err := l.writeControl(ws.Close, payload); err != nil {
		return fmt.Errorf("websocket: write: %w", err) // closeSent is set: nobody else will write
	}
	return nil
}

// awaitClose reads until the peer's close frame is there. Somebody else may read
// and find it.
func (l *link) awaitClose(ctx context.Context) error {
	err := l.begin(ctx)
	if err != nil {
		return err
	}
	defer l.end(ctx)
	for err == nil {
		if err = l.skip(ctx); err == nil {
			_, err = l.next(ctx)
		}
	}
	return err
}

// lingering is how long the server may take to close the connection after both
// close frames.
const lingering = time.Second

// closed is called when the peer's close frame is there: it is answered with the
// same code (RFC 6455 §5.5.1), unless the way is blocked for as long as ctx allows,
// and then the server has a moment to close the connection first (§7.1.1).
func (l *link) closed(ctx context.Context, e *CloseError) error {
	var end error = e
	if l.closeSent.Load() {
		end = &farewellError{e}
	} else {
		wait, cancel := context.WithTimeout(ctx, controlTime)
		defer cancel()
		if err := l.sendClose(wait, ws.AppendClose(nil, int(e.Code), ""), e); err != nil {
			return l.fail(e)
		}
	}
	if l.stream.SetReadDeadline(time.Now().Add(min(lingering, l.set.closeTimeout))) == nil {
		for err := ctx.Err(); err == nil; {
			_, err = l.stream.Read(l.in.buf[:])
		}
	}
	// On HTTP/2 this is an orderly end, where Close alone would be a reset (RFC 8441 §5).
	if half, ok := l.stream.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	return l.fail(end)
}
