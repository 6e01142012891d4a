package http3

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/gate"
)

// pool holds the engine's connections, one for each target. Several exchanges
// that need the same new connection share one dial, which goes on as long as any
// of them waits for it.
type pool struct {
	engine *Engine
	slots  *gate.Gate // open connections, and those being made

	mu     sync.Mutex // guards what follows, and the fields of conn and dialling; taken before no other lock
	conns  map[target]*conn
	dials  map[target]*dialling
	open   map[*conn]struct{} // also those that take no new exchanges
	good   map[target]netip.AddrPort
	closed bool
}

func (p *pool) init(e *Engine) {
	p.engine = e
	p.slots = gate.New(e.config.MaxConnections, p.makeRoom)
	p.conns = make(map[target]*conn)
	p.dials = make(map[target]*dialling)
	p.open = make(map[*conn]struct{})
	p.good = make(map[target]netip.AddrPort)
}

// conn is an open connection.
type conn struct {
	*dialled
	to    target
	h3    *h3.ClientConn
	early bool // it was made without waiting for the handshake
	ended chan struct{}

	refs     int // exchanges on it
	used     bool
	reserved bool // for its first exchange: it is not closed before that
	draining bool // takes no new exchanges
	idle     time.Time
	timer    *time.Timer // closes it when it was idle for long enough
}

// dead reports whether the connection has ended.
func (c *conn) dead() bool { return c.conn.Context().Err() != nil }

// complete reports whether the handshake is.
func (c *conn) complete() bool {
	select {
	case <-c.conn.HandshakeComplete():
		return true
	default:
		return false
	}
}

// got is a connection that an exchange has acquired.
type got struct {
	*conn
	pooled bool // it was there before
	reused bool // and has carried a request
	idle   time.Duration
}

// dialling is a connection that is being made.
type dialling struct {
	cancel  context.CancelFunc
	slotted chan struct{} // closed when it has its slot
	done    chan struct{} // closed when conn or err is set
	conn    *conn
	err     error
	waiters int
	claimed int // waiters that have been counted in conn.refs
}

// take returns an open connection, or else the dial to wait for, which it starts
// if there is none.
func (p *pool) take(ctx context.Context, x *exchange) (*got, *dialling, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.conns[x.to]; c != nil && !c.dead() {
		return p.hold(c), nil, nil
	}
	if p.closed {
		return nil, nil, engine.ErrClosed
	}
	if x.only {
		return nil, nil, ErrNotConnected
	}
	d := p.dials[x.to]
	if d == nil {
		dctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		d = &dialling{cancel: cancel, slotted: make(chan struct{}), done: make(chan struct{})}
		p.dials[x.to] = d
		early, trace := x.early, x.dialTrace()
		go p.run(dctx, d, x.to, early, trace)
	}
	d.waiters++
	return nil, d, nil
}

// hold counts an exchange in. p.mu is held.
func (p *pool) hold(c *conn) *got {
	g := &got{conn: c, pooled: true, reused: c.used}
	if c.refs == 0 {
		g.idle = time.Since(c.idle)
	}
	c.refs++
	if c.timer != nil {
		c.timer.Stop()
	}
	return g
}

// run makes the connection of d.
func (p *pool) run(ctx context.Context, d *dialling, to target, early bool, trace *engine.Trace) {
	defer d.cancel()
	defer close(d.done)
	err := error(context.Canceled)
	var made *dialled
	if p.slots.Enter(ctx.Done()) {
		close(d.slotted)
		if made, err = p.engine.dial(ctx, to, early, trace); err != nil {
			p.slots.Leave()
		}
	}
	if err != nil {
		p.mu.Lock()
		d.err = err
		p.drop(to, d)
		p.mu.Unlock()
		return
	}
	c := &conn{dialled: made, to: to, h3: p.engine.transport.NewClientConn(made.conn), early: early, ended: make(chan struct{})}
	p.add(c, d)
	go p.watch(c)
}

// drop forgets the dial. p.mu is held.
func (p *pool) drop(to target, d *dialling) {
	if p.dials[to] == d {
		delete(p.dials, to)
	}
}

// add puts a new connection in and counts those in that wait for it.
func (p *pool) add(c *conn, d *dialling) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(c.to, d)
	d.conn = c
	p.open[c] = struct{}{}
	if len(p.good) >= maxRemembered {
		clear(p.good)
	}
	p.good[c.to] = c.addr
	if d.waiters == 0 {
		c.draining = true
		c.timer = time.AfterFunc(0, func() { p.expire(c) })
		return
	}
	c.refs, d.claimed = d.waiters, d.waiters
	if p.closed {
		c.draining = true
	} else {
		p.conns[c.to] = c
	}
}

