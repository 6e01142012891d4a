package http3

import "sync"

// gate bounds how many hold it at once and lets others wait in order. A nil
// gate lets everybody in. It is safe for concurrent use.
type gate struct {
	waiting func() // called, without the lock, when somebody has to wait

	mu    sync.Mutex // guards what follows
	free  int
	queue []chan struct{} // closed to let in
}

// newGate returns a gate for n, or one without bound if n is not positive.
func newGate(n int) *gate {
	if n <= 0 {
		return &gate{free: -1}
	}
	return &gate{free: n}
}

// enter waits until it may go in, or done is closed; it reports which.
func (g *gate) enter(done <-chan struct{}) bool {
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
	}
	g.mu.Lock()
	for i, other := range g.queue {
		if other == turn {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			g.mu.Unlock()
			return false
		}
	}
	g.mu.Unlock()
	g.leave() // the turn came at the same moment
	return false
}

// leave lets the next one in.
func (g *gate) leave() {
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

// crowded reports whether somebody waits.
func (g *gate) crowded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue) > 0
}
