package cio_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// TestIdleConnectionsOfOthers: who waits for a connection to one origin makes no
// room for itself at the bound of that origin by closing idle HTTP/2 connections
// to others; those of its own it does.
func TestIdleConnectionsOfOthers(t *testing.T) {
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	a, _, config := counted(t, false, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	b, n, _ := counted(t, true, echoProto)
	e := newEngine(t, cio.Config{TLS: config, MaxConnectionsPerRoute: 1})
	if _, _, err := send(t, e, b.URL); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	one := func() {
		if _, _, err := send(t, e, a.URL); err != nil {
			t.Error(err)
		}
	}
	wg.Go(one)
	<-arrived
	wg.Go(one)
	eventually(t, "a request waits", func() bool { return e.Stats().Waiting == 1 })
	for range 5 {
		if _, got, err := send(t, e, b.URL); err != nil || got != "HTTP/2.0" {
			t.Error(got, err)
		}
	}
	if n := n.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	close(release)
	wg.Wait()
	// What needs HTTP/1.1 gets the slot of its own origin's.
	if resp, _, err := send(t, e, b.URL, func(r *engine.Request) { r.WantRawHead = true }); err != nil || resp.Proto != "HTTP/1.1" {
		t.Error(err)
	}
}

// TestOneRaceOldServer: the bounds hold too where requests that come together find
// out that the server speaks HTTP/1.1.
func TestOneRaceOldServer(t *testing.T) {
	var now, most atomic.Int32
	s, n, config := counted(t, false, func(w http.ResponseWriter, _ *http.Request) {
		if v := now.Add(1); v > most.Load() {
			most.Store(v)
		}
		io.WriteString(w, "ok")
		now.Add(-1)
	})
	e := newEngine(t, cio.Config{TLS: config, MaxConnectionsPerRoute: 3})
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, got, err := send(t, e, s.URL); err != nil || got != "ok" {
				t.Error(got, err)
			}
		})
	}
	wg.Wait()
	if n.Load() > 3 || most.Load() > 3 {
		t.Errorf("%d connections and %d requests at once, want at most 3", n.Load(), most.Load())
	}
}

// TestHTTP2ByProxy: through a tunnel, of http and https proxies, requests that come
// together share a connection as they do without.
func TestHTTP2ByProxy(t *testing.T) {
	s, n, config := counted(t, true, echoProto)
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "http", true: "https"}[secure], func(t *testing.T) {
			n.Store(0)
			proxy := tunnelProxy(t, secure)
			at := mustURL(t, proxy.URL)
			e := newEngine(t, cio.Config{TLS: config, Coalesce: true, Proxy: func(*url.URL) (*url.URL, error) { return at, nil }})
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					resp, got, err := send(t, e, s.URL)
					if err != nil || got != "HTTP/2.0" || resp.Conn.Proxy == nil {
						t.Error(got, err)
					}
				})
			}
			wg.Wait()
			if n := n.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

// tunnelProxy is a proxy that knows CONNECT.
func tunnelProxy(t *testing.T, secure bool) *httptest.Server {
	t.Helper()
	var tunnels sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, err := net.Dial("tcp", r.Host)
		if r.Method != "CONNECT" || err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		from, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		tunnels.Go(func() {
			io.Copy(to, buffered)
			to.Close()
		})
		tunnels.Go(func() {
			io.Copy(from, to)
			from.Close()
		})
	}))
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.Close()
		tunnels.Wait()
	})
	return s
}
