package godwit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// The types and constants of package engine that users of a client meet.
type (
	// Op names the phase of a call in which an error arose.
	Op = engine.Op
	// TimeoutError tells that a limit of time was reached, and which.
	TimeoutError = engine.TimeoutError
	// ProtocolError tells that the server broke the protocol.
	ProtocolError = engine.ProtocolError
	// ProxyError tells that a proxy failed, or refused to connect to the origin.
	ProxyError = engine.ProxyError
	// UnsupportedError tells that the engine cannot do what was asked of it.
	UnsupportedError = engine.UnsupportedError
)

// The causes that errors.Is finds in an [Error].
var (
	// ErrClientClosed is the cause of every call on a closed client.
	ErrClientClosed = errors.New("client is closed")
	// ErrTooManySends is the cause when one call would send more than 20
	// requests, redirects and retries included.
	ErrTooManySends = errors.New("too many requests sent in one call")
	// ErrTooManyRedirects is the cause when a call was redirected more often
	// than MaxRedirects allows.
	ErrTooManyRedirects = errors.New("too many redirects")
	// ErrBodyTooLarge is the cause when a buffered body is larger than MaxBody,
	// or a decoded one grows past what the bomb guard allows.
	ErrBodyTooLarge = errors.New("body too large")
	// ErrNotReplayable is the cause when a request has to be sent again but its
	// body can be read only once.
	ErrNotReplayable = content.ErrConsumed
	// ErrBodyConsumed is the cause when a streamed body is read as a value twice.
	ErrBodyConsumed = errors.New("response body was read already")
	// ErrProxyDenied is found in a ProxyError where asking again makes no
	// difference: other credentials are wanted, or rules forbid the origin.
	ErrProxyDenied = engine.ErrProxyDenied
	// ErrNoEngine is the cause of every call on a client that has no engine.
	ErrNoEngine = errors.New("no engine: name one with godwit.WithEngine")
)

