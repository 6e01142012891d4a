package header

import (
	"strings"
	"unicode/utf8"
)

// Disposition is a Content-Disposition (RFC 6266; RFC 7578 in multipart bodies):
// its type and parameters, both names in lower case.
type Disposition struct {
	Type   string
	Params []Param
}

// ParseDisposition parses a Content-Disposition value. Faulty parameters are
// left out; it fails only without a type.
func ParseDisposition(s string) (Disposition, bool) {
	typ, rest, _ := cutUnquoted(s, ';')
	if typ = trim(typ); !IsToken(typ) {
		return Disposition{}, false
	}
	return Disposition{Type: lowerASCII(typ), Params: readParams(rest)}, true
}

// Param returns the value of a parameter as it was sent, without quotes. The
// extended form wins: Param("filename") decodes filename* if that is there and
// valid (RFC 6266 §4.3).
func (d Disposition) Param(name string) string {
	if ext, ok := paramOf(d.Params, name+"*"); ok {
		if v, ok := decodeExtended(ext); ok {
			return v
		}
	}
	v, _ := paramOf(d.Params, name)
	return v
}

// Name returns the name of a form field.
func (d Disposition) Name() string { return d.Param("name") }

// Filename returns the last element of the file name, so that it cannot point
// out of a directory: what stands before a slash or backslash is cut off, and
// "." and ".." become "". Param("filename") has the whole.
func (d Disposition) Filename() string {
	name := d.Param("filename")
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	if name == "." || name == ".." || strings.IndexByte(name, 0) >= 0 {
		return ""
	}
	return name
}

// FormatDisposition returns a Content-Disposition for multipart bodies: values
// always in quotes, in which a quote becomes %22, CR %0D and LF %0A and nothing
// else is escaped, as browsers do it (WHATWG HTML, "multipart/form-data encoding
// algorithm"). kind and the names must be tokens.
func FormatDisposition(kind string, params ...Param) string {
	var b strings.Builder
	b.WriteString(kind)
	for _, p := range params {
		b.WriteString("; ")
		b.WriteString(p.Name)
		b.WriteString(`="`)
		for i := 0; i < len(p.Value); i++ {
			switch c := p.Value[i]; c {
			case '"':
				b.WriteString("%22")
			case '\r':
				b.WriteString("%0D")
			case '\n':
				b.WriteString("%0A")
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('"')
	}
	return b.String()
}

// decodeExtended decodes charset'language'value (RFC 8187 §3.2) in UTF-8 or
// ISO-8859-1.
func decodeExtended(s string) (string, bool) {
	charset, rest, ok1 := strings.Cut(s, "'")
	_, value, ok2 := strings.Cut(rest, "'")
	if !ok1 || !ok2 {
		return "", false
	}
	raw, ok := unescapePercent(value)
	switch {
	case !ok:
		return "", false
	case EqualFold(charset, "utf-8"):
		return raw, utf8.ValidString(raw)
	case EqualFold(charset, "iso-8859-1"):
		return latin1(raw), true
	}
	return "", false
}

func latin1(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

func unescapePercent(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, ok1 := hexDigit(s[i+1])
		lo, ok2 := hexDigit(s[i+2])
		if !ok1 || !ok2 {
			return "", false
		}
		b.WriteByte(hi<<4 | lo)
		i += 2
	}
	return b.String(), true
}

func hexDigit(c byte) (byte, bool) {
	switch c = lower(c); {
	case isDigit(c):
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
