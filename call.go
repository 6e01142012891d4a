package godwit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
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

	origin *url.URL // for the scheme and the host

	// parent is the call that this one is a fork of, or nil.
	parent *Call
	sends  atomic.Int32 // real ones
	passes atomic.Int32 // through the guard, which caches may answer
	attrs  attr.Shared

	prev, next *Call // in the client's list; guarded by its mutex

	open atomic.Pointer[baseBody] // what this branch received last and may not be closed
	last atomic.Pointer[Request]  // the one sent last
	head atomic.Pointer[baseBody] // what this branch received last

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
	return max(0, c.client.builtin.maxSends.For(req)-int(c.root().passes.Load()))
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
	u := c.root().origin
	if u == nil {
		return "", ""
	}
	return u.Scheme, u.Host
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
	if b := c.open.Load(); b != nil && b != keep && c.open.CompareAndSwap(b, nil) {
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

// callContext is the context of a call: it merges the caller's context, the
// call's deadline and Cancel. Done channel and timer are made on first use;
// engines hang their abort function in it (see [engine.AbortContext]), and
// contexts derived from it cost no goroutine (AfterFunc).
type callContext struct {
	call   *Call
	parent context.Context

	over  atomic.Bool // cause is set
	timed atomic.Bool // a deadline is set, or was

	mu       sync.Mutex          // guards what follows; never held while foreign code runs
	tie      engine.Registration // to the parent
	done     chan struct{}
	cause    error
	deadline deadline
	timer    *time.Timer
	slot     registration // further ones are among the call's rare
	token    uint64
}

type registration struct {
	token uint64
	abort engine.Aborter
}

var _ engine.AbortContext = (*callContext)(nil)

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func (c *callContext) init(parent context.Context, call *Call) {
	c.parent, c.call = parent, call
}

// watch ties the context to its parent's end.
func (c *callContext) watch() {
	if c.parent.Done() == nil {
		return
	}
	var tie engine.Registration
	if ac, ok := c.parent.(*callContext); ok {
		ac.mu.Lock()
		outer, ofAttempt := ac.deadline, ac.call.ofAttempt
		ac.mu.Unlock()
		c.shorten(outer, ofAttempt)
		tie = engine.OnAbort(ac, c)
	} else {
		tie = engine.OnAbort(c.call.client.state.contexts.Of(c.parent), callersEnd{c})
	}
	c.mu.Lock()
	c.tie = tie
	ended := c.cause != nil
	c.mu.Unlock()
	if ended {
		tie.Stop()
	}
}

// callersEnd ends the context when the caller's ends.
type callersEnd struct{ *callContext }

func (c callersEnd) Abort(error) {
	c.end(endOf(c.parent))
}

// Abort ends the context when a context it hangs on ends.
func (c *callContext) Abort(cause error) { c.end(cause) }

// setDeadline makes the context end at d. The timer is only made when
// somebody waits: engines take the deadline from the request.
func (c *callContext) setDeadline(d deadline, ofAttempt bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline, c.call.ofAttempt = d, ofAttempt
	c.timed.Store(true)
	if c.timer != nil || c.done != nil || c.slot.abort != nil {
		c.stopTimer()
		c.arm()
	}
}

// shorten brings the deadline forward to d, if that is one and earlier.
func (c *callContext) shorten(d deadline, ofAttempt bool) {
	if d.at.IsZero() {
		return
	}
	c.mu.Lock()
	earlier := c.deadline.at.IsZero() || d.at.Before(c.deadline.at)
	c.mu.Unlock()
	if earlier {
		c.setDeadline(d, ofAttempt)
	}
}

// kind says whose the deadline is; c.mu is held.
func (c *callContext) kind() engine.TimeoutKind {
	if c.call.ofAttempt {
		return engine.KindAttempt
	}
	return engine.KindRequest
}

// keepTime starts the timer, for when nobody else watches the deadline.
func (c *callContext) keepTime() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm()
}

// halt stops the deadline: the head of a long-lived stream is there, and may be
// the one that the caller gets. Deadline still tells of it, for those who think of
// sending again.
func (c *callContext) halt() {
	if !c.timed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.call.halted = true
	c.stopTimer()
}

// resume takes halt back: the response was given up, and the call goes on.
func (c *callContext) resume() {
	if !c.timed.Load() || c.over.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.goOn()
}

// goOn is resume with c.mu held.
func (c *callContext) goOn() {
	if c.call.halted {
		c.call.halted = false
		c.arm()
	}
}

