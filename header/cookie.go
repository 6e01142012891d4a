package header

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Cookie is what a Set-Cookie field says (RFC 6265bis §5.6), before a jar judges
// whether to keep it.
type Cookie struct {
	Name, Value string
	// Domain is in lower case, without a leading dot; "" = the host that set it.
	Domain string
	// Path starts with a slash; "" = the default path of the request.
	Path string
	// Expires is zero if there is none that can be read.
	Expires time.Time
	// MaxAge is in seconds, if HasMaxAge; 0 or less means: delete it now. It
	// goes before Expires.
	MaxAge    int
	HasMaxAge bool

	Secure, HttpOnly, Partitioned bool
	// SameSite is "Strict", "Lax", "None", or "" for none or an unknown one.
	SameSite string
	// Extensions are the attributes that are not known here, as they were sent.
	Extensions []Param
	// Raw is the field value.
	Raw string
}

// The limits of RFC 6265bis §5.6, in bytes.
const (
	maxCookiePair      = 4096
	maxCookieAttribute = 1024
)

// ParseSetCookie parses the value of one Set-Cookie field by the algorithm of
// user agents (RFC 6265bis §5.6). It fails for control characters, for a name
// and value of more than 4,096 bytes together, and if both are empty. A cookie
// without "=" has an empty name.
func ParseSetCookie(line string) (Cookie, bool) {
	if !quotable(line) {
		return Cookie{}, false
	}
	pair, attributes, _ := strings.Cut(line, ";")
	c := Cookie{Raw: line}
	c.Name, c.Value = cookiePair(pair)
	if n := len(c.Name) + len(c.Value); n == 0 || n > maxCookiePair {
		return Cookie{}, false
	}
	for attributes != "" {
		var one string
		one, attributes, _ = strings.Cut(attributes, ";")
		name, value, _ := strings.Cut(one, "=")
		if name, value = trim(name), trim(value); len(value) <= maxCookieAttribute {
			c.set(name, value)
		}
	}
	return c, true
}

// set applies one attribute; of several the last counts.
func (c *Cookie) set(name, value string) {
	switch lowerASCII(name) {
	case "":
	case "expires":
		if t, ok := ParseCookieDate(value); ok {
			c.Expires = t
		}
	case "max-age":
		if n, ok := parseMaxAge(value); ok {
			c.MaxAge, c.HasMaxAge = n, true
		}
	case "domain":
		c.Domain = lowerASCII(strings.TrimPrefix(value, "."))
	case "path":
		c.Path = ""
		if strings.HasPrefix(value, "/") {
			c.Path = value
		}
	case "secure":
		c.Secure = true
	case "httponly":
		c.HttpOnly = true
	case "partitioned":
		c.Partitioned = true
	case "samesite":
		c.SameSite = ""
		for _, known := range []string{"Strict", "Lax", "None"} {
			if EqualFold(value, known) {
				c.SameSite = known
			}
		}
	default:
		c.Extensions = append(c.Extensions, Param{name, value})
	}
}

func parseMaxAge(s string) (int, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	if !allDigits(digits) {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		n = math.MaxInt32
	}
	if negative {
		n = -n
	}
	return int(n), true
}

// String returns the cookie as the value of a Set-Cookie field, for tests and
// stores. It checks nothing.
func (c Cookie) String() string {
	var b strings.Builder
	b.WriteString(c.Name + "=" + c.Value)
	attribute := func(name, value string) {
		if value != "" {
			b.WriteString("; " + name + "=" + value)
		}
	}
	attribute("Domain", c.Domain)
	attribute("Path", c.Path)
	if !c.Expires.IsZero() {
		attribute("Expires", FormatDate(c.Expires))
	}
	if c.HasMaxAge {
		attribute("Max-Age", strconv.Itoa(c.MaxAge))
	}
	attribute("SameSite", c.SameSite)
	for _, flag := range []struct {
		on   bool
		name string
	}{{c.Secure, "Secure"}, {c.HttpOnly, "HttpOnly"}, {c.Partitioned, "Partitioned"}} {
		if flag.on {
			b.WriteString("; " + flag.name)
		}
	}
	for _, p := range c.Extensions {
		b.WriteString("; " + p.Name + "=" + p.Value)
	}
	return b.String()
}

// Pair is a name and a value of a Cookie field.
type Pair struct {
	Name, Value string
}

// ParseCookies returns the pairs of a Cookie field in order. One without "="
// has an empty name; quotes stay, as they belong to the value.
func ParseCookies(value string) []Pair {
	var pairs []Pair
	for one := range strings.SplitSeq(value, ";") {
		if name, value := cookiePair(one); name != "" || value != "" {
			pairs = append(pairs, Pair{name, value})
		}
	}
	return pairs
}

func cookiePair(s string) (name, value string) {
	name, value, found := strings.Cut(s, "=")
	if !found {
		return "", trim(name)
	}
	return trim(name), trim(value)
}

// FormatCookie returns name=value for a Cookie field. The name must be a token
// and the value of cookie-octets, in double quotes or not (RFC 6265bis §4.1.1);
// other text must be encoded first, for example by url.QueryEscape.
func FormatCookie(name, value string) (string, error) {
	if !IsToken(name) {
		return "", fmt.Errorf("cookie name %s is not a token", clip(name))
	}
	octets := value
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		octets = value[1 : n-1]
	}
	for i := 0; i < len(octets); i++ {
		if c := octets[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`",;\`, c) >= 0 {
			// The value may be a session's secret: the error shows one byte of it.
			return "", fmt.Errorf("cookie %s: byte %q at offset %d cannot stand in a value; encode it, for example by url.QueryEscape",
				name, c, i)
		}
	}
	return name + "=" + value, nil
}
