package nethttp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// upgrade answers 101 and echoes if it is asked to, else 200.
func upgrade(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		ok(w, r)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
	_, _ = io.Copy(c, rw)
}

func trust(s *server) *tls.Config {
	roots := x509.NewCertPool()
	if cert := s.Certificate(); cert != nil {
		roots.AddCert(cert)
	}
	return &tls.Config{RootCAs: roots}
}

func TestProtocols(t *testing.T) {
	proto := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }
	h2 := func(s *httptest.Server) { s.EnableHTTP2 = true }
	both := func(s *httptest.Server) {
		s.Config.Protocols = &http.Protocols{}
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}
	secure, plain := serve(t, true, h2, proto), serve(t, false, both, proto)
	old := serve(t, true, nil, proto)
	for _, tc := range []struct {
		name     string
		protocol nethttp.Protocol
		server   *server
		want     string
	}{
		{"auto, TLS", nethttp.Auto, secure, "HTTP/2.0"},
		{"auto, plain", nethttp.Auto, plain, "HTTP/1.1"},
		{"auto, old server", nethttp.Auto, old, "HTTP/1.1"},
		{"HTTP/1, TLS", nethttp.HTTP1, secure, "HTTP/1.1"},
		{"HTTP/2, TLS", nethttp.HTTP2, secure, "HTTP/2.0"},
		{"h2c, plain", nethttp.H2C, plain, "HTTP/2.0"},
		{"h2c, TLS", nethttp.H2C, secure, "HTTP/2.0"},
		{"HTTP/2, old server", nethttp.HTTP2, old, "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, nethttp.Config{Protocol: tc.protocol, TLS: trust(tc.server)}, engine.Config{})
			req := request(t, tc.server.URL)
			if tc.want == "error" {
				if resp, err := e.Execute(t.Context(), req); err == nil {
					resp.Body.Close()
					t.Errorf("got %s", resp.Proto)
				}
				return
			}
			resp, text := send(t, e, req)
			if resp.Proto != tc.want || text != tc.want {
				t.Errorf("proto = %s, on the wire %s, want %s", resp.Proto, text, tc.want)
			}
			if tls := tc.server.TLS != nil; (resp.Conn.TLS != nil) != tls {
				t.Errorf("TLS = %v", resp.Conn.TLS)
			}
		})
	}
}

// TestUpgradeOverTLS: the server would speak HTTP/2, which has no upgrade.
func TestUpgradeOverTLS(t *testing.T) {
	s := serve(t, true, func(s *httptest.Server) { s.EnableHTTP2 = true }, upgrade)
	e := newEngine(t, nethttp.Config{TLS: trust(s)}, engine.Config{})
	if resp, _ := send(t, e, request(t, s.URL)); resp.Proto != "HTTP/2.0" {
		t.Errorf("proto = %s", resp.Proto)
	}
	for _, protocol := range []string{"websocket", "x-chat"} {
		req := request(t, s.URL)
		req.Protocol = protocol
		resp, err := e.Execute(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Status != 101 || resp.Header.Get("Upgrade") != protocol || resp.Conn.TLS == nil {
			t.Fatalf("response = %+v", resp)
		}
		got := make([]byte, 5)
		_, _ = io.WriteString(resp.Upgraded, "hello")
		if _, err := io.ReadFull(resp.Upgraded, got); err != nil || string(got) != "hello" {
			t.Errorf("echo = %q, %v", got, err)
		}
		resp.Upgraded.Close()
	}
}

func TestRedirects(t *testing.T) {
	s := serve(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, _ = fmt.Sscanf(r.URL.Path, "/%d", &n); n > 0 {
			http.Redirect(w, r, fmt.Sprint("/", n-1), http.StatusFound)
			return
		}
		ok(w, r)
	})
	for _, tc := range []struct {
		name   string
		config nethttp.Config
		path   string
		status int // 0 = error
	}{
		{"off by default", nethttp.Config{}, "/1", 302},
		{"on", nethttp.Config{FollowRedirects: true}, "/3", 200},
		{"50 are followed", nethttp.Config{FollowRedirects: true}, "/50", 200},
		{"51 are not", nethttp.Config{FollowRedirects: true}, "/51", 0},
		{"own limit", nethttp.Config{FollowRedirects: true, MaxRedirects: 2}, "/3", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, tc.config, engine.Config{})
			resp, err := e.Execute(t.Context(), request(t, s.URL+tc.path))
			status := 0
			if err == nil {
				status = resp.Status
				resp.Body.Close()
			} else if op(err) != engine.OpReceive {
				t.Errorf("error = %v", err)
			}
			if status != tc.status {
				t.Errorf("status = %d (%v), want %d", status, err, tc.status)
			}
		})
	}
}

