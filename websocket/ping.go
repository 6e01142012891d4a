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

// keepAlive pings on a timer. A peer is taken for dead if nothing at all comes
// while somebody waits for it from a ping to the end of the pong timeout; while
// nobody reads nothing can be said of it. No ping can go out while a frame is
// being written: then what the peer takes is its sign of life, and it is dead if
// it takes nothing from one ping that was due to the next.
type keepAlive struct {
	link          *link
	every, within time.Duration

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	stopped bool
	waiting bool   // somebody reads
	signs   uint64 // of life: reads that began or ended, writes that the peer let go on
	asked   bool   // a ping is out
	stuck   bool   // one could not go out
	asSigns uint64 // signs at that time, if somebody read
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
	k.waiting = true
	k.signs++
}

// heard is called when it has ended.
func (k *keepAlive) heard(int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = false
	k.signs++
}

// wrote is called when a piece of a message was written that took so long. What
// is written at once may be in a buffer of this side only.
func (k *keepAlive) wrote(took time.Duration) {
	if took < waited {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.signs++
}

// waited is how long a write takes at least that waits for the peer.
const waited = 2 * time.Millisecond

// tick pings, or looks what became of the ping.
func (k *keepAlive) tick() {
	k.mu.Lock()
	dead := (k.asked || k.stuck) && k.waiting && k.signs == k.asSigns
	pingNow := !k.asked
	k.asked = false
	if k.asSigns = k.signs; !k.waiting { // a sign that has been: nothing can be said
		k.asSigns--
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
	k.asked, k.stuck = sent, pingNow && !sent
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
