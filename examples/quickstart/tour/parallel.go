package tour

import (
	"context"
	"fmt"
	"slices"

	"github.com/godwit-go/godwit"
)

var parallelCode = []string{
	`left := godwit.Async(ctx, func(ctx context.Context) (string, error) {`,
	`	return godwit.Get[string](ctx, c, "/meet")`,
	`})`,
	`a, err := left.Await(ctx)`,
}

// parallel sends two requests at once. The server answers /meet only when two of
// them have arrived: one after the other, they would wait for ever.
func parallel(ctx context.Context, c *godwit.Client) (string, error) {
	left := godwit.Async(ctx, func(ctx context.Context) (string, error) {
		return godwit.Get[string](ctx, c, "/meet")
	})
	right := godwit.Async(ctx, func(ctx context.Context) (string, error) {
		return godwit.Get[string](ctx, c, "/meet")
	})
	a, err := left.Await(ctx)
	if err != nil {
		return "", err
	}
	b, err := right.Await(ctx)
	if err != nil {
		return "", err
	}
	if a != meeting || b != meeting {
		return "", differs("what they got", []string{a, b}, meeting)
	}
	return fmt.Sprintf("both got %q", a), nil
}

var boundedCode = []string{
	`squares, err := godwit.Parallel(ctx, 4, numbers, func(ctx context.Context, n int) (int, error) {`,
	`	return godwit.Get[int](ctx, c, "/square", godwit.Param("n", n))`,
	`})`,
}

// bounded sends a request for each item, at most 4 at a time. The results keep
// the order of the items, and the error holds all that failed.
func bounded(ctx context.Context, c *godwit.Client) (string, error) {
	var numbers, want []int
	for n := range 40 {
		numbers, want = append(numbers, n), append(want, n*n)
	}
	squares, err := godwit.Parallel(ctx, 4, numbers, func(ctx context.Context, n int) (int, error) {
		return godwit.Get[int](ctx, c, "/square", godwit.Param("n", n))
	})
	if err != nil {
		return "", err
	}
	if !slices.Equal(squares, want) {
		return "", differs("the list of squares", squares, want)
	}
	return fmt.Sprintf("%d squares in order, from %d to %d", len(squares), squares[0], squares[39]), nil
}
