package h2

import (
	"bytes"
	"io"
	"strconv"
	"time"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
)

// reader is what the connection's goroutine works with. Only that goroutine
// uses it.
type reader struct {
	c       *Conn
	buf     []byte // buf[r:w] is unread
	r, w    int
	decoder *decoder
	greeted bool // the server's preface, a SETTINGS frame, has come

	// A DATA frame whose payload is coming in: it is handed on by pieces.
	data struct {
		left, padding int // bytes to come; padding is the end of them
		id            uint32
		end           bool
	}
	// A field block that goes on in CONTINUATION frames.
	block struct {
		id  uint32 // 0 = there is none
		end bool
		b   []byte
	}
}

// readBuffer holds a whole frame of those that are not handed on by pieces.
const readBuffer = minFrameSize + FrameHeaderLen + 7<<10

func (in *reader) init(c *Conn) {
	in.c = c
	in.buf = make([]byte, readBuffer)
	in.decoder = newDecoder(&c.config)
}

// run reads until the connection ends.
func (in *reader) run() {
	c := in.c
	defer close(c.done)
	for {
		err := in.frames()
		c.mu.Lock()
		if err == nil && c.owed > maxOwed {
			err = connError(CodeEnhanceYourCalm, "RFC 9113 §10.5", "the server makes us answer and does not read it")
		}
		if err != nil {
			c.fail(err)
		}
		c.wakeAll()
		c.flushElsewhere()
		over := c.err != nil
		c.unlock()
		if over {
			return
		}
		if in.r > 0 {
			in.w = copy(in.buf, in.buf[in.r:in.w])
			in.r = 0
		}
		n, err := c.nc.Read(in.buf[in.w:])
		in.w += n
		if c.config.PingInterval > 0 {
			c.lastRead.Store(int64(time.Since(c.began)))
		}
		if n == 0 && err != nil {
			in.ended(err)
			return
		}
	}
}

