package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-go/godwit"
)

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
