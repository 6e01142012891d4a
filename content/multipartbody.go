package content

import (
	"context"
	"errors"
	"io"
	"sync"
)

// multipartBody reads the parts. One goroutine at a time reads it; Close may
// come from any.
type multipartBody struct {
	ctx  context.Context
	rest []multipartPart // still to be opened
	text string          // of the head or tail, still to be read
	tail string
	done error // sticky: io.EOF or what failed

	mu     sync.Mutex // guards what follows
	part   io.ReadCloser
	closed bool
}

var _ io.WriterTo = (*multipartBody)(nil)

var errClosed = errors.New("content: read of a closed body")

func (b *multipartBody) Read(p []byte) (int, error) {
	for {
		if b.text != "" {
			n := copy(p, b.text)
			b.text = b.text[n:]
			return n, nil
		}
		part, err := b.current()
		if err != nil {
			return 0, err
		}
		if part == nil {
			continue
		}
		n, err := part.Read(p)
		if err == io.EOF {
			err = b.closePart(false)
		}
		if err != nil {
			b.done = err
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

func (b *multipartBody) WriteTo(w io.Writer) (sum int64, err error) {
	for {
		if b.text != "" {
			n, err := io.WriteString(w, b.text)
			sum, b.text = sum+int64(n), b.text[n:]
			if err != nil {
				return sum, err
			}
		}
		part, err := b.current()
		switch {
		case err == io.EOF:
			return sum, nil
		case err != nil:
			return sum, err
		case part == nil:
			continue
		}
		n, err := io.Copy(w, part)
		sum += n
		if err = early(err); err == nil {
			err = b.closePart(false)
		}
		if err != nil {
			b.done = err
			return sum, err
		}
	}
}

// current returns the part to read from, once the text before it is read: nil
// if there is new text instead.
func (b *multipartBody) current() (io.Reader, error) {
	b.mu.Lock()
	part, closed := b.part, b.closed
	b.mu.Unlock()
	switch {
	case closed:
		return nil, errClosed
	case b.done != nil:
		return nil, b.done
	case part != nil:
		return part, nil
	case len(b.rest) > 0:
		return nil, b.openPart()
	}
	b.text, b.done = b.tail, io.EOF
	return nil, nil
}

func (b *multipartBody) openPart() error {
	next := b.rest[0]
	r, err := next.body.Open(b.ctx)
	if err != nil {
		b.done = early(err)
		return b.done
	}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.part = r
	}
	b.mu.Unlock()
	if closed {
		return errors.Join(errClosed, r.Close())
	}
	b.text, b.rest = next.head, b.rest[1:]
	return nil
}

// Close closes the part that is being read.
func (b *multipartBody) Close() error { return b.closePart(true) }

func (b *multipartBody) closePart(last bool) error {
	b.mu.Lock()
	part := b.part
	b.part = nil
	b.closed = b.closed || last
	b.mu.Unlock()
	if part == nil {
		return nil
	}
	return early(part.Close())
}

// early makes io.EOF where no part ends an error: it would look like the end of
// the whole body.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
