package protobuf_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/negotiate"
	"github.com/godwit-go/godwit/plugins/negotiate/protobuf"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// TestInAClient sends values both ways, by WithCodec and by the plugin.
func TestInAClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("X-Accept", r.Header.Get("Accept"))
		io.Copy(w, r.Body)
	}))
	defer server.Close()
	mediaType := protobuf.Codec{}.MediaTypes()[0]
	for name, opt := range map[string]godwit.ClientOption{
		"WithCodec": godwit.WithCodec(protobuf.Codec{}),
		"negotiate": godwit.Install(negotiate.New(negotiate.Config{Codecs: []godwit.Codec{protobuf.Codec{}}})),
	} {
		for engine, factory := range map[string]godwit.ClientOption{"cio": godwit.WithEngine(cio.Config{}), "nethttp": godwit.WithEngine(nethttp.Config{})} {
			c := godwit.New(factory, opt)
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					want := wrapperspb.String(fmt.Sprint("é", i))
					got, err := godwit.Post[*wrapperspb.StringValue](t.Context(), c, server.URL, want)
					if err != nil || !proto.Equal(got, want) {
						t.Errorf("%s, %s: %v, %v", name, engine, got, err)
					}
				})
			}
			wg.Wait()
			resp, err := godwit.Post[*godwit.Response](t.Context(), c, server.URL, wrapperspb.String(""))
			if err != nil || resp.Header.Get("Content-Type") != mediaType {
				t.Errorf("%s: %v, %v", name, resp, err)
			}
			c.Close()
		}
	}
}
