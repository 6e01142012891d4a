package h2

import (
	"time"
)

// patience counts the frames that cost the server nothing and us work: SETTINGS,
// PING, PRIORITY, RST_STREAM, WINDOW_UPDATE that answers no DATA of ours, empty
// DATA and CONTINUATION, whatever comes on streams that are closed. Frames that
// carry something take from the count, and so does time.
type patience struct {
	strikes int
	since   time.Time // when the first was counted
	updates int       // WINDOW_UPDATEs that our DATA gives reason for
}

const (
	maxStrikes   = 1000
	strikePeriod = 10 * time.Second
)

// strike counts one; the error ends the connection (RFC 9113 §10.5).
func (p *patience) strike(what FrameType) error {
	if p.strikes == 0 {
		p.since = time.Now()
	}
	p.strikes++
	if p.strikes <= maxStrikes {
		return nil
	}
	if time.Since(p.since) > strikePeriod {
		p.strikes = 0
		return nil
	}
	return connError(CodeEnhanceYourCalm, "RFC 9113 §10.5", "a flood of frames that carry nothing, the last one %v", what)
}

func (p *patience) useful() {
	if p.strikes > 0 {
		p.strikes--
	}
}

// tuner finds out how much the path to the server holds: its bandwidth-delay
// product. While bodies come in it sends a PING now and then; what has come when
// the answer is there was under way at the same time. If that is most of the
// window, the window may be what holds the server up, and it is doubled.
type tuner struct {
	limit    int64 // windows don't grow beyond it
	pinging  bool
	received int64 // since the PING, or since its answer
}

// received is told of bytes of bodies. mu is held.
func (c *Conn) received(n int64) {
	t := &c.tuner
	t.received += n
	if t.pinging || c.target >= t.limit || t.received < c.target/2 {
		return
	}
	t.pinging, t.received = true, 0
	c.out.b = appendPing(c.out.b, 0, tuningPing)
}

// tuned takes the answer to a tuning PING. mu is held.
func (c *Conn) tuned() {
	t := &c.tuner
	if !t.pinging {
		return
	}
	if t.received >= c.target*2/3 {
		c.target = min(max(2*t.received, c.target), t.limit)
		c.connTarget = max(c.connTarget, c.target)
	}
	t.pinging, t.received = false, 0
}
