package auto_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/enginetest"
)

// TestConformance: over TCP the engine is as good as the one below it. Requests by
// HTTP/3 are what package http3 runs the suite for.
func TestConformance(t *testing.T) { enginetest.Run(t, auto.Config{}) }
