//go:build !linux

package http3

import "net"

// reportRefusals does nothing: here a closed port shows as silence, or the system
// reports it unasked.
func reportRefusals(*net.UDPConn, bool) {}
