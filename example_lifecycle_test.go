package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

func ExampleNew() {
	c := godwit.New(
		godwit.WithEngineInstance(echo()),
		godwit.BaseURL("https://api.example.org/"),
		godwit.Header("Accept-Language", "de"),
		godwit.Timeout(10*time.Second),
	)
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "users"))
	// Output:
	// GET https://api.example.org/users
	// Accept-Language: de <nil>
}

func ExampleClient() {
	c := godwit.New(
		godwit.BaseURL("https://api.example.org/v1/"),
		godwit.Header("Accept-Language", "de"),
		godwit.Timeout(10*time.Second),
	)
	defer c.Close() // make one, share it, close it in the end

	fmt.Println(c.Err())
	// Output: <nil>
}

func ExampleClient_Err() {
	c := godwit.New(godwit.Timeout(-1)) // New cannot fail: the error waits here, and in every call
	defer c.Close()

	fmt.Println(c.Err())
	// Output: Timeout(-1ns): a timeout is more than zero; NoTimeout means none
}

func ExampleClient_With() {
	c := godwit.New(godwit.WithEngineInstance(echo()), godwit.Header("X-A", "1"))
	defer c.Close()
	sibling := c.With(godwit.Header("X-B", "2")) // shares the engine, and is closed by itself
	defer sibling.Close()

	fmt.Println(godwit.Get[string](ctx, sibling, "https://example.org/"))
	// Output:
	// GET https://example.org/
	// X-A: 1
	// X-B: 2 <nil>
}

func ExampleClient_Close() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	c.Close() // running calls finish, new ones are refused

	_, err := godwit.Get[string](ctx, c, "https://example.org/")
	fmt.Println(errors.Is(err, godwit.ErrClientClosed))
	// Output: true
}

// hung returns a server that never answers, and the number of requests that it
// keeps waiting.
func hung() (*httptest.Server, <-chan struct{}) {
	arrived := make(chan struct{}, 1)
	return httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})), arrived
}

// Close, join for three seconds, then cancel: how a program ends in good order
// though a server hangs.
func ExampleClient_Close_threeSeconds() {
	server, arrived := hung()
	defer server.Close()
	c := godwit.New()
	call := godwit.Async(ctx, func(ctx context.Context) (string, error) {
		return godwit.Get[string](ctx, c, server.URL)
	})
	<-arrived

	c.Close() // no new calls
	patience, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := c.Join(patience); err != nil { // let the running ones finish
		fmt.Println("still running:", err)
		c.Cancel() // enough
	}

	_, err := call.Await(ctx)
	fmt.Println("the call was cancelled:", errors.Is(err, context.Canceled))
	// Output:
	// still running: context deadline exceeded
	// the call was cancelled: true
}

func ExampleClient_Join() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	godwit.Async(ctx, func(ctx context.Context) (string, error) {
		return godwit.Get[string](ctx, c, "https://example.org/")
	})
	c.Close()
	fmt.Println(c.Join(ctx))
	// Output: <nil>
}

func ExampleClient_Cancel() {
	server, arrived := hung()
	defer server.Close()
	c := godwit.New()
	defer c.Close()
	call := godwit.Async(ctx, func(ctx context.Context) (string, error) {
		return godwit.Get[string](ctx, c, server.URL)
	})
	<-arrived
	c.Cancel()

	_, err := call.Await(ctx)
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}

func ExampleUse() {
	err := godwit.Use(ctx, func(ctx context.Context, c *godwit.Client) error {
		user, err := godwit.Get[User](ctx, c, "https://example.org/users/7")
		fmt.Println(user)
		return err
	}, godwit.WithEngineInstance(ada())) // closed on return and on panic
	fmt.Println(err)
	// Output:
	// {7 Ada}
	// <nil>
}

func ExampleBind() {
	service, stop := context.WithCancel(ctx)
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Hang())), godwit.Bind(service))

	_, err := c.Do(ctx, godwit.NewRequest("GET", "https://example.org/", godwit.On(func(context.Context, godwit.Sending) {
		stop() // the service ends while a call runs
	})))
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}

func ExampleCall() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("a long text").WithStall(2))))
	defer c.Close()

	resp, err := c.Open(ctx, godwit.NewRequest("GET", "https://example.org/"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Close()
	call := resp.Call()
	call.Cancel() // this call alone
	<-call.Done()
	_, err = resp.Body.Read(make([]byte, 100))
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}

func ExampleGet_cancelled() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Hang())))
	defer c.Close()

	ctx, cancel := context.WithCancelCause(ctx)
	why := errors.New("the user left")
	_, err := godwit.Get[string](ctx, c, "https://example.org/", godwit.On(func(context.Context, godwit.Sending) { cancel(why) }))
	fmt.Println(errors.Is(err, context.Canceled), errors.Is(err, why))
	// Output: true true
}

func ExampleTimeout() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Hang())), godwit.Timeout(time.Minute))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/", godwit.Timeout(10*time.Millisecond))
	if late, ok := errors.AsType[*godwit.TimeoutError](err); ok {
		fmt.Println(late.Kind, late.Limit, errors.Is(err, context.DeadlineExceeded))
	}
	// Output: request 10ms true
}

func ExampleNoTimeout() {
	c := godwit.New(godwit.WithEngineInstance(ada()), godwit.Timeout(10*time.Second))
	defer c.Close()

	_, err := godwit.Get[User](ctx, c, "https://example.org/report", godwit.Timeout(godwit.NoTimeout), godwit.ConnectTimeout(godwit.NoTimeout))
	fmt.Println(err)
	// Output: <nil>
}

func ExampleAttemptTimeout() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Hang())), godwit.AttemptTimeout(10*time.Millisecond))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/")
	late, _ := errors.AsType[*godwit.TimeoutError](err)
	fmt.Println(late)
	// Output: attempt timeout after 10ms
}

func ExampleConnectTimeout() {
	c := godwit.New(
		godwit.ConnectTimeout(5*time.Second),
		godwit.PoolTimeout(2*time.Second),
		godwit.HeaderTimeout(10*time.Second),
	)
	defer c.Close()
	fmt.Println(c.Err())
	// Output: <nil>
}

func ExampleIdleTimeout() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("hello").WithStall(2))), godwit.IdleTimeout(10*time.Millisecond))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/")
	late, _ := errors.AsType[*godwit.TimeoutError](err)
	fmt.Println(late)
	// Output: idle timeout after 10ms
}

func ExampleTimeoutToHead() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	// The head must be there within a second; the stream may go on for hours.
	req := godwit.NewRequest("GET", "https://example.org/events", godwit.Timeout(time.Second), godwit.TimeoutToHead())
	err := c.Stream(ctx, req, func(*godwit.Response) error { return nil })
	fmt.Println(err)
	// Output: <nil>
}

func ExampleTimed() {
	server := hello()
	defer server.Close()
	c := godwit.New(godwit.Timed())
	defer c.Close()

	resp, err := c.Do(ctx, godwit.NewRequest("GET", server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	t := resp.Call().Timings()
	fmt.Println(t.Reused, t.Connect > 0, t.FirstByte > 0, t.Total >= t.FirstByte)
	// Output: false true true true
}
