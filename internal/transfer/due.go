package transfer

import (
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// Due is a point in time and the limit that it stands for.
type Due struct {
	At    time.Time // zero = never
	Kind  engine.TimeoutKind
	Limit time.Duration
}

// In is the due time of a timeout that starts at begin: never if d is no limit.
func In(d time.Duration, begin time.Time, kind engine.TimeoutKind) Due {
	if !engine.Limited(d) {
		return Due{}
	}
	return Due{At: begin.Add(d), Kind: kind, Limit: d}
}

// Over reports whether d has come.
func (d Due) Over(now time.Time) bool { return !d.At.IsZero() && !now.Before(d.At) }

// Err is the *engine.TimeoutError of the limit.
func (d Due) Err() error { return &engine.TimeoutError{Kind: d.Kind, Limit: d.Limit} }

// Or returns what comes first.
func (d Due) Or(other Due) Due {
	if d.At.IsZero() || !other.At.IsZero() && other.At.Before(d.At) {
		return other
	}
	return d
}

// KindContinue ends the wait for 100 Continue; users never see it.
const KindContinue engine.TimeoutKind = "100-continue"

// Clock keeps the limits of one exchange. Who waits asks it how long, and asks
// again when that time is over: the limit may have moved meanwhile, because bytes
// went the other way or because the request has just ended.
//
// Its owner is the goroutine that waits for the response; the one that sends the
// body may call Total, WriteDue, Moved and Sent.
type Clock struct {
	Whole        Due // the request's deadline
	HeadOnly     bool
	Header, Idle time.Duration // 0 = none
	Begin        time.Time     // what the times below count from; set if Header or Idle is
	Proceed      time.Time     // when to send the body without 100 Continue; zero = never

	HeadOver atomic.Bool  // the head of the response is there
	sentAt   atomic.Int64 // 1 + when the request was complete; 0 = not yet
	lastByte atomic.Int64 // when the last byte went in either direction
}

// Init sets the limits; t are the timeouts that hold for req.
func (k *Clock) Init(req *engine.Request, t engine.Timeouts) {
	if !req.Deadline.IsZero() {
		k.Whole = Due{At: req.Deadline, Kind: req.DeadlineKind, Limit: req.DeadlineLimit}
		if k.Whole.Kind == "" {
			k.Whole.Kind = engine.KindRequest
		}
		k.HeadOnly = req.HeadOnly
	}
	if engine.Limited(t.Header) {
		k.Header = t.Header
	}
	if engine.Limited(t.Idle) {
		k.Idle = t.Idle
	}
}

// Total is the request's deadline while it holds.
func (k *Clock) Total() Due {
	if k.HeadOnly && k.HeadOver.Load() {
		return Due{}
	}
	return k.Whole
}

// Pause is when a wait that began at begin has lasted for too long without a
// byte.
func (k *Clock) Pause(begin time.Time) Due {
	if k.Idle <= 0 {
		return Due{}
	}
	if last := k.Begin.Add(time.Duration(k.lastByte.Load())); last.After(begin) {
		begin = last
	}
	return In(k.Idle, begin, engine.KindIdle)
}

// HeaderDue is when the head must be there, if the request is complete.
func (k *Clock) HeaderDue() Due {
	if sent := k.sentAt.Load(); sent != 0 && !k.HeadOver.Load() {
		return In(k.Header, k.Begin.Add(time.Duration(sent-1)), engine.KindHeader)
	}
	return Due{}
}

// ReadDue is when a wait for the response that began at begin ends.
func (k *Clock) ReadDue(begin time.Time) Due {
	return k.Total().Or(k.Pause(begin)).Or(Due{At: k.Proceed, Kind: KindContinue}).Or(k.HeaderDue())
}

// WriteDue is the like for the request.
func (k *Clock) WriteDue(begin time.Time) Due { return k.Total().Or(k.Pause(begin)) }

// Moved takes notice that a byte went over the wire.
func (k *Clock) Moved() {
	if k.Idle > 0 {
		k.lastByte.Store(int64(time.Since(k.Begin)))
	}
}

// Sent starts the header timeout, and reports whether there is one: who waits for
// the head must then look again.
func (k *Clock) Sent() bool {
	if k.Header <= 0 {
		return false
	}
	k.sentAt.Store(int64(time.Since(k.Begin)) + 1)
	return true
}

// Unsent takes Sent back: the request is sent once more.
func (k *Clock) Unsent() { k.sentAt.Store(0) }

// Unmoved forgets when the last byte went, for a new Begin.
func (k *Clock) Unmoved() { k.lastByte.Store(0) }
