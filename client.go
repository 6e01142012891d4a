package godwit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/pipeline"
)

// Client sends requests. It does not change after [New] and is safe for
// concurrent use; make one and share it, or make many. A nil *Client stands for
// [Default].
type Client struct {
	config *config
	state  *clientState
	engine engine.Engine
	err    error

	call   pipeline.Handler[*Request, *Response]
	send   pipeline.Handler[*Request, *Response]
	door   pipeline.Handler[*Request, *Response] // what RoundTrip enters by
	decode pipeline.Handler[*Decoding, bool]
	// seesDecoding says that the Decode pipeline has others than the built-in steps.
	seesDecoding bool
	handlers     []ErrorHandler
	listeners    []any
	describe     string
	builtin      builtins
	cleanup      runtime.Cleanup
}

// config is what the options of a client say.
type config struct {
	factory      engine.Factory
	instance     engine.Engine
	engineConfig []func(*engine.Config)
	plugins      []Plugin // in order of installing, names distinct
	intercepts   []func(*Scope) error
	defaults     Request
	settings     attr.Attributes
	listeners    []any
	codecs       []Codec
	bind         []context.Context
	errs         []error
}

func (c *config) fail(err error) { c.errs = append(slices.Clip(c.errs), err) }

// install adds p, in the place of one of the same name.
func (c *config) install(p Plugin) {
	c.plugins = slices.Clone(c.plugins)
	for i, q := range c.plugins {
		if q.Name() == p.Name() {
			c.plugins[i] = p
			return
		}
	}
	c.plugins = append(c.plugins, p)
}

// New returns a client. It cannot fail: a bad option or plugin is the error of
// every call, and [Client.Err] returns it.
//
// Without WithEngine or WithEngineInstance the engine is the first registered
// one in alphabetical order, else the built-in default: cio (on js/wasm none).
// Close the client when it is no longer needed; one that is forgotten is
// cleaned up when the garbage collector finds it.
func New(opts ...ClientOption) *Client {
	c := &config{}
	c.apply(opts)
	return build(c, nil)
}

func (c *config) apply(opts []ClientOption) {
	for _, o := range opts {
		if o != nil {
			o.applyClient(c)
		}
	}
	if err := c.defaults.err; err != nil {
		c.fail(err)
		c.defaults.err = nil
	}
}

// With returns a sibling: a client with c's options and the given ones on top,
// which shares c's engine. Each sibling is closed by itself; the engine is
// closed with the last of them. Options that choose or configure the engine are
// an error here.
func (c *Client) With(opts ...ClientOption) *Client {
	c = c.or()
	sibling := *c.config
	sibling.factory, sibling.instance, sibling.engineConfig = nil, nil, nil
	sibling.defaults = *c.config.defaults.Clone()
	sibling.apply(opts)
	if sibling.factory != nil || sibling.instance != nil || sibling.engineConfig != nil {
		sibling.fail(errors.New("With: a sibling shares its client's engine; engine options belong into New"))
	}
	return build(&sibling, c.state.family)
}

// build makes a client of its config, in an existing family or a new one.
func build(cfg *config, fam *family) *Client {
	c := &Client{config: cfg}
	if fam == nil {
		eng, owned, err := cfg.newEngine()
		if err != nil {
			cfg.fail(err)
		}
		fam = newFamily(eng, owned)
	} else if !fam.join() {
		cfg.fail(ErrClientClosed)
		fam = newFamily(nil, false)
	}
	c.engine = fam.engine
	c.state = &clientState{family: fam}
	c.err = errors.Join(append(slices.Clip(cfg.errs), c.assemble())...) // a sibling assembles anew
	c.cleanup = runtime.AddCleanup(c, func(s *clientState) { s.close() }, c.state)
	c.state.bound = cfg.bind
	for _, ctx := range cfg.bind {
		state := c.state
		stop := context.AfterFunc(ctx, func() { state.close(); state.cancel() })
		state.onRelease(func() { stop() })
	}
	return c
}

