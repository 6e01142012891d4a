// Command quickstart is a guided tour of godwit. It starts a server on this
// machine, takes the same steps on each engine, and prints each step's essential
// line of code beside what came of it:
//
//	go run ./examples/quickstart
//
// Every step checks what it got, byte by byte or by a hash. The exit status is 0
// only if all of them hold. The steps are in package tour.
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"

	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/examples/quickstart/tour"
)

var engines = []tour.Engine{
	{Line: "godwit.WithEngine(cio.Config{})", Config: cio.Config{}},
	{Line: "godwit.WithEngine(nethttp.Config{})", Config: nethttp.Config{}},
	{Line: "godwit.WithEngine(h2.Config{})", Config: h2.Config{}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart failed:", err)
		os.Exit(1)
	}
}

// run takes the steps on all engines, then the one that needs no server.
func run(ctx context.Context) error {
	handler, err := tour.Handler()
	if err != nil {
		return fmt.Errorf("start the local server: %w", err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	fmt.Printf("A tour of godwit. The server is local: %s\n", server.URL)
	for _, e := range engines {
		if err := tour.Take(ctx, e, server.URL); err != nil {
			return err
		}
	}
	if err := tour.Mock(ctx); err != nil {
		return err
	}
	fmt.Println("\nEvery step held. Read examples/quickstart/tour to see the whole code, and docs/ for more.")
	return nil
}
