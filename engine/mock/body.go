package mock

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

// body is a response's body: bytes, or what a stream writes into a pipe.
type body struct {
	x      *exchange
	rest   []byte         // not a stream
	pipe   *io.PipeReader // a stream; nil = bytes
	writer *io.PipeWriter
	stop   func() bool // of what breaks the pipe when the call ends
	left   int64       // announced bytes still to come, -1 = unknown
	err    error       // of all further reads

	counted         bool // in openBodies
	settled, closed atomic.Bool
}

// open gives the response its body or its upgraded stream.
func (x *exchange) open(r *Response) {
	b := &x.body
	b.x = x
	status := r.status()
	if (status == 101 && x.req.Protocol != "") || (status/100 == 2 && x.req.Method == "CONNECT") {
		x.response.ContentLength = 0
		b.settled.Store(true)
		x.release()
		x.response.Upgraded = x.engine.connect(r.upgrade)
		return
	}
	b.left = r.announced()
	switch {
	case r.bodyless(x.req.Method):
		b.left = 0
		if status < 200 || status == 204 {
			x.response.ContentLength = 0
		}
	case r.stream != nil:
		b.count()
		b.start(r.stream)
		return
	default:
		b.rest = r.Body
		if b.left >= 0 {
			b.rest = b.rest[:min(b.left, int64(len(b.rest)))]
		}
	}
	if b.left == 0 {
		b.settle(nil)
		return
	}
	b.count()
	if x.call != nil && x.upload == nil {
		// What is left is a look at the caller's context with each read.
		x.cancel(nil)
		if x.deadline != nil {
			x.deadline.Stop()
		}
	}
}

func (b *body) count() {
	b.counted = true
	b.x.engine.openBodies.Add(1)
}

// start runs the stream.
func (b *body) start(stream func(context.Context, io.Writer) error) {
	x := b.x
	b.pipe, b.writer = io.Pipe()
	b.stop = context.AfterFunc(x.call, func() { b.writer.CloseWithError(ctxerr.Of(x.call)) })
	writer := b.writer
	x.engine.shared.Start(func() {
		err := errors.New("mock: the stream's function ended its goroutine")
		defer func() { writer.CloseWithError(err) }()
		err = stream(x.call, writer)
	})
}

var (
	errBodyClosed  = errors.New("mock: read of a closed response body")
	errClosedEarly = errors.New("mock: the body was closed before its end")
)

// Read reads the body within context, deadline and idle timeout.
func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.closed.Load():
		return 0, errBodyClosed
	case b.err != nil:
		return 0, b.err
	case len(p) == 0:
		return 0, nil
	case b.settled.Load():
		return 0, io.EOF
	}
	if err := b.x.bodyEnded(); err != nil {
		return 0, b.fail(err)
	}
	if b.left >= 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.source(p)
	if b.left >= 0 {
		b.left -= int64(n)
	}
	switch {
	case b.closed.Load():
		return 0, errBodyClosed
	case b.left == 0:
		return n, b.end()
	case err == io.EOF && b.left > 0:
		return n, b.fail(io.ErrUnexpectedEOF)
	case err == io.EOF:
		return n, b.end()
	case err != nil:
		return n, b.fail(err)
	}
	return n, nil
}

// bodyEnded is ended, but for a deadline that ended with the head.
func (x *exchange) bodyEnded() error {
	if x.req.HeadOnly {
		return ctxerr.Of(x.ctx)
	}
	return x.ended()
}

func (b *body) source(p []byte) (int, error) {
	if b.pipe == nil {
		n := copy(p, b.rest)
		b.rest = b.rest[n:]
		if len(b.rest) == 0 {
			return n, io.EOF
		}
		return n, nil
	}
	if limit := b.x.inline.timeouts.Idle; engine.Limited(limit) {
		timer := time.AfterFunc(limit, func() {
			b.writer.CloseWithError(&engine.TimeoutError{Kind: engine.KindIdle, Limit: limit})
		})
		defer timer.Stop()
	}
	for {
		n, err := b.pipe.Read(p)
		if ended := ctxerr.Of(b.x.call); err != nil && ended != nil {
			err = ended // the stream's function may have said it differently
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// end is the good end: with io.EOF, at once or with the next read.
func (b *body) end() error {
	b.settle(nil)
	b.err = io.EOF
	return io.EOF
}

func (b *body) fail(err error) error {
	b.err = asOpError(err)
	b.settle(b.err)
	return b.err
}

// settle gives back what the exchange holds, once; err says why its connection
// would not be used again.
func (b *body) settle(err error) {
	if b.settled.Swap(true) {
		return
	}
	if b.counted {
		b.x.engine.openBodies.Add(-1)
	}
	if b.stop != nil {
		b.stop()
		b.pipe.CloseWithError(errBodyClosed)
	}
	b.x.release()
	if t := b.x.req.Trace; t != nil && t.PutIdle != nil {
		t.PutIdle(err)
	}
}

// Close ends the exchange.
func (b *body) Close() error {
	if !b.closed.Swap(true) {
		b.settle(errClosedEarly)
	}
	return nil
}

// trailer returns the trailer fields once the body is at its end.
func (r *Response) trailer() header.Header { return r.Trailer.View() }
