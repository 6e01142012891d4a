package nethttp

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/expiry"
	"github.com/godwit-go/godwit/internal/h1"
)

// exchange is one call of Execute and the response that it made. It travels in
// the request's context, so that the hooks of the transport find it.
type exchange struct {
	engine *Engine
	req    *engine.Request
	ctx    context.Context
	cancel context.CancelCauseFunc
	timers expiry.Timers

	expects bool // the request says "Expect: 100-continue"
	empty   bool // the request's body says that it has no bytes
	sent    atomic.Bool

	traceMu sync.Mutex // serialises the caller's hooks; guards silent
	silent  bool       // the exchange is over

	mu        sync.Mutex // guards what follows; taken before traceMu, never after it
	op        engine.Op
	proxy     *url.URL        // of the attempt, without credentials; nil = none
	overTLS   bool            // the attempt's URL is https
	fault     *engine.OpError // of a panic that was caught
	uploads   []*upload
	dials     []*dialling
	awaited   *dialling // the attempt's own, until connected; nil = none
	entered   bool      // holds a place in engine.concurrent
	over      bool
	asked     bool     // for a connection, in this attempt
	conn      net.Conn // as net/http uses it
	final     bool     // a response that is no 1xx has begun
	continued bool     // 100 Continue has come
	interim   int      // 1xx responses
	own       *conn    // what is under it, if the exchange has it for itself
	connected bool
	reused    bool
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func newExchange(ctx context.Context, e *Engine, req *engine.Request) *exchange {
	x := &exchange{engine: e, req: req, op: engine.OpPool}
	e.live.begin()
	if req.Body != nil && strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		x.expects = true
	}
	merged, cancel := context.WithCancelCause(ctx)
	x.cancel = cancel
	x.ctx = context.WithValue(merged, exchangeKey{}, x)
	x.timers.Init(req, req.Timeouts.Or(e.config.Timeouts), cancel, x.lastActive)
	return x
}

func (x *exchange) execute() (*engine.Response, error) {
	if err := x.ctx.Err(); err != nil {
		return nil, err
	}
	if err := x.enter(); err != nil {
		return nil, err
	}
	r, err := x.request()
	if err != nil {
		return nil, err
	}
	if err := x.openBody(); err != nil {
		return nil, err
	}
	if !x.engine.capabilities.Has(engine.ConnectionInfo) {
		x.timers.Stop(engine.KindPool) // an unknown RoundTripper does not tell when it has its connection
	}
	resp, err := complete(x.engine.chain.RoundTrip(r))
	x.timers.Head()
	if err != nil {
		return nil, err
	}
	if x.ctx.Err() != nil { // a hook or a limit ended it at the same moment
		resp.Body.Close()
		return nil, context.Cause(x.ctx)
	}
	return x.response(resp)
}

// enter waits for a place among the concurrent exchanges.
func (x *exchange) enter() error {
	x.timers.Start(engine.KindPool)
	if !x.engine.concurrent.Enter(x.ctx.Done()) {
		if err := context.Cause(x.ctx); err != nil {
			return err
		}
		return &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entered = true
	return nil
}

// lastActive returns when a byte has moved on the exchange's own connection, if
// it has one for itself.
func (x *exchange) lastActive() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.own == nil {
		return time.Time{}
	}
	return x.own.lastActive()
}

func (x *exchange) setOp(op engine.Op) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.op = op
}

func (x *exchange) currentOp() engine.Op {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.op
}

// refused reports whether the server has answered a request whose body waits for
// 100 Continue.
func (x *exchange) refused() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.expects && x.final && !x.continued
}

// takes notes the proxy of the attempt, nil if it has none, and whether its
// origin speaks TLS.
func (x *exchange) takes(proxy *url.URL, secure bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.proxy, x.overTLS = nil, secure
	if proxy != nil {
		x.proxy = &url.URL{Scheme: proxy.Scheme, Host: proxy.Host}
	}
}

// finish gives back all that the exchange holds, once.
func (x *exchange) finish() {
	x.mu.Lock()
	if x.over {
		x.mu.Unlock()
		return
	}
	x.over = true
	uploads, entered := x.uploads, x.entered
	x.mu.Unlock()
	x.timers.End()
	x.endDials(nil)
	x.traceMu.Lock()
	x.silent = true
	x.traceMu.Unlock()
	x.cancel(nil)
	for _, u := range uploads {
		u.Stop()
	}
	if entered {
		x.engine.concurrent.Leave()
	}
	if x.engine.closed.Load() {
		x.engine.closeIdle()
	} else {
		x.engine.makeRoom()
	}
	x.engine.live.end()
}

// response makes the engine's response of net/http's.
func (x *exchange) response(resp *http.Response) (*engine.Response, error) {
	limit := or(x.engine.config.MaxHeaderFields, defaultHeaderFields)
	if n := count(resp.Header); n > limit {
		resp.Body.Close()
		return nil, tooManyFields(n, limit)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		switch to := resp.Header.Get("Upgrade"); {
		case x.req.Protocol == "":
			resp.Body.Close()
			return nil, &engine.ProtocolError{Reason: "101 without a request to upgrade", Section: "RFC 9110 §15.2.2"}
		case !h1.ListHas(strings.Join(resp.Header.Values("Upgrade"), ","), x.req.Protocol):
			resp.Body.Close()
			return nil, &engine.ProtocolError{
				Reason: "101 Switching Protocols to what was not asked for: Upgrade: " + strconv.Quote(to), Section: "RFC 9110 §7.8"}
		}
	}
	out := &engine.Response{
		Status: resp.StatusCode, Reason: reason(resp), Proto: or(resp.Proto, "HTTP/1.1"), Header: fromHTTP(resp),
		ContentLength: length(resp, x.req.Method),
	}
	x.mu.Lock()
	out.Reused = x.reused
	if x.conn != nil {
		out.Conn = &engine.Conn{Local: x.conn.LocalAddr(), Remote: x.conn.RemoteAddr(), TLS: resp.TLS, Proxy: x.proxy}
	}
	x.op = engine.OpReceive
	x.mu.Unlock()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return x.upgraded(out, resp)
	}
	b := &body{x: x, resp: resp}
	out.Body = b
	out.Trailer = b.trailer
	if resp.Body == http.NoBody {
		b.ended.Store(true)
		x.finish()
	}
	return out, nil
}
