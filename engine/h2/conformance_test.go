package h2_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/engine/h2"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, h2.Config{})
}

func TestHTTP2(t *testing.T) {
	enginetest.RunHTTP2(t, h2.Config{})
}
