// Package expiry keeps the limits of time of one exchange on a transport that
// knows none of them but a context: each limit is a timer that cancels the
// exchange's context with *engine.TimeoutError as the cause, whatever the
// transport makes of that. Engines that own their sockets use deadlines instead.
package expiry

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// Timers are the limits of one exchange. They do nothing before Init. All methods
// are safe for concurrent use, and may be called with locks held: a timer takes
// none of the exchange's.
type Timers struct {
	cancel   context.CancelCauseFunc
	limits   engine.Timeouts
	headOnly bool
	moved    func() time.Time
	started  time.Time
	activity atomic.Int64 // when the last byte moved, in time since started
	paused   atomic.Int32

	mu                                    sync.Mutex // guards what follows
	deadline, pool, connect, header, idle *time.Timer
	watch                                 int // counts the starts of idle
	headed, over                          bool
}

// Init begins with the deadline of req. limits are the timeouts that hold for it;
// one that runs out calls cancel. moved tells when the transport has last moved a
// byte that Touch was not called for; nil = Touch is called for all.
func (t *Timers) Init(req *engine.Request, limits engine.Timeouts, cancel context.CancelCauseFunc, moved func() time.Time) {
	t.cancel, t.limits, t.headOnly, t.moved, t.started = cancel, limits, req.HeadOnly, moved, time.Now()
	if req.Deadline.IsZero() {
		return
	}
	expire := func() {
		cancel(&engine.TimeoutError{Kind: cmp.Or(req.DeadlineKind, engine.KindRequest), Limit: req.DeadlineLimit})
	}
	if left := time.Until(req.Deadline); left <= 0 {
		expire()
	} else {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.deadline = time.AfterFunc(left, expire)
	}
}

// Start begins the pool, connect or header timeout, if there is such a limit. One
// that runs already goes on; after Head and End none begins.
func (t *Timers) Start(kind engine.TimeoutKind) {
	timer, limit := t.of(kind)
	if !engine.Limited(limit) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if *timer == nil && !t.headed && !t.over {
		*timer = time.AfterFunc(limit, func() { t.cancel(&engine.TimeoutError{Kind: kind, Limit: limit}) })
	}
}

// of returns the timer of a kind and its limit; the deadline's for the kinds that
// a deadline may have.
func (t *Timers) of(kind engine.TimeoutKind) (**time.Timer, time.Duration) {
	switch kind {
	case engine.KindPool:
		return &t.pool, t.limits.Pool
	case engine.KindConnect:
		return &t.connect, t.limits.Connect
	case engine.KindHeader:
		return &t.header, t.limits.Header
	case engine.KindIdle:
		return &t.idle, t.limits.Idle
	}
	return &t.deadline, 0
}

// Stop ends limits; KindRequest stands for the deadline of any kind.
func (t *Timers) Stop(kinds ...engine.TimeoutKind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop(kinds...)
}

func (t *Timers) stop(kinds ...engine.TimeoutKind) {
	for _, kind := range kinds {
		if timer, _ := t.of(kind); *timer != nil {
			(*timer).Stop()
			*timer = nil
		}
	}
}

// Head tells that the response's head is there. It ends the limits that end with
// it, and the pause so far. A request that is still being sent then has no header
// timeout when it is complete.
func (t *Timers) Head() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.headed = true
	t.stop(engine.KindPool, engine.KindConnect, engine.KindHeader, engine.KindIdle)
	if t.headOnly {
		t.stop(engine.KindRequest)
	}
}

// End stops all timers for good.
func (t *Timers) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.stop(engine.KindRequest, engine.KindPool, engine.KindConnect, engine.KindHeader, engine.KindIdle)
}

// Touch notes that a byte has moved.
func (t *Timers) Touch() { t.activity.Store(int64(time.Since(t.started))) }

// Pause notes that the sender's own code is waited for, a read of the request's
// body say: until Resume nobody can blame the server for a pause. Both may be
// called by several at once.
func (t *Timers) Pause() { t.paused.Add(1) }

// Resume ends one Pause, and counts as a byte that moved.
func (t *Timers) Resume() {
	t.Touch()
	t.paused.Add(-1)
}

// StartIdle begins to watch for pauses, until Head, End or a Stop of KindIdle:
// while the head is waited for, or during one read of the body.
func (t *Timers) StartIdle() {
	limit := t.limits.Idle
	if !engine.Limited(limit) {
		return
	}
	t.Touch()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.idle != nil {
		return
	}
	t.watch++
	watch := t.watch
	t.idle = time.AfterFunc(limit, func() { t.check(watch) })
}

// check ends the exchange if the pause was long enough, else it looks again when
// it can be.
func (t *Timers) check(watch int) {
	limit := t.limits.Idle
	// Resume touches first, so that this order never sees a pause that it ended.
	paused := t.paused.Load() > 0
	last := time.Duration(t.activity.Load())
	if t.moved != nil {
		last = max(last, t.moved().Sub(t.started))
	}
	left := limit - (time.Since(t.started) - last)
	if paused {
		left = limit
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.idle == nil || t.watch != watch:
	case left > 0:
		t.idle.Reset(left)
	default:
		t.cancel(&engine.TimeoutError{Kind: engine.KindIdle, Limit: limit})
	}
}
