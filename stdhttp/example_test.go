package stdhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/plugins/retry"
	"github.com/godwit-go/godwit/stdhttp"
)

func ExampleClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello")
	}))
	defer server.Close()

	c := godwit.New(godwit.Install(retry.New(retry.Config{})))
	defer c.Close()
	hc := stdhttp.Client(c) // an *http.Client like any other

	resp, err := hc.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(b))
	// Output: 200 OK hello
}

func ExampleTransport() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("User-Agent"))
	}))
	defer server.Close()

	c := godwit.New()
	defer c.Close()
	hc := &http.Client{Transport: agent{stdhttp.Transport(c)}} // inside of other RoundTrippers, too

	resp, err := hc.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	fmt.Println(string(b))
	// Output: mine
}

// agent is a RoundTripper around another one.
type agent struct{ inner http.RoundTripper }

func (a agent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "mine")
	return a.inner.RoundTrip(r)
}

func ExampleHandler() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"name": "Ada", "id": %q}`, r.PathValue("id"))
	})

	c := godwit.New(godwit.WithEngine(stdhttp.Handler(mux)))
	defer c.Close()
	user, err := godwit.Get[map[string]string](context.Background(), c, "http://api.example/users/7")
	fmt.Println(user["name"], user["id"], err)
	// Output: Ada 7 <nil>
}

func Example_preconfigured() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("User-Agent"))
	}))
	defer server.Close()

	rt := agent{http.DefaultTransport} // or otelhttp.NewTransport(http.DefaultTransport)
	c := godwit.New(godwit.WithEngine(nethttp.Config{Preconfigured: rt}))
	defer c.Close()
	fmt.Println(godwit.Get[string](context.Background(), c, server.URL))
	// Output: mine <nil>
}
