package dial_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
)

// lab is a network in which each address answers after a time of its own. Its
// connections are pipes; it counts those that are open.
type lab struct {
	hosts map[string]fate // by address

	mu    sync.Mutex
	began time.Time
	log   []string // "250ms ::1"
	open  int
}

type fate struct {
	after time.Duration
	err   error
	deaf  bool // does not see the end of its context
}

func (l *lab) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	l.mu.Lock()
	l.log = append(l.log, fmt.Sprint(time.Since(l.began), " ", host))
	l.mu.Unlock()
	f := l.hosts[host]
	ended := ctx.Done()
	if f.deaf {
		ended = nil
	}
	select {
	case <-time.After(f.after):
	case <-ended:
		return nil, ctx.Err()
	}
	if f.err != nil {
		return nil, f.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	conn, peer := net.Pipe()
	peer.Close()
	return &labConn{Conn: conn, lab: l, host: host}, nil
}

type labConn struct {
	net.Conn
	lab  *lab
	host string
	once sync.Once
}

func (c *labConn) Close() error {
	c.once.Do(func() {
		c.lab.mu.Lock()
		defer c.lab.mu.Unlock()
		c.lab.open--
	})
	return c.Conn.Close()
}

func addrs(list string) engine.ResolveFunc {
	var all []netip.Addr
	for a := range strings.FieldsSeq(list) {
		all = append(all, netip.MustParseAddr(a))
	}
	return func(context.Context, string) ([]netip.Addr, error) { return all, nil }
}

