package auto_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/testpeer"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// patience bounds what should take no time at all.
const patience = testpeer.Patience

// issue makes a server's configuration for names.
func issue(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{testpeer.CA(t).Issue(t, names...)}}
}

// origin is https://example.test, which has HTTP/1.1 over TCP.
type origin struct {
	URL  string
	Port string

	mu     sync.Mutex // guards altSvc
	altSvc string
	seen   chan *http.Request
}

// tell sets the Alt-Svc field of the responses over TCP.
func (o *origin) tell(altSvc string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.altSvc = altSvc
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{seen: make(chan *http.Request, 100)}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		if o.altSvc != "" {
			w.Header().Set("Alt-Svc", o.altSvc)
		}
		o.mu.Unlock()
		note(o.seen, r)
		echo(w, r)
	}))
	s.TLS = issue(t, "example.test")
	s.StartTLS()
	t.Cleanup(s.Close)
	_, o.Port, _ = net.SplitHostPort(s.Listener.Addr().String())
	o.URL = "https://example.test:" + o.Port
	return o
}

// note keeps the first requests.
func note(seen chan<- *http.Request, r *http.Request) {
	select {
	case seen <- r:
	default:
	}
}

// echo answers with the request's body, or else its protocol.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if len(body) == 0 {
		body = []byte(r.Proto)
	}
	_, _ = w.Write(body)
}

// alternative is an HTTP/3 server.
type alternative struct {
	Port string
	seen chan *http.Request
	stop func()

	shutdown func(context.Context) error
}

// connKey is what the handlers' contexts have the *quic.Conn by.
type connKey struct{}

// serveQUIC starts an HTTP/3 server with a certificate for name, on a port of the
// loopback address; "0" = any.
func serveQUIC(t testing.TB, name, port string, h http.HandlerFunc) *alternative {
	t.Helper()
	socket := testpeer.ListenUDP(t, port)
	a := &alternative{seen: make(chan *http.Request, 100)}
	_, a.Port, _ = net.SplitHostPort(socket.LocalAddr().String())
	s := &h3.Server{TLSConfig: issue(t, name), QUICConfig: &quic.Config{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(a.seen, r)
		h(w, r)
	})}
	s.ConnContext = func(ctx context.Context, c *quic.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	a.shutdown = s.Shutdown
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(socket)
	}()
	a.stop = sync.OnceFunc(func() {
		s.Close()
		socket.Close()
		<-done
	})
	t.Cleanup(a.stop)
	return a
}

// silent returns a port where packets are received and never answered.
func silent(t testing.TB) string { return portOf(testpeer.SilentUDP(t)) }

// refusing returns a port where nothing listens.
func refusing(t testing.TB) string { return portOf(testpeer.ClosedUDP(t)) }

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// events collects what an engine tells.
type events struct {
	mu  sync.Mutex // guards all
	all []auto.Event
	new chan struct{}
}

func (e *events) add(ev auto.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
	select {
	case e.new <- struct{}{}:
	default:
	}
}

// last returns the last event of a kind.
func (e *events) last(kind auto.Kind) (ev auto.Event, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.all {
		if one.Kind == kind {
			ev, ok = one, true
		}
	}
	return ev, ok
}

// await waits for an event of a kind, at least the nth.
func (e *events) await(t testing.TB, kind auto.Kind, n int) auto.Event {
	t.Helper()
	return e.awaitNth(t, string(kind), n, func(ev auto.Event) bool { return ev.Kind == kind })
}

// chosen waits until a request goes for a reason.
func (e *events) chosen(t testing.TB, reason auto.Reason) auto.Event {
	t.Helper()
	return e.awaitNth(t, string(reason), 1, func(ev auto.Event) bool { return ev.Kind == auto.Chosen && ev.Reason == reason })
}

func (e *events) awaitNth(t testing.TB, what string, n int, is func(auto.Event) bool) auto.Event {
	t.Helper()
	deadline := time.After(patience)
	for {
		e.mu.Lock()
		all := e.all
		e.mu.Unlock()
		count := 0
		for _, ev := range all {
			if is(ev) {
				if count++; count == n {
					return ev
				}
			}
		}
		select {
		case <-e.new:
		case <-deadline:
			t.Fatalf("no event %q; there were %+v", what, all)
		}
	}
}

// newEngine makes an engine that trusts the test's CA and finds all names on the
// loopback address. Unless c says otherwise TCP connections are not kept, so that
// HTTP/3 has its head start each time.
func newEngine(t testing.TB, c auto.Config, mods ...func(*engine.Config)) (*auto.Engine, *events) {
	t.Helper()
	told := &events{new: make(chan struct{}, 1)}
	if c.TCP.KeepAlive == 0 {
		c.TCP.KeepAlive = -1
	}
	if c.OnEvent == nil {
		c.OnEvent = told.add
	}
	shared := engine.Config{Proxy: engine.NoProxy, TLS: &tls.Config{RootCAs: testpeer.CA(t).Pool},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}}
	for _, mod := range mods {
		mod(&shared)
	}
	e, err := c.New(shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e, told
}

func request(t testing.TB, method, rawURL string) *engine.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Request{Method: method, URL: u}
}

// send sends req and returns how it went, and the answer.
func send(t testing.TB, e engine.Engine, req *engine.Request) (proto, body string) {
	t.Helper()
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Proto, string(text)
}

// wantProto sends a GET and compares the protocol and why it was chosen.
func wantProto(t testing.TB, e engine.Engine, told *events, rawURL, proto string, reason auto.Reason) {
	t.Helper()
	if got, _ := send(t, e, request(t, "GET", rawURL)); got != proto {
		t.Errorf("went by %s, want %s", got, proto)
	}
	if ev, _ := told.last(auto.Chosen); ev.Reason != reason {
		t.Errorf("reason %q (%v), want %q", ev.Reason, ev.Err, reason)
	}
}

// within waits for ch.
func within[V any](t testing.TB, what string, ch <-chan V) V {
	t.Helper()
	return testpeer.Within(t, what, ch)
}
