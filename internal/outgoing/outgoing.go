// Package outgoing reads the bodies of requests for transports that take an
// io.ReadCloser and read it in goroutines of their own: net/http and quic-go.
//
// Such a transport may go on reading when the exchange is over, and may wait for
// a read before it reports an error. So a read here returns when the exchange
// ends, even if the content's own read does not: contents that may block are read
// in another goroutine. What runs of the sender's own code runs in goroutines that
// are not the sender's, so its panics become errors.
package outgoing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/textproto"
	"sync"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/recovered"
	"github.com/godwit-go/godwit/internal/transfer"
)

// ErrStopped is what reads return when the exchange is over.
var ErrStopped = errors.New("the exchange is over: the request's body is not read any more")

// Trailer is the trailer section of a request.
type Trailer struct {
	// Fields has the announced names from the start, without values, and all
	// fields when a Body of the request is at its end.
	Fields map[string][]string

	last func() header.Header
}

// TrailerOf returns the trailer section that req sends: its own, or else that of
// its content; nil if there is none.
func TrailerOf(req *engine.Request) *Trailer {
	names, last := req.TrailerNames, req.Trailer
	if c, ok := req.Body.(content.Trailerer); ok && last == nil {
		names, last = c.TrailerNames(), c.Trailers
	}
	if last == nil {
		return nil
	}
	t := &Trailer{Fields: make(map[string][]string, len(names)), last: last}
	for _, name := range names {
		t.Fields[textproto.CanonicalMIMEHeaderKey(name)] = nil
	}
	return t
}

// collect asks for the fields.
func (t *Trailer) collect() (err error) {
	returned := false
	defer func() {
		if !returned {
			err = recovered.Error("the request's Trailer", recover())
		}
	}()
	fields := make(textproto.MIMEHeader)
	for name, value := range t.last().All() {
		if !header.ValidName(name) || !header.ValidValue(value) || h1.ForbiddenTrailer(name) {
			err = fmt.Errorf("the request's Trailer yields the field %.40q, which a trailer section cannot have (RFC 9110 §6.5.1)", name)
		}
		fields.Add(name, value)
	}
	returned = true
	if err == nil {
		maps.Copy(t.Fields, fields)
	}
	return err
}

// Body is one reading of a content. One goroutine reads at a time; all else may
// be called at any time.
type Body struct {
	ctx     context.Context
	content content.Content
	trailer *Trailer      // until it was asked for
	done    chan struct{} // closed by Stop
	buf     []byte        // of a content that may block; not used while it is being read into

	mu      sync.Mutex // guards what follows, not the reading itself
	source  *transfer.Source
	stopped bool
	touched bool
	read    int64
	fault   error
}

// New returns the body that c yields, with t at its end. A nil c is a body of
// trailer fields alone, a nil t is none. The content is opened by Open, or else by
// the first read: where the server may refuse the body. ctx is the exchange's; when
// it ends, the body is stopped.
func New(ctx context.Context, c content.Content, t *Trailer) *Body {
	return &Body{ctx: ctx, content: c, trailer: t, done: make(chan struct{})}
}

// Length returns the content's length, -1 if it does not say.
func (b *Body) Length() int64 {
	if b.content == nil {
		return -1
	}
	return b.content.ContentLength()
}

// Blocks reports whether opening the content, or reading from it, may take time:
// whether it is neither in memory nor absent.
func (b *Body) Blocks() bool {
	if b.content == nil {
		return false
	}
	_, inMemory := content.BytesOf(b.content)
	return !inMemory
}

// Open opens the content now, while nothing is sent yet, so that one which cannot
// be opened costs neither a connection nor a broken request. One that says to be
// empty is held to that here, as nobody else may read it. A content in memory
// needs no opening.
func (b *Body) Open() error {
	if !b.Blocks() {
		return nil
	}
	_, err := b.aside(func() (int, error) {
		n, err := b.next(nil)
		for err == nil && n == 0 && b.Length() == 0 {
			var one [1]byte
			n, err = b.next(one[:])
		}
		if n > 0 {
			err = b.lied(int64(n))
		}
		if err == io.EOF {
			err = nil
		}
		return 0, err
	})
	if err != nil && err != ErrStopped {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.fault = err
	}
	return err
}

