package sdktest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/stdhttp"
)

// engines are what everything here runs on; another one is one line more.
var engines = []engine.Factory{
	cio.Config{},
	nethttp.Config{},
}

// http2Engines are those that speak HTTP/2.
var http2Engines = []engine.Factory{
	nethttp.Config{},
	cio.Config{},
	h2.Config{},
}

// patience bounds a whole test.
const patience = 30 * time.Second

// newClient makes a client that trusts s, which may be nil, and is closed and
// waited for at the end of t.
func newClient(t *testing.T, f engine.Factory, s *httptest.Server, opts ...godwit.ClientOption) *godwit.Client {
	t.Helper()
	opts = append([]godwit.ClientOption{godwit.WithEngine(f)}, opts...)
	if s != nil && s.TLS != nil {
		trust := s.Client().Transport.(*http.Transport).TLSClientConfig
		opts = append(opts, godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust }))
	}
	c := godwit.New(opts...)
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Join(ctx); err != nil {
			t.Errorf("the SDK left a response open: %v", err)
		}
	})
	return c
}

// onEngines runs f with an http.Client on each engine.
func onEngines(t *testing.T, s *httptest.Server, f func(t *testing.T, ctx context.Context, hc *http.Client)) {
	t.Helper()
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			f(t, ctx, stdhttp.Client(newClient(t, e, s)))
		})
	}
}

func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}
