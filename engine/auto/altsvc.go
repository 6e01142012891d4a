package auto

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-go/godwit/header"
)

// The Alt-Svc field (RFC 7838 §3):
//
//	Alt-Svc       = "clear" / 1#alt-value
//	alt-value     = protocol-id "=" DQUOTE [ uri-host ] ":" port DQUOTE *( OWS ";" OWS parameter )
//	parameter     = token "=" ( token / quoted-string )
//
// A field with a mistake is ignored as a whole, as browsers do: what follows a
// mistake cannot be told apart from what belongs to it. Protocols other than h3,
// and parameters other than ma and persist, are skipped.

// Alternative is where an origin may be had by HTTP/3 too.
type Alternative struct {
	// Authority is "host:port"; the host is lower case.
	Authority string `json:"authority"`
	// Expires is when it must not be used any more.
	Expires time.Time `json:"expires"`
	// Persist tells that it outlives a change of the network (RFC 7838 §3.1).
	Persist bool `json:"persist,omitempty"`
}

const (
	defaultMaxAge   = 24 * time.Hour       // RFC 7838 §3.1
	longestMaxAge   = 365 * 24 * time.Hour // what is longer is cut to it
	maxAlternatives = 8                    // of one origin
	maxFieldBytes   = 16 << 10
)

// parseAltSvc reads the field's value that a response of host, without a port,
// had at now. clear tells that the origin takes all its alternatives back.
func parseAltSvc(value, host string, now time.Time) (alternatives []Alternative, clear bool, err error) {
	value = strings.Trim(value, " \t")
	switch {
	case len(value) > maxFieldBytes:
		return nil, false, fmt.Errorf("Alt-Svc of %d bytes", len(value))
	case onlyClear(value):
		return nil, true, nil
	}
	p := &parser{rest: value}
	for {
		for p.take(',') { // empty elements (RFC 9110 §5.6.1.2)
		}
		if p.rest == "" {
			return alternatives, false, nil
		}
		protocol, authority, params, err := p.alternative()
		if err != nil {
			return nil, false, fmt.Errorf("Alt-Svc %q: %w", shorten(value), err)
		}
		if p.rest != "" && !p.take(',') {
			return nil, false, fmt.Errorf("Alt-Svc %q: %q where a comma was expected", shorten(value), shorten(p.rest))
		}
		if protocol != "h3" || len(alternatives) >= maxAlternatives {
			continue
		}
		at, err := completeAuthority(authority, host)
		if err != nil {
			return nil, false, fmt.Errorf("Alt-Svc %q: %w", shorten(value), err)
		}
		age, err := maxAge(params["ma"])
		if err != nil {
			return nil, false, fmt.Errorf("Alt-Svc %q: %w", shorten(value), err)
		}
		alternatives = append(alternatives, Alternative{Authority: at, Expires: now.Add(age), Persist: params["persist"] == "1"})
	}
}

// onlyClear reports whether value is "clear", or that several times from several
// lines.
func onlyClear(value string) bool {
	found := false
	for element := range strings.SplitSeq(value, ",") {
		switch strings.Trim(element, " \t") {
		case "clear":
			found = true
		case "":
		default:
			return false
		}
	}
	return found
}

// maxAge reads ma, seconds; what overflows is long.
func maxAge(text string) (time.Duration, error) {
	if text == "" {
		return defaultMaxAge, nil
	}
	if strings.Trim(text, "0123456789") != "" {
		return 0, fmt.Errorf("ma=%q is no number of seconds", shorten(text))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds > int64(longestMaxAge/time.Second) {
		return longestMaxAge, nil
	}
	return time.Duration(seconds) * time.Second, nil
}

// completeAuthority fills in the host of ":port" and checks both.
func completeAuthority(authority, host string) (string, error) {
	h, port, err := net.SplitHostPort(authority)
	if err != nil {
		return "", fmt.Errorf("%q is no host:port", shorten(authority))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || port[0] == '+' {
		return "", fmt.Errorf("port %q is not from 1 to 65535", shorten(port))
	}
	if h == "" {
		h = host
	}
	if !validHost(h) {
		return "", fmt.Errorf("%q is no host", shorten(h))
	}
	return net.JoinHostPort(strings.ToLower(h), strconv.FormatUint(n, 10)), nil // ":0443" is ":443"
}

// validHost keeps out what is neither a name nor an address. A zone makes sense on
// this machine alone.
func validHost(h string) bool {
	if h == "" || len(h) > 255 {
		return false
	}
	for _, c := range []byte(h) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`%/?#@[]\"<>`, c) >= 0 {
			return false
		}
	}
	return !strings.Contains(h, ":") || net.ParseIP(h) != nil
}

// parser reads a field's value from its beginning.
type parser struct{ rest string }

// take skips white space, c if it is next, and white space again; it reports
// whether c was there.
func (p *parser) take(c byte) bool {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = strings.TrimLeft(p.rest[1:], " \t")
	return true
}

// alternative reads one alt-value.
func (p *parser) alternative() (protocol, authority string, params map[string]string, err error) {
	if protocol, err = p.token(); err != nil {
		return "", "", nil, err
	}
	if p.rest == "" || p.rest[0] != '=' {
		return "", "", nil, fmt.Errorf("no = after the protocol %q", shorten(protocol))
	}
	p.rest = p.rest[1:]
	if authority, err = p.quoted(); err != nil {
		return "", "", nil, err
	}
	params = make(map[string]string)
	for p.take(';') {
		name, err := p.token()
		if err != nil {
			return "", "", nil, err
		}
		if p.rest == "" || p.rest[0] != '=' {
			return "", "", nil, fmt.Errorf("no = after the parameter %q", shorten(name))
		}
		p.rest = p.rest[1:]
		value := ""
		if strings.HasPrefix(p.rest, `"`) {
			value, err = p.quoted()
		} else {
			value, err = p.token()
		}
		if err != nil {
			return "", "", nil, err
		}
		if name = strings.ToLower(name); params[name] == "" {
			params[name] = value
		}
	}
	return protocol, authority, params, nil
}

func (p *parser) token() (string, error) {
	n := 0
	for n < len(p.rest) && header.IsTokenChar(p.rest[n]) {
		n++
	}
	if n == 0 {
		return "", fmt.Errorf("no token at %q", shorten(p.rest))
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token, nil
}

// quoted reads a quoted-string (RFC 9110 §5.6.4).
func (p *parser) quoted() (string, error) {
	if !strings.HasPrefix(p.rest, `"`) {
		return "", fmt.Errorf("no quotation mark at %q", shorten(p.rest))
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), nil
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", fmt.Errorf("the quotation %q has no end", shorten(p.rest))
}

// shorten cuts what errors show.
func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
