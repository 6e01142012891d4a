package exchange

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/recovered"
)

// upload sends a request's body in a goroutine of its own, while the owner of
// the exchange waits for the response.
//
// The source is read by this goroutine only, and closed by it. When the exchange
// ends early the owner cancels the stream, which ends a wait for the window, and
// if a read of the source does not end by itself, closes the source, which ends
// that of a pipe or a socket. If even that does not help, the owner goes on: a
// read that ignores Close cannot be stopped, but there is none after it.
type upload struct {
	x      *Exchange
	source *source
	length int64 // -1 = unknown

	last atomic.Bool   // the last bytes are being sent
	sent atomic.Bool   // all of the body is sent
	done chan struct{} // closed when the goroutine ends

	mu    sync.Mutex // guards what follows
	ended bool       // the owner needs no more of it
	err   error      // why the body could not be sent, though the stream could
}

// How long the owner waits for the goroutine.
const (
	patienceLast  = 50 * time.Millisecond  // for the end of the last write, if the answer is complete
	patienceRead  = 10 * time.Millisecond  // for a read of the source, before that is closed
	patienceClose = 100 * time.Millisecond // after it was closed
)

func (x *Exchange) startUpload(s *source, length int64) {
	u := &upload{x: x, source: s, length: length, done: make(chan struct{})}
	u.last.Store(length == 0)
	x.upload = u
	x.stream.Upload()
	x.options.Start(u.run)
}

func (u *upload) run() {
	defer close(u.done)
	defer u.x.stream.EndUpload()
	defer u.source.Close()
	err := error(&sourceError{recovered.ErrExited}) // if send does not return
	defer func() { u.end(err) }()
	err = u.send()
}

// send sends the body. A panic in the body's own code becomes an error: in this
// goroutine it would end the program.
func (u *upload) send() (err error) {
	returned := false
	defer func() {
		if !returned {
			err = &sourceError{recovered.Error("the request's body", recover())}
		}
	}()
	switch {
	case u.length >= 0 && u.source.inMemory:
		err = u.write(u.source.data, true)
	case u.length >= 0:
		err = u.exactly()
	default:
		err = u.toTheEnd()
	}
	returned = true
	return err
}

// end reports how the sending ended.
func (u *upload) end(err error) {
	u.trace(err)
	if e, ok := err.(*sourceError); ok {
		u.fail(e.err)
	} else if _, ok := err.(*engine.TimeoutError); ok {
		u.fail(err)
	}
	// Otherwise the owner hears of it from the stream; and the server may have
	// answered before it refused the rest.
}

// sourceError is an error that is not the connection's.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

// trace reports the end of the request.
func (u *upload) trace(err error) {
	t := u.x.req.Trace
	if t == nil || t.WroteRequest == nil {
		return
	}
	if e, ok := err.(*sourceError); ok {
		err = e.err
	}
	u.x.traceMu.Lock()
	defer u.x.traceMu.Unlock()
	if !u.over() {
		t.WroteRequest(err)
	}
}

// fail breaks the exchange: what was sent must not look like a whole request.
func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended {
		u.err = wrap(engine.OpSend, err)
		u.x.stream.Cancel(h2.CodeCancel)
	}
}

// failure returns why the body could not be sent, nil if that was not the cause.
func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *upload) over() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

// complete tells that the last byte was sent.
func (u *upload) complete() {
	u.sent.Store(true)
	if u.x.clock.requestSent() {
		u.x.stream.Nudge() // the owner's wait has an end now
	}
}

// finish ends the upload and reports whether all was sent. After it the source
// is not read any more. With wait, an upload that is about to end is given the
// time for it; the stream of one that is not complete is canceled.
func (u *upload) finish(wait bool) bool {
	if wait && u.last.Load() && !u.sent.Load() {
		u.within(patienceLast)
	}
	u.mu.Lock()
	u.ended = true
	failed := u.err != nil
	u.mu.Unlock()
	complete := u.sent.Load() && !failed
	if !complete {
		u.x.stream.Cancel(h2.CodeCancel)
	}
	if !u.within(patienceRead) {
		u.source.Close()
		u.within(patienceClose)
	}
	return complete
}

// within waits for the goroutine to end.
func (u *upload) within(d time.Duration) bool {
	select {
	case <-u.done:
		return true
	default:
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-u.done:
		return true
	case <-timer.C:
		return false
	}
}

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
			x.clock.moved()
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
		limit := func(begin time.Time) due { return x.clock.total().or(x.clock.pause(begin)) }
		if err := wait(x.stream.Room(), limit, begin); err != nil {
			return err
		}
		if u.over() {
			return errBodyClosed
		}
	}
}

// toTheEnd sends a body of unknown length: what each Read brings goes out at
// once.
func (u *upload) toTheEnd() error {
	bulk := getBulk()
	defer putBulk(bulk)
	for {
		n, err := u.source.Read(bulk[:])
		switch {
		case u.over():
			return errBodyClosed
		case err != nil && err != io.EOF:
			return &sourceError{err}
		}
		names := err == io.EOF && len(u.x.trailerNames()) > 0
		u.last.Store(err == io.EOF)
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
		return &sourceError{err}
	}
	if h.Len() == 0 {
		return u.write(nil, true)
	}
	if err := u.x.stream.SendTrailers(h); err != nil {
		return err
	}
	u.complete()
	return nil
}

// exactly sends a body of known length.
func (u *upload) exactly() error {
	bulk := getBulk()
	defer putBulk(bulk)
	if u.length == 0 {
		if err := u.write(nil, true); err != nil {
			return err
		}
	}
	for left := u.length; left > 0; {
		n, err := u.source.Read(bulk[:])
		switch {
		case u.over():
			return errBodyClosed
		case int64(n) > left:
			return &sourceError{errLongBody}
		case err == io.EOF && int64(n) < left:
			return &sourceError{errShortBody}
		case err != nil && err != io.EOF:
			return &sourceError{err}
		}
		left -= int64(n)
		u.last.Store(left == 0)
		if err := u.write(bulk[:n], left == 0); err != nil {
			return err
		}
	}
	return u.noMore()
}

// noMore checks that the source ends where its length says. All is sent by now,
// so that a source which keeps quiet holds up nothing but this goroutine.
func (u *upload) noMore() error {
	var b [1]byte
	for {
		n, err := u.source.Read(b[:])
		switch {
		case n > 0:
			return &sourceError{errLongBody}
		case err == io.EOF || u.over():
			return nil
		case err != nil:
			return &sourceError{err}
		}
	}
}

// source is an opened body. Close may be called by two goroutines; it closes
// once.
type source struct {
	data     []byte
	inMemory bool
	reader   io.ReadCloser
	once     sync.Once
}

// Read reads from a body that is not in memory, or whose length is not told.
func (s *source) Read(p []byte) (int, error) {
	if !s.inMemory {
		return s.reader.Read(p)
	}
	n := copy(p, s.data)
	if s.data = s.data[n:]; len(s.data) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// Close closes the body. Its error says nothing about the request.
func (s *source) Close() error {
	s.once.Do(func() {
		if s.reader != nil {
			s.reader.Close()
		}
	})
	return nil
}

// bulkSize is the size of the buffers that bodies are copied through.
const bulkSize = 64 << 10

var bulkBuffers = sync.Pool{New: func() any { return new([bulkSize]byte) }}

func getBulk() *[bulkSize]byte  { return bulkBuffers.Get().(*[bulkSize]byte) }
func putBulk(b *[bulkSize]byte) { bulkBuffers.Put(b) }
