package enginetest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

func hookTests() []test {
	return []test{
		{name: "Dial", needs: engine.CustomDial, run: hookDial},
		{name: "DialFails", needs: engine.CustomDial, run: hookDialFails},
		{name: "DialCarriesTLS", needs: engine.CustomDial | engine.TLSConfig, run: hookDialTLS},
		{name: "Resolve", needs: engine.CustomResolve, run: hookResolve},
		{name: "ResolveEmpty", needs: engine.CustomResolve, run: hookResolveEmpty},
		{name: "ResolveSecondAddress", needs: engine.CustomResolve, run: hookResolveSecond},
		{name: "ResolveFailureLosesNoSlot", needs: engine.CustomResolve | engine.ConnectionLimits, run: hookResolveSlot},
		{name: "DialControl", needs: engine.DialControl, run: hookControl},
		{name: "DialControlRefuses", needs: engine.DialControl, run: hookControlRefuses},
		{name: "Go", needs: engine.CustomGo, run: hookGo},
		{name: "UnixSocket", needs: engine.UnixSocket, run: hookUnix},
		{name: "UnixSocketMissing", needs: engine.UnixSocket, run: hookUnixMissing},
		{name: "TraceOrder", run: hookTrace},
		{name: "TraceTLS", needs: engine.TLSConfig, run: hookTraceTLS},
		{name: "TraceFailure", run: hookTraceFailure},
		{name: "TraceResent", run: hookTraceResent},
		{name: "PanicsLoseNothing", needs: engine.ConnectionLimits | engine.ConcurrencyLimit | engine.CustomResolve | engine.HTTPProxy, run: hookPanics},
	}
}

// hookPanics: a panic in the caller's own code fails the call, by an error or by
// the panic itself, and takes no place with it, neither that of a connection nor
// that of an exchange.
func hookPanics(t *T) {
	for _, tc := range hooksOf(t) {
		t.row(tc.name, func(t *T) {
			s := t.script(func(c *conn) {
				for {
					c.request()
					c.write("HTTP/1.1 103 Early Hints\r\n\r\n")
					c.respond("ok")
				}
			})
			var armed atomic.Bool
			trace := &engine.Trace{}
			e := t.engine(resolver(nil, "127.0.0.1"), func(c *engine.Config) {
				c.MaxConcurrent, c.MaxConnections = 1, 1
				tc.set(c, trace, func() {
					if armed.Swap(false) {
						panic("the caller's own code")
					}
				})
			})
			for _, req := range []*engine.Request{
				t.request("GET", s.named("panics.test")),
				t.post(s.named("panics.test"), stream("body")), // written by a goroutine of its own, perhaps
			} {
				armed.Store(true)
				t.quick("a request whose hook panics", func() {
					defer func() { _ = recover() }()
					req.Trace = trace
					if resp, err := t.execute(e, req); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
				armed.Store(false)
				t.quick("a request after that", func() { t.get(e, s.named("panics.test"), 200, "ok") })
			}
		})
	}
}

// hookOf makes one of the caller's functions call boom.
type hookOf struct {
	name string
	set  func(c *engine.Config, trace *engine.Trace, boom func())
}

func hooksOf(t *T) []hookOf {
	return []hookOf{
		{"Proxy", func(c *engine.Config, _ *engine.Trace, boom func()) {
			c.Proxy = func(*url.URL) (*url.URL, error) { boom(); return nil, nil }
		}},
		{"Resolve", func(c *engine.Config, _ *engine.Trace, boom func()) {
			resolve := c.Resolve
			c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) { boom(); return resolve(ctx, host) }
		}},
		{"Dial", func(c *engine.Config, _ *engine.Trace, boom func()) {
			if t.s.caps.Has(engine.CustomDial) {
				c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					boom()
					return new(net.Dialer).DialContext(ctx, network, address)
				}
			}
		}},
		{"DialControl", func(c *engine.Config, _ *engine.Trace, boom func()) {
			if t.s.caps.Has(engine.DialControl) {
				c.DialControl = func(context.Context, string, string, syscall.RawConn) error { boom(); return nil }
			}
		}},
		{"PoolWait", func(_ *engine.Config, trace *engine.Trace, boom func()) { trace.PoolWait = func(string) { boom() } }},
		{"GotConn", func(_ *engine.Config, trace *engine.Trace, boom func()) {
			trace.GotConn = func(engine.GotConn) { boom() }
		}},
		{"DNSStart", func(_ *engine.Config, trace *engine.Trace, boom func()) { trace.DNSStart = func(string) { boom() } }},
		{"DNSDone", func(_ *engine.Config, trace *engine.Trace, boom func()) {
			trace.DNSDone = func([]string, error) { boom() }
		}},
		{"ConnectStart", func(_ *engine.Config, trace *engine.Trace, boom func()) {
			trace.ConnectStart = func(_, _ string) { boom() }
		}},
		{"ConnectDone", func(_ *engine.Config, trace *engine.Trace, boom func()) {
			trace.ConnectDone = func(_, _ string, _ error) { boom() }
		}},
		{"WroteHeader", func(_ *engine.Config, trace *engine.Trace, boom func()) { trace.WroteHeader = boom }},
		{"WroteRequest", func(_ *engine.Config, trace *engine.Trace, boom func()) { trace.WroteRequest = func(error) { boom() } }},
		{"FirstByte", func(_ *engine.Config, trace *engine.Trace, boom func()) { trace.FirstByte = boom }},
		{"PutIdle", func(_ *engine.Config, trace *engine.Trace, boom func()) { trace.PutIdle = func(error) { boom() } }},
		{"Informational", func(_ *engine.Config, trace *engine.Trace, boom func()) {
			trace.Informational = func(int, header.Header) error { boom(); return nil }
		}},
	}
}

