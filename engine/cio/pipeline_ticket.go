package cio

import (
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/internal/transfer"
)

// The states of a ticket. Those from placed on are in a pipe.
const (
	ticketQueued    = iota // in lane.queue
	ticketScouts           // is lane.scout
	ticketDismissed        // to fail by its cause, or to go without pipelining
	ticketLost             // its connection ended
	ticketLeft             // has left its pipe
	ticketWaits            // in a pipe, behind others
	ticketReads            // in a pipe, and its turn to read
)

// ticket is an exchange's place in line.
type ticket struct {
	x      *exchange
	lane   *lane
	method string // the request may be changed when its owner has left
	head   []byte // the request, as it is written
	alarm  *alarm

	// What its owner looks at without the lock. They are changed with it held,
	// before the alarm rings.
	state   atomic.Uint32
	duty    atomic.Bool // it has to flush
	written atomic.Bool // the request is on the wire
	told    bool        // the owner's: it took notice of written
	hold    atomic.Uint32
	expired atomic.Bool // the deadline has come while the body was open

	deadline *time.Timer // the owner's: for expire

	// The lane's lock guards these; the owner may read pipe and cause when the
	// state says that they are set.
	pipe    *pipe
	seq     uint64
	arrival uint64
	cause   error // of ticketLost and ticketDismissed
	noted   bool  // the head of its response was looked at
}

// takeTicket gives x a ticket.
func (x *exchange) takeTicket(l *lane, head []byte) {
	t := x.spare
	if t == nil {
		t = new(ticket)
	}
	*t = ticket{x: x, lane: l, method: x.req.Method, head: head}
	x.ticket, x.spare = t, nil
}

// alarm wakes a caller: something may have changed. It may ring without reason.
type alarm struct {
	bell  chan struct{}
	timer *time.Timer
	set   time.Time // when the timer rings, or has rung
}

func (a *alarm) ring() {
	select {
	case a.bell <- struct{}{}:
	default:
	}
}

// wait waits for the bell, which rings at the given time at the latest. The timer
// is not stopped: the next who waits mostly has a later time, and then one that
// rings too early costs less than to set it each time.
func (a *alarm) wait(now, at time.Time) {
	switch {
	case at.IsZero():
	case a.timer == nil:
		a.set, a.timer = at, time.AfterFunc(at.Sub(now), a.ring)
	case a.set.After(at) || !a.set.After(now):
		a.set = at
		a.timer.Reset(at.Sub(now))
	}
	<-a.bell
}

// await waits for t's turn to read. It writes the gathered requests if that is
// its duty.
func (t *ticket) await(p *pipe) error {
	x := t.x
	var begin time.Time // of waiting
	for {
		if x.aborted.Load() {
			return x.ctxError()
		}
		// The state goes first: who has the turn to read gets no duty any more, so
		// that what is found here is all.
		state := t.state.Load()
		if t.duty.Swap(false) {
			if err := p.flush(t); err != nil {
				return err
			}
		}
		if !t.told && t.written.Load() {
			t.tell(p)
		}
		switch state {
		case ticketReads:
			return nil
		case ticketLost:
			return &lostError{t.cause}
		}
		now := time.Now()
		if begin.IsZero() {
			begin = now
		}
		d := x.sharedDue(p, begin)
		if d.Over(now) {
			return d.Err()
		}
		t.alarm.wait(now, d.At)
	}
}

// tell takes notice that the request is on the wire.
func (t *ticket) tell(p *pipe) {
	t.told = true
	x := t.x
	x.clock.Sent()
	if trace := x.req.Trace; trace != nil {
		if trace.WroteHeader != nil {
			trace.WroteHeader()
		}
		if trace.WroteRequest != nil {
			trace.WroteRequest(nil)
		}
	}
}

// The values of ticket.hold.
const (
	holdNone   = iota // the caller has the body open and does not read
	holdInside        // the caller is at work on the connection
	holdSeized        // the exchange has lost its turn
)

// abort tells t that its context has ended.
func (t *ticket) abort() {
	t.lane.mu.Lock()
	defer t.lane.mu.Unlock()
	t.seize()
	if p := t.pipe; p != nil && p.writer == t {
		p.wdated.Store(true) // the next to write takes the deadline off
		p.conn.SetWriteDeadline(past)
	}
	if t.alarm != nil {
		t.alarm.ring()
	}
}

// expire ends a body whose deadline has come while nobody reads it.
func (t *ticket) expire() {
	t.expired.Store(true)
	t.stop()
}

// stop takes the turn from t, by a Close, or makes a read of t look why.
func (t *ticket) stop() {
	t.lane.mu.Lock()
	t.seize()
	t.lane.mu.Unlock()
}

// seize takes the turn from a caller who is not at work on the connection, so
// that nobody waits for one who has forgotten its body; one who is at work is
// made to look why. The lane's lock is held.
func (t *ticket) seize() {
	if t.state.Load() != ticketReads {
		return
	}
	if t.hold.CompareAndSwap(holdNone, holdSeized) {
		t.pipe.abandon(t)
		return
	}
	t.pipe.dated.Store(true)
	t.pipe.conn.SetReadDeadline(past)
}

// take begins the caller's work on the connection, in the body of its response;
// false: the exchange has lost its turn.
func (t *ticket) take() bool {
	if t.hold.CompareAndSwap(holdNone, holdInside) {
		return true
	}
	t.lane.mu.Lock() // until seize is through
	defer t.lane.mu.Unlock()
	return false
}

// unhold ends it. Who wanted to end the exchange meanwhile left that to us.
func (t *ticket) unhold() {
	x := t.x
	t.hold.Store(holdNone)
	if x.aborted.Load() || t.expired.Load() || x.answer.use.Closed() {
		t.stop()
	}
}

// endedBy is why t has lost its turn, nil if it has not.
func (t *ticket) endedBy() error {
	switch x := t.x; {
	case x.aborted.Load():
		return x.ctxError()
	case t.expired.Load():
		return x.clock.Whole.Err()
	case x.answer.use.Closed():
		return transfer.ErrClosed
	}
	return nil
}

// abandon gives up t's place, wherever that is, as if it had been cancelled: a hook
// of its owner has panicked.
func (t *ticket) abandon() {
	t.x.aborted.Store(true)
	t.lane.mu.Lock()
	if t.lane.scout == t {
		t.lane.resign()
	}
	t.lane.mu.Unlock()
	if t.placed() {
		t.pipe.leave(t, errPanicked)
	}
}