// Error is what every failed call returns: the cause, and what was being done.
// Its text is for people; programs look at the fields, or at the cause with
// errors.Is and errors.As: *[StatusError], *[DecodeError], *[TimeoutError],
// *[ProtocolError], *[ProxyError], *[UnsupportedError], the Err… values of this package, and
// context.Canceled and context.DeadlineExceeded.
type Error struct {
	Op     Op
	Method string
	// URL is the request's last URL, without user info.
	URL string
	// Attempt is the number of requests given to the engine when the error arose,
	// 0 = none; the last of them may not have left it.
	Attempt int
	Err     error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("godwit: ")
	b.WriteString(e.Method)
	if e.URL != "" {
		b.WriteByte(' ')
		b.WriteString(e.URL)
	}
	if e.Attempt > 1 {
		fmt.Fprintf(&b, " (attempt %d)", e.Attempt)
	}
	b.WriteString(": ")
	b.WriteString(e.Err.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a timeout.
func (e *Error) Timeout() bool {
	return engine.IsTimeout(e.Err) || errors.Is(e.Err, context.DeadlineExceeded)
}

// StatusError is the cause when a status outside 2xx counts as a failure. The
// response is buffered: its body can be read, decoded with [As], any number of
// times.
type StatusError struct {
	Response *Response
	// Problem holds the problem details (RFC 9457) if the body is some, else nil.
	Problem *Problem
	// BodyErr is why the body is not whole: too large, cut off; else nil.
	BodyErr error
}

func (e *StatusError) Error() string {
	s := "status " + e.Response.Status.String()
	switch {
	case downgrades(e.Response):
		s += ": a redirect from https to http is not followed (see godwit.AllowHTTPSDowngrade)"
	case e.Problem != nil && e.Problem.Title != "":
		s += ": " + excerpt(e.Problem.Title)
		if e.Problem.Detail != "" {
			s += ": " + excerpt(e.Problem.Detail)
		}
	case len(e.Response.mem.data) > 0:
		s += ": " + snippet(e.Response.mem.data)
	}
	return s
}

// downgrades reports whether resp is a redirect that was not followed because it
// leads from https to http.
func downgrades(resp *Response) bool {
	if !redirects(resp.Status) || resp.request == nil || resp.request.URL == nil || resp.request.URL.Scheme != "https" {
		return false
	}
	target, err := location(resp.request.URL, resp)
	return err == nil && target != nil && target.Scheme == "http" && resp.call != nil && resp.call.client.builtin.follow.For(resp.request)
}

// Unwrap returns BodyErr.
func (e *StatusError) Unwrap() error { return e.BodyErr }

// DecodeError is the cause when a body cannot be made into the wanted type.
type DecodeError struct {
	// Type is the wanted Go type, ContentType the body's as sent.
	Type, ContentType string
	// Snippet is the start of the body, cut short and made printable.
	Snippet string
	Err     error
}

func (e *DecodeError) Error() string {
	s := "decode " + e.Type
	if e.ContentType != "" {
		s += " from " + e.ContentType
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Snippet != "" {
		s += "; body starts " + e.Snippet
	}
	return s
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }

// UnknownCharsetError is the cause when text is in a charset that has no
// decoder here.
type UnknownCharsetError struct{ Label string }

func (e *UnknownCharsetError) Error() string {
	return fmt.Sprintf("unknown charset %q", e.Label)
}

// excerptBytes is how much of a server's own text an error quotes.
const excerptBytes = 200

// snippet quotes the start of a body.
func snippet(b []byte) string {
	if len(b) > excerptBytes {
		return fmt.Sprintf("%q…", b[:excerptBytes])
	}
	return fmt.Sprintf("%q", b)
}

// excerpt returns the start of a server's text as a part of a line.
func excerpt(s string) string {
	if len(s) > excerptBytes {
		s = strings.ToValidUTF8(s[:excerptBytes], "") + "…"
	}
	return oneLine(s)
}

func opError(op Op, err error) error { return &engine.OpError{Op: op, Err: err} }

func buildErrorf(format string, args ...any) error {
	return opError(engine.OpBuild, fmt.Errorf(format, args...))
}

// envelope wraps err for the caller, once.
func envelope(call *Call, req *Request, err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e == err {
		return err
	}
	out := &Error{Op: engine.OpBuild, Method: displayMethod(req.Method), URL: displayURL(req), Err: err}
	if call != nil {
		out.Attempt = call.Sends()
	}
	if oe, ok := errors.AsType[*engine.OpError](err); ok {
		out.Op = oe.Op
	} else {
		out.Op = guessOp(out.Attempt, err)
	}
	return out
}

// guessOp finds the phase of an error that does not name it: an interceptor's
// own, a validator's, the context's.
func guessOp(sends int, err error) Op {
	if _, ok := errors.AsType[*DecodeError](err); ok {
		return engine.OpDecode
	}
	if sends > 0 {
		return engine.OpReceive
	}
	return engine.OpBuild
}

// displayMethod returns a method for errors.
func displayMethod(method string) string {
	switch {
	case method == "":
		return "GET"
	case !header.IsToken(method):
		return fmt.Sprintf("%q", method)
	}
	return method
}

// displayURL returns the request's URL for errors, without user info.
func displayURL(req *Request) string {
	if req.URL == nil {
		return redactRaw(req.raw)
	}
	return shownURL(req.URL)
}

// shownURL is a URL without user info, also where what looks like a path or an
// opaque part may be a mistyped authority.
func shownURL(u *url.URL) string {
	clean := *u
	clean.User, clean.Host = nil, u.Host[strings.LastIndexByte(u.Host, '@')+1:]
	text := clean.String()
	if u.Host == "" || u.Opaque != "" {
		return redactRaw(text)
	}
	return oneLine(text)
}

func withoutUser(u *url.URL) *url.URL {
	if u.User == nil {
		return u
	}
	clean := *u
	clean.User = nil
	return &clean
}

// oneLine takes out what would break a line of a log.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// redactRaw removes all that may be user info from text that is no URL, up to its
// last @, and what would break a line of a log.
func redactRaw(raw string) string {
	raw = oneLine(raw)
	at := strings.LastIndexByte(raw, '@')
	if at < 0 {
		return raw
	}
	scheme, _, ok := strings.Cut(raw, ":")
	if !ok || !header.IsToken(scheme) || len(scheme) > at {
		return raw[at+1:]
	}
	return scheme + "://" + raw[at+1:]
}
