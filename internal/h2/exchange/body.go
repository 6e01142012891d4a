package exchange

import (
	"errors"
	"io"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/transfer"
)

var errUnread = errors.New("the body was not read to its end")

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*Exchange)(nil)

// leave ends a Read or WriteTo, and does the work of a Close that came meanwhile.
func (x *Exchange) leave() {
	if x.use.Leave() {
		x.discard()
	}
}

// Read reads from the body; it implements io.Reader. The last bytes come together
// with io.EOF.
func (x *Exchange) Read(p []byte) (int, error) {
	if err := x.use.Enter(); err != nil {
		return 0, err
	}
	defer x.leave()
	if x.end != nil || len(p) == 0 {
		return 0, x.end
	}
	for begin := x.clock.start(); ; {
		n, err := x.stream.Read(p)
		if n > 0 {
			x.clock.Moved()
			if complete, empty := x.stream.Complete(); complete && empty {
				if x.ended(io.EOF); x.end == io.EOF {
					return n, io.EOF
				}
			}
			return n, nil
		}
		if err == nil {
			err = wait(x.stream.Wake(), x.clock.ReadDue, begin)
		}
		if err != nil {
			x.ended(err)
			return 0, x.end
		}
	}
}

// WriteTo writes the rest of the body to w as it stands in the stream's memory;
// it implements io.WriterTo.
func (x *Exchange) WriteTo(w io.Writer) (total int64, err error) {
	if err := x.use.Enter(); err != nil {
		return 0, err
	}
	defer x.leave()
	begin := x.clock.start()
	for x.end == nil {
		b, err := x.stream.Next()
		if len(b) > 0 {
			x.clock.Moved()
			n, err := w.Write(b)
			x.stream.Took(n)
			total += int64(n)
			if err != nil {
				return total, err
			}
			begin = x.clock.start()
			continue
		}
		if err == nil {
			err = wait(x.stream.Wake(), x.clock.ReadDue, begin)
		}
		if err != nil {
			x.ended(err)
		}
	}
	if x.end == io.EOF {
		return total, nil
	}
	return total, x.end
}

// ended ends the body.
func (x *Exchange) ended(err error) {
	if err == io.EOF {
		x.finish(nil)
		x.end = x.eof()
	} else {
		if x.use.Closed() {
			err = transfer.ErrClosed
		}
		x.end = x.opError(engine.OpReceive, err)
		x.finish(x.end)
	}
	x.stream.Release()
}

// eof is io.EOF, unless the request's body was at fault: then the answer is to what
// was not meant.
func (x *Exchange) eof() error {
	if x.upload != nil {
		if failed := x.upload.Failure(); failed != nil {
			return x.opError(engine.OpSend, failed)
		}
	}
	return io.EOF
}

// Close closes the body; it implements io.Closer. A stream that has not ended is
// canceled, the connection goes on.
func (x *Exchange) Close() error {
	switch first, read, _ := x.use.Close(); {
	case !first:
	case read:
		x.stream.Cancel(h2.CodeCancel) // Read returns and cleans up
	default:
		x.discard()
	}
	return nil
}

// discard ends an exchange whose body was closed.
func (x *Exchange) discard() {
	if x.end == nil {
		x.end = transfer.ErrClosed
		if complete, _ := x.stream.Complete(); complete {
			x.finish(nil)
		} else {
			x.finish(errUnread)
		}
		x.stream.Release()
	}
}
