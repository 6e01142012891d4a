package main

import (
	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// platform is for offices: the standard library's client behind the proxy that
// the environment names, with few connections to one host, as that proxy likes it.
func platform() []godwit.ClientOption {
	return []godwit.ClientOption{
		godwit.WithEngine(nethttp.Config{MaxConnectionsPerRoute: 6}),
	}
}
