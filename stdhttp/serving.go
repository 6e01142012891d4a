package stdhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/recovered"
)

// serving is one exchange with the handler. The caller of Execute waits for head;
// the handler's goroutine fills response, which is not changed after that.
type serving struct {
	engine   *handlerEngine
	req      *engine.Request
	timeouts engine.Timeouts

	ctx      context.Context // ends with the caller's, a limit of time, and the exchange
	cancel   context.CancelCauseFunc
	untie    func() bool             // of body from ctx
	handling context.Context         // the handler's own
	stop     context.CancelCauseFunc // of handling
	upload   *received
	body     *half // what the handler writes

	head     chan struct{} // closed when response or err is set
	headOnce sync.Once
	response *engine.Response
	err      error
	began    sync.Once // the answer

	traceMu sync.Mutex // lets hooks take turns; guards silent
	silent  bool

	mu       sync.Mutex // guards what follows
	trailer  header.Header
	over     bool
	deadline *time.Timer
	waiting  *time.Timer // for the head
	idle     *time.Timer
}

func newServing(ctx context.Context, e *handlerEngine, req *engine.Request) *serving {
	x := &serving{engine: e, req: req, timeouts: req.Timeouts.Or(e.shared.Timeouts), head: make(chan struct{}), body: newHalf()}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	// ReverseProxy, for one, ends a handler by a panic only under a server.
	of := context.WithValue(context.Background(), http.ServerContextKey, e.server)
	x.handling, x.stop = context.WithCancelCause(context.WithValue(of, http.LocalAddrContextKey, net.Addr(inProcess{})))
	x.upload = newReceived(x)
	return x
}

// run starts the handler and waits for the head of its answer.
func (x *serving) run() (*engine.Response, error) {
	if err := x.begin(); err != nil {
		x.finish(err)
		return nil, err
	}
	select {
	case <-x.head:
	case <-x.ctx.Done():
	}
	x.stopTimers(&x.waiting, &x.idle)
	if err := x.failure(); err != nil {
		x.finish(err)
		return nil, err
	}
	if x.req.HeadOnly {
		x.stopTimers(&x.deadline)
	}
	x.firstByte()
	if x.response.Upgraded != nil {
		x.untie()
		x.stopTimers(&x.deadline)
	}
	return x.response, nil
}

// failure returns why there is no response, nil if there is one: the end of the
// exchange, the sender's fault, the handler's.
func (x *serving) failure() error {
	if ended := ctxerr.Of(x.ctx); ended != nil {
		op := engine.OpReceive
		if x.upload.sending() {
			op = engine.OpSend
		}
		return &engine.OpError{Op: op, Err: ended, Sent: true}
	}
	if fault := x.upload.failure(); fault != nil {
		return &engine.OpError{Op: engine.OpSend, Err: fault, Sent: true}
	}
	return x.err
}

func (x *serving) begin() error {
	if ended := ctxerr.Of(x.ctx); ended != nil {
		return &engine.OpError{Op: engine.OpPool, Err: ended}
	}
	if at := x.req.Deadline; !at.IsZero() {
		limit := &engine.TimeoutError{Kind: or(x.req.DeadlineKind, engine.KindRequest), Limit: x.req.DeadlineLimit}
		left := time.Until(at)
		if left <= 0 {
			return &engine.OpError{Op: engine.OpPool, Err: limit}
		}
		x.deadline = time.AfterFunc(left, func() { x.cancel(limit) })
	}
	x.untie = context.AfterFunc(x.ctx, x.broken)
	x.hook(func(t *engine.Trace) {
		call1(t.PoolWait, x.req.URL.Host)
		call1(t.GotConn, engine.GotConn{Local: inProcess{}, Remote: inProcess{}})
	})
	if err := x.upload.prepare(); err != nil {
		return &engine.OpError{Op: engine.OpSend, Err: err}
	}
	r, err := x.serverRequest()
	if err != nil {
		return &engine.OpError{Op: engine.OpBuild, Err: err}
	}
	x.startTimer(&x.idle, x.timeouts.Idle, engine.KindIdle)
	x.hook(func(t *engine.Trace) { call0(t.WroteHeader) })
	if x.upload.expecting {
		x.hook(func(t *engine.Trace) { call0(t.Wait100) })
	}
	if x.upload.content == nil {
		x.upload.done(nil)
	}
	x.engine.shared.Start(func() { x.serve(r) })
	return nil
}

