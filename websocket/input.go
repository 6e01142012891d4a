package websocket

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/godwit-go/godwit/internal/ws"
)

// input is the reading half of a link.
type input struct {
	frames ws.Receiver
	buf    *buffer   // nil when there is nothing in it
	r, w   int32     // what is unread
	left   int64     // payload of the current data frame that is still to be read
	ahead  bool      // next was read already
	next   ws.Header // of a data frame

	landing landing

	// The message in progress:
	kind       MessageType // 0 = none
	compressed bool
	size       int64 // so far, as it is read
	wire       int64 // so far, of a compressed one as it is on the wire
	empty      int32 // frames so far
	text       ws.UTF8
	streamed   bool   // it was given to a Reader
	number     uint32 // counts messages

	inflate *inflater // of the message in progress, if it is compressed
	kept    *kept     // nil = nothing
}

// kept is what few connections have to keep between reads.
type kept struct {
	partial []byte        // of a message that a Read did not wait for
	spilt   []byte        // goes before what comes from the stream
	window  []byte        // the end of compressed messages, for later ones to refer to
	passed  chan struct{} // closed at the end of the message in progress, if somebody waits for that
}

// whenPassed returns a channel that is closed at the end of the message in
// progress, or of the one ahead.
func (k *kept) whenPassed() <-chan struct{} {
	if k.passed == nil {
		k.passed = make(chan struct{})
	}
	return k.passed
}

// keep returns it for changing.
func (in *input) keep() *kept {
	if in.kept == nil {
		in.kept = new(kept)
	}
	return in.kept
}

// begin takes the reading side for one operation. An error leaves it free.
func (l *link) begin(ctx context.Context) error {
	if err := l.failure(); err != nil {
		return err
	}
	if !l.read.lock(ctx.Done(), nil) {
		return l.turnedAway(ctx)
	}
	return l.start(ctx)
}

// start does so for who has locked read already.
func (l *link) start(ctx context.Context) error {
	err := l.failure()
	if err == nil {
		err = l.watch.begin(ctx, l)
	}
	if err != nil {
		l.read.unlock()
	}
	return err
}

// end gives the reading side back, and the buffer if nothing is in it.
func (l *link) end(ctx context.Context) {
	if l.watch.end(ctx) {
		l.stream.SetReadDeadline(time.Time{})
	}
	if in := &l.in; in.buf != nil && (in.r == in.w || l.dead.Load()) {
		buffers.Put(in.buf)
		in.buf, in.r, in.w = nil, 0, 0
	}
	l.read.unlock()
}

// fill reads more into the buffer.
func (l *link) fill(ctx context.Context) error {
	in := &l.in
	if in.buf == nil {
		in.buf = buffers.Get().(*buffer)
	}
	switch {
	case in.r == in.w:
		in.r, in.w = 0, 0
		if tried, err := l.land(ctx); tried {
			return err
		}
	case in.w == bufferSize:
		in.w = int32(copy(in.buf[:], in.buf[in.r:in.w]))
		in.r = 0
	}
	n, err := l.pull(ctx, in.buf[in.w:], nil)
	in.w += int32(n)
	return err
}

// pull reads from the stream into p, and into beyond if p becomes full; a stream that
// cannot do that has no beyond. It returns an error only with no bytes: the
// context's, which leaves the connection as it is, or the one it ended with.
func (l *link) pull(ctx context.Context, p, beyond []byte) (int, error) {
	if k := l.in.kept; k != nil && len(k.spilt) > 0 {
		n := copy(p, k.spilt)
		if k.spilt = k.spilt[n:]; len(k.spilt) == 0 {
			k.spilt = nil
		}
		return n, nil
	}
	for {
		if l.alive != nil {
			l.alive.waits()
		}
		n, err := l.take(p, beyond)
		if l.alive != nil {
			l.alive.heard(n)
		}
		switch {
		case n > 0:
			return n, nil
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			if err := l.failure(); err != nil {
				return 0, err
			}
			l.watch.again(l.stream)
		case ctx.Err() != nil && l.dead.Load(): // both had their part in that
			return 0, context.Cause(ctx)
		default:
			return 0, l.lost("read", err)
		}
	}
}

// take reads from the stream once.
func (l *link) take(p, beyond []byte) (int, error) {
	if len(beyond) == 0 {
		return l.stream.Read(p)
	}
	return l.stream.(twofold).ReadTwo(p, beyond)
}

// next makes the header of the next data frame the current one; control frames
// on the way are dealt with. The current frame must be at its end. If ctx ends
// nothing is lost.
func (l *link) next(ctx context.Context) (ws.Header, error) {
	if l.in.ahead {
		l.in.ahead = false
		l.in.left = l.in.next.Length
		return l.in.next, nil
	}
	for {
		h, err := l.header(ctx)
		if err != nil {
			return h, err
		}
		if !h.Opcode.IsControl() {
			l.in.left = h.Length
			return h, nil
		}
		if err := l.control(ctx, h); err != nil {
			return h, err
		}
	}
}

// header reads a frame's header, and all of the frame if it is a control frame,
// whose payload is then still in the buffer.
func (l *link) header(ctx context.Context) (ws.Header, error) {
	in := &l.in
	for {
		if in.r == in.w {
			if err := l.fill(ctx); err != nil {
				return ws.Header{}, err
			}
			continue
		}
		before := in.frames
		h, n, err := in.frames.Next(in.buf[in.r:in.w])
		switch {
		case err != nil:
			return h, l.broke(err)
		case n > 0 && (!h.Opcode.IsControl() || int(in.w-in.r) >= n+int(h.Length)):
			in.r += int32(n)
			return h, nil
		}
		in.frames = before
		if err := l.fill(ctx); err != nil {
			return h, err
		}
	}
}

// payload reads some of the current frame's payload into p, which is not empty;
// left must be more than zero.
func (l *link) payload(ctx context.Context, p []byte) (int, error) {
	in := &l.in
	if int64(len(p)) > in.left {
		p = p[:in.left]
	}
	if in.r == in.w {
		if len(p) >= bufferSize/2 {
			n, err := l.pull(ctx, p, nil)
			in.left -= int64(n)
			return n, err
		}
		if err := l.fill(ctx); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf[in.r:in.w])
	in.r += int32(n)
	in.left -= int64(n)
	return n, nil
}

// skip reads past the rest of the current frame.
func (l *link) skip(ctx context.Context) error {
	in := &l.in
	for in.left > 0 {
		if in.r == in.w {
			if err := l.fill(ctx); err != nil {
				return err
			}
		}
		n := min(int64(in.w-in.r), in.left)
		in.r += int32(n)
		in.left -= n
	}
	return nil
}

// control deals with a control frame, whose payload is in the buffer.
func (l *link) control(ctx context.Context, h ws.Header) error {
	in := &l.in
	payload := in.buf[in.r : in.r+int32(h.Length)]
	in.r += int32(h.Length)
	switch h.Opcode {
	case ws.Ping:
		return l.answer(ctx, payload)
	case ws.Pong:
		l.answered(payload)
		return nil
	}
	code, reason, err := ws.ParseClose(payload)
	if err != nil {
		return l.broke(err)
	}
	return l.closed(ctx, &CloseError{StatusCode(code), reason})
}
