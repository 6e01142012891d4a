package cio_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// held starts an exchange whose body is open, and returns its response.
func held(t *testing.T, e *cio.Engine, u *url.URL) *engine.Response {
	t.Helper()
	resp, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: u})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// withheld is a script whose bodies come when the channel lets them.
func withheld(release <-chan struct{}) func(*peerConn) {
	return func(c *peerConn) {
		for c.head() != "" {
			c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
			if _, open := <-release; !open {
				return
			}
			c.send("k")
		}
	}
}

func site(t testing.TB, host string) *url.URL { return mustURL(t, "http://"+host+"/") }

// TestWaitersAreServedInOrder: one connection, eight requests; each gets the
// connection of the one before.
func TestWaitersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		d := newPipes(t, withheld(release))
		e := newEngine(t, cio.Config{Dial: d.dial, MaxConnectionsPerRoute: 1})
		first := held(t, e, site(t, "a"))
		var order []int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				resp, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: site(t, "a")})
				if err != nil {
					t.Error(err)
					return
				}
				if !resp.Reused {
					t.Errorf("request %d made a connection", i)
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				io.ReadAll(resp.Body)
				resp.Body.Close()
			})
			synctest.Wait()
		}
		want := cio.Stats{Open: 1, Waiting: 8, Routes: []cio.RouteStats{{Route: "http://a:80", Open: 1, Waiting: 8}}}
		if diff := cmp.Diff(want, e.Stats()); diff != "" {
			t.Error(diff)
		}
		go func() {
			for range 9 {
				release <- struct{}{}
			}
		}()
		io.ReadAll(first.Body)
		first.Body.Close()
		wg.Wait()
		if !slices.IsSorted(order) || len(order) != 8 {
			t.Errorf("order %v", order)
		}
	})
}

// TestOrderAmongRoutes: at the total limit requests are served as they came,
// whatever their routes; a connection goes on only to the route of who is next.
func TestOrderAmongRoutes(t *testing.T) {
	for name, tc := range map[string]struct {
		config       cio.Config
		hosts, dials string // of the first request, whose body is open, and of those that wait
	}{
		"one other":            {config: cio.Config{MaxConnections: 1}, hosts: "bbabb", dials: "bab"},
		"taking turns":         {config: cio.Config{MaxConnections: 1}, hosts: "bababa", dials: "bababa"},
		"pipelining, POST":     {config: cio.Config{MaxConnections: 1, Pipelining: true}, hosts: "bbabb", dials: "bab"},
		"at its route's limit": {config: cio.Config{MaxConnections: 1, MaxConnectionsPerRoute: 1}, hosts: "bbabb", dials: "bab"},
		"limit of the route":   {config: cio.Config{MaxConnectionsPerRoute: 1}, hosts: "bbb", dials: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				d := newPipes(t, withheld(release))
				var mu sync.Mutex
				var served, dialed string
				tc.config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					mu.Lock()
					dialed += address[:1]
					mu.Unlock()
					return d.dial(ctx, network, address)
				}
				e := newEngine(t, tc.config)
				var wg sync.WaitGroup
				for _, host := range tc.hosts {
					wg.Go(func() {
						resp, err := e.Execute(t.Context(), &engine.Request{Method: "POST", URL: site(t, string(host))})
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						served += string(host)
						mu.Unlock()
						io.ReadAll(resp.Body)
						resp.Body.Close()
					})
					synctest.Wait()
				}
				for range tc.hosts {
					release <- struct{}{}
					synctest.Wait()
				}
				wg.Wait()
				if served != tc.hosts || dialed != tc.dials {
					t.Errorf("served %q, want %q; connections to %q, want %q", served, tc.hosts, dialed, tc.dials)
				}
			})
		})
	}
}