// newEngine makes the engine that the options ask for.
func (c *config) newEngine() (eng engine.Engine, owned bool, err error) {
	if c.instance != nil {
		if len(c.engineConfig) > 0 {
			return c.instance, false, errors.New("EngineConfig: the engine exists already; configure it where it is made")
		}
		return c.instance, false, nil
	}
	factory := c.factory
	if factory == nil {
		if registered := engine.Registered(); len(registered) > 0 {
			factory = registered[0]
		} else if factory = defaultEngine(); factory == nil {
			return nil, false, ErrNoEngine
		}
	}
	var shared engine.Config
	for _, change := range c.engineConfig {
		change(&shared)
	}
	if shared.MaxHeaderBytes < 0 || shared.MaxHeaderFields < 0 || shared.MaxConcurrent < 0 {
		return nil, false, fmt.Errorf("engine.Config: MaxHeaderBytes %d, MaxHeaderFields %d, MaxConcurrent %d: a bound is not negative; 0 = the default",
			shared.MaxHeaderBytes, shared.MaxHeaderFields, shared.MaxConcurrent)
	}
	if t := shared.Timeouts; min(t.Pool, t.Connect, t.Header, t.Idle) < 0 {
		return nil, false, fmt.Errorf("engine.Config: Timeouts %+v: a timeout is not negative; 0 = the default, engine.NoTimeout = none", t)
	}
	eng, err = factory.NewEngine(shared)
	if err != nil {
		return nil, false, fmt.Errorf("engine %s: %w", factory.Name(), err)
	}
	return eng, true, nil
}

// Err returns the error of the client's options and plugins, nil if all is well.
func (c *Client) Err() error { return c.or().err }

// Engine returns the engine, nil if there is none.
func (c *Client) Engine() engine.Engine { return c.or().engine }

// Supports reports whether the engine can do all of need.
func (c *Client) Supports(need engine.Capabilities) bool {
	c = c.or()
	return c.engine != nil && c.engine.Capabilities().Has(need)
}

// String names the client's engine and prints its pipelines.
func (c *Client) String() string {
	c = c.or()
	name := "none"
	if c.engine != nil {
		name = c.engine.Name()
	}
	return "godwit.Client[" + name + "]\n" + c.describe
}

// Do sends req and returns the response with its body in memory, whatever the
// status; there is nothing to close. A body over MaxBody is an error. req is not
// changed.
func (c *Client) Do(ctx context.Context, req *Request) (*Response, error) {
	return c.or().start(ctx, req, buffered)
}

// Stream sends req and calls f with the response, whose body streams. The body
// is closed when f returns; ctx and the request timeout cover f. The error is
// f's own, or the call's.
func (c *Client) Stream(ctx context.Context, req *Request, f func(*Response) error) error {
	if f == nil {
		return buildErrorf("Stream: the function is nil")
	}
	resp, err := c.or().start(ctx, req, scoped)
	if err != nil {
		return err
	}
	defer resp.Close()
	return f(resp)
}

// Open sends req and returns the response, whose body streams and which the
// caller closes. ctx and the request timeout cover the body until then. A
// response that is forgotten is closed when the garbage collector finds it; do
// not rely on it.
func (c *Client) Open(ctx context.Context, req *Request) (*Response, error) {
	return c.or().start(ctx, req, open)
}

// RoundTrip sends req through the Send pipeline alone, without phases Follow and
// State, and returns the response as it is: no redirects, cookies, defaults or
// status checks, nothing saved. It is the door for package stdhttp. The caller
// closes the response. req must have an absolute URL and a body that is a
// content.Content or nil.
func (c *Client) RoundTrip(ctx context.Context, req *Request) (*Response, error) {
	return c.or().start(ctx, req, transport)
}

// start is the door: every call comes in here, and its error is wrapped here.
func (c *Client) start(ctx context.Context, req *Request, how mode) (*Response, error) {
	call := &Call{client: c, mode: how}
	call.take(req)
	return call.run(ctx, req == nil)
}

// take makes the call's working copy of a request, which may itself come from an
// earlier response.
func (call *Call) take(req *Request) {
	if req == nil {
		return
	}
	call.request = *req
	call.request.Header = req.Header.View()
	call.request.target, call.request.ownExtra = nil, false
}

