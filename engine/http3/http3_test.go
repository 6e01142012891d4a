package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/certs"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/testpeer"
)

func TestExchange(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", strings.Join([]string{r.Method, r.Host, r.RequestURI, r.Header.Get("X-One"), r.Header.Get("User-Agent"), string(body)}, "|"))
		w.Header().Set("X-Length", itoa(int(r.ContentLength)))
		_, _ = io.WriteString(w, "hello")
	})
	e := newEngine(t, http3.Config{})
	for _, row := range []struct {
		name, method, path string
		fields             []string
		body               content.Content
		seen, length, want string
	}{
		{name: "get", method: "GET", path: "/a%2Fb?q=%41&r", seen: "GET|HOST|/a%2Fb?q=%41&r|||", length: "0", want: "hello"},
		{name: "fields", method: "GET", path: "/", fields: []string{"x-oNe", "1", "User-Agent", "me", "Host", "example.org"}, seen: "GET|example.org|/|1|me|", length: "0", want: "hello"},
		{name: "head", method: "HEAD", path: "/", seen: "HEAD|HOST|/|||", length: "0"},
		{name: "empty post", method: "POST", path: "/", seen: "POST|HOST|/|||", length: "0", want: "hello"},
		{name: "post", method: "POST", path: "/", body: content.Text("text"), seen: "POST|HOST|/|||text", length: "4", want: "hello"},
		{name: "stream", method: "PUT", path: "/", body: content.Reader(strings.NewReader("flow"), "", -1), seen: "PUT|HOST|/|||flow", length: "-1", want: "hello"},
		{name: "own verb", method: "PROPFIND", path: "/", seen: "PROPFIND|HOST|/|||", length: "0", want: "hello"},
		{name: "asterisk", method: "OPTIONS", path: "", seen: "OPTIONS|HOST|/|||", length: "0", want: "hello"},
	} {
		t.Run(row.name, func(t *testing.T) {
			req := request(t, row.method, s.URL+row.path)
			req.Header, req.Body = header.New(row.fields...), row.body
			resp, body := send(t, e, req)
			if got, want := resp.Header.Get("X-Seen"), strings.Replace(row.seen, "HOST", s.Addr, 1); got != want {
				t.Errorf("the server saw %q, want %q", got, want)
			}
			if got := resp.Header.Get("X-Length"); got != row.length && !(row.length == "0" && got == "-1") {
				t.Errorf("Content-Length %s, want %s", got, row.length)
			}
			if body != row.want || resp.Status != 200 || resp.Proto != "HTTP/3.0" || resp.ContentLength != 5 {
				t.Errorf("%d %s %q of %d bytes", resp.Status, resp.Proto, body, resp.ContentLength)
			}
			if resp.Conn == nil || resp.Conn.Remote.String() != s.Addr || resp.Conn.TLS.NegotiatedProtocol != "h3" {
				t.Errorf("Conn %+v", resp.Conn)
			}
		})
	}
	if n := len(s.conns); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestReuse(t *testing.T) {
	s := serve(t, ok)
	e := newEngine(t, http3.Config{})
	if resp, _ := get(t, e, s.URL); resp.Reused {
		t.Error("the first exchange claims a used connection")
	}
	if resp, _ := get(t, e, s.URL); !resp.Reused {
		t.Error("the second exchange has another connection")
	}
	e.CloseIdle()
	if resp, _ := get(t, e, s.URL); resp.Reused {
		t.Error("the connection outlived CloseIdle")
	}
	once := newEngine(t, http3.Config{KeepAlive: -1})
	for range 2 {
		if resp, _ := get(t, once, s.URL); resp.Reused {
			t.Error("a connection is reused though KeepAlive is negative")
		}
	}
}

// TestConnectionFields: those of HTTP/1.1 are not sent, and close is honoured.
func TestConnectionFields(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			_, _ = io.WriteString(w, name+" ")
		}
	})
	e := newEngine(t, http3.Config{})
	for range 2 {
		req := request(t, "GET", s.URL)
		req.Header = header.New("Connection", "close, X-Hop", "X-Hop", "1", "Keep-Alive", "5", "TE", "gzip", "X-End", "1")
		if resp, body := send(t, e, req); strings.TrimSpace(body) != "X-End" || resp.Reused {
			t.Errorf("the server got %q, reused %v", body, resp.Reused)
		}
	}
}

// TestParallel: the streams of many requests share a connection, beyond what the
// server allows at once too.
func TestParallel(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
		func(s *h3.Server) { s.QUICConfig.MaxIncomingStreams = 7 })
	e := newEngine(t, http3.Config{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			want := strings.Repeat(itoa(i), 5000)
			req := request(t, "POST", s.URL)
			req.Body = content.Text(want)
			resp, err := e.Execute(t.Context(), req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); string(got) != want || err != nil {
				t.Errorf("%d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	if n := len(s.conns); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestDuplex(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	})
	e := newEngine(t, http3.Config{})
	in, out := io.Pipe()
	req := request(t, "POST", s.URL)
	req.Body = content.Reader(in, "", -1)
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, word := range []string{"one", "two", "three"} {
		if _, err := io.WriteString(out, word); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(word))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q, %v", got, err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
}

func TestExpectContinue(t *testing.T) {
	for _, row := range []struct {
		name     string
		accepted bool
		status   int
	}{{"accepted", true, 200}, {"refused", false, 417}} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if row.accepted {
					w.WriteHeader(http.StatusContinue)
					text, _ := io.ReadAll(r.Body)
					_, _ = w.Write(text)
					return
				}
				w.WriteHeader(http.StatusExpectationFailed)
			})
			e := newEngine(t, http3.Config{ExpectContinueTimeout: time.Hour})
			req := request(t, "POST", s.URL)
			req.Header = header.New("Expect", "100-continue")
			read := make(chan struct{}, 10)
			req.Body = content.Reader(readerFunc(func(p []byte) (int, error) { read <- struct{}{}; return copy(p, "x"), io.EOF }), "", -1)
			resp, body := send(t, e, req)
			if resp.Status != row.status || row.accepted != (body == "x") || row.accepted != (len(read) > 0) {
				t.Errorf("status %d, body %q, read %d times", resp.Status, body, len(read))
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestTimeouts(t *testing.T) {
	hang := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	s := serve(t, hang)
	drop := "https://" + testpeer.SilentUDP(t)
	short := 50 * time.Millisecond
	for _, row := range []struct {
		name, url string
		config    http3.Config
		request   engine.Timeouts
		kind      engine.TimeoutKind
		op        engine.Op
		text      string
	}{
		{name: "connect", url: drop, request: engine.Timeouts{Connect: short}, kind: engine.KindConnect, op: engine.OpConnect, text: "UDP is blocked"},
		{name: "connect by config", url: drop, config: http3.Config{Timeouts: engine.Timeouts{Connect: short}}, kind: engine.KindConnect, op: engine.OpConnect},
		{name: "handshake without a limit", url: drop, config: http3.Config{QUIC: &quic.Config{HandshakeIdleTimeout: short}}, request: engine.Timeouts{Connect: engine.NoTimeout}, kind: engine.KindConnect, op: engine.OpConnect, text: "UDP is blocked"},
		{name: "header", url: s.URL, request: engine.Timeouts{Header: short}, kind: engine.KindHeader, op: engine.OpReceive},
		{name: "idle", url: s.URL, request: engine.Timeouts{Idle: short}, kind: engine.KindIdle, op: engine.OpReceive},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := newEngine(t, row.config)
			req := request(t, "GET", row.url)
			req.Timeouts = row.request
			_, err := e.Execute(t.Context(), req)
			if kind(err) != row.kind || op(err) != row.op || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("%v: op %q, kind %q", err, op(err), kind(err))
			}
			if !strings.Contains(err.Error(), row.text) {
				t.Errorf("%q does not say %q", err, row.text)
			}
		})
	}
}

// TestPoolTimeouts: a stream, a place among the exchanges, a connection.
func TestPoolTimeouts(t *testing.T) {
	for _, row := range []struct {
		name   string
		config http3.Config
		other  bool // the second request is to another server
	}{
		{name: "stream"},
		{name: "concurrent", config: http3.Config{MaxConcurrent: 1}},
		{name: "connection", config: http3.Config{MaxConnections: 1}, other: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			began := make(chan struct{}, 2)
			hang := func(w http.ResponseWriter, r *http.Request) {
				began <- struct{}{}
				if r.URL.Path == "/hang" {
					<-r.Context().Done()
				}
			}
			one := func(s *h3.Server) { s.QUICConfig.MaxIncomingStreams = 1 }
			s := serve(t, hang, one)
			second := s
			if row.other {
				second = serve(t, hang)
			}
			e := newEngine(t, row.config)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			held := make(chan error, 1)
			go func() {
				_, err := e.Execute(ctx, request(t, "GET", s.URL+"/hang"))
				held <- err
			}()
			within(t, "the first request", began)
			req := request(t, "GET", second.URL)
			req.Timeouts.Pool = 50 * time.Millisecond
			_, err := e.Execute(t.Context(), req)
			if kind(err) != engine.KindPool {
				t.Errorf("%v, want a pool timeout", err)
			}
			cancel()
			if err := within(t, "the first request's end", held); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			get(t, e, second.URL) // the slot is free again
		})
	}
}

func TestNoHTTP3(t *testing.T) {
	t.Run("nothing listens", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux reports closed UDP ports to sockets that are not connected")
		}
		_, err := newEngine(t, http3.Config{}).Execute(t.Context(), request(t, "GET", "https://"+testpeer.ClosedUDP(t)))
		if op(err) != engine.OpConnect || !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "no HTTP/3") {
			t.Errorf("%v", err)
		}
	})
	t.Run("QUIC without h3", func(t *testing.T) {
		l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{testpeer.CA(t).Issue(t, "127.0.0.1")}, NextProtos: []string{"other"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, err = newEngine(t, http3.Config{}).Execute(t.Context(), request(t, "GET", "https://"+l.Addr().String()))
		if op(err) != engine.OpTLS || !strings.Contains(err.Error(), "not HTTP/3") {
			t.Errorf("%v", err)
		}
	})
	t.Run("http URL", func(t *testing.T) {
		_, err := newEngine(t, http3.Config{}).Execute(t.Context(), request(t, "GET", "http://127.0.0.1"))
		if u, ok := errors.AsType[*engine.UnsupportedError](err); !ok || u.Capability != engine.HTTP1 {
			t.Errorf("%v", err)
		}
	})
}

func TestCertificates(t *testing.T) {
	s := serve(t, ok)
	for _, row := range []struct {
		name   string
		config func(*engine.Config)
		text   string
		reason certs.Problem
	}{
		{"unknown authority", func(c *engine.Config) { c.TLS = nil }, "unknown authority", certs.UnknownAuthority},
		{"wrong host", func(c *engine.Config) { c.TLS.ServerName = "other.test" }, "other.test", certs.WrongHost},
		{"refused by VerifyConnection", func(c *engine.Config) {
			c.TLS.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not this one") }
		}, "not this one", certs.None},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := newEngine(t, http3.Config{}, row.config)
			_, err := e.Execute(t.Context(), request(t, "GET", s.URL))
			if op(err) != engine.OpTLS || !strings.Contains(err.Error(), row.text) {
				t.Errorf("op %q: %v", op(err), err)
			}
			if reason := certs.Reason(err); reason != row.reason {
				t.Errorf("certs.Reason is %q, want %q", reason, row.reason)
			}
		})
	}
	old := &tls.Config{MaxVersion: tls.VersionTLS12}
	if _, err := (http3.Config{TLS: old}).NewEngine(engine.Config{}); err == nil || !strings.Contains(err.Error(), "TLS 1.3") {
		t.Errorf("TLS 1.2: %v", err)
	}
}

// TestServerRefuses: a server's alert has the same reason as over TCP. A client's
// certificate is judged when the client's handshake is over.
func TestServerRefuses(t *testing.T) {
	must := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, testpeer.CA(t).Pool }
	judge := func(c *tls.Config) {
		c.ClientAuth = tls.RequireAnyClientCert
		c.VerifyConnection = func(tls.ConnectionState) error { return errors.New("no") }
	}
	me := []tls.Certificate{testpeer.CA(t).Issue(t, "me")}
	for _, row := range []struct {
		name   string
		server func(*tls.Config)
		certs  []tls.Certificate
		reason certs.Problem
	}{
		{"nothing", must, me, certs.None},
		{"no certificate", must, nil, certs.ClientCertificateRequired},
		{"the certificate", judge, me, certs.ClientCertificateRefused},
		{"the curves", func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }, nil, certs.HandshakeRefused},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serve(t, ok, func(s *h3.Server) { row.server(s.TLSConfig) })
			e := newEngine(t, http3.Config{}, func(c *engine.Config) {
				c.TLS.Certificates, c.TLS.CurvePreferences = row.certs, []tls.CurveID{tls.X25519}
			})
			resp, err := e.Execute(t.Context(), request(t, "GET", s.URL))
			if reason := certs.Reason(err); reason != row.reason || (err == nil) != (reason == certs.None) {
				t.Fatalf("reason %q, want %q: %v", reason, row.reason, err)
			}
			if err == nil {
				resp.Body.Close()
				return
			}
			if op(err) != engine.OpTLS || strings.Count(err.Error(), "remote") != 1 {
				t.Errorf("op %q: %v", op(err), err)
			}
		})
	}
}

func TestProxyIsNotBypassed(t *testing.T) {
	asked := false
	proxy := engine.FixedProxy(&url.URL{Scheme: "http", User: url.UserPassword("u", "secret"), Host: "proxy.test:8080"})
	for _, row := range []struct {
		name    string
		config  engine.ProxyFunc
		request engine.ProxyFunc
		env     string
		refused bool
	}{
		{name: "config", config: proxy, refused: true},
		{name: "request", config: engine.NoProxy, request: proxy, refused: true},
		{name: "environment", env: "http://proxy.test:8080", refused: true},
		{name: "request goes directly", config: proxy, request: engine.NoProxy},
		{name: "config goes directly", config: engine.NoProxy, env: "http://proxy.test:8080"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"} {
				t.Setenv(name, "")
			}
			t.Setenv("HTTPS_PROXY", row.env)
			stop := errors.New("this far")
			e := newEngine(t, http3.Config{}, func(c *engine.Config) {
				c.Proxy = row.config
				c.Resolve = func(context.Context, string) ([]netip.Addr, error) { asked = true; return nil, stop }
			})
			asked = false
			req := request(t, "GET", "https://example.test/")
			req.Proxy = row.request
			_, err := e.Execute(t.Context(), req)
			u, unsupported := errors.AsType[*engine.UnsupportedError](err)
			if unsupported != row.refused || asked == row.refused {
				t.Errorf("%v, looked up: %v", err, asked)
			}
			if unsupported && (u.Capability != engine.HTTPProxy || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestDialControl(t *testing.T) {
	s := serve(t, ok)
	var networks, addrs []string
	no := errors.New("not there")
	control := func(result error) func(*engine.Config) {
		return func(c *engine.Config) {
			c.Resolve = resolveTo("127.0.0.1")
			c.DialControl = func(ctx context.Context, network, address string, raw syscall.RawConn) error {
				networks, addrs = append(networks, network), append(addrs, address)
				return errors.Join(result, raw.Control(func(uintptr) {}))
			}
		}
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	get(t, newEngine(t, http3.Config{}, control(nil)), "https://example.test:"+port)
	if len(addrs) != 1 || addrs[0] != s.Addr || networks[0] != "udp4" {
		t.Errorf("DialControl saw %q %q", networks, addrs)
	}
	_, err := newEngine(t, http3.Config{}, control(no)).Execute(t.Context(), request(t, "GET", "https://example.test:"+port))
	if !errors.Is(err, no) || op(err) != engine.OpConnect {
		t.Errorf("refused: %v", err)
	}
	if n := len(s.conns); n != 1 {
		t.Errorf("%d connections, want 1: the refused one sent something", n)
	}
}

// TestAddressesRace: a silent address costs its head start and no more.
func TestAddressesRace(t *testing.T) {
	s := serve(t, ok)
	_, port, _ := net.SplitHostPort(s.Addr)
	blocked, err := net.ListenPacket("udp4", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("127.0.0.2 is not to be had: ", err)
	}
	defer blocked.Close()
	var mu sync.Mutex
	var failed []string
	e := newEngine(t, http3.Config{FallbackDelay: 10 * time.Millisecond}, func(c *engine.Config) { c.Resolve = resolveTo("127.0.0.2", "127.0.0.1") })
	req := request(t, "GET", "https://example.test:"+port)
	req.Trace = &engine.Trace{ConnectDone: func(_, address string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = append(failed, address)
		}
	}}
	if resp, _ := send(t, e, req); resp.Conn.Remote.String() != s.Addr {
		t.Errorf("connected to %v", resp.Conn.Remote)
	}
	if len(failed) != 1 || failed[0] != "127.0.0.2:"+port {
		t.Errorf("failed: %q", failed)
	}
	local := newEngine(t, http3.Config{LocalAddr: netip.MustParseAddr("127.0.0.3"), Hosts: map[string]string{"Example.test": "127.0.0.1"}})
	if resp, _ := get(t, local, "https://example.test:"+port); !strings.HasPrefix(resp.Conn.Local.String(), "127.0.0.3:") {
		t.Errorf("sent from %v", resp.Conn.Local)
	}
}

func TestHeaderLimits(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 50 {
			w.Header().Set("X-"+itoa(i), strings.Repeat("v", 100))
		}
	})
	for _, row := range []struct {
		name   string
		config http3.Config
		fails  bool
	}{
		{"within", http3.Config{MaxHeaderFields: 60, MaxHeaderBytes: 10_000}, false},
		{"fields", http3.Config{MaxHeaderFields: 40}, true},
		{"bytes", http3.Config{MaxHeaderBytes: 4000}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			resp, err := newEngine(t, row.config).Execute(t.Context(), request(t, "GET", s.URL))
			if err == nil {
				resp.Body.Close()
			}
			_, protocol := errors.AsType[*engine.ProtocolError](err)
			if protocol != row.fails || (err != nil) != row.fails {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestInformationalWithoutEnd(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for range 50 {
			w.WriteHeader(http.StatusEarlyHints)
		}
	})
	_, err := newEngine(t, http3.Config{}).Execute(t.Context(), request(t, "GET", s.URL))
	if _, ok := errors.AsType[*engine.ProtocolError](err); !ok {
		t.Errorf("%v", err)
	}
}

func TestTrace(t *testing.T) {
	s := serve(t, ok)
	e := newEngine(t, http3.Config{}, func(c *engine.Config) { c.Resolve = resolveTo("127.0.0.1") })
	_, port, _ := net.SplitHostPort(s.Addr)
	var got []string
	note := func(what string) { got = append(got, what) }
	trace := &engine.Trace{
		PoolWait: func(string) { note("wait") }, GotConn: func(engine.GotConn) { note("conn") },
		DNSStart: func(string) { note("dns") }, DNSDone: func([]string, error) { note("dns done") },
		ConnectStart: func(string, string) { note("connect") }, ConnectDone: func(string, string, error) { note("connect done") },
		TLSStart: func() { note("tls") }, TLSDone: func(state tls.ConnectionState, err error) { note("tls done " + state.NegotiatedProtocol) },
		WroteHeader: func() { note("header") }, WroteRequest: func(error) { note("request") },
		FirstByte: func() { note("byte") }, PutIdle: func(err error) { note("idle") },
	}
	for _, want := range []string{
		"wait dns dns done connect tls tls done h3 connect done conn header request byte idle",
		"wait conn header request byte idle",
	} {
		got = nil
		req := request(t, "GET", "https://example.test:"+port)
		req.Trace = trace
		send(t, e, req)
		if s := strings.Join(got, " "); s != want {
			t.Errorf("events %q, want %q", s, want)
		}
	}
}

func TestAlternative(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host+" "+r.TLS.ServerName) })
	e := newEngine(t, http3.Config{})
	req := request(t, "GET", "https://example.test/")
	if e.Connected(req.URL, s.Addr) {
		t.Error("Connected before Connect")
	}
	if err := e.Connect(t.Context(), req.URL, s.Addr); err != nil {
		t.Fatal(err)
	}
	if !e.Connected(req.URL, s.Addr) || e.Connected(req.URL, "") {
		t.Error("Connected is wrong")
	}
	resp, err := e.ExecuteConnected(t.Context(), req, s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "example.test example.test" || resp.Reused {
		t.Errorf("%q, reused %v", body, resp.Reused)
	}
	post := request(t, "POST", "https://example.test/")
	post.Body = content.Writer(func(context.Context, io.Writer) error { t.Error("the body was opened"); return nil }, "", -1)
	if _, err := e.ExecuteConnected(t.Context(), post, ""); !errors.Is(err, http3.ErrNotConnected) || op(err) != engine.OpPool {
		t.Errorf("without a connection: %v", err)
	}
	if err := e.Connect(t.Context(), request(t, "GET", "https://another.test").URL, s.Addr); op(err) != engine.OpTLS {
		t.Errorf("an alternative without a certificate for the origin: %v", err)
	}
	if err := e.Connect(t.Context(), req.URL, "nowhere"); op(err) != engine.OpBuild {
		t.Errorf("no host:port: %v", err)
	}
}
