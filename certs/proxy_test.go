package certs_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/godwit-go/godwit/certs"
	"github.com/godwit-go/godwit/engine"
)

// serveProxy starts an https proxy for which every name is 127.0.0.1.
func serveProxy(t *testing.T, c tls.Certificate) *url.URL {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				ask, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, port, _ := net.SplitHostPort(ask.Host)
				origin, err := net.Dial("tcp", "127.0.0.1:"+port)
				if err != nil {
					return
				}
				defer origin.Close()
				io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				wg.Go(func() { io.Copy(origin, r); origin.Close() })
				io.Copy(c, origin)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return &url.URL{Scheme: "https", Host: l.Addr().String()}
}

// TestProxyByAddress: an https proxy is checked as what it is called, and never as
// the origin, though crypto/tls does not tell addresses.
func TestProxyByAddress(t *testing.T) {
	ca := newAuthority(t)
	origin := ca.issue(func(c *x509.Certificate) { c.IPAddresses = nil })
	good := ca.issue(func(c *x509.Certificate) { c.DNSNames = nil })
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{origin}})
	roots, pin := file(t, ca.pem()), certs.Pin("good.test", certs.PinOf(origin.Leaf))
	for name, opts := range map[string][]certs.Option{
		"fixed":          {certs.RootFiles(roots)},
		"fixed, pins":    {certs.RootFiles(roots), pin},
		"reloaded":       {certs.Reload{}.Roots(roots)},
		"reloaded, pins": {certs.Reload{}.Roots(roots), pin},
	} {
		for _, tc := range []struct {
			name  string
			proxy *url.URL
			want  certs.Problem
		}{
			{"its own certificate", serveProxy(t, good), certs.None},
			{"the origin's certificate", serveProxy(t, origin), certs.WrongHost},
		} {
			for _, serverName := range []string{"", "good.test"} {
				config, err := certs.Config(&tls.Config{ServerName: serverName}, opts...)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range engines {
					e, err := f.NewEngine(engine.Config{TLS: config, Proxy: engine.FixedProxy(tc.proxy)})
					if err != nil {
						t.Fatal(err)
					}
					got, err := get(t, e, s, "good.test")
					if certs.Reason(err) != tc.want || (err == nil) != (tc.want == certs.None) {
						t.Errorf("%s, %s roots, ServerName %q, %s: %q, %v", f.Name(), name, serverName, tc.name, got, err)
					}
					e.Close()
				}
			}
		}
	}
}
