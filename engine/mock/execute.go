package mock

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

// An exchange takes one of two ways. The quick one is for a *Response with its
// body in memory, to a request whose body, if any, is in memory too: nothing in
// it can block, so it needs no goroutine, timer or registration, and a look at
// the context and the clock with each read is enough. All else goes the slow
// way: it merges context, deadline and timeouts into one context (attend), and
// runs body, handler and stream in goroutines that it can abandon.

// Execute answers req by the handlers.
func (e *Engine) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if e.closed.Load() {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: engine.ErrClosed}
	}
	if err := engine.Check(e.name, e.capabilities, needs(req)); err != nil {
		return nil, err
	}
	x := &exchange{engine: e, ctx: ctx, req: req}
	if err := x.ended(); err != nil {
		return nil, &engine.OpError{Op: engine.OpPool, Err: err}
	}
	x.connected()
	data, quick := inMemory(req)
	x.seen = &x.inline
	x.inline.Request, x.inline.body, x.inline.timeouts = req, data, req.Timeouts.Or(e.shared.Timeouts)
	if !e.noHistory || !quick {
		x.copyRequest()
	}
	if !quick {
		return x.slow(nil)
	}
	e.record(x.seen, nil)
	h, err := e.take(x.seen)
	if err != nil {
		return nil, err
	}
	if r, ok := h.(*Response); ok && r.stream == nil {
		x.wrote()
		return x.respond(r)
	}
	return x.slow(h)
}

// needs returns the capabilities that req asks for.
func needs(req *engine.Request) engine.Capabilities {
	need := req.Needs
	add := func(ok bool, c engine.Capabilities) {
		if ok {
			need |= c
		}
	}
	add(req.Protocol != "", engine.Upgrade)
	add(req.Method == "CONNECT", engine.Connect)
	add(req.Trailer != nil, engine.RequestTrailers)
	add(!req.Deadline.IsZero(), engine.RequestTimeout)
	add(engine.Limited(req.Timeouts.Pool), engine.PoolTimeout)
	add(engine.Limited(req.Timeouts.Connect), engine.ConnectTimeout)
	add(engine.Limited(req.Timeouts.Header), engine.HeaderTimeout)
	add(engine.Limited(req.Timeouts.Idle), engine.IdleTimeout)
	add(req.Proxy != nil, engine.RequestProxy)
	add(req.UnixSocket != "", engine.UnixSocket)
	add(req.NoStaleRetry, engine.NoStaleRetry)
	add(req.WantRawHead, engine.RawHead)
	return need
}

// inMemory returns the body of a request that nothing has to be waited for.
func inMemory(req *engine.Request) ([]byte, bool) {
	if req.Trailer != nil || expectsContinue(req) {
		return nil, false
	}
	if req.Body == nil {
		return nil, true
	}
	if _, ok := req.Body.(content.Trailerer); ok {
		return nil, false
	}
	return content.BytesOf(req.Body)
}

func expectsContinue(req *engine.Request) bool {
	return req.Body != nil && strings.EqualFold(req.Header.Get("Expect"), "100-continue")
}

// exchange is one call of Execute and the response that it made.
type exchange struct {
	engine *Engine
	ctx    context.Context // the caller's: it governs the body too
	req    *engine.Request // the caller's
	seen   *Request        // what handlers and the history see
	inline Request         // seen, if nobody keeps it

	// Of the slow way:
	call     context.Context // ends with ctx, Deadline, a timeout, and the response
	cancel   context.CancelCauseFunc
	deadline *time.Timer
	upload   *upload
	idle     *time.Timer // while the handler makes up its mind

	response engine.Response
	body     body
}

// ended returns why the exchange is over, nil if it is not.
func (x *exchange) ended() error {
	if err := ctxerr.Of(x.ctx); err != nil {
		return err
	}
	if !x.req.Deadline.IsZero() && !time.Now().Before(x.req.Deadline) {
		return x.deadlineError()
	}
	return nil
}

func (x *exchange) deadlineError() error {
	kind := x.req.DeadlineKind
	if kind == "" {
		kind = engine.KindRequest
	}
	return &engine.TimeoutError{Kind: kind, Limit: x.req.DeadlineLimit}
}

// copyRequest makes seen safe to keep.
func (x *exchange) copyRequest() {
	x.seen = &Request{Request: snapshot(x.req), timeouts: x.inline.timeouts, body: x.inline.body}
}

// slow runs the exchange with whatever has to be waited for. h is the handler if
// it is chosen already.
func (x *exchange) slow(h Handler) (*engine.Response, error) {
	x.attend()
	resp, err := x.converse(h)
	if err != nil {
		x.release()
		return nil, err
	}
	return resp, nil
}

func (x *exchange) converse(h Handler) (*engine.Response, error) {
	if h == nil {
		x.upload = &upload{x: x}
		x.engine.record(x.seen, nil)
		x.wroteHeader()
		if x.engine.looksAtBodies() {
			if err := x.upload.readAll(); err != nil {
				return nil, err
			}
		}
		var err error
		if h, err = x.engine.take(x.seen); err != nil {
			return nil, err
		}
	} else if x.seen == &x.inline {
		x.copyRequest() // the handler's goroutine may outlive the call
	}
	s, early := h.(streaming)
	switch {
	case early:
		h = s.Handler
		if x.upload != nil {
			x.seen.stream = x.upload
		}
	case x.upload != nil:
		if err := x.upload.readAll(); err != nil {
			return nil, err
		}
	default:
		x.wrote()
	}
	r, err := x.ask(h)
	if err != nil {
		return nil, err
	}
	if x.req.HeadOnly && x.deadline != nil {
		x.deadline.Stop()
	}
	return x.respond(r)
}

