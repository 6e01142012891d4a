// Package everyengine runs a test of a plugin on each engine.
package everyengine

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// Run runs f with a client on each engine: two over a real server, and the mock,
// which calls the handler itself. The clients are closed and waited for.
func Run(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, c *godwit.Client, base string), opts ...godwit.ClientOption) {
	t.Helper()
	for _, row := range []struct {
		name   string
		engine godwit.ClientOption
	}{
		{"cio", godwit.WithEngine(cio.Config{})},
		{"nethttp", godwit.WithEngine(nethttp.Config{})},
		{"mock", godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(served(handler))}})},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			c := godwit.New(append([]godwit.ClientOption{row.engine}, opts...)...)
			defer c.Join(context.WithoutCancel(t.Context()))
			defer c.Close()
			if err := c.Err(); err != nil {
				t.Fatal(err)
			}
			f(t, c, server.URL)
		})
	}
}

// served makes the mock engine answer as the handler does.
func served(handler http.HandlerFunc) mock.Handler {
	return mock.Func(func(ctx context.Context, r *mock.Request) (*mock.Response, error) {
		hr := httptest.NewRequestWithContext(ctx, r.Method, r.URL.String(), r.Reader())
		for name, v := range r.Header.All() {
			hr.Header.Add(name, v)
		}
		rec := httptest.NewRecorder()
		handler(rec, hr)
		resp := mock.Bytes(rec.Code, "", rec.Body.Bytes())
		for name, values := range rec.Header() {
			for _, v := range values {
				resp.WithHeader(name, v)
			}
		}
		return resp, nil
	})
}
