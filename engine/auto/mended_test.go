package auto_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/http3"
)

// gated passes packets on to a server once it is open; what comes before is
// lost. asked is closed by the first packet.
type gated struct {
	port  string
	asked chan struct{}
	open  atomic.Bool
}

func newGated(t *testing.T, server string) *gated {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Dial("udp4", "127.0.0.1:"+server)
	if err != nil {
		t.Fatal(err)
	}
	g := &gated{asked: make(chan struct{})}
	_, g.port, _ = net.SplitHostPort(front.LocalAddr().String())
	var client atomic.Pointer[net.UDPAddr]
	once := sync.OnceFunc(func() { close(g.asked) })
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := front.ReadFromUDP(buf)
			if err != nil {
				return
			}
			client.Store(from)
			once()
			if g.open.Load() {
				_, _ = back.Write(buf[:n])
			}
		}
	})
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := back.Read(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if to := client.Load(); err == nil && to != nil {
				_, _ = front.WriteToUDP(buf[:n], to)
			}
		}
	})
	t.Cleanup(func() {
		front.Close()
		back.Close()
		wg.Wait()
	})
	return g
}

// knows is what a Storage has of one origin.
func knows(port string, at ...string) *memory {
	s := auto.Service{Origin: "example.test:" + port}
	for _, a := range at {
		s.Alternatives = append(s.Alternatives, auto.Alternative{Authority: "example.test:" + a, Expires: time.Now().Add(long)})
	}
	return &memory{Snapshot: auto.Snapshot{Services: []auto.Service{s}}}
}

// TestRescuedByHTTP3: TCP cannot connect while the handshake takes longer than its
// head start.
func TestRescuedByHTTP3(t *testing.T) {
	a := serveQUIC(t, "example.test", "0", echo)
	g := newGated(t, a.Port)
	closed := refusing(t)
	e, told := newEngine(t, auto.Config{HeadStart: time.Millisecond, Storage: knows(closed, g.port)})
	req := request(t, "POST", "https://example.test:"+closed)
	var opened atomic.Int32
	req.Body = once("only once", &opened)
	sent := start(t, e, req)
	within(t, "the handshake", g.asked)
	told.chosen(t, auto.Late)
	g.open.Store(true)
	if r := within(t, "the request", sent); r.err != nil || r.proto != "HTTP/3.0" || r.body != "only once" || opened.Load() != 1 {
		t.Errorf("%+v, opened %d times", r, opened.Load())
	}
	if ev, _ := told.last(auto.Chosen); ev.Reason != auto.Rescued || ev.Err == nil {
		t.Errorf("chosen: %+v", ev)
	}
}

// TestRescueHasLimits: a handshake that is never complete is not waited for
// longer than the request may take to connect.
func TestRescueHasLimits(t *testing.T) {
	closed := refusing(t)
	e, _ := newEngine(t, auto.Config{HeadStart: time.Millisecond, Storage: knows(closed, silent(t))})
	req := request(t, "GET", "https://example.test:"+closed)
	req.Timeouts.Connect = 50 * time.Millisecond
	done := make(chan error, 1)
	go func() {
		_, err := e.Execute(t.Context(), req)
		done <- err
	}()
	if err := within(t, "the request", done); err == nil {
		t.Error("there is a server")
	}
}

// TestFailureIsHeld: a request that fails by HTTP/3 marks nothing until TCP works.
func TestFailureIsHeld(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		config http3.Config
		held   bool
	}{
		{"broken protocol", func(w http.ResponseWriter, r *http.Request) { abandon(r, h3.ErrCodeInternalError) }, http3.Config{}, true},
		{"orderly end", func(w http.ResponseWriter, r *http.Request) { abandon(r, h3.ErrCodeNoError) }, http3.Config{}, false},
		{"limit of fields", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("A", "1")
			w.Header().Set("B", "1")
			w.Header().Set("C", "1")
			w.Header().Set("D", "1")
		}, http3.Config{MaxHeaderFields: 3}, false},
		{"limit of bytes", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("A", longText)
		}, http3.Config{MaxHeaderBytes: 1000}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := newOrigin(t)
			a := serveQUIC(t, "example.test", "0", row.answer)
			e, told := newEngine(t, auto.Config{HeadStart: long, HTTP3: row.config, Storage: knows(o.Port, a.Port)})
			if resp, err := e.Execute(t.Context(), request(t, "POST", o.URL)); err == nil {
				resp.Body.Close()
				t.Fatal("the response was good")
			}
			if ev, failed := told.last(auto.Failed); failed {
				t.Errorf("marked at once: %+v", ev)
			}
			if !row.held {
				// By TCP only if the dying connection is found dead too late.
				if resp, err := e.Execute(t.Context(), request(t, "POST", o.URL)); err == nil {
					resp.Body.Close()
				}
				if ev, _ := told.last(auto.Chosen); ev.Reason == auto.Suspected {
					t.Errorf("suspected: %+v", ev)
				}
				if ev, failed := told.last(auto.Failed); failed {
					t.Errorf("marked as broken: %+v", ev)
				}
				return
			}
			wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Suspected)
			told.await(t, auto.Failed, 1)
			wantProto(t, e, told, o.URL, "HTTP/1.1", auto.MarkedBroken)
		})
	}
}

