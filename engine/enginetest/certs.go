package enginetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// authority is a CA made for one test.
type authority struct {
	t    *T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// names are the names and addresses that an ordinary server certificate is for.
var names = []string{"127.0.0.1", "localhost", "example.test"}

func (t *T) authority() *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "enginetest CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	a.key, der = a.sign(template, nil, nil)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	a.pool.AddCert(cert)
	return a
}

func (a *authority) sign(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

// issue makes a certificate for hosts that is valid until notAfter.
func (a *authority) issue(notAfter time.Time, hosts ...string) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hosts[0]},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	key, der := a.sign(template, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// valid makes an ordinary server certificate.
func (a *authority) valid() tls.Certificate { return a.issue(time.Now().Add(time.Hour), names...) }

// trust makes an engine trust a, and applies mods to its TLS configuration.
func (a *authority) trust(mods ...func(*tls.Config)) func(*engine.Config) {
	return func(c *engine.Config) {
		c.TLS = &tls.Config{RootCAs: a.pool}
		for _, mod := range mods {
			mod(c.TLS)
		}
	}
}

// scriptTLS starts a scripted server behind TLS.
func (t *T) scriptTLS(cfg *tls.Config, scripts ...script) *server {
	t.Helper()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if t.s.bridged() {
		cfg = cfg.Clone()
		cfg.NextProtos = []string{"h2", "http/1.1"} // a proxy is spoken to in the latter
	}
	s := t.scriptOn(tls.NewListener(l, cfg), scripts...)
	s.URL = "https://" + s.Addr
	return s
}

// secure starts a TLS server with cert that answers every request with body.
func (t *T) secure(cert tls.Certificate, body string) *server {
	return t.scriptTLS(&tls.Config{Certificates: []tls.Certificate{cert}}, func(c *conn) {
		for {
			c.request()
			c.respond(body)
		}
	})
}

// serverConfig is a server's configuration with an ordinary certificate.
func (a *authority) serverConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{a.valid()}}
}
