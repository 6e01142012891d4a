package stdhttp

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/godwit-go/godwit"
)

var (
	errReadAfterClose = errors.New("http: read on closed response body")
	// Of a Read that Close interrupted; net/http's tells of the connection.
	errReadClosed = fmt.Errorf("%w: %w", errReadAfterClose, net.ErrClosed)
)

// body is a response's body.
type body struct {
	exchange *exchange
	from     *godwit.Response
	into     *http.Response
	err      error // of all further reads
	closed   atomic.Bool
}

// Read reads the body; at its end the trailer is there.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, errReadAfterClose
	case b.err != nil:
		return 0, b.err
	}
	n, err := b.from.Body.Read(p)
	if err != nil {
		err = b.ended(err)
	}
	return n, err
}

// WriteTo keeps the engine's fast way to copy.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	from, ok := b.from.Body.(io.WriterTo)
	switch {
	case b.closed.Load():
		return 0, errReadAfterClose
	case b.err == io.EOF:
		return 0, nil
	case b.err != nil:
		return 0, b.err
	case !ok:
		return io.Copy(w, struct{ io.Reader }{b})
	}
	n, err := from.WriteTo(w)
	if err == nil {
		b.ended(io.EOF)
		return n, nil
	}
	if _, ours := errors.AsType[*godwit.Error](err); ours {
		err = b.ended(err)
	}
	return n, err
}

// ended notes how the body ended and fills the trailer.
func (b *body) ended(err error) error {
	switch {
	case b.closed.Load():
		return errReadClosed
	case err != io.EOF:
		b.err = b.exchange.explainBody(err)
		return b.err
	}
	b.err = io.EOF
	for name, value := range b.from.Trailer().All() {
		if b.into.Trailer == nil {
			b.into.Trailer = make(http.Header)
		}
		b.into.Trailer.Add(name, value)
	}
	return io.EOF
}

// Close gives up what is left of the body. It may be called from any goroutine
// and more than once.
func (b *body) Close() error {
	if !b.closed.Swap(true) {
		b.from.Close()
	}
	return nil
}

// gzipBody decodes a body. It begins with the first read, so that it is that
// which waits for the first bytes.
type gzipBody struct {
	body *body
	from *gzip.Reader
	err  error // of making from
}

func (b *gzipBody) Read(p []byte) (int, error) {
	switch {
	case b.body.closed.Load():
		return 0, errReadAfterClose
	case b.err != nil:
		return 0, b.err
	case b.from == nil:
		if b.from, b.err = gzip.NewReader(b.body); b.err != nil {
			return 0, b.err
		}
	}
	return b.from.Read(p)
}

func (b *gzipBody) Close() error { return b.body.Close() }

// stream is the raw connection after a 101.
type stream struct {
	io.ReadWriteCloser
	from     *godwit.Response
	exchange *exchange
}

// CloseWrite ends what the peer reads, if the connection can do that.
func (s *stream) CloseWrite() error {
	if c, ok := s.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return fmt.Errorf("CloseWrite: %w", http.ErrNotSupported)
}

// Close closes the connection.
func (s *stream) Close() error {
	err := s.from.Close()
	s.exchange.end()
	return err
}

// tunnel is the reading side of a connection that CONNECT made; the request's
// body is the other.
type tunnel struct{ stream *stream }

func (t tunnel) Read(p []byte) (int, error) { return t.stream.Read(p) }
func (t tunnel) Close() error               { return t.stream.Close() }
