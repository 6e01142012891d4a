package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
)

// HTTP/3 beside quic-go's own client, against one server in the same process:
// what differs is the client's part. CPU of a process cannot tell, as QUIC's
// packets are work for both sides.
//
//	go test -bench HTTP3 -benchmem ./bench

var block = make([]byte, 1<<20)

// http3Server answers GET with "hello", or with as many MiB as ?mib says, and
// takes uploads.
func http3Server(b *testing.B) (origin string, trust *tls.Config) {
	b.Helper()
	cert, trust := selfSigned(b)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &h3.Server{TLSConfig: h3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}}), Handler: http.HandlerFunc(serveHTTP3)}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(conn) })
	b.Cleanup(func() {
		server.Close()
		serving.Wait()
		conn.Close()
	})
	return "https://" + conn.LocalAddr().String(), trust
}

func serveHTTP3(w http.ResponseWriter, r *http.Request) {
	var n int
	if _, err := fmt.Sscanf(r.URL.RawQuery, "mib=%d", &n); err != nil {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
		return
	}
	for range n {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func selfSigned(b *testing.B) (tls.Certificate, *tls.Config) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &tls.Config{RootCAs: pool}
}

// http3Client sends a request and reads the answer.
type http3Client func(method, rawURL string, body content.Content) error

var http3Clients = []struct {
	name string
	make func(b *testing.B, trust *tls.Config) http3Client
}{
	{"godwit", func(b *testing.B, trust *tls.Config) http3Client {
		e, err := http3.Config{TLS: trust}.NewEngine(engine.Config{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { e.Close() })
		return func(method, rawURL string, body content.Content) error {
			u, err := url.Parse(rawURL)
			if err != nil {
				return err
			}
			resp, err := e.Execute(b.Context(), &engine.Request{Method: method, URL: u, Body: body})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		}
	}},
	{"quic-go", func(b *testing.B, trust *tls.Config) http3Client {
		peer := &h3.Transport{TLSClientConfig: trust, DisableCompression: true}
		b.Cleanup(func() { peer.Close() })
		return func(method, rawURL string, body content.Content) error {
			r, err := http.NewRequestWithContext(b.Context(), method, rawURL, nil)
			if err != nil {
				return err
			}
			if body != nil {
				if r.Body, err = body.Open(b.Context()); err != nil {
					return err
				}
				r.ContentLength = body.ContentLength()
			}
			resp, err := peer.RoundTrip(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		}
	}},
}

// compareHTTP3 runs f with each client, connected already.
func compareHTTP3(b *testing.B, f func(b *testing.B, do http3Client, origin string)) {
	for _, c := range http3Clients {
		b.Run(c.name, func(b *testing.B) {
			origin, trust := http3Server(b)
			do := c.make(b, trust)
			if err := do("GET", origin+"/", nil); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			f(b, do, origin)
		})
	}
}

func BenchmarkHTTP3Get(b *testing.B) {
	for _, streams := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			compareHTTP3(b, func(b *testing.B, do http3Client, origin string) {
				var wg sync.WaitGroup
				for i := range streams {
					wg.Go(func() {
						for n := i; n < b.N; n += streams {
							if err := do("GET", origin+"/", nil); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

func BenchmarkHTTP3Download(b *testing.B) {
	compareHTTP3(b, func(b *testing.B, do http3Client, origin string) {
		b.SetBytes(64 << 20)
		for range b.N {
			if err := do("GET", origin+"/?mib=64", nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkHTTP3Upload(b *testing.B) {
	body := content.Bytes(make([]byte, 16<<20), "")
	compareHTTP3(b, func(b *testing.B, do http3Client, origin string) {
		b.SetBytes(16 << 20)
		for range b.N {
			if err := do("POST", origin+"/", body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
