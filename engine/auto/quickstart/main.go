// Command quickstart takes the tour of examples/quickstart on five engines: cio,
// nethttp, h2, http3 and auto. Only the line that names the engine differs. The
// server is on this machine, over TCP and over QUIC:
//
//	go run ./quickstart
//
// It is a program of its own since godwit itself does not depend on quic-go.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/examples/quickstart/tour"
)

// engines are what carries the requests, and how they may go.
var engines = []struct {
	tour.Engine
	protos []string
}{
	{tour.Engine{Line: "godwit.WithEngine(cio.Config{})", Config: cio.Config{}}, []string{"HTTP/2.0", "HTTP/1.1"}},
	{tour.Engine{Line: "godwit.WithEngine(nethttp.Config{})", Config: nethttp.Config{}}, []string{"HTTP/2.0", "HTTP/1.1"}},
	{tour.Engine{Line: "godwit.WithEngine(h2.Config{})", Config: h2.Config{}}, []string{"HTTP/2.0"}},
	{tour.Engine{Line: "godwit.WithEngine(http3.Config{})", Config: http3.Config{}}, []string{"HTTP/3.0"}},
	{tour.Engine{Line: "godwit.WithEngine(auto.Config{})", Config: auto.Config{}}, []string{"HTTP/3.0", "HTTP/2.0", "HTTP/1.1"}},
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

// run takes the steps on each engine, and tells by what protocols it went.
func run(ctx context.Context) error {
	s, err := startServer()
	if err != nil {
		return fmt.Errorf("start the local server: %w", err)
	}
	defer s.close()
	for _, e := range engines {
		went := make(protocols)
		err := tour.Take(ctx, e.Engine, s.url, went.note(), godwit.EngineConfig(func(c *engine.Config) {
			c.TLS, c.Proxy = &tls.Config{RootCAs: s.roots}, engine.NoProxy
		}))
		if err != nil {
			return err
		}
		fmt.Printf("\n== responses by protocol: %v\n", went)
		for proto := range went {
			if !slices.Contains(e.protos, proto) {
				return fmt.Errorf("engine %s: it went by %s, want one of %v", e.Config.Name(), proto, e.protos)
			}
		}
		if went[e.protos[0]] == 0 {
			return fmt.Errorf("engine %s: nothing went by %s", e.Config.Name(), e.protos[0])
		}
	}
	fmt.Println("\nEvery step held on every engine.")
	return nil
}