// run carries the call out.
func (call *Call) run(ctx context.Context, noRequest bool) (*Response, error) {
	c, req := call.client, &call.request
	if err := call.admit(ctx, noRequest); err != nil {
		if ctx == nil {
			ctx = context.Background()
		}
		call.tellCancelled(err)
		return nil, envelope(call, req, c.handleError(under(ctx, call), req, err))
	}
	handler := c.call
	if call.mode == transport {
		handler = c.door
		call.setOrigin(req.URL)
	}
	ok := false
	defer func() {
		if !ok { // a panic goes on its way, but takes nothing with it
			call.closeOpen()
			call.finish(errors.New("panic"))
		}
	}()
	resp, err := handler(&call.ctx, req)
	if err != nil {
		err = call.failed(resp, err)
		ok = true
		return nil, err
	}
	ok = true
	resp.adopt(call, req)
	call.closeOthers(resp.base)
	if call.mode == buffered {
		call.closeOpen()
		call.finish(nil)
		return resp, nil
	}
	call.handOver(resp)
	return resp, nil
}

// handOver gives a streaming response to the caller: from here on the call ends
// with its body, and the body with the call.
func (call *Call) handOver(resp *Response) {
	// An upgraded connection may outlive the Response in the caller's hands, so
	// that its being forgotten says nothing.
	resp.Body = newUserBody(resp, call.mode != scoped && resp.Upgraded() == nil)
	resp.OnClose(call.finish)
	if resp.Upgraded() != nil || call.client.builtin.toHead.For(resp.request) {
		call.ctx.dropDeadline()
	} else {
		call.ctx.shorten(call.attemptEnd(), true)
	}
	call.ctx.AddAborter(closeOnAbort{resp.base})
	call.ctx.keepTime()
}

// attemptEnd is the deadline of the last attempt, if it has one of its own.
func (call *Call) attemptEnd() deadline {
	call.ctx.mu.Lock()
	defer call.ctx.mu.Unlock()
	if call.rare == nil {
		return deadline{}
	}
	return call.rare.attemptEnd
}

func (call *Call) setAttemptEnd(d deadline) {
	if d.at.IsZero() && !call.attempted {
		return
	}
	call.attempted = true
	call.ctx.mu.Lock()
	defer call.ctx.mu.Unlock()
	call.unusual().attemptEnd = d
}

// admit refuses what cannot start and registers the call.
func (call *Call) admit(ctx context.Context, noRequest bool) error {
	c, req := call.client, &call.request
	switch {
	case ctx == nil:
		return buildErrorf("context is nil")
	case noRequest:
		return buildErrorf("request is nil")
	case c.err != nil:
		return opError(opBuild, c.err)
	case req.err != nil:
		return req.err
	}
	call.ctx.init(ctx, call)
	call.attrs.Replace(req.Attributes)
	if ctx.Err() != nil {
		return opError(opBuild, endOf(ctx))
	}
	// What is sent in the course of a call of this client is a part of it.
	outer := CallFrom(ctx)
	if err := c.state.begin(call, outer != nil && outer.client == c); err != nil {
		return opError(opBuild, err)
	}
	if limit := c.builtin.timeout.For(req); engine.Limited(limit) {
		call.ctx.setDeadline(deadline{time.Now().Add(limit), limit}, false)
	}
	call.ctx.watch()
	return nil
}

// failed ends the call with its error, as the caller sees it.
func (call *Call) failed(resp *Response, err error) error {
	if resp != nil {
		resp.Close()
	}
	call.closeOpen()
	err = call.explain(err)
	last := call.last.Load()
	if last == nil {
		last = &call.request
	}
	call.tellCancelled(err)
	err = envelope(call, last, call.client.handleError(&call.ctx, &call.request, err))
	call.finish(err)
	return err
}

// tellCancelled raises Cancelled if the caller's context or Cancel ended the
// call, not a timeout of its own.
func (call *Call) tellCancelled(err error) {
	if _, timeout := errors.AsType[*engine.TimeoutError](err); !timeout && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		emit(&call.ctx, &call.request, Cancelled{Call: call, Cause: err})
	}
}

// handleError shows the error to the client's and the request's error handlers,
// each of which may replace it.
func (c *Client) handleError(ctx context.Context, req *Request, err error) error {
	for _, h := range c.handlers {
		if replaced := h(ctx, req, err); replaced != nil {
			err = replaced
		}
	}
	for _, h := range req.extras().errorHandlers {
		if replaced := h(ctx, req, err); replaced != nil {
			err = replaced
		}
	}
	return err
}

// Use makes a client, calls f with it, and closes it when f returns or panics.
// Calls that f left running are finished in the background.
func Use(ctx context.Context, f func(context.Context, *Client) error, opts ...ClientOption) error {
	c := New(opts...)
	defer c.Close()
	return f(ctx, c)
}
