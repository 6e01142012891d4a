package engine

import (
	"context"
	"fmt"
	"io"
)

// MessageConn is what Response.Upgraded is on an engine that has no raw
// connection to give for Protocol "websocket" but a WebSocket of its own, which
// delivers messages: a browser's. It does masking, fragments, pings, extensions
// and the closing handshake by itself; Read and Write fail with
// errors.ErrUnsupported. The engine takes sub-protocols from the request's
// Sec-WebSocket-Protocol and ignores the other fields of the handshake; it
// answers with status 101.
//
// One goroutine at a time may read and another one write. Close gives the
// connection up without a closing handshake, may be called from any goroutine,
// and ends what waits.
type MessageConn interface {
	io.ReadWriteCloser
	// ReadMessage waits for the next message. That ctx ends harms nothing: a
	// later call gets the message. When the peer has closed, the error is a
	// *MessageCloseError. The caller owns data.
	ReadMessage(ctx context.Context) (text bool, data []byte, err error)
	// WriteMessage sends a message; it may return before it is sent, but must
	// wait when too much is waiting already. It does not keep data.
	WriteMessage(ctx context.Context, text bool, data []byte) error
	// CloseMessage sends a close frame; 1005 stands for one without a code.
	// ReadMessage then returns the peer's answer.
	CloseMessage(ctx context.Context, code int, reason string) error
	// Subprotocol and Extensions are what the server chose.
	Subprotocol() string
	Extensions() string
}

// MessageCloseError tells that the peer of a [MessageConn] closed it.
type MessageCloseError struct {
	// Code is 1005 if the peer gave none and 1006 if it said nothing at all.
	Code   int
	Reason string
}

func (e *MessageCloseError) Error() string {
	return fmt.Sprintf("closed by the peer: %d %q", e.Code, e.Reason)
}
