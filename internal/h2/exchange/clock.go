package exchange

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// due is a point in time and the limit that it stands for.
type due struct {
	at    time.Time // zero = never
	kind  engine.TimeoutKind
	limit time.Duration
}

func (d due) over(now time.Time) bool { return !d.at.IsZero() && !now.Before(d.at) }

func (d due) error() error { return &engine.TimeoutError{Kind: d.kind, Limit: d.limit} }

// or returns what comes first.
func (d due) or(other due) due {
	if d.at.IsZero() || !other.at.IsZero() && other.at.Before(d.at) {
		return other
	}
	return d
}

// in is the due time of a timeout that starts at begin: never if d is no limit.
func in(d time.Duration, begin time.Time, kind engine.TimeoutKind) due {
	if !engine.Limited(d) {
		return due{}
	}
	return due{at: begin.Add(d), kind: kind, limit: d}
}

// kindContinue ends the wait for 100 Continue; it never leaves this package.
const kindContinue engine.TimeoutKind = "100-continue"

// clock keeps the limits of one exchange. Who waits asks it how long, and asks
// again when that time is over: the limit may have moved meanwhile.
type clock struct {
	whole        due // the request's deadline
	headOnly     bool
	header, idle time.Duration // 0 = none
	begin        time.Time     // what sentAt and lastByte count from, if those are used

	proceed due // when to send the body without 100 Continue

	headOver atomic.Bool
	sentAt   atomic.Int64 // 1 + when the request was complete; 0 = not yet
	lastByte atomic.Int64 // when the last byte went in either direction
}

func (k *clock) init(req *engine.Request, t engine.Timeouts) {
	if !req.Deadline.IsZero() {
		k.whole = due{at: req.Deadline, kind: req.DeadlineKind, limit: req.DeadlineLimit}
		if k.whole.kind == "" {
			k.whole.kind = engine.KindRequest
		}
		k.headOnly = req.HeadOnly
	}
	if engine.Limited(t.Header) {
		k.header = t.Header
	}
	if engine.Limited(t.Idle) {
		k.idle = t.Idle
	}
	if k.header > 0 || k.idle > 0 {
		k.begin = time.Now()
	}
}

// total is the request's deadline while it holds.
func (k *clock) total() due {
	if k.headOnly && k.headOver.Load() {
		return due{}
	}
	return k.whole
}

// pause is when a wait that began at begin has lasted for too long without a
// byte.
func (k *clock) pause(begin time.Time) due {
	if k.idle <= 0 {
		return due{}
	}
	if last := k.begin.Add(time.Duration(k.lastByte.Load())); last.After(begin) {
		begin = last
	}
	return in(k.idle, begin, engine.KindIdle)
}

func (k *clock) readDue(begin time.Time) due {
	d := k.total().or(k.pause(begin)).or(k.proceed)
	if sent := k.sentAt.Load(); sent != 0 && !k.headOver.Load() {
		d = d.or(in(k.header, k.begin.Add(time.Duration(sent-1)), engine.KindHeader))
	}
	return d
}

// start returns the begin of a wait, for readDue; the time is not asked for
// where nothing depends on it.
func (k *clock) start() time.Time {
	if k.idle > 0 {
		return time.Now()
	}
	return time.Time{}
}

// moved takes notice that a byte went over the wire.
func (k *clock) moved() {
	if k.idle > 0 {
		k.lastByte.Store(int64(time.Since(k.begin)))
	}
}

// requestSent starts the header timeout, and reports whether there is one: who
// waits for the head must then look again.
func (k *clock) requestSent() bool {
	if k.header <= 0 {
		return false
	}
	k.sentAt.Store(int64(time.Since(k.begin)) + 1)
	return true
}

var timers = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

// wait waits for ch until the time that limit names, which it asks for again
// when that is over.
func wait(ch <-chan struct{}, limit func(begin time.Time) due, begin time.Time) error {
	d := limit(begin)
	if d.at.IsZero() {
		<-ch
		return nil
	}
	select {
	case <-ch:
		return nil
	default:
	}
	t := timers.Get().(*time.Timer)
	defer func() {
		t.Stop()
		timers.Put(t)
	}()
	for {
		t.Reset(time.Until(d.at))
		select {
		case <-ch:
			return nil
		case <-t.C:
		}
		if d = limit(begin); d.at.IsZero() {
			<-ch
			return nil
		}
		if d.over(time.Now()) {
			return d.error()
		}
	}
}
