package nethttp

import (
	"context"
	"net"
	"net/http"
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
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when the dial is
	err    error         // why there is no connection; set when over is closed

	mu        sync.Mutex // guards what follows
	conn      *conn
	handshake bool // TLS with the origin, by net/http, is still to come
	givenUp   bool
}

// handshakeGrace is how long a TLS handshake that nobody waits for may go on.
const handshakeGrace = time.Second

// giveUp ends a dial on its way. A connection that is complete stays: net/http
// may have given it to another exchange at this very moment. It may do so too
// before it tells that a handshake is done, so one that runs is not broken off
// but must end soon. cause becomes the dial's error; nil = context.Canceled.
func (d *dialling) giveUp(cause error) {
	d.cancel(cause)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil && d.handshake && !d.givenUp {
		d.conn.hurry()
	}
	d.givenUp = true
}

// giveUpDials ends the dials that the exchange needs no more, and returns them.
func (x *exchange) giveUpDials(cause error) []*dialling {
	x.mu.Lock()
	dials := x.dials // they stay: a handshake that ends now is still to be noted
	x.mu.Unlock()
	for _, d := range dials {
		d.giveUp(cause)
	}
	return dials
}

// endDials gives the dials up and waits for them, so that their last hooks are
// called before the exchange is over. It returns the error of the one that the
// attempt was waiting for, nil if there was none.
func (x *exchange) endDials(cause error) error {
	x.mu.Lock()
	awaited := x.awaited
	if x.connected {
		awaited = nil
	}
	x.mu.Unlock()
	for _, d := range x.giveUpDials(cause) {
		<-d.over
	}
	if awaited == nil {
		return nil
	}
	return awaited.err
}

// conn counts towards the engine's connections until it is closed.
type conn struct {
	net.Conn
	engine    *Engine
	transport *http.Transport
	leave     func()      // gives its slots back
	upgraded  atomic.Bool // it belongs to whoever asked for the upgrade
	made      time.Time
	active    atomic.Int64 // when the last byte moved, in time since made
	closed    sync.Once

	ready   atomic.Bool // its handshake is done
	hurryMu sync.Mutex  // guards hurried, and the deadline of a handshake
	hurried bool
}

// hurry bounds the handshake that is under way.
func (c *conn) hurry() {
	c.hurryMu.Lock()
	defer c.hurryMu.Unlock()
	if !c.ready.Load() {
		c.hurried = true
		c.SetDeadline(time.Now().Add(handshakeGrace))
	}
}

// settled: the handshake is done, and its bound is lifted.
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

// dialContext returns the DialContext of a transport.
func (e *Engine) dialContext(to special, t *http.Transport) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (_ net.Conn, err error) {
		x := exchangeOf(ctx)
		lost := x == nil // by an interceptor that put another context in
		if lost {
			x = newExchange(ctx, e, &engine.Request{})
			defer x.finish()
		}
		secure := x.secure()
		ctx, cancel := context.WithCancelCause(ctx)
		d := &dialling{cancel: cancel, over: make(chan struct{}), handshake: secure}
		if !x.addDial(d) {
			cancel(nil)
			return nil, context.Canceled
		}
		defer func() {
			d.err = err
			close(d.over)
		}()
		route := dial.Route{TLS: secure, Addr: addr, Unix: to.unix, Proxy: to.proxy}
		leave := e.slot(ctx, route)
		if leave == nil {
			return nil, &engine.OpError{Op: engine.OpPool, Err: context.Canceled}
		}
		route.TLS, route.Tunnel = false, !to.forward // the origin's TLS is net/http's
		x.dialStarts()
		c, err := e.dialer.Connect(ctx, route, 0, x.dialTrace())
		if err != nil {
			leave()
			return nil, err
		}
		made := &conn{Conn: c.Conn, engine: e, transport: t, leave: leave, made: time.Now()}
		made.ready.Store(lost)
		if !e.live.add(made) {
			made.Close()
			return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
		}
		return d.done(made, x)
	}
}

// slot waits for a place for one more connection; nil = ctx ended before.
func (e *Engine) slot(ctx context.Context, route dial.Route) (leave func()) {
	inRoute := e.routes.enter(route, ctx.Done())
	if inRoute == nil {
		return nil
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
	case givenUp && d.handshake:
		c.Close()
		return nil, &engine.OpError{Op: engine.OpConnect, Err: context.Canceled}
	}
	return c, nil
}

// addDial notes d and reports whether x still wants it.
func (x *exchange) addDial(d *dialling) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.dials, x.awaited = append(x.dials, d), d
	return true
}

// dialStarts: the wait in the pool is over.
func (x *exchange) dialStarts() {
	x.timers.Stop(engine.KindPool)
	x.setOp(engine.OpConnect)
	x.timers.Start(engine.KindConnect)
}

// secure reports whether TLS with the origin follows on a connection.
func (x *exchange) secure() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.overTLS
}

// secured: the TLS handshake with the origin is done.
func (x *exchange) secured() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.dials) == 0 {
		return
	}
	d := x.dials[len(x.dials)-1] // those before it have failed
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handshake = false
	if d.conn != nil { // an earlier dial may end after a later one has begun
		d.conn.settled()
	}
}
