package websocket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/recovered"
)

type attrs = attr.Attributes

// redialer makes a Conn's connection again.
type redialer struct {
	client *godwit.Client
	url    string
	opts   []Option
	policy Reconnect

	once sync.Once
	over chan struct{} // closed with the Conn

	turn gate // held by who connects or waits for it; guards what follows
	// The wait and the attempt outlive the callers, whose contexts may be shorter.
	lost     *live     // the connection that is to be replaced
	failures int       // in a row
	due      time.Time // of the next attempt
	begun    *attempt  // nil = none
	end      error     // nothing more is to be hoped for
}

// attempt is one try to connect, in a goroutine of its own.
type attempt struct {
	since  time.Time
	cancel context.CancelCauseFunc
	done   chan struct{} // closed at the end; then err is set
	err    error         // nil = the Conn has the new connection
}

func newRedialer(client *godwit.Client, url string, opts []Option, policy Reconnect) *redialer {
	policy.Min = cmp.Or(policy.Min, 500*time.Millisecond)
	policy.Max = max(cmp.Or(policy.Max, 30*time.Second), policy.Min)
	policy.Attempts = cmp.Or(policy.Attempts, 10)
	if policy.When == nil {
		policy.When = Temporary
	}
	return &redialer{client: client, url: url, opts: opts, policy: policy, over: make(chan struct{})}
}

// close keeps a Conn from being connected again.
func (r *redialer) close() {
	if r != nil {
		r.once.Do(func() { close(r.over) })
	}
}

// writable returns the connection to write to: a new one if that is lost.
func (c *Conn) writable(ctx context.Context) (*live, error) {
	for {
		at := c.now.Load()
		err := at.ready()
		if err == nil {
			return at, nil
		}
		if err = c.restore(ctx, at, err); err != nil {
			return nil, err
		}
	}
}

// restore is called when at failed with err. It returns nil when there is
// another connection, else the error to be returned.
func (c *Conn) restore(ctx context.Context, at *live, err error) error {
	r := c.again
	if r == nil || at.failure() == nil {
		return err
	}
	if !r.turn.lock(ctx.Done(), r.over) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errClosed
	}
	defer r.turn.unlock()
	switch {
	case c.now.Load() != at:
		return nil
	case isClosed(r.over):
		return closedHere(at.failure())
	case r.lost != at:
		r.lose(at, at.failure())
	}
	if r.end == nil {
		if ctx.Err() != nil {
			return err
		}
		err := r.connect(ctx, c)
		if err == nil || r.end == nil { // if only this caller gives up
			return err
		}
	}
	at.giveUp()
	return r.end
}

// replace puts next in the place of a lost connection.
func (c *Conn) replace(lost, next *live) error {
	c.now.Store(next)
	lost.giveUp()
	var end error // by who may not have seen next, nor the attempt
	switch {
	case isClosed(c.again.over):
		end = errClosed
	case lost.registered().Err() == context.Canceled:
		end = errCancelled
	default:
		return nil
	}
	next.fail(end)
	next.giveUp()
	return end
}

// healthy is how long a connection must stand at least to count as a success
// without a message.
const healthy = 10 * time.Second

// lose notes that a connection was lost, and when to try again.
func (r *redialer) lose(at *live, err error) {
	first := r.lost == nil
	r.lost, r.begun = at, nil
	switch {
	case at.registered().Err() != nil: // Client.Cancel came after the loss
		r.end = errCancelled
	case !r.policy.When(err):
		r.end = err
	case at.heard() || time.Since(at.since) >= max(healthy, r.policy.Max):
		r.failures = 0
	case !first: // what the last attempt made came to nothing
		r.failed(err)
		return
	}
	r.schedule(nil)
}

// failed counts an attempt that failed.
func (r *redialer) failed(err error) {
	r.failures++
	switch {
	case !r.policy.When(err):
		r.end = err
	case r.failures == r.policy.Attempts:
		r.end = fmt.Errorf("websocket: gave up after %d attempts to reconnect: %w", r.failures, err)
	}
	r.schedule(err)
}

// longestRetryAfter bounds what a server may ask for.
const longestRetryAfter = time.Hour

