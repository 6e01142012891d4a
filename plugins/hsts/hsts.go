// Package hsts keeps to HTTP Strict Transport Security (RFC 6797): it remembers
// the hosts that ask for HTTPS and sends requests to them by https even if their
// URL says http, on every hop.
//
//	c := godwit.New(godwit.Install(hsts.New(hsts.Config{Store: &hsts.File{Path: "hsts.json"}})))
//
// A host is remembered only by a response that came over TLS with a verified
// certificate, and never by an IP address. An engine that tells nothing of its
// connections, or that was told not to verify, teaches nothing.
//
// A redirect to http on a known host is followed as one to https: the response's
// Location says so, Call.WireHeader has it as it was sent.
package hsts

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
	"golang.org/x/net/idna"
)

// Config configures the plugin; its zero value is ready to use.
type Config struct {
	// Store keeps the known hosts; nil = a new Memory.
	Store Store
	// Preload tells of hosts that are known from the start: whether host is one,
	// and whether it stands for its subdomains. It is asked for a host and for
	// each domain above it, in lower case and ASCII; responses don't overrule it.
	// nil = none.
	Preload func(host string) (includeSubDomains, ok bool)
	// OnError is told of errors of the store, and the call goes on as if the host
	// were not known. nil = the call fails.
	OnError func(ctx context.Context, err error)
}

var enabled = godwit.NewSetting("hsts.Enabled", true)

// Off keeps the plugin away from a client's requests or from one: they are sent
// as their URLs say, and teach nothing.
func Off() godwit.Option { return enabled.Set(false) }

// Plugin upgrades requests. It is safe for concurrent use; clients that share it
// share its store.
type Plugin struct{ config Config }

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	if c.Store == nil {
		c.Store = new(Memory)
	}
	return &Plugin{c}
}

// Name returns "hsts".
func (p *Plugin) Name() string { return "hsts" }

// The phases are outside of everything that looks at the scheme: one where the
// call's URL is complete and nobody has seen it, one just inside the redirects.
const (
	phaseCall godwit.CallPhase = "HSTS"
	phaseHop  godwit.SendPhase = "HSTS"
)

// Install hooks the plugin into phase SendReceive, and into phases of its own
// before CallState and after SendFollow.
func (p *Plugin) Install(s *godwit.Scope) error {
	i := &installed{p, enabled.Capture(s)}
	s.AddCallPhaseBefore(godwit.CallState, phaseCall)
	s.InterceptCall(phaseCall, i.begin)
	s.AddPhaseAfter(godwit.SendFollow, phaseHop)
	s.Intercept(phaseHop, i.hop)
	s.Intercept(godwit.SendReceive, i.learn)
	return nil
}

type installed struct {
	*Plugin
	enabled godwit.Value[bool]
}

// begin upgrades the first hop early, so that redirects, and plugins that go by
// the URL, see the origin that the request really goes to.
func (i *installed) begin(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if i.enabled.For(req) {
		u, err := i.upgrade(ctx, req.URL)
		if err != nil {
			return nil, err
		}
		req.URL = u
	}
	return next(ctx, req)
}

// hop upgrades what is still http, and the way that a redirect points.
func (i *installed) hop(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if !i.enabled.For(req) {
		return next(ctx, req)
	}
	u, err := i.upgrade(ctx, req.URL)
	if err != nil {
		return nil, err
	}
	if u != req.URL {
		req = req.Clone()
		req.URL = u
	}
	resp, err := next(ctx, req)
	if err != nil || resp.Status < 300 || resp.Status > 399 {
		return resp, err
	}
	if err := i.redirect(ctx, resp); err != nil {
		resp.Discard()
		return nil, err
	}
	return resp, nil
}

func (i *installed) redirect(ctx context.Context, resp *godwit.Response) error {
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil // following it tells of the error
	}
	u, err := i.upgrade(ctx, to)
	if err != nil || u == to {
		return err
	}
	resp.Header = resp.Header.View()
	resp.Header.Set("Location", u.String())
	return nil
}

