package register_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine"
	_ "github.com/godwit-go/godwit/engine/nethttp/register"
)

func TestRegistered(t *testing.T) {
	factories := engine.Registered()
	if len(factories) != 1 || factories[0].Name() != "nethttp" {
		t.Errorf("registered: %v", factories)
	}
}
