package stdhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/stdhttp"
)

// spans wraps a RoundTripper as otelhttp does: it counts what begins and what
// ends, the latter with the end of the body.
type spans struct {
	inner        http.RoundTripper
	began, ended int
}

func (s *spans) RoundTrip(r *http.Request) (*http.Response, error) {
	s.began++
	r = r.Clone(r.Context())
	r.Header.Set("Traceparent", "00-1-2-01")
	resp, err := s.inner.RoundTrip(r)
	if err != nil {
		s.ended++
		return resp, err
	}
	resp.Body = &spanBody{ReadCloser: resp.Body, spans: s}
	return resp, nil
}

type spanBody struct {
	io.ReadCloser
	spans *spans
	once  sync.Once
}

func (b *spanBody) Close() error {
	b.once.Do(func() { b.spans.ended++ })
	return b.ReadCloser.Close()
}

// recorded answers by a handler, as RoundTrippers in tests do.
type recorded struct{ handler http.Handler }

func (h recorded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Body == nil {
		r.Body = http.NoBody // as servers have it
	}
	defer r.Body.Close()
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// TestPreconfigured runs the client on RoundTrippers.
func TestPreconfigured(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("Traceparent"), b)
	})
	s := serve(t, handler)
	own := &http.Transport{}
	defer own.CloseIdleConnections()
	inner := newClient(t, engines[0])
	for _, tc := range []struct {
		name string
		rt   http.RoundTripper
	}{
		{"http.Transport", own},
		{"handler", recorded{handler}},
		{"godwit again", stdhttp.Transport(inner)},
		{"handler in process", stdhttp.Transport(handled(t, handler))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wrapped := &spans{inner: tc.rt}
			c := newClient(t, nethttp.Config{Preconfigured: wrapped})
			got, err := godwit.Post[string](t.Context(), c, s.URL, strings.NewReader("body"))
			if err != nil || got != "POST 00-1-2-01 body" {
				t.Errorf("got %q, %v", got, err)
			}
			if err := c.Stream(t.Context(), godwit.NewRequest("GET", s.URL), func(*godwit.Response) error { return nil }); err != nil {
				t.Error(err)
			}
			if wrapped.began != 2 || wrapped.ended != 2 {
				t.Errorf("%d spans began, %d ended", wrapped.began, wrapped.ended)
			}
		})
	}
}

// TestPreconfiguredConformance runs the suite's contract on a chain of all that is
// here: engine nethttp on a transport of a client on a handler.
func TestPreconfiguredConformance(t *testing.T) {
	enginetest.Run(t, nil, enginetest.Canned("a handler in process has no wire", func(shared engine.Config, answer func(*engine.Request) enginetest.Reply) (engine.Engine, error) {
		e, err := canned(engine.Config{}, answer)
		if err != nil {
			return nil, err
		}
		return nethttp.Config{Preconfigured: stdhttp.Transport(godwit.New(godwit.WithEngineInstance(e)))}.NewEngine(shared)
	}),
		enginetest.Skip("Contract/ContentIsNotDecoded", "a RoundTripper like net/http's asks for gzip by itself, and decodes it"),
		enginetest.Skip("Contract/UnsupportedIsRefused", "engine nethttp refuses what is about its own transport by errors that name the option"))
}
