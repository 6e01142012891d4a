// Package socket reads and writes connections by the system calls that cost least.
//
// read and write are for all descriptors, and the kernel asks on each call what it
// has before it; recv and send know. An answer of a hundred bytes comes for 2 to 4 %
// less by them. On Linux a read can also go to two places at once. Elsewhere, and
// under the race detector and other sanitizers, which know only of package syscall's
// own calls, package net does it all.
package socket

import "net"

// TCP returns the TCP connection that conn is or, as [Of] made it, stands for; else nil.
func TCP(conn net.Conn) *net.TCPConn {
	switch c := conn.(type) {
	case *net.TCPConn:
		return c
	case *Conn:
		return c.TCPConn
	}
	return nil
}
