package godwit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Future is a value that is being made in the background. It is safe for
// concurrent use.
type Future[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// Async runs f in a goroutine. It ends when f returns; cancel ctx to end it
// early. A panic in f becomes the future's error, *[PanicError].
func Async[T any](ctx context.Context, f func(ctx context.Context) (T, error)) *Future[T] {
	future := &Future[T]{done: make(chan struct{})}
	go func() {
		defer close(future.done)
		future.value, future.err = guarded(func() (T, error) { return f(ctx) })
	}()
	return future
}

// Await waits for the value, or for ctx to end. It can be called any number of
// times.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	select {
	case <-f.done:
		return f.value, f.err
	default:
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Done returns a channel that is closed when the value is there.
func (f *Future[T]) Done() <-chan struct{} { return f.done }

// PanicError is a panic in a function that [Async] or [Parallel] ran.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the value that was panicked with if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{r, debug.Stack()}
		}
	}()
	return f()
}

// Parallel calls f for each item, at most limit at a time (0 = 16), and waits for
// all. The results are in the order of the items; where f failed they hold the
// zero value and the error holds what f returned, in the same order, each
// wrapped in an *[ItemError]. When ctx ends, items not begun fail with its error.
func Parallel[In, Out any](ctx context.Context, limit int, items []In, f func(ctx context.Context, item In) (Out, error)) ([]Out, error) {
	if limit <= 0 {
		limit = 16
	}
	out := make([]Out, len(items))
	errs := make([]error, len(items))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(limit, len(items)) {
		workers.Go(func() {
			for i := range next {
				v, err := guarded(func() (Out, error) { return f(ctx, items[i]) })
				if err != nil {
					errs[i] = &ItemError{i, err}
					continue
				}
				out[i] = v
			}
		})
	}
	for i := range items {
		if ctx.Err() != nil {
			errs[i] = &ItemError{i, context.Cause(ctx)}
			continue
		}
		select {
		case next <- i:
		case <-ctx.Done():
			errs[i] = &ItemError{i, context.Cause(ctx)}
		}
	}
	close(next)
	workers.Wait()
	return out, errors.Join(errs...)
}

// ItemError is the failure of one item in [Parallel].
type ItemError struct {
	Index int
	Err   error
}

func (e *ItemError) Error() string { return fmt.Sprintf("item %d: %v", e.Index, e.Err) }

// Unwrap returns the cause.
func (e *ItemError) Unwrap() error { return e.Err }
