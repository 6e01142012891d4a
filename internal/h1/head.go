package h1

import (
	"bytes"
	"strings"

	"github.com/godwit-go/godwit/header"
)

// Head is the head of a response.
type Head struct {
	// Minor is the minor version: 0 or 1.
	Minor int
	// Status is the status code, 100 to 999.
	Status int
	// Reason is the reason phrase as sent; it may be empty.
	Reason string
	// Header holds the fields in order and case.
	Header header.Header

	facts
}

// Proto returns "HTTP/1.0" or "HTTP/1.1".
func (h *Head) Proto() string {
	if h.Minor == 0 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// ParseHead parses a head: the bytes up to the length that [Scanner.Scan]
// returned. The result does not refer to b. The fields share one string and one
// slice, which has no room to spare.
func ParseHead(b []byte, limits Limits) (h Head, err error) {
	err = h.Parse(b, limits)
	return h, err
}

// Parse is [ParseHead] in place, for stacks on which a few hundred bytes count.
// After an error h is blank.
func (h *Head) Parse(b []byte, limits Limits) error {
	*h = Head{facts: noFacts()}
	err := h.parse(b, limits)
	if err != nil {
		*h = Head{}
	}
	return err
}

func (h *Head) parse(b []byte, limits Limits) error {
	text := string(b)
	if limits.Lenient {
		text = strings.TrimLeft(text, "\r\n")
	}
	line, rest, err := cutLine(text, limits)
	if err != nil {
		return err
	}
	if err := h.parseStatusLine(line, limits); err != nil {
		return err
	}
	// The blank line at the end is not a field.
	fields := make([]header.Field, 0, max(bytes.Count(b[len(b)-len(rest):], []byte{'\n'})-1, 0))
	fields, err = parseFields(fields, rest, limits)
	if err != nil {
		return err
	}
	for _, f := range fields {
		h.note(f)
	}
	h.Header = header.Of(fields)
	return nil
}

// cutLine splits text after its first line and checks the line end.
func cutLine(text string, limits Limits) (line, rest string, err error) {
	i := strings.IndexByte(text, '\n')
	if i < 0 {
		return "", "", protocolError("RFC 9112 §2.1", "head without an end: "+quote(text))
	}
	line, rest = text[:i], text[i+1:]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], rest, nil
	}
	if !limits.Lenient {
		return "", "", protocolError("RFC 9112 §2.2", "line ends with a bare LF: "+quote(line))
	}
	return line, rest, nil
}

// parseStatusLine reads status-line = HTTP-version SP status-code SP [reason]
// (RFC 9112 §4). The second space is missing in the wild and not asked for.
func (h *Head) parseStatusLine(line string, limits Limits) error {
	bad := func() error { return protocolError("RFC 9112 §4", "bad status line: "+quote(line)) }
	if len(line) < len(versionPrefix)+1 || line[:len(versionPrefix)] != versionPrefix {
		return bad()
	}
	minor, rest := line[len(versionPrefix)], line[len(versionPrefix)+1:]
	if !isDigit(minor) {
		return bad()
	}
	h.Minor = min(int(minor-'0'), 1)
	if rest == "" || rest[0] != ' ' {
		return bad()
	}
	rest = rest[1:]
	if limits.Lenient {
		rest = strings.TrimLeft(rest, " ")
	}
	if len(rest) < 3 || rest[0] < '1' || !isDigit(rest[0]) || !isDigit(rest[1]) || !isDigit(rest[2]) {
		return bad()
	}
	h.Status = int(rest[0]-'0')*100 + int(rest[1]-'0')*10 + int(rest[2]-'0')
	rest = rest[3:]
	if rest != "" && rest[0] != ' ' {
		return bad()
	}
	h.Reason = strings.TrimPrefix(rest, " ")
	if i := badValueByte(h.Reason); i >= 0 {
		if !limits.Lenient || h.Reason[i] == 0 || strings.IndexByte(h.Reason, 0) >= 0 {
			return bad()
		}
		h.Reason = strings.ReplaceAll(h.Reason, "\r", " ")
	}
	return nil
}

