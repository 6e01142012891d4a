// Package retry repeats what failed: connection errors, and the statuses that
// say "later". The zero [Config] repeats idempotent requests up to three times
// with exponential backoff, honours Retry-After, and stops when the deadline of
// the call cannot be met.
//
//	c := godwit.New(godwit.Install(retry.New(retry.Config{})))
//	page, err := godwit.Get[string](ctx, c, url, retry.Max(5))
package retry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/header"
)

// Config configures the plugin; its zero value is ready to use.
type Config struct {
	// Max is how often a request is repeated; 0 = 3, negative = never. When
	// godwit.MaxSends leaves nothing to send with, the last outcome is returned.
	Max int
	// Unsafe repeats requests of every method. By default only idempotent ones
	// are (RFC 9110 §9.2.2), those with an Idempotency-Key, and those that
	// certainly did not reach the server.
	Unsafe bool
	// IdempotencyKey adds an Idempotency-Key to POST and PATCH requests without
	// one, the same on each attempt and after each redirect that keeps the method,
	// so that they are repeated. The server must know the field.
	IdempotencyKey bool
	// Statuses are what is repeated; nil = 408, 425, 429, 500, 502, 503, 504.
	Statuses []int
	// If decides on its own whether to repeat; resp or err is nil. It is asked
	// for each failed attempt and each response, after the limits but in place
	// of Statuses and the rules for errors and methods. nil = by these. In a call
	// that is buffered (Do, typed calls) the response has its body, by Bytes and
	// Text; in others it must not read Body.
	If func(req *godwit.Request, resp *godwit.Response, err error) bool

	// BaseDelay is the upper bound of the first wait, MaxDelay that of any;
	// 0 = 500 ms and 30 s. Each wait is random between 0 and its bound, which
	// doubles from one to the next.
	BaseDelay, MaxDelay time.Duration
	// Delay chooses the wait before repetition n (from 1) itself; nil = the
	// backoff above.
	Delay func(n int) time.Duration
	// MaxRetryAfter is the longest Retry-After that is waited for; 0 = 60 s. A
	// response that asks for more is returned as it is: to come back earlier is
	// what the server asked us not to do, and how long a call may stand still is
	// for the caller to say. Negative: Retry-After is ignored.
	MaxRetryAfter time.Duration

	// AttemptTimeout limits each attempt to the end of its body, unless the request
	// or the client has a godwit.AttemptTimeout; 0 = none. An attempt that runs into
	// either is repeated.
	AttemptTimeout time.Duration
	// Modify changes the copy of the request that repetition n (from 1) sends. If
	// it makes that go to another origin, the credentials that the request has by
	// hand (Authorization, Proxy-Authorization, Cookie, user info) stay behind, and
	// the Host field, but for those that it sets anew.
	Modify func(ctx context.Context, req *godwit.Request, n int) error
	// Budget bounds the repetitions of all calls together; its zero value is the
	// default budget.
	Budget Budget
	// Hedge sends a second request when the first is slow; its zero value is off.
	Hedge Hedge
}

var (
	maxSetting  = godwit.NewSetting("retry.Max", 3)
	ifSetting   = godwit.NewSetting[func(*godwit.Request, *godwit.Response, error) bool]("retry.If", nil)
	unsafeValue = godwit.NewSetting("retry.Unsafe", false)
)

// Max sets how often a request is repeated, for a client or one request; 0 =
// never.
func Max(n int) godwit.Option { return maxSetting.Set(max(0, n)) }

// If sets Config.If for a client or one request.
func If(f func(req *godwit.Request, resp *godwit.Response, err error) bool) godwit.Option {
	return ifSetting.Set(f)
}

// Unsafe sets Config.Unsafe for a client or one request.
func Unsafe(repeat bool) godwit.Option { return unsafeValue.Set(repeat) }

// Plugin repeats requests. Clients that share it share its budget.
type Plugin struct {
	config Config
	bucket bucket
	slow   latencies
}

var _ godwit.Plugin = (*Plugin)(nil)

// New returns the plugin.
func New(c Config) *Plugin {
	switch {
	case c.Max == 0:
		c.Max = 3
	case c.Max < 0:
		c.Max = 0
	}
	if c.Statuses == nil {
		c.Statuses = []int{408, 425, 429, 500, 502, 503, 504}
	}
	if c.BaseDelay <= 0 {
		c.BaseDelay = 500 * time.Millisecond
	}
	if c.MaxDelay <= 0 {
		c.MaxDelay = 30 * time.Second
	}
	if c.MaxRetryAfter == 0 {
		c.MaxRetryAfter = time.Minute
	}
	return &Plugin{config: c, bucket: newBucket(c.Budget), slow: latencies{}}
}

// Name returns "retry".
func (p *Plugin) Name() string { return "retry" }

// Install hooks the plugin into phase SendRetry, and with IdempotencyKey into
// CallState.
func (p *Plugin) Install(s *godwit.Scope) error {
	if err := p.config.Hedge.check(); err != nil {
		return err
	}
	s.AttemptTimeout(max(0, p.config.AttemptTimeout))
	max, decide, unsafe := maxSetting.Capture(s, p.config.Max), ifSetting.Capture(s, p.config.If), unsafeValue.Capture(s, p.config.Unsafe)
	if p.config.IdempotencyKey {
		s.OnRequest(func(_ context.Context, req *godwit.Request) error {
			if wantsKey(req) {
				req.Header.Set(keyField, newKey())
			}
			return nil
		})
	}
	s.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		l := &loop{plugin: p, max: max.For(req), decide: decide.For(req), unsafe: unsafe.For(req), next: next}
		return l.run(ctx, req)
	})
	return nil
}

