package stdhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// defaultUserAgent is net/http's, so that servers which know it by that go on to.
const defaultUserAgent = "Go-http-client/1.1"

// prepare makes the client's request of the given one, or refuses it as
// http.Transport does.
func (x *exchange) prepare(c *godwit.Client) (*godwit.Request, error) {
	r := x.request
	if err := check(r); err != nil {
		return nil, err
	}
	u, err := target(r)
	if err != nil {
		return nil, err
	}
	host, err := hostOf(r)
	if err != nil {
		return nil, err
	}
	req := &godwit.Request{Method: or(r.Method, http.MethodGet), URL: u}
	var opts []godwit.Option
	if strings.HasPrefix(u.Host, "/") {
		opts = append(opts, godwit.UnixSocket(u.Host))
		if u.Host = "localhost"; httpguts.ValidHostHeader(host) && !strings.HasPrefix(host, "/") {
			u.Host = host
		}
		host = u.Host
	}
	protocol := upgradeOf(r.Header)
	if protocol != "" {
		opts = append(opts, godwit.Upgrade(protocol))
	}
	x.upgrade = protocol != "" || req.Method == http.MethodConnect
	x.gzip = r.Header.Get("Accept-Encoding") == "" && r.Header.Get("Range") == "" && r.Method != http.MethodHead
	req.Header = x.fields(host, u, protocol != "")
	body, err := x.content(c.Supports(engine.HTTP1))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Body = body
	}
	if hooks := httptrace.ContextClientTrace(r.Context()); hooks != nil {
		opts = append(opts, x.traced(hooks, c)...)
	} else {
		opts = append(opts, x.watched())
	}
	req.With(opts...)
	return req, nil
}

// upgradeOf returns the protocol that a request with these fields asks to switch
// to: the first of Upgrade if Connection names that field, else "".
func upgradeOf(h http.Header) string {
	if !hasToken(h["Connection"], "Upgrade") {
		return ""
	}
	first, _, _ := strings.Cut(h.Get("Upgrade"), ",")
	return trim(first)
}

func hasToken(values []string, token string) bool {
	return httpguts.HeaderValuesContainsToken(values, token)
}

// withoutToken returns a list without a token.
func withoutToken(list, token string) string {
	rest := slices.DeleteFunc(header.SplitList(list), func(one string) bool { return strings.EqualFold(one, token) })
	return strings.Join(rest, ", ")
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// check refuses what http.Transport refuses, by the same rules and in the same
// order.
func check(r *http.Request) error {
	switch {
	case r.URL == nil:
		return errors.New("http: nil Request.URL")
	case r.Header == nil:
		return errors.New("http: nil Request.Header")
	case r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return fmt.Errorf("unsupported protocol scheme %q", r.URL.Scheme)
	}
	if err := checkFields("header", r.Header); err != nil {
		return err
	}
	if err := checkFields("trailer", r.Trailer); err != nil {
		return err
	}
	switch {
	case r.Method != "" && !header.IsToken(r.Method):
		return fmt.Errorf("net/http: invalid method %q", r.Method)
	case r.URL.Host == "":
		return errors.New("http: no Host in request URL")
	case r.ContentLength != 0 && r.Body == nil:
		return fmt.Errorf("http: Request.ContentLength=%d with nil Body", r.ContentLength)
	}
	return nil
}

func checkFields(kind string, h http.Header) error {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("net/http: invalid %s field name %q", kind, name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("net/http: invalid %s field value for %q", kind, name) // the value may be secret
			}
		}
	}
	return nil
}

// target returns the URL to send to, without user info, which http.Client has
// made a field of.
func target(r *http.Request) (*url.URL, error) {
	u := *r.URL
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	if strings.ContainsFunc(u.RequestURI(), func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil, errors.New("net/http: can't write control character in Request.URL")
	}
	if u.Opaque != "" && r.Method != http.MethodConnect {
		if err := unwrapOpaque(&u); err != nil {
			return nil, err
		}
	}
	u.Opaque = ""
	u.RawQuery = escapeQuery(u.RawQuery)
	if strings.HasPrefix(u.Host, "/") {
		return &u, nil
	}
	host, err := httpguts.PunycodeHostPort(u.Host)
	if err != nil {
		return nil, err
	}
	u.Host = strings.TrimSuffix(host, ":")
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.AddrError{Err: "invalid port", Addr: port}} // as net's dialer
		}
	}
	return &u, nil
}

// unwrapOpaque makes a path and query of Opaque, which stands for what goes into
// the request line as it is.
func unwrapOpaque(u *url.URL) error {
	raw, query, asked := strings.Cut(u.Opaque, "?")
	if rest, ok := strings.CutPrefix(raw, "//"); ok {
		authority, path, _ := strings.Cut(rest, "/")
		if authority != u.Host {
			return fmt.Errorf("stdhttp: URL with Opaque %q for the host %q: an absolute request target for another host cannot be sent; use a proxy", u.Opaque, u.Host)
		}
		raw = "/" + path
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return fmt.Errorf("stdhttp: URL with Opaque %q: %w", u.Opaque, err)
	}
	whole := url.URL{Path: path, RawPath: raw}
	if whole.EscapedPath() != raw || raw != "*" && !strings.HasPrefix(raw, "/") {
		return fmt.Errorf("stdhttp: URL with Opaque %q cannot be sent as it is; use Path and RawPath", u.Opaque)
	}
	if asked {
		u.RawQuery = strings.TrimSuffix(query+"&"+u.RawQuery, "&")
	}
	u.Path, u.RawPath = path, raw
	return nil
}

