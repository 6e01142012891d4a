package header

import "strings"

// Challenge is one challenge of WWW-Authenticate or Proxy-Authenticate, or the
// credentials of Authorization (RFC 9110 §11.3). It has Token68 or Params, or
// neither.
type Challenge struct {
	// Scheme is in the case in which it was sent.
	Scheme  string
	Token68 string
	Params  []Param
}

// Param returns the value of a parameter, its name compared without regard to
// case, "" if it is not there.
func (c Challenge) Param(name string) string {
	v, _ := paramOf(c.Params, name)
	return v
}

// Is reports whether the challenge is of that scheme, without regard to case.
func (c Challenge) Is(scheme string) bool { return EqualFold(c.Scheme, scheme) }

// String returns the challenge as it stands in a field.
func (c Challenge) String() string {
	if c.Token68 != "" {
		return c.Scheme + " " + c.Token68
	}
	var b strings.Builder
	b.WriteString(c.Scheme)
	for i, p := range c.Params {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + p.Name + "=" + Quote(p.Value))
	}
	return b.String()
}

// ParseChallenges returns the challenges in all fields of that name, in order;
// a field may hold several. What cannot be read is left out up to the next
// comma. Names of parameters keep their case.
func ParseChallenges(h Header, name string) []Challenge {
	var all []Challenge
	for i := h.index(name, 0); i >= 0; i = h.index(name, i+1) {
		all = appendChallenges(all, h.fields[i].Value)
	}
	return all
}

// appendChallenges reads one field value. The grammar is ambiguous at a comma:
// what follows is a parameter of the running challenge if it is a token with
// "=" after it, else the scheme of the next one.
func appendChallenges(all []Challenge, s string) []Challenge {
	open := false // all's last challenge is from this field and may get parameters
	for {
		s = strings.TrimLeft(s, " \t,")
		if s == "" {
			return all
		}
		token, rest := readToken(s)
		if token == "" {
			_, s, _ = cutUnquoted(s, ',')
			continue
		}
		if value, after, ok := readAuthValue(rest); ok {
			if open && atElementEnd(after) {
				last := &all[len(all)-1]
				last.Params = append(last.Params, Param{token, value})
			}
			_, s, _ = cutUnquoted(after, ',')
			continue
		}
		if rest != "" && !isBlank(rest[0]) && rest[0] != ',' {
			_, s, _ = cutUnquoted(rest, ',')
			continue
		}
		c := Challenge{Scheme: token}
		c.Token68, s = readToken68(trimLeft(rest))
		all, open = append(all, c), c.Token68 == ""
	}
}

// readAuthValue reads "=" and a value, with white space around the "=".
func readAuthValue(s string) (value, rest string, ok bool) {
	s = trimLeft(s)
	if s == "" || s[0] != '=' {
		return "", "", false
	}
	return readTokenOrQuoted(trimLeft(s[1:]))
}

// readToken68 reads a token68 that is all of its list element, else nothing.
func readToken68(s string) (token68, rest string) {
	i := 0
	for i < len(s) && isToken68(s[i]) {
		i++
	}
	if i == 0 {
		return "", s
	}
	for i < len(s) && s[i] == '=' {
		i++
	}
	if !atElementEnd(s[i:]) {
		return "", s
	}
	return s[:i], s[i:]
}

func isToken68(c byte) bool {
	l := lower(c)
	return 'a' <= l && l <= 'z' || isDigit(c) || strings.IndexByte("-._~+/", c) >= 0
}

func atElementEnd(s string) bool {
	s = trimLeft(s)
	return s == "" || s[0] == ','
}
