// Package exchange puts one engine.Request on an HTTP/2 connection and makes an
// engine.Response of what comes back: what the engines that speak HTTP/2 share.
//
// The goroutine that calls Try sends the request, with a small body, and waits
// for the head of the response; the one that reads the body waits for that. A
// large body, or one that is not in memory, is sent by a second goroutine. What
// ends an exchange early is told to the server by RST_STREAM; the connection goes
// on.
package exchange

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/sharedctx"
	"github.com/godwit-go/godwit/internal/transfer"
)

// Options are what an engine's exchanges have in common.
type Options struct {
	// Engine is the engine's name.
	Engine string
	// Timeouts are those of requests that bring none.
	Timeouts engine.Timeouts
	// ExpectContinueTimeout is how long to wait for 100 Continue.
	ExpectContinueTimeout time.Duration
	// NoStaleRetry forbids sending again.
	NoStaleRetry bool
	// Priority returns the value of the field Priority for a request, "" = none;
	// nil = none.
	Priority func(*engine.Request) string
	// Opened is told of each exchange whose head was sent, and with which Priority;
	// from then on it may be reprioritized. nil = nobody wants to know.
	Opened func(req *engine.Request, x *Exchange, priority string)
	// Start starts a goroutine.
	Start func(func())
	// Contexts watches contexts that come often.
	Contexts *sharedctx.Watcher
}

// Conn is a connection that an exchange runs on.
type Conn struct {
	*h2.Conn
	Info *engine.Conn // immutable
}

// Exchange is one request on one connection, and its response. It is the
// response's Body too, so that a response costs one object.
type Exchange struct {
	engine.Response

	ctx     context.Context
	options *Options
	req     *engine.Request
	// OnEnd is called once when the exchange is over, after Try has succeeded.
	OnEnd func()

	stream h2.Stream
	reg    engine.Registration
	clock  clock
	upload *upload
	kept   *transfer.Source // an opened body of which nothing was read
	conn   *Conn

	aborted  atomic.Bool // ctx has ended
	sent     bool        // something of the request went to this connection
	reached  bool        // or to an earlier one
	answered bool        // a response, perhaps an interim one, has begun
	opened   bool        // the body was opened
	resends  int         // how often it was sent again
	resent   bool        // and it is not to be again for a lost or refused stream
	fresh    bool        // which must not be a used one
	retires  bool        // the connection takes no more streams after this one

	traceMu sync.Mutex // serialises trace hooks while there is an upload

	use transfer.Use
	end error // what follows on what is here of the body: nil = more to come
}

var _ engine.Aborter = (*Exchange)(nil)

// New makes an exchange.
func New(ctx context.Context, options *Options, req *engine.Request) *Exchange {
	x := &Exchange{ctx: ctx, options: options, req: req}
	x.clock.init(req, req.Timeouts.Or(options.Timeouts))
	return x
}

// maxResends bounds how often a request is sent again because servers say that
// they have not processed it.
const maxResends = 3

// Again returns an exchange for another try after x has failed with err. It does
// not count if nothing was sent. A stream that the server refused before it had
// said how many it takes may be refused once more.
func (x *Exchange) Again(err error) *Exchange {
	y := New(x.ctx, x.options, x.req)
	y.OnEnd = x.OnEnd
	y.reached, y.opened, y.resends, y.resent = x.reached || x.sent, x.opened, x.resends, x.resent
	y.kept, x.kept = x.kept, nil
	_, y.fresh = errors.AsType[*h2.LostError](err)
	if !errors.Is(err, h2.ErrUnfit) {
		y.resends++
		y.resent = x.resent || !x.forgiven(err)
		if t := x.req.Trace; t != nil && t.Resent != nil {
			t.Resent(err)
		}
	}
	return y
}

// forgiven reports whether err, for which the request is sent again, leaves it
// the right to be so after another such error.
func (x *Exchange) forgiven(err error) bool {
	if _, ok := errors.AsType[*h2.GoAwayError](err); ok {
		return true // the next connection may be as old
	}
	_, ok := errors.AsType[*h2.ResetError](err)
	return ok && x.stream.Early()
}

// Repeatable reports whether the request could be sent once more.
func (x *Exchange) Repeatable() bool {
	return x.resends == 0 && !x.resent && (!x.opened || x.req.Body.Replayable())
}

// Discard gives up a response that has come, and returns an exchange for another
// try.
func (x *Exchange) Discard() *Exchange {
	x.Close()
	y := New(x.ctx, x.options, x.req)
	y.OnEnd, y.reached, y.opened, y.resent = x.OnEnd, true, x.opened, true
	return y
}

// Fresh reports whether the exchange wants a connection that was not used
// before: the first one was, and was dead.
func (x *Exchange) Fresh() bool { return x.fresh }

// Try runs the exchange on c, up to the response's head. A place for a stream
// must have been reserved on c; it is used up. The error is an *engine.OpError.
func (x *Exchange) Try(c *Conn, used bool) error {
	x.conn, x.Reused = c, used
	x.stream.Bind(c.Conn)
	x.reg = engine.OnAbort(x.options.Contexts.Of(x.ctx), x)
	returned := false
	defer func() {
		if returned {
			return
		}
		if !x.use.Released() {
			_ = x.letGo(errPanicked)
		}
		x.stream.Release()
	}()
	err := x.try(c, used)
	returned = true
	return err
}

