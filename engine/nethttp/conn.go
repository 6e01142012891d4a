package nethttp

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
)

// dialling is a connection that net/http makes for an exchange. net/http goes on
// with it when the exchange is over; here it ends with the exchange that asked
// for it, unless another one uses it by then.
type dialling struct {
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	conn    *conn
	steps   int // handshakes of TLS or SOCKS that are still to come
	givenUp bool
}

// handshakeGrace is how long a handshake that nobody waits for may go on.
const handshakeGrace = time.Second

// giveUp ends a dial on its way. A connection that is complete stays: net/http
// may have given it to another exchange at this very moment. It may do so too
// before it tells that a handshake is done, so one that runs is not broken off
// but must end soon.
func (d *dialling) giveUp() {
	d.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil && d.steps > 0 && !d.givenUp {
		d.conn.hurry()
	}
	d.givenUp = true
}

// giveUpDials ends the dials that the exchange needs no more.
func (x *exchange) giveUpDials() {
	x.mu.Lock()
	dials := x.dials // they stay: a handshake that ends now is still to be noted
	x.mu.Unlock()
	for _, d := range dials {
		d.giveUp()
	}
}

// conn counts towards the engine's connections until it is closed.
type conn struct {
	net.Conn
	engine   *Engine
	leave    func()      // gives its slots back
	upgraded atomic.Bool // it belongs to whoever asked for the upgrade
	made     time.Time
	active   atomic.Int64 // when the last byte moved, in time since made
	closed   sync.Once

	// bare tells that HTTP begins where the proxy's handshake ends: no hook says
	// when that is, but net/http then reads into a larger buffer.
	bare  bool
	ready atomic.Bool // its handshakes are done

	hurryMu sync.Mutex // guards hurried, and the deadline of a handshake
	hurried bool
}

// handshakeRead is more than a SOCKS handshake reads at once, and less than
// net/http's buffer.
const handshakeRead = 512

// hurry bounds the handshakes that are under way.
func (c *conn) hurry() {
	c.hurryMu.Lock()
	defer c.hurryMu.Unlock()
	if !c.ready.Load() {
		c.hurried = true
		c.SetDeadline(time.Now().Add(handshakeGrace))
	}
}

// settled: the handshakes are done, and their bound is lifted.
func (c *conn) settled() {
	if c.ready.Load() {
		return
	}
	c.hurryMu.Lock()
	defer c.hurryMu.Unlock()
	c.ready.Store(true)
	if c.hurried {
		c.hurried = false
		c.SetDeadline(time.Time{})
	}
}

func (c *conn) touch() { c.active.Store(int64(time.Since(c.made))) }

func (c *conn) lastActive() time.Time { return c.made.Add(time.Duration(c.active.Load())) }

// Read notes when bytes came.
func (c *conn) Read(p []byte) (int, error) {
	if c.bare && len(p) > handshakeRead && !c.ready.Load() {
		c.settled()
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Write notes when bytes went.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// CloseWrite is what upgraded streams need.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return net.ErrClosed
}

// Close closes the connection and makes room for another one.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closed.Do(func() {
		c.leave()
		c.engine.live.remove(c)
	})
	return err
}

// dialContext returns the DialContext of a transport; unix is the path of its
// socket, or "".
func (e *Engine) dialContext(unix string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		x := exchangeOf(ctx)
		lost := x == nil // by an interceptor that put another context in
		if lost {
			x = newExchange(ctx, e, &engine.Request{})
			defer x.finish()
		}
		ctx, cancel := context.WithCancel(ctx)
		d := &dialling{cancel: cancel, steps: x.handshakes()}
		if !x.addDial(d) {
			cancel()
			return nil, context.Canceled
		}
		leave := e.slot(ctx, x, unix+" "+addr)
		if leave == nil {
			return nil, &engine.OpError{Op: engine.OpPool, Err: context.Canceled}
		}
		x.dialStarts()
		c, err := e.dialer.Connect(ctx, dial.Route{Addr: addr, Unix: unix}, 0, x.dialTrace())
		if err != nil {
			leave()
			return nil, err
		}
		made := &conn{Conn: c.Conn, engine: e, leave: leave, made: time.Now(), bare: x.bareProxy()}
		made.ready.Store(lost)
		if !e.live.add(made) {
			made.Close()
			return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
		}
		return d.done(made, x)
	}
}

// slot waits for a place for one more connection; nil = ctx ended before. To a
// proxy many routes lead, so that only net/http can bound those.
func (e *Engine) slot(ctx context.Context, x *exchange, route string) (leave func()) {
	inRoute := func() {}
	if !x.proxied() {
		if inRoute = e.routes.enter(route, ctx.Done()); inRoute == nil {
			return nil
		}
	}
	if !e.connections.Enter(ctx.Done()) {
		inRoute()
		return nil
	}
	return func() {
		e.connections.Leave()
		inRoute()
	}
}

func (x *exchange) proxied() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.proxy != nil
}

// done hands c to net/http, unless nobody wants it any more.
func (d *dialling) done(c *conn, x *exchange) (net.Conn, error) {
	d.mu.Lock()
	d.conn = c
	givenUp := d.givenUp
	d.mu.Unlock()
	switch {
	case x.engine.closed.Load():
		c.Close()
		return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	case givenUp && d.steps > 0:
		c.Close()
		return nil, &engine.OpError{Op: engine.OpConnect, Err: context.Canceled}
	}
	x.dialEnds()
	return c, nil
}

// addDial notes d and reports whether x still wants it.
func (x *exchange) addDial(d *dialling) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.dials = append(x.dials, d)
	return true
}

// dialStarts: the wait in the pool is over.
func (x *exchange) dialStarts() {
	x.timers.Stop(engine.KindPool)
	x.setOp(engine.OpConnect)
	x.timers.Start(engine.KindConnect)
}

// bareProxy reports whether plain HTTP follows on a proxy's own handshake.
func (x *exchange) bareProxy() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.req.URL != nil && x.req.URL.Scheme == "http" && x.proxy != nil && strings.HasPrefix(x.proxy.Scheme, "socks")
}

// handshakes returns how many follow a connection's TCP handshake.
func (x *exchange) handshakes() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	if x.req.URL != nil && x.req.URL.Scheme == "https" {
		n++
	}
	if x.proxy != nil && x.proxy.Scheme != "http" {
		n++
	}
	return n
}

// secured: a TLS handshake is done, with the origin or an https proxy.
func (x *exchange) secured() {
	x.dialEnds()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.dials) == 0 {
		return
	}
	d := x.dials[len(x.dials)-1] // those before it have failed
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps--
	if x.proxy != nil && strings.HasPrefix(x.proxy.Scheme, "socks") {
		d.steps = 0
	}
	if d.steps == 0 && d.conn != nil { // an earlier dial may end after a later one has begun
		d.conn.settled()
	}
}

// dialEnds: what comes next is said by a proxy, if there is one.
func (x *exchange) dialEnds() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.proxy != nil && !x.connected {
		x.op = engine.OpProxy
	}
}
