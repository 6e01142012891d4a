package main

import "github.com/godwit-go/godwit"

// platform is for browsers and Node, which have no sockets: there is no engine of
// our own, and every call says so (godwit.ErrNoEngine) unless the caller of
// newClient brings one.
func platform() []godwit.ClientOption { return nil }