func TestInterceptorsAndCustomize(t *testing.T) {
	var trail []string
	around := func(name string) func(http.RoundTripper) http.RoundTripper {
		return func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				trail = append(trail, name)
				return next.RoundTrip(r)
			})
		}
	}
	s := serve(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/x", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, r.Header.Get("X-Custom"))
	})
	e := newEngine(t, nethttp.Config{
		FollowRedirects:     true,
		Interceptors:        []func(http.RoundTripper) http.RoundTripper{around("call 1"), around("call 2")},
		NetworkInterceptors: []func(http.RoundTripper) http.RoundTripper{around("net 1"), around("net 2")},
		CustomizeRequest:    func(r *http.Request) { r.Header.Set("X-Custom", "yes") },
		CustomizeTransport:  func(tr *http.Transport) { tr.DisableKeepAlives = true },
	}, engine.Config{})
	_, text := send(t, e, request(t, s.URL))
	if got := strings.Join(trail, ","); text != "yes" || got != "call 1,call 2,net 1,net 2,net 1,net 2" {
		t.Errorf("body = %q, interceptors = %s", text, got)
	}
	if n := s.conns.Accepted(); n != 2 {
		t.Errorf("%d connections, want 2: CustomizeTransport forbids keep-alive", n)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPreconfigured(t *testing.T) {
	s := serve(t, false, nil, ok)
	own := &http.Transport{}
	e := newEngine(t, nethttp.Config{Preconfigured: own}, engine.Config{})
	if resp, text := send(t, e, request(t, s.URL)); text != "ok" || resp.Conn == nil {
		t.Errorf("answer = %q, conn %v", text, resp.Conn)
	}
	e.Close()
	s.conns.WaitClosed(t)

	opaque := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 299, Proto: "HTTP/1.1", Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	})
	e = newEngine(t, nethttp.Config{Preconfigured: opaque}, engine.Config{})
	if resp, _ := send(t, e, request(t, "http://nowhere.invalid")); resp.Status != 299 {
		t.Errorf("status = %d", resp.Status)
	}
	for _, c := range []engine.Capabilities{engine.Upgrade, engine.ConnectTimeout, engine.UnixSocket, engine.RequestProxy, engine.ConnectionLimits} {
		if e.Capabilities().Has(c) {
			t.Errorf("an unknown RoundTripper is said to do %v", c)
		}
	}
	someURL, _ := url.Parse("http://p")
	for name, set := range map[string]func(*nethttp.Config, *engine.Config){
		"Protocol":               func(c *nethttp.Config, _ *engine.Config) { c.Protocol = nethttp.HTTP1 },
		"HTTP2":                  func(c *nethttp.Config, _ *engine.Config) { c.HTTP2 = &http.HTTP2Config{} },
		"MaxConnections":         func(_ *nethttp.Config, s *engine.Config) { s.MaxConnections = 1 },
		"MaxConnectionsPerRoute": func(c *nethttp.Config, _ *engine.Config) { c.MaxConnectionsPerRoute = 1 },
		"MaxIdle":                func(c *nethttp.Config, _ *engine.Config) { c.MaxIdle = 1 },
		"KeepAlive":              func(c *nethttp.Config, _ *engine.Config) { c.KeepAlive = 1 },
		"MaxHeaderBytes":         func(_ *nethttp.Config, s *engine.Config) { s.MaxHeaderBytes = 1 },
		"TLS":                    func(_ *nethttp.Config, s *engine.Config) { s.TLS = &tls.Config{} },
		"Proxy":                  func(_ *nethttp.Config, s *engine.Config) { s.Proxy = engine.FixedProxy(someURL) },
		"Dial":                   func(c *nethttp.Config, _ *engine.Config) { c.Dial = (&net.Dialer{}).DialContext },
		"TCPKeepAlive":           func(c *nethttp.Config, _ *engine.Config) { c.TCPKeepAlive.Enable = true },
		"TCPDelay":               func(c *nethttp.Config, _ *engine.Config) { c.TCPDelay = true },
		"CustomizeTransport":     func(c *nethttp.Config, _ *engine.Config) { c.CustomizeTransport = func(*http.Transport) {} },
		"Timeouts.Connect":       func(_ *nethttp.Config, s *engine.Config) { s.Timeouts.Connect = 1 },
	} {
		c, shared := nethttp.Config{Preconfigured: own}, engine.Config{}
		set(&c, &shared)
		if _, err := c.NewEngine(shared); err == nil || !strings.Contains(err.Error(), "option "+name+" ") {
			t.Errorf("%s with Preconfigured: %v", name, err)
		}
	}
}