// haltToo halts other if c is halted.
func (c *callContext) haltToo(other *callContext) {
	c.mu.Lock()
	halted := c.call.halted
	c.mu.Unlock()
	if halted {
		other.halt()
	}
}

// dropDeadline lifts the deadline for good: the caller gets the stream.
func (c *callContext) dropDeadline() {
	if !c.timed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline{}
	c.stopTimer()
}

func (c *callContext) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

func (c *callContext) arm() {
	if c.deadline.at.IsZero() || c.call.halted || c.timer != nil || c.cause != nil {
		return
	}
	c.timer = time.AfterFunc(time.Until(c.deadline.at), c.expire)
}

func (c *callContext) expire() {
	c.mu.Lock()
	cause := c.ended()
	if cause == nil { // halted or moved when the timer had fired
		c.mu.Unlock()
		return
	}
	c.endAndUnlock(cause)
}

// end ends the context with cause, once.
func (c *callContext) end(cause error) {
	c.mu.Lock()
	c.endAndUnlock(cause)
}

func (c *callContext) endAndUnlock(cause error) {
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	c.cause = cause
	c.over.Store(true)
	if c.done != nil {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	slot, tie := c.slot, c.tie
	c.slot = registration{}
	var more []registration
	if r := c.call.rare; r != nil {
		more, r.aborters = r.aborters, nil
	}
	c.mu.Unlock()
	tie.Stop()
	if slot.abort != nil {
		slot.abort.Abort(cause)
	}
	for _, r := range more {
		r.abort.Abort(cause)
	}
}

// AddAborter implements [engine.AbortContext].
func (c *callContext) AddAborter(a engine.Aborter) uint64 {
	c.mu.Lock()
	if cause := c.ended(); cause != nil {
		c.mu.Unlock()
		c.end(cause) // a deadline that nobody has noticed yet
		a.Abort(cause)
		return 0
	}
	c.token++
	r := registration{c.token, a}
	if c.slot.abort == nil {
		c.slot = r
	} else {
		rare := c.call.unusual()
		rare.aborters = append(rare.aborters, r)
	}
	c.mu.Unlock()
	return r.token
}

// RemoveAborter implements [engine.AbortContext].
func (c *callContext) RemoveAborter(token uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.slot.abort != nil && c.slot.token == token {
		c.slot = registration{}
		return true
	}
	rare := c.call.rare
	if rare == nil {
		return false
	}
	at := slices.IndexFunc(rare.aborters, func(r registration) bool { return r.token == token })
	if at < 0 {
		return false
	}
	rare.aborters = slices.Delete(rare.aborters, at, at+1)
	return true
}

// AfterFunc makes package context hang derived contexts on this one without a
// goroutine each.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	c.arm()
	c.mu.Unlock()
	token := c.AddAborter(afterFunc(f))
	return func() bool { return c.RemoveAborter(token) }
}

type afterFunc func()

func (f afterFunc) Abort(error) { go f() }

// ended returns the cause if the context has ended; a deadline counts when it
// is reached, timer or not. c.mu is held.
func (c *callContext) ended() error {
	if c.cause != nil {
		return c.cause
	}
	if d := c.deadline; !d.at.IsZero() && !c.call.halted && !time.Now().Before(d.at) {
		return &engine.TimeoutError{Kind: c.kind(), Limit: d.limit}
	}
	return nil
}

// Cause returns why the context ended, nil if it has not.
func (c *callContext) Cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended()
}

// forced returns what ended the context from outside, nil if it runs, if the call
// is over, or if it was only reached by its deadline unnoticed.
func (c *callContext) forced() error {
	if !c.over.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == errOver {
		return nil
	}
	return c.cause
}

// Deadline implements context.Context.
func (c *callContext) Deadline() (time.Time, bool) {
	at, ok := c.parent.Deadline()
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.deadline.at; !d.IsZero() && (!ok || d.Before(at)) {
		return d, true
	}
	return at, ok
}

// Done implements context.Context.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done
	}
	if c.cause != nil {
		return closedChannel
	}
	c.done = make(chan struct{})
	c.arm()
	return c.done
}

// Err implements context.Context.
func (c *callContext) Err() error {
	if !c.over.Load() && !c.timed.Load() {
		return nil
	}
	cause := c.Cause()
	switch {
	case cause == nil:
		return nil
	case errors.Is(cause, context.DeadlineExceeded):
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// Value implements context.Context.
func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c.call
	}
	return c.parent.Value(key)
}