func TestHappyEyeballs(t *testing.T) {
	refused := errors.New("refused")
	never := fate{after: time.Hour}
	for _, tc := range []struct {
		name     string
		addrs    string
		hosts    map[string]fate
		attempts int
		timeout  time.Duration
		log      string // when what was dialled
		won      string // "" = none
		took     time.Duration
		kind     engine.TimeoutKind
	}{
		{name: "first wins", addrs: "2001:db8::1 192.0.2.1", hosts: map[string]fate{"2001:db8::1": {after: 100 * time.Millisecond}},
			log: "0s 2001:db8::1", won: "2001:db8::1", took: 100 * time.Millisecond},
		{name: "second after its delay", addrs: "2001:db8::1 192.0.2.1", hosts: map[string]fate{"2001:db8::1": never, "192.0.2.1": {after: time.Millisecond}},
			log: "0s 2001:db8::1,250ms 192.0.2.1", won: "192.0.2.1", took: 251 * time.Millisecond},
		{name: "at once after a failure", addrs: "2001:db8::1 192.0.2.1", hosts: map[string]fate{"2001:db8::1": {10 * time.Millisecond, refused, false}},
			log: "0s 2001:db8::1,10ms 192.0.2.1", won: "192.0.2.1", took: 10 * time.Millisecond},
		{name: "families take turns", addrs: "2001:db8::1 2001:db8::2 192.0.2.1 192.0.2.2 192.0.2.3",
			hosts: map[string]fate{"2001:db8::1": never, "2001:db8::2": never, "192.0.2.1": never, "192.0.2.2": never},
			log:   "0s 2001:db8::1,250ms 192.0.2.1,500ms 2001:db8::2,750ms 192.0.2.2,1s 192.0.2.3", won: "192.0.2.3", took: time.Second},
		{name: "IPv4 first", addrs: "192.0.2.1 2001:db8::1", hosts: map[string]fate{"192.0.2.1": never},
			log: "0s 192.0.2.1,250ms 2001:db8::1", won: "2001:db8::1", took: 250 * time.Millisecond},
		{name: "mapped address", addrs: "::ffff:192.0.2.1", log: "0s 192.0.2.1", won: "192.0.2.1"},
		{name: "the slow first still wins", addrs: "192.0.2.1 192.0.2.2", hosts: map[string]fate{"192.0.2.1": {after: 300 * time.Millisecond}, "192.0.2.2": never},
			log: "0s 192.0.2.1,250ms 192.0.2.2", won: "192.0.2.1", took: 300 * time.Millisecond},
		{name: "a loser that connects late", addrs: "192.0.2.1 192.0.2.2", hosts: map[string]fate{"192.0.2.1": {after: time.Second, deaf: true}},
			log: "0s 192.0.2.1,250ms 192.0.2.2", won: "192.0.2.2", took: 250 * time.Millisecond},
		{name: "both at the same moment", addrs: "192.0.2.1 192.0.2.2", hosts: map[string]fate{"192.0.2.1": {after: 300 * time.Millisecond}, "192.0.2.2": {after: 50 * time.Millisecond}},
			log: "0s 192.0.2.1,250ms 192.0.2.2", won: "any", took: 300 * time.Millisecond},
		{name: "all fail", addrs: "192.0.2.1 192.0.2.2", hosts: map[string]fate{"192.0.2.1": {err: refused}, "192.0.2.2": {err: refused}},
			log: "0s 192.0.2.1,0s 192.0.2.2"},
		{name: "three attempts", addrs: "192.0.2.1", hosts: map[string]fate{"192.0.2.1": {err: refused}}, attempts: 3,
			log: "0s 192.0.2.1,250ms 192.0.2.1,500ms 192.0.2.1", took: 500 * time.Millisecond},
		{name: "attempts share the timeout", addrs: "192.0.2.1", hosts: map[string]fate{"192.0.2.1": never}, attempts: 2, timeout: 4 * time.Second,
			log: "0s 192.0.2.1,2.25s 192.0.2.1", took: 4 * time.Second, kind: engine.KindConnect},
		{name: "timeout with a deaf dialer", addrs: "192.0.2.1", hosts: map[string]fate{"192.0.2.1": {after: time.Hour, deaf: true}}, timeout: time.Second,
			log: "0s 192.0.2.1", took: time.Second, kind: engine.KindConnect},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lab{hosts: tc.hosts, began: time.Now()}
				events := &events{}
				d := &dial.Dialer{Proxy: engine.NoProxy, Dial: l.dial, Resolve: addrs(tc.addrs), Attempts: tc.attempts}
				c, err := d.Connect(t.Context(), dial.Route{Addr: "a.example:80"}, tc.timeout, events.trace())
				if took := time.Since(l.began); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				seen := events.list()
				won := ""
				if err == nil {
					won = c.Conn.(*labConn).host
					c.Close()
				} else if op(err) != engine.OpConnect {
					t.Errorf("error = %v, want Op connect", err)
				}
				if won != tc.won && (tc.won != "any" || won == "") {
					t.Errorf("%q won, want %q (%v)", won, tc.won, err)
				}
				if timeout, ok := errors.AsType[*engine.TimeoutError](err); ok != (tc.kind != "") || ok && (timeout.Kind != tc.kind || timeout.Limit != tc.timeout) {
					t.Errorf("error = %#v", err)
				}
				time.Sleep(2 * time.Hour) // virtual: the deaf ones end too
				l.mu.Lock()
				defer l.mu.Unlock()
				if got := strings.Join(l.log, ","); got != tc.log {
					t.Errorf("dialled %s, want %s", got, tc.log)
				}
				if l.open != 0 {
					t.Errorf("%d connections are left open", l.open)
				}
				if late := events.list(); len(late) != len(seen) {
					t.Errorf("hooks were called after Connect: %v", late[len(seen):])
				}
				events.balanced(t)
			})
		})
	}
}

// events records the hooks of a trace.
type events struct {
	mu  sync.Mutex
	all []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fmt.Sprintf(format, args...))
}

func (e *events) list() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

func (e *events) balanced(t *testing.T) {
	t.Helper()
	open := map[string]int{}
	for _, event := range e.list() {
		what, address, _ := strings.Cut(event, " ")
		address, _, _ = strings.Cut(address, " ")
		switch what {
		case "connect":
			open[address]++
		case "connected":
			open[address]--
		}
	}
	for address, n := range open {
		if n != 0 {
			t.Errorf("%s: %d starts without an end in %q", address, n, e.list())
		}
	}
}

