package ws

import "unicode/utf8"

// UTF8 checks text that comes in pieces: what cannot be the beginning of valid
// UTF-8 is refused with the piece that shows it. Its zero value is ready.
type UTF8 struct {
	tail [utf8.UTFMax]byte // a character whose end is still to come
	n    uint8
}

// Write takes the next piece and reports whether the text can still be valid.
func (u *UTF8) Write(p []byte) bool {
	for u.n > 0 && len(p) > 0 {
		u.tail[u.n] = p[0]
		u.n++
		p = p[1:]
		if head := u.tail[:u.n]; utf8.FullRune(head) {
			if !utf8.Valid(head) {
				return false
			}
			u.n = 0
		}
	}
	if utf8.Valid(p) {
		return true
	}
	cut := len(p)
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if c := p[len(p)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(p[len(p)-i:]) {
				cut = len(p) - i
			}
			break
		}
	}
	if cut == len(p) || !utf8.Valid(p[:cut]) {
		return false
	}
	u.n = uint8(copy(u.tail[:], p[cut:]))
	return true
}

// Complete reports whether the text may end here.
func (u *UTF8) Complete() bool { return u.n == 0 }

// ErrUTF8 is what a text message that is not UTF-8 ends the connection with.
var ErrUTF8 = &Error{CodeInvalidPayload, "text is not UTF-8", "RFC 6455 §8.1"}
