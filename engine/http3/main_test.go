package http3_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// patience bounds what should take no time at all.
const patience = 10 * time.Second

// authority is a CA made for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func sign(t testing.TB, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

var ca = sync.OnceValue(func() *authority {
	a := &authority{pool: x509.NewCertPool()}
	t := &testing.T{}
	a.key, a.cert = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "http3 test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	a.pool.AddCert(a.cert)
	return a
})

func (a *authority) issue(t testing.TB, hosts ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hosts[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
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
	key, cert := sign(t, template, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// server is quic-go's HTTP/3 server on a loopback address.
type server struct {
	*h3.Server
	URL   string
	Addr  string
	stop  func()
	conns chan *quic.Conn // each accepted one
}

// serve starts a server for 127.0.0.1, localhost and example.test.
func serve(t testing.TB, h http.HandlerFunc, changes ...func(*h3.Server)) *server {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, socket, h, changes...)
}

func serveOn(t testing.TB, socket *net.UDPConn, h http.HandlerFunc, changes ...func(*h3.Server)) *server {
	t.Helper()
	s := &server{Server: &h3.Server{Handler: h}, Addr: socket.LocalAddr().String(), conns: make(chan *quic.Conn, 100)}
	s.URL = "https://" + s.Addr
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{ca().issue(t, "127.0.0.1", "localhost", "example.test")}}
	s.QUICConfig = &quic.Config{Allow0RTT: true}
	s.ConnContext = func(ctx context.Context, c *quic.Conn) context.Context {
		s.conns <- c
		return ctx
	}
	for _, change := range changes {
		change(s.Server)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(socket)
	}()
	s.stop = sync.OnceFunc(func() {
		s.Close()
		socket.Close()
		<-done
	})
	t.Cleanup(s.stop)
	return s
}

// newEngine makes an engine that trusts the test's CA.
func newEngine(t testing.TB, c http3.Config, mods ...func(*engine.Config)) *http3.Engine {
	t.Helper()
	shared := engine.Config{Proxy: engine.NoProxy, TLS: &tls.Config{RootCAs: ca().pool}}
	for _, mod := range mods {
		mod(&shared)
	}
	e, err := c.New(shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func request(t testing.TB, method, rawURL string) *engine.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Request{Method: method, URL: u}
}

// send sends req and reads the answer.
func send(t testing.TB, e engine.Engine, req *engine.Request) (*engine.Response, string) {
	t.Helper()
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func get(t testing.TB, e engine.Engine, rawURL string) (*engine.Response, string) {
	t.Helper()
	return send(t, e, request(t, "GET", rawURL))
}

func ok(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") }

func op(err error) engine.Op {
	if e, ok := errors.AsType[*engine.OpError](err); ok {
		return e.Op
	}
	return ""
}

func kind(err error) engine.TimeoutKind {
	if e, ok := errors.AsType[*engine.TimeoutError](err); ok {
		return e.Kind
	}
	return ""
}

// within waits for ch.
func within[V any](t testing.TB, what string, ch <-chan V) V {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: still waiting after %v", what, patience)
		panic("unreachable")
	}
}

// resolveTo answers every name with addrs.
func resolveTo(addrs ...string) engine.ResolveFunc {
	return func(context.Context, string) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, a := range addrs {
			all = append(all, netip.MustParseAddr(a))
		}
		return all, nil
	}
}

// silent returns an address where packets are received and never answered.
func silent(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket.LocalAddr().String()
}

// refusing returns an address where nothing listens.
func refusing(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.LocalAddr().String()
}
