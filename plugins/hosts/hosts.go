// Package hosts sets defaults by host: fields, query parameters, a base path and
// any option, for the requests to hosts that fit a pattern.
//
//	c := godwit.New(godwit.Install(hosts.New(
//		hosts.Rule{Host: "api.example.org", Header: header.New("X-Api-Key", key), BasePath: "/v2"},
//		hosts.Rule{Host: "*.example.org", Options: []godwit.Option{retry.Max(5)}},
//	)))
//
// Of the rules that fit a host only the most exact one applies. It is chosen anew
// for each hop of a redirect, and its fields for a repetition that is sent
// elsewhere: what a rule added is sent to its own hosts only.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
)

// Rule is what requests to some hosts have in common. What a request sets itself
// goes before it; it goes before what the client sets for all requests.
type Rule struct {
	// Host is the pattern: "api.example.org" for that host, "*.example.org" for
	// all hosts below it at any depth (not for itself), "*" for every host. A
	// scheme before it and a port after it narrow it down:
	// "https://api.example.org:8443". Of the patterns that fit, a name goes before
	// a wildcard, a longer wildcard before a shorter one, then one with a port
	// before one without, then one with a scheme.
	Host string
	// Header holds fields for each hop to these hosts. A Content-Type is refused:
	// it is the body's.
	Header header.Header
	// Params are query parameters for requests that have none of that name. They
	// and BasePath are for the URL as the caller gave it: a redirect's is followed
	// as it is.
	Params url.Values
	// BasePath is put before the path, unless the path is below it already; "" =
	// none.
	BasePath string
	// Options are settings, of godwit or of plugins. Fields and parameters among
	// them count like those above. Three kinds can't be set here: the request
	// timeout and MaxBody, as a call begins before its host is known (use
	// godwit.AttemptTimeout), what builds a URL or a body (Path, BaseURL, Body,
	// Cookie: give Header a Cookie field), and what packages websocket and sse make
	// of a connection, which they ask the call: give these options to Dial or Events.
	Options []godwit.Option
}

var ignoreSetting = godwit.NewSetting("hosts.Ignore", false)

// Ignore says that no rule applies to a request, or to a client's requests; the
// default is false.
func Ignore(ignore bool) godwit.Option { return ignoreSetting.Set(ignore) }

// Plugin applies rules.
type Plugin struct {
	rules []*rule // the most exact first
	err   error
}

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(rules ...Rule) *Plugin {
	p := &Plugin{}
	var errs []error
	for _, r := range rules {
		compiled, err := compile(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule for %q: %w", r.Host, err))
			continue
		}
		if i := slices.IndexFunc(p.rules, func(q *rule) bool { return q.pattern == compiled.pattern }); i >= 0 {
			errs = append(errs, fmt.Errorf("rule for %q: there is one for the same hosts already", r.Host))
		}
		p.rules = append(p.rules, compiled)
	}
	slices.SortStableFunc(p.rules, func(a, b *rule) int { return b.pattern.compare(a.pattern) })
	p.err = errors.Join(errs...)
	return p
}

// rule is a Rule made ready.
type rule struct {
	pattern pattern
	header  header.Header
	names   []string
	params  []header.Pair
	base    string
	user    *url.Userinfo
	options []godwit.Option
}

func compile(r Rule) (*rule, error) {
	pattern, err := parsePattern(r.Host)
	if err != nil {
		return nil, err
	}
	options := slices.DeleteFunc(slices.Clone(r.Options), func(o godwit.Option) bool { return o == nil })
	// What the options write is seen on a request that goes nowhere.
	probe := godwit.NewRequest("GET", "http://host.invalid/", options...)
	if err := probe.Err(); err != nil {
		return nil, err
	}
	if probe.URL.Path != "/" || probe.Body != nil {
		return nil, errors.New("the options Path and Body are for single requests; see BasePath")
	}
	c := &rule{pattern: pattern, header: r.Header.Clone(), user: probe.URL.User, options: options}
	for name, v := range probe.Header.All() {
		c.header.Add(name, v)
	}
	c.names = c.header.Names()
	if err := c.checkHeader(); err != nil {
		return nil, err
	}
	for _, values := range []url.Values{r.Params, probe.URL.Query()} {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			for _, v := range values[name] {
				c.params = append(c.params, header.Pair{Name: name, Value: v})
			}
		}
	}
	c.base, err = basePath(r.BasePath)
	return c, err
}

func (c *rule) checkHeader() error {
	for name, v := range c.header.All() {
		switch {
		case !header.ValidName(name):
			return fmt.Errorf("field name %q: only letters, digits and !#$%%&'*+-.^_`|~ are allowed", name)
		case !header.ValidValue(v):
			return fmt.Errorf("field %s: its value has control characters, or white space at an end", name)
		case header.EqualFold(name, "Content-Type"), header.EqualFold(name, "Content-Length"):
			return fmt.Errorf("field %s belongs to the body of a single request", name)
		}
	}
	return nil
}

func basePath(base string) (string, error) {
	base = strings.TrimRight(base, "/")
	if base == "" {
		return "", nil
	}
	u, err := url.Parse(base)
	if err != nil || !strings.HasPrefix(base, "/") || strings.HasPrefix(base, "//") || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("BasePath %q: it begins with one slash and is a path alone", base)
	}
	return u.EscapedPath(), nil
}

// origin is what the plugin keeps of a call from before its rules changed it.
type origin struct {
	own  header.Header // the caller's own fields
	bare *godwit.Request
	used *rule
}

