package websocket

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// watch lets the end of a context break off what one goroutine at a time does on
// the stream. Watching a context costs allocations, so a context that comes
// twice in a row stays watched until another one comes: a loop that reads with
// one context allocates nothing.
type watch struct {
	state atomic.Int32 // watchIdle, watchBusy, watchFired

	// For who operates:
	watched <-chan struct{}
	last    <-chan struct{} // of the operation before

	mu     sync.Mutex // guards what follows, and breaking off
	stop   func() bool
	round  uint32 // of the context that is watched
	closed bool
}

const (
	watchIdle = iota
	watchBusy
	watchFired
)

// breaker is what an operation works on.
type breaker interface{ breakOff() }

// begin starts an operation that ctx may end: then it is broken off, once, and
// never after end. The error is that of a context that has ended already.
func (w *watch) begin(ctx context.Context, b breaker) error {
	done := ctx.Done()
	switch {
	case done == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case w.watched != done:
		w.register(ctx, b)
	}
	w.state.Store(watchBusy)
	if ctx.Err() != nil && w.state.CompareAndSwap(watchBusy, watchIdle) {
		return context.Cause(ctx) // it ended before fire could see that we are busy
	}
	return nil
}

// register watches ctx.
func (w *watch) register(ctx context.Context, b breaker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drop(); w.closed {
		return
	}
	w.watched = ctx.Done()
	round := w.round
	w.stop = context.AfterFunc(ctx, func() { w.fire(round, b) })
}

// end ends the operation, and reports whether the context broke it off.
func (w *watch) end(ctx context.Context) bool {
	done := ctx.Done()
	if done == nil {
		return false
	}
	fired := !w.state.CompareAndSwap(watchBusy, watchIdle)
	if !fired && w.last == done {
		return false
	}
	w.mu.Lock() // waits for who breaks off
	defer w.mu.Unlock()
	w.state.Store(watchIdle)
	if w.last != done {
		w.drop()
		w.last = done
	}
	return fired
}

func (w *watch) fire(round uint32, b breaker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.round == round && w.state.CompareAndSwap(watchBusy, watchFired) {
		b.breakOff()
	}
}

// again is called when the stream was broken off and the context has not ended:
// the alarm was for another operation.
func (w *watch) again(s stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state.Load() != watchFired {
		s.SetReadDeadline(time.Time{})
	}
}

// drop stops watching; w.mu is held.
func (w *watch) drop() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
	w.watched = nil
	w.round++
}

// close stops watching for good.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}
