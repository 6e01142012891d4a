package websocket

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/internal/ws"
)

// ping is one that waits for its pong.
type ping struct {
	number   uint64
	answered chan struct{} // closed by the pong, or with the connection
}

// ping sends a ping and waits for its pong. If nobody reads it does so itself,
// up to the next message, which it leaves to be read.
func (l *link) ping(ctx context.Context) error {
	p := l.newPing()
	defer l.forget(p)
	if err := l.sendPing(ctx, p.number); err != nil {
		return err
	}
	for !isClosed(p.answered) {
		if !l.read.lock(ctx.Done(), p.answered) {
			if isClosed(p.answered) {
				break
			}
			return l.turnedAway(ctx)
		}
		if l.in.kind != 0 || l.in.left > 0 || l.in.ahead { // the pong stands behind a message
			passed := l.in.keep().whenPassed()
			l.read.unlock()
			select {
			case <-p.answered:
			case <-passed: // and who read it may not read on
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		} else if err := l.readAhead(ctx, p.answered); err != nil {
			return err
		}
	}
	return l.failure()
}

// readAhead deals with control frames until one of them answers, or a data frame
// comes. It is called with read locked, and unlocks it.
func (l *link) readAhead(ctx context.Context, answered <-chan struct{}) error {
	if err := l.start(ctx); err != nil {
		return err
	}
	defer l.end(ctx)
	in := &l.in
	for !isClosed(answered) && in.kind == 0 && !in.ahead {
		h, err := l.header(ctx)
		if err != nil {
			return err
		}
		if h.Opcode.IsControl() {
			err = l.control(ctx, h)
		} else {
			in.ahead, in.next = true, h
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *link) newPing() *ping {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.controls()
	c.pinged++
	p := &ping{c.pinged, make(chan struct{})}
	if l.err != nil {
		close(p.answered)
	} else {
		c.pings = append(c.pings, p)
	}
	return p
}

// forget takes a ping out that nobody waits for any more.
func (l *link) forget(p *ping) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.controls()
	c.pings = slices.DeleteFunc(c.pings, func(q *ping) bool { return p == q })
}

func (l *link) sendPing(ctx context.Context, number uint64) error {
	if err := l.failure(); err != nil {
		return err
	}
	var payload [8]byte
	binary.BigEndian.PutUint64(payload[:], number)
	return l.writeFrame(ctx, ws.Header{Final: true, Opcode: ws.Ping}, payload[:])
}

// answered notes a pong: it answers its ping and all before (RFC 6455 §5.5.3).
// One that nobody asked for is no error.
func (l *link) answered(payload []byte) {
	if len(payload) != 8 {
		return
	}
	number := binary.BigEndian.Uint64(payload)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.controls()
	if number > c.pinged {
		return
	}
	for len(c.pings) > 0 && c.pings[0].number <= number {
		close(c.pings[0].answered)
		c.pings = c.pings[1:]
	}
}

// keepAlive pings on a timer. From a ping on something has to come, and the peer is
// taken for dead once readers have waited for it as long as the pong may take, all
// reads together, and nothing has: while nobody reads nothing can be said of it. No
// ping can go out while a frame is being written: then what the peer takes of that
// is its sign of life.
type keepAlive struct {
	link          *link
	every, within time.Duration

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	stopped bool
	asked   bool          // the last tick sent a ping
	reading bool          // somebody waits
	owing   bool          // there was no sign of life since a ping was due
	since   time.Time     // when the read began that waits, or when it was due if that is later
	quiet   time.Duration // how long readers before that have waited since then
}

func (k *keepAlive) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(k.every, k.tick)
}

func (k *keepAlive) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// waits is called when a read of the stream begins.
func (k *keepAlive) waits() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reading = true
	if k.owing {
		k.since = time.Now()
	}
}

// heard is called when it has ended with n bytes.
func (k *keepAlive) heard(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reading = false
	switch {
	case n > 0:
		k.owing = false
	case k.owing:
		k.quiet += time.Since(k.since)
	}
}

// wrote is called when a piece of a frame was written that took so long, after sent
// bytes of the same frame. What is written at once may be in a buffer of this side
// only, unless no buffer holds so much.
func (k *keepAlive) wrote(took time.Duration, sent int) {
	if took < waited && sent < buffered {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owing = false
}

const (
	// waited is how long a write takes at least that waits for the peer.
	waited = 2 * time.Millisecond
	// buffered is more than systems keep of what is sent.
	buffered = 8 << 20
)

// owe begins to count how long readers wait in vain; mu is held.
func (k *keepAlive) owe() { k.owing, k.quiet, k.since = true, 0, time.Now() }

// overdue reports whether they have waited too long; mu is held.
func (k *keepAlive) overdue() bool {
	quiet := k.quiet
	if k.reading {
		quiet += time.Since(k.since)
	}
	return k.owing && quiet >= k.within
}

// tick pings, or looks what became of the ping.
func (k *keepAlive) tick() {
	k.mu.Lock()
	dead, pingNow := k.overdue(), !k.asked
	begins := pingNow && !k.owing
	if begins {
		k.owe() // now, as the pong may be there before we are back
	}
	k.mu.Unlock()
	if dead {
		k.link.fail(&PongTimeoutError{k.within})
		return
	}
	next := max(k.every-k.within, 0)
	sent := false
	if pingNow {
		ctx, cancel := context.WithTimeout(context.Background(), k.within)
		sent = k.link.sendPing(ctx, k.link.nextPing()) == nil
		cancel()
		if k.link.failure() != nil {
			return
		}
		if sent || k.link.mute.Load() { // then nothing waited
			next = k.within
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asked = sent; sent && begins && k.owing {
		k.owe()
	}
	if !k.stopped {
		k.timer.Reset(next)
	}
}

// nextPing numbers a ping that nobody waits for.
func (l *link) nextPing() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.controls()
	c.pinged++
	return c.pinged
}
