package content

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// Reader returns r as a body of length bytes, -1 if that is not known. It can be
// sent once: a second Open returns [ErrConsumed]. If r is an io.Closer it is
// closed with the body; a body that is never sent leaves r open. An r that is an
// *os.File or has a WriteTo method keeps what that is good for.
func Reader(r io.Reader, contentType string, length int64) Content {
	if r == nil {
		return unsendable{errors.New("content: Reader was given no reader")}
	}
	rc, ok := r.(io.ReadCloser)
	if !ok {
		rc = io.NopCloser(r)
	}
	return Once(Opener(func(context.Context) (io.ReadCloser, error) { return rc, nil }, contentType, length))
}

// Opener returns a body that open provides anew for each attempt. length is -1
// if it is not known. open is called by several goroutines at once if the
// Content is sent by them; ctx ends with the call.
func Opener(open func(ctx context.Context) (io.ReadCloser, error), contentType string, length int64) Content {
	if open == nil {
		return unsendable{errors.New("content: Opener was given no function")}
	}
	return opener{open, contentType, max(length, -1)}
}

type opener struct {
	open        func(context.Context) (io.ReadCloser, error)
	contentType string
	length      int64
}

func (c opener) ContentType() string  { return c.contentType }
func (c opener) ContentLength() int64 { return c.length }
func (c opener) Replayable() bool     { return true }

func (c opener) Open(ctx context.Context) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	r, err := c.open(ctx)
	if err == nil && r == nil {
		err = errors.New("content: the body's reader is nil")
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Once returns c as a body that can be sent only once: it is not Replayable, and
// a second Open returns [ErrConsumed]. An Open that fails counts too.
func Once(c Content) Content {
	return keepTrailers(&once{c, new(atomic.Bool)}, c)
}

type once struct {
	Content
	opened *atomic.Bool
}

func (c *once) Replayable() bool { return false }

func (c *once) Open(ctx context.Context) (io.ReadCloser, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if c.opened.Swap(true) {
		return nil, ErrConsumed
	}
	return c.Content.Open(ctx)
}

func (c *once) Prepare(each func(Content) (Content, error)) (Content, error) {
	if c.opened.Load() {
		return nil, ErrConsumed
	}
	inner, err := each(c.Content)
	return &once{inner, c.opened}, err
}
