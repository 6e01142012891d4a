// Package cookies keeps the cookies that servers set and sends them back, by the
// rules of RFC 6265bis: host-only cookies, the public suffix list, paths, Secure,
// SameSite, name prefixes, partitions, limits and expiry.
//
//	c := godwit.New(godwit.Install(cookies.New(cookies.Config{})))
//	godwit.Post[godwit.None](ctx, c, base+"/login", form)
//	me, err := godwit.Get[User](ctx, c, base+"/me") // with the session's cookie
//
// Cookies that a request has by hand, from godwit.Cookie or its Cookie field,
// are sent as well, win over kept ones of the same name, and are not kept.
//
// # SameSite without a browser
//
// A call is what typing an address is in a browser: no site asks for it, so all
// cookies of its host are sent. After a redirect from another site it is that
// site that asks: Strict cookies are then not sent, and Lax ones only with GET,
// HEAD, OPTIONS, TRACE and QUERY. A cookie without SameSite counts as None.
// Every request is top-level, so it may set any cookie, and its site is the
// partition that partitioned cookies belong to.
package cookies

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
	"golang.org/x/net/publicsuffix"
)

// Config configures the plugin; its zero value is ready to use.
type Config struct {
	// Storage keeps the cookies; nil = a new Memory.
	Storage Storage
	// PerSite is how many cookies a site (a registrable domain, or a host that has
	// none) may have; 0 = 180. Over it those are dropped that have expired, then
	// those without Secure, then the others, each time what was used least
	// recently first. The storage bounds the number in all.
	PerSite int
	// PublicSuffix returns the public suffix of a domain, under which anybody can
	// register names: "co.uk" of "www.example.co.uk". Names are in lower case and
	// ASCII. nil = the list that is part of golang.org/x/net/publicsuffix.
	PublicSuffix func(domain string) string
	// IgnoreSameSite sends cookies whatever their SameSite says.
	IgnoreSameSite bool
	// OnError is told of errors of the storage, and the call goes on: without
	// cookies, or without keeping them. nil = the call fails.
	OnError func(ctx context.Context, err error)
}

const defaultPerSite = 180

var storageSetting = godwit.NewSetting[Storage]("cookies.Storage", nil).Check(checkStorage)

// Use sets Config.Storage for a client or one request: several sessions can
// share a client.
func Use(s Storage) godwit.Option { return storageSetting.Set(s) }

// Off keeps the plugin away from a client's requests or from one: nothing is
// sent but what is set by hand, and nothing kept.
func Off() godwit.Option { return storageSetting.Set(nil) }

// Plugin keeps cookies. It is safe for concurrent use; clients that share it
// share its storage.
type Plugin struct {
	config   Config
	lastSite atomic.Pointer[hostSite] // most clients talk to one host
}

// hostSite is a host and the site that it belongs to.
type hostSite struct{ host, site string }

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	if c.Storage == nil {
		c.Storage = new(Memory)
	}
	if c.PerSite <= 0 {
		c.PerSite = defaultPerSite
	}
	if c.PublicSuffix == nil {
		c.PublicSuffix = func(domain string) string {
			suffix, _ := publicsuffix.PublicSuffix(domain)
			return suffix
		}
	}
	return &Plugin{config: c}
}

// Name returns "cookies".
func (p *Plugin) Name() string { return "cookies" }

// phaseHop is just inside the redirects: it sees each hop once.
const phaseHop godwit.SendPhase = "Cookies"

// Install hooks the plugin into phases SendState and SendReceive, and into one of
// its own after SendFollow.
func (p *Plugin) Install(s *godwit.Scope) error {
	if err := checkStorage(p.config.Storage); err != nil {
		return err
	}
	i := &installed{p, storageSetting.Capture(s, p.config.Storage)}
	s.AddPhaseAfter(godwit.SendFollow, phaseHop)
	s.Intercept(phaseHop, i.hop)
	s.Intercept(godwit.SendState, i.send)
	s.Intercept(godwit.SendReceive, i.receive)
	return nil
}

// installed is the plugin in one client.
type installed struct {
	*Plugin
	storage godwit.Value[Storage]
}

// crossSite marks requests that another site asked for.
var crossSite = attr.NewKey[bool]("cookies: cross-site")

// hop marks requests that come from a redirect of another site.
func (i *installed) hop(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if hops := godwit.CallFrom(ctx).History(); len(hops) > 0 && !i.config.IgnoreSameSite {
		req = i.marked(req, hops)
	}
	return next(ctx, req)
}

func (i *installed) marked(req *godwit.Request, hops []godwit.Hop) *godwit.Request {
	site := i.site(originOf(req).host)
	if slices.ContainsFunc(hops, func(h godwit.Hop) bool { return i.siteOfURL(h.URL) != site }) {
		req = req.Clone()
		crossSite.Set(&req.Attributes, true)
	}
	return req
}

// send adds the kept cookies to those that the request has by hand.
func (i *installed) send(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if s := i.storage.For(req); s != nil {
		var err error
		if req, err = i.withKept(ctx, s, req); err != nil {
			return nil, err
		}
	}
	return next(ctx, req)
}

