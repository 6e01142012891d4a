package cio_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/enginetest"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, cio.Config{})
}
