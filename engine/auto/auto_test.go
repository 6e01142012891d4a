package auto_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

const long = time.Hour

func TestLearnsByAltSvc(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h2="else:1", h3=":` + a.Port + `"; ma=3600; persist=1; v="x"`)
	e, told := newEngine(t, auto.Config{HeadStart: long})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	if ev := told.await(t, auto.Learned, 1); ev.Authority != "example.test:"+a.Port || ev.Origin != "example.test:"+o.Port {
		t.Errorf("learnt %+v", ev)
	}
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Connected)
	r := within(t, "the request", a.seen)
	if got := r.Header.Get("Alt-Used"); got != "example.test:"+a.Port || r.Host != "example.test:"+o.Port {
		t.Errorf("Alt-Used %q, host %q", got, r.Host)
	}
	if s := e.Snapshot(); len(s.Services) != 1 || !s.Services[0].Alternatives[0].Persist {
		t.Errorf("snapshot %+v", s)
	}
}

// TestSamePort: HTTP/3 at the origin's own authority needs no Alt-Used.
func TestSamePort(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", o.Port, echo)
	o.tell(`h3=":` + o.Port + `"`)
	e, told := newEngine(t, auto.Config{HeadStart: long})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	if r := within(t, "the request", a.seen); r.Header.Get("Alt-Used") != "" {
		t.Errorf("Alt-Used %q", r.Header.Get("Alt-Used"))
	}
}

func TestClear(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Alt-Svc", "clear")
		echo(w, r)
	})
	o.tell(`h3=":` + a.Port + `"`)
	e, told := newEngine(t, auto.Config{HeadStart: long})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	o.tell("")
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	told.await(t, auto.Forgotten, 1)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
}

// TestAlternativeMustBeTheOrigin: the certificate is for the alternative's own
// name, which proves nothing.
func TestAlternativeMustBeTheOrigin(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "alternative.test", "0", echo)
	o.tell(`h3="alternative.test:` + a.Port + `"`)
	e, told := newEngine(t, auto.Config{HeadStart: long})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.HandshakeError)
	ev := told.await(t, auto.Failed, 1)
	if oe, ok := errors.AsType[*engine.OpError](ev.Err); !ok || oe.Op != engine.OpTLS {
		t.Errorf("failed for %v", ev.Err)
	}
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
	if len(a.seen) > 0 {
		t.Error("a request reached the impostor")
	}
}

// TestUnverified: where nobody looks at certificates, alternatives elsewhere are
// not used.
func TestUnverified(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "alternative.test", "0", echo)
	e, told := newEngine(t, auto.Config{HeadStart: long}, func(c *engine.Config) { c.TLS.InsecureSkipVerify = true })
	o.tell(`h3="alternative.test:` + a.Port + `"`)
	for range 2 {
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	}
	if ev, learnt := told.last(auto.Learned); learnt {
		t.Errorf("learnt %+v", ev)
	}
	o.tell(`h3="alternative.test:` + a.Port + `", h3=":` + a.Port + `"`)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
}

// TestUnverifiedMemory: nor are those that an engine which did look has kept.
func TestUnverifiedMemory(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "alternative.test", "0", echo)
	m := knows(o.Port, a.Port)
	m.Services[0].Alternatives[0].Authority = "alternative.test:" + a.Port
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: m}, func(c *engine.Config) { c.TLS.InsecureSkipVerify = true })
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
}

// TestBlocked: UDP that nobody answers.
func TestBlocked(t *testing.T) {
	quick := http3.Config{QUIC: &quic.Config{HandshakeIdleTimeout: 50 * time.Millisecond}}
	t.Run("port closed", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("only Linux reports closed UDP ports to sockets that are not connected")
		}
		o := newOrigin(t)
		o.tell(`h3=":` + refusing(t) + `"`)
		e, told := newEngine(t, auto.Config{HeadStart: long})
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.HandshakeError)
		if ev := told.await(t, auto.Failed, 1); !errors.Is(ev.Err, syscall.ECONNREFUSED) || time.Until(ev.Until) < 4*time.Minute {
			t.Errorf("%v, until %v", ev.Err, ev.Until)
		}
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
	})
	t.Run("dropped, no head start left", func(t *testing.T) {
		o := newOrigin(t)
		o.tell(`h3=":` + silent(t) + `"`)
		e, told := newEngine(t, auto.Config{HeadStart: time.Millisecond, HTTP3: quick})
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Late)
		told.await(t, auto.Failed, 1)
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
	})
	t.Run("dropped, within the head start", func(t *testing.T) {
		o := newOrigin(t)
		o.tell(`h3=":` + silent(t) + `"`)
		e, told := newEngine(t, auto.Config{HeadStart: long, HTTP3: quick})
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.HandshakeError)
		told.await(t, auto.Failed, 1)
	})
}

// TestNetworkDown: what fails together with TCP is not the alternative's fault.
func TestNetworkDown(t *testing.T) {
	quick := http3.Config{QUIC: &quic.Config{HandshakeIdleTimeout: 20 * time.Millisecond}}
	resolver := auto.ResolverFunc(func(context.Context, string) ([]auto.Record, error) {
		return []auto.Record{{Priority: 1, ALPN: []string{"h3"}}}, nil
	})
	e, told := newEngine(t, auto.Config{HeadStart: long, HTTP3: quick, Resolver: resolver, DNSWait: long})
	for range 2 {
		if _, err := e.Execute(t.Context(), request(t, "GET", "https://example.test:"+silent(t))); err == nil {
			t.Fatal("there is a server")
		}
		if ev, _ := told.last(auto.Chosen); ev.Reason != auto.HandshakeError {
			t.Errorf("reason %q", ev.Reason)
		}
	}
	if ev, failed := told.last(auto.Failed); failed {
		t.Errorf("marked as broken: %+v", ev)
	}
}

// TestRecovers: a broken alternative is tried again in the background, and then
// used.
func TestRecovers(t *testing.T) {
	o := newOrigin(t)
	port := silent(t)
	o.tell(`h3="example.test:` + port + `"`)
	quick := http3.Config{QUIC: &quic.Config{HandshakeIdleTimeout: 20 * time.Millisecond}}
	e, told := newEngine(t, auto.Config{HeadStart: time.Millisecond, BrokenFor: time.Nanosecond, LongestBroken: time.Nanosecond, HTTP3: quick})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	send(t, e, request(t, "GET", o.URL))
	told.await(t, auto.Failed, 1)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Probing)
	told.await(t, auto.Failed, 2)
	if s := e.Snapshot(); len(s.Broken) != 1 || s.Broken[0].Failures != 2 {
		t.Errorf("snapshot %+v", s)
	}
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h3="example.test:` + a.Port + `"`)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Probing)
	e.NetworkChanged()
	if s := e.Snapshot(); len(s.Broken) != 0 || len(s.Services) != 0 {
		t.Errorf("after NetworkChanged: %+v", s)
	}
}

