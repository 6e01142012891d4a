package godwit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// callContext is the context of a call: it merges the caller's context, the
// call's deadline and Cancel. Done channel and timer are made on first use;
// engines hang their abort function in it (see [engine.AbortContext]), and
// contexts derived from it cost no goroutine (AfterFunc).
type callContext struct {
	call   *Call
	parent context.Context

	over  atomic.Bool // cause is set
	timed atomic.Bool // a deadline is set, or was

	mu       sync.Mutex          // guards what follows; never held while foreign code runs
	tie      engine.Registration // to the parent
	done     chan struct{}
	cause    error
	deadline deadline
	timer    *time.Timer
	slot     registration // further ones are among the call's rare
	token    uint64
}

type registration struct {
	token uint64
	abort engine.Aborter
}

var _ engine.AbortContext = (*callContext)(nil)

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (c *callContext) init(parent context.Context, call *Call) {
	c.parent, c.call = parent, call
}

// watch ties the context to its parent's end.
func (c *callContext) watch() {
	if c.parent.Done() == nil {
		return
	}
	var tie engine.Registration
	if ac, ok := c.parent.(*callContext); ok {
		ac.mu.Lock()
		outer, ofAttempt := ac.deadline, ac.call.ofAttempt
		ac.mu.Unlock()
		c.shorten(outer, ofAttempt)
		tie = engine.OnAbort(ac, c)
	} else {
		tie = engine.OnAbort(c.call.client.state.contexts.Of(c.parent), callersEnd{c})
	}
	c.mu.Lock()
	c.tie = tie
	ended := c.cause != nil
	c.mu.Unlock()
	if ended {
		tie.Stop()
	}
}

// callersEnd ends the context when the caller's ends.
type callersEnd struct{ *callContext }

func (c callersEnd) Abort(error) {
	c.end(endOf(c.parent))
}

// Abort ends the context when a context it hangs on ends.
func (c *callContext) Abort(cause error) { c.end(cause) }

// setDeadline makes the context end at d. The timer is only made when
// somebody waits: engines take the deadline from the request.
func (c *callContext) setDeadline(d deadline, ofAttempt bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.call.ofAttempt = d, ofAttempt
	c.timed.Store(true)
	if c.timer != nil || c.done != nil || c.slot.abort != nil {
		c.stopTimer()
		c.arm()
	}
}

// shorten brings the deadline forward to d, if that is one and earlier.
func (c *callContext) shorten(d deadline, ofAttempt bool) {
	if d.at.IsZero() {
		return
	}
	c.mu.Lock()
	earlier := c.deadline.at.IsZero() || d.at.Before(c.deadline.at)
	c.mu.Unlock()
	if earlier {
		c.setDeadline(d, ofAttempt)
	}
}

// kind says whose the deadline is; c.mu is held.
func (c *callContext) kind() engine.TimeoutKind {
	if c.call.ofAttempt {
		return engine.KindAttempt
	}
	return engine.KindRequest
}

// keepTime starts the timer, for when nobody else watches the deadline.
func (c *callContext) keepTime() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm()
}

// halt stops the deadline: the head of a long-lived stream is there, and may be
// the one that the caller gets. Deadline still tells of it, for those who think of
// sending again.
func (c *callContext) halt() {
	if !c.timed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call.halted = true
	c.stopTimer()
}

// resume takes halt back: the response was given up, and the call goes on.
func (c *callContext) resume() {
	if !c.timed.Load() || c.over.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goOn()
}

// goOn is resume with c.mu held.
func (c *callContext) goOn() {
	if c.call.halted {
		c.call.halted = false
		c.arm()
	}
}

// haltToo halts other if c is halted.
func (c *callContext) haltToo(other *callContext) {
	c.mu.Lock()
	halted := c.call.halted
	c.mu.Unlock()
	if halted {
		other.halt()
	}
}

// dropDeadline lifts the deadline for good: the caller gets the stream.
func (c *callContext) dropDeadline() {
	if !c.timed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline{}
	c.stopTimer()
}

