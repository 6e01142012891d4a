package mock

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

// upload is a request body on its way: a reader that opens the content with the
// first read, records what passes, and reads no more once it is closed.
type upload struct {
	x *exchange

	mu     sync.Mutex // guards what follows, not the reading itself
	source io.ReadCloser
	state  uploadState
	err    error // the sender's fault
	read   int64
}

type uploadState int

const (
	uploadUnopened uploadState = iota
	uploadOpen
	uploadDone // at its end, failed or closed
)

// Read reads from the content. Its errors are the content's, or those of the
// hooks.
func (u *upload) Read(p []byte) (int, error) {
	source, err := u.open()
	if err != nil {
		return 0, err
	}
	idle := u.x.idle
	running := idle != nil && idle.Stop() // a slow source is no idle connection
	n, err := source.Read(p)
	if running {
		idle.Reset(u.x.inline.timeouts.Idle)
	}
	u.mu.Lock()
	closed := u.state == uploadDone
	u.read += int64(n)
	read := u.read
	u.mu.Unlock()
	if closed {
		return 0, errUploadClosed
	}
	u.x.seen.keep(p[:n])
	if want := u.announced(); want >= 0 && (read > want || (err == io.EOF && read < want)) {
		err = fmt.Errorf("the request's Content announces %d bytes and yields %d", want, read)
	}
	if err != nil {
		u.finish(err)
	}
	return n, err
}

// announced returns the length that the content announces, -1 = none.
func (u *upload) announced() int64 {
	if u.x.req.Body == nil {
		return -1
	}
	return u.x.req.Body.ContentLength()
}

var errUploadClosed = errors.New("mock: the exchange is over: the request's body is not read any more")

// open returns the content's reader. Opening it for the first time stands for
// the server's 100 Continue, if the request waits for that.
func (u *upload) open() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch u.state {
	case uploadOpen:
		return u.source, nil
	case uploadDone:
		if u.err != nil {
			return nil, u.err
		}
		return nil, io.EOF
	}
	if expectsContinue(u.x.req) {
		if err := u.x.inform(informational{100, header.Header{}}); err != nil {
			u.state, u.err = uploadDone, err
			return nil, err
		}
	}
	if u.x.req.Body == nil {
		u.state, u.source = uploadOpen, io.NopCloser(eof{})
		return u.source, nil
	}
	u.mu.Unlock() // it may take its time
	source, err := u.x.req.Body.Open(u.x.call)
	u.mu.Lock()
	switch {
	case err != nil:
		u.state, u.err = uploadDone, err
		return nil, err
	case u.state == uploadDone: // closed meanwhile
		source.Close()
		return nil, errUploadClosed
	}
	u.source, u.state = source, uploadOpen
	return source, nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// finish ends the reading by what the content said: io.EOF or an error.
func (u *upload) finish(err error) {
	sent := err
	if err == io.EOF {
		sent = nil
		req := u.x.req
		if req.Trailer != nil {
			u.x.seen.keepTrailer(req.Trailer())
		} else if t, ok := req.Body.(content.Trailerer); ok {
			u.x.seen.keepTrailer(t.Trailers())
		}
	}
	u.mu.Lock()
	u.err = sent
	u.mu.Unlock()
	u.close()
	if t := u.x.req.Trace; t != nil && t.WroteRequest != nil {
		t.WroteRequest(sent)
	}
}

// close ends the reading, once.
func (u *upload) close() {
	u.mu.Lock()
	source := u.source
	u.source, u.state = nil, uploadDone
	u.mu.Unlock()
	if source != nil {
		source.Close()
	}
}

// failure returns the sender's fault as Execute returns it, or nil.
func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		return nil
	}
	if _, ok := errors.AsType[*engine.OpError](u.err); ok {
		return u.err
	}
	return &engine.OpError{Op: engine.OpSend, Err: u.err, Sent: true}
}

// readAll reads the body to its end, but no longer than the call lasts.
func (u *upload) readAll() error {
	done := make(chan struct{})
	u.x.engine.shared.Start(func() {
		defer close(done)
		buf := make([]byte, 8<<10)
		for {
			if _, err := u.Read(buf); err != nil {
				return
			}
		}
	})
	select {
	case <-done:
	case <-u.x.call.Done():
	}
	if err := ctxerr.Of(u.x.call); err != nil {
		return &engine.OpError{Op: engine.OpSend, Err: err, Sent: true}
	}
	return u.failure()
}

// looksAtBodies reports whether a rule may want the body before it is chosen.
func (e *Engine) looksAtBodies() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.bodyNeeded
}