// broken ends all that waits, because x.ctx has ended.
func (x *serving) broken() {
	// The body first: the handler ends it when it sees that its context ended.
	x.body.fail(&engine.OpError{Op: engine.OpReceive, Err: ctxerr.Of(x.ctx), Sent: true})
	x.upload.stop()
	x.stop(context.Cause(x.ctx))
}

// serve runs the handler.
func (x *serving) serve(r *http.Request) {
	w := &answer{serving: x, request: r, fields: make(http.Header)}
	returned := false
	defer func() {
		x.stop(context.Canceled) // as http.Server does
		if returned {
			return
		}
		fault := recover()
		err := recovered.ErrExited
		switch fault {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			err = recovered.Error("the handler", fault)
		}
		if !w.hijacked {
			x.upload.stop()
		}
		w.abort(fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err))
	}()
	x.engine.handler.ServeHTTP(w, r)
	returned = true
	if !w.hijacked { // else what is unread flows on
		x.upload.stop()
	}
	w.finish()
}

// answered makes the head known, once.
func (x *serving) answered(resp *engine.Response, err error) {
	x.headOnce.Do(func() {
		x.response, x.err = resp, err
		close(x.head)
	})
}

func (x *serving) firstByte() {
	x.began.Do(func() { x.hook(func(t *engine.Trace) { call0(t.FirstByte) }) })
}

func (x *serving) setTrailer(h header.Header) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trailer = h
}

func (x *serving) getTrailer() header.Header {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.trailer.View()
}

// received1xx shows an interim response.
func (x *serving) received1xx(status int, h header.Header) error {
	x.firstByte()
	var err error
	x.hook(func(t *engine.Trace) {
		if t.Informational != nil {
			err = t.Informational(status, h)
		}
	})
	if err != nil {
		x.answered(nil, &engine.OpError{Op: engine.OpReceive, Err: err, Sent: true})
	}
	return err
}

// finish gives back what the exchange holds, once.
func (x *serving) finish(why error) {
	x.mu.Lock()
	if x.over {
		x.mu.Unlock()
		return
	}
	x.over = true
	x.mu.Unlock()
	x.stopTimers(&x.deadline, &x.waiting, &x.idle)
	x.hook(func(t *engine.Trace) { call1(t.PutIdle, why) })
	x.traceMu.Lock()
	x.silent = true
	x.traceMu.Unlock()
	if x.untie != nil {
		x.untie()
	}
	x.cancel(nil)
	x.stop(context.Canceled)
	x.body.shut()
	x.upload.stop()
}

// hook runs f on the caller's trace, one at a time and not after the end.
func (x *serving) hook(f func(*engine.Trace)) {
	if x.req.Trace == nil {
		return
	}
	x.traceMu.Lock()
	defer x.traceMu.Unlock()
	if !x.silent {
		f(x.req.Trace)
	}
}

func call0(f func()) {
	if f != nil {
		f()
	}
}

func call1[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}

func (x *serving) startTimer(timer **time.Timer, limit time.Duration, kind engine.TimeoutKind) {
	if !engine.Limited(limit) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if *timer == nil && !x.over {
		*timer = time.AfterFunc(limit, func() { x.cancel(&engine.TimeoutError{Kind: kind, Limit: limit}) })
	}
}

func (x *serving) stopTimers(timers ...**time.Timer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range timers {
		if *t != nil {
			(*t).Stop()
			*t = nil
		}
	}
}

// answerBody is the response's body as the client reads it.
type answerBody struct {
	serving *serving
	from    io.Reader

	mu     sync.Mutex // guards what follows, not the reading
	err    error      // of all further reads
	closed bool
}

var (
	errBodyClosed  = errors.New("stdhttp: read of a closed response body")
	errClosedEarly = errors.New("stdhttp: the body was closed before its end")
)

// Read reads within the idle timeout.
func (b *answerBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	err := b.err
	if b.closed {
		err = errBodyClosed
	}
	b.mu.Unlock()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	x := b.serving
	x.startTimer(&x.idle, x.timeouts.Idle, engine.KindIdle)
	n, err := b.from.Read(p)
	x.stopTimers(&x.idle)
	if err == nil {
		return n, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errBodyClosed
	}
	var why error
	if err != io.EOF {
		if _, ok := errors.AsType[*engine.OpError](err); !ok {
			err = &engine.OpError{Op: engine.OpReceive, Err: err, Sent: true}
		}
		why = err
	}
	b.err = err
	x.finish(why)
	return n, err
}

// Close ends the exchange.
func (b *answerBody) Close() error {
	b.mu.Lock()
	closed := b.closed
	b.closed = true
	b.mu.Unlock()
	if !closed {
		b.serving.finish(errClosedEarly)
	}
	return nil
}
