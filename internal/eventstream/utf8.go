package eventstream

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// text decodes UTF-8 as the WHATWG Encoding Standard does.
func text(b []byte) string {
	if valid(b) {
		return string(b)
	}
	return string(replaced(b))
}

// valid is utf8.Valid, but takes eight bytes of ASCII at a time after the first
// other character, too, and most of those by few comparisons.
func valid(b []byte) bool {
	const high = 0x8080808080808080
	i := 0
	for i+8 <= len(b) {
		marks := binary.LittleEndian.Uint64(b[i:]) & high
		if marks == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(marks) / 8
		rest := b[i:]
		if len(rest) < utf8.UTFMax {
			break
		}
		switch c := rest[0]; {
		case c >= 0xC2 && c <= 0xDF && rest[1]&0xC0 == 0x80:
			i += 2
		case c > 0xE0 && c <= 0xEF && c != 0xED && rest[1]&0xC0 == 0x80 && rest[2]&0xC0 == 0x80:
			i += 3
		default:
			r, n := utf8.DecodeRune(rest)
			if r == utf8.RuneError && n == 1 {
				return false
			}
			i += n
		}
	}
	return utf8.Valid(b[i:])
}

// replaced returns b with each maximal part of a sequence that is not UTF-8
// replaced by U+FFFD. package utf8 would replace each byte of it.
func replaced(b []byte) []byte {
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = badLength(b)
			out = append(out, "\uFFFD"...)
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return out
}

// badLength returns how many bytes of b, which begins with a sequence that is
// not UTF-8, could have been the start of one that is.
func badLength(b []byte) int {
	low, high, more := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		more = 1
	case c == 0xE0:
		low, more = 0xA0, 2
	case c == 0xED:
		high, more = 0x9F, 2
	case c >= 0xE1 && c <= 0xEF:
		more = 2
	case c == 0xF0:
		low, more = 0x90, 3
	case c == 0xF4:
		high, more = 0x8F, 3
	case c >= 0xF1 && c <= 0xF3:
		more = 3
	}
	n := 1
	for n <= more && n < len(b) && b[n] >= low && b[n] <= high {
		n++
		low, high = 0x80, 0xBF
	}
	return n
}
