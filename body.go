package godwit

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// The bounded drain of Discard: so much is read, for so long, to be able to use
// the connection again; what has more left is closed.
const (
	drainBytes = 256 << 10
	drainTime  = 100 * time.Millisecond
)

// baseBody is the innermost layer of a response's body, right above the
// engine's: it closes once and knows what hangs on the end of the body.
type baseBody struct {
	answer *engine.Response // as received; never changed
	read   int64
	closed atomic.Bool
	empty  bool // whatever the answer's length is

	fired    bool // guarded by mu, as all that follows
	released bool // the upgraded connection outlives the call
	mu       sync.Mutex
	hook     func(error)
	err      error // first failure of a read
}

func (b *baseBody) Read(p []byte) (int, error) {
	n, err := b.answer.Body.Read(p)
	b.read += int64(n)
	if err != nil && err != io.EOF {
		b.note(err)
	}
	return n, err
}

// WriteTo keeps the engine's fast way to copy.
func (b *baseBody) WriteTo(w io.Writer) (int64, error) {
	n, err := copyBody(w, b.answer.Body)
	b.read += n
	if err != nil {
		b.note(err)
	}
	return n, err
}

// consumed reports whether reading has begun, or can't any more.
func (b *baseBody) consumed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read > 0 || b.closed.Load() || b.fired
}

func (b *baseBody) note(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
}

// Close closes the engine's body and runs the hooks.
func (b *baseBody) Close() error {
	if b.closed.Load() || !b.closed.CompareAndSwap(false, true) {
		return nil
	}
	b.mu.Lock()
	err := b.err // before closing makes reads fail
	hooked := b.hook != nil
	b.fired = b.fired || !hooked
	b.mu.Unlock()
	closeErr := b.answer.Body.Close()
	if hooked {
		b.fire(err)
	}
	return closeErr
}

// fire runs the hooks, once.
func (b *baseBody) fire(err error) {
	b.mu.Lock()
	if b.fired {
		b.mu.Unlock()
		return
	}
	b.fired = true
	hook := b.hook
	b.hook = nil
	b.mu.Unlock()
	if hook != nil {
		hook(err)
	}
}

// onEnd adds a hook, or runs it at once if the body has ended already. What was
// added last runs first.
func (b *baseBody) onEnd(f func(error)) {
	b.mu.Lock()
	if !b.fired {
		if earlier := b.hook; earlier != nil {
			last := f
			f = func(err error) {
				last(err)
				earlier(err)
			}
		}
		b.hook = f
		b.mu.Unlock()
		return
	}
	err := b.err
	b.mu.Unlock()
	f(err)
}

// closeOnAbort closes a body, and the connection that was upgraded, when the
// call's context ends.
type closeOnAbort struct{ base *baseBody }

func (c closeOnAbort) Abort(error) { c.base.Close() }

// drain reads what is left if that is little and known, then closes.
func (b *baseBody) drain() {
	length := b.answer.ContentLength
	if b.empty {
		length = 0
	}
	if left := length - b.read; length >= 0 && left <= drainBytes {
		timer := time.AfterFunc(drainTime, func() { b.answer.Body.Close() })
		io.CopyN(io.Discard, b.answer.Body, left+1)
		timer.Stop()
	}
	b.Close()
}

