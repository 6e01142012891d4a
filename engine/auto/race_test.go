package auto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

// answer is how a request went.
type answer struct {
	proto, body string
	status      int
	err         error
}

// start sends req in the background.
func start(t *testing.T, e engine.Engine, req *engine.Request) <-chan answer {
	t.Helper()
	return startIn(t.Context(), e, req)
}

func startIn(ctx context.Context, e engine.Engine, req *engine.Request) <-chan answer {
	done := make(chan answer, 1)
	go func() {
		resp, err := e.Execute(ctx, req)
		if err != nil {
			done <- answer{err: err}
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		done <- answer{resp.Proto, string(body), resp.Status, err}
	}()
	return done
}

// mute accepts TCP connections and says nothing. It tells when each of them comes
// and when it ends.
func mute(t *testing.T) (port string, arrived, ended <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	come, gone := make(chan struct{}, 100), make(chan struct{}, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				come <- struct{}{}
				_, _ = io.Copy(io.Discard, c)
				gone <- struct{}{}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, come, gone
}

// serveTLS starts https://example.test over TCP and returns its port.
func serveTLS(t *testing.T, http2 bool, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS, s.EnableHTTP2 = issue(t, "example.test"), http2
	s.StartTLS()
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

// endless answers with a body that ends with the request.
func endless(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// single is a body that can be opened only once.
type single struct {
	text   string
	opened *atomic.Int32
}

var _ content.Content = single{}

func (single) ContentType() string  { return "" }
func (single) ContentLength() int64 { return -1 }
func (single) Replayable() bool     { return false }

func (s single) Open(context.Context) (io.ReadCloser, error) {
	if s.opened.Add(1) > 1 {
		return nil, errors.New("opened twice")
	}
	return io.NopCloser(strings.NewReader(s.text)), nil
}

// once returns a body that can be opened only once, and counts that.
func once(text string, opened *atomic.Int32) content.Content { return single{text, opened} }

func loopback(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// TestQUICOvertakesTCP: TCP hangs on its way to a connection, and a handshake is
// complete meanwhile. The request is sent once, and TCP's attempt ends.
func TestQUICOvertakesTCP(t *testing.T) {
	for _, row := range []struct {
		name   string
		method string
		change func(c *auto.Config)
		busy   bool // another request occupies what TCP needs
		dials  bool // and has reached the server
	}{
		{"TLS handshake", "POST", func(*auto.Config) {}, false, true},
		{"TLS handshake, HTTP/1.1 only", "POST", func(c *auto.Config) { c.TCP.Protocols = cio.HTTP1 }, false, true},
		{"pipelining", "GET", func(c *auto.Config) {
			c.TCP.Protocols, c.TCP.Pipelining, c.TCP.KeepAlive = cio.HTTP1, true, time.Minute
		}, false, true},
		{"name lookup", "POST", func(c *auto.Config) {
			c.HTTP3.Resolve = loopback
			c.TCP.Resolve = func(ctx context.Context, _ string) ([]netip.Addr, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}, false, false},
		{"bound of connections", "POST", func(c *auto.Config) { c.TCP.MaxConnections, c.HTTP3.MaxConnections = 1, 10 }, true, false},
		{"bound of exchanges", "POST", func(c *auto.Config) { c.TCP.MaxConcurrent, c.HTTP3.MaxConcurrent = 1, 10 }, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			leakcheck.Goroutines(t)
			a := serveQUIC(t, "example.test", "0", echo)
			g := newGated(t, a.Port)
			port, arrived, ended := mute(t)
			c := auto.Config{HeadStart: time.Millisecond, Storage: knows(port, g.port)}
			row.change(&c)
			e, told := newEngine(t, c)
			if row.busy {
				resp, err := e.Execute(t.Context(), request(t, "GET", "https://example.test:"+serveTLS(t, false, endless)))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
			}
			var opened atomic.Int32
			req, want := request(t, row.method, "https://example.test:"+port), "HTTP/3.0"
			if row.method == "POST" {
				req.Body, want = once("only once", &opened), "only once"
			}
			sent := start(t, e, req)
			told.chosen(t, auto.Late)
			if row.dials {
				within(t, "TCP's connection", arrived)
			}
			g.open.Store(true)
			if r := within(t, "the request", sent); r.err != nil || r.proto != "HTTP/3.0" || r.body != want || opened.Load() > 1 {
				t.Errorf("%+v, opened %d times", r, opened.Load())
			}
			if ev, _ := told.last(auto.Chosen); ev.Reason != auto.Overtook || ev.Protocol != auto.HTTP3 || ev.Err != nil {
				t.Errorf("chosen %+v", ev)
			}
			if len(a.seen) != 1 {
				t.Errorf("%d requests by HTTP/3, want 1", len(a.seen))
			}
			if row.dials {
				within(t, "the end of TCP's connection", ended)
			}
		})
	}
}

// TestConnectedTCPIsNotOvertaken: a request that TCP has a connection for stays
// there when a handshake is complete afterwards.
func TestConnectedTCPIsNotOvertaken(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		a := serveQUIC(t, "example.test", "0", echo)
		g := newGated(t, a.Port)
		release := make(chan struct{})
		unblock := sync.OnceFunc(func() { close(release) })
		var requests atomic.Int32
		port := serveTLS(t, http2, func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			<-release
			echo(w, r)
		})
		t.Cleanup(unblock)
		e, told := newEngine(t, auto.Config{HeadStart: time.Millisecond, Storage: knows(port, g.port)})
		var opened atomic.Int32
		req := request(t, "POST", "https://example.test:"+port)
		req.Body = once("only once", &opened)
		got := make(chan struct{})
		req.Trace = &engine.Trace{GotConn: func(engine.GotConn) { close(got) }}
		sent := start(t, e, req)
		within(t, "the connection", got)
		g.open.Store(true)
		told.await(t, auto.Opened, 1)
		unblock()
		if r := within(t, "the request", sent); r.err != nil || r.proto == "HTTP/3.0" || r.body != "only once" || opened.Load() != 1 {
			t.Errorf("%+v, opened %d times", r, opened.Load())
		}
		if requests.Load() != 1 || len(a.seen) > 0 {
			t.Errorf("%d requests by TCP and %d by HTTP/3", requests.Load(), len(a.seen))
		}
		wantProto(t, e, told, req.URL.String(), "HTTP/3.0", auto.Connected)
	}
}

// TestWarm: where TCP is connected nobody waits for a handshake; it goes on beside.
func TestWarm(t *testing.T) {
	for _, row := range []struct {
		name  string
		http2 bool
		busy  bool // the connection has a stream open
		proto string
	}{
		{"idle, HTTP/1.1", false, false, "HTTP/1.1"},
		{"idle, HTTP/2", true, false, "HTTP/2.0"},
		{"in use, HTTP/2", true, true, "HTTP/2.0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := serveQUIC(t, "example.test", "0", echo)
			g := newGated(t, a.Port)
			port := serveTLS(t, row.http2, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/endless" {
					endless(w, r)
					return
				}
				w.Header().Set("Alt-Svc", `h3=":`+g.port+`"`)
				echo(w, r)
			})
			e, told := newEngine(t, auto.Config{HeadStart: long, TCP: cio.Config{KeepAlive: time.Minute}})
			origin := "https://example.test:" + port
			if row.busy {
				resp, err := e.Execute(t.Context(), request(t, "GET", origin+"/endless"))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
			}
			wantProto(t, e, told, origin, row.proto, auto.NoAlternative)
			for range 2 {
				r := within(t, "a request while the handshake hangs", start(t, e, request(t, "POST", origin)))
				if r.err != nil || r.proto != row.proto {
					t.Errorf("%+v", r)
				}
				if ev, _ := told.last(auto.Chosen); ev.Reason != auto.Warm || ev.Authority != "example.test:"+g.port {
					t.Errorf("chosen %+v", ev)
				}
			}
			g.open.Store(true)
			if ev := told.await(t, auto.Opened, 1); ev.Authority != "example.test:"+g.port || ev.Origin != "example.test:"+port {
				t.Errorf("opened %+v", ev)
			}
			wantProto(t, e, told, origin, "HTTP/3.0", auto.Connected)
		})
	}
}

