package http3_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/header"
)

// TestTrailerLimits: the limits of the head hold for the trailer section too.
func TestTrailerLimits(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		ok(w, r)
		for i := range 50 {
			w.Header().Set(http.TrailerPrefix+"X-"+itoa(i), strings.Repeat("v", 100))
		}
	})
	for _, row := range []struct {
		name   string
		config http3.Config
		fails  bool
	}{
		{"within", http3.Config{MaxHeaderFields: 50, MaxHeaderBytes: 10_000}, false},
		{"fields", http3.Config{MaxHeaderFields: 49}, true},
		{"bytes", http3.Config{MaxHeaderBytes: 4000}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			resp, err := newEngine(t, row.config).Execute(t.Context(), request(t, "GET", s.URL))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			_, protocol := errors.AsType[*engine.ProtocolError](err)
			if string(text) != "ok" || protocol != row.fails || (err != nil) != row.fails || http3.ServerFault(err) {
				t.Errorf("%q, %v", text, err)
			}
			if h := resp.Trailer(); !row.fails && h.Len() != 50 {
				t.Errorf("%d trailer fields", h.Len())
			}
		})
	}
}

// TestRefusalIsFinal: where DialControl refuses an address no other one is tried,
// and the request is not sent by a connection of an address that it allowed.
func TestRefusalIsFinal(t *testing.T) {
	s := serve(t, ok)
	_, port, _ := net.SplitHostPort(s.Addr)
	no := errors.New("not there")
	asked := make(chan string, 10)
	e := newEngine(t, http3.Config{FallbackDelay: time.Hour}, func(c *engine.Config) {
		c.Resolve = resolveTo("127.0.0.2", "127.0.0.1")
		c.DialControl = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			asked <- address
			if strings.HasPrefix(address, "127.0.0.2:") {
				return no
			}
			return nil
		}
	})
	_, err := e.Execute(t.Context(), request(t, "GET", "https://example.test:"+port))
	if !errors.Is(err, no) || op(err) != engine.OpConnect {
		t.Errorf("%v", err)
	}
	if len(asked) != 1 || len(s.conns) != 0 {
		t.Errorf("asked for %d addresses, %d connections", len(asked), len(s.conns))
	}
}

// TestKeepAlive: an idle connection is closed in time, and the next request has
// another one.
func TestKeepAlive(t *testing.T) {
	s := serve(t, ok)
	e := newEngine(t, http3.Config{KeepAlive: 20 * time.Millisecond})
	for range 2 {
		if resp, _ := get(t, e, s.URL); resp.Reused {
			t.Error("the connection outlived KeepAlive")
		}
		within(t, "the idle connection's end", within(t, "the connection", s.conns).Context().Done())
	}
	long := newEngine(t, http3.Config{KeepAlive: time.Hour})
	get(t, long, s.URL)
	if resp, _ := get(t, long, s.URL); !resp.Reused {
		t.Error("the connection did not last")
	}
}

// TestIdleWaitsForTheBody: while the sender's own code is waited for, the server
// is not to blame for the pause.
func TestIdleWaitsForTheBody(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	const idle = 50 * time.Millisecond
	words := 0
	req := request(t, "POST", s.URL)
	req.Timeouts.Idle = idle
	req.Body = content.Reader(readerFunc(func(p []byte) (int, error) {
		if words++; words == 3 {
			return 0, io.EOF
		}
		<-time.After(4 * idle)
		return copy(p, "word "), nil
	}), "", -1)
	if _, text := send(t, newEngine(t, http3.Config{}), req); text != "word word " {
		t.Errorf("%q", text)
	}
}

// TestPoolTimeoutOnOpenConnection: the wait for a free stream is limited too where
// the connection and the body were there before.
func TestPoolTimeoutOnOpenConnection(t *testing.T) {
	began := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	}, func(s *h3.Server) { s.QUICConfig.MaxIncomingStreams = 1 })
	e := newEngine(t, http3.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan error, 1)
	go func() {
		_, err := e.Execute(ctx, request(t, "GET", s.URL))
		held <- err
	}()
	within(t, "the first request", began)
	req := request(t, "POST", s.URL)
	req.Timeouts.Pool = 50 * time.Millisecond
	req.Body = content.Opener(func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }, "", -1)
	bounded, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if _, err := e.ExecuteConnected(bounded, req, ""); kind(err) != engine.KindPool {
		t.Errorf("%v", err)
	}
	cancel()
	if err := within(t, "the first request's end", held); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestUpgradeField: what HTTP/3 cannot carry is not left out in silence.