// attend merges the caller's context and the deadline into x.call.
func (x *exchange) attend() {
	x.call, x.cancel = context.WithCancelCause(x.ctx)
	if !x.req.Deadline.IsZero() {
		x.deadline = time.AfterFunc(time.Until(x.req.Deadline), func() { x.cancel(x.deadlineError()) })
	}
}

// release ends what the slow way holds.
func (x *exchange) release() {
	if x.call == nil {
		return
	}
	if x.deadline != nil {
		x.deadline.Stop()
	}
	x.cancel(nil)
	if x.upload != nil {
		x.upload.close()
	}
}

// ask lets h answer, within the header timeout and the one for idleness, which
// begins anew whenever h reads of the request's body.
func (x *exchange) ask(h Handler) (*Response, error) {
	if limit := x.inline.timeouts.Idle; engine.Limited(limit) {
		x.idle = time.AfterFunc(limit, func() {
			x.cancel(&engine.TimeoutError{Kind: engine.KindIdle, Limit: limit})
		})
		defer x.idle.Stop()
	}
	if limit := x.inline.timeouts.Header; engine.Limited(limit) {
		timer := time.AfterFunc(limit, func() {
			x.cancel(&engine.TimeoutError{Kind: engine.KindHeader, Limit: limit})
		})
		defer timer.Stop()
	}
	r, err := x.run(h)
	if ended := ctxerr.Of(x.call); ended != nil {
		return nil, &engine.OpError{Op: engine.OpReceive, Err: ended, Sent: true}
	}
	if x.upload != nil {
		if failed := x.upload.failure(); failed != nil {
			return nil, failed
		}
	}
	if err == nil && r == nil {
		err = errors.New("mock: the handler returned neither a response nor an error")
	}
	if err != nil {
		return nil, asOpError(err)
	}
	return r, nil
}

// run calls h in another goroutine and waits for it no longer than x.call lasts.
func (x *exchange) run(h Handler) (*Response, error) {
	if r, ok := h.(*Response); ok {
		return r, nil
	}
	type outcome struct {
		r        *Response
		err      error
		returned bool
		panicked any
	}
	done := make(chan outcome, 1)
	x.engine.shared.Start(func() {
		var o outcome
		defer func() {
			if !o.returned {
				o.panicked = recover()
			}
			done <- o
		}()
		o.r, o.err = h.Answer(x.call, x.seen)
		o.returned = true
	})
	select {
	case o := <-done:
		switch {
		case o.panicked != nil:
			x.release()
			panic(o.panicked)
		case !o.returned: // t.FailNow, which must end the caller's goroutine
			x.release()
			runtime.Goexit()
		}
		return o.r, o.err
	case <-x.call.Done():
		return nil, context.Cause(x.call)
	}
}

// asOpError keeps errors that have the form of an engine's and wraps others.
func asOpError(err error) error {
	if _, ok := errors.AsType[*engine.OpError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*engine.UnsupportedError](err); ok {
		return err
	}
	return &engine.OpError{Op: engine.OpReceive, Err: err, Sent: true}
}

// respond makes the engine's response of r.
func (x *exchange) respond(r *Response) (*engine.Response, error) {
	if err := x.informational(r); err != nil {
		return nil, err
	}
	status := r.status()
	if status == 101 && x.req.Protocol == "" {
		return nil, &engine.OpError{Op: engine.OpReceive, Sent: true, Err: &engine.ProtocolError{
			Reason: "101 without a request to upgrade", Section: "RFC 9110 §15.2.2"}}
	}
	if status < 100 || status > 999 {
		return nil, asOpError(fmt.Errorf("mock: status %d is not between 100 and 999", status))
	}
	if t := x.req.Trace; t != nil && t.FirstByte != nil {
		t.FirstByte()
	}
	x.engine.record(nil, r)
	res := &x.response // fresh: written field by field, as copying a whole one costs more
	res.Status, res.Reason, res.Proto, res.Header = status, r.Reason, r.proto(), r.fields()
	res.ContentLength, res.Body, res.Conn, res.Reused = r.announced(), &x.body, r.conn, r.reused
	if res.Conn == nil {
		res.Conn = x.engine.conn
	}
	if x.req.WantRawHead {
		res.RawHead = r.head()
	}
	if r.Trailer.Len() > 0 && x.engine.capabilities.Has(engine.ResponseTrailers) {
		res.Trailer = r.trailer
	}
	x.open(r)
	return res, nil
}

func (x *exchange) informational(r *Response) error {
	for _, i := range r.informational {
		if err := x.inform(i); err != nil {
			return err
		}
	}
	return nil
}

func (x *exchange) inform(i informational) error {
	t := x.req.Trace
	if t == nil || t.Informational == nil || !x.engine.capabilities.Has(engine.Informational) {
		return nil
	}
	if err := t.Informational(i.status, i.header); err != nil {
		return asOpError(err)
	}
	return nil
}

// connected calls the hooks of a connection that is there at once.
func (x *exchange) connected() {
	t := x.req.Trace
	if t == nil {
		return
	}
	if t.PoolWait != nil {
		t.PoolWait(x.req.URL.Scheme + "://" + x.req.URL.Host)
	}
	if t.GotConn != nil {
		t.GotConn(engine.GotConn{})
	}
}

// wroteHeader calls the hooks of a head that is sent.
func (x *exchange) wroteHeader() {
	t := x.req.Trace
	if t == nil {
		return
	}
	if t.WroteHeader != nil {
		t.WroteHeader()
	}
	if t.Wait100 != nil && expectsContinue(x.req) {
		t.Wait100()
	}
}

// wrote calls the hooks of a request that is sent at once.
func (x *exchange) wrote() {
	x.wroteHeader()
	if t := x.req.Trace; t != nil && t.WroteRequest != nil {
		t.WroteRequest(nil)
	}
}
