package interop_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/program"
)

func startTinyproxy(t *testing.T) (addr string) {
	return program.Server{Program: "tinyproxy", Package: "tinyproxy", Ports: 1, Args: func(dir string, addrs []string) []string {
		_, port, _ := net.SplitHostPort(addrs[0])
		return []string{"-d", "-c", write(t, dir, "tiny.conf", fmt.Sprintf(
			"Listen 127.0.0.1\nPort %s\nTimeout 30\nMaxClients 100\nLogLevel Error\nViaProxyName \"tiny\"\nBasicAuth ada secret\n", port))}
	}}.Start(t)[0]
}

// startSquid knows the names origin.test and direct.test, the user ada with the
// password secret, and speaks plain HTTP at the first address and TLS at the
// second.
func startSquid(t *testing.T, id *identity) (plain, secure string) {
	addrs := program.Server{Program: "squid", Package: "squid-openssl", Ports: 2, Args: func(dir string, addrs []string) []string {
		pem := write(t, dir, "pair.pem", string(id.pem))
		users := write(t, dir, "users", "ada:$apr1$godwit00$hiqBmGD5YKWZQ9c/pMA3H0\n")
		hosts := write(t, dir, "hosts", "127.0.0.1 origin.test direct.test localhost\n")
		return []string{"-N", "-f", write(t, dir, "squid.conf", fmt.Sprintf(`
http_port %s
https_port %s tls-cert=%s tls-key=%[3]s
auth_param basic program /usr/lib/squid/basic_ncsa_auth %[4]s
auth_param basic children 2 startup=1 idle=1
auth_param basic realm interop
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
hosts_file %[5]s
cache deny all
cache_mem 8 MB
max_filedescriptors 1024
access_log none
cache_log /dev/null
pid_filename none
netdb_filename none
coredump_dir none
pinger_enable off
visible_hostname squid.test
shutdown_lifetime 0 seconds
`, addrs[0], addrs[1], pem, users, hosts))}
	}}.Start(t)
	return addrs[0], addrs[1]
}

func via(proxy string) godwit.ClientOption { return godwit.Proxy(proxy) }

// proxied runs what every HTTP proxy must carry; is tells how it forwards.
func proxied(t *testing.T, e engine.Factory, id *identity, o *origin, proxy string, is ...trait) {
	plain, secure := at(t, o.plain.URL, "127.0.0.1"), at(t, o.secure.URL, "127.0.0.1")
	c := newClient(t, e, id, via(proxy))
	t.Run("forward", func(t *testing.T) {
		c := c
		if slices.Contains(is, abrupt) {
			c = newClient(t, e, id, via(proxy), godwit.Header("Connection", "close"))
		}
		battery(t, c, plain, is...)
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", plain+"/echo"))
		if err != nil || resp.Header.Get("Seen-Via") == "" {
			t.Errorf("the request did not go by the proxy: %v, %v", resp, err)
		} else if auth := resp.Header.Get("Seen-Proxy-Authorization"); auth != "" {
			t.Errorf("the origin has got the proxy's password: %s", auth)
		}
	})
	t.Run("CONNECT", func(t *testing.T) {
		battery(t, c, secure)
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", secure+"/echo"))
		if err != nil || resp.Header.Get("Seen-Proxy-Authorization") != "" || resp.TLS() == nil {
			t.Errorf("%v, %v", resp, err)
		}
	})
	for name, bad := range map[string]string{
		"wrong password": strings.Replace(proxy, "ada:secret", "ada:wrong", 1),
		"no password":    strings.Replace(proxy, "ada:secret@", "", 1),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, e, id, via(bad))
			// tinyproxy answers a wrong password with 401 instead of 407.
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", plain+"/echo"))
			if err != nil || resp.Status != 407 && resp.Status != 401 {
				t.Errorf("forward: %v, %v", resp, err)
			}
			_, err = c.Do(t.Context(), godwit.NewRequest("GET", secure+"/echo"))
			wantProxyError(t, err, "40")
		})
	}
	t.Run("origin is down", func(t *testing.T) {
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://127.0.0.1:1/"))
		if err != nil || resp.Status < 500 {
			t.Errorf("forward: %v, %v", resp, err)
		}
		_, err = c.Do(t.Context(), godwit.NewRequest("POST", "https://127.0.0.1:1/", godwit.Body(content.Bytes([]byte("x"), ""))))
		wantProxyError(t, err, "50")
	})
}

// wantProxyError: the proxy said no before anything was sent.
func wantProxyError(t *testing.T, err error, text string) {
	t.Helper()
	ge, ok := err.(*godwit.Error)
	if !ok || ge.Op != engine.OpProxy || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%T %v: want an error of the proxy with %q", err, err, text)
	}
}

