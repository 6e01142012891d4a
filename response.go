package godwit

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// Response is what a server answered.
//
// One from Do or a typed call is buffered: nothing is to be closed, [Response.Bytes]
// and [As] can be used any number of times. One from Stream is valid inside the
// function; one from Open until it is closed. A Response is used by one
// goroutine at a time; a buffered one may be read by many if none uses Body.
type Response struct {
	Status Status
	// Reason is the phrase beside the status as sent; "" on HTTP/2 and later.
	Reason string
	// Proto is "HTTP/1.1", "HTTP/2.0", …
	Proto  string
	Header header.Header
	// ContentLength is the length of the body, -1 if unknown or if the body was
	// decoded; for HEAD and 304 what the header announces.
	ContentLength int64
	// Body is never nil. It yields what follows from the content codings being
	// decoded.
	Body io.ReadCloser
	// Decoded lists the content codings that were removed, in that order.
	Decoded []string
	// RequestTime is when the request went to the engine, ResponseTime when the
	// head came back.
	RequestTime, ResponseTime time.Time

	call    *Call
	owner   *Client // whose codecs decode it, if there is no call
	request *Request
	base    *baseBody
	isSaved bool
	saveErr error      // of a Save that failed
	mem     memoryBody // the saved bytes
	bom     *string    // the charset of a byte order mark that RemoveBOM removed
}

// noAnswer stands for the engine's in responses that no engine made.
var noAnswer = engine.Response{Body: io.NopCloser(strings.NewReader(""))}

// answer returns what the engine told.
func (r *Response) answer() *engine.Response {
	if r.base == nil {
		return &noAnswer
	}
	return r.base.answer
}

// NewResponse returns a response that no engine made: from a cache, a test, a
// circuit breaker. It is buffered; body is not copied.
func NewResponse(req *Request, status Status, h header.Header, body []byte) *Response {
	now := time.Now()
	r := &Response{
		Status: status, Proto: "HTTP/1.1", Header: h, ContentLength: int64(len(body)),
		RequestTime: now, ResponseTime: now, request: req, base: &baseBody{answer: &noAnswer},
	}
	r.setSaved(body)
	return r
}

// Call returns the call that this response belongs to; nil for one made with
// NewResponse outside of a call.
func (r *Response) Call() *Call { return r.call }

// Request returns the request that was answered: after redirects, the last one.
// It must not be changed.
func (r *Response) Request() *Request { return r.request }

// Trailer returns the trailer fields. They are complete when Body has returned
// io.EOF, and on a buffered response.
func (r *Response) Trailer() header.Header {
	if trailer := r.answer().Trailer; trailer != nil {
		return trailer()
	}
	return header.Header{}
}

// IsSaved reports whether the body is in memory.
func (r *Response) IsSaved() bool { return r.isSaved }

// Bytes returns a buffered body whole; the caller must not change it. It is nil
// for a response that is not buffered: read Body.
func (r *Response) Bytes() []byte { return r.mem.data }

// Text returns a buffered body as a string, decoded by the charset of its
// Content-Type; bytes that are not valid in it become U+FFFD. For a response
// that is not buffered it is "".
func (r *Response) Text() string {
	s, err := textOf(r, r.mem.data)
	if err != nil {
		return string(r.mem.data)
	}
	return s
}

// Upgraded returns the raw connection after a 101 or a 2xx answer to CONNECT,
// else nil. It is closed with the response, and when the call's context ends.
func (r *Response) Upgraded() io.ReadWriteCloser { return r.answer().Upgraded }

// RawHead returns the bytes of the response's head if the request asked for
// them with RawHead and the engine has them.
func (r *Response) RawHead() []byte { return r.answer().RawHead }

// Reused reports whether the connection had carried a request before.
func (r *Response) Reused() bool { return r.answer().Reused }

// conn returns what is known of the connection.
func (r *Response) conn() engine.Conn {
	if c := r.answer().Conn; c != nil {
		return *c
	}
	return engine.Conn{}
}

// TLS returns the state of the TLS connection, nil if there was none.
func (r *Response) TLS() *tls.ConnectionState {
	return r.conn().TLS
}

