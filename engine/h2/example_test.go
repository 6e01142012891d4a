package h2_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/h2"
)

// cleartext is a server that speaks HTTP/2 without TLS.
func cleartext(handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(handler)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	return s
}

func ExampleConfig() {
	server := cleartext(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello by ", r.Proto) })
	defer server.Close()
	c := godwit.New(godwit.WithEngine(h2.Config{MaxConnectionsPerRoute: 2, MaxStreams: 50, Proxy: engine.NoProxy}))
	defer c.Close()
	text, err := godwit.Get[string](context.Background(), c, server.URL)
	fmt.Println(text, err)
	// Output: hello by HTTP/2.0 <nil>
}

func ExamplePriority() {
	fmt.Println(h2.Priority{Urgency: 1, Incremental: true})
	// Output: u=1, i
}
