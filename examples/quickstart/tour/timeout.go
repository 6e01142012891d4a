package tour

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
)

var timeoutCode = []string{
	`_, err := godwit.Get[string](ctx, c, "/never", godwit.Timeout(100*time.Millisecond))`,
	`limit, ok := errors.AsType[*godwit.TimeoutError](err)`,
}

// timeout asks for what never comes. The error says which limit was reached.
func timeout(ctx context.Context, c *godwit.Client) (string, error) {
	start := time.Now()
	_, err := godwit.Get[string](ctx, c, "/never", godwit.Timeout(100*time.Millisecond))
	limit, ok := errors.AsType[*godwit.TimeoutError](err)
	if !ok || limit.Kind != engine.KindRequest || !errors.Is(err, context.DeadlineExceeded) {
		return "", differs("the error", err, "a request timeout")
	}
	if took := time.Since(start); took < 100*time.Millisecond || took > 5*time.Second {
		return "", differs("the time to the error", took, "100ms or little more")
	}
	return fmt.Sprintf("%v\n(kind %q, limit %v)", err, limit.Kind, limit.Limit), nil
}
