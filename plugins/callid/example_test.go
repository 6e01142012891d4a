package callid_test

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/callid"
)

func Example() {
	c := godwit.New(
		godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
			return mock.OK("seen " + r.Header.Get("X-Request-Id")), nil
		})}}),
		godwit.Install(callid.New(callid.Config{})),
	)
	defer c.Close()
	ctx := callid.With(context.Background(), "f00d") // of the request that this program answers
	resp, err := c.Do(ctx, godwit.NewRequest("GET", "https://example.org/"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Text(), callid.Of(resp.Call()))
	// Output: seen f00d f00d
}