func (x *Exchange) try(c *Conn, used bool) error {
	err := x.send()
	if err == nil {
		err = x.receive()
	}
	if err == nil {
		return nil
	}
	if reason := c.Reason(); !used && reason != nil && errors.Is(err, h2.ErrUnfit) {
		// Another connection would hardly be better.
		err = reason
	}
	err = x.opError(engine.OpReceive, err)
	x.release(err)
	x.stream.Release()
	return err
}

// Abort cancels the stream because its context has ended; it implements
// engine.Aborter.
func (x *Exchange) Abort(error) {
	x.aborted.Store(true)
	x.stream.Cancel(h2.CodeCancel)
}

// release ends what the exchange has to do with the connection; why is nil if it
// came to its end.
func (x *Exchange) release(why error) {
	why = x.letGo(why)
	if t := x.req.Trace; t != nil && t.PutIdle != nil {
		x.traceMu.Lock()
		defer x.traceMu.Unlock()
		t.PutIdle(why)
	}
}

// letGo is release without its hook. It returns why the connection, or the stream's
// part in it, is not to be used again.
func (x *Exchange) letGo(why error) error {
	if x.upload != nil && !x.upload.finish(why == nil) && why == nil {
		why = errUnsent
	}
	if why != nil {
		x.stream.Cancel(h2.CodeCancel)
	}
	x.reg.Stop()
	x.use.Release()
	if why == nil && x.retires {
		why = errNotKept
	}
	return why
}

// finish ends the exchange, after its head.
func (x *Exchange) finish(why error) {
	if x.use.Released() {
		return
	}
	defer x.over()
	x.release(why)
}

func (x *Exchange) over() {
	if x.OnEnd != nil {
		x.OnEnd()
	}
}

// Why a connection, or the stream's part in it, is not to be used again.
var (
	errPanicked = errors.New("a hook panicked")
	errUnsent   = errors.New("the request body was not sent to its end")
	errNotKept  = errors.New("the request does not keep the connection")
)

// MayResend decides whether the request is sent again on another connection
// after err.
//
// Either the server says that it has not processed it (REFUSED_STREAM, or a
// GOAWAY that leaves it out, RFC 9113 §8.7), or the connection was a used one and
// ended before anything of an answer came, and repeating the request does no
// harm: its method is idempotent (RFC 9110 §9.2.2) or it has an Idempotency-Key.
// That holds once, for GOAWAY maxResends times: a server that retires one
// connection may do so to the next. Where the server wants HTTP/1.1, HTTP/2 is
// not tried again. A body that was opened must be replayable. NoStaleRetry
// forbids all but what was not sent at all.
func (x *Exchange) MayResend(err error) bool {
	if x.mayResend(err) {
		return true
	}
	x.drop()
	return false
}

// drop closes a body that was kept.
func (x *Exchange) drop() {
	if x.kept != nil {
		x.kept.Close()
		x.kept = nil
	}
}

func (x *Exchange) mayResend(err error) bool {
	switch {
	case x.aborted.Load(), x.opened && x.kept == nil && !x.req.Body.Replayable():
		return false
	case errors.Is(err, h2.ErrUnfit):
		return true
	case x.resends >= maxResends, x.answered, x.req.NoStaleRetry, x.options.NoStaleRetry:
		return false
	case h2.HTTP11Required(err):
		return false
	case x.upload != nil && x.upload.Failure() != nil:
		return false // it was us who ended the stream
	}
	if _, ok := errors.AsType[*h2.GoAwayError](err); ok {
		return true
	}
	_, lost := errors.AsType[*h2.LostError](err)
	return !x.resent && (h2.Unprocessed(err) || lost && x.Reused && x.resends == 0 && idempotent(x.req))
}

func idempotent(req *engine.Request) bool {
	switch req.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY":
		return true
	}
	return req.Header.Has("Idempotency-Key")
}

// Fail makes of err, why there is no connection, what Execute returns.
func (x *Exchange) Fail(op engine.Op, err error) error {
	x.drop()
	return x.opError(op, err)
}

// Reprioritize sends a new priority for the stream.
func (x *Exchange) Reprioritize(value string) {
	if !x.use.Released() {
		x.stream.Reprioritize(value)
	}
}

// ctxError is the error of an exchange whose context has ended.
func (x *Exchange) ctxError() error {
	if err := ctxerr.Of(x.ctx); err != nil {
		return err
	}
	return context.Canceled // Abort was called, whatever the context says
}

// opError makes of err what Execute and the Body return: what lies behind it
// goes before it, and it is wrapped in op if it names no phase itself.
func (x *Exchange) opError(op engine.Op, err error) error {
	if x.aborted.Load() {
		err = wrap(op, x.ctxError())
	} else if x.upload != nil {
		if failed := x.upload.Failure(); failed != nil {
			err = failed
		}
	}
	if _, ok := errors.AsType[*h1.InputError](err); ok && !x.sent {
		op = engine.OpBuild
	}
	e := wrap(op, err)
	// Who has answered has processed the request, whatever he says after that.
	if sent := x.sent && (x.answered || !h2.Unprocessed(err)) || x.reached; sent && !e.Sent {
		e = &engine.OpError{Op: e.Op, Err: e.Err, Sent: true}
	}
	return e
}

func wrap(op engine.Op, err error) *engine.OpError {
	if e, ok := err.(*engine.OpError); ok {
		return e
	}
	return &engine.OpError{Op: op, Err: err}
}
