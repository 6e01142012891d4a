package stdhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/content"
)

// upload is a request's Body as content. The first Open hands out the Body
// itself, further ones what GetBody returns; without GetBody there is but one.
type upload struct {
	request *http.Request
	length  int64

	copying sync.Once
	copied  []byte // see Bytes
	drain   func() // what copied was taken from

	abandoned func() // called when a body is closed before its end; may be nil

	mu     sync.Mutex // guards what follows
	first  *onceCloser
	head   io.Reader // in place of first, if that was probed
	opened bool
	over   bool
	fault  error // the last failure of a read

	drained bool // by consume
}

var _ content.Byteser = (*upload)(nil)

// ContentType returns "": the type is in the request's header.
func (u *upload) ContentType() string { return "" }

// ContentLength returns the length by http.Request's rules.
func (u *upload) ContentLength() int64 { return u.length }

// Replayable reports whether there is a GetBody.
func (u *upload) Replayable() bool { return u.request.GetBody != nil }

var errOver = errors.New("stdhttp: the exchange is over: the request's body was closed")

// Open returns the body.
func (u *upload) Open(context.Context) (io.ReadCloser, error) {
	u.mu.Lock()
	if u.over {
		u.mu.Unlock()
		return nil, errOver
	}
	again := u.opened || u.drained
	u.opened = u.opened || !u.drained // end closes one that only consume has touched
	u.mu.Unlock()
	switch file, isFile := u.first.ReadCloser.(*os.File); {
	case again && u.request.GetBody == nil:
		return nil, content.ErrConsumed
	case again:
		body, err := u.again()
		if err != nil {
			return nil, err
		}
		return &source{upload: u, from: body, closer: body}, nil
	case isFile && u.head == nil:
		return file, nil // which the kernel may send
	case u.head != nil:
		return &source{upload: u, from: u.head, closer: u.first}, nil
	}
	return &source{upload: u, from: u.first, closer: u.first, unread: u.length > 0 && u.request.GetBody != nil}, nil
}

// again returns what GetBody does.
func (u *upload) again() (*onceCloser, error) {
	body, err := u.request.GetBody()
	switch {
	case err != nil:
		return nil, err
	case body == nil:
		return nil, errors.New("http: Request.GetBody returned neither a body nor an error")
	}
	return &onceCloser{ReadCloser: body}, nil
}

// untouched reports whether nobody has opened the body yet.
func (u *upload) untouched() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.opened && u.copied == nil
}

// failed reports whether err is one that reading the body ended with.
func (u *upload) failed(err error) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fault != nil && errors.Is(err, u.fault)
}

// maxCopied is how large a body is at most that is handed to the engine as bytes.
const maxCopied = 64 << 10

// The types of what io.NopCloser returns.
var nopClosers = []reflect.Type{
	reflect.TypeOf(io.NopCloser(nil)),
	reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{})),
}

// Bytes returns a small body that is in memory already, as http.NewRequest makes
// them of readers that it knows. These need no goroutine and no Close. Without
// GetBody it is not in memory: engines may send bytes more than once. Nor is one
// that the server may refuse, so that it is known whether it was opened. The reader
// stays where it is until consume.
func (u *upload) Bytes() ([]byte, bool) {
	u.copying.Do(func() {
		if u.length > 0 && u.length <= maxCopied && u.head == nil && u.Replayable() && !expecting(u.request) {
			u.copied, u.drain = inMemory(u.first.ReadCloser, u.length)
		}
	})
	return u.copied, u.copied != nil
}

// consume takes from the body's reader what was sent of it by Bytes. A request
// that was not sent leaves it, so that it can be used again. An engine that opened
// the body reads it by itself.
func (u *upload) consume() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.drain != nil && !u.opened && !u.drained {
		u.drain()
		u.drained = true
	}
}

