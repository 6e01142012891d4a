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

	// A decompressor whose source gave an error is lost. That of a message in
	// several frames, which a read may give up between two of them, begins anew.
	logs  bool   // what was taken can be taken again
	log   []byte // that
	at    int    // taken of log
	first []byte // window at the beginning
	given int64  // bytes of the message that were given out
	skip  int64  // bytes that come a second time
}

// mostLogged bounds what is kept of a message to begin anew.
const mostLogged = 1 << 20

// messageTail is what RFC 7692 §7.2.2 has a receiver append, and a last block
// so that the decompressor knows the end.
const messageTail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// windowSize is how far back a compressed message may refer.
const windowSize = 32 << 10

var inflaters = sync.Pool{New: func() any { return &inflater{flate: flate.NewReader(nil)} }}

func newInflater(l *link, ctx context.Context, fragmented bool) *inflater {
	z := inflaters.Get().(*inflater)
	z.link, z.ctx, z.tail, z.err = l, ctx, 0, nil
	if k := l.in.kept; k != nil && k.window != nil {
		z.window, k.window = k.window, nil
	}
	z.logs, z.log, z.at, z.given, z.skip = fragmented, z.log[:0], 0, 0, 0
	if fragmented {
		z.first = append(z.first[:0], z.window...)
	}
	z.flate.(flate.Resetter).Reset(z, z.window)
	return z
}

// rewind makes a message readable again whose read was given up, if that can be.
func (z *inflater) rewind() bool {
	if !z.logs {
		return false
	}
	z.err, z.at, z.skip = nil, 0, z.given
	z.window = append(z.window[:0], z.first...)
	z.flate.(flate.Resetter).Reset(z, z.window)
	return true
}

// note keeps what was taken from the connection.
func (z *inflater) note(p ...byte) {
	if !z.logs {
		return
	}
	if len(z.log)+len(p) > mostLogged {
		z.logs, z.log, z.at = false, nil, 0
		return
	}
	z.log = append(z.log, p...)
	z.at = len(z.log)
}

// read decompresses some of the message.
func (z *inflater) read(ctx context.Context, p []byte) (int, error) {
	z.ctx = ctx
	for {
		n, err := z.flate.Read(p)
		z.window = appendEnd(z.window, p[:n], windowSize)
		if again := int(min(z.skip, int64(n))); again > 0 {
			n = copy(p, p[again:n])
			if z.skip -= int64(again); n == 0 {
				continue
			}
		}
		switch {
		case n > 0:
			z.given += int64(n)
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
	if cap(z.log) > keptLog {
		z.log = nil
	}
	inflaters.Put(z)
}

// keptLog is how large a log may be to be used again.
const keptLog = 64 << 10

// ReadByte gives the decompressor the next byte, and none too many.
func (z *inflater) ReadByte() (byte, error) {
	if in := &z.link.in; in.left > 0 && in.r < in.w && z.at == len(z.log) {
		c := in.buf[in.r]
		in.r++
		in.left--
		if z.logs {
			z.note(c)
		}
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
	if z.at < len(z.log) {
		n := copy(p, z.log[z.at:])
		z.at += n
		return n, nil
	}
	if z.tail == 0 {
		n, err := z.link.raw(z.ctx, p)
		if err != io.EOF {
			z.note(p[:n]...)
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
