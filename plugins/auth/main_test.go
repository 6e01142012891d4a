package auth_test

import (
	"context"
	"encoding/base64"
	"net"
	"net/netip"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/auth"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const url = "http://example.org/dir/file"

// client returns a client on eng with the given providers.
func client(t *testing.T, eng *mock.Engine, providers ...auth.Provider) *godwit.Client {
	t.Helper()
	return clientWith(t, eng, godwit.Install(auth.New(providers...)))
}

func clientWith(t *testing.T, eng *mock.Engine, opts ...godwit.ClientOption) *godwit.Client {
	t.Helper()
	c := godwit.New(append([]godwit.ClientOption{godwit.WithEngineInstance(eng)}, opts...)...)
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := c.Join(context.Background()); err != nil {
			t.Error(err)
		}
		eng.AssertBodiesClosed(t)
	})
	return c
}

// serve returns an engine that answers by f.
func serve(f func(ctx context.Context, req *mock.Request) *mock.Response) *mock.Engine {
	return mock.Serve(mock.Func(func(ctx context.Context, req *mock.Request) (*mock.Response, error) { return f(ctx, req), nil }))
}

// unauthorized is a 401 with challenges.
func unauthorized(challenges ...string) *mock.Response {
	r := mock.Text(401, "refused")
	for _, c := range challenges {
		r.WithHeader("WWW-Authenticate", c)
	}
	return r
}

// wants answers 200 to requests with that Authorization, else 401.
func wants(authorization string, challenges ...string) func(context.Context, *mock.Request) *mock.Response {
	return func(_ context.Context, r *mock.Request) *mock.Response {
		if r.Header.Get("Authorization") == authorization {
			return mock.OK("in")
		}
		return unauthorized(challenges...)
	}
}

func get(t *testing.T, c *godwit.Client, url string, opts ...godwit.Option) *godwit.Response {
	t.Helper()
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url, opts...))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// sent returns the values of a field in all requests, "-" where there is none.
func sent(eng *mock.Engine, field string) []string {
	var all []string
	for _, r := range eng.Requests() {
		v, ok := r.Header.Lookup(field)
		if !ok {
			v = "-"
		}
		all = append(all, v)
	}
	return all
}

func basicValue(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// via describes a connection to that address.
func via(addr string) *engine.Conn {
	return &engine.Conn{Remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}
}

func param(t *testing.T, credentials, name string) string {
	t.Helper()
	all := header.ParseChallenges(header.New("A", credentials), "A")
	if len(all) != 1 {
		t.Fatalf("%q is not one set of credentials", credentials)
	}
	return all[0].Param(name)
}
