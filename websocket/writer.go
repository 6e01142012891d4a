package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/godwit-go/godwit/internal/ws"
)

// unfinished is a message that is being written: it ends with Close, by an error,
// or with its context, while others wait for their turn.
type unfinished struct {
	ctx    context.Context
	giveUp func(cause error) // when ctx has ended
	stop   func() bool       // waiting for that

	mu  sync.Mutex // guards what follows, and the writer that this is in
	err error      // why nothing can be added
}

// attend gives the message up when its context ends, though nobody writes.
func (u *unfinished) attend() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stop = context.AfterFunc(u.ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.alive()
	})
}

// alive returns why nothing can be added any more, and gives the message up if its
// context has ended; mu is held.
func (u *unfinished) alive() error {
	if u.err == nil && u.ctx.Err() != nil {
		u.giveUp(context.Cause(u.ctx))
	}
	return u.err
}

// finish ends the message; mu is held.
func (u *unfinished) finish(err error) {
	u.err = err
	u.stop()
}

// writer streams one message.
type writer struct {
	unfinished
	link  *link
	kind  MessageType
	text  ws.UTF8
	buf   *outgoingBuffer
	n     int // in buf
	begun bool
	z     *deflater // nil = not compressed
}

// writer begins a message; others wait until it is closed.
func (l *link) writer(ctx context.Context, kind MessageType) (io.WriteCloser, error) {
	if err := checkMessage(kind, nil); err != nil {
		return nil, err
	}
	if err := l.beginMessage(ctx); err != nil {
		return nil, err
	}
	if err := l.muted(); err != nil { // though the turn was to be had
		l.message.unlock()
		return nil, err
	}
	w := &writer{link: l, kind: kind, buf: outBuffer(smallOut)}
	w.ctx, w.giveUp = ctx, func(cause error) { w.fail(cause) }
	if l.deflate != nil {
		w.z = newDeflater(l)
	}
	w.attend()
	return w, nil
}

// Write adds to the message. What fills a buffer goes as a frame.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.alive(); err != nil {
		return 0, err
	}
	if w.kind == Text && !w.text.Write(p) {
		return 0, w.fail(errNotText)
	}
	if w.z != nil {
		return len(p), w.compress(p)
	}
	for done := 0; ; {
		n := copy(w.buf.data[w.n:], p[done:])
		w.n += n
		if done += n; done == len(p) {
			return done, nil
		}
		if err := w.flush(w.buf.data[:w.n], false); err != nil {
			return done, err
		}
		if rest := p[done:]; w.n == 0 && len(rest) > len(w.buf.data) {
			whole := len(rest) - len(rest)%len(w.buf.data)
			if err := w.flush(rest[:whole], false); err != nil {
				return done, err
			}
			done += whole
		}
	}
}

// compress adds to a compressed message.
func (w *writer) compress(p []byte) error {
	if err := w.z.compress(p); err != nil {
		return w.fail(err)
	}
	if out := w.z.out; out.Len() >= smallOut {
		if err := w.flush(out.Bytes(), false); err != nil {
			return err
		}
		out.Reset()
	}
	return nil
}

// flush sends a frame of the message.
func (w *writer) flush(payload []byte, final bool) error {
	h := ws.Header{Final: final, Opcode: ws.Continuation}
	if !w.begun {
		h.Opcode, h.Compressed = ws.Opcode(w.kind), w.z != nil
	}
	if err := w.link.writeFrame(w.ctx, h, payload); err != nil {
		return w.fail(err)
	}
	w.begun, w.n = true, 0
	return nil
}

// fail ends the message. If some of it was sent nothing can follow it, so the
// connection ends too, unless nothing follows in any case.
func (w *writer) fail(err error) error {
	if l := w.link; w.begun && !l.mute.Load() && !l.closeSent.Load() {
		l.fail(fmt.Errorf("websocket: a message was left unfinished: %v", err)) // the context is not of those who see that
	}
	w.finish(err)
	return err
}

func (w *writer) finish(err error) {
	w.unfinished.finish(err)
	if w.z != nil {
		w.z.finish()
		w.z = nil
	}
	putOutBuffer(w.buf)
	w.buf = nil
	w.link.message.unlock()
}

var errWriterClosed = errors.New("websocket: the message was ended already")

// Close sends what is left and ends the message.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch err := w.alive(); {
	case err == errWriterClosed:
		return nil
	case err != nil:
		return err
	case !w.text.Complete():
		return w.fail(errNotText)
	}
	last := w.buf.data[:w.n]
	if w.z != nil {
		if err := w.z.flate.Flush(); err != nil {
			return w.fail(err)
		}
		last, _ = bytes.CutSuffix(w.z.out.Bytes(), deflateTail)
	}
	if err := w.flush(last, true); err != nil {
		return err
	}
	if w.z != nil {
		w.z.commit()
	}
	w.finish(errWriterClosed)
	return nil
}
