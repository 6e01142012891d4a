package cio

import (
	"io"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/transfer"
)

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*exchange)(nil)

// leave ends a Read or WriteTo, and does the work of a Close that came meanwhile.
func (x *exchange) leave() {
	if x.use.Leave() {
		x.discard()
	}
}

// Read reads from the body; it implements io.Reader. A large p is read into
// directly. The last bytes come together with io.EOF, and the connection has
// gone back to the pool by then.
func (x *exchange) Read(p []byte) (int, error) {
	if err := x.use.Enter(); err != nil {
		return 0, err
	}
	defer x.leave()
	for {
		if x.r < x.w {
			n := copy(p, x.buf[x.r:x.w])
			x.r += n
			if x.r < x.w || x.end == nil {
				return n, nil
			}
			x.giveBuffer()
			return n, onlyEOF(x.end)
		}
		if x.end != nil || len(p) == 0 {
			return 0, x.end
		}
		if len(p) < len(x.buf) && !x.fits(p) {
			x.r, x.w = 0, x.pull(x.buf)
			continue
		}
		n := x.pull(p)
		if x.end != nil {
			x.giveBuffer()
		}
		if n > 0 {
			return n, onlyEOF(x.end)
		}
	}
}

// fits reports whether p takes all of the rest of the body.
func (x *exchange) fits(p []byte) bool { return x.kind == h1.BodyLength && int64(len(p)) >= x.left }

// onlyEOF lets io.EOF come together with bytes; other errors come by the next
// Read.
func onlyEOF(end error) error {
	if end == io.EOF {
		return end
	}
	return nil
}

// WriteTo writes the rest of the body to w, by large pieces; it implements
// io.WriterTo.
func (x *exchange) WriteTo(w io.Writer) (int64, error) {
	if err := x.use.Enter(); err != nil {
		return 0, err
	}
	defer x.leave()
	var total int64
	if x.r < x.w {
		n, err := w.Write(x.buf[x.r:x.w])
		x.r += n
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	if x.end == nil {
		bulk := getBulk()
		defer putBulk(bulk)
		for x.end == nil {
			have := x.pull(bulk[:])
			if have == 0 {
				continue
			}
			n, err := w.Write(bulk[:have])
			total += int64(n)
			if err != nil {
				return total, err
			}
		}
	}
	x.giveBuffer()
	if x.end == io.EOF {
		return total, nil
	}
	return total, x.end
}

// pull reads from the connection into b and returns how many bytes of the body
// stand there then; it may be none. At the end of the body, or at an error, it
// sets x.end and releases the connection.
func (x *exchange) pull(b []byte) int {
	if x.ticket != nil {
		return x.pullPiped(b)
	}
	return x.pullOwned(b)
}

// pullOwned is pull for who has the connection at the moment.
func (x *exchange) pullOwned(b []byte) int {
	if x.kind == h1.BodyLength {
		b = b[:min(int64(len(b)), x.left)]
	}
	n, err := x.read(b)
	if err != nil {
		x.endBy(err)
		return 0
	}
	return x.decode(b[:n])
}

// decode takes the framing out of b, in place, and returns the number of the
// body's bytes.
func (x *exchange) decode(b []byte) int {
	switch x.kind {
	case h1.BodyLength:
		n := int(min(int64(len(b)), x.left))
		if x.left -= int64(n); x.left == 0 {
			x.complete(b[n:])
		}
		return n
	case h1.BodyChunked:
		n, rest, err := x.chunks.Decode(b)
		if err != nil {
			x.endBy(err)
		} else if x.chunks.Done() {
			x.complete(rest)
		}
		return n
	}
	return len(b)
}

// complete ends a body that came whole; rest is what came behind it.
func (x *exchange) complete(rest []byte) {
	x.end = io.EOF
	var why error
	if x.ticket != nil {
		x.ticket.pipe.r -= len(rest) // it is the next response
	} else if len(rest) > 0 {
		why = errSurplus
	}
	x.finish(why)
	if x.upload != nil {
		if failed := x.upload.Failure(); failed != nil {
			x.end = x.opError(engine.OpSend, failed) // the answer is to what was not meant
		}
	}
}

// endBy ends a body by an error of the connection or of its framing.
func (x *exchange) endBy(err error) {
	if err == io.EOF {
		if x.kind == h1.BodyUntilClose {
			x.end = io.EOF
			x.finish(errNotKept)
			return
		}
		err = io.ErrUnexpectedEOF
	}
	x.finish(err)
	if x.use.Closed() {
		err = transfer.ErrClosed
	}
	x.end = x.opError(engine.OpReceive, err)
}

// Close ends the use of the body; it implements io.Closer and may be called from
// any goroutine and more than once. If what is left is in the buffer already the
// connection is kept, else it is closed.
func (x *exchange) Close() error {
	switch first, read, done := x.use.Close(); {
	case !first:
	case !read:
		x.discard()
	case !done:
		// A Read waits. Since the body is closed now the connection cannot go back
		// to the pool any more, so it is ours that is closed; the Read then cleans up.
		if x.ticket != nil {
			x.ticket.stop()
			break
		}
		x.conn.shut()
		if x.upload != nil {
			x.upload.finish(false)
		}
	}
	return nil
}

// discard gives up what is left of the body. What is decoded was decoded from
// the buffer, so nothing is left there that could complete it.
func (x *exchange) discard() {
	if x.ticket != nil && !x.use.Released() {
		x.skim()
	}
	if !x.use.Released() {
		x.finish(errUnread)
	}
	if x.end == nil {
		x.end = transfer.ErrClosed
	}
	x.giveBuffer()
}
