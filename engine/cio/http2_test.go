package cio_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/enginetest"
)

func TestHTTP2(t *testing.T) {
	enginetest.RunHTTP2(t, cio.Config{})
}

// counted is a TLS server that counts its connections.
func counted(t *testing.T, h2 bool, handler http.HandlerFunc) (*httptest.Server, *atomic.Int32, *tls.Config) {
	t.Helper()
	var n atomic.Int32
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = h2
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = nil
	return s, &n, config
}

// TestNoHTTP2AfterAll: a server that doesn't read holds nobody up for whom its
// connection is of no use.
func TestNoHTTP2AfterAll(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	s.Close()
	for _, tc := range []struct {
		name      string
		protocols cio.Protocols
		proto     string // what the server chooses
		closes    bool   // the engine, before that
		want      string
	}{
		{"another protocol", cio.HTTP2, "", false, "tls: protocol error: pipe.test:443 does not speak HTTP/2: by ALPN it chose no protocol (RFC 9113 §3.2)"},
		{"closed", 0, "h2", true, "build: engine is closed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handshake, over := make(chan struct{}), make(chan struct{})
				defer close(over)
				d := newPipes(t, func(c *peerConn) {
					config := &tls.Config{Certificates: s.TLS.Certificates, MaxVersion: tls.VersionTLS12}
					if tc.proto != "" {
						config.NextProtos = []string{tc.proto}
					}
					<-handshake
					tls.Server(c.Conn, config).Handshake()
					<-over
				})
				e := newEngine(t, cio.Config{Dial: d.dial, Protocols: tc.protocols, TLS: &tls.Config{InsecureSkipVerify: true}})
				result := make(chan error)
				begin := time.Now()
				go func() {
					_, _, err := send(t, e, "https://pipe.test/")
					result <- err
				}()
				synctest.Wait()
				if tc.closes {
					e.Close()
				}
				close(handshake)
				err := <-result
				if err == nil || err.Error() != tc.want {
					t.Errorf("error = %v, want %s", err, tc.want)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

func echoProto(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }

func send(t *testing.T, e *cio.Engine, rawURL string, mods ...func(*engine.Request)) (*engine.Response, string, error) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	req := &engine.Request{Method: "GET", URL: u}
	for _, mod := range mods {
		mod(req)
	}
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

func TestProtocols(t *testing.T) {
	for _, tc := range []struct {
		name   string
		server bool // speaks HTTP/2
		set    cio.Protocols
		want   string
	}{
		{"default", true, 0, "HTTP/2.0"},
		{"both", true, cio.HTTP1 | cio.HTTP2, "HTTP/2.0"},
		{"HTTP/1.1 only", true, cio.HTTP1, "HTTP/1.1"},
		{"HTTP/2 only", true, cio.HTTP2, "HTTP/2.0"},
		{"default, old server", false, 0, "HTTP/1.1"},
		{"HTTP/2 only, old server", false, cio.HTTP2, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, config := counted(t, tc.server, echoProto)
			e := newEngine(t, cio.Config{TLS: config, Protocols: tc.set})
			for range 3 {
				resp, got, err := send(t, e, s.URL)
				if tc.want == "" {
					if _, ok := errors.AsType[*engine.OpError](err); !ok {
						t.Errorf("error %v", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if got != tc.want || resp.Proto != tc.want {
					t.Errorf("got %s, the server %s, want %s", resp.Proto, got, tc.want)
				}
			}
		})
	}
}

// TestOneRace: requests that come together make one connection to find out the
// protocol.
func TestOneRace(t *testing.T) {
	s, n, config := counted(t, true, echoProto)
	e := newEngine(t, cio.Config{TLS: config})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, got, err := send(t, e, s.URL); err != nil || got != "HTTP/2.0" {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := n.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	if s := e.Stats(); s.Open != 1 || s.Idle != 1 {
		t.Errorf("stats %+v", s)
	}
}

// TestWhatNeedsHTTP1 goes by it on the same origin.
func TestWhatNeedsHTTP1(t *testing.T) {
	s, _, config := counted(t, true, echoProto)
	e := newEngine(t, cio.Config{TLS: config})
	raw := func(r *engine.Request) { r.WantRawHead = true }
	for range 2 {
		if _, got, err := send(t, e, s.URL); err != nil || got != "HTTP/2.0" {
			t.Errorf("%s, %v", got, err)
		}
		if resp, got, err := send(t, e, s.URL, raw); err != nil || got != "HTTP/1.1" || len(resp.RawHead) == 0 {
			t.Errorf("raw head: %s, %v", got, err)
		}
	}
	e = newEngine(t, cio.Config{TLS: config, Protocols: cio.HTTP2})
	_, _, err := send(t, e, s.URL, raw)
	if u, ok := errors.AsType[*engine.UnsupportedError](err); !ok || !u.Capability.Has(engine.RawHead) {
		t.Errorf("error %v", err)
	}
	_, _, err = send(t, e, "http://127.0.0.1:1/")
	if u, ok := errors.AsType[*engine.UnsupportedError](err); !ok || !u.Capability.Has(engine.HTTP1) {
		t.Errorf("error %v", err)
	}
}

// TestSlotsAreShared: an idle connection of HTTP/2 makes room for another
// origin's.
func TestSlotsAreShared(t *testing.T) {
	a, _, config := counted(t, true, echoProto)
	b, _, _ := counted(t, true, echoProto)
	old, _, _ := counted(t, false, echoProto)
	e := newEngine(t, cio.Config{TLS: config, MaxConnections: 1})
	for range 3 {
		for _, s := range []*httptest.Server{a, b, old} {
			if _, _, err := send(t, e, s.URL); err != nil {
				t.Fatal(err)
			}
			if n := e.Stats().Open; n > 1 {
				t.Errorf("%d connections open, want at most 1", n)
			}
		}
	}
}

// TestCoalesce: origins share a connection where both address and certificate
// allow it, and nothing was checked that held for one name only.
func TestCoalesce(t *testing.T) {
	here := netip.MustParseAddr("127.0.0.1")
	for _, tc := range []struct {
		name   string
		change func(*cio.Config)
		picky  bool // the server takes one host a connection
		want   int32
	}{
		{"on", func(c *cio.Config) { c.Coalesce = true }, false, 1},
		{"off", func(*cio.Config) {}, false, 2},
		{"421", func(c *cio.Config) { c.Coalesce = true }, true, 2},
		{"checks of one's own", func(c *cio.Config) {
			c.Coalesce, c.TLS = true, c.TLS.Clone()
			c.TLS.VerifyConnection = func(tls.ConnectionState) error { return nil }
		}, false, 2},
		{"certificates of one's own", func(c *cio.Config) {
			c.Coalesce, c.TLS = true, c.TLS.Clone()
			c.TLS.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return nil }
		}, false, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var hosts sync.Map // by connection
			s, n, config := counted(t, true, func(w http.ResponseWriter, r *http.Request) {
				if first, taken := hosts.LoadOrStore(r.RemoteAddr, r.Host); tc.picky && taken && first != r.Host {
					w.WriteHeader(http.StatusMisdirectedRequest)
				}
				io.WriteString(w, r.Host)
			})
			_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
			c := cio.Config{TLS: config, Resolve: func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{here}, nil }}
			tc.change(&c)
			e := newEngine(t, c)
			for _, host := range []string{"example.com", "www.example.com", "example.com", "www.example.com"} {
				resp, got, err := send(t, e, "https://"+host+":"+port)
				if err != nil || got != host+":"+port || resp.Status != 200 {
					t.Errorf("%s: %q, %v", host, got, err)
				}
			}
			if got := n.Load(); got != tc.want {
				t.Errorf("%d connections, want %d", got, tc.want)
			}
		})
	}
}

// TestCoalesceByAddress: a name whose address is another one gets a connection of
// its own, here one that nobody answers.
func TestCoalesceByAddress(t *testing.T) {
	s, n, config := counted(t, true, echoProto)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	nowhere := errors.New("nowhere")
	e := newEngine(t, cio.Config{TLS: config, Coalesce: true,
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "example.com" {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "192.0.2.1:"+port {
				return nil, nowhere
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	})
	if _, _, err := send(t, e, "https://example.com:"+port); err != nil {
		t.Fatal(err)
	}
	if _, _, err := send(t, e, "https://www.example.com:"+port); !errors.Is(err, nowhere) {
		t.Errorf("error %v, want that of its own address", err)
	}
	if n.Load() != 1 {
		t.Errorf("%d connections", n.Load())
	}
}
