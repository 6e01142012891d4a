package main

import (
	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// platform is for phones: networks come and go, so that connecting may take its
// time and is tried again. Sending again on a connection that died while idle is
// the engine's default.
func platform() []godwit.ClientOption {
	return []godwit.ClientOption{
		godwit.WithEngine(cio.Config{ConnectAttempts: 3, Timeouts: engine.Timeouts{Connect: engine.NoTimeout}}),
	}
}
