package dial_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/socket"
	"github.com/godwit-go/godwit/internal/testpeer"
)

func TestPlain(t *testing.T) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), echo)
	d := &dial.Dialer{Proxy: engine.NoProxy}
	c := connect(t, d, "http://"+l.Addr().String())
	pong(t, c)
	if c.Info.Remote.String() != l.Addr().String() || c.Info.TLS != nil || c.Info.Proxy != nil || c.Proto != "" || c.Forward {
		t.Errorf("conn = %+v, info = %+v", c, c.Info)
	}
	if socket.TCP(c.Conn) == nil {
		t.Errorf("connection is a %T, want TCP", c.Conn)
	}
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, listen(t, "unix", path), echo)
	d := &dial.Dialer{Proxy: func(*url.URL) (*url.URL, error) { return nil, errors.New("no proxy is to be asked for a unix socket") }}
	r, err := d.Route(&engine.Request{URL: parse(t, "http://service/x"), UnixSocket: path})
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.Connect(t.Context(), r, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pong(t, c)

	r.Unix += ".missing"
	if _, err = d.Connect(t.Context(), r, 0, nil); op(err) != engine.OpConnect {
		t.Errorf("missing socket: %v, want Op connect", err)
	}
}

func TestTLS(t *testing.T) {
	server, client := certificates(t)
	server.NextProtos = []string{"h2", "http/1.1"}
	l := serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server), echo)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	hosts := map[string]string{"example.com": "127.0.0.1", "wrong.example": "127.0.0.1"}

	for _, tc := range []struct {
		name, host string
		protos     []string
		config     func(*tls.Config)
		proto      string
		as         func(error) bool // nil = success
	}{
		{"address", "127.0.0.1", nil, nil, "http/1.1", nil},
		{"name", "example.com", nil, nil, "http/1.1", nil},
		{"upper case", "EXAMPLE.com", nil, nil, "http/1.1", nil},
		{"h2 offered", "example.com", []string{"h2", "http/1.1"}, nil, "h2", nil},
		{"server name set", "wrong.example", nil, func(c *tls.Config) { c.ServerName = "example.com" }, "http/1.1", nil},
		{"wrong host", "wrong.example", nil, nil, "", is[x509.HostnameError]},
		{"unknown authority", "example.com", nil, func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }, "", is[x509.UnknownAuthorityError]},
		{"expired", "example.com", nil, func(c *tls.Config) { c.Time = func() time.Time { return time.Unix(1<<33, 0) } }, "", is[x509.CertificateInvalidError]},
		{"insecure", "wrong.example", nil, func(c *tls.Config) { c.InsecureSkipVerify = true }, "http/1.1", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config := client.Clone()
			if tc.config != nil {
				tc.config(config)
			}
			d := &dial.Dialer{Proxy: engine.NoProxy, TLS: config, NextProtos: tc.protos, Hosts: hosts}
			if tc.as != nil {
				err := tryConnect(t.Context(), t, d, "https://"+tc.host+":"+port)
				if op(err) != engine.OpTLS || !tc.as(err) {
					t.Errorf("error = %v (%T)", err, errors.Unwrap(err))
				}
				return
			}
			c := connect(t, d, "https://"+tc.host+":"+port)
			pong(t, c)
			if c.Proto != tc.proto || c.Info.TLS == nil || !c.Info.TLS.HandshakeComplete {
				t.Errorf("proto = %q, TLS = %+v", c.Proto, c.Info.TLS)
			}
		})
	}
}

func TestTLSResumption(t *testing.T) {
	server, client := certificates(t)
	l := serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server), echo)
	d := &dial.Dialer{Proxy: engine.NoProxy, TLS: client}
	for i, want := range []bool{false, true} {
		c := connect(t, d, "https://"+l.Addr().String())
		pong(t, c) // the ticket comes with the first bytes
		if c.Info.TLS.DidResume != want {
			t.Errorf("connection %d resumed = %v", i, c.Info.TLS.DidResume)
		}
	}
	if client.ClientSessionCache != nil {
		t.Error("the caller's tls.Config was changed")
	}
}

