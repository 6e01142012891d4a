// Package mock is a scripted engine for tests: it answers requests from a list
// of handlers and remembers what it was sent.
//
//	eng := mock.NewT(t,
//		mock.OK("hello"),
//		mock.When(mock.Method("POST"), mock.Path("/users/*")).Reply(mock.Status(503), mock.JSON(201, user)),
//		mock.Func(func(ctx context.Context, req *mock.Request) (*mock.Response, error) {
//			return mock.Text(200, req.Text()), nil
//		}),
//	)
//
// For each request the handlers are asked in the order in which they were added,
// and the first that fits and is not used up answers. A [*Response] or a [Func]
// answers one request, whatever it is; a [*Rule], made by [When] or [Always],
// answers those that fit it, as often as it says. A request that nobody answers
// fails, is remembered as unexpected and reported by AssertDone.
//
// The engine keeps the whole contract of package engine: deadlines, timeouts,
// cancellation, trace hooks, trailers, 1xx, upgrades and CONNECT. Time is the
// time package's, so that delays take none in testing/synctest. There are no
// package-level variables: any number of engines serve parallel tests.
package mock

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit/engine"
)

// Handler answers a request: a [*Response], a [Func], a [*Rule], or what Delay,
// Error and their like return.
type Handler interface {
	// Answer returns the response to req, or the error that Execute returns.
	// ctx ends with the call, its deadline and its timeouts.
	Answer(ctx context.Context, req *Request) (*Response, error)
}

// Func is a function as a Handler. It runs in a goroutine of its own, so that
// Execute returns when the context ends even if the function does not; a panic
// or t.FailNow in it takes effect in the goroutine that called Execute.
type Func func(ctx context.Context, req *Request) (*Response, error)

// Answer calls f.
func (f Func) Answer(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// Config makes an Engine. Its zero value has no handlers; Engine.Enqueue adds
// some later.
type Config struct {
	// Handlers answer the requests.
	Handlers []Handler
	// Cycle uses the handlers over again when all are used up.
	Cycle bool
	// NoHistory keeps no requests and responses.
	NoHistory bool
	// Capabilities are what the engine claims and allows; 0 = all.
	Capabilities engine.Capabilities
	// EngineName is the engine's name; "" = "mock".
	EngineName string
	// Created is called with each engine that NewEngine makes; nil = not.
	Created func(*Engine)
}

var _ engine.Factory = Config{}

// Name returns the engine's name.
func (c Config) Name() string {
	if c.EngineName == "" {
		return "mock"
	}
	return c.EngineName
}

// NewEngine makes an *Engine, which never fails. Of shared it uses Timeouts and
// Go; Engine.Shared returns all of it.
func (c Config) NewEngine(shared engine.Config) (engine.Engine, error) {
	e := c.build(shared)
	if c.Created != nil {
		c.Created(e)
	}
	return e, nil
}

func (c Config) build(shared engine.Config) *Engine {
	if c.Capabilities == 0 {
		c.Capabilities = engine.AllCapabilities
	}
	e := &Engine{name: c.Name(), capabilities: c.Capabilities, cycle: c.Cycle, noHistory: c.NoHistory, shared: shared,
		conn: &engine.Conn{Local: addr("client"), Remote: addr("server")}}
	e.Enqueue(c.Handlers...)
	return e
}

// Engine is the scripted engine. It is safe for concurrent use.
type Engine struct {
	name         string
	capabilities engine.Capabilities
	cycle        bool
	noHistory    bool
	shared       engine.Config
	conn         *engine.Conn

	closed     atomic.Bool
	openBodies atomic.Int64

	mu         sync.Mutex // guards what follows
	entries    []*entry
	bodyNeeded bool // a rule looks at bodies
	requests   []*Request
	responses  []*Response
	unexpected []string
}

var _ engine.Engine = (*Engine)(nil)

// New returns an engine with the given handlers.
func New(handlers ...Handler) *Engine { return Config{Handlers: handlers}.build(engine.Config{}) }

// Serve returns an engine that answers every request by h.
func Serve(h Handler) *Engine { return New(Always(h)) }

// NewT returns an engine that is closed at the end of t, when also
// [Engine.AssertDone] and [Engine.AssertBodiesClosed] hold or fail t.
func NewT(t testing.TB, handlers ...Handler) *Engine {
	e := New(handlers...)
	t.Cleanup(func() {
		t.Helper()
		_ = e.Close() // always nil
		e.AssertDone(t)
		e.AssertBodiesClosed(t)
	})
	return e
}

// addr is an address in no network.
type addr string

func (addr) Network() string  { return "mock" }
func (a addr) String() string { return string(a) }

// Name returns the engine's name, "mock" unless Config says otherwise.
func (e *Engine) Name() string { return e.name }

// Capabilities returns what Config says, by default everything.
func (e *Engine) Capabilities() engine.Capabilities { return e.capabilities }

// Close makes further requests fail with engine.ErrClosed.
func (e *Engine) Close() error {
	e.closed.Store(true)
	return nil
}

// Closed reports whether Close was called.
func (e *Engine) Closed() bool { return e.closed.Load() }

// Shared returns the configuration that NewEngine was given.
func (e *Engine) Shared() engine.Config { return e.shared }

// Enqueue adds handlers after those that are there.
func (e *Engine) Enqueue(handlers ...Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range handlers {
		rule, ok := h.(*Rule)
		if !ok || rule == nil {
			rule = &Rule{replies: []Handler{h}, least: 1, most: 1}
		}
		rule = rule.whole()
		e.entries = append(e.entries, &entry{Rule: rule})
		e.bodyNeeded = e.bodyNeeded || slices.ContainsFunc(rule.matchers, func(m Matcher) bool { return m.body })
	}
}

// Reset takes away all handlers and forgets the history and unexpected requests.
func (e *Engine) Reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.entries, e.requests, e.responses, e.unexpected, e.bodyNeeded = nil, nil, nil, nil, false
}

