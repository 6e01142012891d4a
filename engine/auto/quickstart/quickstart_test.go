package main

import (
	"strings"
	"testing"

	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func TestTour(t *testing.T) {
	var out strings.Builder
	if err := tour(t.Context(), &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if n := strings.Count(out.String(), "ok: "); n != 8*len(engines) {
		t.Errorf("%d steps held, want %d:\n%s", n, 8*len(engines), &out)
	}
}
