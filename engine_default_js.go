package godwit

import "github.com/godwit-go/godwit/engine"

// defaultEngine: in a browser or Node there are no sockets for cio to use.
func defaultEngine() engine.Factory { return nil }
