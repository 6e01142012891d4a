package dial_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
)

// script plays a proxy: it compares what it reads with the hexadecimal strings
// at even places, answers with those at odd ones, and then goes on as next.
func script(t *testing.T, next func(net.Conn), steps ...string) func(net.Conn) {
	return func(c net.Conn) {
		for i, step := range steps {
			want, err := hex.DecodeString(strings.ReplaceAll(step, " ", ""))
			if err != nil {
				t.Error(err)
			}
			if i%2 == 1 {
				_, _ = c.Write(want)
				continue
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != string(want) {
				t.Errorf("step %d: proxy read % x (%v), want % x", i, got, err, want)
				return
			}
		}
		next(c)
	}
}

// httpProxy answers CONNECT with answer and goes on as next; heads gets what it
// read.
func httpProxy(heads chan<- string, answer string, next func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		var head strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		heads <- head.String()
		_, _ = io.WriteString(c, answer)
		next(&readerConn{c, r})
	}
}

type readerConn struct {
	net.Conn
	r io.Reader
}

func (c *readerConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// secured answers TLS and echoes.
func secured(config *tls.Config) func(net.Conn) {
	return func(c net.Conn) { echo(tls.Server(c, config)) }
}

func TestForwardProxy(t *testing.T) {
	server, client := certificates(t)
	plain := serve(t, listen(t, "tcp", "127.0.0.1:0"), echo)
	overTLS := serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server), echo)
	for _, tc := range []struct{ name, proxy, auth string }{
		{"http", "http://" + plain.Addr().String(), ""},
		{"http with credentials", "http://us%20er:pa%3Ass@" + plain.Addr().String(), "Basic dXMgZXI6cGE6c3M="},
		{"https", "https://u@" + overTLS.Addr().String(), "Basic dTo="},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, tc.proxy)), TLS: client}
			c := connect(t, d, "http://origin.invalid/")
			pong(t, c)
			if !c.Forward || c.ProxyAuthorization != tc.auth || c.Info.TLS != nil {
				t.Errorf("conn = %+v", c)
			}
			if p := c.Info.Proxy; p == nil || p.User != nil || p.Host != c.Info.Remote.String() {
				t.Errorf("proxy = %v", p)
			}
		})
	}
}

func TestConnectProxy(t *testing.T) {
	server, client := certificates(t)
	for _, tc := range []struct{ name, scheme, user, auth, answer string }{
		{"plain", "http", "", "", "HTTP/1.1 200 OK\r\n\r\n"},
		{"bare LF", "http", "", "", "HTTP/1.1 200 OK\nX: y\n\n"},
		{"credentials", "http", "u:p@", "Proxy-Authorization: Basic dTpw\r\n", "HTTP/1.0 200 Connection established\r\nX: y\r\n\r\n"},
		{"by TLS", "https", "", "", "HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\n"},
		{"after a 1xx", "http", "", "", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nA: b\r\n\r\nHTTP/1.1 200\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			heads := make(chan string, 1)
			var l net.Listener = listen(t, "tcp", "127.0.0.1:0")
			if tc.scheme == "https" {
				l = tls.NewListener(l, server)
			}
			serve(t, l, httpProxy(heads, tc.answer, secured(server)))
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, tc.scheme+"://"+tc.user+l.Addr().String())), TLS: client}
			c := connect(t, d, "https://example.com/")
			pong(t, c)
			if want := "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n" + tc.auth + "\r\n"; <-heads != want {
				t.Errorf("the proxy did not read %q", want)
			}
			if c.Forward || c.ProxyAuthorization != "" || c.Info.TLS == nil || c.Info.TLS.ServerName != "example.com" || c.Info.Proxy.Scheme != tc.scheme {
				t.Errorf("conn = %+v", c)
			}
		})
	}
}