// TestRaceEnds: the caller gives up, or the engine is closed, while a request
// waits; it ends at once, marks nothing and leaves nothing behind.
func TestRaceEnds(t *testing.T) {
	dead := func(t *testing.T) string { return refusing(t) }
	hangs := func(t *testing.T) string { port, _, _ := mute(t); return port }
	slow := auto.ResolverFunc(func(ctx context.Context, _ string) ([]auto.Record, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	late := func(t *testing.T, told *events, _, _ <-chan struct{}) { told.chosen(t, auto.Late) }
	for _, row := range []struct {
		name  string
		tcp   func(*testing.T) string
		head  time.Duration
		dns   bool
		phase func(t *testing.T, told *events, asked, refused <-chan struct{})
		close bool // ends the request too
	}{
		{"head start", dead, long, false, func(t *testing.T, _ *events, asked, _ <-chan struct{}) { within(t, "the handshake", asked) }, true},
		{"TCP connects", hangs, time.Millisecond, false, late, false}, // what is being made is finished
		{"TCP has failed", dead, time.Millisecond, false, func(t *testing.T, _ *events, _, refused <-chan struct{}) {
			within(t, "the refusal", refused)
			<-time.After(30 * time.Millisecond) // nothing tells that it waits for the handshake by now
		}, true},
		{"resolver", dead, long, true, func(*testing.T, *events, <-chan struct{}, <-chan struct{}) {}, true},
	} {
		for _, closes := range []bool{false, true} {
			if closes && !row.close {
				continue
			}
			t.Run(fmt.Sprintf("%s, closed %v", row.name, closes), func(t *testing.T) {
				leakcheck.Goroutines(t)
				port := row.tcp(t)
				g := newGated(t, silent(t))
				c := auto.Config{HeadStart: row.head, Storage: knows(port, g.port)}
				if row.dns {
					c.Storage, c.Resolver, c.DNSWait = nil, slow, long
				}
				e, told := newEngine(t, c)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				refused := make(chan struct{}, 10)
				req := request(t, "GET", "https://example.test:"+port)
				req.Trace = &engine.Trace{ConnectDone: func(string, string, error) { refused <- struct{}{} }}
				sent := startIn(ctx, e, req)
				row.phase(t, told, g.asked, refused)
				if closes {
					e.Close()
				} else {
					cancel()
				}
				r := within(t, "the request", sent)
				if r.err == nil || !closes && !errors.Is(r.err, context.Canceled) {
					t.Errorf("%+v", r)
				}
				if ev, failed := told.last(auto.Failed); failed || len(e.Snapshot().Broken) > 0 {
					t.Errorf("marked as broken: %+v", ev)
				}
			})
		}
	}
}

// TestEachOnce: whatever wins, and whenever, each request is sent once.
func TestEachOnce(t *testing.T) {
	var mu sync.Mutex
	counts := make(map[string]int)
	count := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		counts[string(body)]++
		mu.Unlock()
		_, _ = w.Write(body)
	}
	port := serveTLS(t, true, count)
	a := serveQUIC(t, "example.test", "0", count)
	const rounds, each = 8, 8
	for round := range rounds {
		g := newGated(t, a.Port)
		e, _ := newEngine(t, auto.Config{HeadStart: time.Duration(round) * time.Millisecond, Storage: knows(port, g.port)})
		g.open.Store(true)
		var opened [each]atomic.Int32
		var sent []<-chan answer
		for i := range each {
			req := request(t, "POST", "https://example.test:"+port)
			req.Body = once(fmt.Sprint(round, i), &opened[i])
			sent = append(sent, start(t, e, req))
		}
		for i, one := range sent {
			if r := within(t, "a request", one); r.err != nil || r.body != fmt.Sprint(round, i) || opened[i].Load() != 1 {
				t.Errorf("round %d, request %d: %+v, opened %d times", round, i, r, opened[i].Load())
			}
		}
		e.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	for text, n := range counts {
		if n != 1 {
			t.Errorf("request %q was sent %d times", text, n)
		}
	}
	if len(counts) != rounds*each {
		t.Errorf("%d requests arrived, want %d", len(counts), rounds*each)
	}
}

// TestLostMidRequest: the connection goes while the server has the request. Only
// what may be repeated (RFC 9110 §9.2.2) is, by TCP.
func TestLostMidRequest(t *testing.T) {
	for _, row := range []struct {
		method string
		stale  bool // NoStaleRetry
		byTCP  int
	}{{"GET", false, 1}, {"GET", true, 0}, {"POST", false, 0}} {
		t.Run(fmt.Sprint(row.method, row.stale), func(t *testing.T) {
			o := newOrigin(t)
			a := serveQUIC(t, "example.test", "0", func(_ http.ResponseWriter, r *http.Request) { abandon(r, h3.ErrCodeInternalError) })
			e, _ := newEngine(t, auto.Config{HeadStart: long, Storage: knows(o.Port, a.Port)})
			req := request(t, row.method, o.URL)
			req.NoStaleRetry = row.stale
			r := within(t, "the request", start(t, e, req))
			if len(a.seen) != 1 || len(o.seen) != row.byTCP {
				t.Errorf("%d requests by HTTP/3 and %d by TCP", len(a.seen), len(o.seen))
			}
			if oe, ok := errors.AsType[*engine.OpError](r.err); row.byTCP == 0 && (!ok || !oe.Sent) || row.byTCP > 0 && r.err != nil {
				t.Errorf("%+v", r)
			}
		})
	}
}

// TestRepeatedInVain: a request that was sent by HTTP/3 is so although TCP, which it
// was to be repeated by, sends nothing.
func TestRepeatedInVain(t *testing.T) {
	for _, rescued := range []bool{false, true} {
		closed := refusing(t)
		a := serveQUIC(t, "example.test", "0", func(_ http.ResponseWriter, r *http.Request) { abandon(r, h3.ErrCodeInternalError) })
		g := newGated(t, a.Port)
		c := auto.Config{HeadStart: long, Storage: knows(closed, g.port)}
		if rescued {
			c.HeadStart = time.Millisecond
		}
		e, told := newEngine(t, c)
		sent := start(t, e, request(t, "GET", "https://example.test:"+closed))
		if rescued {
			told.chosen(t, auto.Late)
		}
		g.open.Store(true)
		r := within(t, "the request", sent)
		if oe, ok := errors.AsType[*engine.OpError](r.err); !ok || !oe.Sent || len(a.seen) != 1 {
			t.Errorf("rescued %v: %+v, %d requests by HTTP/3", rescued, r, len(a.seen))
		}
	}
}

// TestLosesEachConnection: a server that drops each connection is found out by what
// can be repeated, too; one connection that was lost is forgiven.
func TestLosesEachConnection(t *testing.T) {
	o := newOrigin(t)
	var requests atomic.Int32
	a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 2 { // the others are lost
			echo(w, r)
			return
		}
		abandon(r, h3.ErrCodeInternalError)
	})
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: knows(o.Port, a.Port)})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Repeated)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Repeated)
	if ev, failed := told.last(auto.Failed); failed {
		t.Errorf("marked as broken: %+v", ev)
	}
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Repeated)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
}

