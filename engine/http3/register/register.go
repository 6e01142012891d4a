// Package register registers the engine http3 when it is imported:
//
//	import _ "github.com/godwit-go/godwit/engine/http3/register"
package register

import (
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
)

func init() { engine.Register(http3.Config{}) }
