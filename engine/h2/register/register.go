// Package register registers the engine h2 when it is imported:
//
//	import _ "github.com/godwit-go/godwit/engine/h2/register"
package register

import (
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/h2"
)

func init() { engine.Register(h2.Config{}) }