func TestUpgradeField(t *testing.T) {
	var seen atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { seen.Add(1) })
	e := newEngine(t, http3.Config{})
	for _, fields := range [][]string{{"Upgrade", "foo/2"}, {"Connection", "Upgrade", "upgrade", "foo/2"}} {
		req := request(t, "GET", s.URL)
		req.Header = header.New(fields...)
		_, err := e.Execute(t.Context(), req)
		u, ok := errors.AsType[*engine.UnsupportedError](err)
		if !ok || u.Capability != engine.HTTP1 || !strings.Contains(err.Error(), `"foo/2"`) || !strings.Contains(err.Error(), "Request.Protocol") {
			t.Errorf("%q: %v", fields, err)
		}
	}
	if seen.Load() != 0 || len(s.conns) != 0 {
		t.Errorf("%d requests were sent", seen.Load())
	}
	allowed := request(t, "GET", s.URL) // it names a field that is not there
	allowed.Header = header.New("Connection", "Upgrade")
	if resp, _ := send(t, e, allowed); resp.Status != 200 {
		t.Errorf("status %d", resp.Status)
	}
}

// TestUnsendable: a request that cannot be sent fails before there is a
// connection, or at least at once.
func TestUnsendable(t *testing.T) {
	s := serve(t, ok)
	e := newEngine(t, http3.Config{MaxConcurrent: 1})
	for _, row := range []struct {
		name   string
		change func(*engine.Request)
		text   string
	}{
		{"method", func(r *engine.Request) { r.Method = "A B" }, `"A B"`},
		{"field name", func(r *engine.Request) { r.Header = header.New("a b", "c") }, `"a b"`},
		{"field value", func(r *engine.Request) { r.Header = header.New("a", "b\nc") }, `"a"`},
		{"length", func(r *engine.Request) { r.Header = header.New("content-length", "5") }, `"content-length"`},
		{"transfer-encoding", func(r *engine.Request) { r.Header = header.New("Transfer-Encoding", "chunked") }, `"Transfer-Encoding"`},
		{"trailer", func(r *engine.Request) { r.Header = header.New("Trailer", "A") }, `"Trailer"`},
		{"trailer names", func(r *engine.Request) {
			r.TrailerNames, r.Trailer = []string{"Content-Length"}, func() header.Header { return header.Header{} }
		}, `"Content-Length"`},
		{"protocol", func(r *engine.Request) { r.Protocol = "a b" }, `"a b"`},
		{"host", func(r *engine.Request) { r.Header = header.New("Host", "a b") }, `"a b"`},
		{"target", func(r *engine.Request) { r.URL.Opaque = "nowhere" }, "nowhere"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			req := request(t, "GET", s.URL)
			row.change(req)
			resp, err := e.Execute(ctx, req)
			if err == nil {
				resp.Body.Close()
				t.Fatal("it was sent")
			}
			if op(err) != engine.OpBuild || !strings.Contains(err.Error(), row.text) || ctx.Err() != nil {
				t.Errorf("%v", err)
			}
			if o, ok := errors.AsType[*engine.OpError](err); ok && o.Sent {
				t.Errorf("%v claims that something was sent", err)
			}
			get(t, e, s.URL)
		})
	}
}

// TestForbiddenTrailer: a trailer field that cannot be sent breaks the request
// instead of being left out.
func TestForbiddenTrailer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	req := request(t, "POST", s.URL)
	req.Body, req.Trailer = content.Text("x"), func() header.Header { return header.New("Content-Length", "5") }
	_, err := newEngine(t, http3.Config{}).Execute(t.Context(), req)
	if op(err) != engine.OpSend || !strings.Contains(err.Error(), `"Content-Length"`) {
		t.Errorf("%v", err)
	}
}

// TestTE: of what TE lists HTTP/3 has trailers alone.
func TestTE(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header["Te"], "|"))
	})
	e := newEngine(t, http3.Config{})
	for _, row := range []struct {
		fields []string
		want   string
	}{
		{[]string{"TE", "trailers"}, "trailers"},
		{[]string{"TE", "gzip, trailers"}, "trailers"},
		{[]string{"te", "Trailers", "TE", "trailers"}, "trailers"},
		{[]string{"TE", "gzip"}, ""},
		{[]string{"TE", "trailers", "Connection", "TE"}, "trailers"},
	} {
		req := request(t, "GET", s.URL)
		req.Header = header.New(row.fields...)
		if _, got := send(t, e, req); got != row.want {
			t.Errorf("%q became %q, want %q", row.fields, got, row.want)
		}
	}
}
