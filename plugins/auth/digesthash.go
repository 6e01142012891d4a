package auth

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

// algorithm is a hash that challenges can name (RFC 7616 §6.1), best first.
type algorithm struct {
	name string
	new  func() hash.Hash
}

var algorithms = []algorithm{
	{"SHA-512-256", sha512.New512_256},
	{"SHA-256", sha256.New},
	{"MD5", md5.New},
}

// challenge is a Digest challenge that we can answer.
type challenge struct {
	realm, nonce, opaque string
	hasOpaque            bool   // an empty one is returned, too
	algorithm            string // as sent, "" if it was not
	hash                 func() hash.Hash
	rank                 int // place in algorithms
	session              bool
	qop                  string // ours: "auth", "auth-int", or "" for RFC 2069
	userhash             bool
	domain               []string
	stale                bool
}

// readChallenge makes sense of c; ok is false if it cannot be answered.
func readChallenge(c header.Challenge, integrity bool) (out challenge, ok bool) {
	out = challenge{
		realm: c.Param("realm"), nonce: c.Param("nonce"), opaque: c.Param("opaque"), algorithm: c.Param("algorithm"),
		userhash: strings.EqualFold(c.Param("userhash"), "true"), stale: strings.EqualFold(c.Param("stale"), "true"),
		domain: strings.Fields(c.Param("domain")), rank: -1,
	}
	out.hasOpaque = slices.ContainsFunc(c.Params, func(p header.Param) bool { return header.EqualFold(p.Name, "opaque") })
	name := out.algorithm
	if name == "" {
		name = "MD5"
	}
	if n := len(name) - len("-sess"); n > 0 && strings.EqualFold(name[n:], "-sess") {
		name, out.session = name[:n], true
	}
	for i, a := range algorithms {
		if strings.EqualFold(a.name, name) {
			out.rank, out.hash = i, a.new
		}
	}
	if !c.Is("Digest") || out.rank < 0 || out.nonce == "" {
		return out, false
	}
	var auth, authInt bool
	offered := header.SplitList(c.Param("qop"))
	for _, q := range offered {
		auth = auth || strings.EqualFold(q, "auth")
		authInt = authInt || strings.EqualFold(q, "auth-int")
	}
	switch {
	case authInt && (integrity || !auth):
		out.qop = "auth-int"
	case auth:
		out.qop = "auth"
	case len(offered) > 0 || out.session: // -sess needs a cnonce, which qop brings
		return out, false
	}
	return out, true
}

// covers reports whether the protection space that the challenge names holds u:
// all of its origin if it names none (RFC 7616 §3.3).
func (c *challenge) covers(u *url.URL) bool {
	if len(c.domain) == 0 {
		return true
	}
	for _, d := range c.domain {
		ref, err := url.Parse(d)
		if err != nil {
			continue
		}
		if ref = u.ResolveReference(ref); originOf(ref) == originOf(u) && strings.HasPrefix(pathOf(u), pathOf(ref)) {
			return true
		}
	}
	return false
}

func pathOf(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// target is the request target that the digest covers.
func target(u *url.URL) string {
	t := pathOf(u)
	if u.RawQuery != "" || u.ForceQuery {
		t += "?" + u.RawQuery
	}
	return t
}

// digestInput is all that goes into one response (RFC 7616 §3.4).
type digestInput struct {
	challenge
	user, password    string
	cnonce, nc        string
	method, uri, body string // body: H(entity-body), for auth-int
}

func (d *digestInput) h(parts ...string) string {
	h := d.hash()
	io.WriteString(h, strings.Join(parts, ":"))
	return hex.EncodeToString(h.Sum(nil))
}

// secret is H(A1).
func (d *digestInput) secret() string {
	a1 := d.h(d.user, d.realm, d.password)
	if d.session {
		return d.h(a1, d.nonce, d.cnonce)
	}
	return a1
}

// response is the request-digest, or with method "" the response-digest of
// Authentication-Info (§3.5).
func (d *digestInput) response(method, body string) string {
	a2 := d.h(method, d.uri)
	if d.qop == "auth-int" {
		a2 = d.h(method, d.uri, body)
	}
	if d.qop == "" {
		return d.h(d.secret(), d.nonce, a2)
	}
	return d.h(d.secret(), d.nonce, d.nc, d.cnonce, d.qop, a2)
}

// credentials is the value of the Authorization field. Which values are in
// quotes is not ours to choose (§3.4).
func (d *digestInput) credentials() string {
	var b strings.Builder
	b.WriteString("Digest ")
	name := d.user
	switch {
	case d.userhash:
		name = d.h(d.user, d.realm)
		fallthrough
	case header.ValidValue(d.user) && isASCII(d.user):
		b.WriteString("username=" + header.Quote(name))
	default:
		b.WriteString("username*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(d.user), "+", "%20"))
	}
	quoted := func(name, value string) { b.WriteString(", " + name + "=" + header.Quote(value)) }
	quoted("realm", d.realm)
	quoted("nonce", d.nonce)
	quoted("uri", d.uri)
	quoted("response", d.response(d.method, d.body))
	if d.algorithm != "" {
		b.WriteString(", algorithm=" + d.algorithm)
	}
	if d.hasOpaque {
		quoted("opaque", d.opaque)
	}
	if d.qop != "" {
		b.WriteString(", qop=" + d.qop + ", nc=" + d.nc)
		quoted("cnonce", d.cnonce)
	}
	if d.userhash {
		b.WriteString(", userhash=true")
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func newCnonce() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// bodyHash is H(entity-body) of what the request sends.
func bodyHash(ctx context.Context, req *godwit.Request, newHash func() hash.Hash) (string, error) {
	h := newHash()
	body := req.Content()
	if data, ok := content.BytesOf(body); ok {
		h.Write(data)
	} else if body != nil {
		if !body.Replayable() {
			return "", fmt.Errorf("auth: Digest with qop=auth-int reads the body before it is sent: %w", godwit.ErrNotReplayable)
		}
		r, err := body.Open(ctx)
		if err != nil {
			return "", err
		}
		defer r.Close()
		if _, err := io.Copy(h, r); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