// upgrade returns u as it is to be used: itself, or a copy with https.
func (i *installed) upgrade(ctx context.Context, u *url.URL) (*url.URL, error) {
	if u == nil || u.Scheme != "http" {
		return u, nil
	}
	known, err := i.Known(ctx, u.Hostname())
	if err != nil {
		err = fmt.Errorf("hsts: %w", err)
		if i.config.OnError == nil {
			return nil, err
		}
		i.config.OnError(ctx, err)
	}
	if !known {
		return u, nil
	}
	https := *u
	https.Scheme = "https"
	if u.Port() == "80" { // RFC 6797 §8.3; other ports stay
		https.Host = strings.TrimSuffix(u.Host, ":80")
	}
	return &https, nil
}

// learn remembers what a response says (RFC 6797 §8.1).
func (i *installed) learn(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	resp, err := next(ctx, req)
	if err != nil || req.URL.Scheme != "https" {
		return resp, err
	}
	value, ok := resp.Header.Lookup("Strict-Transport-Security") // the first counts
	if !ok || !i.enabled.For(req) {
		return resp, nil
	}
	if state := resp.TLS(); state == nil || len(state.VerifiedChains) == 0 {
		return resp, nil
	}
	if err := i.Learn(ctx, req.URL.Hostname(), value); err != nil {
		err = fmt.Errorf("hsts: %w", err)
		if i.config.OnError == nil {
			resp.Discard()
			return nil, err
		}
		i.config.OnError(ctx, err)
	}
	return resp, nil
}

// Known reports whether requests to host go by https.
func (p *Plugin) Known(ctx context.Context, host string) (bool, error) {
	host, ok := domainOf(host)
	if !ok {
		return false, nil
	}
	now := time.Now()
	for domain := host; domain != ""; _, domain, _ = strings.Cut(domain, ".") {
		if p.config.Preload != nil {
			if sub, ok := p.config.Preload(domain); ok && (sub || domain == host) {
				return true, nil
			}
		}
		policy, ok, err := p.config.Store.Get(ctx, domain)
		if err != nil {
			return false, err
		}
		if ok && policy.Expires.After(now) && (policy.IncludeSubDomains || domain == host) {
			return true, nil
		}
	}
	return false, nil
}

// Learn remembers, or forgets, a host by the value of a Strict-Transport-Security
// field. A value that is not valid, and an IP address, change nothing.
func (p *Plugin) Learn(ctx context.Context, host, value string) error {
	host, ok := domainOf(host)
	if !ok {
		return nil
	}
	maxAge, sub, ok := parse(value)
	switch {
	case !ok:
		return nil
	case maxAge == 0:
		return p.config.Store.Delete(ctx, host)
	}
	now := time.Now()
	old, known, err := p.config.Store.Get(ctx, host)
	if err != nil {
		return err
	}
	policy := Policy{host, sub, now.Add(maxAge)}
	if known && old.IncludeSubDomains == sub && policy.Expires.Sub(old.Expires).Abs() < min(maxAge/100, time.Hour) {
		return nil // told again with each response: not each is worth a write
	}
	return p.config.Store.Set(ctx, policy)
}

// All returns the hosts that are known by responses and have not expired.
func (p *Plugin) All(ctx context.Context) ([]Policy, error) {
	all, err := p.config.Store.All(ctx)
	now := time.Now()
	var valid []Policy
	for _, policy := range all {
		if policy.Expires.After(now) {
			valid = append(valid, policy)
		}
	}
	return valid, err
}

// domainOf returns a host as it is compared: lower case, ASCII, without a dot at
// the end. ok is false for an IP address.
func domainOf(host string) (_ string, ok bool) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return "", false
	}
	if strings.IndexFunc(host, func(r rune) bool { return r >= 0x80 }) >= 0 {
		ascii, err := idna.Lookup.ToASCII(host)
		return ascii, err == nil
	}
	return host, true
}