// ended deals with the end of the connection.
func (in *reader) ended(err error) {
	c := in.c
	c.mu.Lock()
	switch {
	case c.goneAway != nil && len(c.streams) == 0:
		err = c.goneAway
	case !in.greeted && in.w > 0:
		err = in.stranger()
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	c.fail(err)
	c.wakeAll()
	c.unlock()
}

// wakeAll wakes those for whom the last read brought something. mu is held.
func (c *Conn) wakeAll() {
	for i, s := range c.woken {
		s.woken = false
		signal(s.wake)
		c.woken[i] = nil
	}
	c.woken = c.woken[:0]
}

// news notes that s is to be woken. mu is held.
func (c *Conn) news(s *Stream) {
	if !s.woken {
		s.woken = true
		c.woken = append(c.woken, s)
	}
}

// frames deals with all that is in the buffer, but for the beginning of a frame
// that is not yet there.
func (in *reader) frames() error {
	for {
		if in.data.left > 0 {
			if in.r == in.w {
				return nil
			}
			if err := in.piece(); err != nil {
				return err
			}
			continue
		}
		if in.w-in.r < FrameHeaderLen {
			return nil
		}
		h := ParseFrameHeader(in.buf[in.r:])
		if !in.greeted && (h.Type != FrameSettings || h.Flags.Has(FlagAck)) {
			return in.stranger()
		}
		if err := h.check(); err != nil {
			return err
		}
		if in.block.id != 0 && (h.Type != FrameContinuation || h.StreamID != in.block.id) {
			return connError(CodeProtocol, "RFC 9113 §6.10", "%v on stream %d within the field block of stream %d", h.Type, h.StreamID, in.block.id)
		}
		if h.Type == FrameData && h.Length > 0 {
			ok, err := in.beginData(h)
			if err != nil {
				return err
			}
			if !ok {
				return nil
			}
			continue
		}
		end := in.r + FrameHeaderLen + int(h.Length)
		if in.w < end {
			return nil
		}
		payload := in.buf[in.r+FrameHeaderLen : end]
		in.r = end
		if err := in.frame(h, payload); err != nil {
			return err
		}
	}
}

// stranger is the error for a server whose first frame is no SETTINGS: most
// often it does not speak HTTP/2 at all.
func (in *reader) stranger() error {
	first := in.buf[in.r:in.w]
	if bytes.HasPrefix(first, []byte("HTTP/")) {
		line, _, _ := bytes.Cut(first, []byte("\r\n"))
		return connError(CodeProtocol, "RFC 9113 §3.4", "the server speaks HTTP/1, not HTTP/2: it answers %s", clip(string(line)))
	}
	return connError(CodeProtocol, "RFC 9113 §3.4", "the server does not speak HTTP/2: it begins with %s", clip(string(first[:min(len(first), 24)])))
}

// frame deals with a whole frame.
func (in *reader) frame(h FrameHeader, payload []byte) error {
	f, err := ParseFrame(h, payload)
	if err != nil {
		if e := err.(*Error); e.StreamID != 0 {
			return in.c.violated(e, h.Type)
		}
		return err
	}
	switch h.Type {
	case FrameData:
		return in.emptyData(h)
	case FrameHeaders:
		in.block.id, in.block.end = h.StreamID, h.Flags.Has(FlagEndStream)
		return in.fragment(f.Data, h.Flags.Has(FlagEndHeaders))
	case FrameContinuation:
		if in.block.id == 0 {
			return connError(CodeProtocol, "RFC 9113 §6.10", "CONTINUATION without HEADERS")
		}
		if len(f.Data) < 64 && !h.Flags.Has(FlagEndHeaders) {
			if err := in.strike(h.Type); err != nil {
				return err
			}
		}
		return in.fragment(f.Data, h.Flags.Has(FlagEndHeaders))
	case FramePushPromise:
		return connError(CodeProtocol, "RFC 9113 §6.6", "PUSH_PROMISE, though pushes were refused by SETTINGS_ENABLE_PUSH")
	}
	return in.c.control(&f, in)
}

func (in *reader) strike(what FrameType) error {
	in.c.mu.Lock()
	defer in.c.mu.Unlock()
	return in.c.patience.strike(what)
}

// fragment takes a part of a field block. A block in one frame is decoded where
// it stands.
func (in *reader) fragment(b []byte, last bool) error {
	if last && len(in.block.b) == 0 {
		return in.fields(b)
	}
	// Compressed fields are rarely longer than the fields are.
	if len(in.block.b)+len(b) > in.decoder.maxBytes+minFrameSize {
		return connError(CodeEnhanceYourCalm, "RFC 9113 §10.5.1", "a field block larger than MaxHeaderBytes, %d", in.decoder.maxBytes)
	}
	in.block.b = append(in.block.b, b...)
	if !last {
		return nil
	}
	err := in.fields(in.block.b)
	in.block.b = in.block.b[:0]
	if cap(in.block.b) > minFrameSize {
		in.block.b = nil
	}
	return err
}

// fields deals with a whole field block.
func (in *reader) fields(block []byte) error {
	id, end := in.block.id, in.block.end
	in.block.id = 0
	c := in.c
	head, err := in.decoder.decode(id, block)
	if e, ok := err.(*Error); ok && e.StreamID == 0 {
		return e
	}
	c.mu.Lock()
	defer c.unlock()
	s, fatal := c.stream(id, FrameHeaders)
	if s == nil {
		if fatal == nil {
			fatal = c.patience.late(FrameHeaders)
		}
		return fatal
	}
	c.heard = max(c.heard, s.sent)
	if err == nil {
		err = s.onFields(head, end)
	}
	if err == nil && end {
		err = s.onEnd()
	}
	c.news(s)
	if e, ok := err.(*Error); ok {
		if e.StreamID == 0 {
			return e
		}
		c.reject(s, e.Code, e)
	} else if err != nil {
		c.reject(s, CodeProtocol, err)
	}
	return nil
}

// stream returns the stream that a frame belongs to, or nil if it has ended. A
// stream that we never opened is an error. mu is held.
func (c *Conn) stream(id uint32, what FrameType) (*Stream, error) {
	if s := c.streams[id]; s != nil {
		return s, nil
	}
	if id%2 == 0 || id >= c.nextID {
		return nil, connError(CodeProtocol, "RFC 9113 §5.1", "%v on stream %d, which was never opened", what, id)
	}
	return nil, nil
}

// reject ends a stream that the server spoilt. mu is held.
func (c *Conn) reject(s *Stream, code ErrCode, err error) {
	if s.gone {
		return
	}
	s.err = err
	c.answer(appendRST(c.out.b, s.id, code))
	c.patience.reset()
	c.remove(s)
	s.nudge()
}

// violated ends the stream of a frame that breaks the rules.
func (c *Conn) violated(e *Error, what FrameType) error {
	c.mu.Lock()
	defer c.unlock()
	s, err := c.stream(e.StreamID, what)
	if s != nil {
		c.reject(s, e.Code, e)
		return nil
	}
	if err == nil {
		err = c.patience.late(what)
	}
	return err
}

// onFields takes a head or a trailer section. c.mu is held.
func (s *Stream) onFields(h Head, end bool) error {
	bad := func(section, what string) error { return streamError(s.id, CodeProtocol, section, "%s", what) }
	switch {
	case s.remoteEnd:
		return connError(CodeStreamClosed, "RFC 9113 §5.1", "HEADERS after the end of stream %d", s.id)
	case s.hasHead && h.Status != 0:
		return bad("RFC 9113 §8.1", "a pseudo field in the trailer section, or a second head")
	case s.hasHead && !end:
		return bad("RFC 9113 §8.1", "a trailer section that does not end the stream")
	case s.hasHead:
		s.trailer = trailer(h.Header)
		return nil
	case h.Status == 0:
		return bad("RFC 9113 §8.3.2", "a response without :status")
	case h.Status == 101:
		return bad("RFC 9113 §8.6", "101 Switching Protocols, which HTTP/2 has not")
	case h.Status < 200:
		return s.onInterim(h, end)
	}
	s.c.patience.useful()
	s.head, s.hasHead = h, true
	s.left = h.Length
	s.bodyless = s.bodyless || h.Status == 204 || h.Status == 304
	if s.bodyless {
		s.left = 0
	}
	if s.tunnel && h.Status < 300 {
		// What follows is no content, whatever the head says (RFC 9110 §9.3.6).
		s.left, s.bodyless = -1, false
	}
	return nil
}

func (s *Stream) onInterim(h Head, end bool) error {
	s.interim++
	switch {
	case end:
		return streamError(s.id, CodeProtocol, "RFC 9113 §8.1", "a response that ends with an interim one: %d", h.Status)
	case s.interim > maxInterim:
		return streamError(s.id, CodeEnhanceYourCalm, "RFC 9110 §15.2", "more than %s interim responses", strconv.Itoa(maxInterim))
	case s.KeepInterim:
		s.interims = append(s.interims, h)
		if s.interimSize += sectionSize(h.Header); s.interimSize > s.c.config.MaxHeaderBytes {
			return streamError(s.id, CodeEnhanceYourCalm, "RFC 9113 §10.5.1", "interim responses larger than MaxHeaderBytes, %d", s.c.config.MaxHeaderBytes)
		}
	}
	return nil
}

// trailer returns the fields of h that may stand in a trailer section; the others
// do not count there (RFC 9110 §6.5.1).
func trailer(h header.Header) header.Header {
	for i := range h.Len() {
		if !h1.ForbiddenTrailer(h.At(i).Name) {
			continue
		}
		var kept []header.Field
		for i := range h.Len() {
			if f := h.At(i); !h1.ForbiddenTrailer(f.Name) {
				kept = append(kept, f)
			}
		}
		return header.Of(kept)
	}
	return h
}

// onEnd takes END_STREAM. c.mu is held.
func (s *Stream) onEnd() error {
	switch {
	case s.remoteEnd:
		return connError(CodeStreamClosed, "RFC 9113 §5.1", "a second end of stream %d", s.id)
	case !s.hasHead:
		return streamError(s.id, CodeProtocol, "RFC 9113 §8.1", "a stream that ends without a response")
	case s.left > 0:
		return &lengthError{streamError(s.id, CodeProtocol, "RFC 9113 §8.1.1", "the body ends %d bytes before its Content-Length says", s.left), true}
	}
	s.remoteEnd = true
	if s.localEnd {
		s.c.remove(s)
	} else if s.room != nil {
		signal(s.room)
	}
	return nil
}

// emptyData deals with DATA without a payload.
func (in *reader) emptyData(h FrameHeader) error {
	c := in.c
	c.mu.Lock()
	defer c.unlock()
	s, err := c.stream(h.StreamID, FrameData)
	if err != nil {
		return err
	}
	switch {
	case s == nil:
		err = c.patience.late(FrameData)
	case h.Flags.Has(FlagEndStream):
	default:
		err = c.patience.strike(FrameData)
	}
	if s == nil || err != nil {
		return err
	}
	if s.remoteEnd {
		return connError(CodeStreamClosed, "RFC 9113 §5.1", "DATA after the end of stream %d", s.id)
	}
	return c.dataDone(s, nil, h.Flags.Has(FlagEndStream))
}

// beginData begins a DATA frame; ok is false if its padding is not yet known.
func (in *reader) beginData(h FrameHeader) (ok bool, err error) {
	c := in.c
	if h.StreamID == 0 {
		return false, connError(CodeProtocol, "RFC 9113 §6.1", "DATA on stream 0")
	}
	body, padding := int(h.Length), 0
	head := FrameHeaderLen
	if h.Flags.Has(FlagPadded) {
		if in.w-in.r < FrameHeaderLen+1 {
			return false, nil
		}
		padding = int(in.buf[in.r+FrameHeaderLen])
		head++
		body -= 1 + padding
		if body < 0 {
			return false, connError(CodeProtocol, "RFC 9113 §6.1", "DATA with %d bytes of padding in %d", padding, h.Length)
		}
	}
	in.r += head
	c.mu.Lock()
	defer c.unlock()
	// Padding counts too (RFC 9113 §6.9.1).
	c.recvWindow -= int64(h.Length)
	if c.recvWindow < 0 {
		return false, connError(CodeFlowControl, "RFC 9113 §6.9", "more DATA than the window of the connection allows")
	}
	if c.recvWindow <= c.connTarget/2 {
		c.answer(appendWindowUpdate(c.out.b, 0, uint32(c.connTarget-c.recvWindow)))
		c.recvWindow = c.connTarget
	}
	s, err := c.stream(h.StreamID, FrameData)
	if err != nil {
		return false, err
	}
	if s != nil {
		if s.recvWindow -= int64(h.Length); s.recvWindow < 0 {
			return false, connError(CodeFlowControl, "RFC 9113 §6.9", "more DATA than the window of stream %d allows", s.id)
		}
		if s.remoteEnd {
			return false, connError(CodeStreamClosed, "RFC 9113 §5.1", "DATA after the end of stream %d", s.id)
		}
	}
	switch {
	case s == nil:
		if c.lateData -= int64(h.Length); c.lateData < 0 {
			return false, connError(CodeStreamClosed, "RFC 9113 §5.1", "more DATA on streams that have ended than their windows allowed, the last on stream %d", h.StreamID)
		}
		if body == 0 {
			err = c.patience.late(FrameData)
		}
	case body == 0:
		err = c.patience.strike(FrameData)
	default:
		c.patience.useful()
	}
	if err != nil {
		return false, err
	}
	c.received(int64(body))
	in.data.left, in.data.padding = body+padding, padding
	in.data.id, in.data.end = h.StreamID, h.Flags.Has(FlagEndStream)
	if in.data.left == 0 && s != nil {
		return true, c.dataDone(s, nil, in.data.end)
	}
	return true, nil
}

// piece hands on what is here of a DATA frame.
func (in *reader) piece() error {
	n := min(in.data.left, in.w-in.r)
	b := in.buf[in.r : in.r+n]
	in.r += n
	in.data.left -= n
	b = b[:max(0, min(n, n+in.data.left-in.data.padding))]
	c := in.c
	c.mu.Lock()
	defer c.unlock()
	if s := c.streams[in.data.id]; s != nil {
		return c.dataDone(s, b, in.data.end && in.data.left == 0)
	}
	return nil
}

// dataDone gives bytes of a body to a stream, and perhaps its end. mu is held.
func (c *Conn) dataDone(s *Stream, b []byte, end bool) error {
	err := s.onData(b)
	if err == nil && end {
		err = s.onEnd()
	}
	c.news(s)
	switch e := err.(type) {
	case nil:
	case *Error:
		if e.StreamID == 0 {
			return e
		}
		c.reject(s, e.Code, e)
	default:
		c.reject(s, CodeProtocol, err)
	}
	return nil
}

func (s *Stream) onData(b []byte) error {
	switch {
	case !s.hasHead:
		return streamError(s.id, CodeProtocol, "RFC 9113 §8.1", "DATA before the response's head")
	case len(b) == 0:
		return nil
	case s.bodyless:
		return streamError(s.id, CodeProtocol, "RFC 9110 §6.4.1", "a body where there must be none")
	case s.left >= 0 && int64(len(b)) > s.left:
		return &lengthError{streamError(s.id, CodeProtocol, "RFC 9113 §8.1.1", "the body goes on after its Content-Length"), false}
	}
	if s.left >= 0 {
		s.left -= int64(len(b))
	}
	s.recv.add(b)
	return nil
}