func TestTLSWithPlainServer(t *testing.T) {
	for _, tc := range []struct{ name, answer, want string }{
		{"http", "HTTP/1.1 400 Bad Request\r\n\r\n", "plain HTTP"},
		{"other", "220 mail.example ESMTP", "does not speak TLS"},
		{"closed", "", "EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(c net.Conn) {
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, tc.answer)
			})
			err := tryConnect(t.Context(), t, &dial.Dialer{Proxy: engine.NoProxy}, "https://"+l.Addr().String())
			if op(err) != engine.OpTLS || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want Op tls and %q", err, tc.want)
			}
		})
	}
}

// TestTimeout: no limit may be reported as anything but itself.
func TestTimeout(t *testing.T) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), silent)
	d := &dial.Dialer{Proxy: engine.NoProxy, Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, errors.New("lookup gave up")
	}}
	own := errors.New("own reason")
	for _, tc := range []struct {
		name, url string
		timeout   time.Duration
		ctx       func(context.Context) (context.Context, context.CancelFunc)
		op        engine.Op
		want      error
	}{
		{"tls, timeout", "https://" + l.Addr().String(), 20 * time.Millisecond, nil, engine.OpTLS, context.DeadlineExceeded},
		{"dns, timeout", "http://slow.example", 20 * time.Millisecond, nil, engine.OpDNS, context.DeadlineExceeded},
		{"tls, cancelled", "https://" + l.Addr().String(), 0, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			timer := time.AfterFunc(20*time.Millisecond, func() { cancel(own) })
			return ctx, func() { timer.Stop() }
		}, engine.OpTLS, own},
		{"dns, deadline", "http://slow.example", time.Hour, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, 20*time.Millisecond, own)
		}, engine.OpDNS, own},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := t.Context(), func() {}
			if tc.ctx != nil {
				ctx, cancel = tc.ctx(ctx)
			}
			defer cancel()
			_, err := d.Connect(ctx, route(t, d, tc.url), tc.timeout, nil)
			if op(err) != tc.op || !errors.Is(err, tc.want) {
				t.Fatalf("error = %v, want Op %s and %v", err, tc.op, tc.want)
			}
			timeout, ok := errors.AsType[*engine.TimeoutError](err)
			if ok != (tc.ctx == nil) {
				t.Errorf("error = %#v", err)
			}
			if ok && (timeout.Kind != engine.KindConnect || timeout.Limit != tc.timeout) {
				t.Errorf("timeout = %+v", timeout)
			}
		})
	}
}

func TestDialControl(t *testing.T) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), echo)
	denied := errors.New("address is not allowed")
	var mu sync.Mutex
	var seen []string
	var answer error
	d := &dial.Dialer{Proxy: engine.NoProxy, Attempts: 3, FallbackDelay: time.Hour, Hosts: map[string]string{"a.example": "127.0.0.1"},
		Control: func(_ context.Context, network, address string, c syscall.RawConn) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, network+" "+address)
			return answer
		}}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	pong(t, connect(t, d, "http://a.example:"+port))
	answer = denied
	if err := tryConnect(t.Context(), t, d, "http://a.example:"+port); !errors.Is(err, denied) || op(err) != engine.OpConnect {
		t.Errorf("error = %v", err)
	}
	if want := "tcp4 " + l.Addr().String(); !slices.Equal(seen, []string{want, want}) {
		t.Errorf("control saw %q, want %q twice: a refusal is final", seen, want)
	}
}

func TestLocalAddr(t *testing.T) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), echo)
	d := &dial.Dialer{Proxy: engine.NoProxy, LocalAddr: netip.MustParseAddr("127.0.0.3")}
	c := connect(t, d, "http://"+l.Addr().String())
	if host, _, _ := net.SplitHostPort(c.Info.Local.String()); host != "127.0.0.3" {
		t.Skipf("this system binds to %s instead", host)
	}
	if err := tryConnect(t.Context(), t, d, "http://[::1]:9"); op(err) != engine.OpConnect || !strings.Contains(err.Error(), "127.0.0.3") {
		t.Errorf("error = %v, want one that names the local address", err)
	}
}

