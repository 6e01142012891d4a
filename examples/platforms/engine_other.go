//go:build !windows && !darwin && !android && !js

package main

import (
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/cio"
)

// platform is for servers: our own engine, with room for many connections.
func platform() []godwit.ClientOption {
	return []godwit.ClientOption{
		godwit.WithEngine(cio.Config{MaxConnectionsPerRoute: 200, KeepAlive: 2 * time.Minute}),
	}
}
