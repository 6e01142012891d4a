package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/godwit-go/godwit/internal/ws"
)

// trusted is how much memory a length alone is worth: what is longer is
// allocated as it comes.
const trusted = 1 << 20

// readInto reads a whole message and appends it to buf.
func (l *link) readInto(ctx context.Context, buf []byte) (MessageType, []byte, error) {
	if err := l.begin(ctx); err != nil {
		return 0, buf, err
	}
	defer l.end(ctx)
	in, start := &l.in, len(buf)
	if in.streamed {
		if err := l.discard(ctx); err != nil {
			return 0, buf, err
		}
	}
	if err := l.open(ctx); err != nil {
		return 0, buf, err
	}
	kind := in.kind
	if in.kept != nil && in.kept.partial != nil {
		buf = append(buf, in.kept.partial...)
		in.kept.partial = nil
	}
	for {
		if room := int64(cap(buf) - len(buf)); room < min(in.left, trusted) || in.compressed && room == 0 {
			buf = slices.Grow(buf, l.wanted(len(buf)-start))
		}
		n, err := l.some(ctx, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF:
			return kind, buf, nil
		case err != nil:
			if l.dead.Load() {
				return 0, buf[:start], err
			}
			if in.left > 0 || in.compressed {
				return 0, buf[:start], l.abandoned(err)
			}
			in.keep().partial = append([]byte{}, buf[start:]...)
			return 0, buf[:start], err
		}
	}
}

// wanted is how much more room a message needs that has got n bytes so far.
func (l *link) wanted(n int) int {
	in := &l.in
	if in.compressed {
		return max(n, 512)
	}
	return int(min(in.left, max(trusted, int64(n))))
}

// open makes sure that a message is in progress and that the limit allows it.
func (l *link) open(ctx context.Context) error {
	in := &l.in
	if in.kind != 0 {
		return nil
	}
	h, err := l.next(ctx)
	if err != nil {
		return err
	}
	in.kind, in.compressed, in.size, in.text = MessageType(h.Opcode), h.Compressed, 0, ws.UTF8{}
	in.streamed = false
	in.number++
	if !in.compressed {
		return l.count(h.Length)
	}
	in.inflate = newInflater(l, ctx)
	return nil
}

// count adds to the size of the message in progress, if it may become so large.
func (l *link) count(n int64) error {
	limit := l.set.readLimit
	if limit > 0 && n > limit-l.in.size && !l.unlimited.Load() {
		return l.tooBig(limit)
	}
	l.in.size += n
	return nil
}

func (l *link) tooBig(limit int64) error {
	l.broke(&ws.Error{Code: ws.CodeTooBig, Reason: fmt.Sprintf("message of more than %d bytes", limit), Section: "RFC 6455 §7.4.1"})
	return l.replace(fmt.Errorf("%w: the limit is %d bytes (raise it with websocket.ReadLimit)", ErrMessageTooLarge, limit))
}

// some reads some of the message in progress into p, which is not empty. At the
// message's end it returns io.EOF with no bytes, and no message is in progress.
// Errors are the context's, or end the connection.
func (l *link) some(ctx context.Context, p []byte) (int, error) {
	in := &l.in
	if !in.compressed {
		n, err := l.raw(ctx, p)
		return n, l.judge(p[:n], err)
	}
	n, err := in.inflate.read(ctx, p)
	if n > 0 {
		if err := l.count(int64(n)); err != nil {
			return 0, err
		}
	}
	return n, l.judge(p[:n], err)
}

// judge checks what was read of a text, and ends the message at io.EOF.
func (l *link) judge(p []byte, err error) error {
	in := &l.in
	if in.kind == Text && (!in.text.Write(p) || err == io.EOF && !in.text.Complete()) {
		return l.broke(ws.ErrUTF8)
	}
	if err == io.EOF {
		if in.inflate != nil {
			in.inflate.finish()
			in.inflate = nil
		}
		in.kind = 0
	}
	return err
}

// raw reads some of the message's payload as it is on the wire, over all its
// frames; io.EOF at its end.
func (l *link) raw(ctx context.Context, p []byte) (int, error) {
	in := &l.in
	for in.left == 0 {
		if !in.frames.InMessage() {
			return 0, io.EOF
		}
		h, err := l.next(ctx)
		if err != nil {
			return 0, err
		}
		if !in.compressed {
			if err := l.count(h.Length); err != nil {
				return 0, err
			}
		}
	}
	return l.payload(ctx, p)
}

// abandoned ends the connection because a read was broken off inside a frame:
// nobody could make sense of what follows.
func (l *link) abandoned(cause error) error {
	err := fmt.Errorf("websocket: the read was cancelled in the middle of a message: %w", cause)
	l.broke(&ws.Error{Code: int(StatusGoingAway), Reason: "read cancelled"})
	return l.replace(err)
}

// replace gives the connection's error words of its own.
func (l *link) replace(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	return err
}

// messageReader streams one message.
type messageReader struct {
	link   *link
	ctx    context.Context
	number uint32 // of the message
	err    error
	// keeps: the end of ctx leaves the connection alive even inside a frame, as
	// what was read so far is not lost.
	keeps bool
}

// reader waits for a message, and returns what streams it. A message before
// that was not read to its end is skipped.
func (l *link) reader(ctx context.Context) (MessageType, io.Reader, error) {
	if err := l.begin(ctx); err != nil {
		return 0, nil, err
	}
	defer l.end(ctx)
	if err := l.discard(ctx); err != nil {
		return 0, nil, err
	}
	if err := l.open(ctx); err != nil {
		return 0, nil, err
	}
	l.in.streamed = true
	return l.in.kind, &messageReader{link: l, ctx: ctx, number: l.in.number}, nil
}

// discard reads past the message in progress, unless it is all there still.
func (l *link) discard(ctx context.Context) error {
	in := &l.in
	if in.kept != nil {
		in.kept.partial = nil
	}
	var scrap [512]byte
	for in.kind != 0 {
		if _, err := l.some(ctx, scrap[:]); err != nil && err != io.EOF {
			if !l.dead.Load() && in.compressed {
				return l.abandoned(err)
			}
			return err
		}
	}
	return nil
}

var errSkipped = errors.New("websocket: this message was skipped by a later read")

// Read reads some of the message; io.EOF at its end.
func (r *messageReader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	l := r.link
	if err := l.begin(r.ctx); err != nil {
		r.err = err
		return 0, err
	}
	defer l.end(r.ctx)
	if l.in.number != r.number {
		r.err = errSkipped
		return 0, r.err
	}
	n, err := l.some(r.ctx, p)
	if err != nil && err != io.EOF && !l.dead.Load() {
		if l.in.compressed || l.in.left > 0 && !r.keeps {
			err = l.abandoned(err)
		} else if r.keeps {
			return n, err
		}
	}
	r.err = err
	return n, err
}
