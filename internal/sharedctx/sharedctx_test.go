package sharedctx_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/sharedctx"
)

// call records how it was aborted.
type call struct {
	times atomic.Int32
	cause atomic.Value
}

func (c *call) Abort(cause error) {
	c.cause.Store(cause)
	c.times.Add(1)
}

// popular returns what w makes of ctx when it has come often.
func popular(t *testing.T, w *sharedctx.Watcher, ctx context.Context) context.Context {
	t.Helper()
	for range 100 {
		if got := w.Of(ctx); got != ctx {
			return got
		}
	}
	t.Fatal("a context that comes often is not shared")
	return nil
}

// counted counts who hangs on it. Package context asks it, as it does not know
// it as one of its own.
type counted struct {
	context.Context
	on atomic.Int32
}

func (c *counted) Value(any) any { return nil }

func (c *counted) AfterFunc(f func()) func() bool {
	c.on.Add(1)
	stop := context.AfterFunc(c.Context, f)
	return func() bool {
		in := stop()
		if in {
			c.on.Add(-1)
		}
		return in
	}
}

func TestWatchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		ctx := &counted{Context: parent}
		var w sharedctx.Watcher
		shared := popular(t, &w, ctx)
		var calls [100]call
		var regs [100]engine.Registration
		for i := range calls {
			regs[i] = engine.OnAbort(w.Of(ctx), &calls[i])
		}
		if n := ctx.on.Load(); n != 1 {
			t.Errorf("watched %d times", n)
		}
		for i := 0; i < 100; i += 2 {
			if !regs[i].Stop() || regs[i].Stop() {
				t.Errorf("registration %d is not taken back once", i)
			}
		}
		if n := ctx.on.Load(); n != 1 {
			t.Errorf("with half of them gone watched %d times", n)
		}
		// A place that is used again: the old registration must not touch the new.
		again := engine.OnAbort(shared, &calls[0])
		if regs[98].Stop() || regs[0].Stop() {
			t.Error("an old registration takes back a new one")
		}
		cancel()
		synctest.Wait()
		for i := range calls {
			want := int32(i % 2)
			if i == 0 {
				want = 1
			}
			if n := calls[i].times.Load(); n != want || n == 1 && calls[i].cause.Load() != context.Canceled {
				t.Errorf("call %d: aborted %d times, by %v", i, n, calls[i].cause.Load())
			}
		}
		if again.Stop() || regs[1].Stop() {
			t.Error("a registration is taken back after it fired")
		}
		var late call
		if engine.OnAbort(shared, &late).Stop() || late.times.Load() != 1 || late.cause.Load() != context.Canceled {
			t.Error("who comes after the end is not aborted at once")
		}
		if got := w.Of(ctx); got != ctx {
			t.Errorf("a context that has ended is %T", got)
		}
	})
}

func TestCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		var w sharedctx.Watcher
		var c call
		engine.OnAbort(popular(t, &w, ctx), &c)
		boom := errors.New("boom")
		cancel(boom)
		synctest.Wait()
		if c.cause.Load() != boom {
			t.Errorf("aborted by %v", c.cause.Load())
		}
	})
}

type aborter func(error)

func (f aborter) Abort(cause error) { f(cause) }

