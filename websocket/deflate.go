package websocket

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/flate"
)

// deflater compresses one message (RFC 7692 §7.2.1).
type deflater struct {
	link  *link
	flate *flate.Writer
	out   *bytes.Buffer
	bits  int
	sent  []byte // the end of the message so far
}

// deflaters are pools of compressors, one a window size: they are large, and
// few are in use at once. What the next message may refer to is kept by the link.
var deflaters [16]sync.Pool

func newDeflater(l *link) *deflater {
	bits := max(l.deflate.ClientMaxWindowBits, 8)
	z, _ := deflaters[bits].Get().(*deflater)
	if z == nil {
		z = &deflater{out: new(bytes.Buffer), bits: bits}
		if bits == 15 {
			z.flate, _ = flate.NewWriter(nil, flate.BestSpeed)
		} else {
			z.flate, _ = flate.NewWriterWindow(nil, 1<<bits)
		}
	}
	z.link = l
	z.out.Reset()
	z.sent = z.sent[:0]
	z.flate.ResetDict(z.out, l.out.sent())
	return z
}

// keptOut is how large a buffer of compressed data may be to be used again.
const keptOut = 1 << 20

// finish gives the deflater back.
func (z *deflater) finish() {
	z.link = nil
	z.flate.ResetDict(nil, nil)
	if z.out.Cap() <= keptOut {
		deflaters[z.bits].Put(z)
	}
}

// compress adds to the message.
func (z *deflater) compress(p []byte) error {
	if !z.link.deflate.ClientNoContextTakeover {
		z.sent = appendEnd(z.sent, p, 1<<z.bits)
	}
	_, err := z.flate.Write(p)
	return err
}

// commit is called when the peer has got the whole message: later ones may refer
// to it. Of a message that came to nothing the peer knows nothing.
func (z *deflater) commit() {
	if l := z.link; len(z.sent) > 0 {
		l.out.keep(appendEnd(l.out.sent(), z.sent, 1<<z.bits))
	}
}

// appendEnd appends p to w and keeps the last size bytes.
func appendEnd(w, p []byte, size int) []byte {
	if len(p) >= size {
		return append(w[:0], p[len(p)-size:]...)
	}
	if over := len(w) + len(p) - size; over > 0 {
		w = w[:copy(w, w[over:])]
	}
	return append(w, p...)
}

// window is the end of what was sent compressed; few connections have one.
type window struct{ data []byte }

func (o *outgoing) sent() []byte {
	if o.window == nil {
		return nil
	}
	return o.window.data
}

func (o *outgoing) keep(data []byte) {
	if o.window == nil {
		o.window = new(window)
	}
	o.window.data = data
}
