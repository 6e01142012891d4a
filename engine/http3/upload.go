package http3

import (
	"errors"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/outgoing"
)

// upload is one reading of the request's body by quic-go, which does so in a
// goroutine that outlives RoundTrip. The content is opened by openBody, or else by
// the first read: where the server may refuse the body.
type upload struct {
	*outgoing.Body
	x       *exchange
	trailer *outgoing.Trailer
	waited  bool // for 100 Continue
}

var errRefused = errors.New("http3: the server has answered instead of asking for the body")

// bodyFault marks an error of the request's body, as the cause of the exchange's
// end.
type bodyFault struct{ err error }

func (e *bodyFault) Error() string { return e.err.Error() }
func (e *bodyFault) Unwrap() error { return e.err }

// prepareBody makes the exchange's upload, if there is something to send.
func (x *exchange) prepareBody() {
	trailer := outgoing.TrailerOf(x.req)
	if tunnels(x.req) || trailer == nil && bodyOf(x.req) == nil {
		return
	}
	u := &upload{Body: outgoing.New(x.ctx, x.req.Body, trailer), x: x, trailer: trailer}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.upload = u
}

// openBody opens the content while nothing is sent yet. One that waits for 100
// Continue may not be wanted. One that can be opened only once waits for its
// stream if there may be none: it must then be left for others to send.
func (x *exchange) openBody() error {
	u := x.upload
	if u == nil || x.expects && !empty(x.req) || !u.Blocks() || x.only && !x.req.Body.Replayable() {
		return nil
	}
	x.timers.Stop(engine.KindPool)
	before := x.currentOp()
	x.setOp(engine.OpSend)
	err := u.Open()
	x.setOp(before)
	if err != nil && x.ctx.Err() == nil {
		return &bodyFault{err}
	}
	return err
}

// begun reports whether the content was opened, or may have been.
func (x *exchange) begun() bool { return x.upload != nil && x.upload.Begun() }

// rewind makes the body ready to be sent again, and reports whether it can be.
func (x *exchange) rewind() bool {
	x.mu.Lock()
	x.written = false
	u := x.upload
	x.mu.Unlock()
	if u == nil || !x.sent.Load() && u.Fresh() { // quic-go has not got it
		return true
	}
	if x.req.Body != nil && !x.req.Body.Replayable() || x.req.Trailer != nil {
		return false
	}
	u.Stop() // quic-go may still be at it
	x.prepareBody()
	return true
}

// Read reads from the content.
func (u *upload) Read(p []byte) (int, error) {
	if err := u.awaitContinue(); err != nil {
		return 0, err
	}
	u.x.timers.Pause()
	defer u.x.timers.Resume()
	n, err := u.Body.Read(p)
	if fault := u.Fault(); fault != nil {
		u.x.cancel(&bodyFault{fault})
		return 0, fault
	}
	return n, err
}

// awaitContinue lets the first read wait for 100 Continue.
func (u *upload) awaitContinue() error {
	x := u.x
	if !x.expects || u.waited {
		return nil
	}
	u.waited = true
	x.hook(func(t *engine.Trace) {
		if t.Wait100 != nil {
			t.Wait100()
		}
	})
	timer := time.NewTimer(x.engine.config.ExpectContinueTimeout)
	defer timer.Stop()
	select {
	case <-x.answered:
	case <-timer.C:
	case <-u.Done():
		return outgoing.ErrStopped
	case <-x.ctx.Done():
		return outgoing.ErrStopped
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.refused {
		return errRefused
	}
	return nil
}

// bodyOf returns the request's body, or nil if it has none to send or, if it is
// not in memory, to look at.
func bodyOf(req *engine.Request) content.Content {
	if empty(req) {
		if _, inMemory := content.BytesOf(req.Body); inMemory {
			return nil
		}
	}
	return req.Body
}

// empty reports whether the body says that it has no bytes, and no trailer
// follows.
func empty(req *engine.Request) bool {
	if req.Body == nil || req.Body.ContentLength() != 0 || req.Trailer != nil {
		return false
	}
	_, trailer := req.Body.(content.Trailerer)
	return !trailer
}
