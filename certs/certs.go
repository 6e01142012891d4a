// Package certs makes a *tls.Config: client certificates, trust roots, pins, key
// logs, revocation by stapled responses, and files that are read again when they
// change. What it makes works on every engine that takes engine.Config.TLS:
//
//	config, err := certs.Config(nil,
//		certs.MoreRootFiles("company-ca.pem"),
//		certs.ClientFiles("client.pem", "client-key.pem"),
//		certs.Pin("api.example.org", "sha256/…"))
//	…
//	client := godwit.New(godwit.EngineConfig(func(c *engine.Config) { c.TLS = config }))
//
// [Reason] tells of a failed call which of the many things that can be wrong
// with a certificate it was.
//
// What the engines do anyway: sessions are resumed, names are checked against
// the URL's host. Go does not let the cipher suites of TLS 1.3 be chosen, and makes
// keys from its own source of randomness, whatever Rand is.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Option is a part of a TLS configuration. Options are made by the functions of
// this package and applied by [Config].
type Option func(*builder) error

// builder collects what ends up in one VerifyConnection, one GetClientCertificate
// and one session cache.
type builder struct {
	config  *tls.Config
	given   int                        // of config.Certificates, those of base
	clients []*files[*tls.Certificate] // client certificates that may change
	roots   *files[*x509.CertPool]     // config.RootCAs and those in files that may change, or nil
	pins    []pins
	staple  stapleMode
}

// Config returns a copy of base with opts applied; base may be nil and is not
// changed. The order of options does not matter, but for the options that add to
// something: those that replace it go first. A VerifyConnection of base's own is
// kept and runs last, its GetClientCertificate is asked last. The error names an
// option that is wrong; a nil one is passed over.
//
// The result may be used by several engines and clients. Nothing has to be
// closed.
func Config(base *tls.Config, opts ...Option) (*tls.Config, error) {
	b := &builder{config: &tls.Config{}}
	if base != nil {
		b.config = base.Clone()
	}
	b.given = len(b.config.Certificates)
	for _, o := range opts {
		if o == nil {
			continue
		}
		if err := o(b); err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
	}
	if err := b.finish(); err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	return b.config, nil
}

func (b *builder) finish() error {
	c := b.config
	if c.InsecureSkipVerify && (b.roots != nil || b.staple != stapleIgnored) {
		return errors.New("InsecureSkipVerify leaves no verified chain; leave it out, or the reloaded roots and the check of stapled responses")
	}
	var roots func() *x509.CertPool
	if b.roots != nil {
		fixed := c.RootCAs // only now it is known what the files add to
		b.roots.read = func() (*x509.CertPool, error) {
			pool := fixed.Clone()
			return pool, addFiles(pool, b.roots.names)
		}
		if err := b.roots.first(); err != nil {
			return err
		}
		roots = b.roots.current
	}
	if roots != nil || len(b.pins) > 0 || b.staple != stapleIgnored {
		v := &verifier{
			roots: roots, pins: b.pins, staple: b.staple,
			serverName: c.ServerName, now: c.Time, next: c.VerifyConnection,
		}
		if v.now == nil {
			v.now = time.Now
		}
		c.InsecureSkipVerify = c.InsecureSkipVerify || b.roots != nil // the verifier does it, with the roots of the day
		c.VerifyConnection = v.verify
	}
	b.offer()
	if len(b.clients) > 0 {
		inner := c.ClientSessionCache
		if inner == nil {
			inner = tls.NewLRUClientSessionCache(0)
		}
		c.ClientSessionCache = &sessions{inner: inner, clients: b.clients}
	}
	return nil
}

// MinVersion refuses older versions than v, one of crypto/tls's VersionTLS10 to
// VersionTLS13. Without it the oldest is TLS 1.2.
func MinVersion(v uint16) Option {
	return func(b *builder) error {
		if v < tls.VersionTLS10 || v > tls.VersionTLS13 {
			return fmt.Errorf("minimum version %#04x is none of TLS 1.0 to 1.3", v)
		}
		b.config.MinVersion = v
		return nil
	}
}

// verifier is the VerifyConnection of a configuration. crypto/tls calls it for
// resumed sessions too.
type verifier struct {
	roots      func() *x509.CertPool
	pins       []pins
	staple     stapleMode
	serverName string // as configured, "" = the URL's host
	now        func() time.Time
	next       func(tls.ConnectionState) error
}

func (v *verifier) verify(state tls.ConnectionState) error {
	if state.ServerName == "" {
		state.ServerName = v.serverName // an origin's: crypto/tls leaves addresses out, engines name their proxies
	}
	if v.roots != nil {
		chains, err := v.chains(&state)
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
		}
		state.VerifiedChains = chains
	}
	if err := checkPins(v.pins, &state); err != nil {
		return err
	}
	if err := v.staple.check(&state, v.now()); err != nil {
		return err
	}
	if v.next == nil {
		return nil
	}
	return v.next(state)
}

// chains does what crypto/tls does for fixed roots.
func (v *verifier) chains(state *tls.ConnectionState) ([][]*x509.Certificate, error) {
	if state.ServerName == "" {
		// Without a name x509 would not look at the names in the certificate.
		return nil, errors.New("the certificate of an IP address cannot be checked with reloaded roots, " +
			"as crypto/tls does not tell the address: use a host name, or set ServerName")
	}
	if len(state.PeerCertificates) == 0 {
		return nil, errors.New("the server sent no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	return state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: v.roots(), Intermediates: intermediates, DNSName: state.ServerName, CurrentTime: v.now(),
	})
}

// sessions is a session cache that forgets the sessions made with an earlier
// client certificate, since a resumed session keeps the old identity. A session
// comes at any time after its handshake, and crypto/tls does not tell of which
// connection it is: it counts as made with what the last handshake has seen.
type sessions struct {
	inner   tls.ClientSessionCache
	clients []*files[*tls.Certificate]
}

func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) {
	return s.ForConnection().Get(key)
}

func (s *sessions) Put(key string, session *tls.ClientSessionState) { s.ofNow().Put(key, session) }

// ForConnection returns the cache for a connection that is about to be made, whose
// sessions are never taken for those of a later certificate. Package dial asks for it.
func (s *sessions) ForConnection() tls.ClientSessionCache {
	for _, f := range s.clients {
		f.current()
	}
	return s.ofNow()
}

// ofNow returns the cache of the certificates that were read last.
func (s *sessions) ofNow() *generation {
	g := &generation{inner: s.inner}
	for _, f := range s.clients {
		g.prefix += fmt.Sprintf("%d/", f.changes())
	}
	return g
}

// generation is a session cache of the same client certificates.
type generation struct {
	inner  tls.ClientSessionCache
	prefix string
}

func (g *generation) Get(key string) (*tls.ClientSessionState, bool) {
	return g.inner.Get(g.prefix + key)
}

func (g *generation) Put(key string, session *tls.ClientSessionState) {
	g.inner.Put(g.prefix+key, session)
}
