package auto_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
)

// HTTP/3 where the server has it, else HTTP/2 or HTTP/1.1.
func Example() {
	c := godwit.New(godwit.WithEngine(auto.Config{}))
	defer c.Close()
	fmt.Println(c.Supports(engine.HTTP3), c.Supports(engine.HTTP1))
	// resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/")
	// fmt.Println(resp.Proto)
	// Output: true true
}

// What is learnt is kept in a file, DNS is asked too, and events tell why a
// request went as it did.
func ExampleConfig() {
	dir, err := os.MkdirTemp("", "godwit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	c := godwit.New(godwit.WithEngine(auto.Config{
		Storage:  auto.File(filepath.Join(dir, "alternatives.json")),
		Resolver: auto.DNS{Server: "192.0.2.53:53"},
		OnEvent: func(ev auto.Event) {
			if ev.Kind == auto.Chosen {
				fmt.Println(ev.Origin, ev.Protocol, ev.Reason)
			}
		},
	}))
	defer c.Close()
	fmt.Println(c.Err())
	// Output: <nil>
}

func ExampleFile() {
	fmt.Println(auto.Config{Storage: auto.File("alternatives.json")}.Name())
	// Output: auto
}