// TestTCPOptions: what the socket has at last, after what net sets of its own.
func TestTCPOptions(t *testing.T) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), echo)
	for _, tc := range []struct {
		name                  string
		keepAlive             net.KeepAliveConfig
		delay                 bool
		probes, idle, noDelay int
	}{
		{"defaults", net.KeepAliveConfig{}, false, 1, 15, 1},
		{"probes", net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second}, false, 1, 77, 1},
		{"no probes", net.KeepAliveConfig{Idle: -1}, false, 0, -1, 1},
		{"delay", net.KeepAliveConfig{}, true, 1, 15, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := &dial.Dialer{Proxy: engine.NoProxy, KeepAlive: tc.keepAlive, Delay: tc.delay}
			c := connect(t, d, "http://"+l.Addr().String())
			raw, err := socket.TCP(c.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			probes, idle, noDelay := testpeer.SocketOptions(t, raw)
			if probes != tc.probes || noDelay != tc.noDelay || tc.idle >= 0 && idle != tc.idle {
				t.Errorf("SO_KEEPALIVE %d, TCP_KEEPIDLE %d, TCP_NODELAY %d", probes, idle, noDelay)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	for _, tc := range []struct{ name, url, key, value, want string }{
		{"host", "http://a.example", "a.example", "192.0.2.1", "192.0.2.1:80"},
		{"host and port", "https://a.example", "a.example:443", "192.0.2.1", "192.0.2.1:443"},
		{"other port", "http://a.example", "a.example:443", "192.0.2.1", "a.example:80"},
		{"to another port", "http://a.example", "a.example", "192.0.2.1:8080", "192.0.2.1:8080"},
		{"IPv6", "http://a.example:1", "a.example", "2001:db8::1", "[2001:db8::1]:1"},
		{"IPv6 in brackets", "http://a.example:1", "a.example", "[2001:db8::1]", "[2001:db8::1]:1"},
		{"IPv6 and port", "http://a.example:1", "a.example", "[2001:db8::1]:2", "[2001:db8::1]:2"},
		{"name", "http://A.example:1", "a.example", "b.example", "b.example:1"},
		{"final dot", "http://a.example.", "a.example", "192.0.2.1", "192.0.2.1:80"},
		{"IPv4 in IPv6", "http://[::ffff:192.0.2.9]", "192.0.2.9", "192.0.2.1", "192.0.2.1:80"},
		{"IPv6 key", "http://[2001:DB8:0::1]:1", "2001:db8::1", "192.0.2.1", "192.0.2.1:1"},
		{"IPv6 and port as key", "http://[2001:DB8:0::1]:1", "[2001:db8::1]:1", "192.0.2.1", "192.0.2.1:1"},
		{"empty", "http://a.example", "a.example", "", "error"},
		{"a URL", "http://a.example", "a.example", "http://b.example", "error"},
		{"bad port", "http://a.example", "a.example", "b.example:99999", "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := "error"
			stop := errors.New("seen")
			d := &dial.Dialer{Proxy: engine.NoProxy, Hosts: map[string]string{tc.key: tc.value},
				Dial: func(_ context.Context, _, address string) (net.Conn, error) {
					got = address
					return nil, stop
				}}
			r := route(t, d, tc.url)
			r.TLS = false
			if _, err := d.Connect(t.Context(), r, 0, nil); op(err) != engine.OpConnect {
				t.Errorf("error = %v", err)
			}
			if got != tc.want {
				t.Errorf("dialled %s, want %s", got, tc.want)
			}
		})
	}
}

func TestRoute(t *testing.T) {
	for _, tc := range []struct {
		name, url, proxy string
		want             dial.Route
		text             string
		err              string
	}{
		{name: "plain", url: "http://A.example/x", want: dial.Route{Addr: "a.example:80"}, text: "http://a.example:80"},
		{name: "tls", url: "https://a.example", want: dial.Route{TLS: true, Addr: "a.example:443"}, text: "https://a.example:443"},
		{name: "port", url: "https://a.example:8443", want: dial.Route{TLS: true, Addr: "a.example:8443"}, text: "https://a.example:8443"},
		{name: "IPv6", url: "http://[2001:DB8::1]", want: dial.Route{Addr: "[2001:db8::1]:80"}, text: "http://[2001:db8::1]:80"},
		{name: "proxy", url: "http://a.example", proxy: "http://Proxy.example", want: dial.Route{Addr: "a.example:80", Proxy: "http://proxy.example:80"},
			text: "http://a.example:80 by http://proxy.example:80"},
		{name: "proxy with password", url: "https://a.example", proxy: "SOCKS5h://u:p%40ss@proxy.example/ignored?x",
			want: dial.Route{TLS: true, Addr: "a.example:443", Proxy: "socks5h://u:p%40ss@proxy.example:1080"},
			text: "https://a.example:443 by socks5h://proxy.example:1080"},
		{name: "ftp", url: "ftp://a.example", err: `build: scheme "ftp" in the URL is neither http nor https`},
		{name: "no host", url: "http:///x", err: `build: the URL "http:///x" has no host`},
		{name: "unknown proxy", url: "http://a.example", proxy: "ftp://u:secret@p", err: `proxy: proxies of scheme "ftp" are unknown; there are http, https, socks4, socks4a, socks5 and socks5h`},
		{name: "proxy by an international name", url: "http://a.example", proxy: "http://prö.example:3128", want: dial.Route{Addr: "a.example:80", Proxy: "http://xn--pr-gka.example:3128"},
			text: "http://a.example:80 by http://xn--pr-gka.example:3128"},
		{name: "proxy with an underscore", url: "http://a.example", proxy: "http://My_Proxy", want: dial.Route{Addr: "a.example:80", Proxy: "http://my_proxy:80"},
			text: "http://a.example:80 by http://my_proxy:80"},
		{name: "proxy's port too high", url: "http://a.example", proxy: "http://u:secret@p:99999", err: `proxy: the proxy's URL, http://host:port: port "99999" is not one of 1 to 65535`},
		{name: "proxy without host but port", url: "http://a.example", proxy: "http://u:secret@:3128", err: "proxy: the proxy's URL has no host: http://host:port is what it should look like"},
		{name: "proxy without host", url: "http://a.example", proxy: "http://u:secret@/", err: "proxy: the proxy's URL has no host: http://host:port is what it should look like"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			choose := engine.NoProxy
			if tc.proxy != "" {
				choose = engine.FixedProxy(parse(t, tc.proxy))
			}
			got, err := (&dial.Dialer{Proxy: choose}).Route(&engine.Request{URL: parse(t, tc.url)})
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("error = %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil || got != tc.want || got.String() != tc.text {
				t.Errorf("route = %+v (%s), %v; want %+v (%s)", got, got, err, tc.want, tc.text)
			}
		})
	}
}

