package godwit_test

import (
	"context"
	"fmt"

	"github.com/godwit-go/godwit"
)

func ExampleAsync() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	one := godwit.Async(ctx, func(ctx context.Context) (User, error) {
		return godwit.Get[User](ctx, c, "https://example.org/users/7")
	})
	two := godwit.Async(ctx, func(ctx context.Context) (int, error) {
		text, err := godwit.Get[string](ctx, c, "https://example.org/users/7")
		return len(text), err
	})
	user, err := one.Await(ctx)
	size, err2 := two.Await(ctx)
	fmt.Println(user, err, size, err2)
	// Output: {7 Ada} <nil> 21 <nil>
}

func ExampleParallel() {
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()

	lines, err := godwit.Parallel(ctx, 2, []int{1, 2, 3}, func(ctx context.Context, id int) (string, error) {
		return godwit.Get[string](ctx, c, "https://example.org/users/{id}", godwit.PathParam("id", id))
	})
	for _, line := range lines { // in the order of the items
		fmt.Println(line)
	}
	fmt.Println(err)
	// Output:
	// GET https://example.org/users/1
	// GET https://example.org/users/2
	// GET https://example.org/users/3
	// <nil>
}

func Example_sequential() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	first, err := godwit.Get[User](ctx, c, "https://example.org/users/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	second, err := godwit.Get[User](ctx, c, "https://example.org/users/{id}", godwit.PathParam("id", first.ID))
	fmt.Println(second, err)
	// Output: {7 Ada} <nil>
}
