package cio

import (
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

// clock keeps the limits of one exchange. They become deadlines of the
// connection: one for the whole exchange if the request's own deadline is all
// there is, else one before each read and write.
//
// A deadline of the connection that fires is only a reason to look again: the
// limit may have moved meanwhile, because bytes went the other way or because
// the request has just ended. The writer of a body never changes the deadline of
// reads for good; it makes it fire.
type clock struct {
	whole        due // the request's deadline
	headOnly     bool
	header, idle time.Duration // 0 = none
	begin        time.Time     // what sentAt and lastByte count from, if those are used

	proceed time.Time // when to send the body without 100 Continue; zero = never

	headOver  atomic.Bool
	sentAt    atomic.Int64 // 1 + when the request was complete; 0 = not yet
	lastByte  atomic.Int64 // when the last byte went in either direction
	revisions atomic.Uint32
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
}

// start begins an exchange on c.
func (k *clock) start(c *conn) {
	k.sentAt.Store(0)
	k.lastByte.Store(0)
	if k.each() {
		k.begin = time.Now()
	}
	if c.dated || !k.whole.at.IsZero() {
		c.SetDeadline(k.whole.at)
	}
	c.dated = !k.whole.at.IsZero() || k.each()
}

// each reports whether every read and write needs a deadline of its own.
func (k *clock) each() bool { return k.header > 0 || k.idle > 0 || !k.proceed.IsZero() }

// total is the request's deadline while it holds.
func (k *clock) total() due {
	if k.headOnly && k.headOver.Load() {
		return due{}
	}
	return k.whole
}

// explain names the limit behind an error of a connection that has one deadline
// for the whole exchange.
func (k *clock) explain(err error) error {
	if err == nil || !isDeadline(err) {
		return err
	}
	if d := k.total(); !d.at.IsZero() {
		return d.error()
	}
	return err
}

// pause is when a read or write that began at begin has waited for too long.
func (k *clock) pause(begin time.Time) due {
	if last := k.begin.Add(time.Duration(k.lastByte.Load())); last.After(begin) {
		begin = last
	}
	return in(k.idle, begin, engine.KindIdle)
}

func (k *clock) readDue(begin time.Time) due {
	d := k.total().or(k.pause(begin)).or(due{at: k.proceed, kind: kindContinue})
	if sent := k.sentAt.Load(); sent != 0 && !k.headOver.Load() {
		d = d.or(in(k.header, k.begin.Add(time.Duration(sent-1)), engine.KindHeader))
	}
	return d
}

func (k *clock) writeDue(begin time.Time) due { return k.total().or(k.pause(begin)) }

// armRead sets the deadline for a read that began at begin.
func (k *clock) armRead(c *conn, begin time.Time) {
	for {
		revision := k.revisions.Load()
		c.SetReadDeadline(k.readDue(begin).at)
		if k.revisions.Load() == revision {
			return
		}
	}
}

// moved takes notice that a byte went over the wire.
func (k *clock) moved() {
	if k.idle > 0 {
		k.lastByte.Store(int64(time.Since(k.begin)))
	}
}

// requestSent starts the header timeout; it may be called by the writer of the
// body while a read waits.
func (k *clock) requestSent(c *conn) {
	if k.header <= 0 {
		return
	}
	k.sentAt.Store(int64(time.Since(k.begin)) + 1)
	k.revisions.Add(1)
	c.SetReadDeadline(past)
}

// headDone ends what holds for the head only. Reads and writes that set their own
// deadlines see it by themselves.
func (k *clock) headDone(c *conn) {
	k.headOver.Store(true)
	if !k.headOnly {
		return
	}
	if k.idle <= 0 {
		c.SetWriteDeadline(time.Time{})
	}
	if !k.each() {
		c.SetReadDeadline(time.Time{})
	}
}

// await100 and stop100 bracket the wait for 100 Continue.
func (k *clock) await100(d time.Duration, c *conn) {
	k.begin = time.Now()
	k.proceed = in(d, k.begin, kindContinue).at
	c.dated = true
}

func (k *clock) stop100(c *conn) {
	k.proceed = time.Time{}
	c.SetReadDeadline(k.total().at)
}