// TestRouteBadProxy: what no parser returns.
func TestRouteBadProxy(t *testing.T) {
	for _, host := range []string{"h\r\nX: y", "a b", "a/b"} {
		d := &dial.Dialer{Proxy: engine.FixedProxy(&url.URL{Scheme: "http", Host: host})}
		if r, err := d.Route(&engine.Request{URL: parse(t, "http://a.example")}); op(err) != engine.OpProxy {
			t.Errorf("%q: %v, %v", host, r, err)
		}
	}
}

// TestRouteHost: a Host field that names another origin gets there by a tunnel
// only, since a proxy that forwards goes by the URL (RFC 9112 §3.2.2).
func TestRouteHost(t *testing.T) {
	d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "http://p"))}
	for _, tc := range []struct {
		url, host string
		tunnel    bool
	}{
		{"http://a.example", "a.example", false},
		{"http://a.example", "A.example:80", false},
		{"http://a.example:81", "a.example:81", false},
		{"http://a.example:81", "a.example", true},
		{"http://a.example", "b.example", true},
		{"http://a.example", "", true},
		{"https://a.example", "b.example", false},
	} {
		r, err := d.Route(&engine.Request{URL: parse(t, tc.url), Header: header.New("Host", tc.host)})
		if err != nil || r.Tunnel != tc.tunnel {
			t.Errorf("%s with Host %q: %+v, %v; want tunnel = %v", tc.url, tc.host, r, err, tc.tunnel)
		}
	}
}

