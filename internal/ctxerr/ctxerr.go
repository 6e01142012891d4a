// Package ctxerr turns an ended context into the error that engines report.
package ctxerr

import (
	"context"
	"errors"
	"fmt"
)

// Of returns why ctx ended, nil if it has not. The error Is context.Canceled or
// context.DeadlineExceeded, whatever the cause was: a cause of another kind is
// wrapped together with ctx.Err().
func Of(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	return With(err, context.Cause(ctx))
}

// With is Of for a context whose error and cause are known already.
func With(err, cause error) error {
	if cause == nil {
		return err
	}
	if errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
