package auth

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
)

// Scope tells for which requests an [Authenticator] is.
type Scope struct {
	// Hosts are where the credentials may go: "example.org" (the scheme's default
	// port), "example.org:8443", "https://example.org", "*.example.org" (its
	// subdomains), "*" (everywhere). Without a scheme both fit, but in a call
	// that began with https nothing goes over http. nil = the origin of the
	// call's first URL.
	Hosts []string
	// Proxy makes the credentials those of a plain proxy, "proxy.example.org:3128":
	// they answer its 407 to requests for http URLs. Give the proxy by its IP
	// address if it listens on a port that servers use, too. (For tunnels, which
	// https URLs use, the user info of the proxy's URL is the only way.)
	Proxy string
	// Field is the name of the field that is set if it is another than
	// Authorization or Proxy-Authorization; "-" = none. A request that has the
	// field is left alone.
	Field string
}

// scope is a Scope made ready.
type scope struct {
	hosts []hostPattern
	proxy string // host:port
	field string // "" = none
}

type hostPattern struct {
	scheme, host, port string // "" = any scheme, any host, the default port
	below              bool   // the host's subdomains
}

func (s Scope) parse() (scope, error) {
	out := scope{field: s.Field}
	switch s.Field {
	case "":
		out.field = credentialsField(s.Proxy != "")
	case "-":
		out.field = ""
	}
	for _, h := range s.Hosts {
		p, err := parsePattern(h)
		if err != nil {
			return out, err
		}
		out.hosts = append(out.hosts, p)
	}
	if s.Proxy == "" {
		return out, nil
	}
	u, err := parseHost(s.Proxy)
	if err != nil || u.User != nil || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return out, fmt.Errorf("Proxy %q: write it as host:port", hidden(s.Proxy))
	}
	out.proxy = net.JoinHostPort(strings.ToLower(u.Hostname()), portOf(u))
	return out, nil
}

func parsePattern(s string) (hostPattern, error) {
	if s == "*" {
		return hostPattern{}, nil
	}
	u, err := parseHost(s)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return hostPattern{}, fmt.Errorf("host %q: write it as example.org, example.org:8443, https://example.org or *.example.org", hidden(s))
	}
	p := hostPattern{scheme: u.Scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	p.host, p.below = strings.CutPrefix(p.host, "*.")
	if p.host == "" || strings.Contains(p.host, "*") {
		return p, fmt.Errorf("host %q: a star stands alone or before a dot", hidden(s))
	}
	return p, nil
}

// hidden leaves out what may be a password.
func hidden(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

func parseHost(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "//" + s
	}
	u, err := url.Parse(s)
	if err == nil && u.Hostname() == "" {
		err = fmt.Errorf("no host")
	}
	return u, err
}

// fits reports whether a request to u, whose origin is here, may get the
// credentials.
func (s *scope) fits(u *url.URL, first, here origin) bool {
	if s.proxy != "" {
		return u.Scheme == "http"
	}
	if s.hosts == nil {
		return first == here
	}
	return slices.ContainsFunc(s.hosts, func(p hostPattern) bool { return p.fits(first, here) })
}

func (p hostPattern) fits(first, here origin) bool {
	switch {
	case p.scheme != "" && p.scheme != here.scheme,
		p.scheme == "" && first.scheme == "https" && here.scheme != "https":
		return false
	case p.host == "":
		return true
	case p.port == "" && here.port != defaultPort(here.scheme), p.port != "" && p.port != here.port:
		return false
	case p.below:
		return strings.HasSuffix(here.host, "."+p.host)
	}
	return here.host == p.host
}

// origin is scheme, host and port in comparable form (RFC 6454 §4).
type origin struct{ scheme, host, port string }

func originOf(u *url.URL) origin {
	return origin{strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), portOf(u)}
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return defaultPort(u.Scheme)
}

func defaultPort(scheme string) string {
	if strings.EqualFold(scheme, "https") {
		return "443"
	}
	return "80"
}

// firstOrigin returns the origin that the call was for before it was redirected;
// here is the present one. Later hops are chosen by servers.
func firstOrigin(ctx context.Context, here origin) origin {
	call := godwit.CallFrom(ctx)
	if call == nil {
		return here
	}
	hops := call.History()
	if len(hops) == 0 {
		return here
	}
	u, err := url.Parse(hops[0].URL)
	if err != nil {
		return origin{}
	}
	return originOf(u)
}

// fromProxy reports whether resp, the answer to a request to u, came from the
// proxy host:port: an origin that answers 407 by itself gets nothing.
func fromProxy(proxy string, u *url.URL, resp *godwit.Response) bool {
	remote := resp.RemoteAddr()
	if remote == nil {
		return false
	}
	host, port, _ := net.SplitHostPort(proxy)
	at, err := netip.ParseAddrPort(remote.String())
	if err != nil || fmt.Sprint(at.Port()) != port {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap() == at.Addr().Unmap().WithZone("")
	}
	if host == "localhost" {
		return at.Addr().Unmap().IsLoopback()
	}
	return portOf(u) != port // a direct connection would lead to the URL's port
}
