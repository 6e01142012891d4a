package godwit

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// Call is one use of the client, from Do, Stream, Open or a typed call to the
// end of the response's body: over all redirects, retries and logins. It is
// safe for concurrent use.
type Call struct {
	client *Client
	ctx    callContext

	originHost string // of Origin, as originTLS is

	// parent is the call that this one is a fork of, or nil.
	parent *Call
	sends  atomic.Int32 // real ones
	passes atomic.Int32 // through the guard, which caches may answer
	attrs  attr.Shared

	prev, next *Call // in the client's list; guarded by its mutex

	last atomic.Pointer[Request]  // the one sent last
	head atomic.Pointer[baseBody] // what this branch received last, closed or not

	// The mutex of ctx guards what follows.
	rare   *rare
	err    error
	ended  bool
	halted bool // the deadline: see callContext.halt
	// ofAttempt says that the deadline of ctx is an attempt's, not the call's.
	ofAttempt bool

	mode mode
	// attempted says that attemptEnd was set; it is for the call's goroutine.
	attempted bool
	originTLS bool

	request  Request        // the working copy
	response Response       // of buffered calls
	base     baseBody       // of buffered calls
	wire     engine.Request // of the first send
}

// rare is what few calls have.
type rare struct {
	history    []Hop
	attemptEnd deadline
	watch      *stopwatch
	aborters   []registration // beside the context's slot
}

// unusual returns the call's rare, made on first use. c.ctx.mu is held.
func (c *Call) unusual() *rare {
	if c.rare == nil {
		c.rare = new(rare)
	}
	return c.rare
}

// mode says how the caller wants the body.
type mode int8

const (
	buffered  mode = iota // Do and the typed calls: saved before it is returned
	scoped                // Stream: closed by us
	open                  // Open: closed by the caller
	transport             // RoundTrip: closed by the caller, Send pipeline only
)

// deadline is a moment and the duration that it came from.
type deadline struct {
	at    time.Time
	limit time.Duration
}

// Hop is a redirect that a call followed.
type Hop struct {
	Method string
	// URL is the one that answered with the redirect, without user info.
	URL    string
	Status Status
	Header header.Header
}

// Context returns the call's context: it ends when the caller's does, when the
// deadline of the call is reached, on Cancel, and when the call ends. It is the
// one that interceptors and engines get.
func (c *Call) Context() context.Context { return &c.ctx }

// Client returns the client.
func (c *Call) Client() *Client { return c.client }

// Attributes returns the call's attributes, which are safe for concurrent use.
// At the start they are those of the request and the client.
func (c *Call) Attributes() *attr.Shared { return &c.attrs }

// Buffered reports whether the body is saved before the caller gets the
// response; if so, interceptors may use [Response.Save].
func (c *Call) Buffered() bool { return c.mode == buffered }

// Stateless reports whether the call came in by [Client.RoundTrip]: phases
// SendFollow and SendState have no part in it.
func (c *Call) Stateless() bool { return c.mode == transport }

// Sends returns the number of requests sent so far.
func (c *Call) Sends() int { return int(c.root().sends.Load()) }

// SendsLeft returns how often the call may still send req, redirects and
// attempts counted together: see [MaxSends].
func (c *Call) SendsLeft(req *Request) int {
	root := c.root()
	return max(0, c.client.builtin.maxSends.For(req)-int(max(root.passes.Load(), root.sends.Load())))
}

// History returns the redirects that were followed, oldest first.
func (c *Call) History() []Hop {
	c = c.root()
	c.ctx.mu.Lock()
	defer c.ctx.mu.Unlock()
	if c.rare == nil {
		return nil
	}
	return append([]Hop(nil), c.rare.history...)
}

// note adds to the history.
func (c *Call) note(h Hop) {
	c.ctx.mu.Lock()
	defer c.ctx.mu.Unlock()
	r := c.unusual()
	r.history = append(r.history, h)
}

// WireHeader returns the fields of the last response as they were received,
// before content decoding removed some.
func (c *Call) WireHeader() header.Header {
	if b := c.head.Load(); b != nil {
		return b.answer.Header.View()
	}
	return header.Header{}
}

