package certs_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/certs"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// complaints collects what OnError is told.
type complaints struct {
	mu  sync.Mutex
	all []error
}

func (c *complaints) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, err)
}

func (c *complaints) want(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) != n {
		t.Errorf("%d complaints, want %d: %v", len(c.all), n, c.all)
	}
}

func TestReloadClient(t *testing.T) {
	for _, f := range engines {
		t.Run(f.Name(), func(t *testing.T) {
			ca := newAuthority(t)
			dir := t.TempDir()
			chain, key := filepath.Join(dir, "client.pem"), filepath.Join(dir, "key.pem")
			versions := 0
			put := func(cn string) {
				versions++
				c := ca.issue(named(cn))
				write(t, chain, versions, certPEM(c.Leaf))
				write(t, key, versions, keyPEM(t, c.PrivateKey))
			}
			put("ada")
			var told complaints
			config, err := certs.Config(nil, certs.Roots(ca.pem()), certs.Reload{Every: -1, OnError: told.add}.Client(chain, key))
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca.cert)
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.issue()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots})
			e := newEngine(t, f, config)
			steps := []struct {
				change func()
				want   string
				told   int
			}{
				{func() {}, "ada resumed false", 0},
				{func() {}, "ada resumed true", 0},
				{func() { put("bob") }, "bob resumed false", 0},
				{func() {}, "bob resumed true", 0},
				{func() { versions++; write(t, key, versions, []byte("nonsense")) }, "bob resumed true", 1},
				{func() {}, "bob resumed true", 1},
				{func() { os.Remove(key) }, "bob resumed true", 2},
				{func() { put("eve") }, "eve resumed false", 2},
			}
			for i, step := range steps {
				step.change()
				got, err := get(t, e, s, "good.test")
				if err != nil || got != step.want {
					t.Fatalf("step %d: %q, %v; want %q", i, got, err, step.want)
				}
				told.want(t, step.told)
			}
			for _, err := range told.all {
				if !strings.Contains(err.Error(), key) {
					t.Errorf("%v does not name the file", err)
				}
			}
		})
	}
}

// TestReloadBeforeTicket: a session is of the certificate that its handshake was made
// with, though it comes later: here the file changes in between. On cio it does not
// matter what other handshakes have seen by then.
func TestReloadBeforeTicket(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for i, f := range []engine.Factory{cio.Config{Protocols: cio.HTTP1}, nethttp.Config{}} {
			t.Run(fmt.Sprint(f.Name(), " ", tls.VersionName(version)), func(t *testing.T) {
				ca := newAuthority(t)
				name := file(t, nil)
				versions := 0
				put := func(cn string) {
					versions++
					c := ca.issue(named(cn))
					write(t, name, versions, append(certPEM(c.Leaf), keyPEM(t, c.PrivateKey)...))
				}
				put("ada")
				config, err := certs.Config(nil, certs.Roots(ca.pem()), certs.Reload{Every: -1}.Client(name, name))
				if err != nil {
					t.Fatal(err)
				}
				e := newEngine(t, f, config)
				roots := x509.NewCertPool()
				roots.AddCert(ca.cert)
				var s *server
				expect := func(want string) {
					if got, err := get(t, e, s, "good.test"); err != nil || got != want {
						t.Errorf("%q, %v; want %q", got, err, want)
					}
				}
				var changed atomic.Bool
				s = serve(t, &tls.Config{
					Certificates: []tls.Certificate{ca.issue()}, MaxVersion: version,
					ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
					VerifyConnection: func(tls.ConnectionState) error { // before the ticket
						if changed.CompareAndSwap(false, true) {
							put("bob")
							if i == 0 {
								expect("bob resumed false")
							}
						}
						return nil
					},
				})
				expect("ada resumed false")
				if i > 0 {
					expect("bob resumed false")
				}
				expect("bob resumed true")
			})
		}
	}
}

// TestClientsTakeTurns: a server gets the first certificate that it accepts,
// reloaded ones before fixed ones, and what base chooses last.
func TestClientsTakeTurns(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	reloaded, fixed := ca.issue(named("reloaded")), other.issue(named("fixed"))
	reload := certs.Reload{}.Client(file(t, certPEM(reloaded.Leaf)), file(t, keyPEM(t, reloaded.PrivateKey)))
	own := &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &fixed, nil }}
	none := &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }}
	ruledOut := none.Clone()
	ruledOut.Certificates = []tls.Certificate{fixed}
	for _, tc := range []struct {
		name   string
		base   *tls.Config
		opts   []certs.Option
		wanted *authority
		want   string
	}{
		{"any", nil, []certs.Option{certs.ClientCertificate(fixed), reload}, nil, "reloaded"},
		{"its own", nil, []certs.Option{reload, certs.ClientCertificate(fixed)}, ca, "reloaded"},
		{"another's", nil, []certs.Option{reload, certs.ClientCertificate(fixed)}, other, "fixed"},
		{"another's, by base", own, []certs.Option{reload}, other, "fixed"},
		{"an option's before base's", own, []certs.Option{certs.ClientCertificate(reloaded)}, nil, "reloaded"},
		{"an option's instead of base's", own, []certs.Option{certs.ClientCertificate(reloaded)}, ca, "reloaded"},
		{"base's instead of an option's", own, []certs.Option{certs.ClientCertificate(reloaded)}, other, "fixed"},
		{"an option's behind a reloaded one, before base's", none, []certs.Option{certs.ClientCertificate(fixed), reload}, other, "fixed"},
		{"those of base that its choice has ruled out", ruledOut, []certs.Option{reload}, other, ""},
		{"nobody's", nil, []certs.Option{reload}, other, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config, err := certs.Config(tc.base, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			ask := &tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}}
			if tc.wanted != nil {
				ask.AcceptableCAs = [][]byte{tc.wanted.cert.RawSubject}
			}
			c, err := config.GetClientCertificate(ask)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(c.Certificate) > 0 {
				got = c.Leaf.Subject.CommonName
			}
			if got != tc.want {
				t.Errorf("%q is offered, want %q", got, tc.want)
			}
		})
	}
}

