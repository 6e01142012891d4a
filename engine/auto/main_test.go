package auto_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const patience = 10 * time.Second

// authority is a CA made for the tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func sign(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return key, cert, err
}

var ca = sync.OnceValue(func() *authority {
	key, cert, err := sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "auto test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	if err != nil {
		panic(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
})

// issue makes a certificate for names.
func (a *authority) issue(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	key, cert, err := sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
}

// origin is https://example.test, which has HTTP/1.1 over TCP.
type origin struct {
	URL  string
	Port string

	mu     sync.Mutex // guards altSvc
	altSvc string
	seen   chan *http.Request
}

// tell sets the Alt-Svc field of the responses over TCP.
func (o *origin) tell(altSvc string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.altSvc = altSvc
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{seen: make(chan *http.Request, 100)}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		if o.altSvc != "" {
			w.Header().Set("Alt-Svc", o.altSvc)
		}
		o.mu.Unlock()
		note(o.seen, r)
		echo(w, r)
	}))
	s.TLS = ca().issue(t, "example.test")
	s.StartTLS()
	t.Cleanup(s.Close)
	_, o.Port, _ = net.SplitHostPort(s.Listener.Addr().String())
	o.URL = "https://example.test:" + o.Port
	return o
}

// note keeps the first requests.
func note(seen chan<- *http.Request, r *http.Request) {
	select {
	case seen <- r:
	default:
	}
}

// echo answers with the request's body, or else its protocol.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if len(body) == 0 {
		body = []byte(r.Proto)
	}
	_, _ = w.Write(body)
}

// alternative is an HTTP/3 server.
type alternative struct {
	Port string
	seen chan *http.Request
	stop func()

	shutdown func(context.Context) error
}

// connKey is what the handlers' contexts have the *quic.Conn by.
type connKey struct{}

// serveQUIC starts an HTTP/3 server with a certificate for name, on a port of the
// loopback address; "0" = any.
func serveQUIC(t testing.TB, name, port string, h http.HandlerFunc) *alternative {
	t.Helper()
	addr, err := net.ResolveUDPAddr("udp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUDP("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	a := &alternative{seen: make(chan *http.Request, 100)}
	_, a.Port, _ = net.SplitHostPort(socket.LocalAddr().String())
	s := &h3.Server{TLSConfig: ca().issue(t, name), QUICConfig: &quic.Config{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(a.seen, r)
		h(w, r)
	})}
	s.ConnContext = func(ctx context.Context, c *quic.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	a.shutdown = s.Shutdown
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(socket)
	}()
	a.stop = sync.OnceFunc(func() {
		s.Close()
		socket.Close()
		<-done
	})
	t.Cleanup(a.stop)
	return a
}

// silent returns a port where packets are received and never answered.
func silent(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	_, port, _ := net.SplitHostPort(socket.LocalAddr().String())
	return port
}

// refusing returns a port where nothing listens.
func refusing(t testing.TB) string {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_, port, _ := net.SplitHostPort(socket.LocalAddr().String())
	return port
}

// events collects what an engine tells.
type events struct {
	mu  sync.Mutex // guards all
	all []auto.Event
	new chan struct{}
}

func (e *events) add(ev auto.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
	select {
	case e.new <- struct{}{}:
	default:
	}
}

// last returns the last event of a kind.
func (e *events) last(kind auto.Kind) (ev auto.Event, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.all {
		if one.Kind == kind {
			ev, ok = one, true
		}
	}
	return ev, ok
}

// await waits for an event of a kind, at least the nth.
func (e *events) await(t testing.TB, kind auto.Kind, n int) auto.Event {
	t.Helper()
	deadline := time.After(patience)
	for {
		e.mu.Lock()
		count := 0
		for _, ev := range e.all {
			if ev.Kind == kind {
				if count++; count == n {
					e.mu.Unlock()
					return ev
				}
			}
		}
		all := e.all
		e.mu.Unlock()
		select {
		case <-e.new:
		case <-deadline:
			t.Fatalf("no event %q; there were %+v", kind, all)
		}
	}
}

// newEngine makes an engine that trusts the test's CA and finds all names on the
// loopback address.
func newEngine(t testing.TB, c auto.Config, mods ...func(*engine.Config)) (*auto.Engine, *events) {
	t.Helper()
	told := &events{new: make(chan struct{}, 1)}
	if c.OnEvent == nil {
		c.OnEvent = told.add
	}
	shared := engine.Config{Proxy: engine.NoProxy, TLS: &tls.Config{RootCAs: ca().pool},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}}
	for _, mod := range mods {
		mod(&shared)
	}
	e, err := c.New(shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, told
}

func request(t testing.TB, method, rawURL string) *engine.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Request{Method: method, URL: u}
}

// send sends req and returns how it went, and the answer.
func send(t testing.TB, e engine.Engine, req *engine.Request) (proto, body string) {
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
	return resp.Proto, string(text)
}

// wantProto sends a GET and compares the protocol and why it was chosen.
func wantProto(t testing.TB, e engine.Engine, told *events, rawURL, proto string, reason auto.Reason) {
	t.Helper()
	if got, _ := send(t, e, request(t, "GET", rawURL)); got != proto {
		t.Errorf("went by %s, want %s", got, proto)
	}
	if ev, _ := told.last(auto.Chosen); ev.Reason != reason {
		t.Errorf("reason %q (%v), want %q", ev.Reason, ev.Err, reason)
	}
}

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