// Done returns a channel that is closed when the call has ended: when it
// failed, or when the response's body was read to its end or closed.
func (c *Call) Done() <-chan struct{} { return c.ctx.Done() }

// Err returns the error that the call ended with; nil while it runs and if it
// succeeded. A typed call whose body could not be decoded has failed.
func (c *Call) Err() error {
	c.ctx.mu.Lock()
	defer c.ctx.mu.Unlock()
	return c.err
}

// Cancel ends the call at once; what waits for it gets context.Canceled.
func (c *Call) Cancel() { c.ctx.end(context.Canceled) }

// Origin returns the scheme and the host, with the port if it has one, of the URL
// that the call was for when it began to send: redirects, repetitions and load
// balancers have no part in it. Before that they are "".
func (c *Call) Origin() (scheme, host string) {
	root := c.root()
	switch {
	case root.originHost == "":
		return "", ""
	case root.originTLS:
		return "https", root.originHost
	}
	return "http", root.originHost
}

// setOrigin keeps what u says now: interceptors may change it in place.
func (c *Call) setOrigin(u *url.URL) {
	if u != nil {
		c.originHost, c.originTLS = u.Host, u.Scheme == "https"
	}
}

// Fork starts a branch of the call for sends that run beside others: hedging,
// revalidation in the background. ctx is the call's context, or
// context.WithoutCancel of it for a branch that outlives the call. The branch
// counts its sends with the call, is waited for by [Client.Join] and ended by
// [Client.Cancel]; send with next(fork.Context(), req). Whoever forks calls
// [Call.End] on each fork, or lets the winner's response do it (OnClose).
func (c *Call) Fork(ctx context.Context) (*Call, error) {
	fork := &Call{client: c.client, mode: c.mode, parent: c.root()}
	fork.attrs = attr.Shared{}
	snapshot := c.attrs.Snapshot()
	fork.attrs.Replace(snapshot)
	fork.ctx.init(ctx, fork)
	if err := c.client.state.begin(fork, true); err != nil {
		return nil, err
	}
	fork.ctx.watch()
	return fork, nil
}

// End ends a fork: it aborts what is still being sent and closes the response
// that is still open. Ending twice is harmless.
func (c *Call) End() {
	c.closeOpen()
	c.finish(nil)
}

func (c *Call) root() *Call {
	if c.parent != nil {
		return c.parent
	}
	return c
}

// CallFrom returns the call that ctx belongs to, or nil: in an interceptor, a
// listener, an error handler.
func CallFrom(ctx context.Context) *Call {
	if cc, ok := ctx.(*callContext); ok {
		return cc.call
	}
	call, _ := ctx.Value(callKey{}).(*Call)
	return call
}

// finish ends the call with its outcome, once.
func (c *Call) finish(err error) {
	c.ctx.mu.Lock()
	if c.ended {
		c.ctx.mu.Unlock()
		return
	}
	if err == nil {
		err = c.ctx.cause // forced from outside
	}
	c.ended, c.err = true, err
	c.ctx.endAndUnlock(errOver)
	c.client.state.end(c)
}

// errOver is why the context of a call has ended that nobody ended.
var errOver = fmt.Errorf("the call is over: %w", context.Canceled)

// decodeFailed notes the failure of a call that had ended well.
func (c *Call) decodeFailed(err error) {
	c.ctx.mu.Lock()
	defer c.ctx.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// closeOpen closes what an interceptor forgot: a branch holds one response.
func (c *Call) closeOpen() { c.closeOthers(nil) }

// closeOthers does so unless it is the one to be kept.
func (c *Call) closeOthers(keep *baseBody) {
	if b := c.head.Load(); b != nil && b != keep {
		b.Close()
	}
}

type callKey struct{}

// under returns ctx as one that belongs to call: for what looks at a call that is
// over, whose own context has ended.
func under(ctx context.Context, call *Call) context.Context {
	if ctx == nil || call == nil || CallFrom(ctx) == call {
		return ctx
	}
	return context.WithValue(ctx, callKey{}, call)
}
