package websocket

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/godwit-go/godwit/internal/ws"
	"github.com/klauspost/compress/flate"
)

// inflater decompresses one message (RFC 7692 §7.2.2). It is the source of its
// own decompressor: the payload of the message's frames, then the bytes that the
// sender left out, then an empty last block.
type inflater struct {
	link   *link
	ctx    context.Context
	flate  io.ReadCloser
	tail   int // bytes of messageTail that were taken
	err    error
	window []byte // what was decompressed last, for what follows to refer to
	one    [1]byte
}

// messageTail is what RFC 7692 §7.2.2 has a receiver append, and a last block
// so that the decompressor knows the end.
const messageTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// windowSize is how far back a compressed message may refer.
const windowSize = 32 << 10

var inflaters = sync.Pool{New: func() any { return &inflater{flate: flate.NewReader(nil)} }}

func newInflater(l *link, ctx context.Context) *inflater {
	z := inflaters.Get().(*inflater)
	z.link, z.ctx, z.tail, z.err = l, ctx, 0, nil
	if k := l.in.kept; k != nil && k.window != nil {
		z.window, k.window = k.window, nil
	}
	z.flate.(flate.Resetter).Reset(z, z.window)
	return z
}

// read decompresses some of the message.
func (z *inflater) read(ctx context.Context, p []byte) (int, error) {
	z.ctx = ctx
	for {
		n, err := z.flate.Read(p)
		z.remember(p[:n])
		switch {
		case n > 0:
			return n, nil
		case err == nil:
		case z.err != nil:
			return 0, z.err
		case err != io.EOF:
			return 0, z.link.broke(&ws.Error{Code: ws.CodeInvalidPayload,
				Reason: "compressed data is invalid", Section: "RFC 7692 §7.2.2"})
		case z.tail == len(messageTail):
			return 0, io.EOF
		default: // a last block inside the message: what follows is another stream (§7.2.3.5)
			z.flate.(flate.Resetter).Reset(z, z.window)
		}
	}
}

// remember keeps the end of what was decompressed.
func (z *inflater) remember(p []byte) {
	if len(p) >= windowSize {
		z.window = append(z.window[:0], p[len(p)-windowSize:]...)
		return
	}
	if over := len(z.window) + len(p) - windowSize; over > 0 {
		z.window = z.window[:copy(z.window, z.window[over:])]
	}
	z.window = append(z.window, p...)
}

// finish gives the inflater back. The window goes to the link if the next
// message may refer to it.
func (z *inflater) finish() {
	l := z.link
	if d := l.deflate; d != nil && !d.ServerNoContextTakeover && !l.dead.Load() {
		keep := min(len(z.window), 1<<d.ServerMaxWindowBits)
		l.in.keep().window = z.window[len(z.window)-keep:]
		z.window = nil
	} else {
		z.window = z.window[:0]
	}
	z.link, z.ctx = nil, nil
	inflaters.Put(z)
}

// ReadByte gives the decompressor the next byte, and none too many.
func (z *inflater) ReadByte() (byte, error) {
	if in := &z.link.in; in.left > 0 && in.r < in.w {
		c := in.buf[in.r]
		in.r++
		in.left--
		return c, nil
	}
	_, err := z.Read(z.one[:])
	return z.one[0], err
}

// Read does so for stored blocks.
func (z *inflater) Read(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	if z.tail == 0 {
		n, err := z.link.raw(z.ctx, p)
		if err != io.EOF {
			z.err = err
			return n, err
		}
	}
	if z.tail == len(messageTail) {
		return 0, errors.New("websocket: the compressed message is cut off")
	}
	n := copy(p, messageTail[z.tail:])
	z.tail += n
	return n, nil
}
