package certs_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// engines are those that must behave alike.
var engines = []engine.Factory{cio.Config{}, nethttp.Config{}}

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprintf("CA %p", a)},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	c := a.sign(template)
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

func (a *authority) sign(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.raw()}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) raw() []byte {
	if a.cert == nil {
		return nil
	}
	return a.cert.Raw
}

// issue makes a certificate for www.good.test, good.test and 127.0.0.1, changed
// by mods.
func (a *authority) issue(mods ...func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<40))
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"good.test", "www.good.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, mod := range mods {
		mod(template)
	}
	return a.sign(template)
}

func named(cn string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = cn }
}

func (a *authority) pem() []byte { return certPEM(a.cert) }

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// write writes a file whose time is n seconds after the start of all, so that
// any two versions differ in it.
func write(t *testing.T, name string, n int, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1_000_000_000+int64(n), 0)
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, text []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.pem")
	write(t, name, 0, text)
	return name
}

// server answers each request with the name in the client's certificate and
// whether the session was resumed, and then closes the connection.
type server struct {
	port string

	mu    sync.Mutex // guards config
	state *tls.Config
}

func (s *server) config(c *tls.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = c
}

func serve(t *testing.T, config *tls.Config) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{state: config}
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.answer(ctx, c) })
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); wg.Wait() })
	return s
}

func (s *server) answer(ctx context.Context, raw net.Conn) {
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	s.mu.Lock()
	config := s.state
	s.mu.Unlock()
	c := tls.Server(raw, config)
	if c.HandshakeContext(ctx) != nil {
		io.Copy(io.Discard, raw) // else a reset could overtake the alert
		return
	}
	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}
	state := c.ConnectionState()
	text := fmt.Sprint("resumed ", state.DidResume)
	if len(state.PeerCertificates) > 0 {
		text = state.PeerCertificates[0].Subject.CommonName + " " + text
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	c.CloseWrite()
	io.Copy(io.Discard, raw)
}

// newEngine makes an engine for which every name is 127.0.0.1.
func newEngine(t *testing.T, f engine.Factory, config *tls.Config) engine.Engine {
	t.Helper()
	e, err := f.NewEngine(engine.Config{
		TLS: config, Proxy: engine.NoProxy,
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// get returns the body that e gets from host.
func get(t *testing.T, e engine.Engine, s *server, host string) (string, error) {
	t.Helper()
	resp, err := e.Execute(t.Context(), &engine.Request{
		Method: "GET", URL: &url.URL{Scheme: "https", Host: net.JoinHostPort(host, s.port), Path: "/"},
		Header: header.New("Connection", "close"), Deadline: time.Now().Add(time.Minute),
	})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
