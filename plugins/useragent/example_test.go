package useragent_test

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/useragent"
)

func Example() {
	c := godwit.New(
		godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
			return mock.OK(r.Header.Get("User-Agent")), nil
		})}}),
		godwit.Install(useragent.New(useragent.Config{
			Products: []useragent.Product{{Name: "shop", Version: "2.1", Comment: "ops@example.org"}},
		})),
	)
	defer c.Close()
	agent, err := godwit.Get[string](context.Background(), c, "https://example.org/")
	fmt.Println(agent, err)
	// Output: shop/2.1 (ops@example.org) <nil>
}
