// Command platforms shows a program that runs on every system with the engine
// that suits it: one newClient, an engine chosen by build tags, and no other line
// that knows about it. Cross-compile it to see:
//
//	go run ./examples/platforms
//	GOOS=windows go build ./examples/platforms
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "platforms failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	here := newClient()
	defer here.Close()
	if errors.Is(here.Err(), godwit.ErrNoEngine) {
		fmt.Printf("on %s/%s: %v\n", runtime.GOOS, runtime.GOARCH, here.Err())
	} else {
		server := httptest.NewServer(http.HandlerFunc(hello))
		defer server.Close()
		if err := greet(ctx, here, server.URL); err != nil {
			return err
		}
	}
	custom := newClient(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.OK("hello, platforms/1.0")}}))
	defer custom.Close()
	return greet(ctx, custom, "https://example.org")
}

// greet is shared code: it does not know what carries its request.
func greet(ctx context.Context, c *godwit.Client, url string) error {
	text, err := godwit.Get[string](ctx, c, url)
	if err != nil {
		return err
	}
	if want := "hello, platforms/1.0"; text != want {
		return fmt.Errorf("the server said %q, and should say %q", text, want)
	}
	fmt.Printf("on %s/%s, engine %s: %s\n", runtime.GOOS, runtime.GOARCH, c.Engine().Name(), text)
	return nil
}

func hello(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello, %s", r.UserAgent()) }
