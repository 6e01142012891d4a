package cookies

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

const (
	// maxAge is the longest life of a cookie (RFC 6265bis §5.5).
	maxAge = 400 * 24 * time.Hour
	// usedEvery bounds how exact Used is, so that a request seldom writes.
	usedEvery = time.Minute
)

// accept makes a cookie of what a Set-Cookie field says, or refuses it (RFC
// 6265bis §5.7). What depends on other cookies is judged by merge.
func (p *Plugin) accept(set header.Cookie, from origin, now time.Time) (Cookie, bool) {
	c := Cookie{
		Name: set.Name, Value: set.Value, Domain: from.host, HostOnly: true, Path: set.Path,
		Expires: expiry(set, now), Created: now, Used: now,
		Secure: set.Secure, HTTPOnly: set.HttpOnly, Partitioned: set.Partitioned, SameSite: set.SameSite,
	}
	if c.Path == "" {
		c.Path = defaultPath(from.path)
	}
	if d := set.Domain; d != "" && (d != from.host || !isIP(d) && p.config.PublicSuffix(d) != d) {
		if !isASCII(d) || !domainMatch(from.host, d) || p.config.PublicSuffix(d) == d {
			return Cookie{}, false
		}
		c.Domain, c.HostOnly = d, false
	}
	switch {
	case set.Secure && !from.secure, !set.Secure && (set.Partitioned || set.SameSite == "None"):
		return Cookie{}, false
	case c.Name == "" && slices.ContainsFunc(prefixes, func(p prefix) bool { return hasPrefix(c.Value, p.name) }):
		return Cookie{}, false // it would read as a name
	}
	for _, p := range prefixes {
		if hasPrefix(c.Name, p.name) && (!set.Secure || p.host && (set.Domain != "" || set.Path != "/") || p.http && !set.HttpOnly) {
			return Cookie{}, false
		}
	}
	return c, true
}

// prefix is the beginning of a name that promises something about the cookie
// (RFC 6265bis §4.1.3, and its successor for __Http- and __Host-Http-). All
// promise Secure.
type prefix struct {
	name       string
	host, http bool // for one host and all its paths; HttpOnly
}

var prefixes = []prefix{
	{name: "__secure-"},
	{name: "__host-", host: true},
	{name: "__http-", http: true},
	{name: "__host-http-", host: true, http: true},
}

// expiry is when the cookie ends, zero for the end of the session. Max-Age goes
// before Expires.
func expiry(set header.Cookie, now time.Time) time.Time {
	switch {
	case set.HasMaxAge && set.MaxAge <= 0:
		return time.Unix(0, 0).UTC()
	case set.HasMaxAge:
		return now.Add(min(time.Duration(set.MaxAge)*time.Second, maxAge))
	case set.Expires.IsZero():
		return time.Time{}
	}
	if last := now.Add(maxAge); set.Expires.After(last) {
		return last
	}
	return set.Expires
}

// hasPrefix compares without regard to case; prefix is in lower case.
func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && header.EqualFold(s[:len(prefix)], prefix)
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

// keep stores what the Set-Cookie fields of a response say.
func (p *Plugin) keep(ctx context.Context, s Storage, from origin, lines []string) error {
	now := time.Now()
	var accepted []Cookie
	for _, line := range lines {
		if set, ok := header.ParseSetCookie(line); ok {
			if c, ok := p.accept(set, from, now); ok {
				c.Created = now.Add(time.Duration(len(accepted))) // tells their order
				accepted = append(accepted, c)
			}
		}
	}
	if len(accepted) == 0 {
		return nil
	}
	return s.Update(ctx, p.site(from.host), func(kept []Cookie) []Cookie {
		for _, c := range accepted {
			if from.secure || !shadows(kept, &c) {
				kept = replace(kept, c)
			}
		}
		return p.prune(kept, now)
	})
}

// shadows reports whether c, set without TLS, would get in the way of a Secure
// cookie ("leave secure cookies alone").
func shadows(kept []Cookie, c *Cookie) bool {
	return slices.ContainsFunc(kept, func(old Cookie) bool {
		return old.Secure && old.Name == c.Name &&
			(domainMatch(old.Domain, c.Domain) || domainMatch(c.Domain, old.Domain)) && pathMatch(c.Path, old.Path)
	})
}

