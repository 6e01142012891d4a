// Package dial leads from a request to a ready connection: DNS, happy eyeballs,
// proxies, unix sockets and TLS.
//
// A [Dialer] first works out the [Route] of a request, which is what connections
// are pooled by, and then makes connections for routes, in these steps, each of
// which is left out where the route does not need it:
//
//  1. look up the host (the origin's, or the proxy's),
//  2. connect to its addresses, in turn and with a head start for the earlier
//     ones (RFC 8305), or to a unix socket,
//  3. TLS with an https proxy,
//  4. CONNECT or a SOCKS request for the origin,
//  5. TLS with the origin.
//
// The end of the context closes whatever is open at that moment.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/envproxy"
)

// Dialer makes connections. Its fields are set before the first use and not
// changed after it; it is then safe for concurrent use. Its zero value is ready
// to use. A Dialer must not be copied.
type Dialer struct {
	// Engine is the engine's name, for *[engine.UnsupportedError].
	Engine string

	// TLS configures TLS; nil = crypto/tls's defaults. Each connection gets a
	// clone. Sessions are resumed: a cache is added unless there is one. Its
	// ServerName holds for origins, not for https proxies.
	TLS *tls.Config
	// Sessions is the cache that is added; nil = one of the Dialer's own. Dialers
	// that differ in NextProtos alone share it.
	Sessions tls.ClientSessionCache

	// NextProtos are offered by ALPN; nil = http/1.1 only.
	NextProtos []string

	// Proxy chooses a proxy; nil = by the environment, read once.
	Proxy engine.ProxyFunc

	// Tunnel asks http proxies for a tunnel to http origins too, which they would
	// else forward requests to: for what is not HTTP/1.1.
	Tunnel bool

	// Dial opens connections in place of net.Dialer. It gets host:port as in the
	// route unless Resolve or Hosts say where that is. Control, LocalAddr,
	// KeepAlive and Delay are then its own affair.
	Dial engine.DialFunc

	// Resolve looks up host names; nil = net.DefaultResolver.
	Resolve engine.ResolveFunc

	// Control runs on each socket before it connects; its error refuses the
	// connection, for good: there is no further attempt.
	Control func(ctx context.Context, network, address string, c syscall.RawConn) error

	// Go starts goroutines; nil = the go statement.
	Go func(func())

	// Attempts is how often to try to connect; 0 = once. An attempt tries all
	// addresses; what is tried again is a failed TCP connection, after a pause
	// of FallbackDelay.
	Attempts int

	// AttemptTimeout bounds one attempt but the last; 0 = the connect timeout
	// divided by Attempts.
	AttemptTimeout time.Duration

	// FallbackDelay is the head start of an address before the next one;
	// 0 = 250 ms (RFC 8305 §5).
	FallbackDelay time.Duration

	// LocalAddr is the address to bind to; zero = any.
	LocalAddr netip.Addr

	// Hosts overrides where a "host:port" or a "host" is: at an "address:port"
	// or an "address" (a name is looked up in turn). Keys are as [CanonicalHosts]
	// makes them. What a proxy looks up is not affected.
	Hosts map[string]string

	// KeepAlive configures the probes of TCP connections; zero = after 15 s, every
	// 15 s, 9 times, as net.Dialer does. Without Enable but with another field set
	// there are none.
	KeepAlive net.KeepAliveConfig

	// Delay lets the system hold back small writes until earlier ones are
	// acknowledged (Nagle's algorithm: TCP_NODELAY is off).
	Delay bool

	once struct {
		proxy, sessions sync.Once
	}
	environment engine.ProxyFunc
	sessions    tls.ClientSessionCache
}

// Conn is a connection, and what an engine must know of it.
type Conn struct {
	net.Conn              // *socket.Conn, *net.TCPConn, *net.UnixConn, *tls.Conn or what Dial returned
	Info     *engine.Conn // immutable
	Proto    string       // the result of ALPN; "" = none: HTTP/1.1
	Forward  bool         // a plain HTTP proxy: it wants the absolute-form and ProxyAuthorization
	// ProxyAuthorization is the value of the Proxy-Authorization field to send
	// if Forward is set; "" = none.
	ProxyAuthorization string
}

// defaultDelay is the Connection Attempt Delay that RFC 8305 §5 recommends.
const defaultDelay = 250 * time.Millisecond

// noSockets: there the net package has only sockets within the process.
const noSockets = runtime.GOOS == "js" || runtime.GOOS == "wasip1"

