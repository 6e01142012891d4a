package auto_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/testpeer"
)

// TestNotBypassed: a proxy, or a dialer, is not gone around by QUIC, wherever it
// stands and however well HTTP/3 is known.
func TestNotBypassed(t *testing.T) {
	proxy := engine.FixedProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	refusal := errors.New("this dialer reaches nobody")
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, refusal }
	for _, row := range []struct {
		name   string
		config auto.Config
		mod    func(*engine.Config)
		reason auto.Reason
	}{
		{"shared proxy", auto.Config{}, func(c *engine.Config) { c.Proxy = proxy }, auto.Proxied},
		{"TCP.Proxy", auto.Config{TCP: cio.Config{Proxy: proxy}}, nil, auto.Proxied},
		{"HTTP3.Proxy", auto.Config{HTTP3: http3.Config{Proxy: proxy}}, nil, auto.Proxied},
		{"a proxy that cannot be told", auto.Config{}, func(c *engine.Config) {
			c.Proxy = func(*url.URL) (*url.URL, error) { return nil, errors.New("no idea") }
		}, auto.Proxied},
		{"environment", auto.Config{}, func(c *engine.Config) {
			t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
			c.Proxy = nil
		}, auto.Proxied},
		{"shared dialer", auto.Config{}, func(c *engine.Config) { c.Dial = dial }, auto.NotAvailable},
		{"TCP.Dial", auto.Config{TCP: cio.Config{Dial: dial}}, nil, auto.NotAvailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := newOrigin(t)
			a := serveQUIC(t, "example.test", o.Port, echo)
			row.config.HeadStart, row.config.Storage = long, knows(o.Port, a.Port)
			var mods []func(*engine.Config)
			if row.mod != nil {
				mods = append(mods, row.mod)
			}
			e, told := newEngine(t, row.config, mods...)
			r := within(t, "the request", start(t, e, request(t, "GET", o.URL)))
			if row.name == "HTTP3.Proxy" {
				if r.err != nil || r.proto != "HTTP/1.1" { // it is that of HTTP/3 alone
					t.Errorf("%+v", r)
				}
			} else if r.err == nil {
				t.Errorf("%+v", r)
			}
			if ev, _ := told.last(auto.Chosen); ev.Reason != row.reason || ev.Protocol != auto.TCP {
				t.Errorf("chosen: %+v", ev)
			}
			demanding := request(t, "GET", o.URL)
			demanding.Needs = engine.HTTP3
			r = within(t, "the request", start(t, e, demanding))
			if _, ok := errors.AsType[*engine.UnsupportedError](r.err); !ok {
				t.Errorf("demanded: %+v", r)
			}
			if len(a.seen) > 0 {
				t.Error("a request went by HTTP/3")
			}
		})
	}
}

// TestSettingsOfTCPHoldForQUIC: those that both have.
func TestSettingsOfTCPHoldForQUIC(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("From", r.RemoteAddr)
		for _, name := range []string{"A", "B", "C", "D", "E", "F"} {
			w.Header().Set(name, "1")
		}
	})
	local := netip.MustParseAddr("127.0.0.1")
	if runtime.GOOS == "linux" {
		local = netip.MustParseAddr("127.0.0.9") // all of 127/8 is the loopback there
	}
	trust := &tls.Config{RootCAs: testpeer.CA(t).Pool}
	resolve := func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("not asked") }
	newOne := func(t *testing.T, own cio.Config) (*auto.Engine, *events) {
		return newEngine(t, auto.Config{HeadStart: long, TCP: own, Storage: knows(o.Port, a.Port)}, func(c *engine.Config) { c.TLS, c.Resolve = nil, resolve })
	}
	t.Run("TLS, Hosts, LocalAddr", func(t *testing.T) {
		e, _ := newOne(t, cio.Config{TLS: trust, Hosts: map[string]string{"example.test": "127.0.0.1"}, LocalAddr: local})
		resp, err := e.Execute(t.Context(), request(t, "GET", o.URL))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if host, _, _ := net.SplitHostPort(resp.Header.Get("From")); resp.Proto != "HTTP/3.0" || host != local.String() {
			t.Errorf("%s from %s", resp.Proto, resp.Header.Get("From"))
		}
	})
	t.Run("Resolve, MaxHeaderFields", func(t *testing.T) {
		e, told := newOne(t, cio.Config{TLS: trust, Resolve: loopback, MaxHeaderFields: 5})
		r := within(t, "the request", start(t, e, request(t, "POST", o.URL)))
		if ev, _ := told.last(auto.Chosen); r.err == nil || ev.Protocol != auto.HTTP3 {
			t.Errorf("%+v, %+v", r, ev)
		}
	})
	t.Run("TLS", func(t *testing.T) {
		e, told := newOne(t, cio.Config{Resolve: loopback}) // which trusts nobody
		r := within(t, "the request", start(t, e, request(t, "GET", o.URL)))
		ev, _ := told.last(auto.Chosen)
		if oe, ok := errors.AsType[*engine.OpError](ev.Err); r.err == nil || !ok || oe.Op != engine.OpTLS {
			t.Errorf("%+v, %+v", r, ev)
		}
	})
	t.Run("MaxConcurrent", func(t *testing.T) {
		busy := serveQUIC(t, "example.test", "0", endless)
		e, _ := newEngine(t, auto.Config{HeadStart: long, TCP: cio.Config{MaxConcurrent: 1}, Storage: knows(o.Port, busy.Port)})
		resp, err := e.Execute(t.Context(), request(t, "GET", o.URL))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		req := request(t, "GET", o.URL)
		req.Timeouts.Pool = 10 * time.Millisecond
		r := within(t, "the second request", start(t, e, req))
		if te, ok := errors.AsType[*engine.TimeoutError](r.err); !ok || te.Kind != engine.KindPool {
			t.Errorf("%+v", r)
		}
	})
}

// TestNetworkChanges: what was begun on the old network is given up, and held
// against nobody.
func TestNetworkChanges(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	g := newGated(t, a.Port)
	m := knows(o.Port, g.port)
	m.Services[0].Alternatives[0].Persist = true
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: m})
	sent := start(t, e, request(t, "GET", o.URL))
	within(t, "the handshake", g.asked)
	e.NetworkChanged()
	if r := within(t, "the request", sent); r.err != nil || r.proto != "HTTP/1.1" {
		t.Errorf("%+v", r)
	}
	g.open.Store(true)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	if ev, failed := told.last(auto.Failed); failed {
		t.Errorf("marked as broken: %+v", ev)
	}
}

// TestSuspicionEndsWithTheNetwork: HTTP/3 failed on the old one, and what TCP does
// on the new one says nothing of that.
func TestSuspicionEndsWithTheNetwork(t *testing.T) {
	o := newOrigin(t)
	fails := make(chan bool, 1)
	fails <- true
	a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-fails:
			abandon(r, 0x102) // H3_INTERNAL_ERROR
		default:
			echo(w, r)
		}
	})
	m := knows(o.Port, a.Port)
	m.Services[0].Alternatives[0].Persist = true
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: m})
	if r := within(t, "the request", start(t, e, request(t, "POST", o.URL))); r.err == nil {
		t.Fatalf("%+v", r)
	}
	e.NetworkChanged()
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
}