// parseFields appends the field lines of text, up to its blank line, to fields.
func parseFields(fields []header.Field, text string, limits Limits) ([]header.Field, error) {
	for {
		line, rest, err := cutLine(text, limits)
		if err != nil {
			return nil, err
		}
		if line == "" {
			return fields, nil
		}
		text = rest
		if line[0] == ' ' || line[0] == '\t' {
			if fields, err = fold(fields, line, limits); err != nil {
				return nil, err
			}
			continue
		}
		f, ok, err := parseField(line, limits)
		if err != nil {
			return nil, err
		}
		if ok {
			fields = append(fields, f)
		}
		if len(fields) > limits.maxFields() {
			return nil, tooManyFields(limits)
		}
	}
}

// parseField reads field-line = field-name ":" OWS field-value OWS
// (RFC 9112 §5). ok is false for a line that is skipped.
func parseField(line string, limits Limits) (f header.Field, ok bool, err error) {
	i := 0
	for i < len(line) && header.IsTokenChar(line[i]) {
		i++
	}
	name := line[:i]
	if limits.Lenient {
		for i < len(line) && isBlank(line[i]) {
			i++
		}
	}
	if i < len(line) && line[i] == ':' && name != "" {
		value, err := cleanValue(trimBlank(line[i+1:]), line, limits)
		return header.Field{Name: name, Value: value}, err == nil, err
	}
	switch {
	case strings.IndexByte(line, 0) >= 0:
		return f, false, protocolError("RFC 9110 §5.5", "NUL in a field: "+quote(line))
	case limits.Lenient:
		return f, false, nil
	case name != "" && i < len(line) && isBlank(line[i]):
		return f, false, protocolError("RFC 9112 §5.1", "white space before the colon of a field: "+quote(line))
	}
	return f, false, protocolError("RFC 9112 §5", "bad field line: "+quote(line))
}

// fold handles a line that continues the field before it (obs-fold,
// RFC 9112 §5.2).
func fold(fields []header.Field, line string, limits Limits) ([]header.Field, error) {
	if !limits.Lenient {
		return nil, protocolError("RFC 9112 §5.2", "folded field line: "+quote(line))
	}
	if len(fields) == 0 {
		return fields, nil
	}
	more, err := cleanValue(trimBlank(line), line, limits)
	if err != nil {
		return nil, err
	}
	last := &fields[len(fields)-1]
	last.Value = trimBlank(last.Value + " " + more)
	return fields, nil
}

// cleanValue checks a value's bytes (RFC 9110 §5.5).
func cleanValue(value, line string, limits Limits) (string, error) {
	i := badValueByte(value)
	if i < 0 {
		return value, nil
	}
	if strings.IndexByte(value, 0) >= 0 {
		return "", protocolError("RFC 9110 §5.5", "NUL in a field: "+quote(line))
	}
	if limits.Lenient {
		return trimBlank(strings.ReplaceAll(value, "\r", " ")), nil
	}
	if value[i] == '\r' {
		return "", protocolError("RFC 9112 §2.2", "bare CR in a field: "+quote(line))
	}
	return "", protocolError("RFC 9110 §5.5", "control character in a field: "+quote(line))
}

// badValueByte returns the index of the first control character but tab, or -1.
func badValueByte(s string) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		// Eight bytes at once, nearly always fine: one is below 0x20 if taking that
		// off borrows, and 0x7f if the difference to that is zero.
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		const ones, tops = 0x0101010101010101, 0x8080808080808080
		del := w ^ 0x7f*ones
		if ((w-0x20*ones)&^w|(del-ones)&^del)&tops != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return i
		}
	}
	return -1
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func trimBlank(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}
