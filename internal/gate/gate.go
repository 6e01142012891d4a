// Package gate bounds how many do a thing at once: exchanges of an engine, say,
// or connections. The others wait, and go in in the order in which they came.
package gate

import (
	"slices"
	"sync"
)

// Gate is made by [New]; its zero value lets nobody in. It is safe for concurrent
// use.
type Gate struct {
	waiting func()
	closed  chan struct{} // by Close
	closing sync.Once

	mu    sync.Mutex // guards what follows
	free  int        // negative = without bound
	queue []chan struct{}
}

// New returns a gate for n at once, or one without bound if n is not positive.
// waiting is called, without a lock, by each one that has to wait, before it
// does; nil = nobody wants to know.
func New(n int, waiting func()) *Gate {
	if n <= 0 {
		n = -1
	}
	return &Gate{waiting: waiting, free: n, closed: make(chan struct{})}
}

// Enter waits until it may go in or done is closed, or the gate is, and reports
// whether it is in. Who is in must call [Gate.Leave]. A nil done is never closed.
func (g *Gate) Enter(done <-chan struct{}) bool {
	select {
	case <-g.closed:
		return false
	default:
	}
	g.mu.Lock()
	if g.free != 0 {
		g.free = max(g.free-1, -1)
		g.mu.Unlock()
		return true
	}
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	if g.waiting != nil {
		g.waiting()
	}
	select {
	case <-turn:
		return true
	case <-done:
	case <-g.closed:
	}
	g.mu.Lock()
	if i := slices.Index(g.queue, turn); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
		g.mu.Unlock()
		return false
	}
	g.mu.Unlock()
	g.Leave() // the turn came at the same moment
	return false
}

// Leave gives the place to the next one.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.queue) > 0:
		close(g.queue[0])
		g.queue = g.queue[1:]
	case g.free >= 0:
		g.free++
	}
}

// Close sends away who waits, and who comes from now on. Who is in stays.
func (g *Gate) Close() { g.closing.Do(func() { close(g.closed) }) }

// Crowded reports whether somebody waits.
func (g *Gate) Crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue) > 0
}