// Read reads from the content. A content that yields more or less than it
// announces is an error, and so is a panic in it.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.fetch(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.touched = true
	if b.stopped {
		return 0, ErrStopped
	}
	b.read += int64(n)
	switch want := b.Length(); {
	case want >= 0 && b.read > want:
		n, err = 0, b.lied(b.read) // a server that had all it waits for might answer
	case err == io.EOF && b.read < want:
		err = b.lied(b.read)
	case err == io.EOF && b.trailer != nil:
		if fault := b.trailer.collect(); fault != nil {
			err = fault
		}
		b.trailer = nil
	}
	if err != io.EOF {
		b.fault = err
	}
	return n, err
}

func (b *Body) lied(n int64) error {
	return fmt.Errorf("the request's Content announces %d bytes and yields %d", b.Length(), n)
}

// Fault returns the content's own error, nil if there was none.
func (b *Body) Fault() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fault
}

// Fresh reports whether nothing was read yet.
func (b *Body) Fresh() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.touched && !b.stopped
}

// Begun reports whether the content was opened, or may have been.
func (b *Body) Begun() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.touched || b.stopped || b.source != nil
}

// Close is for the transport, which calls it when it needs no more.
func (b *Body) Close() error { return b.Stop() }

// Stop ends the reading and closes the content. A read that is under way returns;
// the content's own may go on, but there is none after it. What Stop returns is a
// panic in the content's Close, which is a fault too.
func (b *Body) Stop() error {
	b.mu.Lock()
	source, stopped := b.source, b.stopped
	b.stopped = true
	if !stopped {
		close(b.done)
	}
	b.mu.Unlock()
	if source == nil || stopped {
		return nil
	}
	fault := source.Close()
	if fault != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.fault = fault
	}
	return fault
}

// Done is closed when the body is stopped.
func (b *Body) Done() <-chan struct{} { return b.done }

// fetch reads from the content, in another goroutine unless it is in memory. Where
// there is room for all that should be left it asks for one byte more, and returns
// that in n.
func (b *Body) fetch(p []byte) (n int, err error) {
	if !b.Blocks() {
		return b.next(p)
	}
	size := len(p)
	if left := b.Length() - b.read; b.Length() >= 0 && int64(size) >= left {
		size = int(left) + 1
	}
	if len(b.buf) < size {
		b.buf = make([]byte, size)
	}
	buf := b.buf[:size]
	n, err = b.aside(func() (int, error) { return b.next(buf) })
	copy(p, buf[:n])
	return n, err
}

// aside runs f in another goroutine, and returns without it if the exchange ends
// before.
func (b *Body) aside(f func() (int, error)) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: recovered.ErrExited} // if f does not return
		defer func() { done <- r }()
		r.n, r.err = f()
	}()
	select {
	case r := <-done:
		return r.n, r.err
	case <-b.done:
	case <-b.ctx.Done():
		b.Stop()
	}
	return 0, ErrStopped
}

// next opens the content, if that is still to be done, and reads from it; with
// nil it opens only.
func (b *Body) next(p []byte) (n int, err error) {
	returned := false
	defer func() {
		if !returned {
			n, err = 0, recovered.Error("the request's body", recover())
		}
	}()
	source, err := b.open()
	if err == nil && p != nil {
		n, err = source.Read(p)
	}
	returned = true
	return n, err
}

func (b *Body) open() (*transfer.Source, error) {
	b.mu.Lock()
	if b.stopped || b.source != nil {
		defer b.mu.Unlock()
		if b.stopped {
			return nil, ErrStopped
		}
		return b.source, nil
	}
	b.mu.Unlock()
	source := &transfer.Source{InMemory: true} // trailer fields alone
	if b.content != nil {
		r, err := b.content.Open(b.ctx)
		if err != nil {
			return nil, err
		}
		source = &transfer.Source{Reader: r}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped { // while it was opened
		source.Close()
		return nil, ErrStopped
	}
	b.source = source
	return source, nil
}
