package exchange

import (
	"errors"
	"io"
	"sync"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/transfer"
)

// upload sends a request's body in a goroutine of its own. When the exchange ends
// early the owner cancels the stream, which ends a wait for the window.
type upload struct {
	transfer.Upload
	x *Exchange
}

func (x *Exchange) startUpload(s *transfer.Source, length int64) {
	u := &upload{x: x}
	u.Init(s, length)
	x.upload = u
	x.stream.Upload()
	x.options.Start(u.run)
}

func (u *upload) run() { u.Run(u.send, u.end) }

func (u *upload) send() error {
	switch {
	case u.Length >= 0 && u.Source.InMemory:
		return u.write(u.Source.Data, true)
	case u.Length >= 0:
		return u.exactly()
	}
	return u.toTheEnd()
}

// end reports how the sending ended.
func (u *upload) end(err error) {
	u.x.stream.EndUpload()
	err = u.Report(u.x.req.Trace, &u.x.traceMu, err)
	if cause, ok := transfer.Fault(err); ok {
		u.Fail(wrap(engine.OpSend, cause), u.cancel)
	} else if _, ok := err.(*engine.TimeoutError); ok {
		u.Fail(wrap(engine.OpSend, err), u.cancel)
	}
	// Otherwise the owner hears of it from the stream; and the server may have
	// answered before it refused the rest.
}

func (u *upload) cancel() { u.x.stream.Cancel(h2.CodeCancel) }

// complete tells that the last byte was sent.
func (u *upload) complete() {
	u.Complete()
	if u.x.clock.Sent() {
		u.x.stream.Nudge() // the owner's wait has an end now
	}
}

// finish ends the upload and reports whether all was sent; see
// transfer.Upload.Finish.
func (u *upload) finish(wait bool) bool { return u.Finish(wait, u.cancel) }

// write sends all of p, and with end the end of the body.
func (u *upload) write(p []byte, end bool) error {
	x := u.x
	begin := x.clock.start()
	for {
		n, err := x.stream.Send(p, end)
		if err != nil {
			return err
		}
		if n > 0 {
			x.clock.Moved()
			begin = x.clock.start()
		}
		if p = p[n:]; len(p) == 0 {
			if end {
				u.complete()
			}
			return nil
		}
		if n > 0 {
			continue // Room is told of to who got none
		}
		if err := wait(x.stream.Room(), x.clock.WriteDue, begin); err != nil {
			return err
		}
		if u.Over() {
			return transfer.ErrClosed
		}
	}
}

// toTheEnd sends a body of unknown length: what each Read brings goes out at
// once.
func (u *upload) toTheEnd() error {
	bulk := getBulk()
	defer putBulk(bulk)
	for {
		n, err := u.Source.Read(bulk[:])
		switch {
		case u.Over():
			return transfer.ErrClosed
		case err != nil && err != io.EOF:
			return transfer.Blame(err)
		}
		names := err == io.EOF && len(u.x.trailerNames()) > 0
		u.Last(err == io.EOF)
		if n > 0 || err == io.EOF && !names {
			if err := u.write(bulk[:n], err == io.EOF && !names); err != nil {
				return err
			}
		}
		if names {
			return u.sendTrailers()
		}
		if err == io.EOF {
			return nil
		}
	}
}

func (u *upload) sendTrailers() error {
	h := u.x.trailers()
	if err := h2.CheckTrailer(h); err != nil {
		return transfer.Blame(err)
	}
	if h.Len() == 0 {
		return u.write(nil, true)
	}
	err := u.x.stream.SendTrailers(h)
	if _, ok := errors.AsType[*h2.TooLargeError](err); ok {
		return transfer.Blame(err)
	}
	if err != nil {
		return err
	}
	u.complete()
	return nil
}

// exactly sends a body of known length.
func (u *upload) exactly() error {
	bulk := getBulk()
	defer putBulk(bulk)
	if u.Length == 0 {
		if err := u.write(nil, true); err != nil {
			return err
		}
	}
	for left := u.Length; left > 0; {
		n, err := u.Next(bulk[:], left)
		if err != nil {
			return err
		}
		left -= int64(n)
		if err := u.write(bulk[:n], left == 0); err != nil {
			return err
		}
	}
	return u.NoMore()
}

// bulkSize is the size of the buffers that bodies are copied through.
const bulkSize = 64 << 10

var bulkBuffers = sync.Pool{New: func() any { return new([bulkSize]byte) }}

func getBulk() *[bulkSize]byte  { return bulkBuffers.Get().(*[bulkSize]byte) }
func putBulk(b *[bulkSize]byte) { bulkBuffers.Put(b) }
