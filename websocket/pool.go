package websocket

import (
	crand "crypto/rand"
	"math/rand/v2"
	"sync"
)

// bufferSize is that of the buffer which reads small messages; larger payloads
// go straight to where they are wanted.
const bufferSize = 4 << 10

type buffer [bufferSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// A message that is sent is masked into a buffer of one of these sizes, so that
// it goes by one write; one that fits none goes in pieces of the last.
const (
	smallOut = bufferSize
	midOut   = 64<<10 + 64
	largeOut = 1<<20 + 64
)

// outgoingBuffer has what a frame needs to be sent. The keys that mask come from
// ChaCha8 seeded by the system, so that nobody can foresee the next one (RFC 6455
// §5.3). It lives in the buffer, as 300 bytes for each connection would be a
// fifth of what an idle one may take.
type outgoingBuffer struct {
	data []byte
	keys rand.ChaCha8
}

func (b *outgoingBuffer) newKey() uint32 { return uint32(b.keys.Uint64()) }

func poolOf(size int) *sync.Pool {
	return &sync.Pool{New: func() any {
		b := &outgoingBuffer{data: make([]byte, size)}
		var seed [32]byte
		crand.Read(seed[:])
		b.keys.Seed(seed)
		return b
	}}
}

var smallBuffers, midBuffers, largeBuffers = poolOf(smallOut), poolOf(midOut), poolOf(largeOut)

func poolFor(n int) *sync.Pool {
	switch {
	case n <= smallOut:
		return smallBuffers
	case n <= midOut:
		return midBuffers
	}
	return largeBuffers
}

// outBuffer returns a buffer for n bytes, or the largest.
func outBuffer(n int) *outgoingBuffer { return poolFor(n).Get().(*outgoingBuffer) }

func putOutBuffer(b *outgoingBuffer) { poolFor(len(b.data)).Put(b) }
