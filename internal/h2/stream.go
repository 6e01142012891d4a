package h2

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit/header"
)

// Stream is one request and its response on a connection. Its zero value is for
// [Conn.Open]; it is not used again, nor copied.
//
// None of its methods waits: who finds nothing to be had waits for Wake or Room,
// which may also fire for no reason, and asks again. Heads and the body are
// taken by one goroutine at a time, the request's body is sent by another; Cancel
// may be called by any. When it is over the owner must call [Stream.Release].
type Stream struct {
	c    *Conn
	id   uint32
	wake chan struct{}
	room chan struct{}

	cur *chunk // the reader's own: taken from recv

	// c.mu guards the rest.

	// KeepInterim, set before Open, keeps 1xx responses for Interim.
	KeepInterim bool

	head     Head
	interims []Head
	interim  int // how many have come
	// interimSize is the size of those in interims.
	interimSize int
	trailer     header.Header

	recv       chunks
	recvWindow int64 // what the server may still send
	left       int64 // of Content-Length; -1 = unknown
	bodyless   bool  // a body is against the rules: HEAD, 204, 304
	tunnel     bool  // CONNECT: a 2xx has no body, but the tunnel's bytes

	sendWindow int64
	sent       int64 // the position after the frames that Open sent

	hasHead, remoteEnd, localEnd bool

	early    bool  // it was opened before the server's settings were known
	gone     bool  // it is not among the connection's streams any more
	canceled bool  // by us
	stopped  bool  // the server wants no more of the body
	err      error // why it ended before its time

	woken    bool // it is in c.woken
	starving bool // it is in c.starving
	flushing bool // its goroutine is writing for all
}

// maxInterim is how many 1xx responses may come before the final one.
const maxInterim = 100

// maxInlineBody is the largest body that goes out together with its head.
const maxInlineBody = 64 << 10

var wakes = sync.Pool{New: func() any { return make(chan struct{}, 1) }}

// Bind says which connection the stream is going to be on; from then on it can be
// canceled.
func (s *Stream) Bind(c *Conn) {
	s.c = c
	s.wake = wakes.Get().(chan struct{})
	s.gone = true // until it is opened
}

// Open begins a bound stream for which a place was reserved: it sends the head and, if
// windows allow it, all of a small body. whole tells that the request is
// complete: end says that there is nothing but the head and body. The error is
// ErrUnfit if the connection takes no streams any more; the place is given back
// then.
func (c *Conn) Open(s *Stream, r *RequestHead, body []byte, end bool) (whole bool, err error) {
	c.mu.Lock()
	c.reserved--
	// The server may have told its bound since the place was reserved.
	if canceled := s.canceled; canceled || !c.open() || c.full() || len(c.streams) >= c.limit() {
		c.becameIdle()
		c.unlock()
		if canceled {
			return false, ErrCanceled
		}
		return false, ErrUnfit
	}
	if limit := int64(c.peer.maxHeaderList); int64(r.atMost) > limit {
		if size := r.size(); int64(size) > limit {
			c.becameIdle()
			c.unlock()
			return false, &TooLargeError{Size: size, Limit: limit}
		}
	}
	s.id, s.gone, s.early = c.nextID, false, !c.peer.settings
	c.nextID += 2
	if c.nextID > maxStreamID-2 {
		c.retired = true
	}
	c.used = true
	c.streams[s.id] = s
	s.recvWindow, s.sendWindow = int64(c.config.StreamWindow), c.peer.initialWindow
	s.left, s.bodyless, s.tunnel = -1, r.Method == "HEAD", r.Method == "CONNECT"
	whole = end && int64(len(body)) <= min(s.sendWindow, c.sendWindow, maxInlineBody) && (len(body) == 0 || len(c.out.b) < maxOut)
	start := len(c.out.b)
	c.out.b = AppendFrameHeader(c.out.b, FrameHeader{})
	c.encoder.head(r)
	if whole && len(body) == 0 {
		s.localEnd = true
		c.seal(start, s.id, FlagEndStream)
	} else {
		c.seal(start, s.id, 0)
		if whole {
			s.append(body, true)
		}
	}
	s.sent = c.position()
	c.flush(s)
	return whole, nil
}

// TooLargeError tells that a field section of a request is larger than the server
// takes (RFC 9113 §6.5.2).
type TooLargeError struct {
	// Trailer tells that it is the trailer section.
	Trailer bool
	Size    int
	Limit   int64
}

func (e *TooLargeError) Error() string {
	what := "fields"
	if e.Trailer {
		what = "trailer fields"
	}
	return fmt.Sprintf("HTTP/2: the request's %s take %d bytes, more than the server's SETTINGS_MAX_HEADER_LIST_SIZE, %d", what, e.Size, e.Limit)
}

// Early reports whether the stream was opened before the server had told how many
// it takes: that it was refused then is nobody's fault.
func (s *Stream) Early() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.early
}

// Wake fires when there is news of the response.
func (s *Stream) Wake() <-chan struct{} { return s.wake }

// Room fires when bytes can be sent, or there is no more use in it. It must have
// been asked for by Upload.
func (s *Stream) Room() <-chan struct{} { return s.room }

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Nudge fires Wake and Room.
func (s *Stream) Nudge() {
	s.c.mu.Lock()
	s.nudge()
	s.c.mu.Unlock()
}

func (s *Stream) nudge() {
	signal(s.wake)
	if s.room != nil {
		signal(s.room)
	}
}

// Interim takes the next 1xx response, if KeepInterim is set.
func (s *Stream) Interim() (h Head, ok bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if len(s.interims) == 0 {
		return Head{}, false
	}
	h, s.interims = s.interims[0], s.interims[1:]
	s.interimSize -= sectionSize(h.Header)
	return h, true
}

