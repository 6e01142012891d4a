package auth

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// ErrDigestMismatch is the cause when a server's or proxy's answer does not
// prove, as it claims, that it knows the password.
var ErrDigestMismatch = errors.New("auth: Digest: the server's proof (rspauth) is wrong")

// Digest proves that it knows the password without showing it (RFC 7616). It
// answers the strongest of the challenges that a server offers, SHA-512-256,
// SHA-256 or MD5, each with -sess or without, and uses a nonce again with
// counting nc, so that only the first request takes two round trips.
type Digest struct {
	User, Password string
	// Credentials chooses them by the request; nil = User and Password.
	Credentials CredentialsFunc
	// Realm is the one to answer; "" = any.
	Realm string
	// Algorithms are those to answer, without -sess: "SHA-256"; nil = all.
	Algorithms []string
	// Integrity prefers qop auth-int, which covers the bodies of request and
	// response, where the server offers both. The request's body is then read
	// twice.
	Integrity bool
	// Hosts and Proxy tell what it is for: see [Scope].
	Hosts []string
	Proxy string
}

// NewAuthenticator implements [Provider].
func (d Digest) NewAuthenticator() (Authenticator, error) {
	if d.Credentials == nil && d.User == "" {
		return nil, errors.New("auth: Digest needs User and Password, or Credentials")
	}
	for _, name := range d.Algorithms {
		if !slices.ContainsFunc(algorithms, func(a algorithm) bool { return strings.EqualFold(a.name, name) }) {
			return nil, fmt.Errorf("auth: Digest: algorithm %q is none of SHA-512-256, SHA-256, MD5", name)
		}
	}
	return &digest{Digest: d}, nil
}

type digest struct {
	Digest
	mu       sync.Mutex // guards what follows, the sessions and the nonces
	sessions map[sessionKey]*session
	nonces   map[nonceKey]*nonce
}

// mostNonces is how many are counted; past that all are forgotten but those in
// use.
const mostNonces = 1000

// nonceKey is a nonce of one origin.
type nonceKey struct {
	origin
	value string
}

// nonce counts the uses of a nonce, whoever has it from whichever answer: a
// server may hand out one to several requests, and an old one again.
type nonce struct {
	cnonce string // of -sess algorithms
	count  uint32
}

type sessionKey struct {
	origin
	user string
}

// session is a nonce in use with one origin. A proxy's is kept for each origin
// that was reached by it, as no other is known to be.
type session struct {
	challenge
	origin origin
	use    *nonce // of challenge.nonce
}

// digestUse is the State of an Exchange: what the request was sent with.
type digestUse struct {
	user, password string
	session        *session
	input          digestInput
	sent           bool
}

func (d *digest) Scope() Scope { return Scope{Hosts: d.Hosts, Proxy: d.Proxy} }

func (d *digest) Clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions = nil
}

func (d *digest) Authorize(ctx context.Context, x *Exchange) error {
	use, _ := x.State.(*digestUse)
	if use == nil {
		use = &digestUse{user: d.User, password: d.Password}
		x.State = use
		if err := d.fetch(ctx, x, use); err != nil || use.user == "" {
			return err
		}
		d.mu.Lock()
		use.session = d.sessions[use.key(x)]
		d.mu.Unlock()
		if use.session != nil && !use.session.covers(x.Request.URL) {
			use.session = nil
		}
	}
	use.sent = false
	if use.session == nil {
		return nil
	}
	in := d.next(use.session)
	in.user, in.password, in.method, in.uri = use.user, use.password, x.Request.Method, target(x.Request.URL)
	if in.qop == "auth-int" {
		var err error
		if in.body, err = bodyHash(ctx, x.Request, in.hash); err != nil {
			return err
		}
	}
	use.input, use.sent = in, true
	x.Set(in.credentials())
	return nil
}

func (d *digest) fetch(ctx context.Context, x *Exchange, use *digestUse) error {
	if d.Credentials != nil {
		var err error
		if use.user, use.password, err = d.Credentials(ctx, x.Request); err != nil {
			return fmt.Errorf("auth: Digest credentials: %w", err)
		}
	}
	use.user, use.password = norm.NFC.String(use.user), norm.NFC.String(use.password)
	return nil
}

func (u *digestUse) key(x *Exchange) sessionKey { return sessionKey{originOf(x.Request.URL), u.user} }

// next counts one use of the nonce.
func (d *digest) next(s *session) digestInput {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.use.count++
	in := digestInput{challenge: s.challenge, cnonce: s.use.cnonce, nc: fmt.Sprintf("%08x", s.use.count)}
	if !s.session {
		in.cnonce = newCnonce()
	}
	return in
}

