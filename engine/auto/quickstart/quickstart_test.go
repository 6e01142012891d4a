package main

import (
	"testing"

	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestTour(t *testing.T) {
	if err := run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
