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
	"net/url"
	"strconv"
	"testing"

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

// TestSlowProxy: who was waited for when the time was up stands in the error, and
// the proxy's name without credentials.
func TestSlowProxy(t *testing.T) {
	l := listen(t)
	for _, scheme := range []string{"http", "https", "socks5h", "socks4a"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			_, _ = c.Read(make([]byte, 1))
			cancel(&engine.TimeoutError{Kind: engine.KindConnect}) // at this very moment
		}()
		e := newEngine(t, nethttp.Config{}, engine.Config{Proxy: engine.FixedProxy(parse(t, scheme+"://ada@"+l.Addr().String()))})
		_, err := e.Execute(ctx, request(t, "https://origin.invalid/"))
		proxy, ok := errors.AsType[*engine.ProxyError](err)
		if !ok || proxy.Proxy != scheme+"://"+l.Addr().String() || kind(err) != engine.KindConnect {
			t.Errorf("%s: %v", scheme, err)
		}
		want := engine.OpProxy
		if scheme == "https" {
			want = engine.OpTLS
		}
		if o := op(err); o != want {
			t.Errorf("%s: Op %s, want %s", scheme, o, want)
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
