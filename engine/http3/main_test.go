package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/testpeer"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// patience bounds what should take no time at all.
const patience = testpeer.Patience

// server is quic-go's HTTP/3 server on a loopback address.
type server struct {
	*h3.Server
	URL   string
	Addr  string
	stop  func()
	conns chan *quic.Conn // each accepted one
}

// serve starts a server for 127.0.0.1, localhost and example.test.
func serve(t testing.TB, h http.HandlerFunc, changes ...func(*h3.Server)) *server {
	t.Helper()
	return serveOn(t, testpeer.ListenUDP(t, "0"), h, changes...)
}

func serveOn(t testing.TB, socket *net.UDPConn, h http.HandlerFunc, changes ...func(*h3.Server)) *server {
	t.Helper()
	s := &server{Server: &h3.Server{Handler: h}, Addr: socket.LocalAddr().String(), conns: make(chan *quic.Conn, 100)}
	s.URL = "https://" + s.Addr
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{testpeer.CA(t).Issue(t, "127.0.0.1", "localhost", "example.test")}}
	s.QUICConfig = &quic.Config{Allow0RTT: true}
	s.ConnContext = func(ctx context.Context, c *quic.Conn) context.Context {
		s.conns <- c
		return ctx
	}
	for _, change := range changes {
		change(s.Server)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(socket)
	}()
	s.stop = sync.OnceFunc(func() {
		s.Close()
		socket.Close()
		<-done
	})
	t.Cleanup(s.stop)
	return s
}

// newEngine makes an engine that trusts the test's CA.
func newEngine(t testing.TB, c http3.Config, mods ...func(*engine.Config)) *http3.Engine {
	t.Helper()
	shared := engine.Config{Proxy: engine.NoProxy, TLS: &tls.Config{RootCAs: testpeer.CA(t).Pool}}
	for _, mod := range mods {
		mod(&shared)
	}
	e, err := c.New(shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func request(t testing.TB, method, rawURL string) *engine.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Request{Method: method, URL: u}
}

// send sends req and reads the answer.
func send(t testing.TB, e engine.Engine, req *engine.Request) (*engine.Response, string) {
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
	return resp, string(text)
}

func get(t testing.TB, e engine.Engine, rawURL string) (*engine.Response, string) {
	t.Helper()
	return send(t, e, request(t, "GET", rawURL))
}

func ok(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ok") }

func op(err error) engine.Op {
	if e, ok := errors.AsType[*engine.OpError](err); ok {
		return e.Op
	}
	return ""
}

func kind(err error) engine.TimeoutKind {
	if e, ok := errors.AsType[*engine.TimeoutError](err); ok {
		return e.Kind
	}
	return ""
}

// within waits for ch.
func within[V any](t testing.TB, what string, ch <-chan V) V {
	t.Helper()
	return testpeer.Within(t, what, ch)
}

// resolveTo answers every name with addrs.
func resolveTo(addrs ...string) engine.ResolveFunc {
	return func(context.Context, string) ([]netip.Addr, error) {
		var all []netip.Addr
		for _, a := range addrs {
			all = append(all, netip.MustParseAddr(a))
		}
		return all, nil
	}
}
