// Package h2 is the client's side of an HTTP/2 connection (RFC 9113): framing,
// field compression by golang.org/x/net/http2/hpack, flow control, streams. It
// knows no request and no engine; package internal/h2/exchange puts requests on
// it.
//
// Theory of operation. A [Conn] has one goroutine, which reads. It takes frames
// apart where they stand in its buffer, gives heads and bodies to the [Stream]
// they belong to, and wakes who waits for them only when it has dealt with all
// that one read brought.
//
// Nobody is there to write: frames are appended to one buffer, under the
// connection's mutex, and whoever finds that nobody is writing at the moment
// writes out the buffer. While other streams are open he first lets the other
// goroutines run (runtime.Gosched): those that were woken by the same read have
// their next requests ready, and all of them go out by one system call and one
// TLS record.
//
// A caller must not be held up beyond his deadline by a server that does not
// read. So he writes himself only what the socket has room for: as long as it is
// little that the server may not have read yet, which its responses tell (see
// maxUnheard). Else, while bodies are being sent, for what the reader has to say,
// and on what is no socket, a goroutine is started for as long as there is
// something to write.
//
// Memory. What a stream has received and nobody has read is bounded by its
// window, which is opened again as the body is read; the window of the
// connection is opened as soon as bytes come in, so that a body which nobody
// reads does not stop the others. The windows start at Config.StreamWindow and
// ConnWindow, and grow up to MaxStreamWindow if the path can hold more bytes
// (see tuner).
//
// The peer is not trusted. Frames that cost it nothing and us work are counted
// (see patience); what it may make us keep is bounded: field sections, the
// answers that wait to be written (maxOwed), the streams. So is what piles up
// because it does not read: bodies wait at maxOut, new streams at maxQueue.
package h2

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Conn is a connection to a server. It is made by [New] and safe for concurrent
// use.
type Conn struct {
	nc     net.Conn
	config Config

	// mu guards what follows. Nothing that may block is called with it held.
	mu       sync.Mutex
	streams  map[uint32]*Stream
	nextID   uint32
	reserved int         // streams that were promised by Reserve
	err      error       // why the connection is over
	over     atomic.Bool // err is set
	goneAway *GoAwayError
	retired  bool // no new streams: Retire, or no more numbers
	used     bool
	idleFrom time.Time // when it became idle; while streams is empty

	peer       peer
	sendWindow int64
	starving   []*Stream // they wait for sendWindow or for room in out

	recvWindow int64 // what the server may still send
	lateData   int64 // and of that on streams which have ended before their time
	connTarget int64 // what recvWindow is brought back to
	target     int64 // the like for streams
	tuner      tuner

	out      outBuffer // frames to be written
	spare    []byte
	owed     int   // bytes in out with which the reader answers the server
	taken    int64 // bytes that were taken from out to be written, all in all
	heard    int64 // of those, what the server has read for certain
	buffered bool  // a small write to nc ends at once though nobody reads
	flushing bool
	flusher  func() // flushes, in a goroutine of its own
	begun    bool   // the preface was written
	broken   bool   // a write has failed
	bulk     int    // bodies that are being sent by goroutines of their own
	encoder  encoder

	woken     []*Stream // the reader has news for them
	patience  patience
	pingAt    time.Duration // since began: when a keep-alive PING was sent that waits for an answer
	writeTill int64         // the deadline of writes that is set; owned by who flushes

	settled  chan struct{} // closed when the server's first SETTINGS are there
	lastRead atomic.Int64  // of time.Since(began)
	began    time.Time
	monitor  *time.Timer
	done     chan struct{} // closed when the reader has ended

	changed bool // Config.Changed is to be called
	in      reader
}

// peer is what the server's settings say.
type peer struct {
	settings      bool // they have come
	maxStreams    uint32
	initialWindow int64
	maxFrame      int
	maxHeaderList uint32
	connect       bool // RFC 8441
}

// assumedStreams is taken for the bound on streams until the server names it.
const assumedStreams = 100

// New makes a connection of nc, on which nothing must have been sent or read,
// and starts its reader. The connection closes nc.
func New(nc net.Conn, config Config) *Conn {
	c := &Conn{
		nc: nc, config: config,
		streams: make(map[uint32]*Stream), nextID: 1,
		peer:       peer{maxStreams: assumedStreams, initialWindow: defaultWindow, maxFrame: minFrameSize, maxHeaderList: 1<<32 - 1},
		sendWindow: defaultWindow,
		recvWindow: defaultWindow,
		connTarget: max(int64(config.ConnWindow), defaultWindow),
		target:     int64(config.StreamWindow),
		settled:    make(chan struct{}), done: make(chan struct{}),
		began: time.Now(),
	}
	_, c.buffered = bottomOf(nc).(syscall.Conn)
	c.flusher = func() {
		c.mu.Lock()
		c.flushAll()
		c.unlock()
	}
	if config.AssumedStreams > 0 {
		c.peer.maxStreams = config.AssumedStreams
	}
	c.idleFrom = c.began
	c.tuner.limit = int64(config.MaxStreamWindow)
	c.encoder.hpack = hpack.NewEncoder(&c.out)
	c.encoder.hpack.SetMaxDynamicTableSizeLimit(config.EncoderTable)
	c.in.init(c)
	c.greet()
	if config.PingInterval > 0 {
		c.monitor = time.AfterFunc(config.PingInterval, c.look)
	}
	c.start(c.in.run)
	return c
}

