package nethttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func newEngine(t *testing.T, c nethttp.Config, shared engine.Config) engine.Engine {
	t.Helper()
	if shared.Proxy == nil && c.Preconfigured == nil {
		shared.Proxy = engine.NoProxy
	}
	e, err := c.NewEngine(shared)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func request(t *testing.T, rawURL string) *engine.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Request{Method: "GET", URL: u}
}

func send(t *testing.T, e engine.Engine, req *engine.Request) (*engine.Response, string) {
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

// server is a httptest.Server whose connections are counted; all must be closed
// by the client when the test ends.
type server struct {
	*httptest.Server
	conns *leakcheck.Listener
}

func serve(t *testing.T, tls bool, change func(*httptest.Server), h http.HandlerFunc) *server {
	t.Helper()
	s := &server{Server: httptest.NewUnstartedServer(h)}
	s.conns = leakcheck.Listen(s.Listener)
	s.Listener = s.conns
	if change != nil {
		change(s.Server)
	}
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
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

// held is a server that answers when told to; began gets each request's path.
func held(t *testing.T) (s *server, began chan string, release chan struct{}) {
	began, release = make(chan string, 100), make(chan struct{})
	s = serve(t, false, nil, func(w http.ResponseWriter, r *http.Request) {
		began <- r.URL.Path
		select {
		case <-release:
		case <-r.Context().Done():
		}
		ok(w, r)
	})
	return s, began, release
}

// results runs requests in goroutines.
type result struct {
	path string
	err  error
}

func start(ctx context.Context, t *testing.T, e engine.Engine, req *engine.Request, done chan<- result) {
	go func() {
		resp, err := e.Execute(ctx, req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		done <- result{req.URL.Path, err}
	}()
}
