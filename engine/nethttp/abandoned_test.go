package nethttp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// written is a Writer that passes lines on.
type written chan string

func (w written) Write(p []byte) (int, error) { w <- string(p); return len(p), nil }

// TestAbandonedHandshake: an exchange that gets an idle connection while its own
// one is in its handshake leaves the latter to others. net/http may have handed
// it out already, so it must not be broken off.
func TestAbandonedHandshake(t *testing.T) {
	var handshakes atomic.Int32
	began, resume, holding, release := make(chan bool, 1), make(chan bool), make(chan bool, 1), make(chan bool)
	secured, failed := make(chan bool, 4), make(written, 4)
	s := serve(t, true, func(s *httptest.Server) {
		s.Config.ErrorLog = log.New(failed, "", 0)
		s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if handshakes.Add(1) == 2 {
				began <- true
				<-resume
			}
			return nil, nil
		}}
	}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			holding <- true
			<-release
		}
		io.WriteString(w, "ok")
	})
	e := newEngine(t, nethttp.Config{Protocol: nethttp.HTTP1}, engine.Config{TLS: &tls.Config{
		InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { secured <- true; return nil },
	}})
	done := make(chan string, 2)
	for _, path := range []string{"/held", "/"} {
		go func() {
			resp, err := e.Execute(t.Context(), request(t, s.URL+path))
			if err != nil {
				done <- err.Error()
				return
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			done <- string(b)
		}()
		if path == "/held" {
			<-holding
			<-secured
		}
	}
	<-began
	close(release)
	for range 2 { // both on the first connection
		if got := <-done; got != "ok" {
			t.Error(got)
		}
	}
	close(resume)
	select {
	case <-secured:
	case line := <-failed:
		t.Errorf("the second connection was broken off: %s", line)
	case <-time.After(10 * time.Second):
		t.Error("the second handshake does not end")
	}
}

// TestAbandonedTunnel: an exchange that gets an idle connection while the proxy
// makes a tunnel for it does not blame the proxy for what the origin does then.
func TestAbandonedTunnel(t *testing.T) {
	holding, release := make(chan bool, 1), make(chan bool)
	s := serve(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			holding <- true
			<-release
			return
		}
		<-r.Context().Done()
	})
	l, began := listen(t), make(chan bool, 1)
	go func() {
		first, err := l.Accept()
		if err != nil {
			return
		}
		go relayed(first, s.Listener.Addr().String(), connected, make(chan *http.Request, 1))
		second, err := l.Accept()
		if err != nil {
			return
		}
		defer second.Close()
		r := bufio.NewReader(second)
		_, _ = http.ReadRequest(r)
		began <- true
		_, _ = r.ReadByte() // no answer
	}()
	e := newEngine(t, nethttp.Config{Protocol: nethttp.HTTP1, TLS: trust(s)}, engine.Config{Proxy: engine.FixedProxy(parse(t, "http://"+l.Addr().String()))})
	done := make(chan result, 2)
	start(t.Context(), t, e, request(t, "https://example.com/held"), done)
	<-holding
	req := request(t, "https://example.com/slow")
	req.Timeouts.Header = 30 * time.Millisecond
	start(t.Context(), t, e, req, done)
	<-began
	close(release)
	for range 2 {
		got := <-done
		_, blamed := errors.AsType[*engine.ProxyError](got.err)
		want := map[string]error{"/slow": &engine.OpError{Op: engine.OpReceive, Err: &engine.TimeoutError{Kind: engine.KindHeader}}}[got.path]
		if blamed || op(got.err) != op(want) || kind(got.err) != kind(want) {
			t.Errorf("%s: %v", got.path, got.err)
		}
	}
	e.Close()
	l.WaitClosed(t)
}

// TestAbandonedConnect: each ConnectStart has its ConnectDone before the exchange
// is over, whether a limit ends that or a connection of another exchange.
func TestAbandonedConnect(t *testing.T) {
	s, began, release := held(t)
	dials, dialling := make(chan bool, 1), make(chan bool, 1)
	dials <- true
	e := newEngine(t, nethttp.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case <-dials:
			return (&net.Dialer{}).DialContext(ctx, network, address)
		default:
			dialling <- true
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}}, engine.Config{})
	held, done := make(chan result, 1), make(chan result, 1)
	start(t.Context(), t, e, request(t, s.URL+"/held"), held)
	<-began
	for _, path := range []string{"/limit", "/other"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := make(chan string, 10)
		req := request(t, s.URL+path)
		req.Trace = &engine.Trace{
			ConnectStart: func(string, string) { events <- "start" },
			ConnectDone:  func(_, _ string, err error) { events <- fmt.Sprint("done ", err) },
		}
		start(ctx, t, e, req, done)
		<-dialling
		if path == "/limit" {
			cancel()
		} else {
			close(release)
		}
		if r := <-done; (r.err == nil) != (path == "/other") {
			t.Errorf("%s: %v", path, r.err)
		}
		close(events)
		var got []string
		for event := range events {
			got = append(got, event)
		}
		if want := []string{"start", "done context canceled"}; !slices.Equal(got, want) {
			t.Errorf("%s: the hooks are called as %q, want %q", path, got, want)
		}
	}
	if r := <-held; r.err != nil {
		t.Error(r.err)
	}
}
