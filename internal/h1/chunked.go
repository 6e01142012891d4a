package h1

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/godwit-go/godwit/header"
)

// Limits of chunk framing that need no option: nobody sends more in good faith.
const (
	maxSizeDigits = 16       // leading zeros included
	maxExtLine    = 4 << 10  // the extensions of one chunk
	maxExtTotal   = 16 << 10 // the extensions of a body beyond one byte a byte of data
)

// Decoder takes the chunked coding (RFC 9112 §7.1) out of a body. Its zero
// value, with Limits set, is at the start of a body. Chunk extensions are
// skipped. After an error it must not be used again.
type Decoder struct {
	Limits Limits

	state  chunkState
	left   uint64 // data bytes of the current chunk still to come; the size while it is read
	digits int
	ext    int   // bytes of this line's extensions
	excess int64 // bytes of all extensions, less the data bytes

	trailer []byte // the trailer section so far, its blank line included
	line    int    // start of its last line
	lines   int    // its complete lines
	fields  []header.Field
}

type chunkState uint8

const (
	chunkSize    chunkState = iota // in the size of a chunk, or before it
	chunkSpace                     // after the size, in white space
	chunkExt                       // in the extensions
	chunkSizeLF                    // after the CR of the size line
	chunkData                      // in the data
	chunkDataCR                    // after the data, before CR
	chunkDataLF                    // after the data, before LF
	chunkTrailer                   // in the trailer section
	chunkDone                      // after the body
)

// Done reports whether the body is complete, trailers included.
func (d *Decoder) Done() bool { return d.state == chunkDone }

// Trailer returns the trailer fields of a complete body. Fields that must not
// stand in trailers are left out (RFC 9110 §6.5.1).
func (d *Decoder) Trailer() header.Header { return header.Of(d.fields) }

// Decode takes the framing out of b, which follows on the bytes of the calls
// before: it moves the data to the front of b and returns their number. rest is
// what follows a complete body; it is empty until Done. With an error, the first
// n bytes are data all the same.
func (d *Decoder) Decode(b []byte) (n int, rest []byte, err error) {
	for i := 0; i < len(b); {
		switch d.state {
		case chunkData:
			take := int(min(uint64(len(b)-i), d.left))
			if n != i {
				copy(b[n:], b[i:i+take])
			}
			n, i = n+take, i+take
			d.excess = max(d.excess-int64(take), 0)
			if d.left -= uint64(take); d.left == 0 {
				d.state = chunkDataCR
			}
		case chunkTrailer:
			used, err := d.readTrailer(b[i:])
			if err != nil {
				return n, nil, err
			}
			i += used
		case chunkDone:
			return n, b[i:], nil
		default:
			if err := d.step(b[i]); err != nil {
				return n, nil, err
			}
			i++
		}
	}
	return n, nil, nil
}

// step takes one byte of framing.
func (d *Decoder) step(c byte) error {
	switch d.state {
	case chunkSize:
		if v, ok := hexValue(c); ok {
			if d.digits++; d.digits > maxSizeDigits {
				return protocolError("RFC 9112 §7.1", "chunk size has too many digits")
			}
			d.left = d.left<<4 | uint64(v)
			return nil
		}
		if d.digits == 0 {
			return protocolError("RFC 9112 §7.1", "bad chunk size: "+quote([]byte{c}))
		}
		if d.left > 1<<62 {
			return protocolError("RFC 9112 §7.1", "chunk size is too large")
		}
		return d.afterSize(c)
	case chunkSpace:
		return d.afterSize(c)
	case chunkExt:
		return d.extension(c)
	case chunkSizeLF:
		if c != '\n' {
			return protocolError("RFC 9112 §7.1", "bare CR in a chunk's size line")
		}
		d.endOfSize()
	case chunkDataCR:
		switch {
		case c == '\r':
			d.state = chunkDataLF
		case c == '\n' && d.Limits.Lenient:
			d.state = chunkSize
		default:
			return protocolError("RFC 9112 §7.1", "chunk is longer than its size: "+quote([]byte{c})+" in place of CRLF")
		}
	case chunkDataLF:
		if c != '\n' {
			return protocolError("RFC 9112 §7.1", "chunk data not followed by CRLF")
		}
		d.state = chunkSize
	}
	return nil
}