// Head returns the head of the final response; ok is false if it is not there.
func (s *Stream) Head() (h Head, ok bool, err error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.canceled:
		return Head{}, false, ErrCanceled
	case s.hasHead:
		return s.head, true, nil
	}
	return Head{}, false, s.err
}

// Complete reports whether the response has come to its end, so that the body is
// here, and whether that is empty.
func (s *Stream) Complete() (complete, empty bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.remoteEnd && !s.canceled, s.remoteEnd && s.recv.size == 0 && s.cur == nil
}

// Trailer returns the trailer fields, when the body is at its end.
func (s *Stream) Trailer() header.Header {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.trailer
}

// Read takes bytes of the body; 0 and nil mean that there are none now. What
// came before an error is read before it, unless the stream was canceled.
func (s *Stream) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		b, err := s.Next()
		if len(b) == 0 {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		m := copy(p[n:], b)
		s.Took(m)
		n += m
	}
	return n, nil
}

// Next returns bytes of the body that need not be copied, until [Stream.Took]
// takes them; none and nil mean that there are none now.
func (s *Stream) Next() ([]byte, error) {
	if s.cur == nil {
		if err := s.take(); s.cur == nil {
			return nil, err
		}
	}
	return s.cur.b[s.cur.r:s.cur.w], nil
}

// Took takes n of the bytes that Next has returned.
func (s *Stream) Took(n int) {
	s.cur.r += n
	if s.cur.r == s.cur.w {
		s.cur.free()
		s.cur = nil
	}
}

// take moves the next chunk from recv to cur, and opens the window when half of
// it has been read.
func (s *Stream) take() error {
	c := s.c
	c.mu.Lock()
	if s.canceled {
		c.mu.Unlock()
		return ErrCanceled
	}
	s.cur = s.recv.pop()
	if s.remoteEnd || s.gone {
		defer c.mu.Unlock()
		switch {
		case s.cur != nil:
			return nil
		case s.err != nil:
			return s.err
		case s.remoteEnd:
			return io.EOF
		}
		return nil
	}
	// What is in cur counts as read: it is no more than a frame. And if nothing is
	// there padding may have used up the window.
	if n := c.target - s.recvWindow - int64(s.recv.size); n > 0 && n >= c.target/2 {
		s.recvWindow += n
		c.answer(appendWindowUpdate(c.out.b, s.id, uint32(n)))
		c.flush(s)
		return nil
	}
	c.mu.Unlock()
	return nil
}

// Cancel ends the stream with a code: nothing more comes of it but ErrCanceled,
// unless all of the response has been taken. It does not block.
func (s *Stream) Cancel(code ErrCode) {
	c := s.c
	c.mu.Lock()
	if s.canceled {
		c.mu.Unlock()
		return
	}
	s.canceled = true
	s.recv.free()
	s.interims = nil
	c.reset(s, code)
	if s.flushing {
		time.AfterFunc(stuck, s.unstick)
	}
	s.nudge()
	c.unlock()
}

// stuck is how long a canceled caller may be held up by a write for all.
const stuck = 50 * time.Millisecond

// unstick breaks a connection that does not take even small frames: the caller
// that writes them was canceled and must not wait.
func (s *Stream) unstick() {
	c := s.c
	c.mu.Lock()
	if s.flushing {
		c.fail(ErrWriteTimeout)
	}
	c.unlock()
}

// Release gives back what the stream holds; it must not be used after that, but
// for Cancel.
func (s *Stream) Release() {
	c := s.c
	c.mu.Lock()
	s.recv.free()
	c.reset(s, CodeCancel)
	wake := s.wake
	s.wake = never
	c.unlock()
	if s.cur != nil {
		s.cur.free()
		s.cur = nil
	}
	if wake != never {
		select {
		case <-wake: // news that nobody waited for: not for the next stream
		default:
		}
		wakes.Put(wake)
	}
}

// never is the Wake of a stream that was released.
var never = make(chan struct{}, 1)

// reset tells the server that we want no more of s. mu is held.
func (c *Conn) reset(s *Stream, code ErrCode) {
	if s.gone {
		return
	}
	c.out.b = appendRST(c.out.b, s.id, code)
	c.patience.reset()
	c.remove(s)
	c.flushElsewhere()
}

// remove takes s from the streams. mu is held.
func (c *Conn) remove(s *Stream) {
	s.gone = true
	delete(c.streams, s.id)
	c.abandon(s)
	c.becameIdle()
}

// abandon lets go of s, which is not among the streams any more. mu is held.
func (c *Conn) abandon(s *Stream) {
	if !s.remoteEnd {
		c.lateData += s.recvWindow // may be on its way
	}
	if s.starving {
		s.starving = false
		i := slices.Index(c.starving, s)
		c.starving = slices.Delete(c.starving, i, i+1)
	}
}

// lose ends the stream with its connection. mu is held.
func (s *Stream) lose(err error) {
	s.gone = true
	s.stopped = true
	if s.err == nil && !s.remoteEnd {
		s.err = lostTo(err, s.c.goneAway)
	}
	s.nudge()
}

// Reprioritize tells the server what the stream's priority is now, by a
// PRIORITY_UPDATE frame (RFC 9218 §7.1). It is left out while too much waits to
// be written.
func (s *Stream) Reprioritize(value string) {
	c := s.c
	c.mu.Lock()
	if !s.gone && !c.full() {
		c.out.b = appendPriorityUpdate(c.out.b, s.id, value)
		c.flushElsewhere()
	}
	c.unlock()
}
