// Package register registers the engine cio when it is imported:
//
//	import _ "github.com/godwit-go/godwit/engine/cio/register"
package register

import (
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

func init() { engine.Register(cio.Config{}) }
