package h1

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/godwit-go/godwit/header"
)

// Target is a form of the request target (RFC 9112 §3.2).
type Target uint8

// The forms of the request target.
const (
	// TargetOrigin is origin-form, or asterisk-form for OPTIONS on the path "*",
	// or authority-form for CONNECT.
	TargetOrigin Target = iota
	// TargetAbsolute is absolute-form, for plain HTTP proxies.
	TargetAbsolute
)

// RequestHead is what the head of a request is made of.
type RequestHead struct {
	Method string
	URL    *url.URL
	Target Target
	// Header holds the fields in order and case. It must not hold
	// Content-Length, Transfer-Encoding or Trailer. A Host here goes before
	// URL's, and stands where it stands here.
	Header header.Header
	// ProxyAuthorization is a value for that field, unless Header has it; "" =
	// none.
	ProxyAuthorization string
	// Length is the length of the body: NoBody, Chunked or a number of bytes.
	Length int64
	// TrailerNames are announced in Trailer if the body is Chunked.
	TrailerNames []string
	// Protocol asks for an upgrade; "" = none.
	Protocol string
}

// Values of RequestHead.Length that are no length.
const (
	// NoBody leaves framing fields out, but for POST, PUT and PATCH, which get
	// Content-Length: 0 (RFC 9110 §8.6).
	NoBody = -2
	// Chunked frames the body by chunks.
	Chunked = -1
)

// AppendRequestHead appends the head to dst, its blank line included. Host comes
// first, then the fields of Header, then those of the framing. An error means
// that something cannot be sent, and dst comes back as it was.
func AppendRequestHead(dst []byte, r *RequestHead) ([]byte, error) {
	b, err := appendRequestHead(dst, r)
	if err != nil {
		return dst, err
	}
	return b, nil
}

func appendRequestHead(b []byte, r *RequestHead) ([]byte, error) {
	if !header.IsToken(r.Method) {
		return nil, badInput("method", r.Method)
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	host, hostGiven, err := r.host()
	if err != nil {
		return nil, err
	}
	start := len(b)
	b = r.appendTarget(b, host)
	for _, c := range b[start:] {
		if c <= ' ' || c == 0x7f {
			return nil, badInput("request target", string(b[start:]))
		}
	}
	b = append(b, " HTTP/1.1\r\n"...)
	if !hostGiven {
		b = append(b, "Host: "...)
		b = append(b, host...)
		b = append(b, "\r\n"...)
	}
	if b, err = appendFields(b, r.Header, r.Protocol); err != nil {
		return nil, err
	}
	if r.ProxyAuthorization != "" && !r.Header.Has("Proxy-Authorization") {
		if !header.ValidValue(r.ProxyAuthorization) {
			return nil, badInput("field value", "Proxy-Authorization")
		}
		b = appendField(b, "Proxy-Authorization", r.ProxyAuthorization)
	}
	if b, err = r.appendFraming(b); err != nil {
		return nil, err
	}
	return append(b, "\r\n"...), nil
}

// host returns the value of Host and whether Header holds it.
func (r *RequestHead) host() (host string, given bool, err error) {
	if host, given = r.Header.Lookup("Host"); !given {
		host = Authority(r.URL)
	}
	if host == "" && !given {
		return "", given, badInput("URL without a host", r.URL.Redacted())
	}
	for i := 0; i < len(host); i++ {
		if notInHost[host[i]] {
			return "", given, badInput("host", host)
		}
	}
	return host, given, nil
}

// notInHost has what uri-host has not: a host with it tries to be something else.
var notInHost = func() (set [256]bool) {
	for c := range ' ' + 1 {
		set[c] = true
	}
	for _, c := range []byte("\x7f/\\?#@,\"<>{}|^`") {
		set[c] = true
	}
	return set
}()

// Authority returns the host and port of u for the Host field: without the
// default port of the scheme (RFC 9110 §7.2, §4.2.3) and without an IPv6 zone.
func Authority(u *url.URL) string {
	host := u.Host
	if port := u.Port(); port == "" || port == defaultPort(u.Scheme) {
		host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	}
	if i := strings.IndexByte(host, '%'); i >= 0 && strings.HasPrefix(host, "[") {
		if j := strings.IndexByte(host, ']'); j > i {
			host = host[:i] + host[j:]
		}
	}
	return host
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return "80"
	case "https":
		return "443"
	}
	return ""
}

