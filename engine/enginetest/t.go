package enginetest

import (
	"context"
	"errors"
	"io"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

const (
	// patience bounds what should take no time at all.
	patience = 10 * time.Second
	// short is a timeout that a test waits for.
	short = 40 * time.Millisecond
	// long is a timeout that must not be reached.
	long = time.Minute
)

// T is a test of the suite: a testing.T that makes engines, servers and
// requests and cleans up in the right order: bodies, engines, servers, and at
// last the count of goroutines.
type T struct {
	*testing.T
	s   *suite
	ctx context.Context // ends when patience is over, so that nothing hangs

	waitingBefore int // see waiting

	mu         sync.Mutex // guards what follows
	openBodies []func()
	engines    []func()
	servers    []func()
}

func newT(t *testing.T, s *suite) *T {
	leakcheck.Goroutines(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	h := &T{T: t, s: s, ctx: ctx, waitingBefore: waiting()}
	t.Cleanup(func() {
		h.closeAll(&h.openBodies)
		h.closeAll(&h.engines)
		h.closeAll(&h.servers)
		cancel()
	})
	return h
}

// sub returns a T for a subtest row of t.
func (t *T) row(name string, f func(t *T)) {
	t.Run(name, func(inner *testing.T) { f(newT(inner, t.s)) })
}

func (t *T) closeAll(list *[]func()) {
	t.mu.Lock()
	closers := *list
	*list = nil
	t.mu.Unlock()
	for i := len(closers) - 1; i >= 0; i-- {
		closers[i]()
	}
}

func (t *T) onEnd(f func())       { t.mu.Lock(); defer t.mu.Unlock(); t.engines = append(t.engines, f) }
func (t *T) onServerEnd(f func()) { t.mu.Lock(); defer t.mu.Unlock(); t.servers = append(t.servers, f) }

// engine makes an engine without a proxy, changed by mods, that is closed at
// the end.
func (t *T) engine(mods ...func(*engine.Config)) engine.Engine {
	t.Helper()
	cfg := t.s.base()
	for _, mod := range mods {
		mod(&cfg)
	}
	e, err := t.s.make(cfg, nil)
	if err != nil {
		t.Fatalf("NewEngine: %v", err)
	}
	t.onEnd(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Engine.Close: %v", err)
		}
	})
	return e
}

// request makes a request with fields name, value, name, value, …
func (t *T) request(method, rawURL string, fields ...string) *engine.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Request{Method: method, URL: u, Header: header.New(fields...)}
}

// post makes a POST request.
func (t *T) post(rawURL string, body content.Content, fields ...string) *engine.Request {
	t.Helper()
	req := t.request("POST", rawURL, fields...)
	req.Body = body
	return req
}

// execute sends req and sees to it that the body is closed at the end.
func (t *T) execute(e engine.Engine, req *engine.Request) (*engine.Response, error) {
	return t.executeIn(t.ctx, e, req)
}

func (t *T) executeIn(ctx context.Context, e engine.Engine, req *engine.Request) (*engine.Response, error) {
	resp, err := e.Execute(ctx, req)
	switch {
	case err == nil && resp == nil:
		t.Error("Execute returned neither a response nor an error")
		return nil, errors.New("nil response")
	case err != nil && resp != nil:
		t.Errorf("Execute returned a response and the error %v", err)
	case err == nil && resp.Body == nil:
		t.Error("Response.Body is nil")
		return nil, errors.New("nil body")
	}
	if err == nil {
		t.mu.Lock()
		t.openBodies = append(t.openBodies, func() { resp.Body.Close() })
		t.mu.Unlock()
	}
	return resp, err
}

// must sends req, which must succeed.
func (t *T) must(e engine.Engine, req *engine.Request) *engine.Response {
	t.Helper()
	resp, err := t.execute(e, req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return resp
}

// read reads the body to its end, which must succeed, and closes it.
func (t *T) read(resp *engine.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the body after %d bytes: %v", len(b), err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Errorf("Body.Close: %v", err)
	}
	return string(b)
}

