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

	turn gate // held by who connects; guards what follows
	// The wait outlives the callers, whose contexts may be shorter than it.
	lost     *live     // the connection that is to be replaced
	failures int       // in a row
	due      time.Time // of the next attempt
	end      error     // nothing more is to be hoped for
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
		return err
	case r.lost != at:
		r.lose(at, at.failure())
	}
	if r.end == nil {
		if ctx.Err() != nil {
			return err
		}
		next, err := r.connect(ctx)
		if err == nil {
			return c.replace(at, next)
		}
		if r.end == nil { // only this caller gives up
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
	if isClosed(c.again.over) { // by who may not have seen next
		next.fail(errClosed)
		return errClosed
	}
	return nil
}

// healthy is how long a connection must stand at least to count as a success
// without a message.
const healthy = 10 * time.Second

// lose notes that a connection was lost, and when to try again.
func (r *redialer) lose(at *live, err error) {
	first := r.lost == nil
	r.lost = at
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

// connect tries until it succeeds, ctx ends, or nothing more is to be hoped for;
// then it sets r.end.
func (r *redialer) connect(ctx context.Context) (*live, error) {
	lost := r.lost.registered() // the client's Cancel ends that, as long as there is no other
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	defer close(watching)
	go func() {
		select {
		case <-r.over:
			cancel(errClosed)
		case <-lost.Done():
			cancel(errCancelled)
		case <-watching:
		}
	}()
	for {
		next, err := r.attempt(ctx)
		switch {
		case err == nil:
			return next, nil
		case ctx.Err() != nil:
			err = context.Cause(ctx)
			if lost.Err() != nil && !isClosed(r.over) {
				r.end = errCancelled
			}
			return nil, err
		}
		if r.failed(err); r.end != nil {
			return nil, r.end
		}
	}
}

// attempt makes one attempt, when it is due.
func (r *redialer) attempt(ctx context.Context) (*live, error) {
	timer := time.NewTimer(time.Until(r.due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	next, _, err := open(ctx, r.client, r.url, r.opts)
	if err == nil && r.policy.Subscribe != nil {
		alone := new(Conn)
		alone.now.Store(next)
		if err = r.policy.Subscribe(ctx, alone); err != nil {
			alone.CloseNow()
			err = fmt.Errorf("websocket: subscribe: %w", err)
		}
	}
	if err == nil {
		return next, nil
	}
	if ctx.Err() != nil { // a server that is slower than the callers is not to be flooded
		r.schedule(nil)
	}
	return nil, err
}
