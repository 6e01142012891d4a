package main

import "testing"

// TestTour takes the whole tour.
func TestTour(t *testing.T) {
	if err := run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
