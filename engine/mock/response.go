package mock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// Response is what the engine answers; it is a [Handler] that always answers
// itself. It must not be changed, nor copied, once it was given to an engine;
// from then on it is safe for concurrent use, and may answer many requests. The
// methods that begin with With change and return it.
type Response struct {
	// Status is the status code; 0 = 200.
	Status int
	// Reason is the reason phrase; "" = none.
	Reason string
	// Proto is the protocol; "" = "HTTP/1.1".
	Proto string
	// Header holds the fields. Content-Length is added if the length is known,
	// the status allows a body and the field is not here.
	Header header.Header
	// Trailer holds the trailer fields.
	Trailer header.Header
	// Body is the body's bytes, unless WithStream or its like made it a stream.
	// Answers to HEAD and those of status 204 and 304 announce, but have none.
	Body []byte

	stream        func(ctx context.Context, w io.Writer) error
	length        int64
	lengthSet     bool
	informational []informational
	rawHead       []byte
	upgrade       func(io.ReadWriteCloser)
	conn          *engine.Conn
	reused        bool

	prepare  sync.Once
	prepared header.Header // Header and Content-Length
}

type informational struct {
	status int
	header header.Header
}

var _ Handler = (*Response)(nil)

// Answer returns r.
func (r *Response) Answer(context.Context, *Request) (*Response, error) { return r, nil }

// Status returns a response without a body.
func Status(code int) *Response { return &Response{Status: code} }

// Bytes returns a response with a body of the given media type; "" = none.
func Bytes(status int, contentType string, body []byte) *Response {
	r := &Response{Status: status, Body: body}
	if contentType != "" {
		r.Header.Add("Content-Type", contentType)
	}
	return r
}

// Text returns a response with a text/plain body in UTF-8.
func Text(status int, body string) *Response {
	return Bytes(status, "text/plain; charset=utf-8", []byte(body))
}

// OK returns a response of status 200 with a text/plain body.
func OK(body string) *Response { return Text(200, body) }

// BadRequest returns a response of status 400 whose body says so.
func BadRequest() *Response { return Text(400, "Bad Request") }

// JSON returns a response with v as JSON. It panics if v can't be marshalled.
func JSON(status int, v any) *Response {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("mock: JSON: %v", err))
	}
	return Bytes(status, "application/json", body)
}

// Redirect returns a 307 to location.
func Redirect(location string) *Response { return Status(307).WithHeader("Location", location) }

// Stream returns a response of status 200 whose body f writes, of unknown
// length: see WithStream.
func Stream(f func(ctx context.Context, w io.Writer) error) *Response {
	return Status(200).WithStream(f)
}

// WithHeader adds fields: name, value, name, value, …
func (r *Response) WithHeader(pairs ...string) *Response {
	for name, value := range header.New(pairs...).All() {
		r.Header.Add(name, value)
	}
	return r
}

// WithTrailer adds trailer fields: name, value, name, value, …
func (r *Response) WithTrailer(pairs ...string) *Response {
	for name, value := range header.New(pairs...).All() {
		r.Trailer.Add(name, value)
	}
	return r
}

// WithReason sets the reason phrase.
func (r *Response) WithReason(reason string) *Response {
	r.Reason = reason
	return r
}

// WithProto sets the protocol, "HTTP/2.0".
func (r *Response) WithProto(proto string) *Response {
	r.Proto = proto
	return r
}

// WithLength announces a length; -1 = none. If the body has fewer bytes, its end
// is an io.ErrUnexpectedEOF; if it has more, they are cut off.
func (r *Response) WithLength(n int64) *Response {
	r.length, r.lengthSet = n, true
	return r
}

// WithInformational adds a 1xx response that comes before this one.
func (r *Response) WithInformational(status int, pairs ...string) *Response {
	r.informational = append(r.informational, informational{status, header.New(pairs...)})
	return r
}

// WithRawHead sets the bytes of the head; nil = made from the other fields.
func (r *Response) WithRawHead(head []byte) *Response {
	r.rawHead = head
	return r
}

// WithConn describes the connection. reused tells that it carried a request
// before.
func (r *Response) WithConn(conn *engine.Conn, reused bool) *Response {
	r.conn, r.reused = conn, reused
	return r
}

