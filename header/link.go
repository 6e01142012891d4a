package header

import "strings"

// Link is one link of a Link field (RFC 8288).
type Link struct {
	// URI is the target as it was sent, often relative to the response's URL.
	URI string
	// Params have their names in lower case.
	Params []Param
}

// ParseLinks returns the links of all Link fields in order. Faulty ones are
// left out.
func ParseLinks(h Header) []Link {
	var all []Link
	for i := h.index("Link", 0); i >= 0; i = h.index("Link", i+1) {
		s := h.fields[i].Value
		for s != "" {
			// A target may hold commas and semicolons: it goes first.
			start := strings.IndexByte(s, '<')
			if start < 0 {
				break
			}
			uri, rest, closed := strings.Cut(s[start+1:], ">")
			if !closed {
				break
			}
			junk := strings.Trim(s[:start], " \t,")
			var params string
			params, s, _ = cutUnquoted(rest, ',')
			params = trim(params)
			if junk != "" || params != "" && params[0] != ';' {
				continue
			}
			all = append(all, Link{URI: trim(uri), Params: readParams(params)})
		}
	}
	return all
}

// Param returns the value of a parameter, "" if it is not there. The extended
// form wins: Param("title") decodes title* if that is there and valid.
func (l Link) Param(name string) string { return Disposition{Params: l.Params}.Param(name) }

// Rel returns the relation types as they were sent, separated by spaces: "next".
func (l Link) Rel() string { return l.Param("rel") }

// HasRel reports whether rel is one of the relation types, without regard to case.
func (l Link) HasRel(rel string) bool {
	for one := range strings.FieldsSeq(l.Rel()) {
		if EqualFold(one, rel) {
			return true
		}
	}
	return false
}

// String returns the link as it stands in a field.
func (l Link) String() string {
	var b strings.Builder
	b.WriteString("<" + l.URI + ">")
	for _, p := range l.Params {
		b.WriteString("; " + p.Name + "=" + quoteUnlessToken(p.Value))
	}
	return b.String()
}
