// Package auth gives requests credentials and answers the challenges of servers
// and proxies: Basic, Bearer with refresh, Digest, API keys, AWS signatures,
// netrc files, and providers of your own.
//
//	c := godwit.New(godwit.Install(auth.New(
//		auth.Bearer{
//			Hosts:   []string{"api.example.org"},
//			Load:    func(ctx context.Context) (auth.Token, error) { return store.Token(ctx) },
//			Refresh: func(ctx context.Context, old auth.Token) (auth.Token, error) { return renew(ctx, c, old) },
//		},
//		auth.Digest{User: "ada", Password: "secret", Hosts: []string{"intranet.example.org"}},
//	)))
//
// A provider serves the hosts that it names, by default the origin (scheme, host
// and port) of the call's first URL, so that a redirect takes no credentials
// elsewhere. A request that brings its own, in the field or in its URL, keeps
// them.
package auth

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
)

var (
	offSetting     = godwit.NewSetting("auth.Off", false)
	refusedSetting = godwit.NewSetting[func(*godwit.Response) bool]("auth.RefusedIf", nil)

	passKey = attr.NewKey[*pass]("auth.pass")
)

// Off sends a request without what the plugin would add, and returns the answer
// as it is.
func Off() godwit.Option { return offSetting.Set(true) }

// RefusedIf says which responses count as a refusal of the credentials, in
// place of status 401: for servers that answer 403 or 419 to an expired token.
// f must not read the body. nil = 401.
func RefusedIf(f func(*godwit.Response) bool) godwit.Option { return refusedSetting.Set(f) }

// Plugin authenticates requests. Clients that share it share its tokens, nonces
// and the like.
type Plugin struct {
	bound  []bound
	err    error
	hooked bool // there are Signers or Checkers
}

var _ godwit.Plugin = (*Plugin)(nil)

// bound is an Authenticator and what it is for.
type bound struct {
	auth    Authenticator
	scope   scope
	signer  Signer
	checker Checker
}

// New returns the plugin. Where several providers could send the same field, or
// answer the same refusal, the first listed does. A provider that is ill
// configured is the client's error.
func New(providers ...Provider) *Plugin {
	p := &Plugin{}
	for i, provider := range providers {
		if provider == nil {
			p.err = fmt.Errorf("auth: provider %d is nil", i+1)
			return p
		}
		a, err := provider.NewAuthenticator()
		if err != nil {
			p.err = err
			return p
		}
		b := bound{auth: a}
		if b.scope, err = a.Scope().parse(); err != nil {
			p.err = fmt.Errorf("auth: %T: %w", provider, err)
			return p
		}
		b.signer, _ = a.(Signer)
		b.checker, _ = a.(Checker)
		p.hooked = p.hooked || b.signer != nil || b.checker != nil
		p.bound = append(p.bound, b)
	}
	return p
}

// Name returns "auth".
func (p *Plugin) Name() string { return "auth" }

// Clear forgets what the providers have learned: tokens are loaded again, and
// servers asked for their challenge again. Use it at logout.
func (p *Plugin) Clear() {
	for _, b := range p.bound {
		if c, ok := b.auth.(interface{ Clear() }); ok {
			c.Clear()
		}
	}
}

// Install hooks the plugin into phases SendRetry, SendAuth, SendAttempt and
// SendEngine.
func (p *Plugin) Install(s *godwit.Scope) error {
	if p.err != nil {
		return p.err
	}
	in := &installed{Plugin: p, off: offSetting.Capture(s), refusedIf: refusedSetting.Capture(s)}
	s.Intercept(godwit.SendAuth, in.serve)
	if p.hooked {
		s.Intercept(godwit.SendAttempt, in.sign)
		s.Intercept(godwit.SendEngine, in.check)
	}
	return nil
}

// installed is the plugin as one client has it.
type installed struct {
	*Plugin
	off       godwit.Value[bool]
	refusedIf godwit.Value[func(*godwit.Response) bool]
}

func (in *installed) serve(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	if s := in.pass(ctx, req); s != nil {
		return s.run(ctx, next)
	}
	if in.hooked {
		if _, left := passKey.Get(&req.Attributes); left { // the request is one of an earlier call
			req = req.Clone()
			passKey.Delete(&req.Attributes)
		}
	}
	return next(ctx, req)
}

// pass returns what authenticates req; nil = nothing does.
func (in *installed) pass(ctx context.Context, req *godwit.Request) *pass {
	here := originOf(req.URL)
	first := firstOrigin(ctx, req.URL, here)
	s := &pass{installed: in, req: req}
	if in.off.For(req) || ctx.Value(markKey{in.Plugin}) != nil || !s.activate(first, here) {
		return nil
	}
	return s
}

// sign is for the authenticators that work on the final fields.
func (in *installed) sign(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	s, ok := passKey.Get(&req.Attributes)
	if !ok || s.Plugin != in.Plugin || !s.signs {
		return next(ctx, req)
	}
	req = req.Clone()
	for i := range s.tries {
		t := &s.tries[i]
		if t.signer == nil || t.scope.field != "" && req.Header.Has(t.scope.field) {
			continue
		}
		x := t.exchange // forks sign at the same time
		x.Request = req
		if err := t.signer.Sign(&marked{ctx, in.Plugin}, &x); err != nil {
			return nil, err
		}
	}
	return next(ctx, req)
}

// check shows responses, as they came over the wire, to the authenticators that
// want to see them.
func (in *installed) check(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
	resp, err := next(ctx, req)
	if err != nil {
		return nil, err
	}
	s, ok := passKey.Get(&req.Attributes)
	if !ok || s.Plugin != in.Plugin {
		return resp, nil
	}
	for i := range s.tries {
		if t := &s.tries[i]; t.checker != nil && t.sent {
			if err := t.checker.Check(ctx, &t.exchange, resp); err != nil {
				resp.Discard()
				return nil, err
			}
		}
	}
	return resp, nil
}

// markKey marks contexts of what a plugin's providers do themselves: requests
// sent with them pass the plugin by, else a refresh would wait for itself.
type markKey struct{ *Plugin }

type marked struct {
	context.Context
	plugin *Plugin
}

// Value adds the mark to those of the context.
func (m *marked) Value(key any) any {
	if k, ok := key.(markKey); ok && k.Plugin == m.plugin {
		return true
	}
	return m.Context.Value(key)
}
