package websocket

import (
	"sync"
	"sync/atomic"
)

// gate is a mutex whose wait can be given up. Who waits is let in in order. Its
// zero value is open.
type gate struct {
	state atomic.Int32 // gateOpen, gateShut or gateAwaited
	mu    sync.Mutex   // guards what follows, and leaving gateAwaited
	over  bool         // nobody may wait
	first *waiter
}

const (
	gateOpen    = iota
	gateShut    // and nobody waits
	gateAwaited // and somebody may wait
)

type waiter struct {
	turn chan struct{} // closed when it is, or will never be
	lost bool          // it will never be; set before turn is closed
	next *waiter
}

// tryLock takes the gate if it is free.
func (g *gate) tryLock() bool { return g.state.CompareAndSwap(gateOpen, gateShut) }

// lock waits for the gate until one of the channels or the gate itself is closed,
// and reports whether it has it. A nil channel never is closed.
func (g *gate) lock(done, also <-chan struct{}) bool {
	return g.tryLock() || g.wait(done, also)
}

func (g *gate) wait(done, also <-chan struct{}) bool {
	w := g.enter()
	if w == nil {
		return true
	}
	select {
	case <-w.turn:
		return !w.lost
	case <-done:
	case <-also:
	}
	if !g.leave(w) {
		if <-w.turn; !w.lost {
			g.unlock() // it was given to us at the last moment
		}
	}
	return false
}

// enter queues up, or returns nil if it could take the gate.
func (g *gate) enter() *waiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !g.state.CompareAndSwap(gateShut, gateAwaited) && g.state.Load() != gateAwaited {
		if g.tryLock() {
			return nil
		}
	}
	w := &waiter{turn: make(chan struct{})}
	if g.over {
		w.lost = true
		close(w.turn)
		return w
	}
	at := &g.first
	for *at != nil {
		at = &(*at).next
	}
	*at = w
	return w
}

// leave takes a waiter out and reports whether it still waited.
func (g *gate) leave(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for at := &g.first; *at != nil; at = &(*at).next {
		if *at == w {
			*at = w.next
			return true
		}
	}
	return false
}

// close sends away who waits now or later; who has the gate keeps it.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	for w := g.first; w != nil; w = w.next {
		w.lost = true
		close(w.turn)
	}
	g.first = nil
}

// unlock gives the gate to who has waited longest.
func (g *gate) unlock() {
	if g.state.CompareAndSwap(gateShut, gateOpen) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.first
	if w == nil {
		g.state.Store(gateOpen)
		return
	}
	g.first = w.next
	close(w.turn)
}