func TestConnectRefused(t *testing.T) {
	const secret = "hunter2"
	for _, tc := range []struct{ name, answer, want string }{
		{"407", "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n", "CONNECT example.com:443 was refused: 407 Proxy Authentication Required; it does not take the credentials in its URL"},
		{"407 without credentials", "HTTP/1.1 407 No\r\n\r\n", "was refused: 407 No; put credentials into its URL"},
		{"bare LF", "HTTP/1.1 503 Busy\nX: y\n\n", "was refused: 503 Busy"},
		{"502", "HTTP/1.1 502 Bad\x1b[31m Gateway\r\nContent-Length: 3\r\n\r\nbad", "was refused: 502 Bad[31m Gateway"},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "was refused: 302 Found"},
		{"no reason", "HTTP/1.1 500\r\n\r\n", "was refused: 500"},
		{"not HTTP", "SSH-2.0-OpenSSH\r\n", `not an HTTP response: "SSH-2.0-`},
		{"bad status", "HTTP/1.1 2oo OK\r\n\r\n", "bad status line"},
		{"silence", "", "the proxy closed the connection during the handshake"},
		{"cut short", "HTTP/1.1 200 OK\r\nX: ", "the proxy closed the connection during the handshake"},
		{"upgrade", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "101 Switching Protocols to what was not asked for"},
		{"endless head", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 20000), "longer than 65536 bytes"},
		{"endless 1xx", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 4000), "longer than 65536 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			heads := make(chan string, 1)
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), httpProxy(heads, tc.answer, func(net.Conn) {}))
			userinfo := "user:" + secret + "@"
			if strings.HasSuffix(tc.name, "without credentials") {
				userinfo = ""
			}
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "http://"+userinfo+l.Addr().String()))}
			err := tryConnect(t.Context(), t, d, "https://example.com/")
			refusal, ok := errors.AsType[*engine.ProxyError](err)
			if !ok || refusal.Proxy != "http://"+l.Addr().String() {
				t.Fatalf("error = %v, want a *ProxyError that names the proxy", err)
			}
			if status, _ := strconv.Atoi(tc.name[:3]); status != 0 && refusal.Status != status {
				t.Errorf("status %d, want %d", refusal.Status, status)
			}
			if got := refusal.Header.Get("Proxy-Authenticate"); tc.name == "407" && got != "Basic realm=x" {
				t.Errorf("Proxy-Authenticate %q", got)
			}
			if op(err) != engine.OpProxy || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), l.Addr().String()) {
				t.Errorf("error = %v, want Op proxy and %q", err, tc.want)
			}
			for _, text := range []string{secret, "user", "dXNl"} {
				if strings.Contains(err.Error(), text) {
					t.Errorf("the error shows the credentials: %v", err)
				}
			}
		})
	}
}

// TestTunnelBegins: what follows the head of a 2xx is the origin's, and there are
// protocols in which the server speaks first.
func TestTunnelBegins(t *testing.T) {
	server, client := certificates(t)
	for _, answer := range []string{
		"HTTP/1.1 200\n\nhello",
		"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\nhello",
		"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
	} {
		for scheme, config := range map[string]*tls.Config{"http": nil, "https": server} {
			l := listen(t, "tcp", "127.0.0.1:0")
			if config != nil {
				l = tls.NewListener(l, config)
			}
			serve(t, l, httpProxy(make(chan string, 1), answer, echo))
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, scheme+"://"+l.Addr().String())), TLS: client, Tunnel: true}
			c := connect(t, d, "http://example.com")
			got := make([]byte, 5)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
				t.Errorf("%q by %s: %q, %v", answer, scheme, got, err)
			}
			pong(t, c)
		}
	}
}

func TestSOCKS(t *testing.T) {
	resolve := addrs("2001:db8::9 192.0.2.7")
	for _, tc := range []struct {
		name, proxy, origin string
		steps               []string
	}{
		{"4 with an address", "socks4://%s", "http://192.0.2.1:80", []string{"04 01 0050 c0000201 00", "00 5a 0000 00000000"}},
		{"4 looks up IPv4", "socks4://%s", "http://a.example", []string{"04 01 0050 c0000207 00", "00 5a 0000 00000000"}},
		{"4 with a user", "socks4://me@%s", "http://192.0.2.1:8080", []string{"04 01 1f90 c0000201 6d65 00", "00 5a 0000 00000000"}},
		{"4a with a name", "socks4a://%s", "http://a.example", []string{"04 01 0050 00000001 00 612e6578616d706c65 00", "00 5a 0000 00000000"}},
		{"4a with an address", "socks4a://%s", "http://192.0.2.1", []string{"04 01 0050 c0000201 00", "00 5a 0000 00000000"}},
		{"5 looks up", "socks5://%s", "http://a.example", []string{"05 01 00", "05 00", "05 01 00 04 20010db8000000000000000000000009 0050", "05 00 00 01 00000000 0000"}},
		{"5 with IPv4", "socks5://%s", "http://192.0.2.1", []string{"05 01 00", "05 00", "05 01 00 01 c0000201 0050", "05 00 00 04 00000000000000000000000000000000 0000"}},
		{"5h with a name", "socks5h://%s", "http://a.example", []string{"05 01 00", "05 00", "05 01 00 03 09 612e6578616d706c65 0050", "05 00 00 03 03 616263 0000"}},
		{"5h with an address", "socks5h://%s", "http://192.0.2.1", []string{"05 01 00", "05 00", "05 01 00 01 c0000201 0050", "05 00 00 01 00000000 0000"}},
		{"5 with credentials", "socks5h://me:pw@%s", "http://192.0.2.1", []string{"05 02 00 02", "05 02", "01 02 6d65 02 7077", "01 00", "05 01 00 01 c0000201 0050", "05 00 00 01 00000000 0000"}},
		{"5 with credentials not wanted", "socks5h://me:pw@%s", "http://192.0.2.1", []string{"05 02 00 02", "05 00", "05 01 00 01 c0000201 0050", "05 00 00 01 00000000 0000"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), script(t, echo, tc.steps...))
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, fmt.Sprintf(tc.proxy, l.Addr()))), Resolve: resolve}
			c := connect(t, d, tc.origin)
			pong(t, c)
			if c.Forward || c.Info.Proxy.User != nil {
				t.Errorf("conn = %+v", c)
			}
		})
	}
}

