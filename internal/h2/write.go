package h2

import (
	"errors"
	"os"
	"runtime"
	"time"
)

// outBuffer is memory that frames are appended to.
type outBuffer struct{ b []byte }

func (o *outBuffer) Write(p []byte) (int, error) {
	o.b = append(o.b, p...)
	return len(p), nil
}

const (
	// maxOut is how much may wait to be written before bodies wait too.
	maxOut = 128 << 10
	// maxQueue is how much may wait before the connection takes no new streams:
	// requests that were canceled, mostly, by callers who have waited for a server
	// that does not read.
	maxQueue = 1 << 20
	// keptOut is the largest buffer that an idle connection keeps.
	keptOut = 16 << 10
	// maxPiece bounds one write, so that its deadline is about progress.
	maxPiece = 64 << 10
	// maxOwed is how much of what the server makes us answer may wait to be
	// written: more has one that asks and does not read.
	maxOwed = 64 << 10
	// maxUnheard is how much a caller may write that the server may not have read
	// yet. The buffers of a socket hold more than that.
	maxUnheard = 32 << 10
	// inlineRounds is how often a caller writes for others before a goroutine
	// does it for him.
	inlineRounds = 2
)

// flush writes what was appended to out, in this goroutine if that is not going
// to block. mu is held; flush releases it.
func (c *Conn) flush(s *Stream) {
	if c.flushing || len(c.out.b) == 0 || c.mute() {
		c.unlock()
		return
	}
	if c.bulk > 0 || !c.roomy() {
		c.flushElsewhere()
		c.unlock()
		return
	}
	c.flushing = true
	s.flushing = true
	yield := len(c.streams) > 1
	c.unlock()
	if yield {
		runtime.Gosched()
	}
	c.mu.Lock()
	for round := 0; len(c.out.b) > 0 && !c.mute(); round++ {
		if round == inlineRounds || !c.roomy() {
			s.flushing = false
			c.flushing = false
			c.flushElsewhere()
			c.unlock()
			return
		}
		c.writeOut()
	}
	s.flushing = false
	c.endFlush()
	c.unlock()
}

// roomy reports whether the socket takes all of out without a wait. mu is held.
func (c *Conn) roomy() bool {
	return c.buffered && c.taken-c.heard+int64(len(c.out.b)) <= maxUnheard
}

// full reports whether so much waits to be written that the connection takes no
// new streams. mu is held.
func (c *Conn) full() bool { return len(c.out.b) >= maxQueue }

// position is where in all that is sent the next frame begins. mu is held.
func (c *Conn) position() int64 { return c.taken + int64(len(c.out.b)) }

// answer sets out to b, which has more frames that the server has made us send.
// mu is held.
func (c *Conn) answer(b []byte) {
	c.owed += len(b) - len(c.out.b)
	c.out.b = b
}

// flushElsewhere has a goroutine write what was appended to out. mu is held.
func (c *Conn) flushElsewhere() {
	if c.flushing || len(c.out.b) == 0 || c.mute() {
		return
	}
	c.flushing = true
	c.start(c.flusher)
}

// flushHere is flush for a goroutine that may block. mu is held, and is held
// again when it returns.
func (c *Conn) flushHere() {
	if c.flushing || len(c.out.b) == 0 || c.mute() {
		return
	}
	c.flushing = true
	c.flushAll()
}

func (c *Conn) flushAll() {
	for len(c.out.b) > 0 && !c.mute() {
		c.writeOut()
	}
	c.endFlush()
}

// endFlush: hangUp writes after an error, nobody else does. mu is held.
func (c *Conn) endFlush() {
	if c.err == nil {
		c.flushing = false
	}
	if cap(c.spare) > keptOut && len(c.streams) == 0 {
		c.spare = nil
	}
}

// writeOut writes what is in out. mu is held, but for the time of the write.
func (c *Conn) writeOut() {
	b := c.out.b
	c.changed = c.changed || c.full()
	c.out.b, c.spare, c.begun = c.spare[:0], nil, true
	c.taken += int64(len(b))
	c.owed = 0
	c.mu.Unlock()
	err := c.write(b)
	c.mu.Lock()
	c.spare = b[:0]
	if err != nil {
		c.writeFailed(err)
	}
	for len(c.starving) > 0 && len(c.out.b) < maxOut && c.sendWindow > 0 {
		c.feed()
	}
}

// mute reports whether nothing is to be written any more. mu is held.
func (c *Conn) mute() bool { return c.err != nil || c.broken }

// writeFailed ends the connection after a while: the server may have said why it
// takes no more, and the reader finds that. mu is held.
func (c *Conn) writeFailed(err error) {
	if err == ErrWriteTimeout {
		c.fail(err)
		return
	}
	c.broken = true
	time.AfterFunc(farewell, func() {
		c.mu.Lock()
		c.fail(err)
		c.unlock()
	})
}

func (c *Conn) write(b []byte) error {
	for len(b) > 0 {
		piece := b[:min(len(b), maxPiece)]
		if c.config.WriteTimeout > 0 {
			c.extend()
		}
		if _, err := c.nc.Write(piece); err != nil {
			if c.config.WriteTimeout > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
				err = ErrWriteTimeout
			}
			return err
		}
		b = b[len(piece):]
	}
	return nil
}

// extend moves the deadline of writes when less than WriteTimeout is left of it:
// it is set to twice that, which saves doing so for each write.
func (c *Conn) extend() {
	now := int64(time.Since(c.began))
	if c.writeTill-now < int64(c.config.WriteTimeout) {
		c.writeTill = now + 2*int64(c.config.WriteTimeout)
		c.nc.SetWriteDeadline(c.began.Add(time.Duration(c.writeTill)))
	}
}

// seal makes frames of the field block that begins after the room for a frame
// header at start in out: HEADERS and, if it is too long, CONTINUATION. mu is
// held.
func (c *Conn) seal(start int, id uint32, flags Flags) {
	block := len(c.out.b) - start - FrameHeaderLen
	if block <= c.peer.maxFrame {
		AppendFrameHeader(c.out.b[:start], FrameHeader{uint32(block), FrameHeaders, flags | FlagEndHeaders, id})
		return
	}
	rest := append([]byte(nil), c.out.b[start+FrameHeaderLen:]...)
	b, kind := c.out.b[:start], FrameHeaders
	for len(rest) > 0 {
		n := min(len(rest), c.peer.maxFrame)
		if n == len(rest) {
			flags |= FlagEndHeaders
		}
		b = append(AppendFrameHeader(b, FrameHeader{uint32(n), kind, flags, id}), rest[:n]...)
		rest, kind, flags = rest[n:], FrameContinuation, 0
	}
	c.out.b = b
}
