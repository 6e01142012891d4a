package godwit

import "context"

// Get sends a GET request and returns the body as a T: see [As] for what T can
// be. A status outside 2xx is an error, *[StatusError], unless T is *[Response]
// or [Status]. rawURL may be relative to the client's BaseURL and hold {name}s;
// a nil client stands for [Default].
func Get[T any](ctx context.Context, c *Client, rawURL string, opts ...Option) (T, error) {
	return send[T](ctx, c, "GET", rawURL, nil, opts)
}

// Head sends a HEAD request: see [Get]. T is *[Response], [Status] or [None], as
// there is no body.
func Head[T any](ctx context.Context, c *Client, rawURL string, opts ...Option) (T, error) {
	return send[T](ctx, c, "HEAD", rawURL, nil, opts)
}

// Options sends an OPTIONS request: see [Get].
func Options[T any](ctx context.Context, c *Client, rawURL string, opts ...Option) (T, error) {
	return send[T](ctx, c, "OPTIONS", rawURL, nil, opts)
}

// Delete sends a DELETE request: see [Get]. Give it a body with [Body].
func Delete[T any](ctx context.Context, c *Client, rawURL string, opts ...Option) (T, error) {
	return send[T](ctx, c, "DELETE", rawURL, nil, opts)
}

// Post sends a POST request with a body and returns the response's as a T: see
// [Request].Body for what body can be, [Get] for the rest.
func Post[T any](ctx context.Context, c *Client, rawURL string, body any, opts ...Option) (T, error) {
	return send[T](ctx, c, "POST", rawURL, body, opts)
}

// Put sends a PUT request: see [Post].
func Put[T any](ctx context.Context, c *Client, rawURL string, body any, opts ...Option) (T, error) {
	return send[T](ctx, c, "PUT", rawURL, body, opts)
}

// Patch sends a PATCH request: see [Post].
func Patch[T any](ctx context.Context, c *Client, rawURL string, body any, opts ...Option) (T, error) {
	return send[T](ctx, c, "PATCH", rawURL, body, opts)
}

// Query sends a QUERY request, which is safe and idempotent like GET but has a
// body: see [Post]. For query parameters see [Param].
func Query[T any](ctx context.Context, c *Client, rawURL string, body any, opts ...Option) (T, error) {
	return send[T](ctx, c, "QUERY", rawURL, body, opts)
}

// Send sends req and returns the body of the response as a T: see [Get]. req is
// not changed.
func Send[T any](ctx context.Context, c *Client, req *Request) (T, error) {
	call := &Call{client: c.or(), mode: buffered}
	call.take(req)
	return finishTyped[T](ctx, call, req == nil)
}

// send builds the request in the call itself: there is no other user of it.
func send[T any](ctx context.Context, c *Client, method, rawURL string, body any, opts []Option) (T, error) {
	call := &Call{client: c.or(), mode: buffered}
	call.request.Body = body
	call.request.init(method, rawURL, opts)
	return finishTyped[T](ctx, call, false)
}

func finishTyped[T any](ctx context.Context, call *Call, noRequest bool) (T, error) {
	var v T
	call.request.target = &v
	resp, err := call.run(ctx, noRequest)
	if err != nil {
		var none T
		return none, err
	}
	if err := decodeInto(ctx, resp, &v); err != nil {
		var none T
		return none, err
	}
	return v, nil
}