// inMemory returns a copy of the rest of a reader of package bytes or strings
// behind io.NopCloser if it is of that length, else nil, and what takes it from
// the reader.
func inMemory(body io.ReadCloser, length int64) (data []byte, drain func()) {
	if !slices.Contains(nopClosers, reflect.TypeOf(body)) {
		return nil, nil
	}
	var at io.ReaderAt
	var start int64
	switch r := reflect.ValueOf(body).Field(0).Interface().(type) {
	case *bytes.Buffer:
		if int64(r.Len()) == length {
			return bytes.Clone(r.Bytes()), func() { r.Next(int(length)) }
		}
		return nil, nil
	case *bytes.Reader:
		at, start, drain = r, r.Size()-int64(r.Len()), func() { r.Seek(0, io.SeekEnd) }
	case *strings.Reader:
		at, start, drain = r, r.Size()-int64(r.Len()), func() { r.Seek(0, io.SeekEnd) }
	default:
		return nil, nil
	}
	b := make([]byte, length+1)
	if n, err := at.ReadAt(b, start); int64(n) != length || err != io.EOF {
		return nil, nil
	}
	return b[:length], drain
}

// end closes a body that was not opened; one that was is closed by who opened it.
func (u *upload) end() {
	u.mu.Lock()
	u.over = true
	opened := u.opened
	u.mu.Unlock()
	if !opened {
		u.first.Close()
	}
}

// onceCloser closes once.
type onceCloser struct {
	io.ReadCloser
	once sync.Once
	err  error
}

func (c *onceCloser) Close() error {
	c.once.Do(func() { c.err = c.ReadCloser.Close() })
	return c.err
}

// source is an opened body. Like net/http it closes the body when that is at its
// end, before the end is written, and a Close that fails fails the request.
type source struct {
	upload *upload
	from   io.Reader
	closer *onceCloser
	unread bool // and if it is empty GetBody has what there should be
	ended  atomic.Bool
	closed bool  // guarded by upload.mu, as are writes to closer
	err    error // of all further reads
}

// Read reads from the body.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.from.Read(p)
	if s.unread && n == 0 && err == io.EOF {
		if err = s.replace(); err == nil {
			n, err = s.from.Read(p)
		}
	}
	s.unread = s.unread && n == 0
	if err == io.EOF {
		if failed := s.closer.Close(); failed != nil {
			err = failed
		}
	}
	if err != nil && err != io.EOF {
		s.upload.mu.Lock()
		s.upload.fault = err
		s.upload.mu.Unlock()
	}
	s.err = err
	s.ended.Store(err == io.EOF)
	return n, err
}

// replace takes another body in place of one that an earlier use of the request
// has read, as net/http does when it finds it empty.
func (s *source) replace() error {
	s.unread = false
	if err := s.closer.Close(); err != nil {
		return err
	}
	body, err := s.upload.again()
	if err != nil {
		return err
	}
	s.upload.mu.Lock()
	closed := s.closed
	s.from, s.closer = body, body
	s.upload.mu.Unlock()
	if closed {
		body.Close()
		return errOver
	}
	return nil
}

// Close closes the body.
func (s *source) Close() error {
	s.upload.mu.Lock()
	s.closed = true
	closer := s.closer
	s.upload.mu.Unlock()
	err := closer.Close()
	if f := s.upload.abandoned; f != nil && !s.ended.Load() {
		f()
	}
	return err
}

// probeTime is how long probe waits.
const probeTime = 200 * time.Millisecond

// probe reads a byte of a body of unknown length to see whether there is one, and
// reports false if the body is empty. If that takes long there is one.
func (u *upload) probe(ctx context.Context) bool {
	p := &probed{from: u.first, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		var b [1]byte
		n, err := u.first.Read(b[:])
		p.first, p.err = append(p.first, b[:n]...), err
	}()
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	select {
	case <-p.done:
		if len(p.first) == 0 && p.err == io.EOF {
			return false
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	u.head = p
	return true
}

// probed is a body of which a byte was, or is being, read.
type probed struct {
	from  io.Reader
	done  chan struct{} // closed when what follows is set
	first []byte
	err   error
}

func (p *probed) Read(b []byte) (int, error) {
	<-p.done
	switch {
	case len(b) == 0:
		return 0, nil
	case len(p.first) > 0:
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	case p.err != nil:
		return 0, p.err
	}
	return p.from.Read(b)
}