// TestStatsAddUp: those who wait on a route of which the pool knows nothing, as it
// may be for a moment, are in its row too.
func TestStatsAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		d := newPipes(t, withheld(release))
		e := newEngine(t, cio.Config{Dial: d.dial, Pipelining: true})
		defer held(t, e, site(t, "c")).Body.Close()
		defer cio.QueueInLane(e, "a:80")()
		defer cio.QueueForHTTP2(e, "b:443")()
		synctest.Wait()
		want := cio.Stats{Open: 1, Waiting: 2, Routes: []cio.RouteStats{
			{Route: "http://a:80", Waiting: 1}, {Route: "http://c:80", Open: 1}, {Route: "https://b:443", Waiting: 1},
		}}
		if diff := cmp.Diff(want, e.Stats()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestSlotGoesToTheFirstThatCanUseIt: at the total limit a connection that ends
// makes room for whoever waits longest, whatever the route.
func TestSlotGoesToTheFirstThatCanUseIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		d := newPipes(t, withheld(release))
		e := newEngine(t, cio.Config{Dial: d.dial, MaxConnections: 2, MaxConnectionsPerRoute: 1})
		a, b := held(t, e, site(t, "a")), held(t, e, site(t, "b"))
		got := make(chan string, 3)
		var wg sync.WaitGroup
		for _, host := range []string{"a", "c", "b"} {
			wg.Go(func() {
				resp, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: site(t, host)})
				if err != nil {
					t.Error(err)
					return
				}
				got <- host
				resp.Body.Close() // unread: the connection is closed
			})
			synctest.Wait()
		}
		b.Body.Close() // a is still at its limit, so that c is first
		synctest.Wait()
		if first := <-got; first != "c" {
			t.Errorf("%q was served first", first)
		}
		if second := <-got; second != "b" {
			t.Errorf("%q was served second", second)
		}
		a.Body.Close()
		if third := <-got; third != "a" {
			t.Errorf("%q was served third", third)
		}
		wg.Wait()
	})
}

// TestIdleMakesRoom: at the total limit an idle connection of another route is
// closed, the oldest first, also one that becomes idle while somebody waits.
func TestIdleMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, answering(ok))
		e := newEngine(t, cio.Config{Dial: d.dial, MaxConnections: 2})
		for _, host := range []string{"a", "b", "c"} {
			mustFetch(t, e, &engine.Request{Method: "GET", URL: site(t, host)})
			time.Sleep(time.Millisecond)
		}
		var routes []string
		for _, r := range e.Stats().Routes {
			routes = append(routes, r.Route)
		}
		if diff := cmp.Diff([]string{"http://b:80", "http://c:80"}, routes); diff != "" {
			t.Error(diff)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{}, 1)
		defer close(release)
		d := newPipes(t, withheld(release))
		e := newEngine(t, cio.Config{Dial: d.dial, MaxConnections: 1})
		a := held(t, e, site(t, "a"))
		done := make(chan *engine.Response)
		go func() {
			resp, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: site(t, "b")})
			if err != nil {
				t.Error(err)
			}
			done <- resp
		}()
		synctest.Wait()
		release <- struct{}{}
		io.ReadAll(a.Body)
		a.Body.Close()
		(<-done).Body.Close()
	})
}

// TestWaitEnds: who waits for a connection can be cancelled, run into each of
// the limits, or find the engine closed; no slot is lost.
func TestWaitEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		config   cio.Config
		timeouts engine.Timeouts
		deadline time.Duration
		cancel   time.Duration
		close    time.Duration
		after    time.Duration
		kind     engine.TimeoutKind
		is       error
	}{
		"pool timeout":           {timeouts: engine.Timeouts{Pool: time.Second}, after: time.Second, kind: engine.KindPool, is: context.DeadlineExceeded},
		"the engine's":           {config: cio.Config{Timeouts: engine.Timeouts{Pool: time.Second}}, after: time.Second, kind: engine.KindPool, is: context.DeadlineExceeded},
		"deadline":               {timeouts: engine.Timeouts{Pool: 3 * time.Second}, deadline: time.Second, after: time.Second, kind: engine.KindRequest, is: context.DeadlineExceeded},
		"cancelled":              {cancel: time.Second, after: time.Second, is: context.Canceled},
		"closed":                 {close: time.Second, after: time.Second, is: engine.ErrClosed},
		"MaxConcurrent":          {config: cio.Config{MaxConcurrent: 1}, timeouts: engine.Timeouts{Pool: time.Second}, after: time.Second, kind: engine.KindPool, is: context.DeadlineExceeded},
		"MaxConcurrent, dead":    {config: cio.Config{MaxConcurrent: 1}, deadline: time.Second, after: time.Second, kind: engine.KindRequest, is: context.DeadlineExceeded},
		"MaxConcurrent, cancel":  {config: cio.Config{MaxConcurrent: 1}, cancel: time.Second, after: time.Second, is: context.Canceled},
		"MaxConcurrent, closed":  {config: cio.Config{MaxConcurrent: 1}, close: time.Second, after: time.Second, is: engine.ErrClosed},
		"cancelled, total limit": {config: cio.Config{MaxConnections: 1}, cancel: time.Second, after: time.Second, is: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{}, 1)
				defer close(release)
				d := newPipes(t, withheld(release))
				tc.config.Dial = d.dial
				if tc.config.MaxConcurrent == 0 {
					tc.config.MaxConnectionsPerRoute = 1
				}
				e := newEngine(t, tc.config)
				first := held(t, e, site(t, "a"))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.cancel > 0 {
					time.AfterFunc(tc.cancel, cancel)
				}
				if tc.close > 0 {
					time.AfterFunc(tc.close, func() { e.Close() })
				}
				req := &engine.Request{Method: "GET", URL: site(t, "a"), Timeouts: tc.timeouts}
				begin := time.Now()
				if tc.deadline > 0 {
					req.Deadline = begin.Add(tc.deadline)
				}
				_, err := e.Execute(ctx, req)
				oe, isOp := errors.AsType[*engine.OpError](err)
				if !isOp || oe.Op != engine.OpPool || oe.Sent || !errors.Is(err, tc.is) || time.Since(begin) != tc.after {
					t.Fatalf("error = %#v after %v", err, time.Since(begin))
				}
				if te, isTimeout := errors.AsType[*engine.TimeoutError](err); isTimeout != (tc.kind != "") || isTimeout && te.Kind != tc.kind {
					t.Errorf("error = %v, want kind %q", err, tc.kind)
				}
				release <- struct{}{}
				io.ReadAll(first.Body)
				first.Body.Close()
				if tc.close == 0 {
					held(t, e, site(t, "a")).Body.Close()
				}
			})
		})
	}
}

