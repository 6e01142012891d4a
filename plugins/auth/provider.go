package auth

import (
	"context"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// Provider is what [New] takes: [Basic], [Bearer], [Digest], [APIKey], [SigV4],
// [Netrc], [TokenFunc], or one of your own.
type Provider interface {
	// NewAuthenticator is called once, by New.
	NewAuthenticator() (Authenticator, error)
}

// Authenticator is a provider at work. It is safe for concurrent use.
//
// Its methods may send requests through the same client, as long as they use
// the context that they are given: such requests pass the plugin by. Errors fail
// the call. An Authenticator with a method Clear() is cleared by
// [Plugin.Clear]; see also [Signer] and [Checker].
type Authenticator interface {
	// Scope tells which requests it is for. It is constant.
	Scope() Scope
	// Authorize adds credentials to x.Request, which is a copy, by x.Set or
	// otherwise. It is called before each send. If x.Answered is 0 nobody has
	// asked for them yet, and it may leave the request as it is.
	Authorize(ctx context.Context, x *Exchange) error
	// Accepts reports whether Answer may find an answer to the refusal in x. It
	// must be quick and do no I/O: the response still holds its connection.
	Accepts(x *Exchange) bool
	// Answer prepares an answer to the refusal, which may take a while, and
	// reports whether there is one: then Authorize is called for the next send.
	Answer(ctx context.Context, x *Exchange) (bool, error)
}

// Signer is an Authenticator that signs: Sign is called in phase SendAttempt,
// when all fields of x.Request are there, and may change it.
type Signer interface {
	Authenticator
	Sign(ctx context.Context, x *Exchange) error
}

// Checker is an Authenticator that looks at each response to a request for which
// Authorize has set credentials by x.Set. Check must not read the body, but may
// wrap it; it is as it came over the wire. An error fails the call.
type Checker interface {
	Authenticator
	Check(ctx context.Context, x *Exchange, resp *godwit.Response) error
}

// Exchange is what an Authenticator sees of one request on its way to one
// origin: a hop or an attempt, and its repetitions for the sake of credentials.
// It is used by one goroutine at a time.
type Exchange struct {
	// Request is the one to be sent. In Accepts and Answer it is the one that
	// was refused.
	Request *godwit.Request
	// Response is the refusal, in Accepts and Answer. Its body cannot be read.
	Response *godwit.Response
	// Challenges are those of the refusal, from all of its fields.
	Challenges []header.Challenge
	// Alone tells that no other provider could answer the refusal.
	Alone bool
	// Answered is how many times Answer has found an answer in this exchange.
	Answered int
	// State is the Authenticator's own; nil at the start.
	State any

	proxy bool
	set   bool
}

// Proxy reports whether the credentials are for a proxy.
func (x *Exchange) Proxy() bool { return x.proxy }

// Set sets Authorization, or for a proxy Proxy-Authorization.
func (x *Exchange) Set(credentials string) {
	x.set = true
	x.Request.Header.Set(x.Field(), credentials)
}

// Field returns the name of the field that Set sets.
func (x *Exchange) Field() string { return credentialsField(x.proxy) }

// Challenge returns the first challenge of that scheme and realm; realm "" is
// any.
func (x *Exchange) Challenge(scheme, realm string) (header.Challenge, bool) {
	for _, c := range x.Challenges {
		if c.Is(scheme) && (realm == "" || c.Param("realm") == realm) {
			return c, true
		}
	}
	return header.Challenge{}, false
}

// asked reports whether a challenge asks for the scheme, or the server asks for
// nothing in particular and nobody else could answer.
func (x *Exchange) asked(scheme, realm string) (header.Challenge, bool) {
	c, ok := x.Challenge(scheme, realm)
	return c, ok || len(x.Challenges) == 0 && x.Alone && realm == ""
}

func credentialsField(proxy bool) string {
	if proxy {
		return "Proxy-Authorization"
	}
	return "Authorization"
}