// afterSize takes a byte between a chunk's size and its line end. White space
// (BWS) is for extensions only; padding without one is left to Lenient.
func (d *Decoder) afterSize(c byte) error {
	switch {
	case c == ';':
		d.state = chunkExt
		return d.countExt()
	case isBlank(c):
		d.state = chunkSpace
		return d.countExt()
	case c == '\r' && (d.state == chunkSize || d.Limits.Lenient):
		d.state = chunkSizeLF
		return nil
	case c == '\n' && d.Limits.Lenient:
		d.endOfSize()
		return nil
	}
	return protocolError("RFC 9112 §7.1", "bad byte after a chunk size: "+quote([]byte{c}))
}

func (d *Decoder) extension(c byte) error {
	switch {
	case c == '\r':
		d.state = chunkSizeLF
		return nil
	case c == '\n' && d.Limits.Lenient:
		d.endOfSize()
		return nil
	case c < ' ' && c != '\t' || c == 0x7f:
		return protocolError("RFC 9112 §7.1.1", "control character in a chunk extension: "+quote([]byte{c}))
	}
	return d.countExt()
}

func (d *Decoder) countExt() error {
	d.ext++
	d.excess++
	if d.ext > maxExtLine || d.excess > maxExtTotal {
		return protocolError("RFC 9112 §7.1.1", "chunk extensions are too long")
	}
	return nil
}

func (d *Decoder) endOfSize() {
	d.digits, d.ext = 0, 0
	d.state = chunkData
	if d.left == 0 {
		d.state = chunkTrailer
	}
}

// readTrailer takes bytes of the trailer section (RFC 9112 §7.1.2), at most to
// the end of a line, and returns how many.
func (d *Decoder) readTrailer(b []byte) (int, error) {
	used := len(b)
	i := bytes.IndexByte(b, '\n')
	if i >= 0 {
		used = i + 1
	}
	// The usual empty section needs no memory.
	if i == 1 && b[0] == '\r' && len(d.trailer) == 0 {
		d.state = chunkDone
		return used, nil
	}
	if len(d.trailer)+used > d.Limits.maxBytes() {
		return 0, protocolError("", "trailer section is larger than MaxHeaderBytes, "+strconv.Itoa(d.Limits.maxBytes()))
	}
	d.trailer = append(d.trailer, b[:used]...)
	if i < 0 {
		return used, nil
	}
	line := d.trailer[d.line:]
	if blank := string(line) == "\r\n" || string(line) == "\n" && d.Limits.Lenient; !blank {
		d.line = len(d.trailer)
		return used, d.checkTrailerLine(line)
	}
	return used, d.endTrailer()
}

// checkTrailerLine refuses at once what endTrailer would refuse later, and
// bounds the number of lines.
func (d *Decoder) checkTrailerLine(line []byte) error {
	if len(line) < 2 || line[len(line)-2] != '\r' {
		if !d.Limits.Lenient {
			return protocolError("RFC 9112 §2.2", "trailer line ends with a bare LF: "+quote(line))
		}
	}
	if d.lines++; d.lines > d.Limits.maxFields() {
		return tooManyFields(d.Limits)
	}
	return nil
}

func (d *Decoder) endTrailer() error {
	text := string(d.trailer)
	fields, err := parseFields(make([]header.Field, 0, strings.Count(text, "\n")-1), text, d.Limits)
	if err != nil {
		return err
	}
	for _, f := range fields {
		if !ForbiddenTrailer(f.Name) {
			d.fields = append(d.fields, f)
		}
	}
	d.trailer = nil
	d.state = chunkDone
	return nil
}

// forbiddenTrailers are the fields that decide on framing, routing,
// authentication or how the content is read, and so must come before it
// (RFC 9110 §6.5.1).
var forbiddenTrailers = []string{
	"Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Range",
	"Content-Type", "Cookie", "Expect", "Host", "Keep-Alive", "Max-Forwards", "Proxy-Authenticate",
	"Proxy-Authorization", "Proxy-Connection", "Range", "Set-Cookie", "TE", "Trailer", "Transfer-Encoding",
	"Upgrade", "WWW-Authenticate",
}

// ForbiddenTrailer reports whether a field of that name must not stand in a
// trailer section.
func ForbiddenTrailer(name string) bool {
	for _, f := range forbiddenTrailers {
		if header.EqualFold(f, name) {
			return true
		}
	}
	return false
}

func hexValue(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
