package header

import (
	"slices"
	"strings"
)

// MediaType is a media type with its parameters: text/html;charset=utf-8. Type,
// Subtype and the names of parameters are in lower case when they come from
// [ParseMediaType]. The zero value is no media type.
type MediaType struct {
	Type, Subtype string
	Params        []Param
}

// ParseMediaType parses s as browsers do (WHATWG MIME Sniffing §4.4): faulty
// parameters are left out, of several with one name the first counts, and a
// quoted-string that is not closed goes to the end. It fails only without a
// type and a subtype.
func ParseMediaType(s string) (MediaType, bool) {
	s = strings.Trim(s, httpBlanks)
	essence, rest, _ := strings.Cut(s, ";")
	typ, subtype, _ := strings.Cut(strings.TrimRight(essence, httpBlanks), "/")
	if !IsToken(typ) || !IsToken(subtype) {
		return MediaType{}, false
	}
	m := MediaType{Type: lowerASCII(typ), Subtype: lowerASCII(subtype)}
	for rest != "" {
		var name, value string
		var quoted bool
		name, value, quoted, rest = nextMediaParam(rest)
		if !IsToken(name) || value == "" && !quoted || !quotable(value) {
			continue
		}
		if _, dup := paramOf(m.Params, name); !dup {
			m.Params = append(m.Params, Param{name, value})
		}
	}
	return m, true
}

// httpBlanks is HTTP whitespace as WHATWG defines it.
const httpBlanks = " \t\r\n"

// nextMediaParam reads one parameter; name is "" if there is none before the
// next semicolon.
func nextMediaParam(s string) (name, value string, quoted bool, rest string) {
	s = strings.TrimLeft(s, httpBlanks)
	i := strings.IndexAny(s, ";=")
	if i < 0 {
		return "", "", false, ""
	}
	if s[i] == ';' {
		return "", "", false, s[i+1:]
	}
	name, s = lowerASCII(s[:i]), s[i+1:]
	if s != "" && s[0] == '"' {
		value, rest, _ = readQuoted(s)
		_, rest, _ = strings.Cut(rest, ";")
		return name, value, true, rest
	}
	value, rest, _ = strings.Cut(s, ";")
	return name, strings.TrimRight(value, httpBlanks), false, rest
}

// quotable reports whether a quoted-string can hold s (the "HTTP quoted-string
// token code points" of WHATWG).
func quotable(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return true
}

// ContentType returns the media type of the Content-Type fields as browsers
// extract it (WHATWG Fetch, "extract a MIME type"): the last that is valid and
// not */* counts, and takes over the charset of an earlier one of the same
// essence. ok is false if there is none.
func ContentType(h Header) (m MediaType, ok bool) {
	var charset string
	// Splitting the joined value, not each field, is what Fetch does: a quote
	// that one field leaves open swallows the next.
	for one := range List(h.Joined("Content-Type")) {
		next, valid := ParseMediaType(one)
		if !valid || next.Essence() == "*/*" {
			continue
		}
		cs, has := paramOf(next.Params, "charset")
		switch {
		case !ok || next.Essence() != m.Essence():
			charset = cs
		case !has && charset != "":
			next.Params = append(next.Params, Param{"charset", charset})
		case has:
			charset = cs
		}
		m, ok = next, true
	}
	return m, ok
}

// Essence returns type and subtype: "text/html"; "" for the zero value.
func (m MediaType) Essence() string {
	if m.Type == "" && m.Subtype == "" {
		return ""
	}
	return lowerASCII(m.Type) + "/" + lowerASCII(m.Subtype)
}

// Param returns the value of a parameter, "" if it is not there.
func (m MediaType) Param(name string) string {
	v, _ := paramOf(m.Params, name)
	return v
}

// Charset returns the charset parameter in lower case without white space
// around it, "" if there is none.
func (m MediaType) Charset() string {
	return lowerASCII(strings.Trim(m.Param("charset"), httpBlanks))
}

// WithParam returns m with the parameter set; m itself stays as it is.
func (m MediaType) WithParam(name, value string) MediaType {
	params := slices.Clone(m.Params)
	i := slices.IndexFunc(params, func(p Param) bool { return EqualFold(p.Name, name) })
	if i >= 0 {
		params[i].Value = value
	} else {
		params = append(params, Param{lowerASCII(name), value})
	}
	m.Params = params
	return m
}

// String serialises m (WHATWG MIME Sniffing §4.5), parameters quoted where they
// are no tokens: text/html;charset=utf-8. The zero value gives "".
func (m MediaType) String() string {
	s := m.Essence()
	if len(m.Params) == 0 {
		return s
	}
	var b strings.Builder
	b.WriteString(s)
	for _, p := range m.Params {
		b.WriteByte(';')
		b.WriteString(p.Name)
		b.WriteByte('=')
		b.WriteString(quoteUnlessToken(p.Value))
	}
	return b.String()
}

// Suffix returns the structured syntax suffix without its plus: "json" of
// application/problem+json (RFC 6838 §4.2.8); "" if there is none.
func (m MediaType) Suffix() string {
	if i := strings.LastIndexByte(m.Subtype, '+'); i >= 0 {
		return lowerASCII(m.Subtype[i+1:])
	}
	return ""
}

// Matches reports whether m fits pattern: "text/html", "text/*", "*/*", "*", or
// "application/*+json" for every subtype with that suffix. Parameters in
// pattern must be in m with the same value, without regard to case. A pattern
// that is no media type matches nothing.
func (m MediaType) Matches(pattern string) bool {
	if pattern == "*" {
		return m.Type != ""
	}
	p, ok := ParseMediaType(pattern)
	if !ok || m.Type == "" {
		return false
	}
	if p.Type != "*" && !EqualFold(p.Type, m.Type) {
		return false
	}
	if suffix, any := strings.CutPrefix(p.Subtype, "*+"); any {
		if m.Suffix() != suffix {
			return false
		}
	} else if p.Subtype != "*" && !EqualFold(p.Subtype, m.Subtype) {
		return false
	}
	return !slices.ContainsFunc(p.Params, func(want Param) bool {
		got, ok := paramOf(m.Params, want.Name)
		return !ok || !EqualFold(got, want.Value)
	})
}

// IsJSON reports whether m is JSON: application/json, text/json or a +json type.
func (m MediaType) IsJSON() bool {
	return m.Suffix() == "json" || EqualFold(m.Subtype, "json") &&
		(EqualFold(m.Type, "application") || EqualFold(m.Type, "text"))
}

// IsXML reports whether m is XML: application/xml, text/xml or a +xml type.
func (m MediaType) IsXML() bool {
	return m.Suffix() == "xml" || EqualFold(m.Subtype, "xml") &&
		(EqualFold(m.Type, "application") || EqualFold(m.Type, "text"))
}

// IsText reports whether a body of this type can be shown as text: text/*,
// JSON, XML, scripts, URL-encoded forms, YAML.
func (m MediaType) IsText() bool {
	if EqualFold(m.Type, "text") || m.IsJSON() || m.IsXML() || m.Suffix() == "yaml" {
		return true
	}
	switch m.Essence() {
	case "application/javascript", "application/ecmascript", "application/x-www-form-urlencoded",
		"application/yaml", "application/x-yaml", "application/toml", "application/graphql",
		"application/sql", "application/x-ndjson", "application/jsonl", "application/json-seq":
		return true
	}
	return false
}
