package cio_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/certs"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

func loopback(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// coalescing starts a server for example.com and its subdomains that answers by
// text, and makes an engine that shares its connections.
func coalescing(t *testing.T, text string, c cio.Config) (e *cio.Engine, port string) {
	t.Helper()
	s, _, config := counted(t, true, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
	_, port, _ = net.SplitHostPort(s.Listener.Addr().String())
	c.TLS, c.Coalesce = config, true
	if c.Resolve == nil {
		c.Resolve = loopback
	}
	for host, addr := range c.Hosts {
		delete(c.Hosts, host)
		c.Hosts[strings.ReplaceAll(host, "PORT", port)] = addr
	}
	return newEngine(t, c), port
}

// TestCoalescePin: a pinned host is not served by a connection that was checked
// for another one.
func TestCoalescePin(t *testing.T) {
	s, n, config := counted(t, true, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	config, err := certs.Config(config, certs.Pin("www.example.com", "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, cio.Config{TLS: config, Coalesce: true, Resolve: loopback})
	if _, _, err := send(t, e, "https://example.com:"+port); err != nil {
		t.Fatal(err)
	}
	if _, _, err := send(t, e, "https://www.example.com:"+port); err == nil || !strings.Contains(err.Error(), "pin") {
		t.Errorf("error %v, want that of the pin", err)
	}
	if n := n.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestCoalesceOtherName: a name that the certificate does not hold for gets a
// connection of its own, and the error of that.
func TestCoalesceOtherName(t *testing.T) {
	e, port := coalescing(t, "ok", cio.Config{})
	if _, _, err := send(t, e, "https://example.com:"+port); err != nil {
		t.Fatal(err)
	}
	_, _, err := send(t, e, "https://other.test:"+port)
	if oe, ok := errors.AsType[*engine.OpError](err); !ok || oe.Op != engine.OpTLS {
		t.Errorf("error %v, want one of TLS", err)
	}
}

// TestCoalesceHosts: an origin that Config.Hosts places is where that says.
func TestCoalesceHosts(t *testing.T) {
	b, _, _ := counted(t, true, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "B") })
	addr := b.Listener.Addr().String()
	for _, host := range []string{"www.example.com:PORT", "www.example.com"} {
		e, port := coalescing(t, "A", cio.Config{Hosts: map[string]string{host: addr}})
		for origin, want := range map[string]string{"example.com": "A", "www.example.com": "B", "api.example.com": "A"} {
			for range 2 {
				if _, got, err := send(t, e, "https://"+origin+":"+port); got != want || err != nil {
					t.Errorf("Hosts[%q]: %s is served by %q, %v, want %s", host, origin, got, err, want)
				}
			}
		}
	}
	// One that is at another port than its URL says shares with nobody there.
	e, port := coalescing(t, "A", cio.Config{Hosts: map[string]string{"www.example.com": addr}})
	if _, got, err := send(t, e, "https://www.example.com:"+port); got != "B" || err != nil {
		t.Fatal(got, err)
	}
	if _, got, err := send(t, e, "https://example.com:"+port); got != "A" || err != nil {
		t.Errorf("served by %q, %v, want A", got, err)
	}
}

// TestCoalesceHostsAsPeopleWriteThem: an origin is placed however its URL spells it.
func TestCoalesceHostsAsPeopleWriteThem(t *testing.T) {
	b, _, _ := counted(t, true, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "B") })
	addr := b.Listener.Addr().String()
	for host, origin := range map[string]string{"www.example.com": "www.example.com.", "127.0.0.1": "[::ffff:127.0.0.1]"} {
		for _, port := range []string{"", ":PORT"} {
			e, port := coalescing(t, "A", cio.Config{Hosts: map[string]string{host + port: addr}})
			for _, get := range []struct{ host, want string }{{"example.com", "A"}, {origin, "B"}} {
				if _, got, err := send(t, e, "https://"+get.host+":"+port); got != get.want || err != nil {
					t.Errorf("Hosts[%q]: %s is served by %q, %v, want %s", host, get.host, got, err, get.want)
				}
			}
		}
	}
}

// nowhere is a connection without addresses.
type nowhere struct{ net.Conn }

func (nowhere) LocalAddr() net.Addr  { return nil }
func (nowhere) RemoteAddr() net.Addr { return nil }

// TestCoalesceNowhere: where a connection leads to is not known of all, and those are
// not shared.
func TestCoalesceNowhere(t *testing.T) {
	s, n, config := counted(t, true, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	e := newEngine(t, cio.Config{TLS: config, Coalesce: true, Resolve: loopback, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return nowhere{c}, err
	}})
	for _, host := range []string{"example.com", "www.example.com"} {
		if resp, got, err := send(t, e, "https://"+host+":"+port); got != "ok" || err != nil || resp.Conn.Remote != nil {
			t.Errorf("%s: %q, %v", host, got, err)
		}
	}
	if n := n.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestCoalesceLimits: the look-up keeps the request's limits and its context.
func TestCoalesceLimits(t *testing.T) {
	e, port := coalescing(t, "ok", cio.Config{Resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
		if host != "example.com" {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return loopback(ctx, host)
	}})
	if _, _, err := send(t, e, "https://example.com:"+port); err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, tc := range []struct {
		name string
		ctx  context.Context
		mod  func(*engine.Request)
		want engine.TimeoutKind
	}{
		{"deadline", t.Context(), func(r *engine.Request) { r.Deadline = time.Now().Add(50 * time.Millisecond) }, engine.KindRequest},
		{"connect", t.Context(), func(r *engine.Request) { r.Timeouts.Connect = 50 * time.Millisecond }, engine.KindConnect},
		{"context", canceled, func(*engine.Request) { time.AfterFunc(50*time.Millisecond, cancel) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := &engine.Request{Method: "GET", URL: mustURL(t, "https://www.example.com:"+port)}
			tc.mod(req)
			_, err := e.Execute(tc.ctx, req)
			oe, ok := errors.AsType[*engine.OpError](err)
			if !ok || oe.Op != engine.OpDNS {
				t.Errorf("error %v, want one of the look-up", err)
			}
			if timeout, _ := errors.AsType[*engine.TimeoutError](err); tc.want != "" && (timeout == nil || timeout.Kind != tc.want) {
				t.Errorf("error %v, want a timeout of kind %s", err, tc.want)
			}
			if tc.want == "" && !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestMisdirectedIsLearnt also from a request that cannot be sent again.
func TestMisdirectedIsLearnt(t *testing.T) {
	var hosts sync.Map // by connection
	s, n, config := counted(t, true, func(w http.ResponseWriter, r *http.Request) {
		if first, taken := hosts.LoadOrStore(r.RemoteAddr, r.Host); taken && first != r.Host {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	})
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	e := newEngine(t, cio.Config{TLS: config, Coalesce: true, Resolve: loopback, MaxConcurrent: 1})
	if _, _, err := send(t, e, "https://example.com:"+port); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{421, 200} {
		resp, _, err := send(t, e, "https://www.example.com:"+port, post(content.Reader(strings.NewReader("x"), "", 1)))
		if err != nil || resp.Status != want {
			t.Errorf("%v, %v, want %d", resp, err, want)
		}
	}
	if n := n.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}
