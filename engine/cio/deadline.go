package cio

import (
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/internal/transfer"
)

// clock keeps the limits of one exchange. They become deadlines of the
// connection: one for the whole exchange if the request's own deadline is all
// there is, else one before each read and write.
//
// A deadline of the connection that fires is only a reason to look again: the
// limit may have moved meanwhile, because bytes went the other way or because
// the request has just ended. The writer of a body never changes the deadline of
// reads for good; it makes it fire.
type clock struct {
	transfer.Clock
	revisions atomic.Uint32
}

// start begins an exchange on c.
func (k *clock) start(c *conn) {
	k.Unsent()
	k.Unmoved()
	if k.each() {
		k.Begin = time.Now()
	}
	if c.dated || !k.Whole.At.IsZero() {
		c.SetDeadline(k.Whole.At)
	}
	c.dated = !k.Whole.At.IsZero() || k.each()
}

// each reports whether every read and write needs a deadline of its own.
func (k *clock) each() bool { return k.Header > 0 || k.Idle > 0 || !k.Proceed.IsZero() }

// explain names the limit behind an error of a connection that has one deadline
// for the whole exchange.
func (k *clock) explain(err error) error {
	if err == nil || !isDeadline(err) {
		return err
	}
	if d := k.Total(); !d.At.IsZero() {
		return d.Err()
	}
	return err
}

// armRead sets the deadline for a read that began at begin.
func (k *clock) armRead(c *conn, begin time.Time) {
	for {
		revision := k.revisions.Load()
		c.SetReadDeadline(k.ReadDue(begin).At)
		if k.revisions.Load() == revision {
			return
		}
	}
}

// look brings a write's due time forward, so that it is looked at on the way: when
// the last byte of a part went nobody tells. An idle timeout ends a write late by
// that pause at most.
func (k *clock) look(d transfer.Due) transfer.Due {
	return d.Or(transfer.Due{At: time.Now().Add(max(k.Idle/10, minLook))})
}

// minLook leaves the system the time to write something.
const minLook = 10 * time.Millisecond

// requestSent starts the header timeout; it may be called by the writer of the
// body while a read waits, but not when the exchange may be over: the connection's
// deadline is the next one's then.
func (k *clock) requestSent(c *conn) {
	if k.Sent() {
		k.revisions.Add(1)
		c.SetReadDeadline(past)
	}
}

// headDone ends what holds for the head only. Reads and writes that set their own
// deadlines see it by themselves.
func (k *clock) headDone(c *conn) {
	k.HeadOver.Store(true)
	if !k.HeadOnly {
		return
	}
	if k.Idle <= 0 {
		c.SetWriteDeadline(time.Time{})
	}
	if !k.each() {
		c.SetReadDeadline(time.Time{})
	}
}

// await100 and stop100 bracket the wait for 100 Continue.
func (k *clock) await100(d time.Duration, c *conn) {
	k.Begin = time.Now()
	k.Proceed = transfer.In(d, k.Begin, transfer.KindContinue).At
	c.dated = true
}

func (k *clock) stop100(c *conn) {
	k.Proceed = time.Time{}
	c.SetReadDeadline(k.Total().At)
}