// watch frees what the connection held when it has ended.
func (p *pool) watch(c *conn) {
	<-c.conn.Context().Done()
	p.mu.Lock()
	p.retire(c)
	delete(p.open, c)
	if c.timer != nil {
		c.timer.Stop()
	}
	p.mu.Unlock()
	c.transport.Close()
	c.socket.Close()
	close(c.ended)
	p.slots.Leave()
}

// collect gives the exchange that waited for d its connection.
func (p *pool) collect(d *dialling) (*got, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.waiters--
	if d.err != nil {
		return nil, d.err
	}
	return &got{conn: d.conn, reused: d.conn.used}, nil
}

// use notes that c carries a request.
func (p *pool) use(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.used, c.reserved = true, false
}

// reservation is how long a connection without exchanges waits for its first one.
const reservation = time.Second

// reserve keeps c, which nobody has used, for its first exchange.
func (p *pool) reserve(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.reserved = !c.used
}

// leave is for an exchange that waits for d no more.
func (p *pool) leave(to target, d *dialling) {
	p.mu.Lock()
	d.waiters--
	if d.claimed > 0 {
		c := d.conn
		p.mu.Unlock()
		p.release(c)
		return
	}
	if d.waiters == 0 {
		p.drop(to, d)
		d.cancel()
	}
	p.mu.Unlock()
}

// retire lets c take no new exchanges. p.mu is held.
func (p *pool) retire(c *conn) {
	c.draining = true
	if p.conns[c.to] == c {
		delete(p.conns, c.to)
	}
}

// giveUp lets c take no new exchanges; it is closed with its last one.
func (p *pool) giveUp(c *conn) {
	p.mu.Lock()
	p.retire(c)
	p.mu.Unlock()
	p.expire(c)
}

// release is for an exchange that is over; it reports whether the connection is
// kept.
func (p *pool) release(c *conn) bool {
	keep := p.engine.config.KeepAlive
	crowded := p.slots.Crowded()
	p.mu.Lock()
	c.refs--
	if c.refs > 0 {
		defer p.mu.Unlock()
		return !c.draining && !c.dead()
	}
	if !c.reserved && (keep < 0 || crowded) || p.closed || c.draining || c.dead() {
		p.retire(c)
		p.mu.Unlock()
		c.conn.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
		return false
	}
	c.idle = time.Now()
	if c.reserved {
		keep = reservation
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(keep, func() { p.timeUp(c) })
	} else {
		c.timer.Reset(keep)
	}
	p.mu.Unlock()
	return true
}

// timeUp ends c's reservation, or closes it.
func (p *pool) timeUp(c *conn) {
	crowded := p.slots.Crowded()
	p.mu.Lock()
	left := p.engine.config.KeepAlive - reservation
	if c.reserved && c.refs == 0 && !crowded && left > 0 {
		c.reserved = false
		c.timer.Reset(left)
		p.mu.Unlock()
		return
	}
	c.reserved = false
	p.mu.Unlock()
	p.expire(c)
}

// expire closes c if it is idle.
func (p *pool) expire(c *conn) {
	p.mu.Lock()
	if c.refs > 0 {
		p.mu.Unlock()
		return
	}
	p.retire(c)
	p.mu.Unlock()
	c.conn.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
}

// makeRoom closes the connection that has been idle for longest.
func (p *pool) makeRoom() {
	p.mu.Lock()
	var oldest *conn
	for c := range p.open {
		if c.refs == 0 && !c.reserved && (oldest == nil || c.idle.Before(oldest.idle)) {
			oldest = c
		}
	}
	p.mu.Unlock()
	if oldest != nil {
		p.expire(oldest)
	}
}

func (p *pool) closeIdle() {
	p.mu.Lock()
	var idle []*conn
	for c := range p.open {
		if c.refs == 0 {
			p.retire(c)
			idle = append(idle, c)
		}
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.conn.CloseWithError(quic.ApplicationErrorCode(h3.ErrCodeNoError), "")
	}
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, c := range p.conns {
		p.retire(c)
	}
	p.mu.Unlock()
	p.closeIdle()
}

func (p *pool) has(to target) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conns[to]
	return c != nil && !c.dead()
}

func (p *pool) lastGood(to target) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	addr, ok := p.good[to]
	return addr, ok
}
