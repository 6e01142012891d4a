package h2

import (
	"bytes"
	"errors"
)

// control deals with frames that carry no part of a message.
func (c *Conn) control(f *Frame, in *reader) error {
	c.mu.Lock()
	defer c.unlock()
	switch f.Type {
	case FrameSettings:
		return c.onSettings(f, in)
	case FramePing:
		return c.onPing(f)
	case FrameGoAway:
		return c.onGoAway(f)
	case FrameWindowUpdate:
		return c.onWindowUpdate(f)
	case FrameRSTStream:
		return c.onReset(f)
	}
	// PRIORITY says nothing to a client; what is unknown is ignored.
	return c.patience.strike(f.Type)
}

// settingsAStrike is how many bytes of settings count as one frame that carries
// nothing: an initial window touches all streams.
const settingsAStrike = 16 * 6

func (c *Conn) onSettings(f *Frame, in *reader) error {
	for range 1 + len(f.Data)/settingsAStrike {
		if err := c.patience.strike(FrameSettings); err != nil {
			return err
		}
	}
	if f.Flags.Has(FlagAck) {
		return nil
	}
	in.greeted = true
	p := &c.peer
	if !p.settings {
		// Without a word about it there is no bound (RFC 9113 §6.5.2).
		p.settings, p.maxStreams = true, 1<<31
	}
	for id, v := range f.Settings() {
		if err := c.set(id, v); err != nil {
			return err
		}
	}
	c.answer(AppendFrameHeader(c.out.b, FrameHeader{Type: FrameSettings, Flags: FlagAck}))
	c.settle()
	c.changed = true
	return nil
}

func (c *Conn) set(id SettingID, v uint32) error {
	p := &c.peer
	bad := func(code ErrCode) error {
		return connError(code, "RFC 9113 §6.5.2", "setting %d with value %d", id, v)
	}
	switch id {
	case SettingHeaderTableSize:
		c.encoder.hpack.SetMaxDynamicTableSizeLimit(min(v, c.config.EncoderTable))
		c.encoder.hpack.SetMaxDynamicTableSize(min(v, c.config.EncoderTable))
	case SettingEnablePush:
		if v != 0 {
			return bad(CodeProtocol) // a server must not say that it takes pushes
		}
	case SettingMaxConcurrentStreams:
		p.maxStreams = v
	case SettingInitialWindowSize:
		if v > maxWindow {
			return bad(CodeFlowControl)
		}
		return c.moveWindows(int64(v))
	case SettingMaxFrameSize:
		if v < minFrameSize || v > maxFrameSize {
			return bad(CodeProtocol)
		}
		p.maxFrame = int(v)
	case SettingMaxHeaderListSize:
		p.maxHeaderList = v
	case SettingEnableConnect:
		if v > 1 || v == 0 && p.connect {
			return bad(CodeProtocol) // RFC 8441 §3
		}
		p.connect = v == 1
	}
	return nil
}

// moveWindows applies a new initial window to all streams (RFC 9113 §6.9.2).
func (c *Conn) moveWindows(v int64) error {
	delta := v - c.peer.initialWindow
	c.peer.initialWindow = v
	for _, s := range c.streams {
		s.sendWindow += delta
		if s.sendWindow > maxWindow {
			return connError(CodeFlowControl, "RFC 9113 §6.9.2", "a window above 2³¹-1 on stream %d", s.id)
		}
		if delta > 0 && s.room != nil {
			signal(s.room)
		}
	}
	return nil
}

func (c *Conn) onPing(f *Frame) error {
	if !f.Flags.Has(FlagAck) {
		c.answer(appendPing(c.out.b, FlagAck, f.Data))
		if c.patience.due() {
			return nil
		}
		return c.patience.strike(FramePing)
	}
	switch {
	case bytes.Equal(f.Data, tuningPing) && c.tuner.pinging:
		c.tuned()
		return nil
	case bytes.Equal(f.Data, keepAlivePing) && c.pingAt > 0:
		c.pingAt = 0
		return nil
	}
	return c.patience.strike(FramePing)
}

// maxDebug is how much of what a server says in GOAWAY is kept.
const maxDebug = 200

func (c *Conn) onGoAway(f *Frame) error {
	if err := c.patience.strike(FrameGoAway); err != nil {
		return err
	}
	c.goneAway = &GoAwayError{Code: f.Code, Debug: string(f.Data[:min(len(f.Data), maxDebug)])}
	for id, s := range c.streams {
		if id > f.Last {
			s.lose(c.goneAway)
			delete(c.streams, id)
			c.abandon(s)
		}
	}
	c.becameIdle()
	return nil
}

func (c *Conn) onWindowUpdate(f *Frame) error {
	if !c.patience.due() {
		if err := c.patience.strike(FrameWindowUpdate); err != nil {
			return err
		}
	}
	if f.StreamID == 0 {
		c.sendWindow += int64(f.Increment)
		if c.sendWindow > maxWindow {
			return connError(CodeFlowControl, "RFC 9113 §6.9.1", "a window of the connection above 2³¹-1")
		}
		for len(c.starving) > 0 {
			c.feed()
		}
		return nil
	}
	s, err := c.stream(f.StreamID, FrameWindowUpdate)
	if s == nil {
		return err
	}
	s.sendWindow += int64(f.Increment)
	if s.sendWindow > maxWindow {
		c.reject(s, CodeFlowControl, streamError(s.id, CodeFlowControl, "RFC 9113 §6.9.1", "a window above 2³¹-1 on stream %d", s.id))
		return nil
	}
	if s.room != nil {
		signal(s.room)
	}
	return nil
}

// onReset takes RST_STREAM. After a whole response it only tells that the rest of
// the request is not wanted (RFC 9113 §8.1).
func (c *Conn) onReset(f *Frame) error {
	s, err := c.stream(f.StreamID, FrameRSTStream)
	if err != nil {
		return err
	}
	if s == nil {
		return c.patience.late(FrameRSTStream)
	}
	c.heard = max(c.heard, s.sent)
	s.stopped = true
	if !s.remoteEnd {
		s.err = &ResetError{f.Code}
	}
	c.remove(s)
	s.nudge()
	return nil
}

// IsViolation reports whether err tells that the server broke the protocol.
func IsViolation(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}
