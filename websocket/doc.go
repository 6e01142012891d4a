// Package websocket speaks WebSocket (RFC 6455) with compression (RFC 7692) by a
// godwit client: what the client does for requests (authentication, cookies,
// retries, proxies, TLS, logs) it does for the handshake, on every engine that
// can upgrade a connection.
//
//	conn, err := websocket.Dial(ctx, c, "wss://example.org/feed")
//	if err != nil { … }
//	defer conn.CloseNow()
//	for m, err := range conn.Messages(ctx) { … }
//
// # Reading and writing
//
// No goroutine belongs to a connection, and nothing is queued: a message is read
// when somebody asks for it, and TCP holds the peer back until then. So pings
// are answered, pongs noticed and close frames seen while somebody reads; a
// program that only writes reads nonetheless, in a goroutine of its own.
//
// One connection may be used by any number of goroutines. Readers take turns,
// message by message; so do writers.
//
// # Contexts
//
// The context given to Dial ends with the handshake, those given to operations
// are theirs. A read whose context ends before a message begins, or between its
// fragments, harms nothing: the next Read or Reader gets the whole message. If it
// ends inside of a frame, or while a frame that is being written waits for the
// server, the connection is closed; so it is between the fragments of a compressed
// message of which more than 1 MiB has come. An operation that waits for its turn
// can always be cancelled.
package websocket
