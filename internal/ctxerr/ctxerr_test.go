package ctxerr_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

func TestOf(t *testing.T) {
	own := errors.New("own reason")
	timeout := &engine.TimeoutError{Kind: engine.KindConnect, Limit: time.Second}
	past := time.Unix(1, 0)
	for _, tc := range []struct {
		name string
		ctx  func() (context.Context, context.CancelFunc)
		is   []error
		text string
	}{
		{"running", func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }, nil, ""},
		{"cancelled", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, cancel
		}, []error{context.Canceled}, "context canceled"},
		{"own cause", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(own)
			return ctx, func() { cancel(nil) }
		}, []error{context.Canceled, own}, "context canceled: own reason"},
		{"a timeout as cause", func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(timeout)
			return ctx, func() { cancel(nil) }
		}, []error{context.DeadlineExceeded, timeout}, "connect timeout after 1s"},
		{"deadline", func() (context.Context, context.CancelFunc) { return context.WithDeadline(t.Context(), past) },
			[]error{context.DeadlineExceeded}, "context deadline exceeded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := tc.ctx()
			defer cancel()
			err := ctxerr.Of(ctx)
			if len(tc.is) == 0 {
				if err != nil {
					t.Fatalf("Of = %v, want nil", err)
				}
				return
			}
			for _, want := range tc.is {
				if !errors.Is(err, want) {
					t.Errorf("%v is not %v", err, want)
				}
			}
			if err.Error() != tc.text {
				t.Errorf("text = %q, want %q", err, tc.text)
			}
		})
	}
}
