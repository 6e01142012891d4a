package websocket

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
)

type attrs = attr.Attributes

// redialer makes a Conn's connection again.
type redialer struct {
	client *godwit.Client
	url    string
	opts   []Option
	policy Reconnect
	turn   gate // held by who connects

	once sync.Once
	over chan struct{} // closed with the Conn
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
		err := at.failure()
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
	if r == nil || at.failure() == nil || !r.policy.When(err) {
		return err
	}
	if !r.turn.lock(ctx.Done(), r.over) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errClosed
	}
	defer r.turn.unlock()
	if c.now.Load() != at {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	defer close(watching)
	go func() {
		select {
		case <-r.over:
			cancel(errClosed)
		case <-watching:
		}
	}()
	next, err := r.connect(ctx)
	if err != nil {
		return err
	}
	c.now.Store(next)
	if isClosed(r.over) {
		next.fail(errClosed)
		return errClosed
	}
	return nil
}

// connect tries until it succeeds, or nothing more is to be hoped for.
func (r *redialer) connect(ctx context.Context) (*live, error) {
	wait := r.policy.Min
	for n := 1; ; n++ {
		select {
		case <-time.After(wait/2 + rand.N(wait/2+1)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		wait = min(2*wait, r.policy.Max)
		next, err := r.attempt(ctx)
		if err == nil {
			return next, nil
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !r.policy.When(err):
			return nil, err
		case n == r.policy.Attempts:
			return nil, fmt.Errorf("websocket: gave up after %d attempts to reconnect: %w", n, err)
		}
	}
}

func (r *redialer) attempt(ctx context.Context) (*live, error) {
	next, _, err := open(ctx, r.client, r.url, r.opts)
	if err != nil || r.policy.Subscribe == nil {
		return next, err
	}
	alone := new(Conn)
	alone.now.Store(next)
	if err := r.policy.Subscribe(ctx, alone); err != nil {
		next.fail(errClosed)
		return nil, fmt.Errorf("websocket: subscribe: %w", err)
	}
	return next, nil
}
