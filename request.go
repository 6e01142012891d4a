package godwit

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

const opBuild = engine.OpBuild

// Request is what a caller wants sent. Build one with [NewRequest], or as a
// literal with at least a URL. Do, Stream and Open never change it, and one
// Request may be used by many goroutines at once as long as nobody changes it
// (and its body is replayable).
//
// In interceptors a Request that was given to next is frozen; change a
// [Request.Clone].
type Request struct {
	// Method is any token; "" means GET.
	Method string
	// URL is absolute, or relative to the client's BaseURL.
	URL *url.URL
	// Header holds the fields to send, in order. The engine adds Host and what
	// frames the body.
	Header header.Header
	// Body is nil, a content.Content, or a value that is made into one when the
	// request is sent: string, []byte, io.Reader, url.Values, or anything that a
	// codec encodes (JSON by default). Each call reads an io.Reader set here from
	// where it stands then; one given to option [Body] can be sent once.
	Body any
	// Attributes are yours; they are seen on the call and on each hop.
	Attributes attr.Attributes

	settings attr.Attributes
	marks    mark // of the settings
	// extra holds what few requests have; it is copied before a change unless it
	// is ownExtra: clones share it.
	extra    *requestExtra
	ownExtra bool
	// decodes says that godwit itself added Accept-Encoding; a response is decoded
	// only if it is still there as it was.
	decodes bool
	raw     string // what URL will be made of, "" once it is
	err     error
	// target is what a typed call will make of the body.
	target any
}

// requestExtra is what options hang on single requests.
type requestExtra struct {
	parts         urlParts
	cookies       []cookiePair
	listeners     []any
	validators    []Validator
	errorHandlers []ErrorHandler
	without       []string // default fields that are not wanted
}

var noExtra requestExtra // never changed

// extras returns the extra for reading.
func (r *Request) extras() *requestExtra {
	if r.extra == nil {
		return &noExtra
	}
	return r.extra
}

// more returns the extra for changing.
func (r *Request) more() *requestExtra {
	if r.extra == nil || !r.ownExtra {
		own := *r.extras()
		r.extra, r.ownExtra = &own, true
	}
	return r.extra
}

type cookiePair struct{ name, value string }

// NewRequest returns a request for rawURL, which may be relative to the client's
// BaseURL and hold path parameters in braces: "/users/{id}". It never fails: an
// error in its arguments is kept and returned by Do, Stream or Open before any
// I/O.
func NewRequest(method, rawURL string, opts ...Option) *Request {
	r := new(Request)
	r.init(method, rawURL, opts)
	return r
}

func (r *Request) init(method, rawURL string, opts []Option) {
	r.Method, r.raw = method, rawURL
	for _, o := range opts {
		if o != nil {
			o.applyRequest(r)
		}
	}
	r.keepReader()
	r.parseURL()
}

// With applies further options to r and returns it.
func (r *Request) With(opts ...Option) *Request {
	for _, o := range opts {
		if o != nil {
			o.applyRequest(r)
		}
	}
	r.keepReader()
	r.parseURL()
	return r
}

// WithDefaults applies options as With does, but r keeps the settings it has.
// What options do to its fields, its URL and its body is as in With.
func (r *Request) WithDefaults(opts ...Option) *Request {
	own := r.settings
	r.With(opts...)
	own.Merge(&r.settings)
	r.settings = own
	return r
}

// keepReader makes one content of a reader that an option or NewRequest was given,
// however often the request is sent, so that sending it again is refused instead
// of sending nothing. A reader in the field Body is the caller's to keep: a call
// must not change the request.
func (r *Request) keepReader() {
	switch body := r.Body.(type) {
	case content.Content, *os.File, *bytes.Buffer, section, *readerBody:
	case io.Reader:
		if v := reflect.ValueOf(body); v.Kind() != reflect.Pointer || !v.IsNil() {
			r.Body = &readerBody{Reader: body}
		}
	}
}

// readerBody is a reader that becomes content once.
type readerBody struct {
	io.Reader
	once    sync.Once
	content content.Content
}

func (b *readerBody) asContent(length int64) content.Content {
	b.once.Do(func() { b.content = content.Reader(b.Reader, "application/octet-stream", length) })
	return b.content
}

// Clone returns a copy that can be changed without touching r. It copies little
// now and the header when it is first changed, so r must not change while the
// copy is in use. What URL points to is shared: set another one.
func (r *Request) Clone() *Request {
	c := *r
	c.Header, c.ownExtra = r.Header.View(), false
	return &c
}

// Err returns the error that NewRequest or an option met, if any.
func (r *Request) Err() error { return r.err }

// String returns the method and the URL, without user info. It is all that fmt and
// log/slog show of a request.
func (r Request) String() string {
	return strings.TrimSuffix(displayMethod(r.Method)+" "+displayURL(&r), " ")
}

// GoString implements fmt.GoStringer.
func (r Request) GoString() string { return fmt.Sprintf("godwit.Request(%q)", r.String()) }

// LogValue implements slog.LogValuer.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Content returns the body as what will be sent: nil if there is none, or if it
// has not been rendered yet (before phase CallRender).
func (r *Request) Content() content.Content {
	c, _ := r.Body.(content.Content)
	return c
}

// fail keeps the first error.
func (r *Request) fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

// IsIdempotent reports whether sending r twice has the effect of sending it
// once (RFC 9110 §9.2.2): by its method, or because it carries an
// Idempotency-Key.
func (r *Request) IsIdempotent() bool {
	switch r.Method {
	case "", "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY":
		return true
	}
	return r.Header.Has("Idempotency-Key") || r.Header.Has("X-Idempotency-Key")
}

// IsReplayable reports whether r's body can be sent again.
func (r *Request) IsReplayable() bool {
	c := r.Content()
	return c == nil || c.Replayable()
}