func TestUnsupportedOptions(t *testing.T) {
	for _, tc := range []struct {
		config nethttp.Config
		shared engine.Config
		want   engine.Capabilities
	}{
		{nethttp.Config{}, engine.Config{Go: func(func()) {}}, engine.CustomGo},
		{nethttp.Config{}, engine.Config{NoStaleRetry: true}, engine.NoStaleRetry},
		{nethttp.Config{Preconfigured: roundTripper(nil), Timeouts: engine.Timeouts{Header: 1}}, engine.Config{}, engine.HeaderTimeout},
	} {
		_, err := tc.config.NewEngine(tc.shared)
		if u, ok := errors.AsType[*engine.UnsupportedError](err); !ok || u.Capability != tc.want {
			t.Errorf("error = %v, want %v unsupported", err, tc.want)
		}
	}
}

func TestProxies(t *testing.T) {
	origin := serve(t, true, nil, ok)
	connects := make(chan string, 10)
	proxy := func(w http.ResponseWriter, r *http.Request) {
		connects <- r.Method + " " + r.RequestURI + " " + r.Header.Get("Proxy-Authorization")
		switch {
		case r.Method != http.MethodConnect:
			ok(w, r)
		case !strings.HasPrefix(r.Host, "127.0.0.1"):
			w.WriteHeader(http.StatusProxyAuthRequired)
		default:
			to, err := net.Dial("tcp", r.Host)
			if err != nil {
				return
			}
			defer to.Close()
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			go func() { defer c.Close(); _, _ = io.Copy(c, to) }()
			_, _ = io.Copy(to, c)
		}
	}
	plain, secure := serve(t, false, nil, proxy), serve(t, true, nil, proxy)
	config := trust(origin)
	config.RootCAs.AddCert(secure.Certificate())
	const auth = " Basic dTpzZWNyZXQ="
	with := func(s *server) string { return strings.Replace(s.URL, "://", "://u:secret@", 1) }
	for _, tc := range []struct {
		name, proxy, url, seen, err string
	}{
		{"forward", with(plain), "http://origin.invalid/x", "GET http://origin.invalid/x" + auth, ""},
		{"forward by TLS", with(secure), "http://origin.invalid/x", "GET http://origin.invalid/x" + auth, ""},
		{"connect", with(plain), origin.URL, "CONNECT " + origin.Listener.Addr().String() + auth, ""},
		{"connect by TLS", with(secure), origin.URL, "CONNECT " + origin.Listener.Addr().String() + auth, ""},
		{"refused", with(plain), "https://origin.invalid/", "CONNECT origin.invalid:443" + auth, "CONNECT origin.invalid:443 was refused: 407 Proxy Authentication Required"},
		{"unknown scheme", "ftp://p", "http://origin.invalid/", "", `proxies of scheme "ftp" are unknown`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, err := url.Parse(tc.proxy)
			if err != nil {
				t.Fatal(err)
			}
			e := newEngine(t, nethttp.Config{TLS: config}, engine.Config{})
			req := request(t, tc.url)
			req.Proxy = engine.FixedProxy(u)
			resp, err := e.Execute(t.Context(), req)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "secret") {
					t.Errorf("error = %v, want %q", err, tc.err)
				}
				if o := op(err); o != engine.OpProxy {
					t.Errorf("Op = %s", o)
				}
			} else if err != nil {
				t.Fatal(err)
			} else {
				if resp.Conn.Proxy == nil || resp.Conn.Proxy.User != nil || resp.Conn.Proxy.Host != u.Host {
					t.Errorf("proxy = %v", resp.Conn.Proxy)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			if tc.seen != "" {
				if got := <-connects; got != tc.seen {
					t.Errorf("the proxy saw %q, want %q", got, tc.seen)
				}
			}
		})
	}
}