// TestComesBack: the alternative is down, and up again later.
func TestComesBack(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h3=":` + a.Port + `"`)
	quick := http3.Config{QUIC: &quic.Config{HandshakeIdleTimeout: 30 * time.Millisecond}}
	e, told := newEngine(t, auto.Config{HeadStart: long, BrokenFor: time.Nanosecond, LongestBroken: time.Nanosecond, HTTP3: quick})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	a.stop()
	for { // the connection is lost, and then a new one cannot be made
		send(t, e, request(t, "GET", o.URL))
		if _, ok := told.last(auto.Failed); ok {
			break
		}
	}
	serveQUIC(t, "example.test", a.Port, echo)
	for { // probes are made in the background
		send(t, e, request(t, "GET", o.URL))
		if _, ok := told.last(auto.Recovered); ok {
			break
		}
	}
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Connected)
	if s := e.Snapshot(); len(s.Broken) > 0 {
		t.Errorf("still broken: %+v", s)
	}
}

// TestBodyIsSentOnce: a body that can be read only once, by each way.
func TestBodyIsSentOnce(t *testing.T) {
	for _, row := range []struct {
		name      string
		port      func(*testing.T) string
		headStart time.Duration
		proto     string
	}{
		{"won", func(t *testing.T) string { return serveQUIC(t, "example.test", "0", echo).Port }, long, "HTTP/3.0"},
		{"late", func(t *testing.T) string { return silent(t) }, time.Millisecond, "HTTP/1.1"},
		{"failed", func(t *testing.T) string { return silent(t) }, long, "HTTP/1.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := newOrigin(t)
			o.tell(`h3=":` + row.port(t) + `"`)
			c := auto.Config{HeadStart: row.headStart}
			if row.name == "failed" {
				c.HTTP3.QUIC = &quic.Config{HandshakeIdleTimeout: 30 * time.Millisecond}
			}
			e, _ := newEngine(t, c)
			send(t, e, request(t, "GET", o.URL))
			var opened atomic.Int32
			req := request(t, "POST", o.URL)
			req.Body = once("only once", &opened)
			if proto, body := send(t, e, req); proto != row.proto || body != "only once" || opened.Load() != 1 {
				t.Errorf("%s %q, read %d times", proto, body, opened.Load())
			}
		})
	}
}

// TestCancelledInTheRace: the context ends while the handshake has its head start.
func TestCancelledInTheRace(t *testing.T) {
	leakcheck.Goroutines(t)
	o := newOrigin(t)
	o.tell(`h3=":` + silent(t) + `"`)
	e, _ := newEngine(t, auto.Config{HeadStart: long})
	send(t, e, request(t, "GET", o.URL))
	<-o.seen
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := e.Execute(ctx, request(t, "GET", o.URL))
		done <- err
	}()
	cancel()
	if err := within(t, "Execute after cancel", done); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	req := request(t, "GET", o.URL)
	req.Deadline, req.DeadlineKind = time.Now().Add(50*time.Millisecond), engine.KindRequest
	if _, err := e.Execute(t.Context(), req); err != nil {
		if te, ok := errors.AsType[*engine.TimeoutError](err); !ok || te.Kind != engine.KindRequest {
			t.Errorf("after its deadline: %v", err)
		}
	}
	e.Close()
	if _, err := e.Execute(t.Context(), request(t, "GET", o.URL)); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestExcluded(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h3=":` + a.Port + `"`)
	nowhere := engine.FixedProxy(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	for _, row := range []struct {
		name   string
		mod    func(*engine.Config)
		change func(*engine.Request)
		reason auto.Reason
	}{
		{"http", nil, func(r *engine.Request) { r.URL.Scheme = "http" }, auto.NotHTTPS},
		{"proxy of the request", nil, func(r *engine.Request) { r.Proxy = nowhere }, auto.Proxied},
		{"proxy of the configuration", func(c *engine.Config) { c.Proxy = nowhere }, nil, auto.Proxied},
		{"unix socket", nil, func(r *engine.Request) { r.UnixSocket = "/nowhere.sock" }, auto.Unsuited},
		{"upgrade", nil, func(r *engine.Request) { r.Protocol = "websocket" }, auto.Unsuited},
		{"Upgrade", nil, func(r *engine.Request) { r.Header.Set("Upgrade", "foo") }, auto.Unsuited},
		{"raw head", nil, func(r *engine.Request) { r.WantRawHead = true }, auto.Unsuited},
		{"needs HTTP/1.1", nil, func(r *engine.Request) { r.Needs = engine.HTTP1 }, auto.Unsuited},
		{"dialer", func(c *engine.Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("unused") }
		}, nil, auto.NotAvailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			mods := []func(*engine.Config){func(*engine.Config) {}}
			if row.mod != nil {
				mods[0] = row.mod
			}
			e, told := newEngine(t, auto.Config{HeadStart: long, Storage: &memory{Snapshot: auto.Snapshot{Services: []auto.Service{{
				Origin: "example.test:" + o.Port, Alternatives: []auto.Alternative{{Authority: "example.test:" + a.Port, Expires: time.Now().Add(long)}}}}}}}, mods...)
			req := request(t, "GET", o.URL)
			if row.change != nil {
				row.change(req)
			}
			if resp, err := e.Execute(t.Context(), req); err == nil {
				resp.Body.Close()
			}
			if ev, _ := told.last(auto.Chosen); ev.Reason != row.reason || ev.Protocol != auto.TCP {
				t.Errorf("chosen: %+v", ev)
			}
			if len(a.seen) > 0 {
				t.Error("the request went by HTTP/3")
			}
		})
	}
}

