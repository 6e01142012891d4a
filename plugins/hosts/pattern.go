package hosts

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// pattern is a parsed Rule.Host.
type pattern struct {
	scheme string // "" = any
	host   string // lower case, ASCII; of a wildcard ".example.org", "" = any
	wild   bool
	port   string // "" = any
}

func parsePattern(s string) (pattern, error) {
	var p pattern
	scheme, rest, found := strings.Cut(s, "://")
	if found {
		if p.scheme = strings.ToLower(scheme); p.scheme != "http" && p.scheme != "https" {
			return p, fmt.Errorf("scheme %q is not http or https", scheme)
		}
	} else {
		rest = s
	}
	if strings.ContainsAny(rest, "/?#@ ") {
		return p, fmt.Errorf("a pattern is a host name or *.name or *, with a scheme before it and a port after it if need be")
	}
	host, port := rest, ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && strings.IndexByte(rest[i:], ']') < 0 && (strings.Count(rest, ":") == 1 || rest[0] == '[') {
		host, port = rest[:i], rest[i+1:]
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return p, fmt.Errorf("port %q is not between 1 and 65535", port)
		}
	}
	p.port = port
	return p, p.setHost(host)
}

func (p *pattern) setHost(host string) error {
	switch {
	case host == "*":
		p.wild = true
		return nil
	case strings.HasPrefix(host, "*."):
		p.wild, host = true, host[2:]
	}
	if bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"); strings.IndexByte(bare, ':') >= 0 {
		addr, err := netip.ParseAddr(bare)
		if err != nil {
			return fmt.Errorf("%q is no IPv6 address", bare)
		}
		p.host = addr.String()
		return nil
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || ascii == "" || strings.ContainsAny(ascii, "*[]") {
		if !plainName(host) {
			return fmt.Errorf("%q is no host name", host)
		}
		ascii = host // _service names, which IDNA refuses
	}
	p.host = strings.ToLower(ascii)
	if p.wild {
		p.host = "." + p.host
	}
	return nil
}

func plainName(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case c == '-', c == '.', c == '_', '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z':
		default:
			return false
		}
	}
	return host != ""
}

// compare orders patterns by how exact they are.
func (p pattern) compare(q pattern) int {
	exact := func(p pattern) int {
		if p.wild {
			return 0
		}
		return 1
	}
	given := func(s string) int { return min(len(s), 1) }
	return cmp.Or(cmp.Compare(exact(p), exact(q)), cmp.Compare(len(p.host), len(q.host)),
		cmp.Compare(given(p.port), given(q.port)), cmp.Compare(given(p.scheme), given(q.scheme)))
}

// target is the host of a URL in the form that patterns have.
type target struct{ scheme, host, port string }

func targetOf(u *url.URL) target {
	if u == nil {
		return target{}
	}
	t := target{strings.ToLower(u.Scheme), strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()}
	if t.port == "" {
		t.port = map[string]string{"http": "80", "https": "443"}[t.scheme]
	}
	if addr, err := netip.ParseAddr(t.host); err == nil {
		t.host = addr.String()
	}
	return t
}

func (p pattern) fits(t target) bool {
	if p.scheme != "" && p.scheme != t.scheme || p.port != "" && p.port != t.port {
		return false
	}
	if p.wild {
		return p.host == "" || strings.HasSuffix(t.host, p.host) && len(t.host) > len(p.host)
	}
	return p.host == t.host
}
