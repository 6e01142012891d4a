package header

// tokenChars marks the characters of a token (RFC 9110 §5.6.2).
var tokenChars = func() (t [256]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// IsTokenChar reports whether c may stand in a token.
func IsTokenChar(c byte) bool { return tokenChars[c] }

// IsToken reports whether s is a token (RFC 9110 §5.6.2): what method names and
// field names are made of. The empty string is not one.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenChars[s[i]] {
			return false
		}
	}
	return s != ""
}

// ValidName reports whether s can be sent as a field name.
func ValidName(s string) bool { return IsToken(s) }

// ValidValue reports whether s can be sent as a field value: no control
// characters but tab, and no white space at either end (RFC 9110 §5.5).
// Bytes from 0x80 up are let through.
func ValidValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < ' ' && c != '\t') || c == 0x7f {
			return false
		}
	}
	return s == "" || !isBlank(s[0]) && !isBlank(s[len(s)-1])
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }
