package nethttp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

// listen listens on a free port of the loopback interface until the test ends.
func listen(t *testing.T) *leakcheck.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return leakcheck.Listen(l)
}

// relay is a proxy of HTTP: it forwards with the answer "forwarded", and makes
// tunnels to origin, whatever it is asked for. seen gets each head. yes is its
// answer to CONNECT.
func relay(l net.Listener, origin, yes string) (addr string, seen chan *http.Request) {
	seen = make(chan *http.Request, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go relayed(c, origin, yes, seen)
		}
	}()
	return l.Addr().String(), seen
}

func relayed(c net.Conn, origin, yes string, seen chan<- *http.Request) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		seen <- req
		if req.Method != http.MethodConnect {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nforwarded")
			continue
		}
		_, _ = io.WriteString(c, yes)
		to, err := net.Dial("tcp", origin)
		if err != nil {
			return
		}
		defer to.Close()
		go func() { defer c.Close(); _, _ = io.Copy(c, to) }()
		_, _ = io.Copy(to, r)
		return
	}
}

const connected = "HTTP/1.1 200 OK\r\n\r\n"

func parse(t *testing.T, rawURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestTunnelTLS: what is by a tunnel is the origin's, HTTP/2 and the name in TLS
// included, and each user of a proxy has tunnels of their own.
func TestTunnelTLS(t *testing.T) {
	origin := serve(t, true, func(s *httptest.Server) { s.EnableHTTP2 = true }, ok)
	names := make(chan string, 10)
	own := &tls.Config{Certificates: origin.TLS.Certificates, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- hello.ServerName
		return nil, nil
	}}
	// 201 is a success as good as 200, after any interim answer (RFC 9110 §9.3.6).
	addr, seen := relay(tls.NewListener(listen(t), own), origin.Listener.Addr().String(), "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n\r\n")
	config := trust(origin)
	config.ServerName = "example.com"
	e := newEngine(t, nethttp.Config{TLS: config}, engine.Config{})
	for _, user := range []string{"ada", "ada", "bob"} {
		req := request(t, "https://origin.invalid/")
		req.Proxy = engine.FixedProxy(parse(t, "https://"+user+":pw@"+addr))
		if resp, _ := send(t, e, req); resp.Proto != "HTTP/2.0" || resp.Conn.TLS.ServerName != "example.com" || resp.Conn.Proxy.String() != "https://"+addr {
			t.Errorf("answer by %s, TLS with %s, proxy %v", resp.Proto, resp.Conn.TLS.ServerName, resp.Conn.Proxy)
		}
	}
	if name := <-names; name != "" { // an address is not sent by SNI
		t.Errorf("the proxy was asked for the certificate of %s", name)
	}
	if n := len(seen); n != 2 {
		t.Errorf("%d tunnels for two users, want 2", n)
	}
}

// TestTunnelsForHTTP: what a proxy cannot forward goes by a tunnel.
func TestTunnelsForHTTP(t *testing.T) {
	origin := serve(t, false, func(s *httptest.Server) {
		s.Config.Protocols = &http.Protocols{}
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
	}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto+" "+r.Host) })
	addr, seen := relay(listen(t), origin.Listener.Addr().String(), connected)
	for _, tc := range []struct {
		name     string
		protocol nethttp.Protocol
		method   string
		line     string
		body     string
	}{
		{"forwarded", nethttp.Auto, "GET", "GET http://origin.invalid/", "forwarded"},
		{"h2c", nethttp.H2C, "GET", "CONNECT origin.invalid:80", "HTTP/2.0 origin.invalid"},
		{"OPTIONS of the server", nethttp.Auto, "OPTIONS", "OPTIONS http://origin.invalid", "forwarded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, nethttp.Config{Protocol: tc.protocol}, engine.Config{Proxy: engine.FixedProxy(parse(t, "http://"+addr))})
			req := request(t, "http://origin.invalid")
			req.Method = tc.method
			_, body := send(t, e, req)
			r := <-seen
			if line := r.Method + " " + r.RequestURI; line != tc.line || body != tc.body {
				t.Errorf("the proxy got %q, the answer is %q; want %q and %q", line, body, tc.line, tc.body)
			}
		})
	}
}

// TestSlowProxy: who was waited for when the time was up stands in the error,
// whichever limit it was, and the proxy's name without credentials.
func TestSlowProxy(t *testing.T) {
	const limit = time.Second
	own := errors.New("own cause")
	for _, end := range []struct {
		name  string
		limit func(context.Context, *engine.Request) (context.Context, context.CancelFunc)
		want  error
		kind  engine.TimeoutKind
	}{
		{"connect timeout", func(ctx context.Context, req *engine.Request) (context.Context, context.CancelFunc) {
			req.Timeouts.Connect = limit
			return context.WithCancel(ctx)
		}, context.DeadlineExceeded, engine.KindConnect},
		{"request timeout", func(ctx context.Context, req *engine.Request) (context.Context, context.CancelFunc) {
			req.Deadline = time.Now().Add(limit)
			return context.WithCancel(ctx)
		}, context.DeadlineExceeded, engine.KindRequest},
		{"attempt timeout", func(ctx context.Context, req *engine.Request) (context.Context, context.CancelFunc) {
			req.Deadline, req.DeadlineKind = time.Now().Add(limit), engine.KindAttempt
			return context.WithCancel(ctx)
		}, context.DeadlineExceeded, engine.KindAttempt},
		{"context", func(ctx context.Context, _ *engine.Request) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, limit)
		}, context.DeadlineExceeded, ""},
		{"context with a cause", func(ctx context.Context, _ *engine.Request) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, limit, own)
		}, own, ""},
		{"cancelled", func(ctx context.Context, _ *engine.Request) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(limit, cancel)
			return ctx, cancel
		}, context.Canceled, ""},
	} {
		for _, proxy := range []struct {
			url  string
			op   engine.Op
			hang string // dialling, or looking the origin up, in place of answering
		}{
			{"http://ada@proxy.invalid:3128", engine.OpProxy, ""},
			{"https://ada@proxy.invalid:3128", engine.OpTLS, ""},
			{"socks5h://ada@proxy.invalid:1080", engine.OpProxy, ""},
			{"socks4a://ada@proxy.invalid:1080", engine.OpProxy, ""},
			{"http://ada@proxy.invalid:3128", engine.OpConnect, "dial"},
			{"socks5://ada@proxy.invalid:1080", engine.OpDNS, "lookup"}, // not the proxy's fault
		} {
			t.Run(end.name+" "+proxy.url+" "+proxy.hang, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					config := nethttp.Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
						if proxy.hang == "dial" {
							<-ctx.Done()
							return nil, ctx.Err()
						}
						c, silent := net.Pipe()
						go func() { _, _ = io.Copy(io.Discard, silent) }()
						return c, nil
					}}
					if proxy.hang == "lookup" {
						config.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
							<-ctx.Done()
							return nil, ctx.Err()
						}
					}
					e := newEngine(t, config, engine.Config{Proxy: engine.FixedProxy(parse(t, proxy.url))})
					req := request(t, "https://origin.invalid/")
					ctx, cancel := end.limit(t.Context(), req)
					defer cancel()
					begin := time.Now()
					_, err := e.Execute(ctx, req)
					if !errors.Is(err, end.want) || kind(err) != end.kind || op(err) != proxy.op || time.Since(begin) != limit {
						t.Errorf("error %v after %v, want %q in Op %s", err, time.Since(begin), end.want, proxy.op)
					}
					failed, blamed := errors.AsType[*engine.ProxyError](err)
					if want := end.name != "cancelled" && proxy.hang != "lookup"; blamed != want {
						t.Errorf("%v: the proxy is blamed: %v, want %v", err, blamed, want)
					}
					if blamed && failed.Proxy != strings.Replace(proxy.url, "ada@", "", 1) {
						t.Errorf("the proxy's URL is %s", failed.Proxy)
					}
				})
			})
		}
	}
}

// TestManyProxyUsers: of the proxies that were used, those used last keep their
// idle connections.
func TestManyProxyUsers(t *testing.T) {
	l := listen(t)
	addr, _ := relay(l, "", "")
	e := newEngine(t, nethttp.Config{}, engine.Config{})
	to := func(user int) *engine.Response {
		req := request(t, "http://origin.invalid/")
		req.Proxy = engine.FixedProxy(&url.URL{Scheme: "http", Host: addr, User: url.User(strconv.Itoa(user))})
		resp, _ := send(t, e, req)
		return resp
	}
	for user := range 110 {
		to(user)
	}
	l.WaitOpen(t, 100)
	if !to(109).Reused || to(0).Reused {
		t.Error("it was not the oldest one that was forgotten")
	}
	e.Close()
	l.WaitClosed(t)
}

// TestForgottenProxy: the HTTP/2 connection of a proxy that was forgotten while it
// was in use makes room like any other when it is idle.
func TestForgottenProxy(t *testing.T) {
	began, release := make(chan bool), map[string]chan bool{"/first": make(chan bool), "/second": make(chan bool)}
	origin := serve(t, true, func(s *httptest.Server) { s.EnableHTTP2 = true }, func(w http.ResponseWriter, r *http.Request) {
		if held := release[r.URL.Path]; held != nil {
			began <- true
			<-held
		}
		ok(w, r)
	})
	addr, _ := relay(listen(t), origin.Listener.Addr().String(), connected)
	e := newEngine(t, nethttp.Config{MaxConnections: 2, TLS: trust(origin)}, engine.Config{})
	by := func(user, rawURL string) *engine.Request {
		req := request(t, rawURL)
		req.Proxy = engine.FixedProxy(&url.URL{Scheme: "http", Host: addr, User: url.User(user)})
		req.Timeouts.Pool = 10 * time.Second
		return req
	}
	done := make(chan result, 2)
	start(t.Context(), t, e, by("first", "https://example.com/first"), done)
	<-began
	for user := range 101 {
		send(t, e, by(strconv.Itoa(user), "http://example.com/"))
	}
	start(t.Context(), t, e, by("second", "https://example.com/second"), done)
	<-began
	defer func() {
		close(release["/second"])
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
	}()
	close(release["/first"])
	if r := <-done; r.err != nil {
		t.Fatal(r.err)
	}
	send(t, e, by("third", "https://example.com/"))
}

// TestForeignProxy: a Proxy that CustomizeTransport sets is net/http's affair, and
// the engine then chooses none.
func TestForeignProxy(t *testing.T) {
	origin := serve(t, true, nil, ok)
	addr, seen := relay(listen(t), origin.Listener.Addr().String(), connected)
	e := newEngine(t, nethttp.Config{TLS: trust(origin), CustomizeTransport: func(tr *http.Transport) {
		tr.Proxy = http.ProxyURL(parse(t, "http://"+addr))
	}}, engine.Config{Proxy: engine.FixedProxy(parse(t, "http://127.0.0.1:1"))})
	if _, text := send(t, e, request(t, "https://example.com/")); text != "ok" {
		t.Errorf("answer %q", text)
	}
	if _, text := send(t, e, request(t, "http://example.com/")); text != "forwarded" {
		t.Errorf("answer %q", text)
	}
	if n := len(seen); n != 2 {
		t.Errorf("the proxy was asked %d times, want 2", n)
	}
}
