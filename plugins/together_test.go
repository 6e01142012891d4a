// Package plugins_test installs every plugin at once.
package plugins_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/auth"
	"github.com/godwit-go/godwit/plugins/callid"
	"github.com/godwit-go/godwit/plugins/cookies"
	"github.com/godwit-go/godwit/plugins/encoding"
	"github.com/godwit-go/godwit/plugins/hosts"
	"github.com/godwit-go/godwit/plugins/hsts"
	"github.com/godwit-go/godwit/plugins/negotiate"
	"github.com/godwit-go/godwit/plugins/observer"
	"github.com/godwit-go/godwit/plugins/retry"
	"github.com/godwit-go/godwit/plugins/useragent"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// everything returns all plugins, in one of two orders: it does not matter.
func everything(backwards bool, seen *atomic.Int32) godwit.ClientOption {
	all := []godwit.Plugin{
		auth.New(auth.Basic{User: "ada", Password: "pw"}),
		callid.New(callid.Config{}),
		cookies.New(cookies.Config{}),
		encoding.New(encoding.Config{}),
		hosts.New(hosts.Rule{Host: "*", Header: header.New("X-By-Host", "yes")}),
		hsts.New(hsts.Config{}),
		negotiate.New(negotiate.Config{}),
		observer.New(observer.Config{Handle: func(context.Context, *observer.Copy) error { seen.Add(1); return nil }}),
		retry.New(retry.Config{BaseDelay: time.Millisecond, Budget: retry.Budget{Ratio: -1}}),
		useragent.New(useragent.Config{}),
	}
	if backwards {
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
	}
	return godwit.Install(all...)
}

type item struct {
	ID int `json:"id"`
}

// difficult answers each id with a 503, a 401 and a redirect before the gzipped
// JSON, and wants the cookie that the 401 set.
type difficult struct {
	mu    sync.Mutex
	tries map[string]int
}

func (d *difficult) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	d.mu.Lock()
	d.tries[id]++
	first := d.tries[id] == 1
	d.mu.Unlock()
	_, _, authorized := r.BasicAuth()
	cookie, _ := r.Cookie("seen")
	switch {
	case first:
		w.WriteHeader(503)
	case !authorized:
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "401", Path: "/"})
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(401)
	case r.URL.Path == "/from":
		http.Redirect(w, r, "/to?id="+id, http.StatusTemporaryRedirect)
	case r.Header.Get("X-By-Host") != "yes" || r.Header.Get("X-Request-Id") == "" || cookie == nil:
		http.Error(w, fmt.Sprint(r.Header), 400)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprintf(z, `{"id":%s}`, id)
		z.Close()
	}
}

func TestEverythingTogether(t *testing.T) {
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		for _, backwards := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, backwards), func(t *testing.T) {
				server := httptest.NewServer(&difficult{tries: make(map[string]int)})
				defer server.Close()
				var seen atomic.Int32
				c := godwit.New(godwit.WithEngine(factory), everything(backwards, &seen))
				defer c.Close()
				if err := c.Err(); err != nil {
					t.Fatal(err)
				}
				if _, err := godwit.Get[item](t.Context(), c, server.URL+"/from", godwit.Param("id", 1000)); err != nil {
					t.Fatal(err)
				}
				ids := make([]int, 64)
				for i := range ids {
					ids[i] = i
				}
				got, err := godwit.Parallel(t.Context(), 64, ids, func(ctx context.Context, id int) (item, error) {
					return godwit.Get[item](ctx, c, server.URL+"/from", godwit.Param("id", id))
				})
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range got {
					if v.ID != i {
						t.Errorf("item %d: %+v", i, v)
					}
				}
				c.Close()
				if err := c.Join(t.Context()); err != nil {
					t.Error(err)
				}
				if seen.Load() != 65 {
					t.Errorf("the observer saw %d of 65 responses", seen.Load())
				}
			})
		}
	}
}

func TestEverythingOnMock(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, `{"id":7}`)
	z.Close()
	eng := mock.NewT(t,
		mock.Status(503),
		mock.Status(401).WithHeader("WWW-Authenticate", `Basic realm="r"`, "Set-Cookie", "seen=401; Path=/"),
		mock.Redirect("/to"),
		mock.When(mock.HeaderIs("Cookie", "seen=401"), mock.HasHeader("Authorization"), mock.HasHeader("X-Request-Id"), mock.Path("/to")).
			Reply(mock.Bytes(200, "application/json", zipped.Bytes()).WithHeader("Content-Encoding", "gzip")),
	)
	var seen atomic.Int32
	c := godwit.New(godwit.WithEngineInstance(eng), everything(false, &seen))
	defer c.Close()
	if v, err := godwit.Get[item](t.Context(), c, "http://example.org/from"); err != nil || v.ID != 7 {
		t.Errorf("%+v, %v", v, err)
	}
}

// What the plugins cost beside the bare client: a small GET over a real socket.
func BenchmarkSmallGet(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer server.Close()
	for name, opts := range map[string][]godwit.ClientOption{
		"bare": nil,
		"auth, cookies, encoding, retry": {godwit.Install(auth.New(auth.Basic{User: "ada", Password: "pw", Preemptive: true}),
			cookies.New(cookies.Config{}), encoding.New(encoding.Config{}), retry.New(retry.Config{}))},
	} {
		b.Run(name, func(b *testing.B) {
			c := godwit.New(opts...)
			defer c.Close()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := godwit.Get[[]byte](b.Context(), c, server.URL); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
