// Package register registers the engine auto when it is imported:
//
//	import _ "github.com/godwit-go/godwit/engine/auto/register"
package register

import (
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
)

func init() { engine.Register(auto.Config{}) }