// replace puts c in the place of the same cookie, whose time of creation it
// takes over, or at the end.
func replace(kept []Cookie, c Cookie) []Cookie {
	i := slices.IndexFunc(kept, func(old Cookie) bool { return old.same(&c) })
	if i < 0 {
		return append(kept, c)
	}
	c.Created = kept[i].Created
	kept[i] = c
	return kept
}

// prune drops expired cookies of a site and then, over the limit, those without
// Secure and the others, least recently used first (RFC 6265bis §5.7).
func (p *Plugin) prune(kept []Cookie, now time.Time) []Cookie {
	kept = slices.DeleteFunc(kept, func(c Cookie) bool { return c.expired(now) })
	if over := len(kept) - p.config.PerSite; over > 0 {
		kept = evict(kept, over, func(a, b *Cookie) int { return cmp.Or(compareBool(a.Secure, b.Secure), a.Used.Compare(b.Used)) })
	}
	return kept
}

// evict drops the n cookies that come first in the given order; the rest stays
// in its own.
func evict(kept []Cookie, n int, order func(a, b *Cookie) int) []Cookie {
	index := make([]int, len(kept))
	for i := range index {
		index[i] = i
	}
	slices.SortStableFunc(index, func(a, b int) int { return order(&kept[a], &kept[b]) })
	drop := make([]bool, len(kept))
	for _, i := range index[:n] {
		drop[i] = true
	}
	i := -1
	return slices.DeleteFunc(kept, func(Cookie) bool { i++; return drop[i] })
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (i *installed) query(req *godwit.Request) query {
	q := query{origin: originOf(req), now: time.Now()}
	q.cross, _ = crossSite.Get(&req.Attributes)
	switch req.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "QUERY":
		q.safe = true
	}
	return q
}

// match returns the cookies for a request and notes that they were used.
func (p *Plugin) match(ctx context.Context, s Storage, q query) ([]Cookie, error) {
	matched, err := p.selected(ctx, s, q)
	if err != nil || len(matched) == 0 {
		return nil, err
	}
	return matched, p.touch(ctx, s, q, matched)
}

// touch notes that the matched cookies were used, unless that was noted lately.
func (p *Plugin) touch(ctx context.Context, s Storage, q query, matched []Cookie) error {
	stale := func(c Cookie) bool { return q.now.Sub(c.Used) >= usedEvery }
	if !slices.ContainsFunc(matched, stale) {
		return nil
	}
	return s.Update(ctx, p.site(q.host), func(kept []Cookie) []Cookie {
		for i := range kept {
			if kept[i].matches(&q) && stale(kept[i]) {
				kept[i].Used = q.now
			}
		}
		return kept
	})
}

// selected returns the cookies for a request: longer paths first, then those
// created earlier.
func (p *Plugin) selected(ctx context.Context, s Storage, q query) ([]Cookie, error) {
	kept, err := s.Site(ctx, p.site(q.host))
	if err != nil {
		return nil, err
	}
	var matched []Cookie
	for i := range kept {
		if kept[i].matches(&q) {
			if matched == nil {
				matched = make([]Cookie, 0, len(kept)-i)
			}
			matched = append(matched, kept[i])
		}
	}
	slices.SortStableFunc(matched, func(a, b Cookie) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.Created.Compare(b.Created))
	})
	return matched, nil
}

// site is what a host's cookies are kept under: its registrable domain, or
// itself if it has none.
func (p *Plugin) site(host string) string {
	if isIP(host) {
		return host
	}
	if last := p.lastSite.Load(); last != nil && last.host == host {
		return last.site
	}
	site := host
	if rest, ok := strings.CutSuffix(host, "."+p.config.PublicSuffix(host)); ok {
		site = host[strings.LastIndexByte(rest, '.')+1:]
	}
	p.lastSite.Store(&hostSite{host, site})
	return site
}

func (p *Plugin) siteOfURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return p.site(hostOf(u.Host))
}
