package stdhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/stdhttp"
)

// BenchmarkRoundTrip compares net/http's transport with this one on each engine.
func BenchmarkRoundTrip(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "hello")
	}))
	defer s.Close()
	std := &http.Transport{}
	defer std.CloseIdleConnections()
	run := func(name string, rt http.RoundTripper) {
		for _, method := range []string{"GET", "POST"} {
			b.Run(name+"/"+method, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					var body io.Reader
					if method == "POST" {
						body = strings.NewReader(`{"name": "Ada"}`)
					}
					r, err := http.NewRequest(method, s.URL, body)
					if err != nil {
						b.Fatal(err)
					}
					resp, err := rt.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
	}
	run("net/http", std)
	for _, e := range engines {
		c := godwit.New(godwit.WithEngine(e))
		defer c.Close()
		run(e.Name(), stdhttp.Transport(c))
	}
}
