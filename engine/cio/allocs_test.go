//go:build !race

package cio_test

import (
	"context"
	"testing"

	"github.com/godwit-go/godwit/engine"
)

// TestAllocations: what a small GET on a kept connection may cost. The race
// detector would add its own.
func TestAllocations(t *testing.T) {
	e := benchEngine(t)
	req := &engine.Request{Method: "GET", URL: mustURL(t, benchServer(t))}
	buf := make([]byte, 4096)
	cancellable, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, tc := range map[string]struct {
		ctx context.Context
		max float64
	}{
		"plain":       {context.Background(), 6},
		"cancellable": {cancellable, 10},
	} {
		got := testing.AllocsPerRun(200, func() {
			resp, err := e.Execute(tc.ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			drain(t, resp.Body, buf)
		})
		t.Logf("%s: %v allocations", name, got)
		if got > tc.max {
			t.Errorf("%s: %v allocations, want at most %v", name, got, tc.max)
		}
	}
}
