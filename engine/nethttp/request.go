package nethttp

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/outgoing"
)

// request makes net/http's request.
func (x *exchange) request() (*http.Request, error) {
	req := x.req
	u := *req.URL
	u.Fragment, u.RawFragment = "", ""
	r := &http.Request{Method: req.Method, URL: &u, Host: h1.Authority(&u), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
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

// attach gives r its body and trailer.
func (x *exchange) attach(r *http.Request) {
	req := x.req
	trailer := outgoing.TrailerOf(req)
	if trailer != nil {
		r.Trailer = trailer.Fields
	}
	switch {
	case trailer != nil:
		r.ContentLength = -1
	case req.Body == nil:
		return
	default:
		r.ContentLength = req.Body.ContentLength()
	}
	if r.ContentLength < 0 { // else net/http sends nothing of a body that turns out to be empty
		r.TransferEncoding = []string{"chunked"}
	}
	open := func() io.ReadCloser {
		u := &upload{Body: outgoing.New(x.ctx, req.Body, trailer), x: x}
		x.mu.Lock()
		x.uploads = append(x.uploads, u)
		x.mu.Unlock()
		return u
	}
	first := open()
	if x.empty = r.ContentLength == 0; x.empty {
		r.Body = http.NoBody // any other body of length 0 is one of unknown length to net/http
		return
	}
	r.Body = first
	if req.Body == nil || req.Body.Replayable() {
		r.GetBody = func() (io.ReadCloser, error) { return open(), nil }
	}
}

// upload is one reading of the request's body by net/http, which may go on when
// RoundTrip has returned. The content is opened by openBody, or else by the first
// read: where the server may refuse the body, and where net/http sends it again.
type upload struct {
	*outgoing.Body
	x *exchange
}

var errRefused = errors.New("nethttp: the server has answered instead of asking for the body")

// Read reads from the content.
func (u *upload) Read(p []byte) (int, error) {
	x := u.x
	x.timers.Pause()
	defer x.timers.Resume()
	if x.refused() {
		// net/http would send the body after all, to keep the connection. The
		// error comes when the exchange is over: RoundTrip would return it instead
		// of the answer, and then it would close the connection that the answer's
		// body is still read from.
		select {
		case <-u.Done():
		case <-x.ctx.Done(): // RoundTrip waits for this read then
		}
		return 0, errRefused
	}
	return u.Body.Read(p)
}

// openBody opens the content before anything is sent, unless it waits for 100
// Continue and may not be wanted.
func (x *exchange) openBody() error {
	if len(x.uploads) == 0 || !x.empty && (x.expects || !x.uploads[0].Blocks()) {
		return nil
	}
	x.timers.Stop(engine.KindPool)
	x.setOp(engine.OpSend)
	if err := x.uploads[0].Open(); err != nil {
		return err
	}
	x.setOp(engine.OpPool)
	return nil
}

// uploadFailure returns the fault of a request body, if there was one.
func (x *exchange) uploadFailure() error {
	x.mu.Lock()
	uploads := x.uploads
	x.mu.Unlock()
	for _, u := range uploads {
		if err := u.Fault(); err != nil {
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