func TestSOCKSWithTLS(t *testing.T) {
	server, client := certificates(t)
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), script(t, secured(server),
		"05 01 00", "05 00", "05 01 00 03 0b 6578616d706c652e636f6d 01bb", "05 00 00 01 00000000 0000"))
	d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "socks5h://"+l.Addr().String())), TLS: client}
	c := connect(t, d, "https://example.com")
	pong(t, c)
	if c.Info.TLS == nil {
		t.Error("no TLS")
	}
}

func TestSOCKSRefused(t *testing.T) {
	for _, tc := range []struct {
		name, proxy, origin string
		steps               []string
		want                string
	}{
		{"4", "socks4://%s", "http://192.0.2.1", []string{"04 01 0050 c0000201 00", "00 5b 0000 00000000"}, "connection to 192.0.2.1:80 was refused: request rejected or failed (91)"},
		{"4 with a password", "socks4://me:secret@%s", "http://192.0.2.1", nil, "SOCKS4 knows no password"},
		{"4 with IPv6", "socks4a://%s", "http://[2001:db8::1]", nil, "2001:db8::1 is not an IPv4 address"},
		{"4, other protocol", "socks4://%s", "http://192.0.2.1", []string{"04 01 0050 c0000201 00", "485454502f312e31"}, `"HTTP/1.1" is not a SOCKS4 reply`},
		{"4, cut short", "socks4://%s", "http://192.0.2.1", []string{"04 01 0050 c0000201 00", "00 5a"}, "closed the connection during the handshake"},
		{"5", "socks5://%s", "http://192.0.2.1", []string{"05 01 00", "05 00", "05 01 00 01 c0000201 0050", "05 05 00 01 00000000 0000"}, "was refused: connection refused (5)"},
		{"5, unknown code", "socks5://%s", "http://192.0.2.1", []string{"05 01 00", "05 00", "05 01 00 01 c0000201 0050", "05 2a 00 01"}, "unknown code (42)"},
		{"5, wants credentials", "socks5://%s", "http://192.0.2.1", []string{"05 01 00", "05 ff"}, "the proxy wants authentication"},
		{"5, wrong credentials", "socks5://me:secret@%s", "http://192.0.2.1", []string{"05 02 00 02", "05 02", "01 02 6d65 06 736563726574", "01 01"}, "the proxy refused user or password"},
		{"5, neither method", "socks5://me:secret@%s", "http://192.0.2.1", []string{"05 02 00 02", "05 ff"}, "accepts neither"},
		{"5, other version of credentials", "socks5://me:secret@%s", "http://192.0.2.1", []string{"05 02 00 02", "05 02", "01 02 6d65 06 736563726574", "09 00"}, `"\t\x00" is not an answer to user and password`},
		{"5, method not offered", "socks5://%s", "http://192.0.2.1", []string{"05 01 00", "05 02"}, "authentication method 2, which was not offered"},
		{"5, other protocol", "socks5://%s", "http://192.0.2.1", []string{"05 01 00", "4854"}, `"HT" is not a SOCKS5 reply`},
		{"5, address type", "socks5://%s", "http://192.0.2.1", []string{"05 01 00", "05 00", "05 01 00 01 c0000201 0050", "05 00 00 09"}, "address type 9 is unknown"},
		{"5, cut short", "socks5://%s", "http://192.0.2.1", []string{"05 01 00"}, "closed the connection during the handshake"},
		{"5, long password", "socks5://u:" + strings.Repeat("secret", 50) + "@%s", "http://192.0.2.1", nil, "longer than the 255 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), script(t, func(net.Conn) {}, tc.steps...))
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, fmt.Sprintf(tc.proxy, l.Addr())))}
			err := tryConnect(t.Context(), t, d, tc.origin)
			if op(err) != engine.OpProxy || !is[*engine.ProxyError](err) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v, want Op proxy, a *ProxyError and %q", err, tc.want)
			}
		})
	}
}

