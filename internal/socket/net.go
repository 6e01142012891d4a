//go:build !linux || 386 || s390x || race || msan || asan

package socket

import "net"

// Of returns a connection that stands for conn and costs less, if there is one; else
// it returns conn.
func Of(conn net.Conn) net.Conn { return conn }

// Conn is a TCP connection as Of would make it; here it makes none.
type Conn struct{ *net.TCPConn }
