package h2

import "sync"

// chunk holds bytes of a body that nobody has read yet: b[r:w].
type chunk struct {
	b    []byte
	r, w int
	next *chunk
}

// Sizes of chunks: most small bodies fit the small one, and the payload of a
// frame the large one.
const (
	smallChunk = 2 << 10
	largeChunk = 16 << 10
)

var (
	smallChunks = sync.Pool{New: func() any { return &chunk{b: make([]byte, smallChunk)} }}
	largeChunks = sync.Pool{New: func() any { return &chunk{b: make([]byte, largeChunk)} }}
)

// newChunk returns a chunk that suits n bytes.
func newChunk(n int) *chunk {
	if n <= smallChunk {
		return smallChunks.Get().(*chunk)
	}
	return largeChunks.Get().(*chunk)
}

func (c *chunk) free() {
	c.r, c.w, c.next = 0, 0, nil
	if len(c.b) == smallChunk {
		smallChunks.Put(c)
	} else {
		largeChunks.Put(c)
	}
}

// chunks is a queue of them.
type chunks struct {
	first, last *chunk
	size        int // unread bytes
}

// add copies p to the end. Memory is bounded by about twice the bytes in it: a
// large chunk is begun only for what fills half of it, or after a full chunk.
func (q *chunks) add(p []byte) {
	q.size += len(p)
	for len(p) > 0 {
		if q.last == nil || q.last.w == len(q.last.b) {
			c := newChunk(len(p))
			if q.last == nil {
				q.first = c
			} else {
				q.last.next = c
			}
			q.last = c
		}
		n := copy(q.last.b[q.last.w:], p)
		q.last.w += n
		p = p[n:]
	}
}

// pop takes the first chunk, nil if there is none.
func (q *chunks) pop() *chunk {
	c := q.first
	if c == nil {
		return nil
	}
	q.first = c.next
	if q.first == nil {
		q.last = nil
	}
	c.next = nil
	q.size -= c.w - c.r
	return c
}

func (q *chunks) free() {
	for c := q.pop(); c != nil; c = q.pop() {
		c.free()
	}
}