func TestTinyproxy(t *testing.T) {
	id := newIdentity(t)
	o, proxy := newOrigin(t, id), startTinyproxy(t)
	onEngines(t, func(t *testing.T, e engine.Factory) { proxied(t, e, id, o, "http://ada:secret@"+proxy, abrupt) })
}

func TestSquid(t *testing.T) {
	id := newIdentity(t)
	o := newOrigin(t, id)
	plain, secure := startSquid(t, id)
	onEngines(t, func(t *testing.T, e engine.Factory) {
		t.Run("HTTP proxy", func(t *testing.T) { proxied(t, e, id, o, "http://ada:secret@"+plain, forgetful) })
		t.Run("HTTPS proxy", func(t *testing.T) { proxied(t, e, id, o, "https://ada:secret@"+secure, forgetful) })
		t.Run("environment", func(t *testing.T) { environment(t, e, id, o, "http://ada:secret@"+plain) })
		t.Run("HTTPS proxy of an unknown authority", func(t *testing.T) {
			_, err := newClient(t, e, nil, via("https://ada:secret@"+secure)).Do(t.Context(), godwit.NewRequest("GET", at(t, o.plain.URL, "origin.test")))
			if ge, ok := err.(*godwit.Error); !ok || ge.Op != engine.OpTLS {
				t.Errorf("%T %v: want an error of phase tls", err, err)
			}
		})
	})
}

// environment: origin.test goes by the proxy of the environment unless somebody
// says otherwise. The client itself can only look up direct.test.
func environment(t *testing.T, e engine.Factory, id *identity, o *origin, proxy string) {
	for _, name := range []string{"http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "REQUEST_METHOD"} {
		unset(t, name)
	}
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("HTTPS_PROXY", proxy)
	t.Setenv("NO_PROXY", "direct.test,example.net")
	var lookups atomic.Int32
	resolve := godwit.EngineConfig(func(c *engine.Config) {
		c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			lookups.Add(1)
			if host == "127.0.0.1" || host == "direct.test" {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
	})
	none := godwit.EngineConfig(func(c *engine.Config) { c.Proxy = engine.NoProxy })
	broken := godwit.EngineConfig(func(c *engine.Config) {
		c.Proxy = engine.FixedProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	})
	cases := []struct {
		name, host string
		client     []godwit.ClientOption
		request    []godwit.Option
		op         engine.Op // of the error, "" = none
		proxy      bool
	}{
		{"environment", "origin.test", nil, nil, "", true},
		{"NO_PROXY", "direct.test", nil, nil, "", false},
		{"engine goes first: none", "origin.test", []godwit.ClientOption{none}, nil, engine.OpDNS, false},
		{"engine goes first: another", "direct.test", []godwit.ClientOption{broken}, nil, engine.OpConnect, true},
		{"client goes first", "direct.test", []godwit.ClientOption{broken, godwit.Proxy(proxy)}, nil, "", true},
		{"request goes first: none", "direct.test", []godwit.ClientOption{godwit.Proxy("http://127.0.0.1:1")}, []godwit.Option{godwit.Proxy("direct")}, "", false},
		{"request goes first: another", "origin.test", []godwit.ClientOption{none}, []godwit.Option{godwit.Proxy(proxy)}, "", true},
		{"request goes first: a function", "origin.test", []godwit.ClientOption{none}, []godwit.Option{godwit.ProxyBy(func(u *url.URL) (*url.URL, error) {
			if u.Hostname() != "origin.test" {
				return nil, nil
			}
			return url.Parse(proxy)
		})}, "", true},
	}
	for _, tc := range cases {
		for _, base := range []string{o.plain.URL, o.secure.URL} {
			target := at(t, base, tc.host)
			scheme, _, _ := strings.Cut(target, ":")
			t.Run(tc.name+"/"+scheme, func(t *testing.T) {
				c := newClient(t, e, id, append([]godwit.ClientOption{resolve}, tc.client...)...)
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", target+"/echo", tc.request...))
				if tc.op != "" {
					if ge, ok := err.(*godwit.Error); !ok || ge.Op != tc.op {
						t.Errorf("%v, %v: want an error of phase %s", resp, err, tc.op)
					}
					return
				}
				if err != nil || resp.Text() != echoed(t, "GET", 0) {
					t.Fatal(resp, err)
				}
				if scheme == "http" && (resp.Header.Get("Seen-Via") != "") != tc.proxy {
					t.Errorf("by the proxy: %v, want %v", !tc.proxy, tc.proxy)
				}
				if toProxy := resp.RemoteAddr().String() == proxy[strings.Index(proxy, "@")+1:]; toProxy != tc.proxy {
					t.Errorf("connected to %v", resp.RemoteAddr())
				}
			})
		}
	}
	if lookups.Load() == 0 {
		t.Error("the resolver was not asked")
	}
}

func unset(t *testing.T, name string) {
	t.Helper()
	t.Setenv(name, "") // restores it after the test
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
}