// LocalAddr and RemoteAddr return the connection's addresses, nil if unknown.
func (r *Response) LocalAddr() net.Addr {
	return r.conn().Local
}

// Proxy returns the proxy that the connection goes through, without credentials;
// nil if there is none or the engine doesn't tell.
func (r *Response) Proxy() *url.URL {
	return r.conn().Proxy
}

// RemoteAddr returns the address of the server or proxy, nil if unknown.
func (r *Response) RemoteAddr() net.Addr {
	return r.conn().Remote
}

// Close closes the body and what hangs on it. It is harmless on a buffered or
// closed response, and may be called from another goroutine.
func (r *Response) Close() error {
	err := r.close()
	r.givenUp()
	return err
}

// givenUp lets a deadline go on that ended with the head: if the call is not over
// with this response, its head was not the last.
func (r *Response) givenUp() {
	if r.call != nil {
		r.call.ctx.resume()
	}
}

func (r *Response) close() error {
	err := r.Body.Close()
	if baseErr := r.base.Close(); err == nil {
		err = baseErr
	}
	return err
}

// Discard gives up the body: what is left is read if it is little (up to 256
// KiB within 100 ms, and of known length) so that the connection can be used
// again, else the connection is closed. Whoever is about to send again, or to
// wait, discards the response in hand first.
func (r *Response) Discard() {
	r.givenUp()
	r.discard()
}

func (r *Response) discard() {
	if !r.isSaved && r.Upgraded() == nil {
		r.base.drain()
	}
	r.close()
}

// OnClose calls f once when the body has ended: with nil when it was read to its
// end or closed early, with the error when it failed. On a saved response f
// runs at once. What must last as long as the body hangs here. f must not refer
// to the Response, else a forgotten one is never noticed.
func (r *Response) OnClose(f func(err error)) { r.base.onEnd(f) }

// WrapBody puts a layer around the body. The layer's Close must close what it
// got. Its WriteTo, if it has one, is used. ContentLength is left as it is.
func (r *Response) WrapBody(wrap func(io.ReadCloser) io.ReadCloser) { r.Body = wrap(r.Body) }

// Save reads the body into memory, up to MaxBody, and releases the connection;
// then Body starts again from its beginning. Saving twice is harmless. It is for
// calls that are [Call.Buffered]; others should not be.
func (r *Response) Save() error {
	if r.isSaved || r.Upgraded() != nil {
		return nil
	}
	if r.saveErr != nil {
		return r.saveErr
	}
	limit := int64(defaultMaxBody)
	if r.call != nil {
		limit = r.call.client.builtin.maxBody.For(&r.call.root().request)
	}
	length := r.ContentLength
	if r.request != nil && bodiless(r.request.Method, r.Status) {
		length = -1 // what the header announces is not there
	}
	data, err := readAll(r.Body, length, limit)
	if err != nil {
		r.base.note(err)
		if r.told(err) {
			// There is nothing to be added.
		} else if r.call != nil { // before Close, which ends the fork that the response came by
			err = r.call.explainBody(err)
		} else {
			err = bodyError(err)
		}
		r.Close()
		r.mem.data, r.saveErr = data, err // what there is, for a StatusError
		return err
	}
	r.close()
	r.setSaved(data)
	return nil
}

// told reports whether err is what the body of a stream has failed with, and told
// listeners and error handlers.
func (r *Response) told(err error) bool {
	body, ok := r.Body.(*userBody)
	if !ok {
		return false
	}
	final := body.state.final.Load()
	return final != nil && *final == err
}

func (r *Response) setSaved(data []byte) {
	r.mem.data, r.isSaved = data, true
	r.Rewind()
}

// Rewind makes Body of a buffered response start again.
func (r *Response) Rewind() {
	if r.isSaved {
		r.mem.at = 0
		r.Body = &r.mem
	}
}

