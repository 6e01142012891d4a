package hosts_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/hosts"
	"github.com/godwit-go/godwit/plugins/retry"
)

// TestModifiedHost: a repetition that goes to another host takes none of the first
// one's fields there, and gets those of its own.
func TestModifiedHost(t *testing.T) {
	for name, row := range map[string]struct {
		host string // of the repetition
		opts []godwit.Option
		want string
	}{
		"the same":          {"a.test", nil, "a.test A a"},
		"none of its own":   {"c.test", nil, "c.test  "},
		"with its own":      {"b.test", nil, "b.test B "},
		"the request's own": {"b.test", []godwit.Option{godwit.Header("X-Key", "own")}, "b.test own "},
		"ignored":           {"b.test", []godwit.Option{hosts.Ignore(true)}, "b.test  "},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []string
			handler := func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if seen = append(seen, r.Host+" "+r.Header.Get("X-Key")+" "+r.Header.Get("X-Only")); len(seen)%2 == 1 {
					w.WriteHeader(503)
				}
			}
			onHosts(t, handler, func(t *testing.T, c *godwit.Client) {
				seen = nil
				req := godwit.NewRequest("GET", "http://a.test/", row.opts...)
				if _, err := c.Do(t.Context(), req); err != nil {
					t.Fatal(err)
				}
				resp, err := c.RoundTrip(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Close()
				if !slices.Equal([]string{row.want, row.want}, []string{seen[1], seen[3]}) {
					t.Errorf("seen %q, want %q", seen, row.want)
				}
			}, godwit.Install(
				hosts.New(
					hosts.Rule{Host: "a.test", Header: header.New("X-Key", "A", "X-Only", "a")},
					hosts.Rule{Host: "b.test", Header: header.New("X-Key", "B")},
				),
				retry.New(retry.Config{BaseDelay: time.Nanosecond, Modify: func(_ context.Context, req *godwit.Request, _ int) error {
					req.URL.Host = row.host
					return nil
				}}),
			))
		})
	}
}

// TestRequestOfAnEarlierCall: what a rule left on it does not count.
func TestRequestOfAnEarlierCall(t *testing.T) {
	onHosts(t, echo, func(t *testing.T, c *godwit.Client) {
		first, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://a.test/"))
		if err != nil {
			t.Fatal(err)
		}
		again := first.Request().Clone()
		u := *again.URL
		u.Host = "c.test"
		again.URL = &u
		again.With(godwit.Header("X-Key", "A")) // by hand, it is the request's own
		for _, ignore := range []bool{false, true} {
			resp, err := c.Do(t.Context(), again.Clone().With(hosts.Ignore(ignore)))
			if err != nil || resp.Request().Header.Get("X-Key") != "A" {
				t.Errorf("Ignore(%v): %v, %v", ignore, resp, err)
			}
		}
	}, godwit.Install(hosts.New(hosts.Rule{Host: "a.test", Header: header.New("X-Key", "A")})))
}
