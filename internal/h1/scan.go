package h1

import (
	"bytes"
	"strconv"
)

// Scanner finds the end of a response head. Its zero value, with Limits set, is
// ready for one head; Reset makes it ready for the next.
type Scanner struct {
	Limits Limits

	line  int // start of the line that is not complete yet
	next  int // bytes before it hold no line end after line
	lines int // complete lines, empty ones before the status line not counted
}

// Reset forgets the head scanned so far.
func (s *Scanner) Reset() { s.line, s.next, s.lines = 0, 0, 0 }

// Scan looks at all bytes of the head received so far and returns its length,
// blank line included, or 0 if more bytes are needed. b must begin with the
// bytes of earlier calls.
func (s *Scanner) Scan(b []byte) (int, error) {
	for {
		if s.lines == 0 {
			if err := s.checkStart(b[s.line:]); err != nil {
				return 0, err
			}
		}
		i := bytes.IndexByte(b[s.next:], '\n')
		if i < 0 {
			s.next = len(b)
			if len(b) > s.Limits.maxBytes() {
				return 0, s.tooLarge()
			}
			return 0, nil
		}
		end := s.next + i + 1
		if end > s.Limits.maxBytes() {
			return 0, s.tooLarge()
		}
		line := b[s.line : end-1]
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		} else if !s.Limits.Lenient {
			return 0, protocolError("RFC 9112 §2.2", "line ends with a bare LF: "+quote(line))
		}
		s.line, s.next = end, end
		if len(line) == 0 {
			if s.lines > 0 {
				return end, nil
			}
			continue // lenient: checkStart lets no blank line through otherwise
		}
		if s.lines++; s.lines-1 > s.Limits.maxFields() {
			return 0, tooManyFields(s.Limits)
		}
	}
}

const versionPrefix = "HTTP/1."

// checkStart refuses what cannot become a status line as soon as that is known,
// so that a peer with another protocol is an error and not a timeout.
func (s *Scanner) checkStart(line []byte) error {
	if s.Limits.Lenient && len(line) > 0 && (line[0] == '\r' || line[0] == '\n') {
		return nil
	}
	n := min(len(line), len(versionPrefix))
	if string(line[:n]) != versionPrefix[:n] {
		if bytes.HasPrefix(line, []byte("HTTP/")) {
			return protocolError("RFC 9112 §2.3", "unsupported version: "+quote(firstLine(line)))
		}
		return protocolError("RFC 9112 §4", "not an HTTP response: "+quote(firstLine(line)))
	}
	return nil
}

func firstLine(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	return bytes.TrimSuffix(b, []byte("\r"))
}

func (s *Scanner) tooLarge() error {
	return protocolError("", "response head is larger than MaxHeaderBytes, "+strconv.Itoa(s.Limits.maxBytes()))
}

func tooManyFields(l Limits) error {
	return protocolError("", "more fields than MaxHeaderFields, "+strconv.Itoa(l.maxFields()))
}
