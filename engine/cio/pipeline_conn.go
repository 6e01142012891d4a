package cio

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/transfer"
)

const (
	pipeSize = 32 << 10 // the read buffer of a pipe

	// maxUnanswered is how many bytes of requests a caller writes itself while
	// earlier ones are unanswered. A socket takes them in; more could have to
	// wait for the server, and that for us to read.
	maxUnanswered = 32 << 10
)

var pipeBuffers = sync.Pool{New: func() any { return new([pipeSize]byte) }}

// pipe is a connection that carries several exchanges. Its fields are guarded by
// the lane's lock, but for those that belong to the reader.
type pipe struct {
	lane  *lane
	conn  *conn
	solid bool      // the kernel takes in maxUnanswered bytes at once
	stale bool      // the connection was used before: it may have been dead
	began time.Time // what lastByte counts from

	// tickets head to tail-1 are in line; ticket n stands at n modulo the
	// length. Those that have left, and whose response is to be discarded, are
	// in ticketLeft.
	line       []*ticket
	head, tail uint64
	live       int // those that have not left
	answered   int
	unanswered int   // bytes of the requests in line
	closing    error // why no further requests are taken
	rest       rest  // of the response at the head, if that has left

	// stallAt is from when no requests are taken until the line is empty; zero =
	// the response at the head has not begun.
	stallAt time.Time

	// out holds the requests from taken to tail-1, which are to be written.
	// While flushing is set somebody has the duty to do so, and is the writer
	// while he does; nil = a goroutine.
	out, spare []byte
	taken      atomic.Uint64 // changed with the lock held
	flushing   bool
	writer     *ticket

	dated    atomic.Bool  // there is, or may be, a read deadline
	wdated   atomic.Bool  // the same for writes
	lastByte atomic.Int64 // when the last byte went in either direction

	// The reader's: buf[r:w] was read from the connection and not yet used.
	pooled  *[pipeSize]byte
	buf     []byte
	r, w    int
	asked   uint64        // taken when buf was last read into: what is there answers no later request
	heard   time.Duration // when the last byte came, as lastByte
	drainBy time.Time     // patience with what is being discarded; zero = nothing is
}

// rest is what is still to come of a response that was given up.
type rest struct {
	headDone bool
	kind     h1.BodyKind
	left     int64
	chunks   *h1.Decoder
}

func newPipe(l *lane, c *conn) *pipe {
	p := &pipe{lane: l, conn: c, stale: c.used, began: time.Now(), line: make([]*ticket, l.depth), pooled: pipeBuffers.Get().(*[pipeSize]byte)}
	p.buf = p.pooled[:]
	p.dated.Store(c.dated)
	p.solid = c.takesIn()
	if !c.used && c.plain() && !c.fit() {
		p.closing = errUnasked // it is the answer to the first request, and nothing follows
	}
	return p
}

func (p *pipe) at(seq uint64) **ticket { return &p.line[seq%uint64(len(p.line))] }

func (t *ticket) placed() bool { return t.state.Load() >= ticketWaits }

// touch takes notice that bytes went over the wire, and returns when.
func (p *pipe) touch() time.Duration {
	now := time.Since(p.began)
	p.lastByte.Store(int64(now))
	return now
}

// seat puts t at the end of the line.
func (p *pipe) seat(t *ticket) {
	x := t.x
	t.pipe, t.seq, t.cause, t.noted = p, p.tail, nil, false
	t.written.Store(false)
	t.hold.Store(holdInside)
	*p.at(p.tail) = t
	p.tail++
	p.live++
	p.out = append(p.out, t.head...)
	p.unanswered += len(t.head)
	x.conn, x.answer.Reused = p.conn, p.conn.used || t.seq > 0
	x.sent.Store(true)
	if !p.flushing {
		p.flushing = true
		t.duty.Store(true)
	}
	if t.seq == p.head {
		t.state.Store(ticketReads)
	} else {
		t.state.Store(ticketWaits)
	}
}