// adopt completes a response that an interceptor made by hand.
func (r *Response) adopt(call *Call, req *Request) {
	if r.call == nil {
		r.call = call
	} else if r.call.parent == call { // of the branch that has won
		r.call.ctx.haltToo(&call.ctx)
		call.setAttemptEnd(r.call.attemptEnd())
		r.call = call
	}
	if r.request == nil {
		r.request = req
	}
	switch {
	case r.Body == nil:
		r.setSaved(nil)
	case r.base == nil && r.ContentLength == 0:
		r.ContentLength = -1 // nobody said
	}
	if r.base == nil {
		r.base = &baseBody{answer: &engine.Response{Body: r.Body, ContentLength: r.ContentLength}}
	}
}

// readAll reads all of a body of the given length (-1 = unknown), at most limit.
// With an error it returns what came before.
func readAll(body io.Reader, length, limit int64) ([]byte, error) {
	size := int64(512)
	if length >= 0 {
		size = min(length, limit)
	}
	const trusted = 1 << 20 // a length is only a promise: more is allocated as it comes
	data := make([]byte, 0, min(size, trusted))
	if length > limit {
		return data, tooLarge(length, limit)
	}
	for {
		if len(data) == cap(data) {
			if int64(len(data)) == length {
				return finishRead(body, data, length, limit)
			}
			data = slices.Grow(data, len(data)/2+512)
		}
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > limit:
			return data[:limit], tooLarge(-1, limit)
		case err == io.EOF && length >= 0 && int64(len(data)) != length:
			return data, lengthMismatch(int64(len(data)), length)
		case err == io.EOF:
			return data, nil
		case err != nil:
			return data, err
		}
	}
}

// finishRead makes sure that a body which filled its announced length ends there.
func finishRead(body io.Reader, data []byte, length, limit int64) ([]byte, error) {
	var one [1]byte
	for {
		n, err := body.Read(one[:])
		switch {
		case n > 0 && length >= limit:
			return data, tooLarge(-1, limit)
		case n > 0:
			return data, lengthMismatch(length+1, length)
		case err == io.EOF:
			return data, nil
		case err != nil:
			return data, err
		}
	}
}

func tooLarge(length, limit int64) error {
	if length >= 0 {
		return fmt.Errorf("%w: %d bytes announced, limit %d (raise it with godwit.MaxBody, or use Stream)", ErrBodyTooLarge, length, limit)
	}
	return fmt.Errorf("%w: more than %d bytes (raise the limit with godwit.MaxBody, or use Stream)", ErrBodyTooLarge, limit)
}

func lengthMismatch(got, announced int64) error {
	return opError(engine.OpReceive, fmt.Errorf("body of %d bytes or more where Content-Length is %d: %w", got, announced, io.ErrUnexpectedEOF))
}

// ContentType returns the parsed Content-Type and whether there is a valid one.
func (r *Response) ContentType() (header.MediaType, bool) {
	return header.ParseMediaType(r.Header.Get("Content-Type"))
}

// Charset returns the charset named by Content-Type, lower case, or "".
func (r *Response) Charset() string {
	mt, _ := r.ContentType()
	return strings.ToLower(mt.Charset())
}

// ETag returns the entity tag and whether there is a valid one.
func (r *Response) ETag() (header.ETag, bool) { return header.ParseETag(r.Header.Get("ETag")) }

// LastModified returns the date of Last-Modified; the zero time if there is none.
func (r *Response) LastModified() time.Time { return r.date("Last-Modified") }

// Expires returns the date of Expires; the zero time if there is none.
func (r *Response) Expires() time.Time { return r.date("Expires") }

// Date returns the date of Date; the zero time if there is none.
func (r *Response) Date() time.Time { return r.date("Date") }

func (r *Response) date(name string) time.Time {
	t, _ := header.ParseDate(r.Header.Get(name))
	return t
}

// Vary returns the elements of Vary.
func (r *Response) Vary() []string { return header.SplitList(r.Header.Joined("Vary")) }

// SetCookies returns the cookies that the response sets, those that parse.
func (r *Response) SetCookies() []header.Cookie {
	var cookies []header.Cookie
	for _, line := range r.Header.Values("Set-Cookie") {
		if c, ok := header.ParseSetCookie(line); ok {
			cookies = append(cookies, c)
		}
	}
	return cookies
}
