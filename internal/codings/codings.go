// Package codings removes content codings from a body, under a guard against
// bodies that decode to far more than came over the wire.
//
// A [Body] is a stack of layers, one a coding, above the body as it came. Each
// layer starts with its first read, so that an empty body stays empty and a head
// alone costs nothing. The guard counts what each layer yields, not only the
// last: a small result can stand on a huge intermediate one. A layer that is at
// its end reads on to the real end of what is below it, so that the connection
// is released there, a body cut in its framing shows, and garbage behind the
// data is an error.
package codings

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/recovered"
)

// MaxLayers is how many codings may stand on top of each other.
const MaxLayers = 4

// Coding is one content coding, as far as decoding goes.
type Coding struct {
	// Name is for error messages.
	Name string
	// Open returns the decoder of a stream of at least one byte; r is a
	// *bufio.Reader. A decoder that is an io.Closer is closed once, when nobody
	// reads from it any more. It reports a stream that ends early by
	// io.ErrUnexpectedEOF. If it panics, that is an error of the body.
	Open func(r io.Reader) (io.Reader, error)
}

// Limits is the guard.
type Limits struct {
	// Ratio is how many bytes may come of each one on the wire, once a layer has
	// yielded more than From bytes; 0 = no limit.
	Ratio, From int64
	// Max is how many bytes each layer may yield; 0 = no limit.
	Max int64
	// Err is the cause of the error when a limit is exceeded; RatioOption and
	// MaxOption name what sets the limits.
	Err                    error
	RatioOption, MaxOption string
}

// Body is a decoded body. It is read by one goroutine at a time; Close may be
// called from another.
type Body struct {
	wire   wire
	limits Limits

	mu     sync.Mutex // guards layers; held while they are read
	layers []layer    // the outermost coding, the one removed first, comes first
	err    error      // what reading ended with
}

// NewBody returns the decoded form of body, to which the codings were applied in
// the order given. Closing it closes body.
func NewBody(body io.ReadCloser, codings []Coding, limits Limits) *Body {
	b := &Body{wire: wire{body: body}, limits: limits, layers: make([]layer, len(codings))}
	for i := range codings {
		b.layers[i] = layer{body: b, coding: codings[len(codings)-1-i], src: &b.wire}
		if i > 0 {
			b.layers[i].src = &b.layers[i-1]
		}
	}
	return b
}

func (b *Body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	if len(b.layers) == 0 {
		return b.wire.Read(p)
	}
	n, err := b.layers[len(b.layers)-1].Read(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

// Close closes the body as it came first: that ends a read that is under way.
func (b *Body) Close() error {
	err := b.wire.body.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.end(&engine.OpError{Op: engine.OpReceive, Err: errClosed})
	}
	return err
}

var errClosed = errors.New("read on a closed body")

func (b *Body) end(err error) {
	b.err = err
	for i := range b.layers {
		b.layers[len(b.layers)-1-i].release()
	}
}

// wire counts what comes in.
type wire struct {
	body io.ReadCloser
	n    int64
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.body.Read(p)
	w.n += int64(n)
	return n, err
}

// layer removes one coding.
type layer struct {
	body   *Body
	coding Coding
	src    io.Reader
	buf    *bufio.Reader
	r      io.Reader
	n      int64 // bytes yielded
	err    error
}

func (l *layer) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.r == nil {
		if l.err = l.start(); l.err != nil {
			return 0, l.err
		}
	}
	n, err := l.decode(p)
	l.n += int64(n)
	if guard := l.exceeds(); guard != nil {
		l.err = guard
		return n, guard
	}
	if err == io.EOF {
		err = l.atEnd()
	}
	l.err = l.wrap(err)
	return n, l.err
}

// decode reads from the decoder. One that panics is not closed, so that nobody
// uses it again.
func (l *layer) decode(p []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			l.r, n, err = nil, 0, recovered.Brief("the decoder", v)
		}
	}()
	return l.r.Read(p)
}

func (l *layer) open() (r io.Reader, err error) {
	defer func() {
		if v := recover(); v != nil {
			r, err = nil, recovered.Brief("the decoder", v)
		}
	}()
	return l.coding.Open(l.buf)
}

func (l *layer) start() error {
	l.buf = buffers.Get().(*bufio.Reader)
	l.buf.Reset(l.src)
	if _, err := l.buf.Peek(1); err != nil {
		return l.wrap(err) // io.EOF: an empty body is not encoded
	}
	r, err := l.open()
	switch {
	case err == io.EOF:
		return l.wrap(io.ErrUnexpectedEOF)
	case err != nil:
		return l.wrap(err)
	}
	l.r = r
	return nil
}

// exceeds returns the guard's error if l has yielded too much.
func (l *layer) exceeds() error {
	limits, in := &l.body.limits, l.body.wire.n
	switch {
	case limits.Max > 0 && l.n > limits.Max:
		return decodeError(fmt.Errorf("%w: %d bytes decode to more than %d (see %s)", limits.Err, in, limits.Max, limits.MaxOption))
	case limits.Ratio > 0 && l.n > limits.From && l.n/max(in, 1) > limits.Ratio:
		return decodeError(fmt.Errorf("%w: %d bytes decode to more than %d times as many (see %s)", limits.Err, in, limits.Ratio, limits.RatioOption))
	}
	return nil
}

// atEnd reads on to the real end of the layer below.
func (l *layer) atEnd() error {
	n, err := io.Copy(io.Discard, io.LimitReader(l.buf, 1<<16))
	switch {
	case err != nil:
		return err
	case n > 0:
		return fmt.Errorf("%d bytes after the end of the data", n)
	}
	return io.EOF
}

// wrap gives errors of the data their phase; those of the connection have one.
func (l *layer) wrap(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if _, ok := errors.AsType[*engine.OpError](err); ok {
		return err
	}
	return decodeError(fmt.Errorf("content coding %s: %w", l.coding.Name, err))
}

func decodeError(err error) error { return &engine.OpError{Op: engine.OpDecode, Err: err} }

// release gives back what the layer holds.
func (l *layer) release() {
	if c, ok := l.r.(io.Closer); ok {
		c.Close()
	}
	if l.buf != nil {
		l.buf.Reset(nothing)
		buffers.Put(l.buf)
	}
	l.r, l.buf = nil, nil
}

var nothing = bytes.NewReader(nil)

var buffers = sync.Pool{New: func() any { return bufio.NewReader(nothing) }}
