package h2

import (
	"time"
)

// patience counts the frames that cost the server nothing and us work: SETTINGS
// and PRIORITY, PING and WINDOW_UPDATE that our DATA gives no reason for, empty
// DATA and CONTINUATION, what comes on streams that are closed, but for what may
// have been on its way when we reset them. Frames that carry something take from
// the count, and so does time.
type patience struct {
	strikes int
	since   time.Time // when the first was counted
	reasons int       // WINDOW_UPDATEs and PINGs that our DATA gives reason for
	delayed int       // frames that may come on streams that we have reset
}

// Servers send up to two WINDOW_UPDATEs for each DATA frame, and a PING to find
// out about the path; some do it for each read of theirs.
const (
	reasonsPerFrame = 4
	reasonBytes     = 256 // of a frame give one more
	latePerReset    = 4   // 1xx, head, empty DATA or RST_STREAM, trailers
)

// sent gives reasons for a DATA frame of n bytes of ours.
func (p *patience) sent(n int) { p.reasons += reasonsPerFrame + n/reasonBytes }

// due takes a reason, if there is one.
func (p *patience) due() bool {
	if p.reasons == 0 {
		return false
	}
	p.reasons--
	return true
}

// reset tells that we have reset a stream.
func (p *patience) reset() { p.delayed += latePerReset }

// late counts a frame on a closed stream.
func (p *patience) late(what FrameType) error {
	if p.delayed > 0 {
		p.delayed--
		return nil
	}
	return p.strike(what)
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
	c.answer(appendPing(c.out.b, 0, tuningPing))
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
