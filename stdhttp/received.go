package stdhttp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/recovered"
)

// serverRequest makes the request that the handler gets, as http.Server would
// have parsed it.
func (x *serving) serverRequest() (*http.Request, error) {
	req := x.req
	target := &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery, ForceQuery: req.URL.ForceQuery}
	uri := target.RequestURI()
	if req.Method == http.MethodConnect {
		uri, target = req.URL.Host, &url.URL{Host: req.URL.Host}
	} else if target.Path == "" {
		target.Path = "/"
	}
	r := &http.Request{
		Method: req.Method, URL: target, RequestURI: uri, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: canonical(req.Header), Host: req.URL.Host, RemoteAddr: inProcess{}.String(), Body: http.NoBody,
	}
	if host := r.Header["Host"]; host != nil {
		r.Host = host[0]
		delete(r.Header, "Host")
	}
	r.Close = httpHas(r.Header["Connection"], "close")
	if req.Protocol != "" {
		r.Header["Upgrade"] = []string{req.Protocol}
		r.Header["Connection"] = append(slices.Clip(r.Header["Connection"]), "Upgrade")
	}
	if req.URL.Scheme == "https" {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: req.URL.Hostname()}
	}
	u := x.upload
	switch u.length {
	case -1:
		r.TransferEncoding = []string{"chunked"}
	case 0:
		if req.Method == "POST" || req.Method == "PUT" || req.Method == "PATCH" {
			r.Header["Content-Length"] = []string{"0"}
		}
	default:
		r.Header["Content-Length"] = []string{strconv.FormatInt(u.length, 10)}
	}
	r.ContentLength = u.length
	if u.content != nil || u.trailer != nil {
		r.Body = u
	}
	if u.trailer != nil {
		r.Trailer = make(http.Header)
		for _, name := range u.names {
			if !header.ValidName(name) {
				return nil, fmt.Errorf("trailer field name %q is no token", name)
			}
			r.Trailer[http.CanonicalHeaderKey(name)] = nil
		}
		u.into = r.Trailer
	}
	return r.WithContext(x.handling), nil
}

// received is the request's body as the handler reads it.
type received struct {
	serving *serving
	content content.Content
	length  int64
	names   []string
	trailer func() header.Header
	into    http.Header

	reading sync.Mutex // one Read at a time

	mu        sync.Mutex // guards what follows
	expecting bool       // the body waits for the handler's first read
	source    io.ReadCloser
	read      int64
	ended     bool  // the client has nothing more to send
	err       error // of all further reads
	fault     error // the sender's
	deadline  *time.Timer
}

func newReceived(x *serving) *received {
	u := &received{serving: x, content: x.req.Body, names: x.req.TrailerNames, trailer: x.req.Trailer}
	if t, ok := u.content.(content.Trailerer); ok && u.trailer == nil {
		u.names, u.trailer = t.TrailerNames(), t.Trailers
	}
	if u.content != nil {
		u.length = u.content.ContentLength()
		u.expecting = strings.EqualFold(x.req.Header.Get("Expect"), "100-continue")
	}
	if u.trailer != nil {
		u.length = -1
	}
	return u
}

// prepare opens the body, so that one which cannot be opened costs nothing. One
// that waits for leave is opened by the first read.
func (u *received) prepare() error {
	if u.content == nil || u.expecting {
		return nil
	}
	if _, ok := content.BytesOf(u.content); ok {
		return u.open()
	}
	opened := make(chan error, 1)
	go func() { // it may take its time, which the exchange's end does not wait for
		err := recovered.ErrExited
		defer func() { opened <- err }()
		err = u.open()
	}()
	ctx := u.serving.ctx
	select {
	case err := <-opened:
		return err
	case <-ctx.Done():
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = ctxerr.Of(ctx)
	}
	return ctxerr.Of(ctx)
}

func (u *received) open() (err error) {
	returned := false
	defer func() {
		if !returned {
			err = recovered.Error("the request's body", recover())
		}
	}()
	source, err := u.content.Open(u.serving.ctx)
	returned = true
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		source.Close()
		return u.err
	}
	u.source = source
	return nil
}

// Read reads from the content. The first read stands for 100 Continue.
func (u *received) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	if err := u.ready(); err != nil {
		return 0, err
	}
	x := u.serving
	x.stopTimers(&x.idle) // the sender's own code is waited for
	n, err := u.next(p)
	if !x.isAnswered() {
		x.startTimer(&x.idle, x.timeouts.Idle, engine.KindIdle)
	}
	return n, u.note(n, err)
}

