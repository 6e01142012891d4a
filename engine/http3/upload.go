package http3

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/recovered"
)

// upload reads the request's body for quic-go, which does so in a goroutine that
// outlives RoundTrip. A read returns when the exchange ends, even if the
// content's own read does not. The content is opened by openBody, or else by the
// first read: where the server may refuse the body.
//
// What runs of the sender's own code runs in goroutines of the engine and of
// quic-go, so its panics become errors.
type upload struct {
	x       *exchange
	trailer func() header.Header
	into    http.Header // the trailer, for quic-go
	done    chan struct{}
	buf     []byte // of a content that may block; not used while it is being read into
	waited  bool   // for 100 Continue

	mu      sync.Mutex // guards what follows, not the reading itself
	source  io.ReadCloser
	stopped bool
	touched bool // quic-go has read from it
	read    int64
}

var (
	errStopped = errors.New("http3: the exchange is over: the request's body is not read any more")
	errRefused = errors.New("http3: the server has answered instead of asking for the body")
)

// bodyFault marks an error of the request's body, as the cause of the exchange's
// end.
type bodyFault struct{ err error }

func (e *bodyFault) Error() string { return e.err.Error() }
func (e *bodyFault) Unwrap() error { return e.err }

// prepareBody makes the exchange's upload, if there is something to send.
func (x *exchange) prepareBody() {
	req := x.req
	names, trailer := req.TrailerNames, req.Trailer
	if t, ok := req.Body.(content.Trailerer); ok && trailer == nil {
		names, trailer = t.TrailerNames(), t.Trailers
	}
	if tunnels(req) || trailer == nil && bodyOf(req) == nil {
		return
	}
	u := &upload{x: x, trailer: trailer, done: make(chan struct{})}
	if trailer != nil {
		u.into = make(http.Header, len(names))
		for _, name := range names {
			u.into[http.CanonicalHeaderKey(name)] = nil
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.upload = u
}

// openBody opens the content while nothing is sent yet, so that one which cannot
// be opened costs neither a connection nor a broken request. A body in memory
// needs no opening, and one that waits for 100 Continue may not be wanted. One
// that can be opened only once waits for its stream if there may be none: it must
// then be left for others to send.
func (x *exchange) openBody() error {
	u := x.upload
	if u == nil || x.req.Body == nil || x.expects || x.only && !x.req.Body.Replayable() {
		return nil
	}
	if _, ok := content.BytesOf(x.req.Body); ok {
		return nil
	}
	x.stopTimers(&x.pool)
	before := x.currentOp()
	x.setOp(engine.OpSend)
	_, err := u.aside(func() (int, error) { return u.next(nil) })
	x.setOp(before)
	if err != nil && x.ctx.Err() == nil {
		return &bodyFault{err}
	}
	return err
}

// begun reports whether the content was opened, or may be at any moment. A nil
// upload has none.
func (u *upload) begun() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.touched || u.source != nil || u.stopped
}

// rewind makes the body ready to be sent again, and reports whether it can be.
func (x *exchange) rewind() bool {
	x.mu.Lock()
	u := x.upload
	x.mu.Unlock()
	if u == nil {
		return true
	}
	u.mu.Lock()
	fresh := !u.touched && !u.stopped
	u.mu.Unlock()
	if fresh {
		return true
	}
	if x.req.Body != nil && !x.req.Body.Replayable() || x.req.Trailer != nil {
		return false
	}
	u.stop()
	x.prepareBody()
	x.mu.Lock()
	x.written = false
	x.mu.Unlock()
	return true
}

// Read reads from the content.
func (u *upload) Read(p []byte) (int, error) {
	x := u.x
	if err := u.awaitContinue(); err != nil {
		return 0, err
	}
	x.sourcing.Add(1)
	defer func() {
		x.touch()
		x.sourcing.Add(-1)
	}()
	n, err := u.fetch(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.touched = true
	if u.stopped {
		return 0, errStopped
	}
	u.read += int64(n)
	fault := err
	switch want := u.announced(); {
	case want >= 0 && (u.read > want || err == io.EOF && u.read < want):
		fault = fmt.Errorf("the request's Content announces %d bytes and yields %d", want, u.read)
	case err == io.EOF && u.trailer != nil:
		fault = u.copyTrailer()
	case err == io.EOF:
		fault = nil
	}
	if fault != nil {
		x.cancel(&bodyFault{fault})
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
	case <-u.done:
		return errStopped
	case <-x.ctx.Done():
		return errStopped
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.refused {
		return errRefused
	}
	return nil
}

// copyTrailer gives quic-go the trailer fields.
func (u *upload) copyTrailer() (err error) {
	returned := false
	defer func() {
		if !returned {
			err = recovered.Error("the request's Trailer", recover())
		}
	}()
	fields := make(http.Header)
	for name, value := range u.trailer().All() {
		fields.Add(name, value)
	}
	maps.Copy(u.into, fields)
	returned = true
	return nil
}

// announced returns the content's length, -1 if it does not say.
func (u *upload) announced() int64 {
	if u.x.req.Body == nil {
		return -1
	}
	return u.x.req.Body.ContentLength()
}

// fetch reads from the content, in another goroutine unless it is in memory.
func (u *upload) fetch(p []byte) (int, error) {
	if _, ok := content.BytesOf(u.x.req.Body); ok {
		return u.next(p)
	}
	if len(u.buf) < len(p) {
		u.buf = make([]byte, len(p))
	}
	buf := u.buf[:len(p)]
	n, err := u.aside(func() (int, error) { return u.next(buf) })
	return copy(p, buf[:n]), err
}

// aside runs f in another goroutine, and returns without it if the exchange ends
// before.
func (u *upload) aside(f func() (int, error)) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		r := result{err: recovered.ErrExited} // if f does not return
		defer func() { done <- r }()
		r.n, r.err = f()
	}()
	select {
	case r := <-done:
		return r.n, r.err
	case <-u.done:
	case <-u.x.ctx.Done():
		u.stop()
	}
	return 0, errStopped
}

// next opens the content, if that is still to be done, and reads from it; with
// nil it opens only.
func (u *upload) next(p []byte) (n int, err error) {
	returned := false
	defer func() {
		if !returned {
			n, err = 0, recovered.Error("the request's body", recover())
		}
	}()
	source, err := u.open()
	if err == nil && p != nil {
		n, err = source.Read(p)
	}
	returned = true
	return n, err
}

func (u *upload) open() (io.ReadCloser, error) {
	u.mu.Lock()
	if u.stopped || u.source != nil {
		defer u.mu.Unlock()
		if u.stopped {
			return nil, errStopped
		}
		return u.source, nil
	}
	u.mu.Unlock()
	var source io.ReadCloser = http.NoBody // trailer fields alone
	if u.x.req.Body != nil {
		var err error
		if source, err = u.x.req.Body.Open(u.x.ctx); err != nil {
			return nil, err
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped { // while it was opened
		source.Close()
		return nil, errStopped
	}
	u.source = source
	return source, nil
}

// Close is for quic-go, which calls it when it needs no more.
func (u *upload) Close() error {
	u.stop()
	return nil
}

func (u *upload) stop() {
	u.mu.Lock()
	source, stopped := u.source, u.stopped
	u.stopped = true
	if !stopped {
		close(u.done)
	}
	u.mu.Unlock()
	if source != nil && !stopped {
		source.Close()
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
