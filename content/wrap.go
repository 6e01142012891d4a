package content

import (
	"context"
	"io"
	"slices"

	"github.com/godwit-go/godwit/header"
)

// WithType returns c with another Content-Type; "" sends none. All else stays:
// the reader, bytes in memory, trailers.
func WithType(c Content, contentType string) Content {
	return keepTrailers(typed{c, contentType}, c)
}

type typed struct {
	Content
	contentType string
}

var _ Byteser = typed{}

func (c typed) ContentType() string   { return c.contentType }
func (c typed) Bytes() ([]byte, bool) { return BytesOf(c.Content) }

func (c typed) Prepare(each func(Content) (Content, error)) (out Content, err error) {
	c.Content, err = each(c.Content)
	return c, err
}

// WithTrailers returns c followed by trailer fields (RFC 9110 §6.5). names are
// announced before the body; f is called once the body is at its end, in the
// goroutine that sends it, and again if the body is sent again. Trailers need a
// body of unknown length on HTTP/1.1, so ContentLength is -1.
func WithTrailers(c Content, names []string, f func() header.Header) Content {
	return &trailing{Content: unsized{c}, names: slices.Clone(names), f: f}
}

type unsized struct{ Content }

func (unsized) ContentLength() int64 { return -1 }

func (c unsized) Prepare(each func(Content) (Content, error)) (out Content, err error) {
	c.Content, err = each(c.Content)
	return c, err
}

type trailing struct {
	Content
	names []string
	f     func() header.Header
}

var (
	_ Byteser   = (*trailing)(nil)
	_ Trailerer = (*trailing)(nil)
)

func (c *trailing) TrailerNames() []string { return c.names }
func (c *trailing) Bytes() ([]byte, bool)  { return BytesOf(c.Content) }

func (c *trailing) Prepare(each func(Content) (Content, error)) (Content, error) {
	inner, err := each(c.Content)
	return &trailing{inner, c.names, c.f}, err
}

func (c *trailing) Trailers() header.Header {
	if c.f == nil {
		return header.Header{}
	}
	return c.f()
}

// keepTrailers returns outer, which wraps c, with c's trailers if it has any. A
// wrapper that always had the methods would announce trailers that nobody has.
func keepTrailers(outer, c Content) Content {
	if t, ok := c.(Trailerer); ok {
		return &trailing{outer, t.TrailerNames(), t.Trailers}
	}
	return outer
}

// preparer is a Content that can tell without opening that it cannot be opened,
// or that is made of others which may. Package godwit, which looks for the method
// too, calls it before it sends anything.
type preparer interface {
	Content
	// Prepare returns the Content with what each returns for those it is made of,
	// or why it cannot be sent.
	Prepare(each func(Content) (Content, error)) (Content, error)
}

// check looks for a reason why c cannot be opened.
func check(c Content) (Content, error) {
	if p, ok := c.(preparer); ok {
		return p.Prepare(check)
	}
	return c, nil
}

// unsendable is a body that cannot be sent.
type unsendable struct{ err error }

func (unsendable) ContentType() string                           { return "" }
func (unsendable) ContentLength() int64                          { return -1 }
func (unsendable) Replayable() bool                              { return true }
func (c unsendable) Open(context.Context) (io.ReadCloser, error) { return nil, c.err }

func (c unsendable) Prepare(func(Content) (Content, error)) (Content, error) { return nil, c.err }
