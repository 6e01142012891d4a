package exchange

import (
	"errors"
	"io"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
)

// The bits of Exchange.state. Who sets busy or closed first decides who cleans
// up: Close itself, or the Read that it came in between.
const (
	stateBusy     = 1 << iota // a Read or WriteTo is running
	stateClosed               // Close was called
	stateReleased             // the stream's place is free, or will be
)

var (
	errBodyClosed = errors.New("read from a closed response body")
	errBodyInUse  = errors.New("response body is read by two goroutines at once")
	errUnread     = errors.New("the body was not read to its end")
)

var _ interface {
	io.ReadCloser
	io.WriterTo
} = (*Exchange)(nil)

// enter begins a Read or WriteTo.
func (x *Exchange) enter() error {
	old := x.state.Or(stateBusy)
	switch {
	case old&stateBusy != 0:
		return errBodyInUse
	case old&stateClosed != 0:
		x.state.And(^uint32(stateBusy))
		return errBodyClosed
	}
	return nil
}

// leave ends it, and does the work of a Close that came meanwhile.
func (x *Exchange) leave() {
	if x.state.And(^uint32(stateBusy))&stateClosed != 0 {
		x.discard()
	}
}

// Read reads from the body; it implements io.Reader. The last bytes come together
// with io.EOF.
func (x *Exchange) Read(p []byte) (int, error) {
	if err := x.enter(); err != nil {
		return 0, err
	}
	defer x.leave()
	if x.end != nil || len(p) == 0 {
		return 0, x.end
	}
	for begin := x.clock.start(); ; {
		n, err := x.stream.Read(p)
		if n > 0 {
			x.clock.moved()
			if complete, empty := x.stream.Complete(); complete && empty {
				x.ended(io.EOF)
				return n, io.EOF
			}
			return n, nil
		}
		if err == nil {
			err = wait(x.stream.Wake(), x.clock.readDue, begin)
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
	if err := x.enter(); err != nil {
		return 0, err
	}
	defer x.leave()
	begin := x.clock.start()
	for x.end == nil {
		b, err := x.stream.Next()
		if len(b) > 0 {
			x.clock.moved()
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
			err = wait(x.stream.Wake(), x.clock.readDue, begin)
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
		x.end = io.EOF
	} else {
		if x.state.Load()&stateClosed != 0 {
			err = errBodyClosed
		}
		x.end = x.opError(engine.OpReceive, err)
		x.finish(x.end)
	}
	x.stream.Release()
}

// Close closes the body; it implements io.Closer. A stream that has not ended is
// canceled, the connection goes on.
func (x *Exchange) Close() error {
	old := x.state.Or(stateClosed)
	switch {
	case old&stateClosed != 0:
	case old&stateBusy != 0:
		x.stream.Cancel(h2.CodeCancel) // Read returns and cleans up
	default:
		x.discard()
	}
	return nil
}

// discard ends an exchange whose body was closed.
func (x *Exchange) discard() {
	if x.end == nil {
		x.end = errBodyClosed
		if complete, _ := x.stream.Complete(); complete {
			x.finish(nil)
		} else {
			x.finish(errUnread)
		}
		x.stream.Release()
	}
}
