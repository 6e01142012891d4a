package register_test

import (
	"testing"

	"github.com/godwit-go/godwit/engine"
	_ "github.com/godwit-go/godwit/engine/http3/register"
)

func TestRegistered(t *testing.T) {
	factories := engine.Registered()
	if len(factories) != 1 || factories[0].Name() != "http3" {
		t.Errorf("registered: %v", factories)
	}
}
