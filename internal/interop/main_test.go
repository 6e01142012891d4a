// Package interop_test runs the engines through the client against the servers
// and proxies that they meet outside: what others understand by HTTP.
package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// onEngines runs f with each engine.
func onEngines(t *testing.T, f func(t *testing.T, e engine.Factory)) {
	for _, e := range []engine.Factory{cio.Config{}, nethttp.Config{Protocol: nethttp.HTTP1}} {
		t.Run(e.Name(), func(t *testing.T) { f(t, e) })
	}
}

// newClient makes a client that trusts id's authority and is patient, but not
// for ever.
func newClient(t *testing.T, e engine.Factory, id *identity, opts ...godwit.ClientOption) *godwit.Client {
	t.Helper()
	all := []godwit.ClientOption{
		godwit.WithEngine(e), godwit.Timeout(time.Minute),
		godwit.EngineConfig(func(c *engine.Config) {
			if id != nil {
				c.TLS = &tls.Config{RootCAs: id.pool}
			}
		}),
	}
	c := godwit.New(append(all, opts...)...)
	t.Cleanup(func() { c.Close() })
	return c
}

// identity is a self-signed certificate for localhost, 127.0.0.1 and *.test.
type identity struct {
	cert tls.Certificate
	pool *x509.CertPool
	pem  []byte // certificate and key
}

func newIdentity(t *testing.T) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames: []string{"localhost", "origin.test", "direct.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id := &identity{cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool: x509.NewCertPool()}
	id.pool.AddCert(leaf)
	id.pem = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...)
	return id
}

// write writes a file that everybody can read, and returns its path.
func write(t *testing.T, dir, name string, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// origin is what stands behind the proxies, plain and by TLS.
type origin struct {
	plain, secure *httptest.Server
}

func newOrigin(t *testing.T, id *identity) *origin {
	t.Helper()
	o := &origin{httptest.NewUnstartedServer(newHandler()), httptest.NewUnstartedServer(newHandler())}
	for _, s := range []*httptest.Server{o.plain, o.secure} {
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		t.Cleanup(s.Close)
	}
	o.plain.Start()
	o.secure.TLS = &tls.Config{Certificates: []tls.Certificate{id.cert}}
	o.secure.StartTLS()
	return o
}

// at returns base with another host.
func at(t *testing.T, base, host string) string {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = net.JoinHostPort(host, u.Port())
	return u.String()
}

func newHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { // what was sent, in short
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Seen-Via", r.Header.Get("Via"))
		w.Header().Set("Seen-Proxy-Authorization", r.Header.Get("Proxy-Authorization"))
		fmt.Fprintf(w, "%s %d %x", r.Method, n, sum.Sum(nil))
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) { // in chunks
		n, _ := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		for left := n; left > 0; {
			m := min(left, 10_000)
			if _, err := io.CopyN(w, pattern(n-left, m), m); err != nil {
				return
			}
			left -= m
			if (n-left)%1_000_000 == 0 {
				w.(http.Flusher).Flush()
			}
		}
	})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) { // before the body
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil {
			panic(err)
		}
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no")
		control.Flush()
		io.Copy(io.Discard, r.Body) // a gateway may see a reset before it reads the answer, and say 502
	})
	mux.HandleFunc("/text", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, strings.Repeat("compress me ", 1000))
	})
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/kept", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "kept")
	})
	return mux
}

// newOldOrigin answers in HTTP/1.0: without a length, to the end of the
// connection. The body is pattern(0, n) for /n.
func newOldOrigin(t *testing.T) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], 10, 64)
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		io.WriteString(buf, "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
		io.Copy(buf, pattern(0, n))
		buf.Flush()
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// pattern reads n bytes from position at of a stream that does not repeat soon,
// so that what is lost, doubled or moved shows.
func pattern(at, n int64) io.Reader { return &patterned{at, at + n} }

type patterned struct{ at, end int64 }

func (p *patterned) Read(b []byte) (int, error) {
	if p.at == p.end {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), p.end-p.at))
	for i := range b[:n] {
		b[i] = byte(p.at ^ p.at>>8 ^ p.at>>16)
		p.at++
	}
	return n, nil
}

// sum is the SHA-256 of what r reads, in hex.
func sum(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// echoed is what /echo answers to pattern(0, n).
func echoed(t *testing.T, method string, n int64) string {
	t.Helper()
	return fmt.Sprintf("%s %d %s", method, n, sum(t, pattern(0, n)))
}