// preface begins the connection (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// greet appends the preface and our settings; they go out with the first
// request.
func (c *Conn) greet() {
	b := append(c.out.b, preface...)
	start := len(b)
	b = AppendFrameHeader(b, FrameHeader{})
	b = appendSetting(b, SettingEnablePush, 0)
	b = appendSetting(b, SettingNoRFC7540Priorities, 1)
	b = appendSetting(b, SettingInitialWindowSize, c.config.StreamWindow)
	b = appendSetting(b, SettingMaxHeaderListSize, uint32(min(int64(c.config.MaxHeaderBytes), 1<<32-1)))
	if c.config.HeaderTable != defaultTableSize {
		b = appendSetting(b, SettingHeaderTableSize, c.config.HeaderTable)
	}
	AppendFrameHeader(b[:start], FrameHeader{Length: uint32(len(b) - start - FrameHeaderLen), Type: FrameSettings})
	if n := c.connTarget - c.recvWindow; n > 0 {
		b = appendWindowUpdate(b, 0, uint32(n))
		c.recvWindow = c.connTarget
	}
	c.out.b = b
}

func (c *Conn) start(f func()) {
	if c.config.Go != nil {
		c.config.Go(f)
		return
	}
	go f()
}

// limit returns how many streams may be open at once. mu is held.
func (c *Conn) limit() int {
	n := int(min(c.peer.maxStreams, 1<<30))
	if c.config.MaxStreams > 0 {
		n = min(n, c.config.MaxStreams)
	}
	return n
}

// open reports whether the connection takes new streams at all. mu is held.
func (c *Conn) open() bool { return c.err == nil && c.goneAway == nil && !c.retired && !c.broken }

// Reserve takes a place for a stream, if there is one and not too much waits to
// be written; [Conn.Open] or [Conn.Unreserve] must follow. used tells that the connection has carried a
// stream, idle for how long it has none.
func (c *Conn) Reserve() (used bool, idle time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.streams) + c.reserved
	if !c.open() || c.full() || n >= c.limit() {
		return false, 0, false
	}
	if n == 0 && c.used {
		idle = time.Since(c.idleFrom)
	}
	c.reserved++
	return c.used, idle, true
}

// Unreserve gives back a place.
func (c *Conn) Unreserve() {
	c.mu.Lock()
	c.reserved--
	c.becameIdle()
	c.unlock()
}

// becameIdle takes notice if nothing uses the connection any more. mu is held.
func (c *Conn) becameIdle() {
	c.changed = true
	if len(c.streams) == 0 && c.reserved == 0 {
		c.idleFrom = time.Now()
		if !c.open() {
			c.fail(ErrClosed)
		}
	}
}

// unlock releases mu, and tells who wants to know what has changed.
func (c *Conn) unlock() {
	changed := c.changed
	c.changed = false
	c.mu.Unlock()
	if changed && c.config.Changed != nil {
		c.config.Changed(c)
	}
}

// State is what a pool must know of a connection.
type State struct {
	// Usable tells that it takes streams, now or when others have ended.
	Usable bool
	// Streams counts the open ones and those promised; Limit is the server's bound
	// on them, 0 as long as it has not told, at least 1.
	Streams int
	Limit   uint32
	// Shut tells that the server's bound is 0 at the moment: it takes no streams
	// until it raises that.
	Shut bool
	// Idle is since when there is none; zero if there are some.
	Idle time.Time
}

// State returns a snapshot.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Usable: c.open(), Streams: len(c.streams) + c.reserved}
	if c.peer.settings {
		s.Limit = max(c.peer.maxStreams, 1)
		s.Shut = c.peer.maxStreams == 0
	}
	if s.Streams == 0 {
		s.Idle = c.idleFrom
	}
	return s
}

// Alive reports whether the connection has not ended; it may take no more
// streams.
func (c *Conn) Alive() bool { return !c.over.Load() }

// Reason returns why the connection is over, in the shape that a stream's error
// would have; nil if it is not.
func (c *Conn) Reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.goneAway != nil:
		return c.goneAway
	case c.err == nil:
		return nil
	}
	return lostTo(c.err, nil)
}

