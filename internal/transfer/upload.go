package transfer

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/recovered"
)

// Upload sends a request's body in a goroutine of its own, while the owner of the
// exchange waits for the response. How bytes are framed and sent is the engine's.
//
// The source is read by this goroutine only, and closed by it. When the exchange
// ends early the owner stops the transport, which ends a write, and if a read of
// the source does not end by itself, closes the source, which ends that of a pipe
// or a socket. If even that does not help, the owner goes on: a read that ignores
// Close cannot be stopped, but there is none after it.
type Upload struct {
	Source *Source
	Length int64 // negative = unknown

	last atomic.Bool   // the last bytes are being sent
	sent atomic.Bool   // all of the body is sent
	done chan struct{} // closed when the goroutine ends

	mu    sync.Mutex // guards what follows
	ended bool       // the owner needs no more of it
	err   error      // why the body could not be sent, though the transport could
}

// How long the owner waits for the goroutine.
const (
	patienceLast  = 50 * time.Millisecond  // for the end of the last write, if the answer is complete
	patienceRead  = 10 * time.Millisecond  // for a read of the source, before that is closed
	patienceClose = 100 * time.Millisecond // after it was closed
)

// Init readies u for [Upload.Run].
func (u *Upload) Init(s *Source, length int64) {
	u.Source, u.Length, u.done = s, length, make(chan struct{})
	u.last.Store(length == 0) // the head is all there is to send
}

// Run is what the goroutine does: it sends the body by send, closes the source, and
// tells ended how that went; of a failure ended hears first. A panic in the body's
// own code becomes an error: in this goroutine it would end the program.
func (u *Upload) Run(send func() error, ended func(error)) {
	defer close(u.done)
	defer u.Source.Close()
	err := errExited // if send or Close does not return
	defer func() { ended(err) }()
	sent := guarded(send)
	if sent == nil {
		if fault := u.Source.Close(); fault != nil {
			sent = Blame(fault)
		}
	}
	err = sent
}

var errExited = Blame(recovered.ErrExited)

func guarded(send func() error) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = Blame(recovered.Error("the request's body", recover()))
		}
	}()
	err = send()
	returned = true
	return err
}

// fault is an error of the body, not of the transport.
type fault struct{ err error }

func (f *fault) Error() string { return f.err.Error() }

// Blame marks an error of send as the body's own.
func Blame(err error) error { return &fault{err} }

// Fault returns what was blamed; ok is false if err is the transport's.
func Fault(err error) (cause error, ok bool) {
	f, ok := err.(*fault)
	if !ok {
		return nil, false
	}
	return f.err, true
}

// Report tells a trace how the sending ended, unless the exchange is over. It
// returns err, or that the hook panicked, which is blamed.
func (u *Upload) Report(t *engine.Trace, mu *sync.Mutex, err error) (after error) {
	if t == nil || t.WroteRequest == nil {
		return err
	}
	told := err
	if cause, ok := Fault(err); ok {
		told = cause
	}
	mu.Lock()
	defer mu.Unlock()
	if u.Over() {
		return err
	}
	after = err
	returned := false
	defer func() {
		if !returned {
			after = Blame(recovered.Error("Trace.WroteRequest", recover()))
		}
	}()
	t.WroteRequest(told)
	returned = true
	return after
}

// Fail stops the transport for err, which the exchange then fails with: what was
// sent must not look like a whole request.
func (u *Upload) Fail(err error, stop func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.ended {
		u.err = err
		stop()
	}
}

// Failure returns what Fail was called with, nil if that was not the cause.
func (u *Upload) Failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// Over reports whether the owner needs no more of the body.
func (u *Upload) Over() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

// Last tells whether the bytes that are about to be sent are the last ones.
func (u *Upload) Last(last bool) { u.last.Store(last) }

// Complete tells that all was sent.
func (u *Upload) Complete() { u.sent.Store(true) }

// Sent reports whether all was sent.
func (u *Upload) Sent() bool { return u.sent.Load() }

// Finish ends the upload and reports whether all was sent. After it the source is
// not read any more. With wait, an upload that is about to end is given the time
// for it, and one that is sent that to see whether its source ends there too; if
// one is not complete, stop stops its transport.
func (u *Upload) Finish(wait bool, stop func()) bool {
	quiet := false
	switch {
	case wait && u.sent.Load():
		quiet = !u.within(patienceRead)
	case wait && u.last.Load():
		u.within(patienceLast)
	}
	u.mu.Lock()
	u.ended = true
	failed := u.err != nil
	u.mu.Unlock()
	complete := u.sent.Load() && !failed
	if !complete {
		stop()
	}
	if quiet || !u.within(patienceRead) {
		u.Source.Close()
		u.within(patienceClose)
	}
	return complete
}

// within waits for the goroutine to end.
func (u *Upload) within(d time.Duration) bool {
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

// Next reads the next piece of a body of known length, of which left bytes are to
// come. The error is the body's own, or ErrClosed.
func (u *Upload) Next(p []byte, left int64) (int, error) {
	n, err := u.Source.Read(p)
	switch {
	case u.Over():
		return 0, ErrClosed
	case int64(n) > left:
		return 0, Blame(ErrLong)
	case err == io.EOF && int64(n) < left:
		return 0, Blame(ErrShort)
	case err != nil && err != io.EOF:
		return 0, Blame(err)
	}
	u.last.Store(int64(n) == left)
	return n, nil
}

// NoMore checks that the source ends where its length says. All is sent by now, so
// that a source which keeps quiet holds up nothing but this goroutine.
func (u *Upload) NoMore() error {
	var b [1]byte
	for {
		n, err := u.Source.Read(b[:])
		switch {
		case n > 0:
			return Blame(ErrLong)
		case err == io.EOF || u.Over():
			return nil
		case err != nil:
			return Blame(err)
		}
	}
}

// What is wrong with a body that is not as long as it says.
var (
	ErrShort = errors.New("request body is shorter than its ContentLength")
	ErrLong  = errors.New("request body is longer than its ContentLength")
)

// Wrong returns ErrLong or ErrShort.
func Wrong(longer bool) error {
	if longer {
		return ErrLong
	}
	return ErrShort
}