func TestSOCKSLookupFails(t *testing.T) {
	broken := errors.New("no such name")
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), silent)
	d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "socks5://"+l.Addr().String())),
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, broken }}
	if err := tryConnect(t.Context(), t, d, "http://a.example"); op(err) != engine.OpDNS || !errors.Is(err, broken) {
		t.Errorf("error = %v, want Op dns", err)
	}
}

// TestSilentProxy: a proxy that never answers costs no more than the timeout.
func TestSilentProxy(t *testing.T) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), silent)
	for scheme := range strings.FieldsSeq("http https socks4 socks4a socks5 socks5h") {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprint(scheme, " cancelled=", cancelled), func(t *testing.T) {
				d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, scheme+"://"+l.Addr().String()))}
				want := engine.OpProxy
				if scheme == "https" {
					want = engine.OpTLS
				}
				ctx, cancel := context.WithCancel(t.Context())
				timeout := 100 * time.Millisecond // time enough to connect
				if cancelled {
					timeout = 0
					timer := time.AfterFunc(100*time.Millisecond, cancel)
					defer timer.Stop()
				}
				defer cancel()
				_, err := d.Connect(ctx, route(t, d, "https://192.0.2.1"), timeout, nil)
				if op(err) != want || errors.Is(err, context.Canceled) != cancelled || is[*engine.TimeoutError](err) == cancelled {
					t.Errorf("error = %v", err)
				}
				if is[*engine.ProxyError](err) == cancelled {
					t.Errorf("%v: a silent proxy is to blame, and only for a timeout", err)
				}
			})
		}
	}
}

func TestProxyUnreachable(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	l.Close()
	d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "http://u:secret@"+l.Addr().String()))}
	err := tryConnect(t.Context(), t, d, "https://a.example")
	if op(err) != engine.OpConnect || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "proxy http://"+l.Addr().String()) {
		t.Errorf("error = %v, want Op connect and the proxy", err)
	}
	d.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such name") }
	for _, url := range []string{"http://a.example", "https://a.example"} {
		d.Proxy = engine.FixedProxy(parse(t, "http://nowhere.example"))
		if err := tryConnect(t.Context(), t, d, url); op(err) != engine.OpDNS || !is[*engine.ProxyError](err) {
			t.Errorf("%s: error = %v, want Op dns and a *ProxyError", url, err)
		}
	}
}

// TestProxyCertificate: whose certificate is bad can be told.
func TestProxyCertificate(t *testing.T) {
	server, _ := certificates(t)
	l := serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server), echo)
	for _, tc := range []struct {
		proxy engine.ProxyFunc
		url   string
		blame bool
	}{
		{engine.FixedProxy(parse(t, "https://"+l.Addr().String())), "http://a.example", true},
		{engine.NoProxy, "https://" + l.Addr().String(), false},
	} {
		err := tryConnect(t.Context(), t, &dial.Dialer{Proxy: tc.proxy}, tc.url)
		if op(err) != engine.OpTLS || !is[x509.UnknownAuthorityError](err) || is[*engine.ProxyError](err) != tc.blame {
			t.Errorf("%s: error = %v, the proxy's fault: %v", tc.url, err, tc.blame)
		}
	}
}

// TestProxyName: a check of certificates is told whose it looks at.
func TestProxyName(t *testing.T) {
	server, client := certificates(t)
	l := serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server),
		httpProxy(make(chan string, 1), "HTTP/1.1 200 OK\r\n\r\n", secured(server)))
	var told []string
	client.ServerName = "example.com"
	client.VerifyConnection = func(state tls.ConnectionState) error {
		told = append(told, state.ServerName)
		return nil
	}
	pong(t, connect(t, &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "https://"+l.Addr().String())), TLS: client}, "https://192.0.2.1"))
	if want := []string{"127.0.0.1", "example.com"}; !slices.Equal(told, want) {
		t.Errorf("VerifyConnection was told %q, want %q", told, want)
	}
}