// TestMaxConcurrent counts what runs at once, and lets go at the end of a body.
func TestMaxConcurrent(t *testing.T) {
	var running, most atomic.Int32
	p := newPeer(t, func(c *peerConn) {
		for c.head() != "" {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-time.After(time.Millisecond)
			running.Add(-1)
			c.send(ok)
		}
	})
	e := newEngine(t, cio.Config{MaxConcurrent: 3})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, _, err := fetch(t.Context(), e, p.get()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 3 || n == 0 {
		t.Errorf("%d ran at once, want at most 3", n)
	}
}

func TestMaxIdlePerRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{}, 3)
		defer close(release)
		d := newPipes(t, withheld(release))
		e := newEngine(t, cio.Config{Dial: d.dial, MaxIdlePerRoute: 2})
		var open []*engine.Response
		for range 3 {
			open = append(open, held(t, e, site(t, "a")))
			release <- struct{}{}
		}
		for _, resp := range open {
			io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if s := e.Stats(); s.Idle != 2 || s.Open != 2 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDialFails: a slot whose connection cannot be made goes on.
func TestDialFails(t *testing.T) {
	e := newEngine(t, cio.Config{MaxConnectionsPerRoute: 1, Dial: failingDial})
	for range 3 {
		_, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: site(t, "a"), Timeouts: engine.Timeouts{Pool: 10 * time.Second}})
		oe, isOp := errors.AsType[*engine.OpError](err)
		if !isOp || oe.Op != engine.OpConnect || oe.Sent || !errors.Is(err, errSource) {
			t.Fatalf("error = %#v", err)
		}
	}
	if s := e.Stats(); s.Open != 0 || len(s.Routes) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestConnectTimeout tells the connect timeout from the request's deadline.
func TestConnectTimeout(t *testing.T) {
	for name, tc := range map[string]struct {
		connect, deadline time.Duration
		kind              engine.TimeoutKind
		after             time.Duration
	}{
		"default":  {0, 0, engine.KindConnect, 10 * time.Second},
		"connect":  {2 * time.Second, 5 * time.Second, engine.KindConnect, 2 * time.Second},
		"deadline": {5 * time.Second, 2 * time.Second, engine.KindRequest, 2 * time.Second},
		"none":     {engine.NoTimeout, time.Hour, engine.KindRequest, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, cio.Config{Dial: hangingDial, Timeouts: engine.Timeouts{Connect: tc.connect}})
				req := &engine.Request{Method: "GET", URL: site(t, "a")}
				begin := time.Now()
				if tc.deadline > 0 {
					req.Deadline, req.DeadlineLimit = begin.Add(tc.deadline), tc.deadline
				}
				_, err := e.Execute(t.Context(), req)
				te, isTimeout := errors.AsType[*engine.TimeoutError](err)
				if !isTimeout || te.Kind != tc.kind || te.Limit != tc.after || time.Since(begin) != tc.after {
					t.Errorf("error = %#v after %v", err, time.Since(begin))
				}
				if s := e.Stats(); s.Open != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
