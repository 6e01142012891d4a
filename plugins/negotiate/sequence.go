package negotiate

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/godwit-go/godwit/header"
)

// JSON text sequences (RFC 7464): each text begins with a record separator and
// ends with a line feed, and may have line ends inside. So that a text is given as
// soon as it is there, and not with the separator of the next, its brackets and
// quotes are followed: a line feed outside of them ends it. A separator ends it in
// any case, so that a broken text costs no other.

const recordSeparator = 0x1e

// isSequence reports whether a type is application/json-seq, or has its suffix
// (RFC 8091).
func isSequence(contentType string) bool {
	mt, _ := header.ParseMediaType(contentType)
	return mt.Essence() == "application/json-seq" || mt.Suffix() == "json-seq"
}

// sequenceReader reads texts of bounded length.
type sequenceReader struct {
	r     *bufio.Reader
	limit int
	buf   []byte
	n     int // the number of the text read last

	depth             int
	inString, escaped bool
}

// next returns a text with the white space behind it; it is void after the
// following call.
func (s *sequenceReader) next() ([]byte, error) {
	s.buf = s.buf[:0]
	s.depth, s.inString, s.escaped = 0, false, false
	s.n++
	for {
		c, err := s.r.ReadByte()
		switch {
		case err == io.EOF && len(s.buf) > 0:
			return s.buf, nil
		case err != nil:
			return nil, err
		case c == recordSeparator && len(s.buf) > 0:
			return s.buf, nil
		case c == recordSeparator, len(s.buf) == 0 && isSpace(c):
			continue
		}
		s.buf = append(s.buf, c)
		s.follow(c)
		if c == '\n' && s.depth <= 0 && !s.inString {
			return s.buf, nil
		}
		if len(s.buf) > s.limit && len(trimEnd(s.buf)) > s.limit {
			return nil, tooLong("text", s.n, s.limit)
		}
	}
}

func (s *sequenceReader) follow(c byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case s.inString:
		s.escaped, s.inString = c == '\\', c != '"'
	case c == '"':
		s.inString = true
	case c == '[', c == '{':
		s.depth++
	case c == ']', c == '}':
		s.depth--
	}
}

var errCut = errors.New("the text may be cut: a number, true, false or null in a sequence ends with white space (RFC 7464 §2.4)")

// checkCut refuses a value that does not show its own end where nothing else does.
func checkCut(text []byte) error {
	if len(text) == 0 || strings.IndexByte(`{["`, text[0]) >= 0 || isSpace(text[len(text)-1]) {
		return nil
	}
	return errCut
}

func isSpace(c byte) bool { return bytes.IndexByte([]byte(" \t\r\n"), c) >= 0 }
