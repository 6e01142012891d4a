package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
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
	in.landing.into = buf[start:cap(buf)]
	err := l.open(ctx)
	in.landing.into = nil
	if err != nil {
		return 0, buf, err
	}
	kind := in.kind
	if n := in.landed(); n > 0 {
		buf = buf[:start+n]
		if err := l.judge(buf[start:], nil); err != nil {
			return 0, buf[:start], err
		}
	}
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
			if in.left > 0 || in.compressed && !in.inflate.rewind() {
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
	in.landing.expect(h)
	in.kind, in.compressed, in.size, in.text = MessageType(h.Opcode), h.Compressed, 0, ws.UTF8{}
	in.wire, in.empty = 0, 0
	in.streamed = false
	in.number++
	if !l.spoke.Load() {
		l.spoke.Store(true)
	}
	if in.compressed {
		in.inflate = newInflater(l, ctx, !h.Final)
	}
	return l.admit(h)
}

// The work that a message may be beside its size.
const (
	mostEmpty = 1 << 10 // empty frames
	overhead  = 4 << 10 // more than twice the limit of compressed bytes
)

// admit checks the limit when a frame of the message in progress begins.
func (l *link) admit(h ws.Header) error {
	in, limit := &l.in, l.set.readLimit
	if limit > 0 && !l.unlimited.Load() {
		if h.Length == 0 {
			if in.empty++; in.empty > mostEmpty {
				return l.tooBig(fmt.Sprintf("it has more than %d empty frames", mostEmpty))
			}
		}
		most := int64(math.MaxInt64)
		if limit < most/4 {
			most = 2*limit + overhead
		}
		if in.compressed && h.Length > most-in.wire {
			return l.tooBig(fmt.Sprintf("the limit is %d bytes", limit))
		}
	}
	if in.compressed {
		in.wire += h.Length
		return nil
	}
	return l.count(h.Length)
}

// count adds to the size of the message in progress, if it may become so large.
func (l *link) count(n int64) error {
	limit := l.set.readLimit
	if limit > 0 && n > limit-l.in.size && !l.unlimited.Load() {
		return l.tooBig(fmt.Sprintf("the limit is %d bytes", limit))
	}
	l.in.size += n
	return nil
}

func (l *link) tooBig(why string) error {
	err := fmt.Errorf("%w: %s (raise it with websocket.ReadLimit)", ErrMessageTooLarge, why)
	return l.dismiss(err, ws.CodeTooBig, "message too large: "+why, controlTime)
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
		if k := in.kept; k != nil && k.passed != nil {
			close(k.passed)
			k.passed = nil
		}
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
		if err := l.admit(h); err != nil {
			return 0, err
		}
	}
	return l.payload(ctx, p)
}

// abandoned ends the connection because a read was broken off inside a frame:
// nobody could make sense of what follows.
func (l *link) abandoned(cause error) error {
	if err := l.dismiss(errReadCancelled, int(StatusGoingAway), "read cancelled", atOnce); err != errReadCancelled {
		return err
	}
	return fmt.Errorf("%w: %w", errReadCancelled, cause)
}

var errReadCancelled = errors.New("websocket: a read was cancelled in the middle of a message")

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

// reader waits for a message, and returns what streams it. A message that a
// reader before did not read to its end is skipped.
func (l *link) reader(ctx context.Context) (MessageType, io.Reader, error) {
	if err := l.begin(ctx); err != nil {
		return 0, nil, err
	}
	defer l.end(ctx)
	if l.in.streamed {
		if err := l.discard(ctx); err != nil {
			return 0, nil, err
		}
	}
	if err := l.open(ctx); err != nil { // no new one if a Read did not wait for its end
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
			if !l.dead.Load() && in.compressed && !in.inflate.rewind() {
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
		return 0, err // not kept: that of a NetConn's deadline passes
	}
	defer l.end(r.ctx)
	if l.in.number != r.number {
		r.err = errSkipped
		return 0, r.err
	}
	if k := l.in.kept; k != nil && len(k.partial) > 0 {
		n := copy(p, k.partial)
		k.partial = k.partial[n:]
		return n, nil
	}
	n, err := l.some(r.ctx, p)
	if err != nil && err != io.EOF && !l.dead.Load() {
		alive := l.in.left == 0 || r.keeps
		if alive && l.in.compressed && err != errClosed { // after NetConn's Close nobody reads on
			alive = l.in.inflate.rewind()
		}
		switch {
		case !alive:
			err = l.abandoned(err)
		case r.keeps:
			return n, err
		}
	}
	r.err = err
	return n, err
}
