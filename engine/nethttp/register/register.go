// Package register registers the engine nethttp, for blank imports.
package register

import (
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
)

func init() { engine.Register(nethttp.Config{}) }