func TestOthers(t *testing.T) {
	var w sharedctx.Watcher
	if got := popularOr(&w, context.Background()); got != context.Background() {
		t.Errorf("a context that never ends is %T", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shared := popular(t, &w, ctx)
	type key struct{}
	if got := w.Of(context.WithValue(ctx, key{}, 1)); got != shared {
		t.Error("a context with a value of its own is not watched with its parent")
	}
	if got := popularOr(&w, shared); got != shared {
		t.Errorf("a shared context is shared once more: %T", got)
	}
	// Contexts that come a few times each are left alone.
	var several sharedctx.Watcher
	for range 100 {
		for range 2 {
			a, cancel := context.WithCancel(t.Context())
			for range 3 {
				if got := several.Of(a); got != a {
					t.Fatalf("a context of three calls is %T", got)
				}
			}
			cancel()
		}
	}
}

func popularOr(w *sharedctx.Watcher, ctx context.Context) context.Context {
	got := ctx
	for range 100 {
		got = w.Of(ctx)
	}
	return got
}

// TestMany: when many contexts come in turn, they find places.
func TestMany(t *testing.T) {
	const many = 3000 // for which a table that has grown once is too small still
	var w sharedctx.Watcher
	ctxs := make([]context.Context, many)
	cancels := make([]context.CancelFunc, many)
	for i := range ctxs {
		ctxs[i], cancels[i] = context.WithCancel(t.Context())
		defer cancels[i]()
	}
	var c call
	kept := func() (n int) {
		for _, ctx := range ctxs {
			got := w.Of(ctx)
			if got != ctx {
				n++
			}
			engine.OnAbort(got, &c).Stop()
		}
		return n
	}
	for range 100 {
		kept()
	}
	if n := kept(); n < many*8/10 {
		t.Errorf("%d of %d contexts are shared", n, many)
	}
	for _, cancel := range cancels {
		cancel()
	}
	for kept() != 0 { // they are told of it by goroutines
		runtime.Gosched()
	}
	// Contexts that come and go are no reason to grow, however many they are.
	if testing.Short() {
		return
	}
	var passing sharedctx.Watcher
	for range 100_000 {
		ctx, cancel := context.WithCancel(t.Context())
		passing.Of(ctx)
		passing.Of(ctx)
		cancel()
	}
	if n := passing.Places(); n != sharedctx.Few {
		t.Errorf("contexts that pass made %d places", n)
	}
	if n := w.Places(); n != sharedctx.Many {
		t.Errorf("contexts that come in turn found %d places", n)
	}
}

// TestLetsGo: a context is let go when another takes its place, or at Close, and
// not before the calls that hang on it are over.
func TestLetsGo(t *testing.T) {
	for name, drop := range map[string]func(t *testing.T, w *sharedctx.Watcher){
		"Close": func(_ *testing.T, w *sharedctx.Watcher) { w.Close() },
		"another": func(t *testing.T, w *sharedctx.Watcher) {
			for range 4000 { // one of them has the same place
				other, cancel := context.WithCancel(t.Context())
				t.Cleanup(cancel)
				popular(t, w, other)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancel(t.Context())
				defer cancel()
				for _, busy := range []bool{false, true} {
					ctx := &counted{Context: parent}
					var w sharedctx.Watcher
					shared := popular(t, &w, ctx)
					var c call
					reg := engine.Registration{}
					if busy {
						reg = engine.OnAbort(shared, &c)
					}
					drop(t, &w)
					if n := ctx.on.Load(); (n == 1) != busy {
						t.Errorf("busy %v: watched %d times", busy, n)
					}
					if !reg.Stop() || ctx.on.Load() != 0 {
						t.Errorf("busy %v: still watched at the end", busy)
					}
				}
				// What still hangs on it is aborted, and what has only now begun with it.
				var w, idle sharedctx.Watcher
				var before, after call
				engine.OnAbort(popular(t, &w, parent), &before)
				drop(t, &w)
				shared := popular(t, &idle, parent)
				drop(t, &idle)
				engine.OnAbort(shared, &after)
				cancel()
				synctest.Wait()
				if before.times.Load() != 1 || after.times.Load() != 1 {
					t.Error("a call was forgotten")
				}
			})
		})
	}
	var w sharedctx.Watcher
	w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if got := popularOr(&w, ctx); got != ctx {
		t.Error("a closed watcher watches")
	}
}

// TestCrowd: each call is either taken back or aborted, never both or neither.
func TestCrowd(t *testing.T) {
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		var w sharedctx.Watcher
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for n := 0; ; n++ {
					if i == 0 && n == 100 {
						cancel()
					}
					var back atomic.Bool
					ended := make(chan struct{})
					reg := engine.OnAbort(w.Of(ctx), aborter(func(error) {
						if back.Load() {
							t.Error("taken back and aborted")
						}
						close(ended) // twice is a panic
					}))
					if !reg.Stop() {
						<-ended
						return
					}
					back.Store(true)
				}
			})
		}
		wg.Wait()
		cancel()
	}
}

func BenchmarkOnAbort(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	c := new(call)
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			engine.OnAbort(ctx, c).Stop()
		}
	})
	b.Run("shared", func(b *testing.B) {
		var w sharedctx.Watcher
		b.ReportAllocs()
		for b.Loop() {
			engine.OnAbort(w.Of(ctx), c).Stop()
		}
	})
}
