package main

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// The WebSocket cells: a message there and back on one connection, and
// connections that rest.
const (
	kindWSSmall kind = "ws-small" // 64 bytes
	kindWSLarge kind = "ws-large" // 64 KiB
	kindWSIdle  kind = "ws-idle"
)

const (
	pathWS      = "/ws"
	wsSmallSize = 64
	wsLargeSize = 64 << 10
)

func (k kind) isWS() bool { return k == kindWSSmall || k == kindWSLarge || k == kindWSIdle }

// rests reports whether connections are measured that do nothing.
func (k kind) rests() bool { return k == kindIdle || k == kindWSIdle }

// floor returns the name of the client that is none.
func (c cell) floor() string {
	if c.kind.isWS() {
		return "ws-floor"
	}
	return "floor"
}

// wsBatch is how many messages go there and back for one task: then the
// hand-over to a library that reads in a goroutine of its own hardly counts.
const wsBatch = 100

var wsCells = []cell{
	{"ws-64", "100 WebSocket echoes of 64 B", kindWSSmall, false, 1, false},
	{"ws-64-conns-64", "100 WebSocket echoes of 64 B, 64 connections", kindWSSmall, false, 64, false},
	{"ws-64k", "100 WebSocket echoes of 64 KiB", kindWSLarge, false, 1, false},
	{"ws-idle", "Idle WebSocket connections", kindWSIdle, false, 0, false},
}

// The harness itself allocates a little each round; a library that did so for
// messages would show 100 and more.
var wsTargets = []target{
	{"WebSocket echo 64 B: CPU", "ws-64", "ws-godwit", cpu, "ws-floor", 1.15},
	{"WebSocket echo 64 B: CPU", "ws-64", "ws-godwit", cpu, "ws-gorilla", 1},
	{"WebSocket echo 64 B: CPU", "ws-64", "ws-godwit", cpu, "ws-coder", 1},
	{"WebSocket echo 64 B: CPU", "ws-64", "ws-godwit", cpu, "ws-gobwas", 1},
	{"WebSocket echo 64 B: CPU", "ws-64", "ws-godwit", cpu, "ws-gws", 1},
	{"WebSocket echo 64 B: allocations in 100", "ws-64", "ws-godwit", allocs, "", 3},
	{"WebSocket echo 64 KiB: CPU", "ws-64k", "ws-godwit", cpu, "ws-floor", 1.2},
	{"WebSocket echo 64 KiB: allocations in 100", "ws-64k", "ws-godwit", allocs, "", 3},
	{"idle WebSocket: heap, B", "ws-idle", "ws-godwit", heap, "", 1.5 * 1024},
	{"idle WebSocket: goroutines", "ws-idle", "ws-godwit", routines, "", 0},
}

func wsAnswer(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
}

// wsSession is the server's side: it sends messages back. It knows no more than
// the clients of this program send.
type wsSession struct {
	partial []byte // of a frame
}

func (s *wsSession) feed(in, out []byte) ([]byte, error) {
	if len(s.partial) > 0 {
		s.partial = append(s.partial, in...)
		in = s.partial
	}
	for {
		n, at := wsFrame(in)
		if n < 0 {
			return nil, errors.New("bad frame")
		}
		if n == 0 || len(in) < n {
			s.partial = append(s.partial[:0], in...)
			return out, nil
		}
		head := at - 4
		out = append(out, in[:head]...)
		out[len(out)-head+1] &^= 0x80
		payload := len(out)
		out = append(out, in[at:n]...)
		wsMask(out[payload:], binary.LittleEndian.Uint32(in[head:]))
		in = in[n:]
	}
}

// wsFrame returns the length of the masked frame at the start of b and where
// its payload begins; 0 = more is needed.
func wsFrame(b []byte) (n, at int) {
	if len(b) < 2 {
		return 0, 0
	}
	if b[1]&0x80 == 0 {
		return -1, 0
	}
	switch n = int(b[1] & 0x7f); {
	case n == 126 && len(b) >= 4:
		return 8 + int(binary.BigEndian.Uint16(b[2:])), 8
	case n == 127 && len(b) >= 10:
		return 14 + int(binary.BigEndian.Uint64(b[2:])), 14
	case n >= 126:
		return 0, 0
	}
	return 6 + n, 6
}

func wsMask(b []byte, key uint32) {
	k := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
}
