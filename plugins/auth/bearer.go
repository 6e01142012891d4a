package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// Bearer sends a token (RFC 6750) and refreshes it when it has expired or is
// refused: however many requests are refused at once, one refresh is made and
// each of them is sent again.
type Bearer struct {
	// Token is a token that never changes, for use without Load.
	Token string
	// Load returns the first token, and the next after Clear; nil = Token. A
	// Token without Access is none; then it is called again for the next request.
	Load func(ctx context.Context) (Token, error)
	// Refresh returns a new token in place of old, which may be zero; nil =
	// there are no others, a 401 is final. A Token without Access, or the same
	// one again, means that there is none: the call then gets its 401. It may use
	// the same client with ctx, which ends after Timeout and not with the call; a
	// client that is closed meanwhile still takes what is sent with ctx.
	Refresh func(ctx context.Context, old Token) (Token, error)
	// SendWithoutRequest says which requests get the token unasked; nil = all.
	// Others get it when the server asks.
	SendWithoutRequest func(*godwit.Request) bool
	// Realm is the one to answer; "" = any.
	Realm string
	// Timeout bounds Load and Refresh; 0 = 30 s.
	Timeout time.Duration
	// Tokens holds the token; nil = a place of its own.
	Tokens *Tokens
	// NoCache calls Load for each request. Refresh is still made once for those
	// that are refused at the same time.
	NoCache bool
	// Hosts tells what it is for: see [Scope].
	Hosts []string
}

// TokenFunc is a source of tokens as a [Provider]: a [Bearer] that loads and
// refreshes by calling it. It is called when there is no token, when the last
// one has expired, and when it was refused. A source that then returns the
// refused one has no better.
type TokenFunc func(ctx context.Context) (Token, error)

// Bearer returns the provider for the given hosts, none = the origin of the
// call's first URL.
func (f TokenFunc) Bearer(hosts ...string) Bearer {
	return Bearer{
		Load:    f,
		Refresh: func(ctx context.Context, _ Token) (Token, error) { return f(ctx) },
		Hosts:   hosts,
	}
}

// NewAuthenticator implements [Provider].
func (f TokenFunc) NewAuthenticator() (Authenticator, error) { return f.Bearer().NewAuthenticator() }

// NewAuthenticator implements [Provider].
func (b Bearer) NewAuthenticator() (Authenticator, error) {
	switch {
	case b.Token == "" && b.Load == nil && b.Refresh == nil && b.Tokens == nil:
		return nil, errors.New("auth: Bearer needs Token, Load, Refresh or Tokens")
	case b.Token != "" && b.Load != nil:
		return nil, errors.New("auth: Bearer takes either Token or Load")
	case !header.ValidValue(b.Token):
		return nil, errors.New("auth: Bearer: Token has control characters, or white space at an end")
	case b.NoCache && (b.Load == nil || b.Tokens != nil):
		return nil, errors.New("auth: Bearer{NoCache} needs Load, and keeps no Tokens")
	case b.Timeout < 0:
		return nil, errors.New("auth: Bearer: Timeout is negative")
	}
	if b.Timeout == 0 {
		b.Timeout = 30 * time.Second
	}
	if b.Tokens == nil {
		b.Tokens = new(Tokens)
	}
	a := &bearer{Bearer: b, refresh: b.Refresh}
	switch {
	case b.Load != nil:
		a.load = func(ctx context.Context, _ Token) (Token, error) { return b.Load(ctx) }
	case b.Token != "":
		a.load = func(context.Context, Token) (Token, error) { return Token{Access: b.Token}, nil }
	}
	return a, nil
}

type bearer struct {
	Bearer
	load, refresh tokenFunc // nil = none
}

// bearerUse is the State of an Exchange: what the request was sent with.
type bearerUse struct {
	held
	sent bool
}

func (b *bearer) Scope() Scope { return Scope{Hosts: b.Hosts} }

func (b *bearer) Clear() { b.Tokens.Clear() }

func (b *bearer) Authorize(ctx context.Context, x *Exchange) error {
	use, _ := x.State.(*bearerUse)
	if use == nil {
		use = new(bearerUse)
		x.State = use
		if b.SendWithoutRequest != nil && !b.SendWithoutRequest(x.Request) {
			return nil
		}
		var err error
		if use.held, err = b.obtain(ctx); err != nil {
			return err
		}
	}
	if use.Access == "" {
		return nil
	}
	use.sent = true
	scheme := use.Type
	if scheme == "" {
		scheme = "Bearer"
	}
	x.Set(scheme + " " + use.Access)
	return nil
}

func (b *bearer) obtain(ctx context.Context) (held, error) {
	if !b.NoCache {
		return b.Tokens.obtain(ctx, b)
	}
	version := b.Tokens.current().version
	token, err := safely(ctx, b.load, Token{})
	if err != nil {
		return held{}, fmt.Errorf("auth: loading the token: %w", err)
	}
	return held{Token: token, version: version}, nil
}

func (b *bearer) Accepts(x *Exchange) bool {
	use, _ := x.State.(*bearerUse)
	if use == nil || use.fresh {
		return false // a new token was refused, too
	}
	if !use.sent {
		_, ok := x.asked("Bearer", b.Realm)
		return ok
	}
	if b.Realm != "" {
		if _, ok := x.Challenge("Bearer", b.Realm); !ok {
			return false
		}
	}
	return b.refresh != nil || !b.NoCache && b.Tokens.current().version != use.version
}

func (b *bearer) Answer(ctx context.Context, x *Exchange) (bool, error) {
	use := x.State.(*bearerUse)
	if !use.sent {
		var err error
		if use.held, err = b.obtain(ctx); err != nil || use.Access != "" {
			return use.Access != "", err
		}
	}
	now, err := b.Tokens.renew(ctx, b, use.held)
	if err != nil || now.Access == "" {
		return false, err
	}
	use.held = now
	return true, nil
}