func hookDial(t *T) {
	s := t.respond("ok")
	asked := make(chan string, 8)
	e := t.engine(t.to(s.Addr, asked))
	for range 2 {
		t.get(e, "http://Example.test:8080/", 200, "ok")
	}
	if addr := within(t, "dial", asked); !strings.EqualFold(addr, "example.test:8080") {
		t.Errorf("dialled %s", addr)
	}
	if len(asked) > 0 {
		t.Error("dialled twice")
	}
}

func hookDialFails(t *T) {
	refusal := errors.New("the dialer refuses")
	e := t.engine(func(c *engine.Config) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, refusal }
	})
	b := replayable("x")
	_, err := t.execute(e, t.post("http://example.test/", b))
	t.wantIs(err, refusal)
	if oe := t.wantOp(err, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
	b.wantClosedOnce(t)
}

func hookDialTLS(t *T) {
	ca := t.authority()
	s := t.secure(ca.valid(), "secret")
	e := t.engine(ca.trust(), t.to(s.Addr, nil))
	t.get(e, "https://example.test/", 200, "secret")
}

// resolver answers every name with addrs.
func resolver(asked chan<- string, addrs ...string) func(*engine.Config) {
	return func(c *engine.Config) {
		c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			if asked != nil {
				asked <- host
			}
			var list []netip.Addr
			for _, a := range addrs {
				list = append(list, netip.MustParseAddr(a))
			}
			return list, nil
		}
	}
}

// named returns the server's URL with its address replaced by a name.
func (s *server) named(name string) string {
	return strings.Replace(s.URL, "127.0.0.1", name, 1)
}

func hookResolve(t *T) {
	s, requests := t.record()
	asked := make(chan string, 8)
	e := t.engine(resolver(asked, "127.0.0.1"))
	got := t.sent(e, requests, t.request("GET", s.named("resolved.test")))
	_, port, _ := strings.Cut(s.Addr, ":")
	t.wantHost(got, "resolved.test:"+port)
	if host := within(t, "the resolver", asked); host != "resolved.test" {
		t.Errorf("asked for %q", host)
	}
}

func hookResolveEmpty(t *T) {
	e := t.engine(resolver(nil))
	_, err := t.execute(e, t.request("GET", "http://nowhere.test/"))
	if oe := t.wantOp(err, engine.OpDNS); oe.Sent {
		t.Error("Sent is true")
	}
	if !strings.Contains(err.Error(), "nowhere.test") {
		t.Errorf("error %q does not name the host", err)
	}
}

func hookResolveSecond(t *T) {
	s := t.respond("ok")
	e := t.engine(resolver(nil, "127.0.0.2", "127.0.0.1"))
	t.get(e, s.named("two.test"), 200, "ok")
}

