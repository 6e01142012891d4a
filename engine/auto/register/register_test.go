package register_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine"
	_ "github.com/godwit-go/godwit/engine/auto/register"
)

func TestRegistered(t *testing.T) {
	factories := engine.Registered()
	if len(factories) != 1 || factories[0].Name() != "auto" {
		t.Errorf("registered: %v", factories)
	}
}
