package godwit

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/header"
)

// lifecycle is the outermost of the Call pipeline: it raises Created and shows
// the final response to the validators.
func (b *builtins) lifecycle(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		call := CallFrom(ctx)
		emit(ctx, req, Created{call, req})
		resp, err := next(ctx, req)
		if err != nil {
			return resp, err
		}
		if err := b.validate(ctx, req, resp); err != nil {
			resp.Close()
			return nil, err
		}
		return resp, nil
	}
}

// merge adds the client's defaults to the request and what every request has:
// an absolute URL, User-Agent, Accept, Accept-Encoding.
func (b *builtins) merge(next Handler) Handler {
	return func(ctx context.Context, req *Request) (*Response, error) {
		if req.Method == "" {
			req.Method = "GET"
		}
		d := b.defaults
		if err := req.resolve(d); err != nil {
			return nil, err
		}
		if req.Header.Len() == 0 && b.isPlain(req) {
			req.Header = b.plain.View()
			req.decodes = b.plainDecodes
		} else {
			b.mergeFields(CallFrom(ctx).client, req)
		}
		if d.Attributes.Len() > 0 {
			req.Attributes.Merge(&d.Attributes)
			CallFrom(ctx).attrs.Replace(req.Attributes)
		}
		return next(ctx, req)
	}
}

// isPlain reports whether a request without fields gets just those that the
// client made ready for such requests.
func (b *builtins) isPlain(req *Request) bool {
	return req.marks&b.fieldMarks == 0 && req.extra == nil && req.Method != "HEAD" && req.Method != "CONNECT" &&
		(req.target == nil || !needsCodec(req.target))
}

// mergeFields adds the client's fields, and those that every request has.
func (b *builtins) mergeFields(c *Client, req *Request) {
	d := b.defaults
	own := req.Header.Len()
	req.Header = req.Header.CopyTo(nil, d.Header.Len()+5)
	for name, v := range d.Header.All() {
		if !hasBefore(req.Header, own, name) && !header.EqualFold(name, "Content-Type") && !req.without(name) {
			req.Header.Add(name, v)
		}
	}
	if req.without("Cookie") {
		req.addCookies(nil)
	} else {
		req.addCookies(d.extras().cookies)
	}
	if !req.without("User-Agent") {
		req.Header.SetIfAbsent("User-Agent", "godwit")
	}
	if !req.without("Accept") {
		req.Header.SetIfAbsent("Accept", b.accept(c, req))
	}
	b.addAcceptCharset(req)
	b.addAcceptEncoding(req)
}

// makePlain prepares the fields of plain requests.
func (b *builtins) makePlain(c *Client) {
	req := &Request{Method: "GET"}
	b.mergeFields(c, req)
	b.plain, b.plainDecodes = req.Header, req.decodes
	if _, err := b.wireHeader(&Request{URL: new(url.URL), Header: b.plain}, nil); err == nil {
		b.plainOK = b.plain.Len()
	}
	for name := range b.plain.All() {
		if header.EqualFold(name, "Host") || header.EqualFold(name, "Content-Length") {
			b.plainOK = 0 // to be looked at each time
		}
	}
}

// without reports whether DelHeader keeps a default field from the request.
func (r *Request) without(name string) bool {
	return slices.ContainsFunc(r.extras().without, func(n string) bool { return header.EqualFold(n, name) })
}

// hasBefore reports whether one of the first n fields has that name: default
// fields of one name do not shut each other out.
func hasBefore(h header.Header, n int, name string) bool {
	for i := range n {
		if header.EqualFold(h.At(i).Name, name) {
			return true
		}
	}
	return false
}

// accept is the default for Accept: what the codecs read if a value is wanted,
// else anything.
func (b *builtins) accept(c *Client, req *Request) string {
	if req.target == nil || !needsCodec(req.target) {
		return "*/*"
	}
	return c.acceptOfCodecs()
}

