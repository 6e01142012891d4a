package yaml_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/negotiate"
	"github.com/godwit-go/godwit/plugins/negotiate/yaml"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

type user struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// TestInAClient sends values both ways, by WithCodec and by the plugin.
func TestInAClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("X-Accept", r.Header.Get("Accept"))
		io.Copy(w, r.Body)
	}))
	defer server.Close()
	mediaType := yaml.Codec{}.MediaTypes()[0]
	for name, opt := range map[string]godwit.ClientOption{
		"WithCodec": godwit.WithCodec(yaml.Codec{}),
		"negotiate": godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{yaml.Codec{}}})),
	} {
		for engine, factory := range map[string]godwit.ClientOption{"cio": godwit.WithEngine(cio.Config{}), "nethttp": godwit.WithEngine(nethttp.Config{})} {
			c := godwit.New(factory, opt)
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					want := user{fmt.Sprint("é", i), []string{"a", "b"}}
					got, err := godwit.Post[user](t.Context(), c, server.URL, want)
					if err != nil || !cmp.Equal(got, want) {
						t.Errorf("%s, %s: %v, %v", name, engine, got, err)
					}
				})
			}
			wg.Wait()
			resp, err := godwit.Post[*godwit.Response](t.Context(), c, server.URL, user{})
			if err != nil || resp.Header.Get("Content-Type") != mediaType {
				t.Errorf("%s: %v, %v", name, resp, err)
			}
			c.Close()
		}
	}
}