func (i *installed) withKept(ctx context.Context, s Storage, req *godwit.Request) (*godwit.Request, error) {
	kept, err := i.match(ctx, s, i.query(req))
	if err != nil {
		if err = i.report(ctx, err); err != nil {
			return nil, err
		}
	}
	if len(kept) > 0 {
		hand := byHand(req.Header)
		if field := cookieField(hand, kept); field != hand {
			req = req.Clone()
			req.Header.Set("Cookie", field)
		}
	}
	return req, nil
}

// receive keeps what a real response sets: one from a cache does not come here.
func (i *installed) receive(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	resp, err := next(ctx, req)
	if err != nil || !resp.Header.Has("Set-Cookie") {
		return resp, err
	}
	return i.take(ctx, req, resp)
}

// take keeps the cookies of a response.
func (i *installed) take(ctx context.Context, req *godwit.Request, resp *godwit.Response) (*godwit.Response, error) {
	s := i.storage.For(req)
	if s == nil || godwit.CallFrom(ctx).Stateless() {
		return resp, nil
	}
	if err := i.keep(ctx, s, originOf(req), resp.Header.Values("Set-Cookie")); err != nil {
		if err = i.report(ctx, err); err != nil {
			resp.Discard()
			return nil, err
		}
	}
	return resp, nil
}

func (i *installed) report(ctx context.Context, err error) error {
	err = fmt.Errorf("cookies: %w", err)
	if i.config.OnError != nil {
		i.config.OnError(ctx, err)
		return nil
	}
	return err
}

// byHand joins the Cookie fields of a request.
func byHand(h header.Header) string {
	values := h.Values("Cookie")
	for i, v := range values {
		values[i] = strings.TrimRight(v, "; ")
	}
	return strings.Join(values, "; ")
}

// cookieField adds kept cookies to those given by hand, whose names win.
func cookieField(hand string, kept []Cookie) string {
	var given []header.Pair
	if hand != "" {
		given = header.ParseCookies(hand)
	}
	var b strings.Builder
	b.WriteString(hand)
	for _, c := range kept {
		if slices.ContainsFunc(given, func(p header.Pair) bool { return p.Name == c.Name }) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		if c.Name != "" {
			b.WriteString(c.Name)
			b.WriteByte('=')
		}
		b.WriteString(c.Value)
	}
	return b.String()
}

// All returns the cookies that are kept and have not expired.
func (p *Plugin) All(ctx context.Context) ([]Cookie, error) {
	all, err := p.config.Storage.All(ctx)
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(all), func(c Cookie) bool { return c.expired(now) }), err
}

// Cookies returns the cookies that a GET of u would send, in that order.
func (p *Plugin) Cookies(ctx context.Context, u *url.URL) ([]Cookie, error) {
	o := origin{hostOf(u.Host), u.Scheme == "https", pathOf(u)}
	return p.selected(ctx, p.config.Storage, query{origin: o, now: time.Now()})
}

// SetCookies keeps cookies as if a response from u had set them, each given as a
// Set-Cookie field's value. What the rules refuse is left out.
func (p *Plugin) SetCookies(ctx context.Context, u *url.URL, lines ...string) error {
	return p.keep(ctx, p.config.Storage, origin{hostOf(u.Host), u.Scheme == "https", pathOf(u)}, lines)
}

// Set keeps cookies as they are, for example those that All returned in another
// process. What can't be sent, and what has no Domain, is refused.
func (p *Plugin) Set(ctx context.Context, cookies ...Cookie) error {
	sites := make(map[string][]Cookie)
	for _, c := range cookies {
		if err := c.check(); err != nil {
			return err
		}
		if c.Domain = hostOf(c.Domain); c.Domain == "" {
			return fmt.Errorf("cookie %q has no Domain; cookies for every host are for cookies.Constant", c.Name)
		}
		site := p.site(c.Domain)
		sites[site] = append(sites[site], c)
	}
	for site, add := range sites {
		now := time.Now()
		err := p.config.Storage.Update(ctx, site, func(kept []Cookie) []Cookie {
			for _, c := range add {
				if c.Created.IsZero() {
					c.Created = now
				}
				if c.Used.IsZero() {
					c.Used = now
				}
				kept = replace(kept, c)
			}
			return p.prune(kept, now)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Delete drops the cookies for which drop returns true; nil = all.
func (p *Plugin) Delete(ctx context.Context, drop func(Cookie) bool) error {
	if drop == nil {
		drop = func(Cookie) bool { return true }
	}
	all, err := p.config.Storage.All(ctx)
	if err != nil {
		return err
	}
	var sites []string
	for _, c := range all {
		if site := p.site(c.Domain); drop(c) && !slices.Contains(sites, site) {
			sites = append(sites, site)
		}
	}
	for _, site := range sites {
		err := p.config.Storage.Update(ctx, site, func(kept []Cookie) []Cookie { return slices.DeleteFunc(kept, drop) })
		if err != nil {
			return err
		}
	}
	return nil
}
