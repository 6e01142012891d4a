package cio_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

func TestFactory(t *testing.T) {
	var f engine.Factory = cio.Config{}
	e, err := f.NewEngine(engine.Config{Pipelining: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if f.Name() != "cio" || e.Name() != "cio" {
		t.Errorf("names %q and %q", f.Name(), e.Name())
	}
	without := engine.HTTP3 | engine.EngineRedirects
	if want := engine.AllCapabilities &^ without; e.Capabilities() != want {
		t.Errorf("capabilities differ by %v", e.Capabilities()^want)
	}
}

// TestOwnFieldsGoFirst: a field of Config goes before that of the shared
// configuration, which goes before the default.
func TestRefusedConfig(t *testing.T) {
	for name, c := range map[string]cio.Config{
		"MaxHeaderBytes":  {MaxHeaderBytes: -1},
		"MaxHeaderFields": {MaxHeaderFields: -1},
		"Protocols":       {Protocols: 64},
		"Hosts":           {Hosts: map[string]string{"a.example": "http://b.example"}},
	} {
		if e, err := c.NewEngine(engine.Config{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
}

func TestOwnFieldsGoFirst(t *testing.T) {
	errOwn, errShared := errors.New("own"), errors.New("shared")
	dial := func(err error) engine.DialFunc {
		return func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
	for name, tc := range map[string]struct {
		own  engine.DialFunc
		want error
	}{"own": {dial(errOwn), errOwn}, "shared": {nil, errShared}} {
		e := cio.Config{Dial: tc.own, Proxy: engine.NoProxy}.New(engine.Config{Dial: dial(errShared)})
		_, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: site(t, "a")})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		e.Close()
	}
	for name, tc := range map[string]struct {
		request, own, shared, want time.Duration
	}{
		"request": {1 * time.Second, 2 * time.Second, 3 * time.Second, 1 * time.Second},
		"own":     {0, 2 * time.Second, 3 * time.Second, 2 * time.Second},
		"shared":  {0, 0, 3 * time.Second, 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := cio.Config{Dial: hangingDial, Proxy: engine.NoProxy, Timeouts: engine.Timeouts{Connect: tc.own}}.
				New(engine.Config{Timeouts: engine.Timeouts{Connect: tc.shared}})
			defer e.Close()
			begin := time.Now()
			_, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: site(t, "a"), Timeouts: engine.Timeouts{Connect: tc.request}})
			if took := time.Since(begin); err == nil || took != tc.want {
				t.Errorf("%s: %v after %v, want %v", name, err, took, tc.want)
			}
		})
	}
}

// TestHosts: keys are names as people write them, for both protocols.
func TestHosts(t *testing.T) {
	e := newEngine(t, cio.Config{
		Hosts: map[string]string{"Bücher.example": "192.0.2.1:8080"},
		DialControl: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return errors.New("to " + address)
		},
	})
	for _, scheme := range []string{"http", "https"} {
		_, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: mustURL(t, scheme+"://xn--bcher-kva.example/")})
		if err == nil || !strings.Contains(err.Error(), "to 192.0.2.1:8080") {
			t.Errorf("%s: error = %v", scheme, err)
		}
	}
}

// TestDeadConnectionGivesItsSlot: what replaces a dead connection takes its slot,
// so that the limit holds and nobody goes back to the end of the queue.
func TestDeadConnectionGivesItsSlot(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.send(ok)
	})
	e := newEngine(t, cio.Config{MaxConnectionsPerRoute: 1})
	for range 20 {
		if resp, _ := mustFetch(t, e, p.get()); resp.Status != 200 {
			t.Error(resp.Status)
		}
		if s := e.Stats(); s.Open > 1 {
			t.Errorf("%+v", s)
		}
	}
}
