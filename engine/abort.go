package engine

import "context"

// Aborter is a thing to break when a call ends early: a connection, a stream.
// Abort is called at most once for each registration, from any goroutine; it
// must not block, nor call back into the context.
type Aborter interface{ Abort(cause error) }

// AbortContext is a context that keeps aborters itself, which costs less than
// context.AfterFunc. The context that the client gives to engines is one.
type AbortContext interface {
	context.Context
	// AddAborter registers a; if the context has ended it calls a.Abort at once
	// and in this goroutine. The token is for RemoveAborter.
	AddAborter(a Aborter) (token uint64)
	// RemoveAborter takes a registration back and reports whether it came in
	// time: false means that Abort was called or is being called.
	RemoveAborter(token uint64) bool
}

// OnAbort calls a.Abort with ctx's cause when ctx ends, until the returned
// registration is stopped.
func OnAbort(ctx context.Context, a Aborter) Registration {
	if ac, ok := ctx.(AbortContext); ok {
		return Registration{ac, ac.AddAborter(a)}
	}
	if ctx.Done() == nil {
		return Registration{}
	}
	return Registration{from: stopFunc(context.AfterFunc(ctx, func() { a.Abort(context.Cause(ctx)) }))}
}

// Registration is what OnAbort returns; its zero value is one that never fires.
type Registration struct {
	from  interface{ RemoveAborter(token uint64) bool }
	token uint64
}

// stopFunc is what package context returns.
type stopFunc func() bool

func (f stopFunc) RemoveAborter(uint64) bool { return f() }

// Stop takes the registration back and reports whether it came in time. If it
// returns false, Abort was called or is being called: what it breaks must not
// be used again.
func (r Registration) Stop() bool {
	return r.from == nil || r.from.RemoveAborter(r.token)
}