var longText = strings.Repeat("wxyz", 2000)

// abandon ends the connection of a request.
func abandon(r *http.Request, code h3.ErrCode) {
	_ = r.Context().Value(connKey{}).(*quic.Conn).CloseWithError(quic.ApplicationErrorCode(code), "")
}

// TestSuspicionEndsWithTCP: when TCP fails too it was the network.
func TestSuspicionEndsWithTCP(t *testing.T) {
	closed := refusing(t)
	a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, r *http.Request) { abandon(r, h3.ErrCodeInternalError) })
	e, told := newEngine(t, auto.Config{HeadStart: long, Storage: knows(closed, a.Port)})
	for i, want := range []bool{false, true, false} {
		told.mu.Lock()
		before := len(told.all)
		told.mu.Unlock()
		if resp, err := e.Execute(t.Context(), request(t, "POST", "https://example.test:"+closed)); err == nil {
			resp.Body.Close()
			t.Fatal("there is a response")
		}
		told.mu.Lock()
		suspected := slices.ContainsFunc(told.all[before:], func(ev auto.Event) bool { return ev.Reason == auto.Suspected })
		told.mu.Unlock()
		if suspected != want {
			t.Errorf("request %d: suspected %v, want %v", i+1, suspected, want)
		}
	}
	if ev, failed := told.last(auto.Failed); failed {
		t.Errorf("marked as broken: %+v", ev)
	}
}

// TestMisdirectedByDNS: what DNS told of is forgotten after a 421, also at the
// origin's own authority.
func TestMisdirectedByDNS(t *testing.T) {
	for _, same := range []bool{true, false} {
		o := newOrigin(t)
		at := "0"
		if same {
			at = o.Port
		}
		a := serveQUIC(t, "example.test", at, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Alt-Svc", `h3="learnt.test:1"`) // not from a 421
			w.WriteHeader(421)
		})
		z := &zone{asked: make(chan string, 100), records: map[string][]auto.Record{
			"_" + o.Port + "._https.example.test": {{Priority: 1, Target: "example.test", ALPN: []string{"h3"}, Port: port(t, a.Port)}}}}
		e, told := newEngine(t, auto.Config{HeadStart: long, Resolver: z, DNSWait: long})
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.Misdirected)
		wantProto(t, e, told, o.URL, "HTTP/1.1", auto.NoAlternative)
		if len(a.seen) != 1 {
			t.Errorf("%d requests by HTTP/3, want 1", len(a.seen))
		}
		if s := e.Snapshot(); len(s.Services) > 0 {
			t.Errorf("learnt from a 421: %+v", s)
		}
	}
}

// TestGoingAway: a server that shuts down takes no new requests; one whose body
// can be read only once goes by TCP.
func TestGoingAway(t *testing.T) {
	o := newOrigin(t)
	began, release := make(chan struct{}, 1), make(chan struct{})
	a := serveQUIC(t, "example.test", "0", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			echo(w, r)
			return
		}
		_ = http.NewResponseController(w).Flush()
		began <- struct{}{}
		<-release
	})
	unblock := sync.OnceFunc(func() { close(release) })
	defer unblock()
	e, _ := newEngine(t, auto.Config{HeadStart: long, Storage: knows(o.Port, a.Port)})
	first, err := e.Execute(t.Context(), request(t, "GET", o.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	within(t, "the first request", began)
	down := make(chan error, 1)
	go func() { down <- a.shutdown(t.Context()) }()
	for i := 0; ; i++ { // until the GOAWAY has come
		req := request(t, "POST", o.URL)
		req.Body = content.Reader(strings.NewReader("only once"), "", -1)
		resp, err := e.Execute(t.Context(), req)
		if r, ok := errors.AsType[*h3.Error](err); ok && r.ErrorCode == h3.ErrCodeRequestRejected {
			continue // it has crossed the GOAWAY on the way, and its body was read
		}
		if err != nil {
			t.Fatalf("request %d: %v", i+1, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "only once" {
			t.Errorf("request %d: %q, %v", i+1, body, err)
		}
		if resp.Proto == "HTTP/1.1" {
			break
		}
	}
	unblock()
	first.Body.Close()
	if err := within(t, "the shutdown", down); err != nil {
		t.Error(err)
	}
}