// resolve completes the URL: path parameters and the base that only the client
// knows, then the client's query parameters.
func (r *Request) resolve(d *Request) error {
	value := func(name string) (string, bool) {
		if v, ok := lookupPair(r.extras().parts.values, name); ok {
			return v, true
		}
		return lookupPair(d.extras().parts.values, name)
	}
	if r.URL == nil {
		r.raw = r.expand(r.raw, value)
		r.parseURL()
	} else {
		r.applyParts()
	}
	base := r.extras().parts.base
	if base == "" {
		base = d.extras().parts.base
	}
	if r.err == nil && base != "" && r.URL.Scheme == "" {
		r.join(r.expand(base, value))
	}
	if r.err != nil {
		return r.err
	}
	r.resolveDefaults(d)
	return nil
}

// expand replaces {name}s in a URL; one without a value is an error.
func (r *Request) expand(raw string, value func(string) (string, bool)) string {
	if strings.IndexByte(raw, '{') < 0 {
		return raw
	}
	out, missing, err := expandTemplate(raw, value)
	switch {
	case err != nil:
		r.fail(opError(opBuild, err))
		return raw
	case missing != "":
		r.fail(buildErrorf("URL %q: no value for %s; give one with godwit.PathParam, or write the brace as %%7B", redactRaw(raw), missing))
		return raw
	}
	return out
}

// join resolves r's relative URL against a base.
func (r *Request) join(base string) {
	if r.err != nil {
		return
	}
	b, err := parseBase(base)
	if err != nil {
		r.fail(err)
		return
	}
	if upgradeTo.key.Or(&r.settings, "") != "" { // what leads to ws is asked for by http
		b.Scheme = strings.Replace(b.Scheme, "ws", "http", 1)
	}
	if r.without("Authorization") {
		b.User = nil
	}
	r.URL = joinBase(b, r.URL)
}

func parseBase(base string) (*url.URL, error) {
	b, err := parseURL(base)
	switch {
	case err != nil:
		return nil, buildErrorf("BaseURL: %w", err)
	case b.Scheme == "" || b.Host == "":
		return nil, buildErrorf("BaseURL %q needs a scheme and a host", redactRaw(base))
	case b.Scheme != "http" && b.Scheme != "https" && b.Scheme != "ws" && b.Scheme != "wss":
		return nil, buildErrorf("BaseURL %q: scheme %q is not http or https", redactRaw(base), b.Scheme)
	}
	return b, nil
}

// resolveDefaults adds the client's query parameters, fragment and user info
// where the request has none.
func (r *Request) resolveDefaults(d *Request) {
	p := &d.extras().parts
	if len(p.params) == 0 && p.fragment == nil && p.user == nil {
		return
	}
	u := *r.URL
	if len(p.params) > 0 {
		u.RawQuery = mergeQuery(u.RawQuery, appendQuery("", p.params))
	}
	if p.fragment != nil && u.Fragment == "" {
		u.Fragment = *p.fragment
	}
	if p.user != nil && p.user != noUser && u.User == nil && !r.without("Authorization") {
		u.User = p.user
	}
	r.URL = &u
}

// addCookies writes the request's own cookies and those defaults whose names it
// does not have into one Cookie field.
func (r *Request) addCookies(defaults []cookiePair) {
	own := r.extras().cookies
	if len(own) == 0 && len(defaults) == 0 {
		return
	}
	cookies := slices.Clone(own)
	value := strings.Join(r.Header.Values("Cookie"), "; ")
	have := func(name string) bool {
		for _, p := range header.ParseCookies(value) {
			if p.Name == name {
				return true
			}
		}
		return slices.ContainsFunc(own, func(c cookiePair) bool { return c.name == name })
	}
	for _, c := range defaults {
		if !have(c.name) {
			cookies = append(cookies, c)
		}
	}
	for _, c := range cookies {
		if value != "" {
			value += "; "
		}
		value += c.name + "=" + c.value
	}
	if value != "" {
		r.Header.Set("Cookie", value)
	}
	r.more().cookies = nil
}