// WithUpgrade makes r the answer to a request with a Protocol (status 101) or to
// CONNECT (2xx). peer plays the other end of the stream, in a goroutine of its
// own; the stream is closed when it returns. Both ends have SetDeadline,
// SetReadDeadline, SetWriteDeadline and CloseWrite, and buffer without bound.
func (r *Response) WithUpgrade(peer func(io.ReadWriteCloser)) *Response {
	r.upgrade = peer
	return r
}

// WithStream makes f write the body, in a goroutine of its own and each time the
// response is given. Writes wait for the reader; they fail when the body is
// closed or ctx ends. ctx ends with the call, or when the body is closed. An
// error of f is what the reader gets after the bytes written until then. The
// length is unknown unless WithLength says it.
func (r *Response) WithStream(f func(ctx context.Context, w io.Writer) error) *Response {
	r.stream = f
	return r
}

// WithReader makes the bytes of body the body. It can be given once only. The
// reader is closed after that if it is an io.Closer.
func (r *Response) WithReader(body io.Reader) *Response {
	var used sync.Once
	return r.WithStream(func(_ context.Context, w io.Writer) error {
		err := errors.New("mock: this response's reader was used already")
		used.Do(func() {
			_, err = io.Copy(w, body)
			if c, ok := body.(io.Closer); ok {
				err = errors.Join(err, c.Close())
			}
		})
		return err
	})
}

// WithPace sends Body in pieces of chunk bytes, each after a pause of every.
func (r *Response) WithPace(chunk int, every time.Duration) *Response {
	return r.keepLength().WithStream(func(ctx context.Context, w io.Writer) error {
		for rest := r.Body; len(rest) > 0; {
			if err := sleep(ctx, every); err != nil {
				return err
			}
			n, err := w.Write(rest[:min(len(rest), max(chunk, 1))])
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

// WithFailure sends n bytes of Body; then reading it fails with err.
func (r *Response) WithFailure(n int, err error) *Response {
	return r.keepLength().WithStream(func(_ context.Context, w io.Writer) error {
		if _, writeErr := w.Write(r.Body[:min(n, len(r.Body))]); writeErr != nil {
			return writeErr
		}
		return err
	})
}

// WithReset sends n bytes of Body; then the connection is reset.
func (r *Response) WithReset(n int) *Response { return r.WithFailure(n, errReset()) }

// WithTruncation sends n bytes of Body; then the connection is closed, too early.
func (r *Response) WithTruncation(n int) *Response { return r.WithFailure(n, io.ErrUnexpectedEOF) }

// WithStall sends n bytes of Body, and then nothing until the call ends.
func (r *Response) WithStall(n int) *Response {
	return r.keepLength().WithStream(func(ctx context.Context, w io.Writer) error {
		if _, err := w.Write(r.Body[:min(n, len(r.Body))]); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

// keepLength announces Body's length for a stream of it.
func (r *Response) keepLength() *Response {
	if !r.lengthSet {
		r.WithLength(int64(len(r.Body)))
	}
	return r
}

func (r *Response) status() int {
	if r.Status == 0 {
		return 200
	}
	return r.Status
}

func (r *Response) proto() string {
	if r.Proto == "" {
		return "HTTP/1.1"
	}
	return r.Proto
}

// announced returns the length that the head announces, -1 = none.
func (r *Response) announced() int64 {
	switch {
	case r.lengthSet:
		return r.length
	case r.Header.Has("Content-Length"):
		if n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
			return n
		}
		return -1
	case r.stream != nil, r.Trailer.Len() > 0, r.Status == 304 && len(r.Body) == 0:
		return -1
	}
	return int64(len(r.Body))
}

// bodyless reports whether an answer to that method has no body, whatever its
// head announces.
func (r *Response) bodyless(method string) bool {
	s := r.status()
	return method == "HEAD" || s < 200 || s == 204 || s == 304
}

// fields returns Header and Content-Length.
func (r *Response) fields() header.Header {
	r.prepare.Do(func() {
		r.prepared = r.Header
		s, n := r.status(), r.announced()
		if n < 0 || s < 200 || s == 204 || r.Header.Has("Content-Length") {
			return
		}
		r.prepared = r.Header.CopyTo(nil, 1)
		r.prepared.Add("Content-Length", strconv.FormatInt(n, 10))
	})
	return r.prepared.View()
}

// head renders the raw head.
func (r *Response) head() []byte {
	if r.rawHead != nil {
		return r.rawHead
	}
	return fmt.Appendf(nil, "%s %03d %s\r\n%s\r\n", r.proto(), r.status(), strings.TrimSpace(r.Reason), r.fields())
}
