package header

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// The three forms of an HTTP date (RFC 9110 §5.6.7).
const (
	imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT"
	rfc850Date = "Monday, 02-Jan-06 15:04:05 GMT"
	asctime    = "Mon Jan _2 15:04:05 2006"
)

// ParseDate parses an HTTP date in any of its three forms (RFC 9110 §5.6.7). A
// year of two digits that seems to lie more than 50 years ahead is in the past.
// The day of the week is not compared with the date. The result is in UTC.
func ParseDate(s string) (time.Time, bool) { return parseDate(trim(s), time.Now()) }

func parseDate(s string, now time.Time) (time.Time, bool) {
	// time.Parse takes fractions of a second anywhere, HTTP has none.
	if strings.IndexByte(s, '.') >= 0 {
		return time.Time{}, false
	}
	// It takes no leap seconds, which HTTP has.
	s, leap := strings.CutSuffix(s, ":60 GMT")
	if leap {
		s += ":59 GMT"
	}
	t, ok := parseDateForm(s, now)
	if ok && leap {
		t = t.Add(time.Second)
	}
	return t, ok
}

func parseDateForm(s string, now time.Time) (time.Time, bool) {
	if t, err := time.Parse(imfFixdate, s); err == nil {
		return t, len(s) == len(imfFixdate)
	}
	if t, err := time.Parse(asctime, s); err == nil {
		return t, len(s) == len(asctime)
	}
	t, err := time.Parse(rfc850Date, s)
	if err != nil {
		return time.Time{}, false
	}
	year := now.Year() - now.Year()%100 + t.Year()%100
	t = t.AddDate(year-t.Year(), 0, 0)
	for t.After(now.AddDate(50, 0, 0)) {
		t = t.AddDate(-100, 0, 0)
	}
	return t, true
}

// FormatDate returns t as an HTTP date: "Sun, 06 Nov 1994 08:49:37 GMT". The
// year must have four digits.
func FormatDate(t time.Time) string { return t.UTC().Format(imfFixdate) }

// RetryAfter returns how long to wait by the Retry-After field, seconds or a
// date (RFC 9110 §10.2.3); a date before now gives 0. ok is false if there is no
// such field or it is neither.
func RetryAfter(h Header, now time.Time) (d time.Duration, ok bool) {
	s := trim(h.Get("Retry-After"))
	if d, ok := parseSeconds(s); ok {
		return d, true
	}
	t, ok := parseDate(s, now)
	if !ok {
		return 0, false
	}
	return max(t.Sub(now), 0), true
}

// parseSeconds parses delta-seconds. What is too large for a Duration becomes
// the largest whole number of seconds in one.
func parseSeconds(s string) (time.Duration, bool) {
	if !allDigits(s) {
		return 0, false
	}
	const most = math.MaxInt64 / int64(time.Second)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > most {
		n = most
	}
	return time.Duration(n) * time.Second, true
}
