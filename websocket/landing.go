package websocket

import (
	"bytes"
	"context"

	"github.com/godwit-go/godwit/internal/ws"
)

// Large messages like to follow one another. A read for the next one takes its head
// into the buffer and what comes after that to where the payload is wanted, by one
// system call; without that the first bytes would have to be copied there, and the
// others read by a second one.

// twofold is a stream that reads into two pieces of memory: into a and, if that
// becomes full, into b.
type twofold interface {
	ReadTwo(a, b []byte) (int, error)
}

// landing is where the payload of the next message goes.
type landing struct {
	into []byte // where it is wanted; empty = the read is not for a whole message
	size int64  // of the payload, if it is like the one before; 0 = that was small
	n    int64  // how much of it is there
}

// expect takes notice of a message's first frame.
func (to *landing) expect(h ws.Header) {
	if to.size = h.Length; h.Length < bufferSize || h.Compressed {
		to.size = 0
	}
}

// land reads into the buffer, which is empty, up to the end of the head that is
// expected, and beyond that to where the payload goes. It reports whether there was
// a reason to.
func (l *link) land(ctx context.Context) (tried bool, err error) {
	in := &l.in
	to := &in.landing
	if to.size == 0 || len(to.into) < bufferSize {
		return false, nil
	}
	if _, ok := l.stream.(twofold); !ok {
		return false, nil
	}
	head := len(ws.Header{Length: to.size}.Append(in.buf[:0]))
	into := to.into[:min(int64(len(to.into)), to.size)]
	n, err := l.pull(ctx, in.buf[:head], into)
	in.w = int32(min(n, head))
	into = into[:n-int(in.w)]
	if len(into) == 0 {
		return true, err
	}
	if h, n, err := ws.Parse(in.buf[:head]); err == nil && n == head && !h.Compressed { // a control frame's head is shorter
		to.n = min(int64(len(into)), h.Length)
	}
	in.putBack(into[to.n:])
	return true, nil
}

// putBack has b, which follows on what is in the buffer, read once more.
func (in *input) putBack(b []byte) {
	n := copy(in.buf[in.w:], b)
	in.w += int32(n)
	if n < len(b) {
		in.keep().spilt = bytes.Clone(b[n:])
	}
}

// landed returns how much of the message in progress has landed, and counts it as
// read.
func (in *input) landed() int {
	n := in.landing.n
	in.landing.n = 0
	in.left -= n
	return int(n)
}
