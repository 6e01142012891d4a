package header

import (
	"strings"
	"time"
)

// Directives are the directives of Cache-Control in order, names in lower case,
// values without quotes (RFC 9111 §5.2).
type Directives []Param

// CacheControl returns the directives of all Cache-Control fields.
func CacheControl(h Header) Directives {
	var d Directives
	for i := h.index("Cache-Control", 0); i >= 0; i = h.index("Cache-Control", i+1) {
		for one := range List(h.fields[i].Value) {
			name, value, _ := strings.Cut(one, "=")
			if name = trim(name); !IsToken(name) {
				continue
			}
			if value = trim(value); value != "" && value[0] == '"' {
				value, _, _ = readQuoted(value)
			}
			d = append(d, Param{lowerASCII(name), value})
		}
	}
	return d
}

// Has reports whether the directive is there.
func (d Directives) Has(name string) bool {
	_, ok := paramOf(d, name)
	return ok
}

// Get returns the argument of the first directive of that name ("" if it has
// none) and whether the directive is there.
func (d Directives) Get(name string) (string, bool) { return paramOf(d, name) }

// Seconds returns the argument of a directive such as max-age. ok is false if
// the directive is not there or its argument is not a number of seconds, which a
// cache takes for stale (RFC 9111 §4.2.1).
func (d Directives) Seconds(name string) (t time.Duration, ok bool) {
	v, _ := paramOf(d, name)
	return parseSeconds(v)
}

// Fields returns the field names that are the argument of no-cache or private.
func (d Directives) Fields(name string) []string {
	v, _ := paramOf(d, name)
	return SplitList(v)
}

// String returns the directives as they can be sent.
func (d Directives) String() string {
	var b strings.Builder
	for i, p := range d {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.Name)
		if p.Value != "" {
			b.WriteString("=" + quoteUnlessToken(p.Value))
		}
	}
	return b.String()
}
