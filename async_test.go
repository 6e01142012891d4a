package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit"
)

func TestAsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		a := godwit.Async(t.Context(), func(context.Context) (int, error) { <-release; return 7, nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.Await(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Await with a done context: %v", err)
		}
		close(release)
		for range 2 {
			if v, err := a.Await(t.Context()); v != 7 || err != nil {
				t.Errorf("%v, %v", v, err)
			}
		}
		<-a.Done()
		bad := godwit.Async(t.Context(), func(context.Context) (int, error) { panic(errors.ErrUnsupported) })
		_, err := bad.Await(t.Context())
		pe, ok := errors.AsType[*godwit.PanicError](err)
		if !ok || !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(string(pe.Stack), "TestAsync") {
			t.Errorf("panic: %v", err)
		}
	})
}

func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		gate := make(chan struct{})
		go func() {
			synctest.Wait() // until all that may run at once do
			for range 100 {
				gate <- struct{}{}
			}
		}()
		items := make([]int, 100)
		for i := range items {
			items[i] = i
		}
		odd := errors.New("odd")
		out, err := godwit.Parallel(t.Context(), 8, items, func(_ context.Context, i int) (string, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-gate
			if i%2 == 1 {
				return "lost", fmt.Errorf("%d is %w", i, odd)
			}
			return fmt.Sprint(i), nil
		})
		if most.Load() != 8 {
			t.Errorf("%d at once", most.Load())
		}
		for i, s := range out {
			if want := map[bool]string{true: fmt.Sprint(i)}[i%2 == 0]; s != want {
				t.Errorf("item %d: %q", i, s)
			}
		}
		all := err.(interface{ Unwrap() []error }).Unwrap()
		if len(all) != 50 {
			t.Fatalf("%d errors", len(all))
		}
		for n, err := range all {
			ie, ok := errors.AsType[*godwit.ItemError](err)
			if !ok || ie.Index != 2*n+1 || !errors.Is(err, odd) {
				t.Errorf("error %d: %v", n, err)
			}
		}
	})
}

func TestParallelStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var begun atomic.Int32
		_, err := godwit.Parallel(ctx, 2, make([]int, 10), func(ctx context.Context, _ int) (int, error) {
			if begun.Add(1) == 2 {
				cancel()
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) || len(err.(interface{ Unwrap() []error }).Unwrap()) != 10 {
			t.Errorf("got %v", err)
		}
		var none context.Context
		if out, err := godwit.Parallel(none, 2, []int{1, 2}, func(context.Context, int) (int, error) { return 1, nil }); len(out) != 2 || err == nil {
			t.Errorf("without a context: %v, %v", out, err)
		}
		if out, err := godwit.Parallel(t.Context(), 0, nil, func(context.Context, int) (int, error) { return 0, nil }); len(out) != 0 || err != nil {
			t.Errorf("nothing to do: %v, %v", out, err)
		}
	})
}
