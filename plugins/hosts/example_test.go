package hosts_test

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/hosts"
)

func Example() {
	c := godwit.New(
		godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
			return mock.OK(r.URL.String() + " " + r.Header.Get("X-Api-Key")), nil
		}))}}),
		godwit.Install(hosts.New(
			hosts.Rule{Host: "api.example.org", Header: header.New("X-Api-Key", "secret"), BasePath: "/v2"},
		)),
	)
	defer c.Close()
	for _, url := range []string{"https://api.example.org/users", "https://example.net/users"} {
		text, err := godwit.Get[string](context.Background(), c, url)
		fmt.Println(text, err)
	}
	// Output:
	// https://api.example.org/v2/users secret <nil>
	// https://example.net/users  <nil>
}
