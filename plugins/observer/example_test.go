package observer_test

import (
	"context"
	"fmt"
	"io"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/observer"
)

func Example() {
	c := godwit.New(
		godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.OK("hello")}}),
		godwit.Install(observer.New(observer.Config{
			Handle: func(_ context.Context, seen *observer.Copy) error {
				body, err := io.ReadAll(seen.Body)
				fmt.Printf("copy: %s %q\n", seen.Status, body)
				return err
			},
		})),
	)
	defer c.Close()
	text, err := godwit.Get[string](context.Background(), c, "https://example.org/")
	fmt.Println(text, err)
	// Output:
	// copy: 200 OK "hello"
	// hello <nil>
}
