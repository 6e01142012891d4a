package dial

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// Route is where a request's connection leads: what connections are pooled by.
// It is comparable.
type Route struct {
	TLS   bool
	Addr  string // host:port of the origin, lower case, with the default port filled in
	Proxy string // canonical URL of the proxy with its credentials, or ""
	Unix  string // path of a socket, or ""
	// Tunnel asks a proxy of HTTP for a tunnel, which it would forward requests
	// without: what follows on an upgrade is no HTTP (RFC 6455 §4.1), and a Host
	// that differs from the URL's would not get by it (RFC 9112 §3.2.2).
	Tunnel bool
}

// String describes the route for statistics and errors, without credentials.
func (r Route) String() string {
	s := "http://" + r.Addr
	if r.TLS {
		s = "https://" + r.Addr
	}
	if r.Unix != "" {
		s += " at unix:" + r.Unix
	}
	if p, err := r.proxy(); err == nil && p != nil {
		s += " by " + p.public().String()
	}
	return s
}

// Forwards reports whether the proxy is to forward requests, not bytes.
func (r Route) Forwards() bool {
	return !r.TLS && !r.Tunnel && (strings.HasPrefix(r.Proxy, "http:") || strings.HasPrefix(r.Proxy, "https:"))
}

// Route works out the route of req. A unix socket goes before any proxy, and
// the request's own ProxyFunc before the dialer's. Errors are an
// *[engine.OpError] with Op build for the URL and proxy for the choice of proxy.
func (d *Dialer) Route(req *engine.Request) (Route, error) {
	u := req.URL
	r := Route{Unix: req.UnixSocket}
	port := "80"
	switch u.Scheme {
	case "http":
	case "https":
		r.TLS, port = true, "443"
	default:
		return Route{}, buildError("scheme %q in the URL is neither http nor https", u.Scheme)
	}
	if r.Addr = hostPort(u, port); r.Addr == "" {
		return Route{}, buildError("the URL %q has no host", u.Redacted())
	}
	if r.Unix != "" {
		return r, nil
	}
	choose := req.Proxy
	if choose == nil {
		choose = d.proxyFunc()
	}
	chosen, err := choose(u)
	if err == nil && chosen != nil {
		r.Tunnel = !r.TLS && (d.Tunnel || req.Protocol != "" || r.renamed(req.Header))
		if r.TLS || r.Tunnel {
			chosen, err = WithCredentials(chosen, req.Header)
		}
	}
	if err == nil && chosen != nil {
		r.Proxy, err = canonicalProxy(chosen)
	}
	if err != nil {
		return Route{}, &engine.OpError{Op: engine.OpProxy, Err: err}
	}
	return r, nil
}

// renamed reports whether a Host field names another origin than the route's.
func (r Route) renamed(h header.Header) bool {
	host, ok := h.Lookup("Host")
	return ok && hostPort(&url.URL{Host: host}, "80") != r.Addr
}

// proxyField holds credentials for the proxy (RFC 9110 §11.7.2). The origin must
// not see them: by a tunnel they go with CONNECT, not with the request.
const proxyField = "Proxy-Authorization"

// WithCredentials returns the URL of a proxy that makes tunnels with those
// credentials that h has for it.
func WithCredentials(proxy *url.URL, h header.Header) (*url.URL, error) {
	value, ok := h.Lookup(proxyField)
	if scheme := strings.ToLower(proxy.Scheme); !ok || scheme != "http" && scheme != "https" {
		return proxy, nil
	}
	scheme, encoded, _ := strings.Cut(value, " ")
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	user, password, ok := strings.Cut(string(text), ":")
	if !strings.EqualFold(scheme, "Basic") || err != nil || !ok {
		return nil, fmt.Errorf("field %s: with CONNECT only Basic credentials can be sent; give them in the proxy's URL", proxyField)
	}
	with := *proxy
	with.User = url.UserPassword(user, password)
	return &with, nil
}

// ForOrigin returns h without what is not for the origin.
func ForOrigin(h header.Header) header.Header {
	if h.Has(proxyField) {
		h = h.View()
		h.Del(proxyField)
	}
	return h
}

func buildError(format string, args ...any) error {
	return &engine.OpError{Op: engine.OpBuild, Err: fmt.Errorf(format, args...)}
}

// hostPort returns u's host in lower case with a port, or "" if it has none.
func hostPort(u *url.URL, defaultPort string) string {
	if isHostPort(u.Host) {
		return u.Host
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		return ""
	}
	lower := strings.ToLower(host)
	if port == "" {
		port = defaultPort
	}
	return net.JoinHostPort(lower, port)
}

// isHostPort reports whether s is a name in lower case, or an IPv4 address, and a
// port: what most are.
func isHostPort(s string) bool {
	port := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
		case port > 0:
			return false
		case c == ':':
			port = i + 1
		case c != '.' && c != '-' && (c < 'a' || 'z' < c):
			return false
		}
	}
	return port > 1 && port < len(s)
}

// proxyPorts are the schemes of proxies and their default ports.
var proxyPorts = map[string]string{
	"http": "80", "https": "443", "socks4": "1080", "socks4a": "1080", "socks5": "1080", "socks5h": "1080",
}

// canonicalProxy returns u as a Route holds it. Its errors do not show u's
// credentials.
func canonicalProxy(u *url.URL) (string, error) {
	scheme := strings.ToLower(u.Scheme)
	port, ok := proxyPorts[scheme]
	if !ok {
		return "", fmt.Errorf("proxies of scheme %q are unknown; there are http, https, socks4, socks4a, socks5 and socks5h", u.Scheme)
	}
	if u.Hostname() == "" {
		return "", errors.New("the proxy's URL has no host: " + scheme + "://host:port is what it should look like")
	}
	host, err := asciiHost(u.Hostname())
	if own := u.Port(); own != "" && err == nil {
		port, err = own, checkPort(own)
	}
	if err != nil {
		return "", fmt.Errorf("the proxy's URL, %s://host:port: %w", scheme, err)
	}
	return (&url.URL{Scheme: scheme, User: u.User, Host: net.JoinHostPort(host, port)}).String(), nil
}

// proxy is a Route's proxy, taken apart.
type proxy struct {
	scheme, addr   string
	user, password string
	hasUser        bool
	hasPassword    bool
}

// proxy returns nil if there is none.
func (r Route) proxy() (*proxy, error) {
	if r.Proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(r.Proxy)
	if err != nil {
		// err itself would show the whole URL.
		return nil, &engine.OpError{Op: engine.OpProxy, Err: errors.New("the proxy's URL cannot be parsed")}
	}
	p := &proxy{scheme: u.Scheme, addr: u.Host}
	if u.User != nil {
		p.hasUser, p.user = true, u.User.Username()
		p.password, p.hasPassword = u.User.Password()
	}
	return p, nil
}

// public returns the proxy's URL without credentials.
func (p *proxy) public() *url.URL { return &url.URL{Scheme: p.scheme, Host: p.addr} }

// blame makes err, an *engine.OpError or nil, the proxy's own unless the call was
// cancelled.
func (p *proxy) blame(ctx context.Context, err error) error {
	e, ok := err.(*engine.OpError)
	if !ok || ctx.Err() != nil && !engine.IsTimeout(err) {
		return err
	}
	if _, ok := errors.AsType[*engine.ProxyError](err); ok {
		return err
	}
	return &engine.OpError{Op: e.Op, Err: &engine.ProxyError{Proxy: p.public().String(), Err: e.Err}}
}

// authorization returns the Basic credentials (RFC 7617 §2), or "".
func (p *proxy) authorization() string {
	if !p.hasUser {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password))
}
