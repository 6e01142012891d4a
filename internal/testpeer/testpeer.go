// Package testpeer gives tests what stands at the other end of a connection:
// certificates of an authority that nobody else knows, and UDP addresses where
// nobody answers.
package testpeer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// Patience bounds what should take no time at all.
const Patience = 10 * time.Second

// Authority signs certificates. Those of the authority and of all that it signs
// are valid for an hour. It is safe for concurrent use.
type Authority struct {
	// Pool holds the authority's own certificate; it must not be changed.
	Pool *x509.CertPool

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// CA returns the authority of this run of the tests.
func CA(t testing.TB) *Authority {
	t.Helper()
	a, err := ca()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var ca = sync.OnceValues(func() (*Authority, error) {
	key, cert, err := sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	if err != nil {
		return nil, err
	}
	a := &Authority{Pool: x509.NewCertPool(), cert: cert, key: key}
	a.Pool.AddCert(cert)
	return a, nil
})

// sign makes a key and a certificate for it, signed by a; nil = by itself.
func sign(template *x509.Certificate, a *Authority) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if a == nil {
		a = &Authority{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return key, cert, err
}

// Issue returns a certificate for servers and clients with names, which may be
// addresses; the first one is its common name too.
func (a *Authority) Issue(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	if len(names) == 0 {
		t.Fatal(errors.New("a certificate needs a name"))
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key, cert, err := sign(template, a)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// ListenUDP returns a socket on 127.0.0.1 and the port, "0" = any.
func ListenUDP(t testing.TB, port string) *net.UDPConn {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	return socket
}

// SilentUDP returns an address where packets are received and never answered
// while the test runs.
func SilentUDP(t testing.TB) string {
	t.Helper()
	socket := ListenUDP(t, "0")
	t.Cleanup(func() { socket.Close() })
	return socket.LocalAddr().String()
}

// ClosedUDP returns an address where nothing listens.
func ClosedUDP(t testing.TB) string {
	t.Helper()
	socket := ListenUDP(t, "0")
	defer socket.Close()
	return socket.LocalAddr().String()
}

// Within waits for ch and fails the test if that takes longer than [Patience].
func Within[V any](t testing.TB, what string, ch <-chan V) V {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(Patience):
		t.Fatalf("%s: still waiting after %v", what, Patience)
		panic("unreachable")
	}
}