func (e *events) trace() *engine.Trace {
	return &engine.Trace{
		DNSStart:     func(host string) { e.add("dns %s", host) },
		DNSDone:      func(addrs []string, err error) { e.add("resolved %v %v", addrs, err) },
		ConnectStart: func(network, address string) { e.add("connect %s", address) },
		ConnectDone:  func(network, address string, err error) { e.add("connected %s %v", address, err) },
		TLSStart:     func() { e.add("tls") },
		TLSDone:      func(s tls.ConnectionState, err error) { e.add("secured %s %v", s.NegotiatedProtocol, err) },
	}
}

func TestResolver(t *testing.T) {
	broken := errors.New("server failure")
	for _, tc := range []struct {
		name    string
		resolve engine.ResolveFunc
		events  string
	}{
		{"error", func(context.Context, string) ([]netip.Addr, error) { return nil, broken }, "dns a.example|resolved [] server failure"},
		{"invalid", func(context.Context, string) ([]netip.Addr, error) { return make([]netip.Addr, 2), nil }, "dns a.example|resolved [] the resolver returned the zero netip.Addr among 2 for a.example"},
		{"empty", func(context.Context, string) ([]netip.Addr, error) { return nil, nil }, "dns a.example|resolved [] the resolver knows no address of a.example"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events := &events{}
			d := &dial.Dialer{Proxy: engine.NoProxy, Resolve: tc.resolve}
			_, err := d.Connect(t.Context(), dial.Route{Addr: "a.example:80"}, 0, events.trace())
			if op(err) != engine.OpDNS {
				t.Errorf("error = %v, want Op dns", err)
			}
			if got := strings.Join(events.list(), "|"); got != tc.events {
				t.Errorf("events = %s, want %s", got, tc.events)
			}
		})
	}
}

// TestRefusedAddress uses real sockets: one address refuses, the next one
// accepts.
func TestRefusedAddress(t *testing.T) {
	server, client := certificates(t)
	l := serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server), echo)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	events := &events{}
	d := &dial.Dialer{Proxy: engine.NoProxy, TLS: client, Resolve: addrs("127.0.0.2 127.0.0.1"), FallbackDelay: time.Hour}
	c, err := d.Connect(t.Context(), route(t, d, "https://example.com:"+port), 0, events.trace())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pong(t, c)
	var got []string
	for _, e := range events.list() {
		got = append(got, strings.ReplaceAll(strings.Split(e, " dial")[0], ":"+port, ""))
	}
	want := "dns example.com|resolved [127.0.0.2 127.0.0.1] <nil>|connect 127.0.0.2|connected 127.0.0.2|connect 127.0.0.1|connected 127.0.0.1 <nil>|tls|secured http/1.1 <nil>"
	if text := strings.Join(got, "|"); text != want && text != strings.Replace(want, "http/1.1", "", 1) {
		t.Errorf("events:\n%s\nwant\n%s", text, want)
	}
}

// TestAllFailures: the errors of all addresses are in the chain.
func TestAllFailures(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	l := &lab{hosts: map[string]fate{"192.0.2.1": {err: first}, "192.0.2.2": {err: second}}}
	d := &dial.Dialer{Proxy: engine.NoProxy, Dial: l.dial, Resolve: addrs("192.0.2.1 192.0.2.2")}
	_, err := d.Connect(t.Context(), dial.Route{Addr: "a.example:80"}, 0, nil)
	if !errors.Is(err, first) || !errors.Is(err, second) || err.Error() != "connect: none of 2 addresses could be connected to: first; second" {
		t.Errorf("error = %v", err)
	}
}

