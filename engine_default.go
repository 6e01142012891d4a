//go:build !js

package godwit

import (
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// defaultEngine makes the engine of clients that name none.
func defaultEngine() engine.Factory { return cio.Config{} }
