package cio

import (
	"cmp"
	"errors"
	"io"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/transfer"
)

// answer is what Execute returns: the response, and its Body in the same object.
// It is never used again, because who has the Body may call Close whenever he
// likes.
type answer struct {
	engine.Response
	use transfer.Use
	x   *exchange // nil = it is over, and another's now; changed by who has the use
}

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*answer)(nil)

// Read reads from the body; it implements io.Reader. A large p is read into
// directly. The last bytes come together with io.EOF, and the connection has
// gone back to the pool by then.
func (a *answer) Read(p []byte) (int, error) {
	if err := a.use.Enter(); err != nil {
		return 0, err
	}
	defer a.leave()
	if a.x == nil {
		return 0, io.EOF
	}
	return a.x.readBody(p)
}

// WriteTo writes the rest of the body to w, by large pieces; it implements
// io.WriterTo.
func (a *answer) WriteTo(w io.Writer) (int64, error) {
	if err := a.use.Enter(); err != nil {
		return 0, err
	}
	defer a.leave()
	if a.x == nil {
		return 0, nil
	}
	return a.x.writeBody(w)
}

// leave ends a Read or WriteTo, and does the work of a Close that came meanwhile.
func (a *answer) leave() {
	if a.use.Leave() && a.x != nil {
		a.x.discard()
	}
}

// Close ends the use of the body; it implements io.Closer and may be called from
// any goroutine and more than once. If what is left is in the buffer already the
// connection is kept, else it is closed.
func (a *answer) Close() error {
	switch first, read, done := a.use.Close(); {
	case !first:
	case !read:
		if a.x != nil {
			a.x.discard()
		}
	case !done:
		// A Read waits. Since the body is closed now the connection cannot go back
		// to the pool any more, so it is ours that is closed; the Read then cleans up.
		a.x.breakOff()
	}
	return nil
}

// readBody is Read for who has the use of the body.
func (x *exchange) readBody(p []byte) (int, error) {
	for x.r == x.w {
		switch {
		case x.end != nil:
			end := x.end
			x.over()
			return 0, end
		case len(p) == 0:
			return 0, nil
		case len(p) < len(x.buf) && !x.fits(p):
			x.r, x.w = 0, x.pull(x.buf)
		default:
			if n := x.pull(p); n > 0 {
				return n, x.atEnd()
			}
		}
	}
	n := copy(p, x.buf[x.r:x.w])
	x.r += n
	return n, x.atEnd()
}

// fits reports whether p takes all of the rest of the body.
func (x *exchange) fits(p []byte) bool { return x.kind == h1.BodyLength && int64(len(p)) >= x.left }

// atEnd returns what comes together with the bytes that were just read: io.EOF if
// they are the last. Other errors come by the next Read.
func (x *exchange) atEnd() error {
	if !x.ended() {
		return nil
	}
	end := x.end
	x.over()
	if end != io.EOF {
		return nil
	}
	return end
}

// writeBody is WriteTo for who has the use of the body.
func (x *exchange) writeBody(w io.Writer) (int64, error) {
	var total int64
	if x.r < x.w {
		n, err := give(w, x.buf[x.r:x.w])
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
			n, err := give(w, bulk[:have])
			total += int64(n)
			if err != nil {
				return total, err
			}
		}
	}
	end := x.end
	x.over()
	if end == io.EOF {
		end = nil
	}
	return total, end
}

// give writes b to w, and refuses what a Writer cannot have taken.
func give(w io.Writer, b []byte) (int, error) {
	n, err := w.Write(b)
	switch {
	case n < 0 || n > len(b):
		return 0, cmp.Or(err, errInvalidWrite)
	case n < len(b):
		err = cmp.Or(err, io.ErrShortWrite)
	}
	return n, err
}

var errInvalidWrite = errors.New("the Writer returned an impossible count")

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
	if x.answer.use.Closed() {
		err = transfer.ErrClosed
	}
	x.end = x.opError(engine.OpReceive, err)
}

// breakOff makes a read that waits end.
func (x *exchange) breakOff() {
	if x.ticket != nil {
		x.ticket.stop()
		return
	}
	x.conn.shut()
	if x.upload != nil {
		x.upload.finish(false)
	}
}

// discard gives up what is left of the body. What is decoded was decoded from
// the buffer, so nothing is left there that could complete it.
func (x *exchange) discard() {
	use := &x.answer.use
	if x.ticket != nil && !use.Released() {
		x.skim()
	}
	if !use.Released() {
		x.finish(errUnread)
	}
	if x.end == nil {
		x.end = transfer.ErrClosed
	}
	x.over()
}