// Settled is closed when the server's first SETTINGS have come, or the
// connection has ended.
func (c *Conn) Settled() <-chan struct{} { return c.settled }

// Greet sends our settings, if that has not been done; the first request does it
// too.
func (c *Conn) Greet() {
	c.mu.Lock()
	c.flushElsewhere()
	c.unlock()
}

// ExtendedConnect reports whether the server takes requests with a :protocol
// (RFC 8441). It is known when the connection is [Conn.Settled].
func (c *Conn) ExtendedConnect() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer.connect
}

// Err returns why the connection is over, nil if it is not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done is closed when the connection's reader has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Retire lets no new streams begin; the connection closes when the last one has
// ended, at once if there is none.
func (c *Conn) Retire() {
	c.mu.Lock()
	if !c.retired {
		c.retired = true
		c.becameIdle()
	}
	c.unlock()
}

// RetireIdle retires the connection if it is idle.
func (c *Conn) RetireIdle() {
	c.mu.Lock()
	if len(c.streams)+c.reserved == 0 && !c.retired {
		c.retired = true
		c.becameIdle()
	}
	c.unlock()
}

// Drop is RetireIdle for the owner of Config.Changed, which is not called. It
// reports whether the connection was idle.
func (c *Conn) Drop() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams)+c.reserved > 0 {
		return false
	}
	c.retired = true
	c.fail(ErrClosed)
	c.changed = false
	return true
}

// Close ends the connection and all its streams.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.fail(ErrClosed)
	c.unlock()
	return nil
}

// fail ends the connection for err: all streams end with it. mu is held. The
// socket is closed by another goroutine if that might block.
func (c *Conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.over.Store(true)
	c.changed = true
	if c.monitor != nil {
		c.monitor.Stop()
	}
	for _, s := range c.streams {
		s.lose(err)
	}
	clear(c.streams)
	c.starving = nil
	c.settle()
	c.start(func() { c.hangUp(err) })
}

// farewell is how long the last frame may take, with what TLS has to say.
const farewell = 100 * time.Millisecond

// hangUp says why, if the server still listens and nobody is in the middle of a
// write, and closes the socket.
func (c *Conn) hangUp(why error) {
	bottom := bottomOf(c.nc)
	c.mu.Lock()
	polite := !c.flushing && c.begun && !c.broken
	c.flushing = true
	c.mu.Unlock()
	code, reason := CodeNo, ""
	if e, ok := errors.AsType[*Error](why); ok {
		code, reason = e.Code, e.Err.Reason
	} else {
		polite = polite && errors.Is(why, ErrClosed)
	}
	if polite {
		c.nc.SetWriteDeadline(time.Time{}) // that of an earlier write may be over
		late := time.AfterFunc(farewell, func() { bottom.Close() })
		if _, err := c.nc.Write(appendGoAway(nil, code, reason[:min(len(reason), 200)])); err == nil {
			c.nc.Close()
		}
		late.Stop()
	}
	bottom.Close()
}

// Discard closes a connection on which there is to be no HTTP/2. With TLS the
// server is told; one that does not read makes that take 100 ms, and not the 5 s of
// crypto/tls.
func Discard(nc net.Conn) {
	bottom := bottomOf(nc)
	late := time.AfterFunc(farewell, func() { bottom.Close() })
	defer late.Stop()
	nc.Close()
}

// settle lets those go on that wait for the server's settings. mu is held.
func (c *Conn) settle() {
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
}

// bottomOf returns what lies below TLS: closing it never blocks.
func bottomOf(c net.Conn) net.Conn {
	for {
		t, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = t.NetConn()
	}
}

// look is the monitor's work: it sends a PING after a silence, and gives up a
// connection that does not answer.
func (c *Conn) look() {
	c.mu.Lock()
	defer c.unlock()
	if c.err != nil {
		return
	}
	now, last := time.Since(c.began), time.Duration(c.lastRead.Load())
	if last > c.pingAt {
		c.pingAt = 0
	}
	silence := now - last
	switch {
	case c.pingAt > 0 && now-c.pingAt >= c.config.PingTimeout:
		c.fail(ErrPing)
	case c.pingAt > 0:
		c.monitor.Reset(c.config.PingTimeout - (now - c.pingAt))
	case silence < c.config.PingInterval:
		c.monitor.Reset(c.config.PingInterval - silence)
	case len(c.streams) > 0 || c.config.PingIdle:
		c.pingAt = now
		c.out.b = appendPing(c.out.b, 0, keepAlivePing)
		c.flushElsewhere()
		c.monitor.Reset(c.config.PingTimeout)
	default:
		c.monitor.Reset(c.config.PingInterval)
	}
}

// What our PINGs hold.
var (
	keepAlivePing = []byte("godwit-k")
	tuningPing    = []byte("godwit-t")
)