// TestPanics: of hooks and what checks certificates they get to the caller, of what
// runs in other goroutines they are errors; Connect never hangs, and leaves nothing
// open.
func TestPanics(t *testing.T) {
	server, client := certificates(t)
	l := serve(t, tls.NewListener(listen(t, "tcp", "127.0.0.1:0"), server), echo)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	boom := errors.New("boom")
	for _, tc := range []struct {
		name string
		set  func(*dial.Dialer, *engine.Trace)
		op   engine.Op // of the error; "" = the caller has to recover
	}{
		{"DNSStart", func(_ *dial.Dialer, t *engine.Trace) { t.DNSStart = func(string) { panic(boom) } }, ""},
		{"DNSDone", func(_ *dial.Dialer, t *engine.Trace) { t.DNSDone = func([]string, error) { panic(boom) } }, ""},
		{"ConnectStart", func(_ *dial.Dialer, t *engine.Trace) { t.ConnectStart = func(string, string) { panic(boom) } }, ""},
		{"ConnectDone", func(_ *dial.Dialer, t *engine.Trace) { t.ConnectDone = func(string, string, error) { panic(boom) } }, ""},
		{"TLSStart", func(_ *dial.Dialer, t *engine.Trace) { t.TLSStart = func() { panic(boom) } }, ""},
		{"TLSDone", func(_ *dial.Dialer, t *engine.Trace) { t.TLSDone = func(tls.ConnectionState, error) { panic(boom) } }, ""},
		{"VerifyConnection", func(d *dial.Dialer, _ *engine.Trace) {
			d.TLS.VerifyConnection = func(tls.ConnectionState) error { panic(boom) }
		}, ""},
		{"Resolve", func(d *dial.Dialer, _ *engine.Trace) {
			d.Resolve = func(context.Context, string) ([]netip.Addr, error) { panic(boom) }
		}, engine.OpDNS},
		{"Resolve exits", func(d *dial.Dialer, _ *engine.Trace) {
			d.Resolve = func(context.Context, string) ([]netip.Addr, error) { runtime.Goexit(); return nil, nil }
		}, engine.OpDNS},
		{"Dial", func(d *dial.Dialer, _ *engine.Trace) {
			d.Dial = func(context.Context, string, string) (net.Conn, error) { panic(boom) }
		}, engine.OpConnect},
		{"Dial exits", func(d *dial.Dialer, _ *engine.Trace) {
			d.Dial = func(context.Context, string, string) (net.Conn, error) { runtime.Goexit(); return nil, nil }
		}, engine.OpConnect},
		{"Control", func(d *dial.Dialer, _ *engine.Trace) {
			d.Control = func(context.Context, string, string, syscall.RawConn) error { panic(boom) }
		}, engine.OpConnect},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := &dial.Dialer{Proxy: engine.NoProxy, TLS: client.Clone(), Resolve: addrs("127.0.0.1")}
			trace := &engine.Trace{}
			tc.set(d, trace)
			var err error
			got := func() (v any) {
				defer func() { v = recover() }()
				_, err = d.Connect(t.Context(), route(t, d, "https://example.com:"+port), 0, trace)
				return nil
			}()
			exits := strings.HasSuffix(tc.name, "exits")
			switch {
			case tc.op == "" && got != boom:
				t.Errorf("recovered %v, error = %v", got, err)
			case tc.op != "" && (op(err) != tc.op || errors.Is(err, boom) == exits):
				t.Errorf("recovered %v, error = %v; want Op %s", got, err, tc.op)
			}
		})
	}
}

// TestGo: a goroutine looks up, and one connects to each address unless there is but
// one.
func TestGo(t *testing.T) {
	for _, tc := range []struct {
		addresses string
		want      int
	}{{"127.0.0.1", 1}, {"127.0.0.1 127.0.0.2", 2}} {
		t.Run(tc.addresses, func(t *testing.T) { testGo(t, tc.addresses, tc.want) })
	}
}

func testGo(t *testing.T, addresses string, want int) {
	l := serve(t, listen(t, "tcp", "127.0.0.1:0"), echo)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var mu sync.Mutex
	started := 0
	d := &dial.Dialer{Proxy: engine.NoProxy, Resolve: addrs(addresses), Go: func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		started++
		go f()
	}}
	pong(t, connect(t, d, "http://a.example:"+port))
	mu.Lock()
	defer mu.Unlock()
	if started != want {
		t.Errorf("%d goroutines started by Go, want %d", started, want)
	}
}