// loop is one request on its way through the attempts.
type loop struct {
	plugin *Plugin
	max    int
	decide func(*godwit.Request, *godwit.Response, error) bool
	unsafe bool
	next   godwit.Handler

	first, modified *godwit.Request // the first attempt's; as Modify left it last
}

func (l *loop) run(ctx context.Context, req *godwit.Request) (*godwit.Response, error) {
	call := godwit.CallFrom(ctx)
	if len(call.History()) == 0 { // a redirect's next hop is no further call
		l.plugin.bucket.deposit()
	}
	req = l.prepare(call, req)
	l.first, l.modified = req, req
	for n := 1; ; n++ {
		resp, err := l.attempt(ctx, req)
		if n > l.max || call.SendsLeft(req) == 0 || !l.again(ctx, req, resp, err) {
			return resp, err
		}
		if req, resp, err = l.repetition(ctx, n, req, resp, err); req == nil {
			return resp, err
		}
	}
}

// repetition waits and returns the request for repetition n, or nil and what the
// call ends with.
func (l *loop) repetition(ctx context.Context, n int, req *godwit.Request, resp *godwit.Response, err error) (*godwit.Request, *godwit.Response, error) {
	call := godwit.CallFrom(ctx)
	if !req.IsReplayable() {
		if err == nil && call.Stateless() {
			return nil, resp, nil // the code on top has retries of its own, and knows nothing of ours
		}
		return nil, nil, notReplayable(resp, err)
	}
	delay, ok := l.delay(ctx, n, resp)
	if !ok || !l.plugin.bucket.withdraw() {
		return nil, resp, err
	}
	modified, modifyErr := l.modify(ctx, l.modified, n)
	if modifyErr != nil {
		if resp != nil {
			resp.Discard()
		}
		return nil, nil, modifyErr
	}
	l.modified = modified
	again := withoutSecrets(l.first, modified)
	godwit.Emit(ctx, godwit.Retried{Call: call, Request: again, Attempt: n + 1, Response: resp, Cause: err, Delay: delay})
	if resp != nil {
		resp.Discard() // a held response holds a connection
	}
	if err := wait(ctx, delay); err != nil {
		return nil, nil, err
	}
	return again, nil, nil
}

const keyField = "Idempotency-Key"

func wantsKey(req *godwit.Request) bool {
	return (req.Method == "POST" || req.Method == "PATCH") && !req.Header.Has(keyField)
}

// prepare adds what all attempts share. The key of a call is there already, but
// for one that came by RoundTrip, past the Call pipeline.
func (l *loop) prepare(call *godwit.Call, req *godwit.Request) *godwit.Request {
	if l.plugin.config.IdempotencyKey && call.Stateless() && wantsKey(req) {
		req = req.Clone()
		req.Header.Set(keyField, newKey())
	}
	return req
}

// attempt sends once, hedged or not. What would be accepted is saved, so that a
// body which breaks off is a failed attempt, and what If is to judge.
func (l *loop) attempt(ctx context.Context, req *godwit.Request) (resp *godwit.Response, err error) {
	if l.plugin.config.Hedge.on() && l.repeatable(req) && req.IsReplayable() {
		resp, err = l.hedged(ctx, req)
	} else {
		resp, err = l.next(ctx, req)
	}
	if err != nil || !godwit.CallFrom(ctx).Buffered() {
		return resp, err
	}
	good := l.good(resp)
	if good || l.decide != nil {
		if err = resp.Save(); err != nil && good {
			return nil, err
		}
	}
	return resp, nil
}

// again decides whether an outcome is to be repeated.
func (l *loop) again(ctx context.Context, req *godwit.Request, resp *godwit.Response, err error) bool {
	if ctx.Err() != nil || err != nil && permanent(err) {
		return false
	}
	if l.decide != nil {
		return l.decide(req, resp, err)
	}
	if err != nil {
		return unsent(err) || l.repeatable(req)
	}
	return !l.good(resp) && l.repeatable(req)
}

// good reports whether a response's status is none of those that are repeated.
func (l *loop) good(resp *godwit.Response) bool {
	return !slices.Contains(l.plugin.config.Statuses, int(resp.Status))
}

func (l *loop) repeatable(req *godwit.Request) bool { return l.unsafe || req.IsIdempotent() }

// delay returns how long to wait before repetition n, and whether that is worth
// it: within MaxRetryAfter and the call's deadline.
func (l *loop) delay(ctx context.Context, n int, resp *godwit.Response) (time.Duration, bool) {
	c := &l.plugin.config
	var d time.Duration
	if c.Delay != nil {
		d = c.Delay(n)
	} else {
		bound := c.MaxDelay
		if shift := n - 1; shift < 32 && c.BaseDelay<<shift > 0 {
			bound = min(bound, c.BaseDelay<<shift)
		}
		d = rand.N(bound + 1)
	}
	if resp != nil && c.MaxRetryAfter > 0 {
		if after, ok := header.RetryAfter(resp.Header, time.Now()); ok {
			if after > c.MaxRetryAfter {
				return 0, false
			}
			d = max(d, after)
		}
	}
	if at, ok := ctx.Deadline(); ok && time.Until(at) <= d {
		return 0, false
	}
	return max(d, 0), true
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// notReplayable is loud: what failed would have been repeated.
func notReplayable(resp *godwit.Response, err error) error {
	if resp != nil {
		err = godwit.NewStatusError(resp)
	}
	return fmt.Errorf("retry: %w, so the failed request was not repeated: %w", godwit.ErrNotReplayable, err)
}
