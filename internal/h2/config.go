package h2

import "time"

// Config configures a connection. It is complete: zero is taken as it stands.
type Config struct {
	// StreamWindow and ConnWindow are the flow-control windows to start with,
	// at most 2³¹-1. A ConnWindow below 65,535 counts as that.
	StreamWindow, ConnWindow uint32
	// MaxStreamWindow is what windows may grow to if the path holds more bytes;
	// not above StreamWindow = they stay as they are.
	MaxStreamWindow uint32
	// HeaderTable is the size of the table for fields from the server,
	// EncoderTable the largest for those to it.
	HeaderTable, EncoderTable uint32
	// MaxHeaderBytes (RFC 9113 §6.5.2) and MaxHeaderFields bound the field
	// sections of responses.
	MaxHeaderBytes, MaxHeaderFields int
	// MaxStreams bounds the streams open at once; 0 = the server's own bound.
	MaxStreams int
	// AssumedStreams is taken for the server's bound until it names it; 0 = 100.
	AssumedStreams uint32
	// PingInterval is after what silence of the server a PING is sent, while
	// there are streams, and with PingIdle also while there are none; 0 = never.
	// PingTimeout is how long to wait then before the connection is given up.
	PingInterval, PingTimeout time.Duration
	PingIdle                  bool
	// WriteTimeout is how long the server may take no bytes; 0 = for ever.
	WriteTimeout time.Duration
	// Go starts goroutines; nil = the go statement.
	Go func(func())
	// Changed is called without locks when the connection may take more streams
	// than before, when it has become idle, and when it takes no more. nil =
	// nobody wants to know.
	Changed func(*Conn)
}

// Defaults returns the configuration of connections for which nothing is set.
func Defaults() Config {
	return Config{
		StreamWindow: 1 << 20, ConnWindow: 4 << 20, MaxStreamWindow: 16 << 20,
		HeaderTable: defaultTableSize, EncoderTable: defaultTableSize,
		MaxHeaderBytes: 256 << 10, MaxHeaderFields: 1000,
		PingInterval: 30 * time.Second, PingTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
	}
}
