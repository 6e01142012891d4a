package auth

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

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
	host, err := hostName(u.Hostname())
	out.proxy = net.JoinHostPort(host, portOf(u))
	return out, err
}

func parsePattern(s string) (hostPattern, error) {
	if s == "*" {
		return hostPattern{}, nil
	}
	u, err := parseHost(s)
	if err != nil || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return hostPattern{}, fmt.Errorf("host %q: write it as example.org, example.org:8443, https://example.org or *.example.org", hidden(s))
	}
	p := hostPattern{scheme: u.Scheme, port: u.Port()}
	host, below := strings.CutPrefix(u.Hostname(), "*.")
	p.below = below
	if host == "" || strings.Contains(host, "*") {
		return p, fmt.Errorf("host %q: a star stands alone or before a dot", hidden(s))
	}
	p.host, err = hostName(undotted(host))
	return p, err
}

// hostName returns a host as hosts are compared: in lower case and ASCII, an
// IPv6 address in its short form.
func hostName(host string) (string, error) {
	colons, ascii := false, true
	for i := 0; i < len(host); i++ {
		colons, ascii = colons || host[i] == ':', ascii && host[i] < 0x80
	}
	if colons {
		if ip, err := netip.ParseAddr(host); err == nil {
			return ip.String(), nil
		}
	}
	if ascii {
		return strings.ToLower(host), nil
	}
	name, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("host %q: %w", host, err)
	}
	return name, nil
}

// undotted leaves out the dot at the end, which makes a name absolute: it is
// meant where a machine is named, and makes another origin.
func undotted(host string) string { return strings.TrimSuffix(host, ".") }

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
		return strings.HasSuffix(undotted(here.host), "."+p.host)
	}
	return undotted(here.host) == p.host
}

// origin is scheme, host and port in comparable form (RFC 6454 §4).
type origin struct{ scheme, host, port string }

func originOf(u *url.URL) origin {
	host, err := hostName(u.Hostname())
	if err != nil {
		host = u.Hostname() // of a URL that can't be sent to
	}
	return origin{strings.ToLower(u.Scheme), host, portOf(u)}
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

// firstOrigin returns the origin that the call was for when it began; here is that
// of u.
func firstOrigin(ctx context.Context, u *url.URL, here origin) origin {
	scheme, host := godwit.CallFrom(ctx).Origin()
	if scheme == u.Scheme && host == u.Host {
		return here
	}
	return originOf(&url.URL{Scheme: scheme, Host: host})
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
