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
	go guarded(func() (T, error) { return f(ctx) }, func(v T, err error) {
		future.value, future.err = v, err
		close(future.done)
	})
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
		return none, endOf(ctx)
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

// guarded makes errors of a panic and of a runtime.Goexit; with the latter it
// does not return, but has called done.
func guarded[T any](f func() (T, error), done func(T, error)) {
	v, err := *new(T), errGoexit
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{r, debug.Stack()}
		}
		done(v, err)
	}()
	v, err = f()
}

var errGoexit = errors.New("the function ended its goroutine (runtime.Goexit)")

// Parallel calls f for each item, at most limit at a time (0 = 16), and waits for
// all. The results are in the order of the items; where f failed they hold the
// zero value and the error holds what f returned, in the same order, each
// wrapped in an *[ItemError]. When ctx ends, items not begun fail with its error.
func Parallel[In, Out any](ctx context.Context, limit int, items []In, f func(ctx context.Context, item In) (Out, error)) ([]Out, error) {
	out := make([]Out, len(items))
	if ctx == nil {
		return out, errors.New("Parallel: context is nil")
	}
	if limit <= 0 {
		limit = 16
	}
	errs := make([]error, len(items))
	next := make(chan int)
	var workers sync.WaitGroup
	var worker func()
	worker = func() {
		for i := range next {
			guarded(func() (Out, error) { return f(ctx, items[i]) }, func(v Out, err error) {
				if err == nil {
					out[i] = v
					return
				}
				errs[i] = &ItemError{i, err}
				if err == errGoexit {
					workers.Go(worker) // this goroutine ends here
				}
			})
		}
	}
	for range min(limit, len(items)) {
		workers.Go(worker)
	}
	for i := range items {
		if ctx.Err() != nil {
			errs[i] = &ItemError{i, endOf(ctx)}
			continue
		}
		select {
		case next <- i:
		case <-ctx.Done():
			errs[i] = &ItemError{i, endOf(ctx)}
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
