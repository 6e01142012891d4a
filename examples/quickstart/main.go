// Command quickstart is a guided tour of godwit. It starts a server on this
// machine, takes the same steps on each engine, and prints each step's essential
// line of code beside what came of it:
//
//	go run ./examples/quickstart
//
// Every step checks what it got, byte by byte or by a hash. The exit status is 0
// only if all of them hold.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// engines are what carries the requests. The steps do not know which one it is.
var engines = []struct {
	line   string // how a program chooses it
	config engine.Factory
}{
	{"godwit.WithEngine(cio.Config{})", cio.Config{}},
	{"godwit.WithEngine(nethttp.Config{})", nethttp.Config{}},
	{"godwit.WithEngine(h2.Config{})", h2.Config{}},
}

// steps are taken on each engine, in this order.
var steps = []step{
	{"A typed GET", typedGetCode, typedGet},
	{"JSON there and back", jsonRoundTripCode, jsonRoundTrip},
	{"Requests at the same time", parallelCode, parallel},
	{"Many requests, a few at a time", boundedCode, bounded},
	{"Upload of a form with a file", uploadCode, upload},
	{"A redirect", redirectCode, redirect},
	{"A timeout", timeoutCode, timeout},
	{"A large download, streamed", downloadCode, download},
	{"An error with status and body", failureCode, failure},
	{"Server-sent events", eventsCode, events},
	{"A WebSocket", webSocketCode, webSocket},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := tour(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart failed:", err)
		os.Exit(1)
	}
}

// tour takes the steps on all engines, then the one that needs no server.
func tour(ctx context.Context) error {
	server, err := startServer()
	if err != nil {
		return fmt.Errorf("start the local server: %w", err)
	}
	defer server.Close()
	fmt.Printf("A tour of godwit. The server is local: %s\n", server.URL)
	for _, e := range engines {
		if err := onEngine(ctx, e.line, e.config, server.URL); err != nil {
			return fmt.Errorf("engine %s: %w", e.config.Name(), err)
		}
	}
	fmt.Printf("\n== no server at all: %s\n", mockCode[0])
	if err := (step{"A test against a mock engine", mockCode[1:], mocked}).take(ctx, 1, nil); err != nil {
		return err
	}
	fmt.Println("\nEvery step held. Read examples/quickstart to see the whole code, and docs/ for more.")
	return nil
}

// onEngine makes a client and takes all steps with it. This is all that choosing
// an engine comes to.
func onEngine(ctx context.Context, line string, config engine.Factory, serverURL string) error {
	fmt.Printf("\n== c := godwit.New(%s, godwit.BaseURL(server))\n", line)
	return godwit.Use(ctx, func(ctx context.Context, c *godwit.Client) error {
		for i, s := range steps {
			if err := s.take(ctx, i+1, c); err != nil {
				return err
			}
		}
		return nil
	}, godwit.WithEngine(config), godwit.BaseURL(serverURL))
}
