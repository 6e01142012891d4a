package nethttp

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/recovered"
)

// request makes net/http's request.
func (x *exchange) request() (*http.Request, error) {
	req := x.req
	u := *req.URL
	u.Fragment, u.RawFragment = "", ""
	r := &http.Request{Method: req.Method, URL: &u, Host: authority(&u), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, req.Header.Len()+1)}
	for name, value := range req.Header.All() {
		if header.EqualFold(name, "Host") {
			r.Host = value
			continue
		}
		if header.EqualFold(name, "Connection") && strings.EqualFold(value, "close") {
			r.Close = true
			continue
		}
		r.Header.Add(name, value)
	}
	if !req.Header.Has("User-Agent") {
		r.Header["User-Agent"] = nil // else net/http sends its own
	}
	if req.Protocol != "" {
		if tokens := req.Header.Joined("Connection"); !strings.EqualFold(tokens, "close") && tokens != "" {
			r.Header.Set("Connection", tokens+", Upgrade")
		} else {
			r.Header.Set("Connection", "Upgrade")
		}
		r.Header.Set("Upgrade", req.Protocol)
	}
	x.attach(r)
	r = r.WithContext(x.traced())
	if x.engine.config.CustomizeRequest != nil {
		x.engine.config.CustomizeRequest(r)
	}
	return r, nil
}

// authority returns u's host without the scheme's own port (RFC 9110 §4.2.3).
func authority(u *url.URL) string {
	if port := u.Port(); port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https" {
		return strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.Host
}

// attach gives r its body and trailer.
func (x *exchange) attach(r *http.Request) {
	req := x.req
	names, trailer := req.TrailerNames, req.Trailer
	if t, ok := req.Body.(content.Trailerer); ok && trailer == nil {
		names, trailer = t.TrailerNames(), t.Trailers
	}
	if trailer != nil {
		r.Trailer = make(http.Header, len(names))
		for _, name := range names {
			r.Trailer[http.CanonicalHeaderKey(name)] = nil
		}
	}
	switch {
	case trailer != nil:
		r.ContentLength = -1
	case req.Body == nil:
		return
	default:
		r.ContentLength = req.Body.ContentLength()
		if r.ContentLength == 0 {
			r.Body = http.NoBody
			return
		}
	}
	if r.ContentLength < 0 { // else net/http sends nothing of a body that turns out to be empty
		r.TransferEncoding = []string{"chunked"}
	}
	open := func() io.ReadCloser {
		u := &upload{x: x, trailer: trailer, into: r.Trailer, done: make(chan struct{})}
		x.mu.Lock()
		x.uploads = append(x.uploads, u)
		x.mu.Unlock()
		return u
	}
	r.Body = open()
	if req.Body == nil || req.Body.Replayable() {
		r.GetBody = func() (io.ReadCloser, error) { return open(), nil }
	}
}

// upload reads the request's body for net/http, which may do so in a goroutine
// that outlives RoundTrip, and for whose end it waits before it reports an error.
// So a read returns when the exchange ends, even if the content's own read does
// not. The content is opened by openBody, or else by the first read: where the
// server may refuse the body, and where net/http sends it again.
//
// What runs of the sender's own code runs in goroutines of the engine and of
// net/http, so its panics become errors.
type upload struct {
	x       *exchange
	trailer func() header.Header
	into    http.Header
	done    chan struct{} // closed by stop
	buf     []byte        // of a content that may block; not used while it is being read into

	mu      sync.Mutex // guards what follows, not the reading itself
	source  io.ReadCloser
	stopped bool
	read    int64
	err     error // the content's fault
}

var (
	errStopped = errors.New("nethttp: the exchange is over: the request's body is not read any more")
	errRefused = errors.New("nethttp: the server has answered instead of asking for the body")
)

// Read reads from the content.
func (u *upload) Read(p []byte) (int, error) {
	x := u.x
	x.sourcing.Add(1)
	defer func() {
		x.touch()
		x.sourcing.Add(-1)
	}()
	if x.refused() {
		// net/http would send the body after all, to keep the connection. The
		// error comes when the exchange is over: RoundTrip would return it instead
		// of the answer, and then it would close the connection that the answer's
		// body is still read from.
		select {
		case <-u.done:
		case <-x.ctx.Done(): // RoundTrip waits for this read then
		}
		return 0, errRefused
	}
	n, err := u.fetch(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return 0, errStopped
	}
	u.read += int64(n)
	switch want := u.announced(); {
	case want >= 0 && (u.read > want || err == io.EOF && u.read < want):
		u.err = fmt.Errorf("the request's Content announces %d bytes and yields %d", want, u.read)
		err = u.err
	case err == io.EOF && u.trailer != nil:
		if fault := u.copyTrailer(); fault != nil {
			u.err, err = fault, fault
		}
	case err != nil && err != io.EOF:
		u.err = err
	}
	return n, err
}

// copyTrailer gives net/http the trailer fields.
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
	u.trailer, returned = nil, true
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

// openBody opens the content while nothing is sent yet, so that one which cannot
// be opened costs neither a connection nor a broken request. A body in memory
// needs no opening, and one that waits for 100 Continue may not be wanted.
func (x *exchange) openBody() error {
	if x.req.Body == nil || x.expects || len(x.uploads) == 0 {
		return nil
	}
	if _, ok := content.BytesOf(x.req.Body); ok {
		return nil
	}
	x.stopTimers(&x.pool)
	x.setOp(engine.OpSend)
	u := x.uploads[0]
	if _, err := u.aside(func() (int, error) { return u.next(nil) }); err != nil {
		u.fail(err)
		return err
	}
	x.setOp(engine.OpPool)
	return nil
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

// Close is for net/http, which calls it when it needs no more.
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

// fail notes the content's fault.
func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.err = err
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// uploadFailure returns the fault of a request body, if there was one.
func (x *exchange) uploadFailure() error {
	x.mu.Lock()
	uploads := x.uploads
	x.mu.Unlock()
	for _, u := range uploads {
		if err := u.failure(); err != nil {
			return err
		}
	}
	return nil
}

// reason returns the reason phrase.
func reason(resp *http.Response) string {
	if resp.ProtoMajor >= 2 {
		return ""
	}
	_, text, _ := strings.Cut(resp.Status, " ")
	return text
}