// TestDemanded: a request that needs HTTP/3 goes by it, known or not.
func TestDemanded(t *testing.T) {
	o := newOrigin(t)
	serveQUIC(t, "example.test", o.Port, echo)
	e, told := newEngine(t, auto.Config{})
	req := request(t, "GET", o.URL)
	req.Needs = engine.HTTP3
	if proto, _ := send(t, e, req); proto != "HTTP/3.0" {
		t.Errorf("went by %s", proto)
	}
	if ev, _ := told.last(auto.Chosen); ev.Reason != auto.Demanded {
		t.Errorf("reason %q", ev.Reason)
	}
}

// TestGuardHoldsForQUIC: what DialControl of the TCP engine refuses, QUIC does not
// reach either.
func TestGuardHoldsForQUIC(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h3=":` + a.Port + `"`)
	e, told := newEngine(t, auto.Config{HeadStart: long, TCP: cio.Config{
		DialControl: func(_ context.Context, network, _ string, _ syscall.RawConn) error {
			if strings.HasPrefix(network, "udp") {
				return errors.New("not by UDP")
			}
			return nil
		}}})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.HandshakeError)
}

// TestMisdirected: an alternative that answers 421 is left alone, though the origin
// goes on to name it. What cannot be sent again has that answer.
func TestMisdirected(t *testing.T) {
	for _, oneShot := range []bool{false, true} {
		o := newOrigin(t)
		a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(421)
		})
		o.tell(`h3=":` + a.Port + `"`)
		e, told := newEngine(t, auto.Config{HeadStart: long})
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
		if oneShot {
			var opened atomic.Int32
			req := request(t, "POST", o.URL)
			req.Body = once("only once", &opened)
			if r := within(t, "the request", start(t, e, req)); r.status != 421 || opened.Load() != 1 {
				t.Errorf("%+v", r)
			}
			wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Suspected)
		} else {
			wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Misdirected)
		}
		for range 2 {
			wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
		}
		if len(a.seen) != 1 {
			t.Errorf("%d requests by HTTP/3, want 1", len(a.seen))
		}
		if ev := told.await(t, auto.Failed, 1); ev.Err == nil || !strings.Contains(ev.Err.Error(), "421") {
			t.Errorf("failed for %v", ev.Err)
		}
	}
}

// TestMisdirectedEverywhere: the origin says 421 itself, so that the request is to
// blame; and one that cannot be repeated is not.
func TestMisdirectedEverywhere(t *testing.T) {
	var byTCP atomic.Int32
	misdirect := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(421)
	}
	port := serveTLS(t, false, func(w http.ResponseWriter, r *http.Request) {
		byTCP.Add(1)
		misdirect(w, r)
	})
	a := serveQUIC(t, "example.test", "0", misdirect)
	for _, oneShot := range []bool{false, true} {
		byTCP.Store(0)
		e, told := newEngine(t, auto.Config{HeadStart: long, Storage: knows(port, a.Port)})
		req, want := request(t, "POST", "https://example.test:"+port), answer{proto: "HTTP/1.1", status: 421}
		var opened atomic.Int32
		if oneShot {
			req.Body, want.proto = once("only once", &opened), "HTTP/3.0"
		}
		if r := within(t, "the request", start(t, e, req)); r != want || oneShot != (byTCP.Load() == 0) {
			t.Errorf("%+v, %d requests by TCP", r, byTCP.Load())
		}
		if ev, failed := told.last(auto.Failed); failed {
			t.Errorf("marked as broken: %+v", ev)
		}
	}
}

// TestOtherHost: an alternative on another host serves if it proves to be the
// origin.
func TestOtherHost(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h3="alternative.test:` + a.Port + `"`)
	e, told := newEngine(t, auto.Config{HeadStart: long})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	wantProto(t, e, told, o.URL, "HTTP/3.0", auto.Won)
	r := within(t, "the request", a.seen)
	if r.Header.Get("Alt-Used") != "alternative.test:"+a.Port || r.TLS.ServerName != "example.test" {
		t.Errorf("Alt-Used %q, server name %q", r.Header.Get("Alt-Used"), r.TLS.ServerName)
	}
}