// copyBody copies by src's own WriteTo, or with large reads.
func copyBody(w io.Writer, src io.Reader) (int64, error) {
	if wt, ok := src.(io.WriterTo); ok {
		return wt.WriteTo(w)
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	return io.CopyBuffer(writerOnly{w}, src, *buf)
}

// writerOnly hides ReadFrom, which would ignore the buffer.
type writerOnly struct{ io.Writer }

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// userBody is the outermost layer, the one that callers of Stream and Open see:
// it wraps errors, ends the call, and is the object whose loss is noticed.
type userBody struct {
	state *userBodyState
	guard runtime.Cleanup
}

// userBodyState must not reach the userBody, else its cleanup never runs: so it
// holds no Response.
type userBodyState struct {
	inner   io.ReadCloser
	base    *baseBody
	call    *Call
	request *Request
	told    atomic.Bool           // that reading has failed
	final   atomic.Pointer[error] // what reading ended with
}

func newUserBody(resp *Response, leakable bool) *userBody {
	state := &userBodyState{inner: resp.Body, base: resp.base, call: resp.call, request: resp.request}
	b := &userBody{state: state}
	if leakable {
		b.guard = runtime.AddCleanup(b, func(s *userBodyState) { s.inner.Close(); s.base.Close() }, state)
	}
	return b
}

func (b *userBody) Read(p []byte) (int, error) {
	if err := b.state.over(); err != nil {
		return 0, err // the engine would tell that the call is over
	}
	n, err := b.state.inner.Read(p)
	if err != nil {
		err = b.state.ended(err)
	}
	runtime.KeepAlive(b)
	return n, err
}

func (b *userBody) WriteTo(w io.Writer) (int64, error) {
	switch err := b.state.over(); err {
	case nil:
	case io.EOF:
		return 0, nil
	default:
		return 0, err
	}
	out := &watchedWriter{w: w}
	n, err := copyBody(out, b.state.inner)
	switch {
	case out.err != nil:
		err = out.err // the caller's own writer failed: not the call's doing
	case err != nil:
		err = b.state.ended(err)
	default:
		b.state.ended(io.EOF)
	}
	runtime.KeepAlive(b)
	return n, err
}

// watchedWriter tells errors of the destination from those of the source.
type watchedWriter struct {
	w   io.Writer
	err error
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

func (b *userBody) Close() error {
	b.guard.Stop()
	if b.state.call.ctx.forced() != nil {
		b.state.tell(errReadClosed) // no read has
	}
	b.state.final.CompareAndSwap(nil, &errReadClosed)
	err := b.state.inner.Close()
	if baseErr := b.state.base.Close(); err == nil {
		err = baseErr
	}
	runtime.KeepAlive(b)
	return err
}

// errReadClosed is what a read meets after Close.
var errReadClosed = opError(engine.OpReceive, errors.New("read of a closed response body"))

// over returns what reads return from now on; nil while they go to the engine.
func (s *userBodyState) over() error {
	switch final := s.final.Load(); final {
	case nil:
		return nil
	case &errReadClosed:
		return envelope(s.call, s.request, errReadClosed)
	default:
		return *final
	}
}

// ended is called when a read returned err: it ends what hangs on the body. What
// it returns is what all further reads return.
func (s *userBodyState) ended(err error) error {
	if err == io.EOF {
		s.final.Store(&err)
		s.base.fire(nil)
		return err
	}
	if final := s.over(); final != nil { // closed meanwhile
		return final
	}
	err = s.tell(err)
	s.base.note(err)
	s.base.fire(err)
	return err
}

// tell tells listeners and error handlers that the body has failed, once.
func (s *userBodyState) tell(err error) error {
	err = s.call.explainBody(err)
	if s.told.Swap(true) {
		return err // a read and Close have met
	}
	emit(&s.call.ctx, s.request, ReceiveFailed{s.call, err})
	s.call.tellCancelled(err)
	err = envelope(s.call, s.request, s.call.client.handleError(&s.call.ctx, s.request, err))
	s.final.Store(&err)
	return err
}

// explainBody does so for a failed read of a body: a call that was ended from
// outside closes its body, and the read then only tells of that.
func (c *Call) explainBody(err error) error {
	if cause := c.ctx.forced(); cause != nil && !errors.Is(err, cause) {
		return opError(engine.OpReceive, &endedError{cause, c.ctx.Err()})
	}
	return c.explain(bodyError(err))
}

// bodyError gives an error of a read its phase if it has none.
func bodyError(err error) error {
	if _, ok := errors.AsType[*engine.OpError](err); ok {
		return err
	}
	return opError(engine.OpReceive, err)
}

// explain makes the reason of a call's end visible: an engine that only saw its
// context end reports that, not the timeout behind it. What else the engine says
// stays: the phase, the proxy that kept it waiting, whether something was sent.
func (c *Call) explain(err error) error {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*engine.TimeoutError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*StatusError](err); ok {
		return err // the status tells more than what its body met
	}
	cause := c.ctx.Cause()
	if cause == nil || cause == errOver || errors.Is(err, cause) {
		return err
	}
	out := engine.OpError{Op: engine.OpReceive}
	if oe, ok := errors.AsType[*engine.OpError](err); ok {
		out = *oe
	}
	out.Err = &endedError{cause, c.ctx.Err()}
	if p, ok := errors.AsType[*engine.ProxyError](err); ok {
		out.Err = &engine.ProxyError{Proxy: p.Proxy, Err: out.Err}
	}
	return &out
}

// endOf is why ctx has ended: its cause, which is the context's error too.
func endOf(ctx context.Context) error {
	cause, err := context.Cause(ctx), ctx.Err()
	if errors.Is(cause, err) {
		return cause
	}
	return &endedError{cause, err}
}

// endedError is the caller's own cause of a context's end; the context's error
// stays visible beside it.
type endedError struct{ cause, err error }

func (e *endedError) Error() string   { return e.cause.Error() }
func (e *endedError) Unwrap() []error { return []error{e.cause, e.err} }

// memoryBody reads saved bytes.
type memoryBody struct {
	data []byte
	at   int
}

func (b *memoryBody) Read(p []byte) (int, error) {
	if b.at >= len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[b.at:])
	b.at += n
	return n, nil
}

func (b *memoryBody) WriteTo(w io.Writer) (int64, error) {
	rest := b.data[b.at:]
	b.at = len(b.data)
	n, err := w.Write(rest)
	return int64(n), err
}

func (*memoryBody) Close() error { return nil }
