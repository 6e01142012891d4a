package auto

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// race is a request on its way by TCP while handshakes are under way that it could
// use as well. Who has a connection first carries it.
//
// It is the context that the engine for TCP gets. As long as that has no
// connection for the request, and so has sent nothing and not opened the body, the
// context ends when a handshake is complete: the engine gives up, and only then
// the request goes by HTTP/3. Once there is a connection (Trace.GotConn, which
// comes before the first byte, or at once after it where requests are pipelined)
// the request is TCP's, and the context is the caller's and nothing else.
type race struct {
	caller    context.Context
	dialing   context.Context // the caller's child
	stop      context.CancelCauseFunc
	detach    []func() bool // from the attempts
	connected atomic.Bool
	winner    atomic.Pointer[attempt]
	over      chan *attempt // each of the attempts, when it is over; has room for all

	mu       sync.Mutex // guards aborters
	aborters []engine.Registration
}

var _ engine.AbortContext = (*race)(nil)

// errOvertaken is why a race's context ends.
var errOvertaken = errors.New("a QUIC handshake was complete first")

// newRace begins a race, or returns nil if all attempts have failed.
func newRace(ctx context.Context, attempts []*attempt) *race {
	var open []*attempt
	for _, a := range attempts {
		if !a.ended() || a.err == nil {
			open = append(open, a)
		}
	}
	if len(open) == 0 {
		return nil
	}
	r := &race{caller: ctx, over: make(chan *attempt, len(open))}
	r.dialing, r.stop = context.WithCancelCause(ctx)
	for _, a := range open {
		r.detach = append(r.detach, context.AfterFunc(a.over, func() { r.concluded(a) }))
	}
	return r
}

// concluded hears that an attempt is over.
func (r *race) concluded(a *attempt) {
	if a.err == nil && r.winner.CompareAndSwap(nil, a) {
		r.stop(errOvertaken)
	}
	r.over <- a
}

// end lets go of the attempts and the caller's context.
func (r *race) end() {
	for _, detach := range r.detach {
		detach()
	}
	r.stop(nil)
}

// entry returns req with an eye on when it gets its connection.
func (r *race) entry(req *engine.Request) *engine.Request {
	entry, trace := *req, engine.Trace{}
	if req.Trace != nil {
		trace = *req.Trace
	}
	gotConn := trace.GotConn
	trace.GotConn = func(c engine.GotConn) {
		r.connected.Store(true)
		if gotConn != nil {
			gotConn(c)
		}
	}
	entry.Trace = &trace
	return &entry
}

func (r *race) context() context.Context {
	if r.connected.Load() {
		return r.caller
	}
	return r.dialing
}

// Deadline implements [context.Context].
func (r *race) Deadline() (time.Time, bool) { return r.caller.Deadline() }

// Done implements [context.Context]: it is another channel once there is a
// connection.
func (r *race) Done() <-chan struct{} { return r.context().Done() }

// Err implements [context.Context].
func (r *race) Err() error { return r.context().Err() }

// Value implements [context.Context].
func (r *race) Value(key any) any { return r.context().Value(key) }

// AddAborter implements [engine.AbortContext]: what is to be broken early is a
// connection, so that only the caller's end matters.
func (r *race) AddAborter(a engine.Aborter) uint64 {
	if r.caller.Err() != nil {
		a.Abort(context.Cause(r.caller))
		return 0
	}
	registration := engine.OnAbort(r.caller, a)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aborters = append(r.aborters, registration)
	return uint64(len(r.aborters))
}

// RemoveAborter implements [engine.AbortContext].
func (r *race) RemoveAborter(token uint64) bool {
	if token == 0 {
		return false
	}
	r.mu.Lock()
	registration := r.aborters[token-1]
	r.mu.Unlock()
	return registration.Stop()
}

// outcome is for a race in which TCP has failed with err: it returns the attempt
// that the request is to go by, and why, or else what the request ends with. If TCP
// could not connect, that may take as long as req may take to connect.
func (e *Engine) outcome(r *race, req *engine.Request, begun time.Time, err error) (*attempt, Reason, error) {
	o, ok := errors.AsType[*engine.OpError](err)
	if !ok || o.Sent || errors.Is(err, r.caller.Err()) {
		return nil, "", err
	}
	if r.caller.Err() != nil {
		return nil, "", ended(r.caller)
	}
	if r.connected.Load() && req.Body != nil && !req.Body.Replayable() {
		return nil, "", err // it may have been opened
	}
	if a := r.winner.Load(); a != nil && !r.connected.Load() {
		return a, Overtook, nil
	}
	if !connecting(o.Op) {
		return nil, "", err
	}
	wait := time.Duration(math.MaxInt64) // the handshake has its own limit
	if limit := e.connectLimit(req); engine.Limited(limit) {
		wait = limit - time.Since(begun)
	}
	if !req.Deadline.IsZero() {
		wait = min(wait, time.Until(req.Deadline))
	}
	switch a, gone := r.await(wait); {
	case gone != nil:
		return nil, "", gone
	case a != nil:
		return a, Rescued, err
	}
	return nil, "", err
}

// await waits for the first attempt that succeeds. An error is the caller's end.
func (r *race) await(wait time.Duration) (*attempt, error) {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	for range cap(r.over) {
		if a := r.winner.Load(); a != nil {
			return a, nil
		}
		select {
		case <-r.over:
		case <-timer.C:
			return r.winner.Load(), nil
		case <-r.caller.Done():
			return nil, ended(r.caller)
		}
	}
	return r.winner.Load(), nil
}
