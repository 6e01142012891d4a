package interop_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/program"
)

// startMicrosocks speaks SOCKS5 with user ada and password secret.
func startMicrosocks(t *testing.T) (addr string) {
	return program.Server{Program: "microsocks", Package: "microsocks", Ports: 1, Args: func(dir string, addrs []string) []string {
		_, port, _ := net.SplitHostPort(addrs[0])
		return []string{"-i", "127.0.0.1", "-p", port, "-u", "ada", "-P", "secret"}
	}}.Start(t)[0]
}

// startDante speaks SOCKS4 and 5, without authentication. (Of 4a it takes the
// placeholder for the address, with curl as with us.)
func startDante(t *testing.T) (addr string) {
	return program.Server{Program: "danted", Package: "dante-server", Ports: 1, Args: func(dir string, addrs []string) []string {
		_, port, _ := net.SplitHostPort(addrs[0])
		return []string{"-p", dir + "/pid", "-f", write(t, dir, "danted.conf", `
errorlog: stderr
internal: 127.0.0.1 port = `+port+`
external: 127.0.0.1
clientmethod: none
socksmethod: none
`+asRoot("user.privileged: root\nuser.unprivileged: nobody")+`
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 protocol: tcp }
`)}
	}}.Start(t)[0]
}

// onBoth makes s listen on ::1 too, if there is such an address: a proxy may
// take that one for localhost.
func onBoth(t *testing.T, s *httptest.Server) {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	if six, err := net.Listen("tcp", "[::1]:"+port); err == nil {
		served := make(chan struct{})
		go func() { defer close(served); s.Config.Serve(six) }()
		t.Cleanup(func() { six.Close(); <-served })
	}
}

func TestSOCKS(t *testing.T) {
	id := newIdentity(t)
	o := newOrigin(t, id)
	onBoth(t, o.plain)
	onBoth(t, o.secure)
	micro, dante := startMicrosocks(t), startDante(t)
	cases := []struct {
		proxy   string
		host    string // as the client calls the origin
		lookups bool   // the client looks it up
	}{
		{"socks5://ada:secret@" + micro, "127.0.0.1", false},
		{"socks5h://ada:secret@" + micro, "127.0.0.1", false},
		{"socks5h://ada:secret@" + micro, "localhost", false},
		{"socks5://ada:secret@" + micro, "localhost", true},
		{"socks5://" + dante, "127.0.0.1", false},
		{"socks5h://" + dante, "localhost", false},
		{"socks4://" + dante, "127.0.0.1", false},
		{"socks4://ada@" + dante, "localhost", true},
		{"socks4a://" + dante, "127.0.0.1", false},
	}
	onEngines(t, func(t *testing.T, e engine.Factory) {
		for _, tc := range cases {
			scheme, _, _ := strings.Cut(tc.proxy, ":")
			t.Run(scheme+" "+tc.host, func(t *testing.T) {
				var lookups atomic.Int32
				c := newClient(t, e, id, via(tc.proxy), godwit.EngineConfig(func(c *engine.Config) {
					c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
						if host == "localhost" {
							lookups.Add(1)
						}
						return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
					}
				}))
				if strings.HasPrefix(scheme, "socks4") && !c.Supports(engine.SOCKS4Proxy) {
					_, err := godwit.Get[string](t.Context(), c, at(t, o.plain.URL, tc.host)+"/echo")
					if _, ok := err.(*godwit.Error); !ok || !strings.Contains(err.Error(), engine.SOCKS4Proxy.String()) {
						t.Errorf("error %v", err)
					}
					return
				}
				if tc.host == "localhost" {
					battery(t, c, at(t, o.plain.URL, tc.host))
				}
				download(t, c, fmt.Sprintf("%s/stream?n=%d", at(t, o.secure.URL, tc.host), large), large)
				if own := lookups.Load() > 0; own != tc.lookups && e.Name() == "cio" { // net/http leaves names to the proxy
					t.Errorf("looked up by the client: %v, want %v", own, tc.lookups)
				}
			})
		}
		t.Run("refused", func(t *testing.T) {
			for proxy, text := range map[string]string{
				"socks5://ada:wrong@" + micro: "", "socks5://" + micro: "", "socks5://" + dante: "", "socks4://" + dante: "",
			} {
				c := newClient(t, e, id, via(proxy))
				target := at(t, o.plain.URL, "127.0.0.1")
				if strings.HasSuffix(proxy, dante) {
					target = "http://127.0.0.1:1/" // nobody there
				}
				_, err := c.Do(t.Context(), godwit.NewRequest("GET", target))
				if !c.Supports(engine.SOCKS4Proxy) && strings.HasPrefix(proxy, "socks4") {
					text = engine.SOCKS4Proxy.String()
					if err == nil || !strings.Contains(err.Error(), text) {
						t.Errorf("%s: %v", proxy, err)
					}
					continue
				}
				wantProxyError(t, err, text)
			}
		})
	})
}