// escapeQuery escapes the bytes that net/http lets through and no request line
// may have.
func escapeQuery(q string) string {
	bad := func(c byte) bool { return c == ' ' || c >= 0x80 }
	i := 0
	for i < len(q) && !bad(q[i]) {
		i++
	}
	if i == len(q) {
		return q
	}
	var b strings.Builder
	b.WriteString(q[:i])
	for ; i < len(q); i++ {
		if bad(q[i]) {
			fmt.Fprintf(&b, "%%%02X", q[i])
		} else {
			b.WriteByte(q[i])
		}
	}
	return b.String()
}

// hostOf returns what net/http writes into the Host field.
func hostOf(r *http.Request) (string, error) {
	host, err := httpguts.PunycodeHostPort(or(r.Host, r.URL.Host))
	if err != nil {
		return "", err
	}
	return withoutZone(strings.TrimSuffix(host, ":")), nil
}

// withoutZone removes the zone of an IPv6 address (RFC 6874 §1).
func withoutZone(host string) string {
	end := strings.LastIndexByte(host, ']')
	if !strings.HasPrefix(host, "[") || end < 0 {
		return host
	}
	if zone := strings.LastIndexByte(host[:end], '%'); zone >= 0 {
		return host[:zone] + host[end:]
	}
	return host
}

// fields returns the fields in the order in which net/http writes them. What
// frames the body is the engine's, as are Upgrade and the token for it.
func (x *exchange) fields(host string, u *url.URL, upgrading bool) header.Header {
	r := x.request
	fields := make([]header.Field, 0, len(r.Header)+4)
	if host != withoutZone(u.Host) || hasDefaultPort(u) {
		fields = append(fields, header.Field{Name: "Host", Value: host})
	}
	agent := userAgentOf(r.Header)
	if agent != "" {
		fields = append(fields, header.Field{Name: "User-Agent", Value: agent})
	}
	if r.Close && !hasToken(r.Header["Connection"], "close") {
		fields = append(fields, header.Field{Name: "Connection", Value: "close"})
	}
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		if !notCopied(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			if upgrading && name == "Connection" {
				if v = withoutToken(v, "Upgrade"); v == "" {
					continue
				}
			}
			fields = append(fields, header.Field{Name: name, Value: trim(v)})
		}
	}
	if x.gzip {
		fields = append(fields, header.Field{Name: "Accept-Encoding", Value: "gzip"})
	}
	return header.Of(fields)
}

// userAgentOf returns the field's value, "" for none. One whose name is not in
// canonical form is meant to be it, too; net/http sends that beside its own.
func userAgentOf(h http.Header) string {
	if _, given := h["User-Agent"]; given {
		return trim(h.Get("User-Agent"))
	}
	for name, values := range h {
		if len(values) > 0 && header.EqualFold(name, "User-Agent") {
			return trim(values[0])
		}
	}
	return defaultUserAgent
}

// notCopied reports fields that net/http takes from elsewhere, or the engine writes.
func notCopied(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer", "Upgrade":
		return true
	}
	return false
}

func trim(v string) string { return strings.Trim(v, " \t\r\n") }

// hasDefaultPort reports whether u names the port that an engine would leave out.
func hasDefaultPort(u *url.URL) bool {
	port := u.Port()
	return port == "80" && u.Scheme == "http" || port == "443" && u.Scheme == "https"
}

// hostPort is the address that the hook GetConn is told.
func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// content returns the body as content, nil if there is none to send. On HTTP/1 one
// of known length has no trailers.
func (x *exchange) content(http1 bool) (content.Content, error) {
	r := x.request
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.Method == http.MethodConnect {
		return nil, nil // it goes into the tunnel
	}
	length := r.ContentLength
	forced := len(r.TransferEncoding) > 0 && r.TransferEncoding[0] == "chunked"
	if length == 0 || forced {
		length = -1
	}
	x.upload = &upload{request: r, first: &onceCloser{ReadCloser: r.Body}, length: length, abandoned: x.abandoned}
	if length < 0 && !forced && usuallyBodiless(r.Method) && !x.upload.probe(r.Context()) {
		return nil, x.upload.first.Close()
	}
	x.upload.Bytes() // now, while nobody reads from it
	if length >= 0 && http1 || len(r.Trailer) == 0 {
		return x.upload, nil
	}
	names, err := trailerNames(r.Trailer)
	if err != nil {
		return nil, err
	}
	return content.WithTrailers(x.upload, names, func() header.Header { return trailerFields(r.Trailer) }), nil
}

// usuallyBodiless reports methods whose requests rarely have a body, so that
// servers are confused by one in chunks, even an empty one.
func usuallyBodiless(method string) bool {
	switch method {
	case "", "GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND", "SEARCH":
		return true
	}
	return false
}

func trailerNames(h http.Header) ([]string, error) {
	names := make([]string, 0, len(h))
	for name := range h {
		name = http.CanonicalHeaderKey(name)
		if framesMessages(name) {
			return nil, fmt.Errorf("invalid Trailer key %q", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func trailerFields(h http.Header) (fields header.Header) {
	for name, values := range h {
		for _, v := range values {
			fields.Add(name, trim(newlines.Replace(v)))
		}
	}
	return fields
}

// noteSent keeps the head of what is sent, for the hook WroteHeaderField.
func (x *exchange) noteSent(_ context.Context, e godwit.Sending) {
	head := &sentHead{header: e.Request.Header.View()}
	if c := e.Request.Content(); c != nil {
		head.length = c.ContentLength()
		if t, ok := c.(content.Trailerer); ok {
			head.names = t.TrailerNames()
		}
	}
	x.sent.Store(head)
}
