package content

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// ErrConsumed is the error of a second Open on a Content that can be sent only
// once.
var ErrConsumed = errors.New("content: body was sent already and cannot be sent again; use content.Opener or content.Bytes for one that can")

// Empty is a body of zero bytes without a Content-Type.
var Empty = Bytes(nil, "")

// Bytes returns b as a body. It keeps b, which must not change until the last
// request with it is done. Replayable.
func Bytes(b []byte, contentType string) Content { return inMemory{b, contentType} }

// Text returns s as text/plain; charset=utf-8.
func Text(s string) Content { return TextAs(s, "text/plain; charset=utf-8") }

// TextAs returns the bytes of s with a Content-Type of your own. It does not
// convert s to the charset that this may name.
func TextAs(s, contentType string) Content { return Bytes([]byte(s), contentType) }

type inMemory struct {
	b           []byte
	contentType string
}

var _ Byteser = inMemory{}

func (c inMemory) ContentType() string   { return c.contentType }
func (c inMemory) ContentLength() int64  { return int64(len(c.b)) }
func (c inMemory) Replayable() bool      { return true }
func (c inMemory) Bytes() ([]byte, bool) { return c.b, true }

func (c inMemory) Open(ctx context.Context) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	r := &bytesReader{}
	r.Reset(c.b)
	return r, nil
}

type bytesReader struct{ bytes.Reader }

func (*bytesReader) Close() error { return nil }
