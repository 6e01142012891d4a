package header

import (
	"fmt"
	"strconv"
)

// ContentLength returns the value of the Content-Length fields; ok is false if
// there is none. Repeated values that are the same text count as one (RFC 9110
// §8.6); values that differ, are empty, or are no number below 2⁶³ are an error,
// since a message framed by them cannot be trusted (RFC 9112 §6.3).
func ContentLength(h Header) (n int64, ok bool, err error) {
	var first string
	for i := h.index("Content-Length", 0); i >= 0; i = h.index("Content-Length", i+1) {
		rest, more := h.fields[i].Value, true
		for more {
			var one string
			one, rest, more = cutUnquoted(rest, ',')
			switch one = trim(one); {
			case !allDigits(one):
				return 0, false, fmt.Errorf("content length %s is not a number", clip(one))
			case !ok:
				first, ok = one, true
			case one != first:
				return 0, false, fmt.Errorf("content lengths %s and %s differ", clip(first), clip(one))
			}
		}
	}
	if !ok {
		return 0, false, nil
	}
	if n, err = strconv.ParseInt(first, 10, 64); err != nil {
		return 0, false, fmt.Errorf("content length %s is too large", clip(first))
	}
	return n, true, nil
}

// clip quotes s for an error's text, cut short.
func clip(s string) string {
	const limit = 60
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