// flush writes the gathered requests until there are none; the duty is t's, or
// that of a goroutine if t is nil. An error is t's own.
func (p *pipe) flush(t *ticket) error {
	l := p.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if t != nil && p.tail-p.head > 1 {
		// Others are on their way: who can run adds its request first.
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
	for len(p.out) > 0 {
		if t != nil && p.tail-p.head > 1 && (!p.solid || p.unanswered > maxUnanswered) {
			// To wait for the server here could be to wait for ourselves.
			l.engine.start(func() { p.flush(nil) })
			return nil
		}
		from, batch := p.taken.Load(), p.out
		p.out, p.spare, p.writer = p.spare[:0], nil, t
		p.taken.Store(p.tail)
		l.mu.Unlock()
		err := p.write(t, batch)
		l.mu.Lock()
		p.writer, p.spare = nil, batch[:0]
		if err != nil {
			return p.unsent(t, from, err)
		}
		p.wrote(from)
		if t != nil && t.state.Load() == ticketReads && len(p.out) > 0 {
			p.elect(t) // a reader's place is at the other end
			return nil
		}
	}
	p.flushing = false
	return nil
}

// unsent deals with a failed write of the requests from the given one on.
func (p *pipe) unsent(t *ticket, from uint64, err error) error {
	p.flushing = false
	own := t != nil && (t.x.aborted.Load() || engine.IsTimeout(err))
	if !own && broken(err) {
		// What was answered before the end is still to be read.
		if p.closing == nil {
			p.closing = err
		}
		return nil
	}
	reads := own && t.state.Load() == ticketReads
	if own && t.placed() {
		p.remove(t)
	}
	if p.cut(max(from, p.head), err) && !own {
		p.blame()
	}
	if p.live == 0 {
		p.retire(err)
	} else if reads {
		p.handOn()
	}
	if own {
		return err
	}
	return nil
}

// wrote tells those who want to know that their request was written.
func (p *pipe) wrote(from uint64) {
	for seq := max(from, p.head); seq < min(p.taken.Load(), p.tail); seq++ {
		if t := *p.at(seq); t.placed() && !t.written.Load() {
			t.written.Store(true)
			if t.x.clock.Header > 0 || t.x.req.Trace != nil {
				t.alarm.ring()
				if t.state.Load() == ticketReads {
					p.dated.Store(true) // it may be in a read already
					p.conn.SetReadDeadline(past)
				}
			}
		}
	}
}

// elect gives the duty to flush to the last in line but not to t, nor to who reads,
// who does not look. If there is none, a goroutine has it.
func (p *pipe) elect(t *ticket) {
	for seq := p.tail; seq > p.head; seq-- {
		if other := *p.at(seq - 1); other != t && other.state.Load() == ticketWaits {
			other.duty.Store(true)
			other.alarm.ring()
			return
		}
	}
	if p.flushing = len(p.out) > 0 && p.live > 0; p.flushing {
		p.lane.engine.start(func() { p.flush(nil) })
	}
}

// write writes b within the limits of t. It runs without the lock.
func (p *pipe) write(t *ticket, b []byte) error {
	defer p.touch()
	for {
		var d transfer.Due
		if t != nil {
			d = t.x.clock.Total()
			if idle := t.x.clock.Idle; idle > 0 {
				d = d.Or(transfer.In(idle, time.Now(), engine.KindIdle))
			}
		}
		if dated := !d.At.IsZero(); dated || p.wdated.Load() {
			p.wdated.Store(dated)
			p.conn.SetWriteDeadline(d.At)
		}
		if t != nil && t.x.aborted.Load() {
			return t.x.ctxError()
		}
		n, err := p.conn.Write(b)
		switch {
		case err == nil, !isDeadline(err):
			return err
		case t != nil && t.x.aborted.Load():
			return t.x.ctxError()
		case d.At.IsZero():
			return err
		case n == 0 || d.Kind != engine.KindIdle || !p.conn.resumes():
			return d.Err()
		}
		b = b[n:]
	}
}

// leave ends t's stay, and returns why the connection is not kept; nil if it is.
func (p *pipe) leave(t *ticket, why error) error {
	l := p.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveAlarm(t)
	switch state := t.state.Load(); {
	case state == ticketLost:
		return t.cause
	case state < ticketWaits:
	case why == nil:
		return p.done(t)
	case state == ticketWaits || t.x.gaveUp(why):
		if state == ticketReads && !t.x.answered && p.answered > 0 && engine.IsTimeout(why) && time.Since(p.began)-p.heard >= muteFor {
			l.strike() // perhaps the server answers but the first request
		}
		p.abandon(t)
	default: // what is read next would not be a response
		p.remove(t)
		p.unsend(t)
		if lost := p.cut(p.head, why); (lost || !t.x.answered && p.answered > 0) && atFault(why) {
			p.blame()
		}
		p.retire(why)
	}
	return why
}

// atFault reports whether why is the server's doing, and not that of a hook.
func atFault(why error) bool {
	_, malformed := errors.AsType[*engine.ProtocolError](why)
	return malformed || broken(why) || why == errNotKept
}

// gaveUp reports whether why is the caller's own reason to leave, and the
// connection is as good as before.
func (x *exchange) gaveUp(why error) bool {
	return x.aborted.Load() || why == errUnread || why == transfer.ErrClosed || engine.IsTimeout(why)
}

// done ends a response that came whole.
func (p *pipe) done(t *ticket) error {
	p.noteHead(t)
	p.remove(t)
	p.advance()
	why := p.closing
	switch {
	case p.r < p.w && (p.head == p.tail || p.head >= p.asked):
		why = errSurplus // nobody had asked for it when it came
		p.cut(p.head, why)
		p.retire(why)
	case p.head == p.tail && p.closing != nil:
		p.retire(why)
	case p.head == p.tail && p.stalled() && len(p.lane.queue) > 0 && !p.conn.fit():
		why = errSurplus
		p.retire(why)
	case p.head < p.tail && p.live == 0: // nobody is left who would discard the rest
		why = errUnread
		p.retire(why)
	case p.head == p.tail:
		p.stallAt = time.Time{}
		p.lane.admit()
		if p.head == p.tail {
			why = p.retire(nil)
		}
	default:
		p.handOn()
		p.lane.admit()
	}
	return why
}

// advance takes the head of the line out of it: its response is over.
func (p *pipe) advance() {
	slot := p.at(p.head)
	p.unanswered -= len((*slot).head)
	*slot = nil
	p.head++
	p.answered++
	p.conn.used = true
	if p.answered == len(p.line) {
		p.lane.strikes = 0
	}
	if !p.stalled() {
		p.stallAt = time.Time{}
	}
}

// stalled reports whether what came unasked may have lain unread for long.
func (p *pipe) stalled() bool { return !p.stallAt.IsZero() && !time.Now().Before(p.stallAt) }

// stall takes notice that x's response, which is at the head, has not ended. It has
// stallFor to do so, unless a large part of it is known to be missing.
func (p *pipe) stall(x *exchange) {
	switch missing := x.left - int64(p.w-p.r); {
	case p.stalled():
	case x.kind == h1.BodyLength && missing > smallSize:
		p.stallAt = p.began
	default:
		p.stallAt = p.began.Add(p.heard + stallFor)
	}
}

// remove makes t one that has left; its place in line stays.
func (p *pipe) remove(t *ticket) {
	t.state.Store(ticketLeft)
	p.live--
	if t.duty.Swap(false) {
		p.elect(t)
	}
}

// abandon lets t leave before its response is complete. The next in line will
// discard that; if there is none, the connection is closed.
func (p *pipe) abandon(t *ticket) {
	reads := t.state.Load() == ticketReads
	p.remove(t)
	if !reads {
		return
	}
	if x := t.x; t.seq == p.head && x.answer.Status != 0 {
		p.noteHead(t)
		p.rest = rest{headDone: true, kind: x.kind, left: x.left}
		if x.chunks != nil {
			chunks := *x.chunks // the caller may still ask his for trailers
			p.rest.chunks = &chunks
		}
	}
	if p.live == 0 {
		p.retire(errUnread)
		return
	}
	p.handOn()
}

// handOn gives the turn to the first in line who is still there.
func (p *pipe) handOn() {
	for seq := p.head; seq < p.tail; seq++ {
		if t := *p.at(seq); t.placed() {
			t.state.Store(ticketReads)
			t.alarm.ring()
			return
		}
	}
}

// noteHead looks at what the head of t's response says of the connection.
func (p *pipe) noteHead(t *ticket) {
	if t.noted {
		return
	}
	t.noted = true
	l, x := p.lane, t.x
	switch {
	case x.answer.Proto == "HTTP/1.0":
		p.closing = x.noReuse
		if t.seq+1 < p.tail {
			p.closing = errOldHTTP // it may answer the rest all the same
			p.cut(t.seq+1, errOldHTTP)
		}
		l.bar()
	case x.noReuse != nil:
		p.closing = x.noReuse
		if p.cut(t.seq+1, x.noReuse) {
			p.blame()
		}
	case !l.proven && !l.isBarred():
		l.proven = true
		l.admit()
	}
}

// cut takes the requests from the given one on out of the line: they will not be
// answered on this connection. It reports whether somebody waited for them.
func (p *pipe) cut(from uint64, why error) (lost bool) {
	if p.closing == nil {
		p.closing = why
	}
	for seq := from; seq < p.tail; seq++ {
		slot := p.at(seq)
		if t := *slot; t.placed() {
			lost = true
			t.cause = why
			p.unsend(t)
			t.duty.Store(false)
			t.state.Store(ticketLost)
			t.alarm.ring()
			p.live--
		}
		*slot = nil
	}
	p.tail = max(p.head, min(p.tail, from))
	p.out = p.out[:0]
	p.taken.Store(min(p.taken.Load(), p.tail))
	return lost
}

// unsend takes back that the request was sent, if it was not and will not be.
func (p *pipe) unsend(t *ticket) {
	if t.seq >= p.taken.Load() {
		t.x.sent.Store(false)
	}
}

// blame counts a connection that the server ended before it had answered what
// was on it, unless it had answered many, or was dead when we took it.
func (p *pipe) blame() {
	if p.answered < len(p.line) && (p.answered > 0 || !p.stale) {
		p.lane.strike()
	}
}

// retire ends the pipe: its connection goes back to the pool, or, if there is a
// reason against it, is closed. It returns why it is not kept.
func (p *pipe) retire(why error) error {
	l := p.lane
	i := slices.Index(l.pipes, p)
	if i < 0 {
		return why
	}
	l.pipes = slices.Delete(l.pipes, i, i+1)
	if why == nil {
		pipeBuffers.Put(p.pooled)
		p.pooled, p.buf = nil, nil
		p.conn.dated = p.dated.Load() || p.wdated.Load()
		why = p.conn.pool.put(p.conn)
	} else {
		// A read may be under way: the buffer is left to the collector.
		if p.closing == nil {
			p.closing = why
		}
		p.conn.shut()
	}
	l.promote()
	return why
}
