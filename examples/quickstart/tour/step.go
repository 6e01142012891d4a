// Package tour is what the quickstart does: steps that are the same on every
// engine, and the server that they talk to. Package main names the engines, and so
// does the one of module engine/auto, which has two more.
package tour

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
)

// Engine is what carries the requests of a tour. The steps do not know which one
// it is.
type Engine struct {
	Line   string // how a program chooses it
	Config engine.Factory
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

// Take makes a client on the engine and takes all steps with it; server is the
// URL of one that answers with Handler. This is all that choosing an engine comes
// to.
func Take(ctx context.Context, e Engine, server string, opts ...godwit.ClientOption) error {
	fmt.Printf("\n== c := godwit.New(%s, godwit.BaseURL(server))\n", e.Line)
	err := godwit.Use(ctx, func(ctx context.Context, c *godwit.Client) error {
		for i, s := range steps {
			if err := s.take(ctx, i+1, c); err != nil {
				return err
			}
		}
		return nil
	}, append(opts, godwit.WithEngine(e.Config), godwit.BaseURL(server))...)
	if err != nil {
		return fmt.Errorf("engine %s: %w", e.Config.Name(), err)
	}
	return nil
}

// Mock takes the step that needs no server.
func Mock(ctx context.Context) error {
	fmt.Printf("\n== no server at all: %s\n", mockCode[0])
	return step{"A test against a mock engine", mockCode[1:], mocked}.take(ctx, 1, nil)
}

// step is one stop of the tour.
type step struct {
	title string
	code  []string // the lines that do it, as they stand in run
	run   func(ctx context.Context, c *godwit.Client) (result string, err error)
}

// stepLimit is far more than any step needs: a tour that hangs says where.
const stepLimit = 20 * time.Second

// take runs the step and prints its code beside its result.
func (s step) take(ctx context.Context, number int, c *godwit.Client) error {
	fmt.Printf("\n%d. %s\n", number, s.title)
	for _, line := range s.code {
		fmt.Println("     " + line)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stepLimit, fmt.Errorf("no result after %v", stepLimit))
	defer cancel()
	start := time.Now()
	result, err := s.run(ctx, c)
	if err != nil {
		return fmt.Errorf("step %d, %s: %w", number, s.title, err)
	}
	took := time.Since(start).Round(10 * time.Microsecond)
	fmt.Printf("  -> %s  [%v]\n", strings.ReplaceAll(result, "\n", "\n     "), took)
	return nil
}

// differs is the error of a step that got something else than it should have.
func differs(what string, got, want any) error {
	return fmt.Errorf("%s is %v, and should be %v", what, got, want)
}
