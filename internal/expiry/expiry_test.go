package expiry_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/expiry"
)

const second = time.Second

// run gives f the timers of an exchange and returns when it was ended, and by what;
// zero and nil if nothing did within an hour.
func run(t *testing.T, req *engine.Request, limits engine.Timeouts, f func(*expiry.Timers)) (after time.Duration, cause error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if !req.Deadline.IsZero() {
			req.Deadline = begin.Add(req.DeadlineLimit)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var timers expiry.Timers
		timers.Init(req, limits, cancel, nil)
		f(&timers)
		select {
		case <-ctx.Done():
			cause, after = context.Cause(ctx), time.Since(begin)
		case <-time.After(time.Hour):
		}
		timers.End()
	})
	return after, cause
}

func TestTimers(t *testing.T) {
	soon := time.Now() // replaced by the limit
	all := engine.Timeouts{Pool: second, Connect: 2 * second, Header: 3 * second, Idle: 4 * second}
	deadline := func(kind engine.TimeoutKind, headOnly bool) *engine.Request {
		return &engine.Request{Deadline: soon, DeadlineKind: kind, DeadlineLimit: 5 * second, HeadOnly: headOnly}
	}
	for _, tc := range []struct {
		name   string
		req    *engine.Request
		limits engine.Timeouts
		do     func(*expiry.Timers)
		kind   engine.TimeoutKind
		after  time.Duration
	}{
		{name: "nothing began", limits: all, do: func(*expiry.Timers) {}},
		{name: "pool", limits: all, do: func(x *expiry.Timers) { x.Start(engine.KindPool) }, kind: engine.KindPool, after: second},
		{name: "connect", limits: all, do: func(x *expiry.Timers) { x.Start(engine.KindConnect) }, kind: engine.KindConnect, after: 2 * second},
		{name: "header", limits: all, do: func(x *expiry.Timers) { x.Start(engine.KindHeader) }, kind: engine.KindHeader, after: 3 * second},
		{name: "idle", limits: all, do: (*expiry.Timers).StartIdle, kind: engine.KindIdle, after: 4 * second},
		{name: "no limits", do: func(x *expiry.Timers) { x.Start(engine.KindPool); x.StartIdle() }},
		{name: "none on purpose", limits: engine.Timeouts{Pool: engine.NoTimeout, Idle: engine.NoTimeout}, do: func(x *expiry.Timers) { x.Start(engine.KindPool); x.StartIdle() }},
		{name: "deadline", req: deadline("", false), do: func(*expiry.Timers) {}, kind: engine.KindRequest, after: 5 * second},
		{name: "deadline of an attempt", req: deadline(engine.KindAttempt, false), do: func(*expiry.Timers) {}, kind: engine.KindAttempt, after: 5 * second},
		{name: "deadline in the past", req: &engine.Request{Deadline: soon, DeadlineLimit: -second}, do: func(*expiry.Timers) {}, kind: engine.KindRequest},
		{name: "deadline covers the body", req: deadline("", false), do: (*expiry.Timers).Head, kind: engine.KindRequest, after: 5 * second},
		{name: "deadline of the head", req: deadline("", true), do: (*expiry.Timers).Head},
		{name: "deadline stopped", req: deadline(engine.KindAttempt, false), do: func(x *expiry.Timers) { x.Stop(engine.KindRequest) }},
		{name: "stopped", limits: all, do: func(x *expiry.Timers) { x.Start(engine.KindPool); x.Start(engine.KindHeader); x.Stop(engine.KindPool) }, kind: engine.KindHeader, after: 3 * second},
		{name: "goes on", limits: all, do: func(x *expiry.Timers) {
			x.Start(engine.KindPool)
			time.Sleep(second / 2)
			x.Start(engine.KindPool)
		}, kind: engine.KindPool, after: second},
		{name: "begins anew", limits: all, do: func(x *expiry.Timers) {
			x.Start(engine.KindPool)
			time.Sleep(second / 2)
			x.Stop(engine.KindPool)
			x.Start(engine.KindPool)
		}, kind: engine.KindPool, after: 3 * second / 2},
		{name: "the head ends all", limits: all, do: func(x *expiry.Timers) {
			x.Start(engine.KindPool)
			x.Start(engine.KindConnect)
			x.Start(engine.KindHeader)
			x.StartIdle()
			x.Head()
		}},
		{name: "sent after the head", limits: all, do: func(x *expiry.Timers) { x.Head(); x.Start(engine.KindHeader) }},
		{name: "idle in the body", limits: all, do: func(x *expiry.Timers) { x.Head(); x.StartIdle() }, kind: engine.KindIdle, after: 4 * second},
		{name: "over", req: deadline("", false), limits: all, do: func(x *expiry.Timers) {
			x.Start(engine.KindPool)
			x.End()
			x.Start(engine.KindConnect)
			x.StartIdle()
		}},
		{name: "a byte moved", limits: all, do: func(x *expiry.Timers) {
			x.StartIdle()
			time.Sleep(3 * second)
			x.Touch()
		}, kind: engine.KindIdle, after: 7 * second},
		{name: "the sender is slow", limits: all, do: func(x *expiry.Timers) {
			x.StartIdle()
			x.Pause()
			time.Sleep(30 * second)
			x.Resume()
		}, kind: engine.KindIdle, after: 34 * second},
		{name: "two senders are slow", limits: all, do: func(x *expiry.Timers) {
			x.StartIdle()
			x.Pause()
			x.Pause()
			x.Resume()
			time.Sleep(9 * second)
			x.Resume()
		}, kind: engine.KindIdle, after: 13 * second},
		{name: "idle stopped and begun", limits: all, do: func(x *expiry.Timers) {
			x.StartIdle()
			time.Sleep(3 * second)
			x.Stop(engine.KindIdle)
			time.Sleep(30 * second)
			x.StartIdle()
		}, kind: engine.KindIdle, after: 37 * second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req == nil {
				tc.req = &engine.Request{}
			}
			after, cause := run(t, tc.req, tc.limits, tc.do)
			var kind engine.TimeoutKind
			if e, ok := errors.AsType[*engine.TimeoutError](cause); ok {
				kind = e.Kind
			}
			if kind != tc.kind || after != tc.after {
				t.Errorf("%v after %v, want %q after %v", cause, after, tc.kind, tc.after)
			}
		})
	}
}

// TestMoved: what the transport moves counts too.
func TestMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, cancel := context.WithCancelCause(t.Context())
		var timers expiry.Timers
		var last atomic.Pointer[time.Time] // never
		last.Store(&time.Time{})
		timers.Init(&engine.Request{}, engine.Timeouts{Idle: 4 * second}, cancel, func() time.Time { return *last.Load() })
		timers.StartIdle()
		time.Sleep(second)
		now := time.Now()
		last.Store(&now)
		<-ctx.Done()
		if after := time.Since(begin); after != 5*second {
			t.Errorf("%v after %v, want 5s", context.Cause(ctx), after)
		}
	})
}