// schedule sets the time of the next attempt.
func (r *redialer) schedule(err error) {
	wait := r.policy.Min
	for n := r.failures; n > 0 && wait < r.policy.Max; n-- {
		wait += min(wait, r.policy.Max-wait)
	}
	wait = wait/2 + rand.N(wait/2+1)
	if e, ok := errors.AsType[*HandshakeError](err); ok && (e.Response.Status == 429 || e.Response.Status == 503) {
		if after, ok := header.RetryAfter(e.Response.Header, time.Now()); ok {
			wait = max(wait, min(after, longestRetryAfter))
		}
	}
	r.due = time.Now().Add(wait)
}

// errClientClosed ends a Conn whose client was closed while it had no connection.
var errClientClosed = fmt.Errorf("websocket: the connection was lost, and is not made again: %w", godwit.ErrClientClosed)

// connect tries until it succeeds, ctx ends, or nothing more is to be hoped for;
// then it sets r.end.
func (r *redialer) connect(ctx context.Context, c *Conn) error {
	for {
		if r.begun == nil {
			if err := r.pause(ctx); err != nil {
				return err
			}
			r.begin(ctx, c)
		}
		select {
		case <-r.begun.done:
		case <-ctx.Done():
			r.begun.leave(max(patience, r.policy.Max))
			return context.Cause(ctx)
		}
		err := r.begun.err
		r.begun = nil
		switch {
		case err == nil:
			return nil
		case isClosed(r.over):
			return errClosed
		case r.lost.registered().Err() != nil: // of an attempt that this ended
			r.end = errCancelled
		default:
			r.failed(err)
		}
		if r.end != nil {
			return r.end
		}
	}
}

// pause waits until the next attempt is due.
func (r *redialer) pause(ctx context.Context) error {
	timer := time.NewTimer(time.Until(r.due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.over:
		return errClosed
	case <-r.lost.registered().Done(): // the client's Cancel ends that
		r.end = errCancelled
	case <-r.client.Closing():
		r.end = errClientClosed
	}
	return r.end
}

// begin begins an attempt. It has the values of ctx, but does not end with it: a
// server that is slower than the callers would never be reached.
func (r *redialer) begin(ctx context.Context, c *Conn) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	a := &attempt{since: time.Now(), cancel: cancel, done: make(chan struct{}), err: errExited}
	r.begun = a
	lost := r.lost
	go func() {
		defer close(a.done)
		defer cancel(nil)
		next, err := r.dial(ctx)
		switch {
		case err == nil:
			err = c.replace(lost, next)
		case context.Cause(ctx) == errTooSlow:
			err = errTooSlow
		}
		a.err = err
	}()
	go func() {
		select {
		case <-r.over:
			cancel(errClosed)
		case <-lost.registered().Done():
			cancel(errCancelled)
		case <-a.done:
		}
	}()
}

// patience is how long an attempt at least may take, once a caller did not wait for
// its end.
const patience = 30 * time.Second

var (
	errTooSlow = errors.New("websocket: an attempt to connect again took longer than its callers could wait")
	errExited  = errors.New("websocket: Reconnect.Subscribe ended its goroutine")
)

// leave is called when a caller does not wait any longer.
func (a *attempt) leave(limit time.Duration) {
	if time.Since(a.since) >= limit {
		a.cancel(errTooSlow)
	}
}

// dial opens a connection and subscribes.
func (r *redialer) dial(ctx context.Context) (*live, error) {
	next, _, err := open(ctx, r.client, r.url, r.opts)
	if err != nil || r.policy.Subscribe == nil {
		return next, err
	}
	alone := new(Conn)
	alone.now.Store(next)
	subscribed := false
	defer func() {
		if !subscribed {
			alone.CloseNow()
		}
	}()
	if err := r.subscribe(ctx, alone); err != nil {
		return nil, fmt.Errorf("websocket: subscribe: %w", err)
	}
	subscribed = true
	return next, nil
}

// subscribe makes an error of a panic, as nobody could recover it here.
func (r *redialer) subscribe(ctx context.Context, alone *Conn) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = recovered.Error("Reconnect.Subscribe", p)
		}
	}()
	if err = r.policy.Subscribe(ctx, alone); err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = &subscribeTimeout{err}
	}
	return err
}

// subscribeTimeout is the end of a time that Subscribe gave itself.
type subscribeTimeout struct{ error }

func (e *subscribeTimeout) Unwrap() error { return e.error }
