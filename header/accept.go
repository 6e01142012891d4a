package header

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Weighted is one element of Accept, Accept-Charset, Accept-Encoding,
// Accept-Language or TE.
type Weighted struct {
	// Value is the media range, coding or language, as it stands there.
	Value string
	// Params are the parameters but q, names in lower case.
	Params []Param
	// Q is the weight, 0 to 1; 1 if none is given.
	Q float64
}

// ParseAccept parses a list of weighted values (RFC 9110 §12.4.2) and sorts it
// by weight, heaviest first; equal weights keep their order. An element whose
// weight is not a qvalue is left out.
func ParseAccept(s string) []Weighted {
	var all []Weighted
	for one := range List(s) {
		value, rest, _ := cutUnquoted(one, ';')
		w := Weighted{Value: trim(value), Q: 1}
		ok := w.Value != ""
		for _, p := range readParams(rest) {
			if p.Name == "q" {
				var valid bool
				w.Q, valid = parseQ(p.Value)
				ok = ok && valid
				continue
			}
			w.Params = append(w.Params, p)
		}
		if ok {
			all = append(all, w)
		}
	}
	slices.SortStableFunc(all, func(a, b Weighted) int {
		switch {
		case a.Q > b.Q:
			return -1
		case a.Q < b.Q:
			return 1
		}
		return 0
	})
	return all
}

// String returns the element as it can be sent; a weight of 1 is left out.
func (w Weighted) String() string {
	var b strings.Builder
	b.WriteString(w.Value)
	for _, p := range w.Params {
		b.WriteString(";" + p.Name + "=" + quoteUnlessToken(p.Value))
	}
	if q := FormatQ(w.Q); q != "1" {
		b.WriteString(";q=" + q)
	}
	return b.String()
}

// parseQ parses a qvalue: 0 or 1 with at most three decimals.
func parseQ(s string) (float64, bool) {
	if s == "" || len(s) > 5 || s[0] != '0' && s[0] != '1' {
		return 0, false
	}
	if len(s) > 1 && (s[1] != '.' || len(s) > 2 && !allDigits(s[2:])) {
		return 0, false
	}
	q, err := strconv.ParseFloat(s, 64)
	return q, err == nil && q <= 1
}

// FormatQ returns a weight as a qvalue with at most three decimals: "1", "0.5",
// "0.333". What is below 0, or no number, becomes "0"; what is above 1, "1".
func FormatQ(q float64) string {
	if !(q > 0) {
		return "0"
	}
	return strconv.FormatFloat(math.Round(min(q, 1)*1000)/1000, 'f', -1, 64)
}
