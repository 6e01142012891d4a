package header

import (
	"iter"
	"strings"
)

// Param is one parameter of a field value: charset=utf-8, realm="x".
type Param struct {
	Name, Value string
}

// paramOf returns the value of the first parameter of that name, compared
// without regard to case.
func paramOf(params []Param, name string) (string, bool) {
	for _, p := range params {
		if EqualFold(p.Name, name) {
			return p.Value, true
		}
	}
	return "", false
}

// Quote returns s as a quoted-string (RFC 9110 §5.6.4): in double quotes, with
// a backslash before each quote and backslash.
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// quoteUnlessToken returns s itself if it is a token, else quoted.
func quoteUnlessToken(s string) string {
	if IsToken(s) {
		return s
	}
	return Quote(s)
}

// readQuoted reads the quoted-string that starts at s[0] == '"' and returns its
// unescaped content and what follows it. closed is false if the final quote is
// missing; then the value goes to the end of s, and a lone backslash there
// stands for itself (WHATWG Fetch, "collect an HTTP quoted string").
func readQuoted(s string) (value, rest string, closed bool) {
	s = s[1:]
	i := strings.IndexAny(s, `"\`)
	if i < 0 {
		return s, "", false
	}
	if s[i] == '"' {
		return s[:i], s[i+1:], true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", false
}

// quotedEnd returns the index just after the quoted-string that starts at
// s[0] == '"', or len(s) if it is not closed.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(s)
}

// cutUnquoted cuts s at the first sep outside of quoted-strings.
func cutUnquoted(s string, sep byte) (before, after string, found bool) {
	for i := 0; i < len(s); {
		switch s[i] {
		case sep:
			return s[:i], s[i+1:], true
		case '"':
			i += quotedEnd(s[i:])
		default:
			i++
		}
	}
	return s, "", false
}

// readToken returns the token at the start of s, "" if there is none, and the rest.
func readToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && tokenChars[s[i]] {
		i++
	}
	return s[:i], s[i:]
}

// readTokenOrQuoted returns the token or quoted-string at the start of s.
func readTokenOrQuoted(s string) (value, rest string, ok bool) {
	if s != "" && s[0] == '"' {
		return readQuoted(s)
	}
	value, rest = readToken(s)
	return value, rest, value != ""
}

// readParams reads the parameters in s, separated by semicolons, leniently:
// what is no parameter is left out, one without "=" has the value "". Names
// come in lower case.
func readParams(s string) []Param {
	var params []Param
	for s != "" {
		var one string
		one, s, _ = cutUnquoted(s, ';')
		name, value, _ := strings.Cut(one, "=")
		if name = trim(name); !IsToken(name) {
			continue
		}
		if value = trim(value); value != "" && value[0] == '"' {
			value, _, _ = readQuoted(value)
		}
		params = append(params, Param{lowerASCII(name), value})
	}
	return params
}

// List iterates over the elements of a comma-separated list (RFC 9110 §5.6.1):
// white space around an element is removed, empty elements are left out, and a
// comma in a quoted-string separates nothing. Elements keep their quotes.
func List(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for s := s; s != ""; {
			var one string
			one, s, _ = cutUnquoted(s, ',')
			if one = trim(one); one != "" && !yield(one) {
				return
			}
		}
	}
}

// SplitList returns the elements that [List] iterates over.
func SplitList(s string) []string {
	var all []string
	for one := range List(s) {
		all = append(all, one)
	}
	return all
}

// HasToken reports whether token is an element of the list that all fields of
// that name make up together, compared without regard to case: "close" in
// Connection, "chunked" in Transfer-Encoding. It allocates nothing.
func HasToken(h Header, name, token string) bool {
	for i := h.index(name, 0); i >= 0; i = h.index(name, i+1) {
		for one := range List(h.fields[i].Value) {
			if EqualFold(one, token) {
				return true
			}
		}
	}
	return false
}

// trim removes spaces and tabs at both ends (OWS, RFC 9110 §5.6.3).
func trim(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func trimLeft(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

// lowerASCII returns s with A–Z in lower case, s itself if there are none.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if lower(s[i]) != s[i] {
			b := []byte(s)
			for i := range b {
				b[i] = lower(b[i])
			}
			return string(b)
		}
	}
	return s
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
