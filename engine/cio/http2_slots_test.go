package cio_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// TestWaitForADial: the pool's limit is for the bounds. Who waits while another
// request makes the connection waits for that; while that one waits for a slot, they
// all do.
func TestWaitForADial(t *testing.T) {
	const ms = time.Millisecond
	errDown := errors.New("down")
	for _, tc := range []struct {
		name     string
		bound    bool // the one connection is taken
		deadline time.Duration
		kind     engine.TimeoutKind // "" = errDown
		after    time.Duration
	}{
		{"the dial is slow", false, 0, "", 600 * ms},
		{"the dial is slow, and the request's time short", false, 500 * ms, engine.KindRequest, 500 * ms},
		{"there is no slot", true, 0, engine.KindPool, 200 * ms},
		{"there is no slot, and the request's time is shorter", true, 150 * ms, engine.KindRequest, 150 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				plain := newPipes(t, withheld(release))
				config := cio.Config{Timeouts: engine.Timeouts{Pool: 200 * ms}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
					if address == "plain:80" {
						return plain.dial(ctx, network, address)
					}
					select {
					case <-time.After(600 * ms):
						return nil, errDown
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}}
				if tc.bound {
					config.MaxConnections = 1
				}
				e := newEngine(t, config)
				defer held(t, e, site(t, "plain")).Body.Close()
				begin := time.Now()
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						ctx, req := t.Context(), &engine.Request{Method: "GET", URL: mustURL(t, "https://secure/")}
						if tc.deadline > 0 {
							req.Deadline, req.DeadlineLimit = begin.Add(tc.deadline), tc.deadline
							var cancel context.CancelFunc
							ctx, cancel = context.WithDeadlineCause(ctx, req.Deadline, &engine.TimeoutError{Kind: engine.KindRequest, Limit: tc.deadline})
							defer cancel()
						}
						_, err := e.Execute(ctx, req)
						took := time.Since(begin)
						timeout, ok := errors.AsType[*engine.TimeoutError](err)
						switch {
						case took != tc.after:
							t.Errorf("%v after %v, want %v", err, took, tc.after)
						case tc.kind == "" && !errors.Is(err, errDown):
							t.Errorf("error = %v", err)
						case tc.kind != "" && (!ok || timeout.Kind != tc.kind || timeout.Limit != tc.after):
							t.Errorf("error = %v, want a timeout of kind %s after %v", err, tc.kind, tc.after)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

// TestPanicsByHTTP2: a hook that panics takes neither a place nor a slot with it.
func TestPanicsByHTTP2(t *testing.T) {
	for name, set := range map[string]func(*tls.Config, *engine.Trace, func()){
		"VerifyConnection": func(c *tls.Config, _ *engine.Trace, boom func()) {
			c.VerifyConnection = func(tls.ConnectionState) error { boom(); return nil }
		},
		"PoolWait":     func(_ *tls.Config, tr *engine.Trace, boom func()) { tr.PoolWait = func(string) { boom() } },
		"ConnectStart": func(_ *tls.Config, tr *engine.Trace, boom func()) { tr.ConnectStart = func(_, _ string) { boom() } },
		"TLSDone": func(_ *tls.Config, tr *engine.Trace, boom func()) {
			tr.TLSDone = func(tls.ConnectionState, error) { boom() }
		},
		"GotConn":     func(_ *tls.Config, tr *engine.Trace, boom func()) { tr.GotConn = func(engine.GotConn) { boom() } },
		"WroteHeader": func(_ *tls.Config, tr *engine.Trace, boom func()) { tr.WroteHeader = boom },
		"FirstByte":   func(_ *tls.Config, tr *engine.Trace, boom func()) { tr.FirstByte = boom },
		"PutIdle":     func(_ *tls.Config, tr *engine.Trace, boom func()) { tr.PutIdle = func(error) { boom() } },
	} {
		for _, h2 := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " h2=", h2), func(t *testing.T) {
				a, _, config := counted(t, h2, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/held" { // until the client gives it up
						w.(http.Flusher).Flush()
						<-r.Context().Done()
						return
					}
					echoProto(w, r)
				})
				b, _, _ := counted(t, true, echoProto)
				first := a.URL
				if name != "PutIdle" {
					first += "/held"
				}
				trace, armed := &engine.Trace{}, true
				set(config, trace, func() {
					if armed {
						armed = false
						panic("boom")
					}
				})
				e := newEngine(t, cio.Config{TLS: config, MaxConnections: 1, MaxConcurrent: 1})
				func() {
					defer func() { _ = recover() }()
					_, _, _ = send(t, e, first, func(r *engine.Request) { r.Trace = trace })
				}()
				if armed {
					t.Fatal("the hook was not called")
				}
				for _, s := range []*httptest.Server{a, b} { // the slot is free for another origin too
					if _, _, err := send(t, e, s.URL, func(r *engine.Request) { r.Timeouts.Pool = 5 * time.Second }); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// TestCloseAtTheBound: a closed engine refuses at once, even where MaxConcurrent
// would have a request wait; what runs goes on.
func TestCloseAtTheBound(t *testing.T) {
	over := make(chan struct{})
	release := sync.OnceFunc(func() { close(over) })
	defer release()
	s, _, config := counted(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-over
		echoProto(w, r)
	})
	e := newEngine(t, cio.Config{TLS: config, MaxConcurrent: 1, Timeouts: engine.Timeouts{Pool: 5 * time.Second}})
	first := held(t, e, mustURL(t, s.URL))
	for range 2 {
		e.Close()
		if _, _, err := send(t, e, s.URL); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("error %v, want ErrClosed", err)
		}
	}
	release()
	if b, err := io.ReadAll(first.Body); err != nil || string(b) != "HTTP/2.0" {
		t.Errorf("body %q, %v", b, err)
	}
	first.Body.Close()
	eventually(t, "the connection ends", func() bool { return e.Stats().Open == 0 })
}

// TestStatsOfProxyUsers: routes that differ in the credentials for a proxy alone
// have one row.
func TestStatsOfProxyUsers(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	d := newPipes(t, withheld(release))
	e := newEngine(t, cio.Config{Dial: d.dial})
	for _, user := range []string{"ada", "bob"} {
		resp, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: site(t, "a"), Proxy: engine.FixedProxy(mustURL(t, "http://"+user+"@proxy"))})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	if s := e.Stats(); len(s.Routes) != 1 || s.Routes[0] != (cio.RouteStats{Route: "http://a:80 by http://proxy:80", Open: 2}) {
		t.Errorf("%+v", s)
	}
}
