package header

import (
	"strconv"
	"strings"
	"time"
)

// ParseCookieDate parses the date of an Expires attribute by the lenient
// algorithm of user agents (RFC 6265bis §5.1.1): it looks for a time, a day, a
// month and a year among the words, in any order, and ignores the rest, time
// zones included. The result is in UTC.
func ParseCookieDate(s string) (time.Time, bool) {
	var d cookieDate
	for word := range strings.FieldsFuncSeq(s, isDateDelimiter) {
		d.take(word)
	}
	return d.time()
}

func isDateDelimiter(r rune) bool {
	return r == '\t' || ' ' <= r && r <= '/' || ';' <= r && r <= '@' || '[' <= r && r <= '`' || '{' <= r && r <= '~'
}

type cookieDate struct {
	hour, minute, second, day, month, year     int
	foundTime, foundDay, foundMonth, foundYear bool
}

// take uses a word for the first thing that is still missing and that it fits.
func (d *cookieDate) take(word string) {
	if !d.foundTime {
		if h, m, s, ok := clockTime(word); ok {
			d.hour, d.minute, d.second, d.foundTime = h, m, s, true
			return
		}
	}
	if !d.foundDay {
		if n, _, ok := leadingNumber(word, 1, 2); ok {
			d.day, d.foundDay = n, true
			return
		}
	}
	if !d.foundMonth && len(word) >= 3 {
		i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", lowerASCII(word[:3]))
		if i >= 0 && i%3 == 0 {
			d.month, d.foundMonth = i/3+1, true
			return
		}
	}
	if !d.foundYear {
		if n, _, ok := leadingNumber(word, 2, 4); ok {
			d.year, d.foundYear = n, true
		}
	}
}

func (d *cookieDate) time() (time.Time, bool) {
	switch {
	case 70 <= d.year && d.year <= 99:
		d.year += 1900
	case d.year <= 69:
		d.year += 2000
	}
	if !d.foundTime || !d.foundDay || !d.foundMonth || !d.foundYear ||
		d.year < 1601 || d.hour > 23 || d.minute > 59 || d.second > 59 {
		return time.Time{}, false
	}
	t := time.Date(d.year, time.Month(d.month), d.day, d.hour, d.minute, d.second, 0, time.UTC)
	// time.Date turns the 30th of February into the 1st or 2nd of March.
	return t, t.Day() == d.day && int(t.Month()) == d.month
}

// clockTime reads h:m:s, one or two digits each, whatever follows a non-digit.
func clockTime(word string) (h, m, s int, ok bool) {
	hour, rest, ok1 := strings.Cut(word, ":")
	minute, rest, ok2 := strings.Cut(rest, ":")
	if !ok1 || !ok2 || len(hour) > 2 || len(minute) > 2 || !allDigits(hour) || !allDigits(minute) {
		return 0, 0, 0, false
	}
	h, _ = strconv.Atoi(hour)
	m, _ = strconv.Atoi(minute)
	s, _, ok = leadingNumber(rest, 1, 2)
	return h, m, s, ok
}

// leadingNumber reads a number of least to most digits that a non-digit or the
// end follows.
func leadingNumber(s string, least, most int) (n int, rest string, ok bool) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	if i < least || i > most {
		return 0, s, false
	}
	n, err := strconv.Atoi(s[:i])
	return n, s[i:], err == nil
}
