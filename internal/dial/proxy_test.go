package dial_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
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
		{"407", "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "CONNECT example.com:443 was refused: 407 Proxy Authentication Required"},
		{"502", "HTTP/1.1 502 Bad\x1b[31m Gateway\r\nContent-Length: 3\r\n\r\nbad", "was refused: 502 Bad[31m Gateway"},
		{"redirect", "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "was refused: 302 Found"},
		{"no reason", "HTTP/1.1 500\r\n\r\n", "was refused: 500"},
		{"not HTTP", "SSH-2.0-OpenSSH\r\n", `"SSH-2.0-OpenSSH" is not the status line`},
		{"bad status", "HTTP/1.1 2oo OK\r\n\r\n", "is not the status line"},
		{"silence", "", "no answer to CONNECT: EOF"},
		{"cut short", "HTTP/1.1 200 OK\r\nX: ", "no answer to CONNECT: EOF"},
		{"bytes after the head", "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01", "bytes of its own"},
		{"endless head", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 20000), "longer than 65536 bytes"},
		{"endless 1xx", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 4000), "longer than 65536 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			heads := make(chan string, 1)
			l := serve(t, listen(t, "tcp", "127.0.0.1:0"), httpProxy(heads, tc.answer, func(net.Conn) {}))
			d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "http://user:"+secret+"@"+l.Addr().String()))}
			err := tryConnect(t.Context(), t, d, "https://example.com/")
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
			if op(err) != engine.OpProxy || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v, want Op proxy and %q", err, tc.want)
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
				timeout := 20 * time.Millisecond
				if cancelled {
					timeout = 0
					timer := time.AfterFunc(20*time.Millisecond, cancel)
					defer timer.Stop()
				}
				defer cancel()
				_, err := d.Connect(ctx, route(t, d, "https://192.0.2.1"), timeout, nil)
				if op(err) != want || errors.Is(err, context.Canceled) != cancelled || errors.Is(err, context.DeadlineExceeded) == cancelled {
					t.Errorf("error = %v", err)
				}
			})
		}
	}
}

func TestProxyUnreachable(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	l.Close()
	d := &dial.Dialer{Proxy: engine.FixedProxy(parse(t, "http://u:secret@"+l.Addr().String()))}
	if err := tryConnect(t.Context(), t, d, "https://a.example"); op(err) != engine.OpConnect || strings.Contains(err.Error(), "secret") {
		t.Errorf("error = %v, want Op connect", err)
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