// TestSpeaksOfAnother: what a response says for another server is not learnt.
func TestSpeaksOfAnother(t *testing.T) {
	o := newOrigin(t)
	o.tell(`h3=":1"`)
	e, told := newEngine(t, auto.Config{HeadStart: -1})
	req := request(t, "GET", o.URL)
	req.Header.Set("Host", "other.test")
	send(t, e, req)
	if ev, learnt := told.last(auto.Learned); learnt {
		t.Errorf("%+v", ev)
	}
	req = request(t, "GET", o.URL)
	req.Header.Set("Host", "Example.test:"+o.Port)
	send(t, e, req)
	told.await(t, auto.Learned, 1)
}

func TestBadFieldIsIgnored(t *testing.T) {
	o := newOrigin(t)
	o.tell(`h3=:443`)
	e, told := newEngine(t, auto.Config{})
	wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
	if ev := told.await(t, auto.Trouble, 1); !strings.Contains(ev.Err.Error(), "h3=:443") {
		t.Errorf("%v", ev.Err)
	}
}

// TestClient: with the client on top, redirects and all.
func TestClient(t *testing.T) {
	o := newOrigin(t)
	a := serveQUIC(t, "example.test", "0", echo)
	o.tell(`h3=":` + a.Port + `"`)
	e, _ := newEngine(t, auto.Config{HeadStart: long})
	c := godwit.New(godwit.WithEngineInstance(e))
	defer c.Close()
	for _, want := range []string{"HTTP/1.1", "HTTP/3.0"} {
		resp, err := godwit.Get[*godwit.Response](t.Context(), c, o.URL)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Proto != want {
			t.Errorf("went by %s, want %s", resp.Proto, want)
		}
	}
}
