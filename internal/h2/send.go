package h2

import "github.com/godwit-go/godwit/header"

// Upload tells that the body is going to be sent by a goroutine of its own, with
// Send; EndUpload must follow.
func (s *Stream) Upload() {
	s.c.mu.Lock()
	s.c.bulk++
	if s.room == nil {
		s.room = make(chan struct{}, 1)
	}
	s.c.mu.Unlock()
}

// EndUpload tells that the goroutine has ended.
func (s *Stream) EndUpload() {
	s.c.mu.Lock()
	s.c.bulk--
	s.c.mu.Unlock()
}

// Send sends as much of p as the windows allow, and returns how much that is; if
// it is nothing, Room tells when to try again. end says that the body
// ends with p. The error is ErrSendClosed if the server wants no more of the
// body, or all has been sent; else it is why the stream has ended. It may wait for
// the socket.
func (s *Stream) Send(p []byte, end bool) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.unlock()
	n, err := s.put(p, end)
	if err == nil {
		c.flushHere()
	}
	return n, err
}

// Offer is Send for who must not wait for the socket: another goroutine writes.
func (s *Stream) Offer(p []byte, end bool) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.unlock()
	n, err := s.put(p, end)
	if err == nil {
		c.flushElsewhere()
	}
	return n, err
}

// put appends what the windows and out have room for. mu is held.
func (s *Stream) put(p []byte, end bool) (int, error) {
	c := s.c
	if err := s.sendable(); err != nil {
		return 0, err
	}
	n := max(0, min(int64(len(p)), s.sendWindow, c.sendWindow, int64(maxOut-len(c.out.b))))
	if n == 0 && len(p) > 0 {
		if s.sendWindow > 0 && !s.starving {
			s.starving = true
			c.starving = append(c.starving, s)
		}
		return 0, nil
	}
	s.append(p[:n], end && int(n) == len(p))
	return int(n), nil
}

func (s *Stream) sendable() error {
	switch {
	case s.canceled:
		return ErrCanceled
	case s.err != nil:
		return s.err
	case s.gone, s.stopped, s.localEnd:
		return ErrSendClosed
	}
	return nil
}

// append appends DATA frames, for which there is room in the windows. mu is
// held.
func (s *Stream) append(p []byte, end bool) {
	c := s.c
	s.sendWindow -= int64(len(p))
	c.sendWindow -= int64(len(p))
	for first := true; first || len(p) > 0; first = false {
		n := min(len(p), c.peer.maxFrame)
		var flags Flags
		if end && n == len(p) {
			flags = FlagEndStream
		}
		c.out.b = AppendFrameHeader(c.out.b, FrameHeader{uint32(n), FrameData, flags, s.id})
		c.out.b = append(c.out.b, p[:n]...)
		p = p[n:]
		c.patience.sent(n)
	}
	if end {
		s.endLocal()
	}
}

// SendTrailers ends the body with trailer fields, which were checked. The error
// is a *TooLargeError if the server does not take as much: nothing is sent then.
func (s *Stream) SendTrailers(h header.Header) error {
	c := s.c
	c.mu.Lock()
	defer c.unlock()
	if err := s.sendable(); err != nil {
		return err
	}
	if size, limit := sectionSize(h), int64(c.peer.maxHeaderList); int64(size) > limit {
		return &TooLargeError{Trailer: true, Size: size, Limit: limit}
	}
	start := len(c.out.b)
	c.out.b = AppendFrameHeader(c.out.b, FrameHeader{})
	for i := range h.Len() {
		if f := h.At(i); !ofConnection(f.Name) {
			c.encoder.field(f)
		}
	}
	c.seal(start, s.id, FlagEndStream)
	s.endLocal()
	c.flushHere()
	return nil
}

// endLocal ends our direction. mu is held.
func (s *Stream) endLocal() {
	s.localEnd = true
	if s.remoteEnd && !s.gone {
		s.c.remove(s)
	}
}

// feed wakes the stream that waits longest for the connection's window or for
// room in out. mu is held.
func (c *Conn) feed() {
	s := c.starving[0]
	c.starving[0] = nil
	c.starving = c.starving[1:]
	s.starving = false
	signal(s.room)
}