// note keeps what a read said and returns what Read says.
func (u *received) note(n int, err error) error {
	u.mu.Lock()
	if u.err != nil { // stopped meanwhile
		defer u.mu.Unlock()
		return u.err
	}
	u.read += int64(n)
	if want := u.length; want >= 0 && (u.read > want || err == io.EOF && u.read < want) {
		err = fmt.Errorf("the request's Content announces %d bytes and yields %d", want, u.read)
	}
	if err == nil {
		u.mu.Unlock()
		return nil
	}
	u.err, u.ended = err, true
	source := u.source
	u.source = nil
	u.mu.Unlock()
	if source != nil {
		source.Close()
	}
	if err != io.EOF {
		u.fail(err)
		return err
	}
	if u.trailer != nil {
		for name, v := range u.trailer().All() {
			u.into.Add(name, v)
		}
	}
	u.done(nil)
	return io.EOF
}

// fail ends the exchange by the sender's fault.
func (u *received) fail(err error) {
	u.mu.Lock()
	u.err, u.fault, u.ended = err, err, true
	u.mu.Unlock()
	u.done(err)
	fault := &engine.OpError{Op: engine.OpSend, Err: err, Sent: true}
	u.serving.answered(nil, fault)
	u.serving.body.fail(fault)
}

// ready opens the body if that is still to be done.
func (u *received) ready() error {
	u.mu.Lock()
	err, opened, expecting := u.err, u.source != nil || u.content == nil, u.expecting
	u.mu.Unlock()
	if err != nil || opened {
		return err
	}
	if expecting {
		if err := u.serving.received1xx(http.StatusContinue, header.Header{}); err != nil {
			return err
		}
	}
	if err := u.open(); err != nil {
		u.fail(err)
		return err
	}
	return nil
}

// next reads from the source; a panic becomes an error.
func (u *received) next(p []byte) (n int, err error) {
	u.mu.Lock()
	source := u.source
	u.mu.Unlock()
	if source == nil {
		return 0, io.EOF // trailers alone
	}
	returned := false
	defer func() {
		if !returned {
			n, err = 0, recovered.Error("the request's body", recover())
		}
	}()
	n, err = source.Read(p)
	returned = true
	return n, err
}

// done tells that the request is sent.
func (u *received) done(err error) {
	x := u.serving
	x.hook(func(t *engine.Trace) { call1(t.WroteRequest, err) })
	if err == nil && !x.isAnswered() {
		x.startTimer(&x.waiting, x.timeouts.Header, engine.KindHeader)
	}
}

// isAnswered reports whether the head is there.
func (x *serving) isAnswered() bool {
	select {
	case <-x.head:
		return true
	default:
		return false
	}
}

// Close is the handler's: it reads no more.
func (u *received) Close() error {
	u.stop()
	return nil
}

var errUnread = errors.New("stdhttp: the handler did not read the body to its end")

// stop ends the reading.
func (u *received) stop() { u.stopBy(http.ErrBodyReadAfterClose) }

func (u *received) stopBy(err error) {
	u.mu.Lock()
	source, ended := u.source, u.ended || u.content == nil
	u.source, u.ended = nil, true
	if u.err == nil {
		u.err = err
	}
	if u.deadline != nil {
		u.deadline.Stop()
		u.deadline = nil
	}
	u.mu.Unlock()
	if source != nil {
		source.Close()
	}
	if !ended {
		u.done(errUnread)
	}
}

// setDeadline makes reads fail at a time, also one that waits then, whose source
// is closed; zero = never.
func (u *received) setDeadline(at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.deadline != nil {
		u.deadline.Stop()
		u.deadline = nil
	}
	if at.IsZero() || u.ended || u.content == nil {
		return
	}
	left := time.Until(at)
	if left <= 0 && u.err == nil {
		u.err = os.ErrDeadlineExceeded // before the next read, not some time after
	}
	u.deadline = time.AfterFunc(left, func() { u.stopBy(os.ErrDeadlineExceeded) })
}

// mayFlow reports whether the sender has leave to send, and gives it: from here on
// it is the handler who writes 100 Continue.
func (u *received) mayFlow() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	waits := u.expecting && u.source == nil && !u.ended
	u.expecting = false
	return !waits
}

// maxLeft is how much of a body http.Server reads, and drops, to keep the
// connection.
const maxLeft = 256 << 10

// tooMuchLeft reports whether http.Server would close the connection because of
// what the handler has not read.
func (u *received) tooMuchLeft() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.content == nil:
		return false
	case u.expecting:
		return u.err != io.EOF
	}
	return errors.Is(u.err, os.ErrDeadlineExceeded) || u.length-u.read >= maxLeft
}

func (u *received) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fault
}

// sending reports whether there is more to send.
func (u *received) sending() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.content != nil && !u.ended
}