// TestRouteTunnel: a dialer that tunnels all gives a field's credentials to the
// proxy, as for every tunnel.
func TestRouteTunnel(t *testing.T) {
	d := &dial.Dialer{Proxy: engine.FixedProxy(&url.URL{Scheme: "HTTP", Host: "p"}), Tunnel: true}
	fields := header.New("Proxy-Authorization", "Basic dTpw")
	r, err := d.Route(&engine.Request{URL: parse(t, "http://a.example"), Header: fields})
	if err != nil || !r.Tunnel || r.Forwards() || r.Proxy != "http://u:p@p:80" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCanonicalHosts(t *testing.T) {
	for _, tc := range []struct {
		key, value, want, err string
	}{
		{key: "a.example", value: "192.0.2.1", want: "a.example"},
		{key: "A.Example:80", value: "b.example:8080", want: "a.example:80"},
		{key: "bücher.example", value: "[2001:db8::1]:80", want: "xn--bcher-kva.example"},
		{key: "[2001:DB8::1]", value: "[::1]", want: "2001:db8::1"},
		{key: "2001:db8:0::1", value: "::1", want: "2001:db8::1"},
		{key: "[2001:DB8::1]:80", value: "h", want: "[2001:db8::1]:80"},
		{key: "a.example.", value: "b.example.", want: "a.example"},
		{key: "a.example:080", value: "h:080", want: "a.example:80"},
		{key: "::ffff:192.0.2.1", value: "h", want: "192.0.2.1"},
		{key: "*.example", value: "h", want: "*.example", err: `key "*.example": "*.example": there are no patterns`},
		{key: "*:443", value: "h", want: "*:443", err: "no patterns"},
		{key: "a.example", value: "http://b.example", want: "a.example", err: `value for "a.example": "http://b.example" is neither a host nor a host:port`},
		{key: "a.example", value: ":8080", want: "a.example", err: `value for "a.example": there is no host`},
		{key: "a.example", value: "h:", want: "a.example", err: `port "" is not one of 1 to 65535`},
		{key: "a.example", value: "h:99999", want: "a.example", err: `port "99999" is not`},
		{key: "a.example", value: "", want: "a.example", err: "there is no host"},
		{key: "a.example", value: "b c", want: "a.example", err: `"b c" is not the name of a host`},
		{key: "https://a.example", value: "::1", want: "https://a.example", err: `key "https://a.example"`},
		{key: "", value: "::1", want: "", err: `key "": there is no host`},
	} {
		got, err := dial.CanonicalHosts(map[string]string{tc.key: tc.value})
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%q: %v, want %q", tc.key, err, tc.err)
		}
		if value, ok := got[tc.want]; !ok || value != tc.value || len(got) != 1 {
			t.Errorf("%q became %v, want %q", tc.key, got, tc.want)
		}
	}
	if _, err := dial.CanonicalHosts(map[string]string{"A": "h", "a": "h"}); err == nil || !strings.Contains(err.Error(), `key "a"`) {
		t.Errorf("twice the same: %v", err)
	}
}

func TestRouteAsksTheRequestFirst(t *testing.T) {
	d := &dial.Dialer{Proxy: func(*url.URL) (*url.URL, error) { return nil, errors.New("asked") }}
	req := &engine.Request{URL: parse(t, "http://a.example"), Proxy: engine.NoProxy}
	if r, err := d.Route(req); err != nil || r.Proxy != "" {
		t.Errorf("route = %v, %v", r, err)
	}
	req.Proxy = nil
	if _, err := d.Route(req); op(err) != engine.OpProxy || err.Error() != "proxy: asked" {
		t.Errorf("error = %v", err)
	}
}

func op(err error) engine.Op {
	if e, ok := errors.AsType[*engine.OpError](err); ok {
		return e.Op
	}
	return ""
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
