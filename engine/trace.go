package engine

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/godwit-go/godwit/header"
)

// Trace is a set of hooks that an engine calls during one exchange; any may be
// nil. They run on the engine's goroutines, one at a time but for those of
// parallel connection attempts, and must not block. An engine that does not know
// an event leaves its hook uncalled.
type Trace struct {
	// PoolWait is called when the exchange asks for a connection, GotConn when
	// it has one.
	PoolWait func(route string)
	GotConn  func(GotConn)

	DNSStart func(host string)
	DNSDone  func(addrs []string, err error)

	// ConnectStart and ConnectDone may come several times, also in parallel.
	ConnectStart func(network, address string)
	ConnectDone  func(network, address string, err error)

	TLSStart func()
	TLSDone  func(state tls.ConnectionState, err error)

	// WroteHeader is called when the request's head is written, WroteRequest
	// when all of it is; a failed write has an error.
	WroteHeader  func()
	WroteRequest func(err error)

	// Wait100 is called before waiting for 100 Continue.
	Wait100 func()
	// Informational is called for each 1xx response but 101; an error ends the
	// exchange with it.
	Informational func(status int, h header.Header) error
	// FirstByte is called when the first byte of the response is there.
	FirstByte func()

	// PutIdle is called when the connection goes back to the pool, or with an
	// error that says why it does not.
	PutIdle func(err error)
	// Resent is called before the silent re-send on a fresh connection.
	Resent func(cause error)
}

// GotConn tells which connection an exchange runs on.
type GotConn struct {
	Local, Remote net.Addr
	// Reused tells that it has carried an exchange before, Idle for how long it
	// was idle.
	Reused bool
	Idle   time.Duration
}
