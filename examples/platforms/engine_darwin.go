package main

import (
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// platform is for desktops: the standard library's client, which speaks HTTP/2
// where the server does, and a laptop's patience for the network to come back.
func platform() []godwit.ClientOption {
	return []godwit.ClientOption{
		godwit.WithEngine(nethttp.Config{Protocol: nethttp.Auto}),
		godwit.ConnectTimeout(20 * time.Second),
	}
}