func TestUnixSocketAndDialing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, false, func(s *httptest.Server) { s.Listener.Close(); s.Listener = l }, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "unix "+r.Host)
	})
	tcp := serve(t, false, nil, ok)
	_, port, _ := net.SplitHostPort(tcp.Listener.Addr().String())
	var controlled []string
	refuse := errors.New("not allowed")
	e := newEngine(t, nethttp.Config{}, engine.Config{
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
		DialControl: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			controlled = append(controlled, network+" "+address)
			if strings.HasSuffix(address, ":1") {
				return refuse
			}
			return nil
		},
	})
	req := request(t, "http://service.invalid/")
	req.UnixSocket = path
	if _, text := send(t, e, req); text != "unix service.invalid" {
		t.Errorf("answer = %q", text)
	}
	if _, text := send(t, e, request(t, "http://service.invalid:"+port)); text != "ok" {
		t.Errorf("answer = %q", text)
	}
	if _, err := e.Execute(t.Context(), request(t, "http://service.invalid:1")); !errors.Is(err, refuse) || op(err) != engine.OpConnect {
		t.Errorf("error = %v", err)
	}
	if got := strings.Join(controlled, ","); got != "unix "+path+",tcp4 127.0.0.1:"+port+",tcp4 127.0.0.1:1" {
		t.Errorf("control saw %s", got)
	}
}

func TestHeaderLimits(t *testing.T) {
	s := serve(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		for i := range 50 {
			w.Header().Add("X-Field", fmt.Sprint(i))
		}
		ok(w, r)
	})
	for _, tc := range []struct {
		name   string
		shared engine.Config
		fails  bool
	}{
		{"default", engine.Config{}, false},
		{"few fields", engine.Config{MaxHeaderFields: 40}, true},
		{"few bytes", engine.Config{MaxHeaderBytes: 300}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := newEngine(t, nethttp.Config{}, tc.shared).Execute(t.Context(), request(t, s.URL))
			if err == nil {
				resp.Body.Close()
			}
			if _, isProtocol := errors.AsType[*engine.ProtocolError](err); isProtocol != tc.fails || (err != nil) != tc.fails {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestIdleConnections(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config nethttp.Config
		closed bool
	}{
		{"kept", nethttp.Config{}, false},
		{"keep-alive time", nethttp.Config{KeepAlive: time.Millisecond}, true},
		{"none per route", nethttp.Config{MaxIdlePerRoute: -1}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, false, nil, ok)
			e := newEngine(t, tc.config, engine.Config{})
			send(t, e, request(t, s.URL))
			if tc.closed {
				s.conns.WaitClosed(t)
			}
			if resp, _ := send(t, e, request(t, s.URL)); resp.Reused == tc.closed {
				t.Errorf("reused = %v", resp.Reused)
			}
		})
	}
	t.Run("most recent only", func(t *testing.T) {
		a, b := serve(t, false, nil, ok), serve(t, false, nil, ok)
		e := newEngine(t, nethttp.Config{MaxIdle: 1}, engine.Config{})
		send(t, e, request(t, a.URL))
		send(t, e, request(t, b.URL))
		a.conns.WaitClosed(t)
		b.conns.WaitOpen(t, 1)
	})
}

// TestTimeouts of the phases that need a server of their own kind.
func TestTimeouts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // reads a head, sends the beginning of an answer, and stops
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				if _, err := http.ReadRequest(r); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
				}
				_, _ = io.Copy(io.Discard, r)
			}()
		}
	}()
	const limit = 30 * time.Millisecond
	for _, tc := range []struct {
		name, scheme string
		set          func(*engine.Request)
		kind         engine.TimeoutKind
		op           engine.Op
		body         string
	}{
		{"TLS handshake", "https", func(r *engine.Request) { r.Timeouts.Connect = limit }, engine.KindConnect, engine.OpTLS, ""},
		{"idle body", "http", func(r *engine.Request) { r.Timeouts.Idle = limit }, engine.KindIdle, engine.OpReceive, "abc"},
		{"deadline in the body", "http", func(r *engine.Request) {
			r.Deadline, r.DeadlineKind, r.DeadlineLimit = time.Now().Add(limit), engine.KindAttempt, limit
		}, engine.KindAttempt, engine.OpReceive, "abc"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, nethttp.Config{}, engine.Config{})
			req := request(t, tc.scheme+"://"+l.Addr().String())
			tc.set(req)
			resp, err := e.Execute(t.Context(), req)
			text := []byte(nil)
			if err == nil {
				text, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			timeout, _ := errors.AsType[*engine.TimeoutError](err)
			if timeout == nil || timeout.Kind != tc.kind || timeout.Limit != limit || op(err) != tc.op || string(text) != tc.body {
				t.Errorf("error = %v after %q, want Op %s and %s", err, text, tc.op, tc.kind)
			}
		})
	}
}

func TestClosed(t *testing.T) {
	e := newEngine(t, nethttp.Config{}, engine.Config{})
	e.Close()
	if _, err := e.Execute(t.Context(), request(t, "http://a.invalid")); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("error = %v", err)
	}
}
