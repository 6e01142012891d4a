package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/auth"
)

// TestAllAtOnce: all providers on one client, from 64 goroutines, on engines with
// a wire; the refresh asks the same server by the same client.
func TestAllAtOnce(t *testing.T) {
	var refreshes atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization := r.Header.Get("Authorization")
		switch {
		case r.URL.Path == "/token":
			if authorization != "" {
				t.Errorf("the refresh was sent with %q", authorization)
			}
			fmt.Fprintf(w, "t%d", refreshes.Add(1))
		case r.Header.Get("X-API-Key") != "k":
			w.WriteHeader(403)
		case !strings.HasPrefix(authorization, "Bearer t") || authorization == "Bearer t0":
			w.Header().Set("WWW-Authenticate", `Basic realm="x", Bearer`)
			w.WriteHeader(401)
			fmt.Fprint(w, strings.Repeat("refused ", 1000))
		default:
			fmt.Fprint(w, "in")
		}
	}))
	defer server.Close()
	var c *godwit.Client
	clients(t, direct, auth.APIKey{Key: "k"}, func(t *testing.T, alone *godwit.Client) {
		refreshes.Store(0)
		c = alone.With(godwit.Install(auth.New(
			auth.APIKey{Key: "k"},
			auth.Bearer{Token: "t0", Refresh: func(ctx context.Context, _ auth.Token) (auth.Token, error) {
				s, err := godwit.Get[string](ctx, c, server.URL+"/token")
				return auth.Token{Access: s}, err
			}},
			auth.Digest{User: "ada", Password: "pw"},
			auth.Basic{User: "ada", Password: "pw"},
			auth.SigV4{AWSCredentials: auth.AWSCredentials{AccessKey: "a", SecretKey: "s"}, Region: "r", Service: "s", Hosts: []string{"aws.example"}},
		)))
		defer c.Close()
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 5 {
					if s, err := godwit.Post[string](t.Context(), c, server.URL, "body"); err != nil || s != "in" {
						t.Errorf("%q, %v", s, err)
					}
				}
			})
		}
		wg.Wait()
		if n := refreshes.Load(); n != 1 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// BenchmarkGet compares a small GET without the plugin and with it.
func BenchmarkGet(b *testing.B) {
	for _, row := range []struct {
		name     string
		provider auth.Provider
	}{{"bare", nil}, {"bearer", auth.Bearer{Token: "t"}}, {"basic", adas}, {"key", auth.APIKey{Key: "k"}}} {
		b.Run(row.name, func(b *testing.B) {
			eng, err := mock.Config{Handlers: []mock.Handler{mock.Always(mock.OK("in"))}, NoHistory: true}.NewEngine(direct)
			if err != nil {
				b.Fatal(err)
			}
			opts := []godwit.ClientOption{godwit.WithEngineInstance(eng)}
			if row.provider != nil {
				opts = append(opts, godwit.Install(auth.New(row.provider)))
			}
			c := godwit.New(opts...)
			defer c.Close()
			req := godwit.NewRequest("GET", url)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Do(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
