package godwit_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

// owned returns a client that made its mock engine, and that engine.
func owned(t *testing.T, handlers []mock.Handler, opts ...godwit.ClientOption) (*godwit.Client, *mock.Engine) {
	t.Helper()
	var eng *mock.Engine
	c := godwit.New(append([]godwit.ClientOption{godwit.WithEngine(mock.Config{Handlers: handlers, Created: func(e *mock.Engine) { eng = e }})}, opts...)...)
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	return c, eng
}

func TestCloseOwnership(t *testing.T) {
	c, eng := owned(t, nil)
	c.Close()
	if !eng.Closed() {
		t.Error("the engine that the client made is open")
	}
	shared := mock.New(mock.OK(""))
	c = godwit.New(godwit.WithEngineInstance(shared))
	c.Close()
	c.Close()
	if shared.Closed() {
		t.Error("the caller's engine was closed")
	}
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); !errors.Is(err, godwit.ErrClientClosed) {
		t.Errorf("call on a closed client: %v", err)
	}
}

func TestSiblingsShareTheEngine(t *testing.T) {
	c, eng := owned(t, answers(mock.Always(mock.OK("x"))), godwit.Header("X", "1"))
	sibling := c.With(godwit.Header("Y", "2"))
	c.Close()
	if eng.Closed() {
		t.Fatal("engine closed under the sibling")
	}
	if _, err := sibling.Do(t.Context(), godwit.NewRequest("GET", base)); err != nil {
		t.Fatal(err)
	}
	if h := eng.Requests()[0].Header; h.Get("X") != "1" || h.Get("Y") != "2" {
		t.Errorf("fields %s", h)
	}
	sibling.Close()
	if !eng.Closed() {
		t.Error("engine open after the last sibling")
	}
	if late := c.With(); late.Err() == nil {
		t.Error("a sibling of the dead is alive")
	}
	if bad := godwit.New(godwit.WithEngineInstance(eng)).With(godwit.WithEngineInstance(eng)); bad.Err() == nil {
		t.Error("With takes an engine")
	}
}

func TestForgottenSiblingIsReleased(t *testing.T) {
	c, eng := owned(t, nil)
	c.With().Engine() // forgotten at once
	c.Close()
	for range 100 {
		runtime.GC()
		if eng.Closed() {
			return
		}
		runtime.Gosched()
	}
	deadline := time.Now().Add(10 * time.Second)
	for !eng.Closed() {
		if time.Now().After(deadline) {
			t.Fatal("the engine of a forgotten sibling stays open")
		}
		runtime.GC()
	}
}

func TestForgottenBodyIsClosed(t *testing.T) {
	c, eng := owned(t, answers(mock.Always(mock.OK("0123456789").WithStall(2))))
	defer c.Close()
	body := func() io.Reader {
		resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Body // the response is dropped, the body kept
	}()
	for range 5 {
		runtime.GC()
	}
	two := make([]byte, 2)
	if _, err := io.ReadFull(body, two); err != nil || string(two) != "01" {
		t.Fatalf("body kept while its response is dropped: %q, %v", two, err)
	}
	if eng.OpenBodies() != 1 {
		t.Fatalf("%d open bodies", eng.OpenBodies())
	}
	body = nil
	deadline := time.Now().Add(10 * time.Second)
	for eng.OpenBodies() != 0 {
		if time.Now().After(deadline) {
			t.Fatal("a forgotten body stays open")
		}
		runtime.GC()
	}
}

func TestCloseJoinCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, eng := owned(t, answers(mock.Always(mock.Hang())))
		failed := make(chan error)
		go func() {
			_, err := c.Do(context.Background(), godwit.NewRequest("GET", base))
			failed <- err
		}()
		synctest.Wait()
		c.Close()
		if eng.Closed() {
			t.Error("engine closed under a running call")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := c.Join(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("Join: %v after %v", err, time.Since(start))
		}
		c.Cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled call: %v", err)
		}
		if err := c.Join(context.Background()); err != nil || !eng.Closed() {
			t.Errorf("Join: %v, engine closed: %v", err, eng.Closed())
		}
	})
}

func TestCancelTouchesOwnCallsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		eng := mock.New(mock.Always(mock.Func(func(ctx context.Context, _ *mock.Request) (*mock.Response, error) {
			select {
			case <-release:
				return mock.OK("done"), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})))
		defer eng.Close()
		c := godwit.New(godwit.WithEngineInstance(eng))
		sibling := c.With()
		defer c.Close()
		defer sibling.Close()
		mine, theirs := make(chan error, 1), make(chan error, 1)
		go func() { _, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); mine <- err }()
		go func() { _, err := sibling.Do(t.Context(), godwit.NewRequest("GET", base)); theirs <- err }()
		synctest.Wait()
		c.Cancel()
		if err := <-mine; !errors.Is(err, context.Canceled) {
			t.Errorf("own call: %v", err)
		}
		close(release)
		if err := <-theirs; err != nil {
			t.Errorf("sibling's call: %v", err)
		}
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); err != nil {
			t.Errorf("call after Cancel: %v", err)
		}
	})
}

func TestCancelEndsStreams(t *testing.T) {
	c, eng := client(t, answers(mock.OK("0123456789").WithStall(2)))
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base))
	if err != nil {
		t.Fatal(err)
	}
	c.Cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	eng.AssertBodiesClosed(t)
	if err := c.Join(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUse(t *testing.T) {
	var eng *mock.Engine
	with := godwit.WithEngine(mock.Config{Created: func(e *mock.Engine) { eng = e }})
	stop := errors.New("stop")
	if err := godwit.Use(t.Context(), func(context.Context, *godwit.Client) error { return stop }, with); err != stop || !eng.Closed() {
		t.Errorf("Use: %v, closed %v", err, eng.Closed())
	}
	func() {
		defer func() { recover() }()
		godwit.Use(t.Context(), func(context.Context, *godwit.Client) error { panic("x") }, with)
	}()
	if !eng.Closed() {
		t.Error("engine open after a panic")
	}
}

func TestBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		c, eng := owned(t, answers(mock.Always(mock.Hang())), godwit.Bind(ctx))
		failed := make(chan error, 1)
		go func() { _, err := c.Do(context.Background(), godwit.NewRequest("GET", base)); failed <- err }()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("call: %v", err)
		}
		synctest.Wait()
		if !eng.Closed() {
			t.Error("engine open")
		}
	})
}

func TestCallCancel(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.Hang())))
	_, err := c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.On(func(_ context.Context, e godwit.Sending) { e.Call.Cancel() })))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eng.AssertBodiesClosed(t)
}

func TestCallerCause(t *testing.T) {
	why := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.Context())
	c, _ := client(t, answers(mock.Always(mock.Hang())))
	_, err := c.Do(ctx, godwit.NewRequest("GET", base, godwit.On(func(context.Context, godwit.Sending) { cancel(why) })))
	if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

type closing struct{ n *atomic.Int32 }

func (closing) Name() string                  { return "closing" }
func (closing) Install(s *godwit.Scope) error { return nil }
func (c closing) Close() error                { c.n.Add(1); return nil }

func TestPluginsCloseOnce(t *testing.T) {
	var n atomic.Int32
	c, _ := owned(t, nil, godwit.Install(closing{&n}))
	sibling := c.With()
	c.Close()
	if n.Load() != 0 {
		t.Error("plugin closed under a sibling")
	}
	sibling.Close()
	if n.Load() != 1 {
		t.Errorf("plugin closed %d times", n.Load())
	}
}

func TestPanicLeavesNothing(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK("x"))),
		godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			next(ctx, req)
			panic("interceptor")
		}))
	func() {
		defer func() {
			if recover() != "interceptor" {
				t.Error("the panic was swallowed")
			}
		}()
		c.Do(t.Context(), godwit.NewRequest("GET", base))
	}()
	eng.AssertBodiesClosed(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Join(ctx); err != nil {
		t.Errorf("a call still runs: %v", err)
	}
}

func TestDefaultClient(t *testing.T) {
	eng := mock.New(mock.OK("default"))
	godwit.Default = godwit.New(godwit.WithEngineInstance(eng))
	defer func() { godwit.Default.Close(); godwit.Default = nil }()
	if s, err := godwit.Get[string](t.Context(), nil, base); err != nil || s != "default" {
		t.Errorf("%q, %v", s, err)
	}
}
