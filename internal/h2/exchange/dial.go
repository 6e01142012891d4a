package exchange

import (
	"errors"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/transfer"
)

// Dial makes a connection for the exchange within the connect timeout and the
// request's deadline.
func (x *Exchange) Dial(d *dial.Dialer, route dial.Route) (*dial.Conn, error) {
	timeout := x.req.Timeouts.Or(x.options.Timeouts).Connect
	whole := x.clock.Whole
	cut := false
	if !whole.At.IsZero() {
		left := time.Until(whole.At)
		if left <= 0 {
			// It was spent on waiting for those who have tried before.
			return nil, route.Blame(x.ctx, &engine.OpError{Op: engine.OpConnect, Err: whole.Err()})
		}
		if cut = !engine.Limited(timeout) || left < timeout; cut {
			timeout = left
		}
	}
	c, err := d.Connect(x.ctx, route, timeout, x.req.Trace)
	if err == nil {
		return c, nil
	}
	// The limit that was reached is the request's, not that of connecting.
	if t, ok := errors.AsType[*engine.TimeoutError](err); ok && cut && t.Kind == engine.KindConnect {
		err = dial.Overdue(err, whole.Err())
	}
	return nil, err
}

// PoolLimit returns until when the exchange waits for a place on a connection,
// and the error after that. While one is being made the connect timeout holds, else
// that of the pool; waited is how much of it is gone. The error is an
// *[engine.OpError] if it was one of these, not the request's own limit.
func (x *Exchange) PoolLimit(dialing bool, waited time.Duration) (time.Time, error) {
	t, begin := x.req.Timeouts.Or(x.options.Timeouts), time.Now().Add(-waited)
	op, own := engine.OpPool, transfer.In(t.Pool, begin, engine.KindPool)
	if dialing {
		op, own = engine.OpConnect, transfer.In(t.Connect, begin, engine.KindConnect)
	}
	d := x.clock.Whole.Or(own)
	switch {
	case d.At.IsZero():
		return d.At, nil
	case d != own:
		return d.At, d.Err()
	}
	return d.At, &engine.OpError{Op: op, Err: d.Err()}
}

// Enter waits for a place among the exchanges that may run at once: for room in
// gate, unless closed is, which is engine.ErrClosed.
func (x *Exchange) Enter(gate chan<- struct{}, closed <-chan struct{}) error {
	select {
	case gate <- struct{}{}:
		return nil
	default:
	}
	var expired <-chan time.Time
	limit, reason := x.PoolLimit(false, 0)
	if !limit.IsZero() {
		timer := time.NewTimer(time.Until(limit))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case gate <- struct{}{}:
		return nil
	case <-x.ctx.Done():
		return &engine.OpError{Op: engine.OpPool, Err: ctxerr.Of(x.ctx)}
	case <-closed:
		return &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	case <-expired:
		return wrap(engine.OpPool, reason)
	}
}