// Requests returns what was sent so far, in order, whether answered or not. It
// is empty with NoHistory.
func (e *Engine) Requests() []*Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.requests)
}

// Responses returns the responses given so far, in order. It is empty with
// NoHistory.
func (e *Engine) Responses() []*Response {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.responses)
}

// OpenBodies returns how many response bodies and upgraded streams are neither
// closed nor, for bodies, read to their end. Empty bodies don't count.
func (e *Engine) OpenBodies() int { return int(e.openBodies.Load()) }

// AssertDone fails t for each handler that was used less often than it should
// have been, and for each unexpected request.
func (e *Engine) AssertDone(t testing.TB) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, entry := range e.entries {
		if entry.used < entry.least {
			t.Errorf("mock: handler %d (%s) was used %s, not %s", i+1, entry, times(entry.used), times(entry.least))
		}
	}
	for _, what := range e.unexpected {
		t.Errorf("mock: unexpected request %s", what)
	}
}

// AssertBodiesClosed fails t if OpenBodies is not 0.
func (e *Engine) AssertBodiesClosed(t testing.TB) {
	t.Helper()
	if n := e.OpenBodies(); n != 0 {
		t.Errorf("mock: %d response bodies were neither closed nor read to the end", n)
	}
}

// entry is a Rule in an engine, and how often it has answered there.
type entry struct {
	*Rule
	used  int // in all
	cycle int // since the handlers were last used up
}

// take returns the handler for req. The Rule decides how often an entry serves.
func (e *Engine) take(req *Request) (Handler, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := e.find(req)
	if h == nil && e.cycle && e.usedUp() {
		for _, entry := range e.entries {
			entry.cycle = 0
		}
		h = e.find(req)
	}
	if h != nil {
		return h, nil
	}
	what := req.Method + " " + req.URL.Redacted()
	e.unexpected = append(e.unexpected, what)
	return nil, &engine.OpError{Op: engine.OpBuild, Err: &UnexpectedError{Request: what, Handlers: e.state()}}
}

func (e *Engine) find(req *Request) Handler {
	for _, entry := range e.entries {
		if (entry.most < 0 || entry.cycle < entry.most) && entry.fits(req) {
			h := entry.replies[min(entry.cycle, len(entry.replies)-1)]
			entry.used++
			entry.cycle++
			return h
		}
	}
	return nil
}

// usedUp reports whether no handler of limited use is left.
func (e *Engine) usedUp() bool {
	return !slices.ContainsFunc(e.entries, func(entry *entry) bool {
		return entry.most >= 0 && entry.cycle < entry.most
	})
}

func (e *Engine) state() string {
	if len(e.entries) == 0 {
		return "there are none"
	}
	var lines []string
	for i, entry := range e.entries {
		lines = append(lines, fmt.Sprintf("%d. %s, used %s", i+1, entry, times(entry.used)))
	}
	return strings.Join(lines, "; ")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// UnexpectedError tells that no handler was left for a request, or none fitted.
type UnexpectedError struct {
	Request  string // "GET https://example.org/"
	Handlers string // what there was, and how often it was used
}

func (e *UnexpectedError) Error() string {
	return "mock: no handler for " + e.Request + " (handlers: " + e.Handlers + "); add one by Enqueue, or Always"
}

// record keeps req and resp, which may be nil, unless NoHistory is set.
func (e *Engine) record(req *Request, resp *Response) {
	if e.noHistory {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if req != nil {
		e.requests = append(e.requests, req)
	}
	if resp != nil {
		e.responses = append(e.responses, resp)
	}
}
