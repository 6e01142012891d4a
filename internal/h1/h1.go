// Package h1 is the HTTP/1.1 codec of a client, without I/O: it turns bytes
// into response heads, framing decisions and chunks, and requests into bytes.
// It knows neither connections nor clocks; engines feed it.
//
// # Rules
//
// Reading is strict (RFC 9112): whatever two recipients could understand
// differently is refused with *[engine.ProtocolError], because such bytes are
// how one response is made to look like two. [Limits.Lenient] reads what
// browsers read, as far as the framing stays certain.
//
//	input                                       strict     lenient
//	bare LF as line end                         refused    accepted
//	bare CR in a line                           refused    a space
//	NUL anywhere                                refused    refused
//	other control characters in a value         refused    kept
//	white space before a field's colon          refused    dropped
//	folded field line (obs-fold)                refused    joined by a space
//	field line without colon or with a bad name refused    skipped
//	empty lines before the status line          refused    skipped
//	more than one space in the status line      refused    accepted
//	status line without the space after 200     accepted   accepted
//	HTTP/1.2 to HTTP/1.9                        as 1.1     as 1.1
//	any other version, HTTP/0.9                 refused    refused
//	Content-Length: 5, 5 (equal values)         as 5       as 5
//	differing or malformed Content-Length       refused    refused
//	Content-Length with Transfer-Encoding       refused    chunked, then closed
//	Transfer-Encoding in an HTTP/1.0 response   refused    chunked, then closed
//	Transfer-Encoding: identity                 refused    ignored
//	any other coding than one final "chunked"   refused    refused
//	white space after a chunk size              refused    accepted
//
// # Theory of operation
//
// A [Scanner] finds the end of a head in bytes that arrive piecemeal, so that a
// peer which does not speak HTTP is found at its first bytes and a limit before
// memory is spent. [ParseHead] then makes one string of the head and one slice
// of fields that point into it. [Head.Framing] decides how the body ends, and a
// [Decoder] takes chunked framing out of the bytes in place, at any split.
package h1

import (
	"strconv"

	"github.com/godwit-go/godwit/engine"
)

// Limits bounds what is read; the zero value of each field is its default.
type Limits struct {
	// MaxBytes bounds a head, and the trailer section; 0 = 256 KiB.
	MaxBytes int
	// MaxFields bounds the field lines of a head, and of a trailer section;
	// 0 = 1,000.
	MaxFields int
	// Lenient reads what browsers read.
	Lenient bool
}

// The defaults of Limits.
const (
	DefaultMaxBytes  = 256 << 10
	DefaultMaxFields = 1000
)

func (l Limits) maxBytes() int {
	if l.MaxBytes <= 0 {
		return DefaultMaxBytes
	}
	return l.MaxBytes
}

func (l Limits) maxFields() int {
	if l.MaxFields <= 0 {
		return DefaultMaxFields
	}
	return l.MaxFields
}

func protocolError(section, reason string) error {
	return &engine.ProtocolError{Reason: reason, Section: section}
}

// quoteMax is how much of an offending input an error shows.
const quoteMax = 48

// quote makes input from the network fit for an error's text.
func quote[T string | []byte](s T) string {
	if len(s) > quoteMax {
		return strconv.Quote(string(s[:quoteMax])) + "…"
	}
	return strconv.Quote(string(s))
}
