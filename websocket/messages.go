package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
)

// messageLink is a connection of an engine that delivers messages: framing,
// compression and pings are the engine's, or rather the browser's.
type messageLink struct {
	conn    engine.MessageConn
	release *godwit.Detached
	set     *settings
	engine  string
	spoke   atomic.Bool // a message has come
	leaving atomic.Bool // we closed first

	unlimited atomic.Bool // messages may be of any length

	reading, writing gate

	mu  sync.Mutex // guards err
	err error
}

// tooBigByBrowser takes the place of 1009: browsers let programs send 1000 and
// 3000 to 4999 only.
const tooBigByBrowser = 4009

func (l *messageLink) settings() *settings { return l.set }

func (l *messageLink) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *messageLink) fail(err error) error {
	l.mu.Lock()
	if before := l.err; before != nil {
		if err == errClosed {
			l.err = closedHere(before)
		}
		l.mu.Unlock()
		return before
	}
	l.err = err
	l.mu.Unlock()
	if l.set.reconnects && err != errClosed {
		l.conn.Close() // and is one of the client's until there is another
	} else {
		l.release.Close()
	}
	l.reading.close()
	l.writing.close()
	return err
}

func (l *messageLink) ready() error                 { return l.failure() }
func (l *messageLink) heard() bool                  { return l.spoke.Load() }
func (l *messageLink) unlimit()                     { l.unlimited.Store(true) }
func (l *messageLink) registered() *godwit.Detached { return l.release }

// ended makes the connection's error of one of the engine's.
func (l *messageLink) ended(err error) error {
	if l.release.Err() == context.Canceled {
		return l.fail(errCancelled)
	}
	if e, ok := errors.AsType[*engine.MessageCloseError](err); ok {
		end := &CloseError{StatusCode(e.Code), e.Reason}
		if l.leaving.Load() {
			return l.fail(&farewellError{end})
		}
		return l.fail(end)
	}
	return l.fail(fmt.Errorf("websocket: %w", err))
}

// turn waits for a gate.
func (l *messageLink) turn(ctx context.Context, g *gate) error {
	if err := l.failure(); err != nil {
		return err
	}
	if !g.lock(ctx.Done(), nil) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return l.failure()
	}
	if err := l.failure(); err != nil {
		g.unlock()
		return err
	}
	return nil
}

func (l *messageLink) readInto(ctx context.Context, buf []byte) (MessageType, []byte, error) {
	if err := l.turn(ctx, &l.reading); err != nil {
		return 0, buf, err
	}
	defer l.reading.unlock()
	text, data, err := l.conn.ReadMessage(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, buf, context.Cause(ctx)
	case err != nil:
		return 0, buf, l.ended(err)
	}
	if limit := l.set.readLimit; limit > 0 && int64(len(data)) > limit && !l.unlimited.Load() {
		l.conn.CloseMessage(ctx, tooBigByBrowser, "")
		return 0, buf, l.fail(fmt.Errorf("%w: %d bytes, the limit is %d (raise it with websocket.ReadLimit)", ErrMessageTooLarge, len(data), limit))
	}
	l.spoke.Store(true)
	kind := Binary
	if text {
		kind = Text
	}
	if buf == nil {
		return kind, data, nil
	}
	return kind, append(buf, data...), nil
}

func (l *messageLink) reader(ctx context.Context) (MessageType, io.Reader, error) {
	kind, data, err := l.readInto(ctx, nil)
	return kind, bytes.NewReader(data), err
}

func (l *messageLink) write(ctx context.Context, kind MessageType, data []byte) error {
	if err := checkMessage(kind, data); err != nil {
		return err
	}
	if err := l.turn(ctx, &l.writing); err != nil {
		return err
	}
	defer l.writing.unlock()
	return l.send(ctx, kind, data)
}

// send sends a message; writing is held.
func (l *messageLink) send(ctx context.Context, kind MessageType, data []byte) error {
	err := l.conn.WriteMessage(ctx, kind == Text, data)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return l.ended(err)
}

func (l *messageLink) writer(ctx context.Context, kind MessageType) (io.WriteCloser, error) {
	if err := checkMessage(kind, nil); err != nil {
		return nil, err
	}
	if err := l.turn(ctx, &l.writing); err != nil {
		return nil, err
	}
	w := &messageWriter{link: l, kind: kind}
	w.ctx, w.giveUp = ctx, w.finish
	w.attend()
	return w, nil
}

// ping is what such engines cannot do: they ping by themselves, or not.
func (l *messageLink) ping(context.Context) error { return noPings(l.engine, "Conn.Ping") }

// pingless is a godwit.UnsupportedError in words that say what it is about.
type pingless struct{ cause *godwit.UnsupportedError }

func noPings(name, what string) error {
	return &pingless{&godwit.UnsupportedError{Engine: name, Capability: engine.Upgrade, Detail: "websocket." + what}}
}

func (e *pingless) Error() string {
	return e.cause.Detail + ": engine " + e.cause.Engine + " delivers messages, and leaves no pings to programs"
}

func (e *pingless) Unwrap() error { return e.cause }

func (l *messageLink) close(code StatusCode, reason string) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.set.closeTimeout)
	defer cancel()
	err := l.failure()
	if err == nil {
		l.leaving.Store(true)
		err = l.conn.CloseMessage(ctx, int(code), reason)
	}
	for err == nil {
		_, _, err = l.readInto(ctx, nil)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = noFarewell(l.set.closeTimeout)
	}
	ended := l.fail(errClosed)
	if _, ok := errors.AsType[*CloseError](ended); ok || errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// messageWriter gathers a message.
type messageWriter struct {
	unfinished
	link *messageLink
	kind MessageType
	buf  bytes.Buffer
}

func (w *messageWriter) finish(err error) {
	w.unfinished.finish(err)
	w.link.writing.unlock()
}

// Write adds to the message.
func (w *messageWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.alive(); err != nil {
		return 0, err
	}
	return w.buf.Write(p)
}

// Close sends it.
func (w *messageWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch err := w.alive(); {
	case err == errWriterClosed:
		return nil
	case err != nil:
		return err
	}
	defer w.finish(errWriterClosed)
	if err := checkMessage(w.kind, w.buf.Bytes()); err != nil {
		return err
	}
	return w.link.send(w.ctx, w.kind, w.buf.Bytes())
}
