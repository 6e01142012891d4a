package ws

import (
	"crypto/sha1"
	"encoding/base64"
)

// Key makes a Sec-WebSocket-Key of 16 random bytes.
func Key(random [16]byte) string { return base64.StdEncoding.EncodeToString(random[:]) }

// Accept returns the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC
// 6455 §4.2.2). The use of SHA-1 protects nothing: it shows that the server
// speaks the protocol.
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