// TestBrokenThoughConnected: a server whose answers are malformed is left alone,
// although the connection is open.
func TestBrokenThoughConnected(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Keep-Alive", "timeout=1") // malformed (RFC 9114 §4.2)
	})
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: knows(o.Port, a.Port)})
	if r := within(t, "the request", start(t, e, request(t, "GET", o.URL))); r.err == nil {
		t.Fatalf("%+v", r)
	}
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Suspected)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
	if len(a.seen) != 1 {
		t.Errorf("%d requests by HTTP/3, want 1", len(a.seen))
	}
}

// TestHandshakeIsNoRecovery: an alternative that takes connections and fails
// requests is left alone for longer each time.
func TestHandshakeIsNoRecovery(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", func(_ http.ResponseWriter, r *http.Request) { abandon(r, h3.ErrCodeInternalError) })
	e, told := newEngine(t, auto.Config{HeadStart: long, BrokenFor: time.Nanosecond, LongestBroken: time.Nanosecond, Storage: knows(o.Port, a.Port)})
	for n := 1; n <= 3; n++ {
		for len(a.seen) < n { // the probe's connection is used as soon as it is there
			within(t, "a request", start(t, e, request(t, "POST", o.URL)))
		}
		for len(e.Snapshot().Broken) == 0 || e.Snapshot().Broken[0].Failures < n {
			within(t, "a request", start(t, e, request(t, "GET", o.URL)))
		}
	}
	if ev, ok := told.last(auto.Recovered); ok {
		t.Errorf("%+v", ev)
	}
}

