package cio

import "sync"

// Sizes of pooled buffers.
const (
	// A request's head and small body, then a response's head. It is a size class
	// of Go's memory and no power of two: buffers that all begin at a multiple of
	// 8 KiB compete for the same lines of the cache, and with 1,000 of them in use
	// that is felt.
	smallSize = 9472
	bulkSize  = 128 << 10 // bodies that are copied
)

// Buffers are taken for an exchange and given back when it ends: an idle
// connection holds none.
var (
	smallBuffers = sync.Pool{New: func() any { return new([smallSize]byte) }}
	bulkBuffers  = sync.Pool{New: func() any { return new([bulkSize]byte) }}
)

func getSmall() *[smallSize]byte  { return smallBuffers.Get().(*[smallSize]byte) }
func putSmall(b *[smallSize]byte) { smallBuffers.Put(b) }

func getBulk() *[bulkSize]byte  { return bulkBuffers.Get().(*[bulkSize]byte) }
func putBulk(b *[bulkSize]byte) { bulkBuffers.Put(b) }
