package header

import "strings"

// ETag is an entity tag (RFC 9110 §8.8.3). The zero value is the strong tag of
// the empty text, which is a valid one.
type ETag struct {
	Tag  string
	Weak bool
}

// ParseETag parses "xyzzy" or W/"xyzzy"; anything else fails.
func ParseETag(s string) (ETag, bool) {
	s, weak := strings.CutPrefix(trim(s), "W/")
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return ETag{}, false
	}
	s = s[1 : len(s)-1]
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == 0x7f {
			return ETag{}, false
		}
	}
	return ETag{s, weak}, true
}

// StrongMatch reports whether both are strong and the same.
func (e ETag) StrongMatch(other ETag) bool { return !e.Weak && !other.Weak && e.Tag == other.Tag }

// WeakMatch reports whether both are the same, weak or not.
func (e ETag) WeakMatch(other ETag) bool { return e.Tag == other.Tag }

// String returns the tag as it stands in a field.
func (e ETag) String() string {
	if e.Weak {
		return `W/"` + e.Tag + `"`
	}
	return `"` + e.Tag + `"`
}