// Connect makes a ready connection for route; the caller closes it.
//
// timeout covers all of it and is reported as *[engine.TimeoutError] of kind
// connect; if it is not Limited there is none. ctx's end aborts at once. trace
// may be nil; its hooks are called by the caller's goroutine, and none after
// Connect has returned. Errors are an *[engine.OpError] with Op dns, connect,
// proxy or tls, or an *[engine.UnsupportedError] where there are no sockets. What
// is the proxy's fault is an *[engine.ProxyError] in it.
//
// A panic of a hook, or of what checks a certificate, is the caller's; nothing is
// left open. One of Dial, Resolve or Control, which run in other goroutines, is an
// error.
func (d *Dialer) Connect(ctx context.Context, route Route, timeout time.Duration, trace *engine.Trace) (*Conn, error) {
	if noSockets && d.Dial == nil {
		return nil, &engine.UnsupportedError{
			Engine: d.Engine, Capability: engine.HTTP1,
			Detail: "there are no sockets on " + runtime.GOOS + ": set a custom dialer",
		}
	}
	if trace == nil {
		trace = noTrace
	}
	ctx, cancel := context.WithCancelCause(undated{ctx})
	defer cancel(nil)
	if engine.Limited(timeout) {
		timer := time.AfterFunc(timeout, func() {
			cancel(&engine.TimeoutError{Kind: engine.KindConnect, Limit: timeout})
		})
		defer timer.Stop()
	} else {
		timeout = 0
	}
	j := &job{Dialer: d, trace: trace, timeout: timeout}
	defer j.abandon()
	c, err := j.connect(ctx, route)
	if err == nil {
		j.open = nil
	}
	return c, err
}

// Overdue returns err, an error of Connect, with the limit that was reached in
// place of its cause: the timeout was what another limit had left.
func Overdue(err, limit error) error {
	op := engine.OpConnect
	if e, ok := errors.AsType[*engine.OpError](err); ok {
		op = e.Op
	}
	if p, ok := errors.AsType[*engine.ProxyError](err); ok {
		limit = &engine.ProxyError{Proxy: p.Proxy, Err: limit}
	}
	return &engine.OpError{Op: op, Err: limit}
}

// Blame makes err, an *[engine.OpError] that ended somebody's wait for a connection
// which another makes to r, the fault of r's proxy, as Connect does: if there is one,
// and the wait was not cancelled, by ctx.
func (r Route) Blame(ctx context.Context, err error) error {
	p, bad := r.proxy()
	if bad != nil || p == nil {
		return err
	}
	return p.blame(ctx, err)
}

// undated hides the deadline of a context. net would turn it into a deadline of
// the socket, whose error may come before the context has ended, and so before
// anybody can tell whose limit it was.
type undated struct{ context.Context }

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// AfterFunc lets package context hang others on it without a goroutine.
func (u undated) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(u.Context, f) }

var noTrace = &engine.Trace{}

// job is one call of Connect.
type job struct {
	*Dialer
	trace   *engine.Trace
	timeout time.Duration // 0 = none
	open    net.Conn      // the socket that is not handed out yet
}

// abandon closes what is open. A panic may be on its way.
func (j *job) abandon() {
	if j.open != nil {
		j.open.Close()
		j.open = nil
	}
}

func (j *job) connect(ctx context.Context, route Route) (*Conn, error) {
	proxy, err := route.proxy()
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	switch {
	case route.Unix != "":
		conn, err = j.dial(ctx, "unix", &places{known: []string{route.Unix}})
	case proxy == nil:
		conn, err = j.tcp(ctx, route.Addr)
	case route.Forwards():
		conn, err = j.reach(ctx, proxy)
	default:
		conn, err = j.through(ctx, proxy, route.Addr)
	}
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: conn, Info: &engine.Conn{Local: conn.LocalAddr(), Remote: conn.RemoteAddr()}}
	if proxy != nil {
		c.Info.Proxy = proxy.public()
		if c.Forward = route.Forwards(); c.Forward {
			c.ProxyAuthorization = proxy.authorization()
		}
	}
	if route.TLS {
		secure, err := j.secure(ctx, conn, j.originTLS(route.Addr))
		if err != nil {
			return nil, err
		}
		state := secure.ConnectionState()
		c.Conn, c.Info.TLS, c.Proto = secure, &state, state.NegotiatedProtocol
	}
	return c, nil
}

// start runs f in another goroutine.
func (d *Dialer) start(f func()) {
	if d.Go != nil {
		d.Go(f)
		return
	}
	go f()
}

// errExited is the error for code that called runtime.Goexit, as
// testing.T.FailNow does.
var errExited = errors.New("the custom resolver or dialer ended its goroutine (runtime.Goexit)")

func (d *Dialer) delay() time.Duration {
	if d.FallbackDelay > 0 {
		return d.FallbackDelay
	}
	return defaultDelay
}

// proxyFunc returns the dialer's own choice of proxies.
func (d *Dialer) proxyFunc() engine.ProxyFunc {
	if d.Proxy != nil {
		return d.Proxy
	}
	d.once.proxy.Do(func() { d.environment = envproxy.Read() })
	return d.environment
}

// opError wraps err in the phase in which it arose. If ctx has ended, that is
// what made err, and all that is of interest.
func opError(ctx context.Context, op engine.Op, err error) error {
	if ended := ctxerr.Of(ctx); ended != nil {
		err = ended
	}
	if e, ok := errors.AsType[*engine.OpError](err); ok {
		return e
	}
	return &engine.OpError{Op: op, Err: err}
}