func hookResolveSlot(t *T) {
	s := t.respond("ok")
	var fail atomic.Bool
	fail.Store(true)
	e := t.engine(func(c *engine.Config) {
		c.MaxConnections, c.MaxConnectionsPerRoute = 1, 1
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			if fail.Load() {
				return nil, errBroken
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
	})
	for range 5 {
		_, err := t.execute(e, t.request("GET", s.named("slot.test")))
		t.wantIs(err, errBroken)
	}
	fail.Store(false)
	t.quick("a request after failed lookups", func() { t.get(e, s.named("slot.test"), 200, "ok") })
}

func hookControl(t *T) {
	s := t.respond("ok")
	seen := make(chan string, 8)
	e := t.engine(func(c *engine.Config) {
		c.DialControl = func(_ context.Context, network, address string, raw syscall.RawConn) error {
			if raw == nil {
				t.Error("DialControl got no connection")
			}
			seen <- network + " " + address
			return nil
		}
	})
	t.get(e, s.URL, 200, "ok")
	if got := within(t, "DialControl", seen); got != "tcp4 "+s.Addr {
		t.Errorf("DialControl got %q, want %q", got, "tcp4 "+s.Addr)
	}
}

func hookControlRefuses(t *T) {
	s := t.respond("ok")
	refusal := errors.New("address not allowed")
	e := t.engine(func(c *engine.Config) {
		c.DialControl = func(context.Context, string, string, syscall.RawConn) error { return refusal }
	})
	_, err := t.execute(e, t.request("GET", s.URL))
	t.wantIs(err, refusal)
	if oe := t.wantOp(err, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
	if n := s.Accepted(); n != 0 {
		t.Errorf("%d connections in spite of the refusal", n)
	}
}

// hookGo: whatever goroutine the engine starts, it starts by Config.Go.
func hookGo(t *T) {
	pkg := reflect.Indirect(reflect.ValueOf(t.engine())).Type().PkgPath()
	var mu sync.Mutex
	var strays []string
	check := func() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		mu.Lock()
		defer mu.Unlock()
		for g := range strings.SplitSeq(string(buf), "\n\n") {
			for line := range strings.Lines(g) {
				by, ok := strings.CutPrefix(line, "created by ")
				if ok && (strings.HasPrefix(by, pkg) || strings.Contains(by, "godwit/internal/")) && !strings.Contains(by, "_test.") {
					strays = append(strays, strings.TrimSpace(line))
				}
			}
		}
	}
	var started atomic.Int32
	e := t.engine(func(c *engine.Config) {
		c.Go = func(f func()) {
			started.Add(1)
			go func() { check(); f() }()
		}
	})
	s := t.script(func(c *conn) {
		for {
			r := c.head()
			check()
			c.readBody(r)
			check()
			c.respond(r.Body)
		}
	})
	for range 3 {
		t.get(e, s.URL, 200, "")
		t.want(e, t.post(s.URL, stream(pattern(1<<20))), 200, pattern(1<<20))
		t.want(e, t.post(s.URL, inMemory("x")), 200, "x")
	}
	ctx, cancel := context.WithCancel(t.ctx)
	resp, err := t.executeIn(ctx, e, t.post(s.URL, stream("x")))
	if err != nil {
		t.Fatal(err)
	}
	check()
	cancel()
	resp.Body.Close()
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(strays)
	for _, stray := range slices.Compact(strays) {
		t.Errorf("a goroutine that was not started by Config.Go: %s", stray)
	}
}

func hookUnix(t *T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skipf("no unix sockets here: %v", err)
	}
	s := t.scriptOn(l, func(c *conn) {
		for {
			r := c.request()
			c.t.wantHost(r, "unix.test")
			c.respond(r.Target + r.Body)
		}
	})
	e := t.engine()
	for range 3 {
		req := t.request("GET", "http://unix.test/x")
		req.UnixSocket = path
		t.want(e, req, 200, "/x")
		req = t.post("http://unix.test/p", stream("body"))
		req.UnixSocket = path
		t.want(e, req, 200, "/pbody")
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func hookUnixMissing(t *T) {
	e := t.engine()
	req := t.request("GET", "http://unix.test/")
	req.UnixSocket = filepath.Join(t.TempDir(), "missing")
	_, err := t.execute(e, req)
	if oe := t.wantOp(err, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
}

// recorder keeps the names of trace events in order.
type recorder struct {
	mu     sync.Mutex // guards events
	events []string
}

func (r *recorder) add(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

// has reports whether all of must have come.
func (r *recorder) has(must []string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, event := range must {
		if !slices.Contains(r.events, event) {
			return false
		}
	}
	return true
}

// take returns the events so far and forgets them.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

func failed(err error) string {
	if err != nil {
		return " failed"
	}
	return ""
}

func (r *recorder) trace() *engine.Trace {
	return &engine.Trace{
		PoolWait: func(string) { r.add("PoolWait") },
		GotConn: func(g engine.GotConn) {
			if g.Reused {
				r.add("GotConn reused")
			} else {
				r.add("GotConn")
			}
		},
		DNSStart:     func(string) { r.add("DNSStart") },
		DNSDone:      func(_ []string, err error) { r.add("DNSDone" + failed(err)) },
		ConnectStart: func(string, string) { r.add("ConnectStart") },
		ConnectDone:  func(_, _ string, err error) { r.add("ConnectDone" + failed(err)) },
		TLSStart:     func() { r.add("TLSStart") },
		TLSDone:      func(_ tls.ConnectionState, err error) { r.add("TLSDone" + failed(err)) },
		WroteHeader:  func() { r.add("WroteHeader") },
		WroteRequest: func(err error) { r.add("WroteRequest" + failed(err)) },
		FirstByte:    func() { r.add("FirstByte") },
		PutIdle:      func(err error) { r.add("PutIdle" + failed(err)) },
		Resent:       func(error) { r.add("Resent") },
	}
}

// wantOrder checks that the events that came are all of want, in that order,
// and that none that must be known is missing. WroteRequest may stand anywhere
// after WroteHeader; an engine may report it when the response is already read.
func (t *T) wantOrder(r *recorder, want []string, must ...string) {
	t.Helper()
	t.eventually(func() bool { return r.has(must) })
	got := r.take()
	i := 0
	for at, event := range got {
		if event == "WroteRequest" && slices.Contains(want, "WroteHeader") {
			if slices.Contains(got[at:], "WroteHeader") {
				t.Errorf("event WroteRequest is before WroteHeader in %q", got)
			}
			continue
		}
		at := slices.Index(want[i:], event)
		if at < 0 {
			t.Errorf("event %q is out of place in %q, want the order %q", event, got, want)
			return
		}
		i += at + 1
	}
	for _, event := range must {
		if !slices.Contains(got, event) {
			t.Errorf("event %q is missing in %q", event, got)
		}
	}
}

func hookTrace(t *T) {
	e := t.engine()
	r := &recorder{}
	// The answer waits for the event, so that an engine that is still writing
	// when the answer is there need not report it late.
	wrote := make(chan struct{}, 8)
	s := t.script(func(c *conn) {
		for {
			c.request()
			select {
			case <-wrote:
			case <-time.After(patience / 2):
			}
			c.respond("ok")
		}
	})
	fetch := func(fields ...string) *recorder {
		req := t.post(s.URL, replayable("x"), fields...)
		req.Trace = r.trace()
		record := req.Trace.WroteRequest
		req.Trace.WroteRequest = func(err error) { record(err); wrote <- struct{}{} }
		t.want(e, req, 200, "ok")
		return r
	}
	tail := []string{"WroteHeader", "FirstByte"}
	t.wantOrder(fetch(), append([]string{"PoolWait", "DNSStart", "DNSDone", "ConnectStart", "ConnectDone", "GotConn"}, append(tail, "PutIdle")...),
		"ConnectStart", "ConnectDone", "GotConn", "WroteRequest", "FirstByte")
	t.wantOrder(fetch(), append([]string{"PoolWait", "GotConn reused"}, append(tail, "PutIdle")...),
		"GotConn reused", "WroteRequest", "FirstByte")
	t.wantOrder(fetch("Connection", "close"), append([]string{"PoolWait", "GotConn reused"}, append(tail, "PutIdle failed")...),
		"GotConn reused", "WroteRequest", "FirstByte")
}

func hookTraceTLS(t *T) {
	ca := t.authority()
	s := t.secure(ca.valid(), "ok")
	e := t.engine(ca.trust())
	r := &recorder{}
	req := t.request("GET", s.URL)
	req.Trace = r.trace()
	t.want(e, req, 200, "ok")
	t.wantOrder(r, []string{
		"PoolWait", "DNSStart", "DNSDone", "ConnectStart", "ConnectDone", "TLSStart", "TLSDone",
		"GotConn", "WroteHeader", "FirstByte", "PutIdle",
	}, "TLSStart", "TLSDone", "GotConn")
}

func hookTraceFailure(t *T) {
	e := t.engine()
	r := &recorder{}
	req := t.request("GET", "http://"+t.refusing())
	req.Trace = r.trace()
	_, err := t.execute(e, req)
	t.wantOp(err, engine.OpConnect)
	t.wantOrder(r, []string{"PoolWait", "DNSStart", "DNSDone", "ConnectStart", "ConnectDone failed"}, "ConnectDone failed")
}

func hookTraceResent(t *T) {
	e := t.engine()
	s, _ := t.dying()
	t.get(e, s.URL, 200, "first")
	r := &recorder{}
	req := t.request("GET", s.URL)
	req.Trace = r.trace()
	t.want(e, req, 200, "again")
	if events := r.take(); !slices.Contains(events, "Resent") {
		t.Errorf("no event Resent in %q", events)
	}
}