// TestLimitsAreNobodysFault: what this side's limits prevent is not held against
// the alternative.
func TestLimitsAreNobodysFault(t *testing.T) {
	busy := serveQUIC(t, "example.test", "0", endless)
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	m := knows(o.Port, a.Port)
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: m,
		HTTP3: http3.Config{MaxConnections: 1, Timeouts: engine.Timeouts{Pool: 20 * time.Millisecond}}})
	req := request(t, "GET", "https://example.test:"+busy.Port)
	req.Needs = engine.HTTP3
	req.Timeouts.Pool = engine.NoTimeout
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.HandshakeError)
	if te, ok := errors.AsType[*engine.TimeoutError](func() error { ev, _ := told.last(auto.Chosen); return ev.Err }()); !ok || te.Kind != engine.KindPool {
		t.Errorf("chosen for %v", te)
	}
	if ev, failed := told.last(auto.Failed); failed || len(e.Snapshot().Broken) > 0 {
		t.Errorf("marked as broken: %+v", ev)
	}
}

// TestPatience: a request waits for a handshake, or for DNS, no longer than it
// may take to connect.
func TestPatience(t *testing.T) {
	slow := auto.ResolverFunc(func(ctx context.Context, _ string) ([]auto.Record, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	const brief = 20 * time.Millisecond
	for _, row := range []struct {
		name   string
		change func(c *auto.Config, req *engine.Request)
	}{
		{"the request's limit", func(_ *auto.Config, req *engine.Request) { req.Timeouts.Connect = time.Second }},
		{"the engine's limit", func(c *auto.Config, _ *engine.Request) {
			c.TCP.Timeouts.Connect, c.HTTP3.Timeouts.Connect = time.Second, long
		}},
		{"of DNS", func(c *auto.Config, req *engine.Request) {
			c.Storage, c.Resolver, c.DNSWait = nil, slow, long
			req.Timeouts.Connect = time.Second
		}},
		{"none", func(c *auto.Config, _ *engine.Request) { c.HeadStart = brief }},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := newOrigin(t)
			c := auto.Config{HeadStart: long, Storage: knows(o.Port, silent(t)),
				HTTP3: http3.Config{QUIC: &quic.Config{HandshakeIdleTimeout: long}}}
			req := request(t, "GET", o.URL)
			row.change(&c, req)
			e, _ := newEngine(t, c)
			if r := within(t, "the request", start(t, e, req)); r.err != nil || r.proto != "HTTP/1.1" {
				t.Errorf("%+v", r)
			}
		})
	}
	t.Run("the deadline", func(t *testing.T) {
		o := newOrigin(t)
		e, _ := newEngine(t, auto.Config{HeadStart: long, Storage: knows(o.Port, silent(t))})
		req := request(t, "GET", o.URL)
		req.Deadline, req.DeadlineKind = time.Now().Add(brief), engine.KindRequest
		r := within(t, "the request", start(t, e, req))
		if te, ok := errors.AsType[*engine.TimeoutError](r.err); !ok || te.Kind != engine.KindRequest {
			t.Errorf("%+v", r)
		}
	})
}

// TestWhy: the events of an origin's life, in order.
func TestWhy(t *testing.T) {
	a := serveQUIC(t, "example.test", "0", echo)
	g := newGated(t, a.Port)
	o := newOrigin(t)
	o.tell(`h3=":` + g.port + `"`)
	e, told := newEngine(t, auto.Config{HeadStart: long, TCP: cio.Config{KeepAlive: time.Minute}})
	send(t, e, request(t, "GET", o.URL))
	send(t, e, request(t, "GET", o.URL))
	g.open.Store(true)
	told.await(t, auto.Opened, 1)
	send(t, e, request(t, "GET", o.URL))
	var got []string
	told.mu.Lock()
	defer told.mu.Unlock()
	for _, ev := range told.all {
		got = append(got, strings.Join([]string{string(ev.Kind), ev.Protocol, string(ev.Reason), strings.TrimSuffix(ev.Authority, g.port)}, "|"))
	}
	want := []string{
		"chosen|TCP|" + string(auto.NoAlternative) + "|",
		"learned|||example.test:",
		"chosen|TCP|" + string(auto.Warm) + "|example.test:",
		"opened|||example.test:",
		"chosen|HTTP/3|" + string(auto.Connected) + "|example.test:",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
