package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unicode/utf8"

	"github.com/godwit-go/godwit/internal/ws"
)

// outgoing is the writing half of a link.
type outgoing struct {
	link   *link   // to be broken off
	watch  watch   // of the writer
	window *window // guarded by message

	last *time.Timer // ends the connection, if the watch broke a write off
}

// breakOff ends a write that waits. What was sent of a frame cannot be taken
// back, so it ends the connection. One that does not wait is over in a moment.
func (o *outgoing) breakOff() {
	o.last = time.AfterFunc(moment, func() { o.link.fail(errWriteCancelled) })
}

// moment is how long a write may take that waits for nobody.
const moment = 10 * time.Millisecond

var errWriteCancelled = errors.New("websocket: a write was cancelled in the middle of a frame")

// checkMessage refuses what must not be sent.
func checkMessage(kind MessageType, data []byte) error {
	switch {
	case kind != Text && kind != Binary:
		return fmt.Errorf("websocket: message type %d is neither Text nor Binary", kind)
	case kind == Text && !utf8.Valid(data):
		return errNotText
	}
	return nil
}

var errNotText = errors.New("websocket: the text to be sent is not UTF-8; send it as Binary")

// write sends a message in one frame.
func (l *link) write(ctx context.Context, kind MessageType, data []byte) error {
	if err := checkMessage(kind, data); err != nil {
		return err
	}
	if err := l.beginMessage(ctx); err != nil {
		return err
	}
	defer l.message.unlock()
	if l.compresses(len(data)) {
		return l.writeCompressed(ctx, kind, data)
	}
	return l.writeFrame(ctx, ws.Header{Final: true, Opcode: ws.Opcode(kind)}, data)
}

// beginMessage waits for the turn to send a message.
func (l *link) beginMessage(ctx context.Context) error {
	if err := l.failure(); err != nil {
		return err
	}
	if !l.message.lock(ctx.Done(), nil) {
		return l.turnedAway(ctx)
	}
	if err := l.failure(); err != nil {
		l.message.unlock()
		return err
	}
	return nil
}

// writeFrame sends a frame, masked with a key of its own. If ctx ends before it
// is the frame's turn nothing is sent; later that ends the connection, unless all of
// the frame could be sent.
func (l *link) writeFrame(ctx context.Context, h ws.Header, payload []byte) error {
	if !l.frame.lock(ctx.Done(), nil) {
		return l.turnedAway(ctx)
	}
	defer l.unlockFrame()
	if err := l.muted(); err != nil {
		return err
	}
	if l.closeSent.Load() {
		return l.failure()
	}
	if err := l.out.watch.begin(ctx, &l.out); err != nil {
		return err
	}
	err := l.put(h, payload)
	if l.out.watch.end(ctx) && !l.out.last.Stop() {
		l.fail(errWriteCancelled)
		return fmt.Errorf("%w: %w", errWriteCancelled, context.Cause(ctx))
	}
	if err != nil {
		return l.lostWriting(err)
	}
	return nil
}

// put masks a frame into a buffer and writes it, at once unless it is larger
// than the largest buffer.
func (l *link) put(h ws.Header, payload []byte) error {
	b := outBuffer(ws.MaxHeader + len(payload))
	defer putOutBuffer(b)
	h.Masked, h.Key, h.Length = true, b.newKey(), int64(len(payload))
	buf := b.data
	at := len(h.Append(buf[:0]))
	key, sent := h.Key, 0
	for {
		n := min(len(payload), len(buf)-at)
		key = ws.Mask(buf[at:], payload[:n], key)
		if err := l.push(buf[:at+n], h.Opcode, sent); err != nil {
			return err
		}
		sent += at + n
		if payload = payload[n:]; len(payload) == 0 {
			return nil
		}
		at = 0
	}
}

// push writes a part of a frame to the stream, after sent bytes of it: at once,
// unless keep-alive wants to see that the peer takes what is sent.
func (l *link) push(p []byte, op ws.Opcode, sent int) error {
	if l.alive == nil || op.IsControl() {
		_, err := l.stream.Write(p)
		return err
	}
	for len(p) > 0 {
		n, began := min(len(p), midOut), time.Now()
		if _, err := l.stream.Write(p[:n]); err != nil {
			return err
		}
		l.alive.wrote(time.Since(began), sent)
		p, sent = p[n:], sent+n
	}
	return nil
}

// unlockFrame lets others write. A pong that came due meanwhile goes first, and is
// not waited for by who has written what it wanted to.
func (l *link) unlockFrame() {
	if l.pongDue.Load() {
		go l.sendPongs()
		return
	}
	l.frame.unlock()
	if l.pongDue.Load() && l.frame.tryLock() {
		go l.sendPongs()
	}
}

// sendPongs sends the pong that is due, and unlocks frame; the loop is for one that
// comes between the look and the unlocking.
func (l *link) sendPongs() {
	for {
		if pong := l.takePong(); pong != nil && !l.closeSent.Load() && !l.mute.Load() {
			setWriteDeadline(l.stream, time.Now().Add(controlTime))
			err := l.writeControl(ws.Pong, pong)
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded): // which is nobody's who reads or writes
				l.lost("write", fmt.Errorf("the server pings and takes nothing that is sent: no pong within %v", controlTime))
			case err != nil:
				l.lostWriting(err)
			}
			setWriteDeadline(l.stream, time.Time{})
			continue
		}
		l.frame.unlock()
		if !l.pongDue.Load() || !l.frame.tryLock() {
			return
		}
	}
}

// writeControl writes a control frame; frame is held.
func (l *link) writeControl(op ws.Opcode, payload []byte) error {
	return l.put(ws.Header{Final: true, Opcode: op}, payload)
}

// answer sends the pong to a ping, or leaves it to who is writing now: a reader
// never waits for a writer, who may wait for the peer, who may wait for the
// reader. Of several pings the last is answered (RFC 6455 §5.5.3). If ctx ends
// before the peer takes the pong, it goes on its way without the reader: what was
// sent of it cannot be taken back.
func (l *link) answer(ctx context.Context, payload []byte) error {
	l.mu.Lock()
	l.controls().pong = append(make([]byte, 0, len(payload)), payload...)
	l.mu.Unlock()
	l.pongDue.Store(true)
	if !l.frame.tryLock() {
		return l.failure()
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.sendPongs()
	}()
	select {
	case <-sent:
		return l.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// compresses reports whether a message of n bytes is sent compressed.
func (l *link) compresses(n int) bool {
	return l.deflate != nil && n >= l.set.compressFrom && n > 0
}

// writeCompressed sends a compressed message in one frame.
func (l *link) writeCompressed(ctx context.Context, kind MessageType, data []byte) error {
	z := newDeflater(l)
	defer z.finish()
	if err := z.compress(data); err != nil {
		return err
	}
	if err := z.flate.Flush(); err != nil {
		return err
	}
	payload, _ := bytes.CutSuffix(z.out.Bytes(), deflateTail)
	err := l.writeFrame(ctx, ws.Header{Final: true, Compressed: true, Opcode: ws.Opcode(kind)}, payload)
	if err == nil {
		z.commit()
	}
	return err
}

// deflateTail ends what Flush writes, and is not sent (RFC 7692 §7.2.1).
var deflateTail = []byte("\x00\x00\xff\xff")

// takePong returns the pong that is to be sent, if there is one.
func (l *link) takePong() []byte {
	if !l.pongDue.Swap(false) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rare == nil {
		return nil
	}
	pong := l.rare.pong
	l.rare.pong = nil
	return pong
}