// get fetches rawURL and compares status and body.
func (t *T) get(e engine.Engine, rawURL string, status int, body string) *engine.Response {
	t.Helper()
	return t.want(e, t.request("GET", rawURL), status, body)
}

// want sends req and compares status and body.
func (t *T) want(e engine.Engine, req *engine.Request, status int, body string) *engine.Response {
	t.Helper()
	resp := t.must(e, req)
	if resp.Status != status {
		t.Errorf("%s %s: status %d, want %d", req.Method, req.URL, resp.Status, status)
	}
	if got := t.read(resp); got != body {
		t.Errorf("%s %s: body %s, want %s", req.Method, req.URL, cut(got), cut(body))
	}
	return resp
}

// fails sends req and reads the body; one of the two must fail.
func (t *T) fails(e engine.Engine, req *engine.Request) error {
	t.Helper()
	resp, err := t.execute(e, req)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil {
		t.Fatalf("%s %s succeeded: status %d, body %s", req.Method, req.URL, resp.Status, cut(string(b)))
	}
	return err
}

// result is what Execute returned in another goroutine.
type result struct {
	resp *engine.Response
	err  error
}

// start sends req in another goroutine.
func (t *T) start(ctx context.Context, e engine.Engine, req *engine.Request) <-chan result {
	done := make(chan result, 1)
	go func() {
		resp, err := t.executeIn(ctx, e, req)
		done <- result{resp, err}
	}()
	return done
}

// within waits for ch and fails if that takes too long.
func within[V any](t *T, what string, ch <-chan V) V {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: still waiting after %v", what, patience)
		panic("unreachable")
	}
}

// quick runs f and fails if it takes longer than what is prompt.
func (t *T) quick(what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	within(t, what, done)
}

// eventually polls until ok, for a bounded time, and reports whether it got
// there.
func (t *T) eventually(ok func() bool) bool {
	pause := 20 * time.Microsecond
	for start := time.Now(); !ok(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Since(start) > patience/2 {
			return false
		}
		<-time.After(pause)
	}
	return true
}

// wantOp checks that err is an *engine.OpError of one of ops.
func (t *T) wantOp(err error, ops ...engine.Op) *engine.OpError {
	t.Helper()
	oe, ok := errors.AsType[*engine.OpError](err)
	if !ok {
		t.Fatalf("error %v (%T) is no *engine.OpError", err, err)
	}
	for _, op := range ops {
		if oe.Op == op {
			return oe
		}
	}
	t.Errorf("error %q has Op %q, want %q", err, oe.Op, ops)
	return oe
}

// wantIs checks errors.Is.
func (t *T) wantIs(err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v (%T), want one that is %v", err, err, target)
	}
}

// wantProtocol checks that err holds an *engine.ProtocolError with a reason.
func (t *T) wantProtocol(err error) {
	t.Helper()
	pe, ok := errors.AsType[*engine.ProtocolError](err)
	if !ok {
		t.Errorf("error %v (%T), want *engine.ProtocolError", err, err)
		return
	}
	if pe.Reason == "" {
		t.Error("the ProtocolError gives no reason")
	}
	t.wantOp(err, engine.OpReceive)
}

// wantTimeout checks the three ways in which a timeout shows.
func (t *T) wantTimeout(err error, kind engine.TimeoutKind) {
	t.Helper()
	te, ok := errors.AsType[*engine.TimeoutError](err)
	switch {
	case !ok:
		t.Fatalf("error %v (%T), want *engine.TimeoutError of kind %q", err, err, kind)
	case te.Kind != kind:
		t.Errorf("timeout of kind %q, want %q (%v)", te.Kind, kind, err)
	case !engine.IsTimeout(err):
		t.Errorf("IsTimeout(%v) is false", err)
	}
	t.wantIs(err, context.DeadlineExceeded)
	if errors.Is(err, context.Canceled) {
		t.Errorf("the timeout %v is context.Canceled too", err)
	}
}

// cut quotes s and keeps it short.
func cut(s string) string {
	if len(s) > 200 {
		return quote(s[:100]) + "…" + quote(s[len(s)-60:]) + " (" + itoa(len(s)) + " bytes)"
	}
	return quote(s)
}