// place is where a hop goes, and by which rule; nil = none.
type place struct {
	url    *url.URL
	rule   *rule
	origin *origin
}

var (
	originKey = attr.NewKey[*origin]("hosts.origin")
	placeKey  = attr.NewKey[*place]("hosts.place")
)

// hop is the phase just inside of redirects: it is passed once a hop, outside of
// repetitions, logins and caches.
const hop godwit.SendPhase = "Hosts"

// attempt is the phase just inside of repetitions, which may go elsewhere.
const attempt godwit.SendPhase = "HostsAttempt"

// Name returns "hosts".
func (p *Plugin) Name() string { return "hosts" }

// Install hooks the plugin into phases CallBefore and CallState, and into two of
// its own inside SendFollow and SendRetry.
func (p *Plugin) Install(s *godwit.Scope) error {
	if p.err != nil || len(p.rules) == 0 {
		return p.err
	}
	ignore := ignoreSetting.Capture(s)
	s.InterceptCall(godwit.CallBefore, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if !ignore.For(req) {
			originKey.Set(&req.Attributes, &origin{own: req.Header.View()})
		}
		return next(ctx, req)
	})
	s.OnRequest(func(_ context.Context, req *godwit.Request) error {
		if o, ok := originKey.Get(&req.Attributes); ok {
			p.begin(req, o)
		}
		return req.Err()
	})
	s.AddPhaseAfter(godwit.SendFollow, hop)
	s.Intercept(hop, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if ignore.For(req) {
			return next(ctx, req)
		}
		req = p.onHop(req)
		if err := req.Err(); err != nil {
			return nil, err
		}
		return next(ctx, req)
	})
	s.AddPhaseAfter(godwit.SendRetry, attempt)
	s.Intercept(attempt, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if !ignore.For(req) {
			req = p.onAttempt(req)
		}
		if err := req.Err(); err != nil {
			return nil, err
		}
		return next(ctx, req)
	})
	return nil
}

// begin applies to the whole call what the first host's rule says beyond fields,
// which are each hop's own.
func (p *Plugin) begin(req *godwit.Request, o *origin) {
	o.used = p.find(req.URL)
	if o.used == nil {
		return
	}
	o.used.completeURL(req)
	o.bare = req.Clone()
	o.used.set(req)
}

// set applies a rule's settings where the request has none: what options write
// into fields and URL has been taken from them before.
func (r *rule) set(req *godwit.Request) {
	if len(r.options) > 0 {
		h, u := req.Header, req.URL
		req.Header = h.View()
		req.WithDefaults(r.options...)
		req.Header, req.URL = h, u
	}
}

// onHop returns the request for one hop. The caller's is left alone: redirects
// are made from it, and know nothing of a rule's fields.
func (p *Plugin) onHop(req *godwit.Request) *godwit.Request {
	r := p.find(req.URL)
	o, ok := originKey.Get(&req.Attributes)
	if !ok { // past the Call pipeline, by RoundTrip
		o = &origin{own: req.Header}
	}
	_, stale := placeKey.Get(&req.Attributes) // the request is one of an earlier call
	if r == nil && o.used == nil && !stale {
		return req
	}
	to := req.Clone()
	if o.used != nil && r != o.used { // the first host's settings are not this one's
		to = o.bare.Clone()
		to.Method, to.URL, to.Header, to.Body, to.Attributes = req.Method, req.URL, req.Header.View(), req.Body, req.Attributes
	}
	if r != nil {
		r.apply(to, o)
	}
	placeKey.Set(&to.Attributes, &place{to.URL, r, o})
	return to
}

// onAttempt returns the request for one attempt: if a repetition was given another
// URL, the fields of that host's rule take the place of the hop's own.
func (p *Plugin) onAttempt(req *godwit.Request) *godwit.Request {
	was, ok := placeKey.Get(&req.Attributes)
	if !ok || req.URL == was.url || req.URL == nil {
		return req
	}
	r := p.find(req.URL)
	if r == was.rule {
		return req
	}
	to := req.Clone()
	if was.rule != nil {
		for _, name := range was.rule.names {
			if slices.Equal(to.Header.Values(name), was.rule.header.Values(name)) {
				to.Header.Del(name)
			}
		}
	}
	if r != nil {
		r.apply(to, was.origin)
	}
	return to
}

func (r *rule) apply(to *godwit.Request, o *origin) {
	if r != o.used {
		r.set(to)
	}
	if r.user != nil && to.URL.User == nil {
		u := *to.URL
		u.User = r.user
		to.URL = &u
	}
	for _, name := range r.names {
		if to.Header.Has(name) && o.own.Has(name) {
			continue
		}
		to.Header.Del(name)
		to.Header.AddAll(name, r.header.Values(name)...)
	}
}

// completeURL adds the base path and the parameters.
func (r *rule) completeURL(req *godwit.Request) {
	u := *req.URL
	if path := u.EscapedPath(); r.base != "" && path != r.base && !strings.HasPrefix(path, r.base+"/") {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		u.RawPath = r.base + path
		u.Path, _ = url.PathUnescape(u.RawPath) // both halves are valid
	}
	if len(r.params) > 0 {
		have := u.Query()
		for _, p := range r.params {
			if have.Has(p.Name) {
				continue
			}
			if u.RawQuery != "" {
				u.RawQuery += "&"
			}
			u.RawQuery += url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.Value)
		}
	}
	req.URL = &u
}

func (p *Plugin) find(u *url.URL) *rule {
	t := targetOf(u)
	for _, r := range p.rules {
		if r.pattern.fits(t) {
			return r
		}
	}
	return nil
}
