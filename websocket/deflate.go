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

// remember keeps the end of what was sent, if later messages may refer to it.
func (z *deflater) remember(p []byte) {
	l := z.link
	if l.deflate.ClientNoContextTakeover {
		return
	}
	size := 1 << z.bits
	w := l.out.sent()
	if len(p) >= size {
		l.out.keep(append(w[:0], p[len(p)-size:]...))
		return
	}
	if over := len(w) + len(p) - size; over > 0 {
		w = w[:copy(w, w[over:])]
	}
	l.out.keep(append(w, p...))
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
