package stdhttp_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/stdhttp"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// engines are what the transport is tested on; another one is one line more.
var engines = []engine.Factory{
	cio.Config{},
	cio.Config{Pipelining: true},
	nethttp.Config{},
}

// newClient makes a client that is closed and waited for at the end of t.
func newClient(t *testing.T, f engine.Factory, opts ...godwit.ClientOption) *godwit.Client {
	t.Helper()
	c := godwit.New(append([]godwit.ClientOption{godwit.WithEngine(f)}, opts...)...)
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := c.Join(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// onEngines runs f with a transport on each engine.
func onEngines(t *testing.T, f func(t *testing.T, rt http.RoundTripper)) {
	t.Helper()
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) { f(t, stdhttp.Transport(newClient(t, e))) })
	}
}