// TestSOCKSNextAddress: of several addresses that are looked up here, the proxy is
// asked for one after the other, as long as its answer is about the address.
func TestSOCKSNextAddress(t *testing.T) {
	const six, four = "05 01 00 04 20010db8000000000000000000000001 0050", "05 01 00 01 c0000201 0050"
	for _, tc := range []struct {
		name, proxy string
		asked       [][]string // by connection
		want        string     // of the error; "" = success
	}{
		{"5: network unreachable", "socks5", [][]string{{"05 01 00", "05 00", six, "05 03 00 01"}, {"05 01 00", "05 00", four, "05 00 00 01 00000000 0000"}}, ""},
		{"5: address type", "socks5", [][]string{{"05 01 00", "05 00", six, "05 08 00 01"}, {"05 01 00", "05 00", four, "05 00 00 01 00000000 0000"}}, ""},
		{"5: not allowed", "socks5", [][]string{{"05 01 00", "05 00", six, "05 02 00 01"}}, "not allowed by the rules (2)"},
		{"5: none", "socks5", [][]string{{"05 01 00", "05 00", six, "05 05 00 01"}, {"05 01 00", "05 00", four, "05 04 00 01"}}, "none of 2 addresses could be reached: connection to [2001:db8::1]:80 was refused: connection refused (5); connection to 192.0.2.1:80 was refused: host unreachable (4)"},
		{"4: IPv4 only", "socks4", [][]string{{"04 01 0050 c0000201 00", "00 5b 0000 00000000"}}, "rejected or failed (91)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var came atomic.Int32
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(c net.Conn) {
				if n := int(came.Add(1)); n <= len(tc.asked) {
					script(t, echo, tc.asked[n-1]...)(c)
				}
			})
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, tc.proxy+"://"+l.Addr().String())), Resolve: addrs("2001:db8::1 192.0.2.1")}
			if tc.want == "" {
				pong(t, connect(t, d, "http://a.example"))
			} else if err := tryConnect(t.Context(), t, d, "http://a.example"); op(err) != engine.OpProxy || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want Op proxy and %q", err, tc.want)
			}
			if n := int(came.Load()); n != len(tc.asked) {
				t.Errorf("%d connections, want %d", n, len(tc.asked))
			}
		})
	}
}

// TestSOCKSManyAddresses: a name with many addresses does not keep the proxy busy,
// nor does it fill the error.
func TestSOCKSManyAddresses(t *testing.T) {
	var came atomic.Int32
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), func(c net.Conn) {
		came.Add(1)
		buf := make([]byte, 64)
		for _, reply := range []string{"\x05\x00", "\x05\x05\x00\x01"} {
			if _, err := c.Read(buf); err != nil {
				return
			}
			io.WriteString(c, reply)
		}
	})
	d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "socks5://"+l.Addr().String())), Resolve: addrs(strings.Repeat("192.0.2.1 ", 100))}
	err := tryConnect(t.Context(), t, d, "http://a.example")
	if n := came.Load(); op(err) != engine.OpProxy || n != 16 || len(err.Error()) > 600 {
		t.Errorf("%d connections, %v", n, err)
	}
}

// TestProxyDenied: whether to ask again can be told.
func TestProxyDenied(t *testing.T) {
	for _, tc := range []struct {
		proxy  string
		steps  []string
		denied bool
	}{
		{"socks5://", []string{"05 01 00", "05 ff"}, true},
		{"socks5://me:secret@", []string{"05 02 00 02", "05 ff"}, true},
		{"socks5://", []string{"05 01 00", "05 00", "05 01 00 01 c0000201 0050", "05 02 00 01"}, true},
		{"socks5://", []string{"05 01 00", "05 00", "05 01 00 01 c0000201 0050", "05 01 00 01"}, false},
		{"socks4://", []string{"04 01 0050 c0000201 00", "00 5d 0000 00000000"}, true},
		{"socks4://", []string{"04 01 0050 c0000201 00", "00 5b 0000 00000000"}, false},
	} {
		l := serve(t, listen(t, "tcp", "127.0.0.1:0"), script(t, echo, tc.steps...))
		d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, tc.proxy+l.Addr().String()))}
		if err := tryConnect(t.Context(), t, d, "http://192.0.2.1"); op(err) != engine.OpProxy || errors.Is(err, engine.ErrProxyDenied) != tc.denied {
			t.Errorf("%s: %v; want denied = %v", tc.proxy, err, tc.denied)
		}
	}
	for status, denied := range map[int]bool{403: true, 407: true, 404: false, 502: false, 503: false} {
		if errors.Is(&engine.ProxyError{Status: status, Err: io.EOF}, engine.ErrProxyDenied) != denied {
			t.Errorf("%d: want denied = %v", status, denied)
		}
	}
}