// pick returns the strongest challenge that we can and may answer.
func (d *digest) pick(x *Exchange) (best challenge, ok bool) {
	for _, c := range x.Challenges {
		if d.Realm != "" && c.Param("realm") != d.Realm {
			continue
		}
		read, can := readChallenge(c, d.Integrity)
		if !can || d.Algorithms != nil && !slices.ContainsFunc(d.Algorithms, func(a string) bool { return strings.EqualFold(a, algorithms[read.rank].name) }) {
			continue
		}
		if !ok || read.rank < best.rank {
			best, ok = read, true
		}
	}
	return best, ok
}

// Accepts gives up when a fresh nonce was refused: the password is wrong, unless
// the server says that only the nonce is.
func (d *digest) Accepts(x *Exchange) bool {
	use, _ := x.State.(*digestUse)
	if use == nil || use.user == "" {
		return false
	}
	if c, ok := d.pick(x); ok && (x.Answered == 0 || c.stale) {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if key := use.key(x); use.sent && d.sessions[key] == use.session {
		delete(d.sessions, key)
	}
	return false
}

func (d *digest) Answer(_ context.Context, x *Exchange) (bool, error) {
	use := x.State.(*digestUse)
	c, _ := d.pick(x)
	if x.Proxy() {
		c.domain = nil // it has no meaning there (RFC 7616 §3.3)
	}
	key := use.key(x)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sessions == nil || len(d.sessions) >= mostOrigins {
		d.sessions = make(map[sessionKey]*session)
	}
	s := d.sessions[key]
	if s == nil || s.nonce != c.nonce || s.realm != c.realm || s.algorithm != c.algorithm { // else others were refused, too
		s = &session{challenge: c, origin: key.origin, use: d.nonce(key.origin, c.nonce)}
	}
	d.sessions[key], use.session = s, s
	return true, nil
}

// nonce returns the count of a nonce; d.mu is held.
func (d *digest) nonce(o origin, value string) *nonce {
	key := nonceKey{o, value}
	n := d.nonces[key]
	if n == nil {
		if d.nonces == nil || len(d.nonces) >= mostNonces {
			d.nonces = make(map[nonceKey]*nonce) // sessions hold on to those in use
		}
		n = &nonce{cnonce: newCnonce()}
		d.nonces[key] = n
	}
	return n
}

// Check reads Authentication-Info (RFC 7616 §3.5): the server's own proof, which
// must be right if it is there, and the nonce to use next.
func (d *digest) Check(_ context.Context, x *Exchange, resp *godwit.Response) error {
	use, _ := x.State.(*digestUse)
	name := "Authentication-Info"
	if x.Proxy() {
		name = "Proxy-Authentication-Info"
	}
	value := resp.Header.Joined(name)
	if use == nil || !use.sent || value == "" {
		return nil
	}
	infos := header.ParseChallenges(header.New(name, "Digest "+value), name)
	if len(infos) != 1 {
		return nil
	}
	info := infos[0]
	if next := info.Param("nextnonce"); next != "" {
		d.advance(use.session, use.input.nonce, next)
	}
	proof := info.Param("rspauth")
	if proof == "" || resp.Status == godwit.StatusUnauthorized || resp.Status == godwit.StatusProxyAuthRequired {
		return nil
	}
	in := use.input
	if v := info.Param("cnonce"); v != "" && v != in.cnonce {
		return ErrDigestMismatch
	}
	if v := info.Param("nc"); v != "" && v != in.nc {
		return ErrDigestMismatch
	}
	if in.qop == "auth-int" {
		resp.WrapBody(func(body io.ReadCloser) io.ReadCloser {
			return &provenBody{ReadCloser: body, hash: in.hash(), input: in, proof: proof}
		})
		return nil
	}
	if !equalHex(proof, in.response("", "")) {
		return ErrDigestMismatch
	}
	return nil
}

// advance goes on with the next nonce after the one that a request was sent with,
// unless the session has left that already: then the answer comes late.
func (d *digest) advance(s *session, sent, next string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.nonce == sent {
		s.nonce, s.use = next, d.nonce(s.origin, next)
	}
}

func equalHex(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(strings.ToLower(a)), []byte(b)) == 1
}

// provenBody is a body whose proof can be checked at its end only: then a wrong
// one is an error in place of io.EOF.
type provenBody struct {
	io.ReadCloser
	hash  hash.Hash
	input digestInput
	proof string
}

func (b *provenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if err == io.EOF && !equalHex(b.proof, b.input.response("", hex.EncodeToString(b.hash.Sum(nil)))) {
		err = ErrDigestMismatch
	}
	return n, err
}

var _ Checker = (*digest)(nil)
