package cio_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/enginetest"
)

// TestPipeliningConformance runs the suite on an engine that pipelines.
func TestPipeliningConformance(t *testing.T) {
	const shared = "a GET does not wait for a connection that another one uses: it shares it"
	enginetest.Run(t, cio.Config{Pipelining: true},
		enginetest.Skip("Limits/Route", shared),
		enginetest.Skip("Limits/Total", shared),
		enginetest.Skip("Cancel/WaitingForPool", shared),
	)
}