// TestSOCKSHosts: overrides hold for names that are looked up here, and only for
// those.
func TestSOCKSHosts(t *testing.T) {
	for _, tc := range []struct{ proxy, request string }{
		{"socks5", "05 01 00 01 c0000205 1f90"},
		{"socks5h", "05 01 00 03 09 612e6578616d706c65 0050"},
	} {
		t.Run(tc.proxy, func(t *testing.T) {
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), script(t, echo, "05 01 00", "05 00", tc.request, "05 00 00 01 00000000 0000"))
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, tc.proxy+"://"+l.Addr().String())), Hosts: map[string]string{"a.example": "192.0.2.5:8080"},
				Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
					return nil, errors.New("asked for " + host)
				}}
			pong(t, connect(t, d, "http://a.example"))
		})
	}
}

// TestTunnelTarget: a zone means nothing to a proxy, and what is no name does not
// get to it.
func TestTunnelTarget(t *testing.T) {
	for _, tc := range []struct{ proxy, host, want string }{
		{"http", "[fe80::1%25eth0]", "CONNECT [fe80::1]:80 HTTP/1.1\r\n"},
		{"http", "[fe80::1%25a%20b]", "CONNECT [fe80::1]:80 HTTP/1.1\r\n"},
		{"http", "a b", ""},
		{"http", "a\r\nX: y", ""},
		{"socks5h", "a b", ""},
	} {
		t.Run(tc.host, func(t *testing.T) {
			heads := make(chan string, 1)
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), httpProxy(heads, "HTTP/1.1 200 OK\r\n\r\n", echo))
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, tc.proxy+"://"+l.Addr().String())), Tunnel: true}
			u := &url.URL{Scheme: "http", Host: tc.host}
			if tc.want != "" {
				u = parse(t, "http://"+tc.host)
			}
			r, err := d.Route(&engine.Request{URL: u})
			if err != nil {
				t.Fatal(err)
			}
			c, err := d.Connect(t.Context(), r, 0, nil)
			if err == nil {
				defer c.Close()
			}
			if tc.want == "" {
				if op(err) != engine.OpBuild {
					t.Errorf("error = %v, want Op build", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if head := <-heads; !strings.HasPrefix(head, tc.want) {
				t.Errorf("the proxy read %q, want %q", head, tc.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), echo)
	for _, name := range []string{"http_proxy", "all_proxy", "no_proxy", "ALL_PROXY", "REQUEST_METHOD"} {
		t.Setenv(name, "")
	}
	t.Setenv("HTTP_PROXY", "http://"+l.Addr().String())
	t.Setenv("NO_PROXY", "direct.example")
	d := &dial.Dialer{}
	pong(t, connect(t, d, "http://a.example"))
	t.Setenv("HTTP_PROXY", "http://192.0.2.1") // read once
	if c := connect(t, d, "http://a.example"); !c.Forward {
		t.Error("no proxy")
	}
	if r := route(t, d, "http://direct.example"); r.Proxy != "" {
		t.Errorf("route = %v, want a direct one", r)
	}
}

// TestTunnelCancelled: nobody waits for a farewell that a proxy does not take.
func TestTunnelCancelled(t *testing.T) {
	server, client := certificates(t)
	synctest.Test(t, func(t *testing.T) {
		asked, over := make(chan bool), make(chan bool)
		d := &dial.Dialer{TLS: client, Proxy: engine.FixedProxy(parse(t, "https://127.0.0.1:1")),
			Dial: func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				go func() {
					defer there.Close()
					secure := tls.Server(there, server)
					_, _ = secure.Read(make([]byte, 1000)) // the handshake and CONNECT
					close(asked)
					<-over
				}()
				return here, nil
			}}
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		go func() {
			<-asked
			synctest.Wait()
			cancel()
		}()
		_, err := d.Connect(ctx, route(t, d, "https://origin.test/"), 0, nil)
		close(over)
		if took := time.Since(began); !errors.Is(err, context.Canceled) || took > 0 {
			t.Errorf("%v after %v", err, took)
		}
	})
}
