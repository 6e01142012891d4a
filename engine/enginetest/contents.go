package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

var (
	_ content.Content   = (*body)(nil)
	_ content.Byteser   = (*memory)(nil)
	_ content.Trailerer = (*trailing)(nil)
)

// errBroken is what broken bodies fail with.
var errBroken = errors.New("the body broke")

// body is a request body that counts what the engine does with it.
type body struct {
	length int64 // announced
	replay bool
	open   func(ctx context.Context) (io.Reader, error)

	mu                   sync.Mutex // guards what follows
	opens, closes, reads int
	afterClose           bool // a Read came after Close
}

func (b *body) ContentType() string  { return "" }
func (b *body) ContentLength() int64 { return b.length }
func (b *body) Replayable() bool     { return b.replay }

func (b *body) Open(ctx context.Context) (io.ReadCloser, error) {
	b.mu.Lock()
	first := b.opens == 0
	b.mu.Unlock()
	if !first && !b.replay {
		return nil, content.ErrConsumed
	}
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opens++
	return &bodyReader{b: b, r: r}, nil
}

// counts returns how often the body was opened and closed, and whether it was
// read after a Close.
func (b *body) counts() (opens, closes int, afterClose bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.opens, b.closes, b.afterClose
}

func (b *body) readCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

type bodyReader struct {
	b      *body
	r      io.Reader
	closed bool
}

func (r *bodyReader) Read(p []byte) (int, error) {
	r.b.mu.Lock()
	r.b.reads++
	r.b.afterClose = r.b.afterClose || r.closed
	r.b.mu.Unlock()
	return r.r.Read(p)
}

func (r *bodyReader) Close() error {
	r.b.mu.Lock()
	r.closed = true
	r.b.closes++
	r.b.mu.Unlock()
	if c, ok := r.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// wantClosedOnce checks that the body was opened at most once and that every
// reader was closed exactly once. The engine stops reading when Execute failed
// or the response body is closed; its Close may come a moment later.
func (b *body) wantClosedOnce(t *T) {
	t.Helper()
	t.eventually(func() bool {
		opens, closes, _ := b.counts()
		return closes >= opens
	})
	opens, closes, afterClose := b.counts()
	if opens > 1 || closes != opens {
		t.Errorf("the request body was opened %d times and closed %d times", opens, closes)
	}
	if afterClose {
		t.Error("the request body was read after its Close")
	}
}

// stream is a body of unknown length that can be sent once.
func stream(s string) *body { return sized(-1, s) }

// sized is a body that announces length and yields s; it can be sent once.
func sized(length int64, s string) *body {
	return &body{length: length, open: func(context.Context) (io.Reader, error) { return strings.NewReader(s), nil }}
}

// replayable is a body of known length that can be sent again.
func replayable(s string) *body {
	b := sized(int64(len(s)), s)
	b.replay = true
	return b
}

// reading is a body of unknown length that comes from r.
func reading(r io.Reader) *body {
	return &body{length: -1, open: func(context.Context) (io.Reader, error) { return r, nil }}
}

// memory is a body that has the fast path for bytes.
type memory struct {
	*body
	b []byte
}

func inMemory(s string) *memory { return &memory{replayable(s), []byte(s)} }

func (m *memory) Bytes() ([]byte, bool) { return m.b, true }

// file is a body whose reader is an *os.File.
type file struct {
	path   string
	length int64
}

func (f file) ContentType() string                             { return "" }
func (f file) ContentLength() int64                            { return f.length }
func (f file) Replayable() bool                                { return true }
func (f file) Open(ctx context.Context) (io.ReadCloser, error) { return os.Open(f.path) }

// writerTo is a body whose reader implements io.WriterTo, with writes of odd
// sizes.
type writerTo struct {
	length int64
	s      string
}

func (w writerTo) ContentType() string  { return "" }
func (w writerTo) ContentLength() int64 { return w.length }
func (w writerTo) Replayable() bool     { return true }
func (w writerTo) Open(context.Context) (io.ReadCloser, error) {
	return &writerToReader{rest: w.s}, nil
}

type writerToReader struct{ rest string }

func (r *writerToReader) Close() error { return nil }

func (r *writerToReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *writerToReader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for size := 1; r.rest != ""; size = size*3 + 1 {
		n, err := io.WriteString(w, r.rest[:min(size, len(r.rest))])
		total += int64(n)
		r.rest = r.rest[n:]
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// trailing is a body that brings its own trailer fields.
type trailing struct {
	*body
	trailer header.Header
}

func (t *trailing) TrailerNames() []string  { return t.trailer.Names() }
func (t *trailing) Trailers() header.Header { return t.trailer }

// pieces yields its parts one Read each and then err (io.EOF if nil).
type pieces struct {
	parts []string
	err   error
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.parts) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		return 0, io.EOF
	}
	n := copy(b, p.parts[0])
	if p.parts[0] = p.parts[0][n:]; p.parts[0] == "" {
		p.parts = p.parts[1:]
	}
	return n, nil
}

// panics yields pieces and then panics with value, or if that is nil ends its
// goroutine.
type panics struct {
	pieces
	value any
}

func (p *panics) Read(b []byte) (int, error) {
	n, err := p.pieces.Read(b)
	switch {
	case err == nil:
		return n, nil
	case p.value == nil:
		runtime.Goexit()
	}
	panic(p.value)
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// gate is a reader whose bytes come through a channel; a closed channel is EOF.
type gate struct {
	ch   chan string
	rest string
	// asked gets a value each time the gate is asked for more.
	asked chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newGate() *gate {
	return &gate{ch: make(chan string), asked: make(chan struct{}, 1024), done: make(chan struct{})}
}

func (g *gate) Read(p []byte) (int, error) {
	if g.rest == "" {
		select {
		case g.asked <- struct{}{}:
		default:
		}
		select {
		case s, ok := <-g.ch:
			if !ok {
				return 0, io.EOF
			}
			g.rest = s
		case <-g.done:
			return 0, os.ErrClosed
		}
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// Close ends a Read that waits.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.done) })
	return nil
}

// pattern returns n bytes without a short period, so that a lost or doubled
// piece shows.
func pattern(n int) string {
	b := bytes.NewBuffer(make([]byte, 0, n+16))
	for i := 0; b.Len() < n; i++ {
		b.WriteString(itoa(i * 7919))
		b.WriteByte('.')
	}
	return b.String()[:n]
}

// Text is a body of known length that can be sent again: what an adapter for
// [Canned] gives the suite as the body of the request that it received.
func Text(s string) content.Content { return replayable(s) }