func TestReloadRoots(t *testing.T) {
	for _, f := range engines {
		t.Run(f.Name(), func(t *testing.T) {
			first, second := newAuthority(t), newAuthority(t)
			name := file(t, first.pem())
			var told complaints
			config, err := certs.Config(nil, certs.Reload{Every: -1, OnError: told.add}.Roots(name), certs.Pin("other.test", otherPin))
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{first.issue()}})
			e := newEngine(t, f, config)
			steps := []struct {
				what   string
				change func()
				host   string
				want   certs.Problem
				body   string
			}{
				{"trusted", func() {}, "good.test", certs.None, "resumed false"},
				{"resumed", func() {}, "good.test", certs.None, "resumed true"},
				{"wrong host", func() {}, "bad.test", certs.WrongHost, ""},
				{"broken file", func() { write(t, name, 1, []byte("nonsense")) }, "good.test", certs.None, "resumed true"},
				{"other roots", func() { write(t, name, 2, second.pem()) }, "good.test", certs.UnknownAuthority, ""},
				{"other server", func() { s.config(&tls.Config{Certificates: []tls.Certificate{second.issue()}}) }, "good.test", certs.None, "resumed false"},
				{"expired", func() {
					s.config(&tls.Config{Certificates: []tls.Certificate{second.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}})
				}, "good.test", certs.Expired, ""},
			}
			for _, step := range steps {
				step.change()
				got, err := get(t, e, s, step.host)
				if certs.Reason(err) != step.want || (err == nil) != (step.want == certs.None) || got != step.body {
					t.Errorf("%s: %q, %v; want %q", step.what, got, err, step.body)
				}
				if _, ok := errors.AsType[*tls.CertificateVerificationError](err); err != nil && !ok {
					t.Errorf("%s: %v is not what crypto/tls returns", step.what, err)
				}
			}
			told.want(t, 1)
		})
	}
}

// TestReloadedRootsAndAddresses: crypto/tls does not tell a verifier which
// address was meant, so none passes unless it is configured.
func TestReloadedRootsAndAddresses(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.issue()}})
	cases := []struct {
		serverName, host string
		ok               bool
	}{
		{"", "127.0.0.1", false},
		{"127.0.0.1", "127.0.0.1", true},
		{"127.0.0.2", "127.0.0.1", false},
		{"good.test", "127.0.0.1", true},
	}
	for _, f := range engines {
		for _, tc := range cases {
			config, err := certs.Config(&tls.Config{ServerName: tc.serverName}, certs.Reload{}.Roots(file(t, ca.pem())))
			if err != nil {
				t.Fatal(err)
			}
			_, err = get(t, newEngine(t, f, config), s, tc.host)
			if (err == nil) != tc.ok {
				t.Errorf("%s, server name %q: %v", f.Name(), tc.serverName, err)
			}
			if oe, ok := errors.AsType[*engine.OpError](err); err != nil && (!ok || oe.Op != engine.OpTLS) {
				t.Errorf("%s, server name %q: %v", f.Name(), tc.serverName, err)
			}
		}
	}
}

// offered returns the name in the certificate that a server is offered.
func offered(t *testing.T, config *tls.Config) string {
	t.Helper()
	c, err := config.GetClientCertificate(&tls.CertificateRequestInfo{
		Version: tls.VersionTLS13, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.Subject.CommonName
}

// TestReloadReplaced: a file is seen to be another one though time and size are those
// of the one before.
func TestReloadReplaced(t *testing.T) {
	ca := newAuthority(t)
	pair := func(cn string) []byte {
		c := ca.issue(named(cn))
		text := append(certPEM(c.Leaf), keyPEM(t, c.PrivateKey)...)
		return append(text, make([]byte, 4096-len(text))...)
	}
	name := file(t, pair("ada"))
	config, err := certs.Config(nil, certs.Reload{Every: -1}.Client(name, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ada", "bob", "eve"} {
		if want != "ada" {
			if err := os.Rename(file(t, pair(want)), name); err != nil {
				t.Fatal(err)
			}
		}
		if got := offered(t, config); got != want {
			t.Errorf("%s is offered, want %s", got, want)
		}
	}
}

// TestReloadEvery: files are looked at no more often than asked for.
func TestReloadEvery(t *testing.T) {
	ca := newAuthority(t)
	ada, bob := ca.issue(named("ada")), ca.issue(named("bob"))
	for _, tc := range []struct {
		every      time.Duration
		soon, then time.Duration
	}{
		{0, 9 * time.Second, 2 * time.Second},
		{time.Hour, 59 * time.Minute, 2 * time.Minute},
	} {
		chain, key := file(t, certPEM(ada.Leaf)), file(t, keyPEM(t, ada.PrivateKey))
		synctest.Test(t, func(t *testing.T) {
			config, err := certs.Config(nil, certs.Reload{Every: tc.every}.Client(chain, key))
			if err != nil {
				t.Fatal(err)
			}
			write(t, chain, 1, certPEM(bob.Leaf))
			write(t, key, 1, keyPEM(t, bob.PrivateKey))
			time.Sleep(tc.soon)
			if got := offered(t, config); got != "ada" {
				t.Errorf("after %v: %s", tc.soon, got)
			}
			time.Sleep(tc.then)
			if got := offered(t, config); got != "bob" {
				t.Errorf("after %v more: %s", tc.then, got)
			}
		})
	}
}
