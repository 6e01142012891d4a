package interop_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// TestHosts: names lead where Hosts says, and stay the names for TLS and the
// Host field.
func TestHosts(t *testing.T) {
	id := newIdentity(t)
	o := newOrigin(t, id)
	plain, secure := hostPort(o.plain.URL), hostPort(o.secure.URL)
	c := newClient(t, cio.Config{Hosts: map[string]string{"origin.test:80": plain, "origin.test:443": secure, "direct.test": "127.0.0.1"}}, id)
	for _, target := range []string{"http://origin.test", "https://origin.test", at(t, o.plain.URL, "direct.test"), at(t, o.secure.URL, "direct.test")} {
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", target+"/echo"))
		if err != nil || resp.Text() != echoed(t, "GET", 0) {
			t.Errorf("%s: %v, %v", target, resp, err)
		}
	}
}

func TestLocalAddr(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 as its own addresses")
	}
	seen := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r.RemoteAddr }))
	defer s.Close()
	c := newClient(t, cio.Config{LocalAddr: netip.MustParseAddr("127.0.0.3")}, nil)
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", s.URL))
	if err != nil {
		t.Fatal(err)
	}
	remote := <-seen
	if host, _, _ := net.SplitHostPort(remote); host != "127.0.0.3" || resp.LocalAddr().String() != remote {
		t.Errorf("connected from %s, the client says %v", remote, resp.LocalAddr())
	}
}

// TestStats follows the connections of two routes through a client's life.
func TestStats(t *testing.T) {
	id := newIdentity(t)
	o := newOrigin(t, id)
	e := cio.Config{}.New(engine.Config{Proxy: engine.NoProxy})
	t.Cleanup(func() { e.Close() })
	c := godwit.New(godwit.WithEngineInstance(e))
	defer c.Close()
	want := func(open, idle int, routes ...cio.RouteStats) {
		t.Helper()
		s := e.Stats()
		if s.Open != open || s.Idle != idle || s.Waiting != 0 || len(s.Routes) != len(routes) {
			t.Fatalf("%+v, want %d open, %d idle, %v", s, open, idle, routes)
		}
		for i := range routes {
			if s.Routes[i] != routes[i] {
				t.Errorf("%+v, want %+v", s.Routes[i], routes[i])
			}
		}
	}
	want(0, 0)
	plain := "http://" + hostPort(o.plain.URL)
	other := "http://localhost:" + func() string { u, _ := url.Parse(o.plain.URL); return u.Port() }()
	for _, target := range []string{plain, plain, other} {
		if _, err := godwit.Get[string](t.Context(), c, target+"/echo"); err != nil {
			t.Fatal(err)
		}
	}
	want(2, 2, cio.RouteStats{Route: plain, Open: 1, Idle: 1}, cio.RouteStats{Route: other, Open: 1, Idle: 1})
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", plain+"/text", godwit.Header("Accept-Encoding", "identity")))
	if err != nil {
		t.Fatal(err)
	}
	want(2, 1, cio.RouteStats{Route: plain, Open: 1}, cio.RouteStats{Route: other, Open: 1, Idle: 1})
	e.CloseIdle()
	want(1, 0, cio.RouteStats{Route: plain, Open: 1})
	if _, err := godwit.As[string](t.Context(), resp); err != nil {
		t.Error(err)
	}
	resp.Close()
	want(1, 1, cio.RouteStats{Route: plain, Open: 1, Idle: 1})
	e.CloseIdle()
	want(0, 0)
}