func (c *callContext) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

func (c *callContext) arm() {
	if c.deadline.at.IsZero() || c.call.halted || c.timer != nil || c.cause != nil {
		return
	}
	c.timer = time.AfterFunc(time.Until(c.deadline.at), c.expire)
}

func (c *callContext) expire() {
	c.mu.Lock()
	cause := c.ended()
	if cause == nil { // halted or moved when the timer had fired
		c.mu.Unlock()
		return
	}
	c.endAndUnlock(cause)
}

// end ends the context with cause, once.
func (c *callContext) end(cause error) {
	c.mu.Lock()
	c.endAndUnlock(cause)
}

func (c *callContext) endAndUnlock(cause error) {
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	c.cause = cause
	c.over.Store(true)
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	slot, tie := c.slot, c.tie
	c.slot = registration{}
	var more []registration
	if r := c.call.rare; r != nil {
		more, r.aborters = r.aborters, nil
	}
	c.mu.Unlock()
	tie.Stop()
	if slot.abort != nil {
		slot.abort.Abort(cause)
	}
	for _, r := range more {
		r.abort.Abort(cause)
	}
}

// AddAborter implements [engine.AbortContext].
func (c *callContext) AddAborter(a engine.Aborter) uint64 {
	c.mu.Lock()
	if cause := c.ended(); cause != nil {
		c.mu.Unlock()
		c.end(cause) // a deadline that nobody has noticed yet
		a.Abort(cause)
		return 0
	}
	c.token++
	r := registration{c.token, a}
	if c.slot.abort == nil {
		c.slot = r
	} else {
		rare := c.call.unusual()
		rare.aborters = append(rare.aborters, r)
	}
	c.mu.Unlock()
	return r.token
}

// RemoveAborter implements [engine.AbortContext].
func (c *callContext) RemoveAborter(token uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot.abort != nil && c.slot.token == token {
		c.slot = registration{}
		return true
	}
	rare := c.call.rare
	if rare == nil {
		return false
	}
	at := slices.IndexFunc(rare.aborters, func(r registration) bool { return r.token == token })
	if at < 0 {
		return false
	}
	rare.aborters = slices.Delete(rare.aborters, at, at+1)
	return true
}

// AfterFunc makes package context hang derived contexts on this one without a
// goroutine each.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	c.arm()
	c.mu.Unlock()
	token := c.AddAborter(afterFunc(f))
	return func() bool { return c.RemoveAborter(token) }
}

type afterFunc func()

func (f afterFunc) Abort(error) { go f() }

// ended returns the cause if the context has ended; a deadline counts when it
// is reached, timer or not. c.mu is held.
func (c *callContext) ended() error {
	if c.cause != nil {
		return c.cause
	}
	if d := c.deadline; !d.at.IsZero() && !c.call.halted && !time.Now().Before(d.at) {
		return &engine.TimeoutError{Kind: c.kind(), Limit: d.limit}
	}
	return nil
}

// Cause returns why the context ended, nil if it has not.
func (c *callContext) Cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended()
}

// forced returns what ended the context from outside, nil if it runs, if the call
// is over, or if it was only reached by its deadline unnoticed.
func (c *callContext) forced() error {
	if !c.over.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == errOver {
		return nil
	}
	return c.cause
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) {
	at, ok := c.parent.Deadline()
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.deadline.at; !d.IsZero() && (!ok || d.Before(at)) {
		return d, true
	}
	return at, ok
}

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done
	}
	if c.cause != nil {
		return closedChannel
	}
	c.done = make(chan struct{})
	c.arm()
	return c.done
}

// Err implements context.Context.
func (c *callContext) Err() error {
	if !c.over.Load() && !c.timed.Load() {
		return nil
	}
	cause := c.Cause()
	switch {
	case cause == nil:
		return nil
	case errors.Is(cause, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// Value implements context.Context.
func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c.call
	}
	return c.parent.Value(key)
}