func (r *RequestHead) appendTarget(b []byte, host string) []byte {
	u := r.URL
	switch {
	case r.Method == "CONNECT":
		return r.appendAuthority(b, host)
	case r.Target == TargetAbsolute && !strings.HasPrefix(u.Opaque, "//"):
		b = append(b, u.Scheme...)
		b = append(b, "://"...)
		b = append(b, Authority(u)...)
		if r.Method == "OPTIONS" && (u.Path == "" || u.Path == "*") && u.RawQuery == "" {
			return b // the last proxy makes it "*" (RFC 9112 §3.2.4)
		}
	case r.Method == "OPTIONS" && (u.Path == "*" || u.Opaque == "*"):
		return append(b, '*')
	case strings.HasPrefix(u.Opaque, "//"):
		b = append(b, u.Scheme...)
		b = append(b, ':')
	}
	if u.Opaque != "" {
		return appendQuery(append(b, u.Opaque...), u) // what url.URL.RequestURI says of it
	}
	path := u.EscapedPath()
	if path == "" || path[0] != '/' {
		b = append(b, '/')
	}
	return appendQuery(append(b, path...), u)
}

func appendQuery(b []byte, u *url.URL) []byte {
	if u.RawQuery != "" || u.ForceQuery {
		b = append(b, '?')
		b = append(b, u.RawQuery...)
	}
	return b
}

// appendAuthority appends authority-form, whose port is not optional.
func (r *RequestHead) appendAuthority(b []byte, host string) []byte {
	if r.URL.Opaque != "" {
		return append(b, r.URL.Opaque...)
	}
	b = append(b, host...)
	if i := strings.LastIndexByte(host, ':'); i < 0 || strings.IndexByte(host[i:], ']') >= 0 {
		b = append(b, ':')
		b = append(b, defaultPort(r.URL.Scheme)...)
	}
	return b
}

// appendFields appends the fields of the caller, and those of an upgrade.
func appendFields(b []byte, h header.Header, protocol string) ([]byte, error) {
	hosts, upgrade := 0, false
	for i := range h.Len() {
		f := h.At(i)
		if !header.ValidName(f.Name) {
			return nil, badInput("field name", f.Name)
		}
		if !header.ValidValue(f.Value) {
			return nil, badInput("value of field", f.Name)
		}
		switch len(f.Name) {
		case len("Host"):
			if header.EqualFold(f.Name, "Host") {
				hosts++
			}
		case len("Upgrade"): // and Trailer
			upgrade = upgrade || header.EqualFold(f.Name, "Upgrade")
			if header.EqualFold(f.Name, "Trailer") {
				return nil, ownField(f.Name)
			}
		case len("Content-Length"), len("Transfer-Encoding"):
			if header.EqualFold(f.Name, "Content-Length") || header.EqualFold(f.Name, "Transfer-Encoding") {
				return nil, ownField(f.Name)
			}
		}
		b = appendField(b, f.Name, f.Value)
	}
	if hosts > 1 {
		return nil, badInput("second field", "Host")
	}
	if protocol != "" && !upgrade {
		if !validProtocol(protocol) {
			return nil, badInput("protocol", protocol)
		}
		b = appendField(b, "Connection", "Upgrade")
		b = appendField(b, "Upgrade", protocol)
	}
	return b, nil
}

// validProtocol checks protocol = token ["/" token] (RFC 9110 §7.8).
func validProtocol(s string) bool {
	name, version, found := strings.Cut(s, "/")
	return header.IsToken(name) && (!found || header.IsToken(version))
}

func (r *RequestHead) appendFraming(b []byte) ([]byte, error) {
	switch {
	case r.Length >= 0:
		return appendLength(b, r.Length), nil
	case r.Length == Chunked:
		b = appendField(b, "Transfer-Encoding", "chunked")
		for _, name := range r.TrailerNames {
			if !header.ValidName(name) || ForbiddenTrailer(name) {
				return nil, badInput("trailer field", name)
			}
		}
		if len(r.TrailerNames) > 0 {
			b = appendField(b, "Trailer", strings.Join(r.TrailerNames, ", "))
		}
	case r.Method == "POST", r.Method == "PUT", r.Method == "PATCH":
		return appendLength(b, 0), nil
	}
	return b, nil
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// InputError tells that a part of a request cannot be sent.
type InputError struct {
	// What names the part, Input is what stands there.
	What, Input string
}

func (e *InputError) Error() string { return "cannot send " + e.What + " " + quote(e.Input) }

func badInput(what, input string) error { return &InputError{What: what, Input: input} }

func ownField(name string) error {
	return &InputError{What: "a field that the engine sets from the body itself:", Input: name}
}
