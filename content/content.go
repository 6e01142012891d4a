// Package content holds the outgoing bodies of HTTP requests: text, bytes,
// files, forms, multipart, readers and writers, each a [Content].
package content

import (
	"context"
	"io"

	"github.com/godwit-go/godwit/header"
)

// Content is an outgoing body. A Content may be sent by several goroutines at
// once if it is Replayable.
//
// A Content may also implement [Byteser], [Trailerer] or io.WriterTo; the
// reader that Open returns may implement io.WriterTo or be an *os.File, which
// lets an engine hand the bytes to the kernel without copying them.
type Content interface {
	// ContentType returns the media type for the Content-Type field; "" leaves
	// the field out.
	ContentType() string

	// ContentLength returns the number of bytes that Open's reader yields, or
	// -1 if that is not known before.
	ContentLength() int64

	// Open returns the body from its start. The caller closes the reader. It is
	// called once an attempt; a second call on a Content that is not Replayable
	// returns [ErrConsumed]. ctx ends when the call does.
	Open(ctx context.Context) (io.ReadCloser, error)

	// Replayable reports whether Open can be called again, so that the request
	// can be repeated.
	Replayable() bool
}

// Byteser is a Content that is in memory already.
type Byteser interface {
	Content
	// Bytes returns the whole body; the caller must not change it. ok is false
	// if it is not in memory after all (a wrapper around something that is not).
	Bytes() (b []byte, ok bool)
}

// Trailerer is a Content that ends with trailer fields (RFC 9110 §6.5).
type Trailerer interface {
	Content
	// TrailerNames returns the names to announce in the Trailer field.
	TrailerNames() []string
	// Trailers returns the fields; it is called when the reader has returned io.EOF.
	Trailers() header.Header
}

// BytesOf returns the bytes of a body that is in memory already.
func BytesOf(c Content) ([]byte, bool) {
	if b, ok := c.(Byteser); ok {
		return b.Bytes()
	}
	return nil, false
}
