// Package ws is the WebSocket protocol without I/O (RFC 6455, RFC 7692): frame
// headers, the order of frames, masking, close codes, UTF-8 as it arrives, and
// the negotiation of permessage-deflate. It knows bytes and neither connections
// nor time; package websocket moves the bytes.
//
// Theory of operation. A sender makes headers with [Header.Append] and payloads
// with [Mask]. A receiver gives the bytes it has to [Receiver.Next], which says
// how many of them were a header, and what the peer may not send is an [*Error]:
// reserved bits and opcodes, lengths that are not in their shortest form,
// control frames that are long or fragmented, fragments out of order, a mask
// where there must be none. The payload, h.Length bytes, is the caller's to
// move: it need not be in one piece, nor in memory.
package ws

// Opcode is the type of a frame.
type Opcode byte

// The opcodes (RFC 6455 §11.8). All others are refused.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xa
)

// IsControl reports whether frames of the type may stand between the fragments
// of a message.
func (o Opcode) IsControl() bool { return o >= Close }

func (o Opcode) known() bool { return o <= Binary || Close <= o && o <= Pong }

// Error tells that the peer broke the protocol.
type Error struct {
	// Code is what the connection is closed with.
	Code int
	// Reason says what is wrong, Section where that is forbidden.
	Reason, Section string
}

func (e *Error) Error() string { return e.Reason + " (" + e.Section + ")" }

func broken(section, reason string) *Error {
	return &Error{CodeProtocolError, reason, "RFC 6455 §" + section}
}

// The lengths that matter.
const (
	MaxHeader  = 14  // the longest frame header
	MaxControl = 125 // the longest payload of a control frame
	MaxReason  = 123 // the longest reason in a close frame
)
