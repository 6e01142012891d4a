package enginetest

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/godwit-go/godwit/engine"
)

var _ engine.AbortContext = (*abortContext)(nil)

// abortContext is a context of the kind that the client gives to engines.
type abortContext struct {
	context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex // guards what follows
	next     uint64
	aborters map[uint64]engine.Aborter
}

func newAbortContext(parent context.Context) *abortContext {
	c := &abortContext{aborters: make(map[uint64]engine.Aborter)}
	c.Context, c.cancel = context.WithCancelCause(parent)
	return c
}

func (c *abortContext) AddAborter(a engine.Aborter) uint64 {
	c.mu.Lock()
	ended := c.Err() != nil
	c.next++
	token := c.next
	if !ended {
		c.aborters[token] = a
	}
	c.mu.Unlock()
	if ended {
		a.Abort(context.Cause(c))
	}
	return token
}

func (c *abortContext) RemoveAborter(token uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.aborters[token]
	delete(c.aborters, token)
	return ok
}

// abort ends the context and calls the aborters.
func (c *abortContext) abort(cause error) {
	c.mu.Lock()
	c.cancel(cause)
	aborters := c.aborters
	c.aborters = make(map[uint64]engine.Aborter)
	c.mu.Unlock()
	for _, a := range aborters {
		a.Abort(cause)
	}
}

func (c *abortContext) registered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.aborters)
}

// cancelAbortContext runs the client's kind of context through an ordinary
// exchange and through cancellation before the head and in the body.
func cancelAbortContext(t *T) {
	e := t.engine()
	ok := t.respond("ok")
	ctx := newAbortContext(t.ctx)
	defer ctx.cancel(nil)
	for range 3 {
		resp, err := t.executeIn(ctx, e, t.request("GET", ok.URL))
		if err != nil {
			t.Fatal(err)
		}
		t.read(resp)
	}
	if n := ctx.registered(); n != 0 {
		t.Errorf("%d aborters are left after the exchanges", n)
	}
	if n := ok.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	for _, answer := range []string{"", halfBody} {
		t.abortIn(e, answer)
	}
}

func (t *T) abortIn(e engine.Engine, answer string) {
	t.Helper()
	arrived := make(chan struct{}, 1)
	s := t.script(func(c *conn) { c.request(); c.write(answer); arrived <- struct{}{}; c.untilClosed() })
	ctx := newAbortContext(t.ctx)
	defer ctx.cancel(nil)
	done := make(chan error, 1)
	go func() {
		resp, err := t.executeIn(ctx, e, t.request("GET", s.URL))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		done <- err
	}()
	within(t, "the request", arrived)
	cause := errors.New("aborted by the test")
	ctx.abort(cause)
	err := within(t, "Execute after abort", done)
	if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the cause or context.Canceled", err)
	}
	t.wantOp(err, engine.OpReceive)
	s.WaitClosed(t)
}
