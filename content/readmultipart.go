package content

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	stdmultipart "mime/multipart"
	"slices"

	"github.com/godwit-go/godwit/header"
)

// MultipartReader reads the parts of a multipart body one after the other. It is
// not safe for concurrent use. It does not close what it reads from.
type MultipartReader struct {
	r *stdmultipart.Reader
}

// IncomingPart is one part of a multipart body that was received.
type IncomingPart struct {
	// Header holds the part's fields, in alphabetical order, names in canonical
	// case.
	Header header.Header
	// Disposition is the Content-Disposition, its zero value if there is none
	// that can be read.
	Disposition header.Disposition
	// Name is the name of the form field, "" if there is none.
	Name string
	// Filename is the last element of the file name: it cannot point out of a
	// directory. "" if there is none.
	Filename string
	// Body is the content as it was sent; Content-Transfer-Encoding is not
	// decoded. It ends with the part and is void after the next one is asked for.
	Body io.Reader
}

// ReadMultipart returns a reader of the parts in r. contentType is the value of
// Content-Type: any multipart type with a boundary. A part's fields are limited
// by package mime/multipart, to 10 MiB; sizes of bodies are not.
func ReadMultipart(r io.Reader, contentType string) (*MultipartReader, error) {
	m, ok := header.ParseMediaType(contentType)
	if !ok || m.Type != "multipart" {
		return nil, fmt.Errorf("content: %q is not a multipart type", contentType)
	}
	boundary := m.Param("boundary")
	if err := checkBoundary(boundary); err != nil {
		return nil, fmt.Errorf("%w (Content-Type %q)", err, contentType)
	}
	return &MultipartReader{stdmultipart.NewReader(&unfinished{r: r}, boundary)}, nil
}

// unfinished ends with a line break and io.ErrUnexpectedEOF in place of io.EOF.
// Package mime/multipart gives a bare io.EOF for a body that is cut within a
// part's header, as it does after the closing delimiter; with this the two
// differ. The line break is for a closing delimiter that has none.
type unfinished struct {
	r    io.Reader
	tail string
	end  bool
}

func (u *unfinished) Read(p []byte) (int, error) {
	if !u.end {
		n, err := u.r.Read(p)
		if err != io.EOF {
			return n, err
		}
		u.end, u.tail = true, "\r\n"
		if n > 0 {
			return n, nil
		}
	}
	n := copy(p, u.tail)
	if u.tail = u.tail[n:]; n == 0 && len(p) > 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}

// Next returns the next part, and io.EOF after the last. What is left unread of
// the part before is skipped. A body that ends without its closing delimiter is
// io.ErrUnexpectedEOF.
func (m *MultipartReader) Next() (*IncomingPart, error) {
	p, err := m.r.NextRawPart()
	switch {
	case err == io.EOF:
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, fmt.Errorf("content: multipart body: %w", err)
	}
	in := &IncomingPart{Body: p}
	for _, name := range slices.Sorted(maps.Keys(p.Header)) {
		in.Header.AddAll(name, p.Header[name]...)
	}
	if d, ok := header.ParseDisposition(in.Header.Get("Content-Disposition")); ok {
		in.Disposition, in.Name, in.Filename = d, d.Name(), d.Filename()
	}
	return in, nil
}

// All iterates over the parts that are left. It ends after the last part or
// after an error, which comes with a nil part.
func (m *MultipartReader) All() iter.Seq2[*IncomingPart, error] {
	return func(yield func(*IncomingPart, error) bool) {
		for {
			p, err := m.Next()
			if err == io.EOF || !yield(p, err) || err != nil {
				return
			}
		}
	}
}
