package nethttp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// TestPanics: a panic in a function of the caller's fails the call, from whatever
// goroutine, and what the call held is free again.
func TestPanics(t *testing.T) {
	for _, tc := range []struct {
		name   string
		secure bool // over TLS only
		set    func(c *nethttp.Config, tr *engine.Trace, boom func())
	}{
		{"Proxy", false, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			c.Proxy = func(*url.URL) (*url.URL, error) { boom(); return nil, nil }
		}},
		{"Dial", false, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				boom()
				return (&net.Dialer{}).DialContext(ctx, network, addr)
			}
		}},
		{"DialControl", false, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			c.DialControl = func(context.Context, string, string, syscall.RawConn) error { boom(); return nil }
		}},
		{"Resolve", false, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			resolve := c.Resolve
			c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) { boom(); return resolve(ctx, host) }
		}},
		{"VerifyConnection", true, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			c.TLS.VerifyConnection = func(tls.ConnectionState) error { boom(); return nil }
		}},
		{"VerifyPeerCertificate", true, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			c.TLS.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { boom(); return nil }
		}},
		{"GetClientCertificate", true, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			c.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { boom(); return &tls.Certificate{}, nil }
		}},
		{"CustomizeRequest", false, func(c *nethttp.Config, _ *engine.Trace, boom func()) {
			c.CustomizeRequest = func(*http.Request) { boom() }
		}},
		{"PoolWait", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.PoolWait = func(string) { boom() } }},
		{"DNSStart", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.DNSStart = func(string) { boom() } }},
		{"DNSDone", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.DNSDone = func([]string, error) { boom() } }},
		{"ConnectStart", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.ConnectStart = func(_, _ string) { boom() } }},
		{"ConnectDone", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) {
			tr.ConnectDone = func(_, _ string, _ error) { boom() }
		}},
		{"TLSStart", true, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.TLSStart = boom }},
		{"TLSDone", true, func(_ *nethttp.Config, tr *engine.Trace, boom func()) {
			tr.TLSDone = func(tls.ConnectionState, error) { boom() }
		}},
		{"GotConn", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.GotConn = func(engine.GotConn) { boom() } }},
		{"WroteHeader", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.WroteHeader = boom }},
		{"WroteRequest", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.WroteRequest = func(error) { boom() } }},
		{"PutIdle", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.PutIdle = func(error) { boom() } }},
		{"FirstByte", false, func(_ *nethttp.Config, tr *engine.Trace, boom func()) { tr.FirstByte = boom }},
	} {
		for _, protocol := range []struct {
			name   string
			scheme string
			speak  nethttp.Protocol
		}{{"http", "http://", nethttp.HTTP1}, {"https", "https://", nethttp.HTTP1}, {"HTTP2", "https://", nethttp.HTTP2}} {
			secure := protocol.scheme == "https://"
			if tc.secure && !secure || tc.name == "PutIdle" && protocol.speak == nethttp.HTTP2 { // it is not called
				continue
			}
			t.Run(tc.name+"/"+protocol.name, func(t *testing.T) {
				s := serve(t, secure, func(s *httptest.Server) {
					s.EnableHTTP2 = true
					s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
				}, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Doomed") != "" { // the answer must not overtake the panic
						select {
						case <-r.Context().Done():
						case <-time.After(10 * time.Second):
						}
					}
					ok(w, r)
				})
				_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
				var panicked atomic.Bool
				boom := func() {
					if !panicked.Swap(true) {
						panic("boom")
					}
				}
				config := nethttp.Config{
					Protocol: protocol.speak, MaxConcurrent: 1, MaxConnections: 1,
					TLS: &tls.Config{InsecureSkipVerify: true},
					Resolve: func(context.Context, string) ([]netip.Addr, error) {
						return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
					},
				}
				trace := &engine.Trace{}
				tc.set(&config, trace, boom)
				e := newEngine(t, config, engine.Config{})
				exchange := func() (err error) {
					defer func() {
						if v := recover(); v != nil { // it was called in this goroutine
							err = fmt.Errorf("panicked: %v", v)
						}
					}()
					req := request(t, protocol.scheme+"localhost:"+port)
					req.Trace, req.Timeouts.Pool = trace, 10*time.Second
					if !panicked.Load() && tc.name != "FirstByte" && tc.name != "PutIdle" {
						req.Header.Set("Doomed", "yes")
					}
					resp, err := e.Execute(t.Context(), req)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					return err
				}
				if err := exchange(); err == nil || !strings.Contains(err.Error(), "panicked: boom") {
					t.Errorf("error = %v", err)
				}
				if err := exchange(); err != nil {
					t.Errorf("the next call: %v", err)
				}
			})
		}
	}
}
