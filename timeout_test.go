package godwit_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

// virtual runs f in a bubble with a client on a mock engine.
func virtual(t *testing.T, handlers []mock.Handler, f func(t *testing.T, c *godwit.Client), opts ...godwit.ClientOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		eng := mock.New(handlers...)
		defer eng.Close()
		c := godwit.New(append([]godwit.ClientOption{godwit.WithEngineInstance(eng)}, opts...)...)
		f(t, c)
		c.Close()
		if err := c.Join(t.Context()); err != nil {
			t.Error(err)
		}
		eng.AssertBodiesClosed(t)
	})
}

func wantTimeout(t *testing.T, err error, kind engine.TimeoutKind, started time.Time, after time.Duration) {
	t.Helper()
	te, ok := errors.AsType[*godwit.TimeoutError](err)
	if !ok || te.Kind != kind {
		t.Errorf("got %v, want a %s timeout", err, kind)
		return
	}
	if !errors.Is(err, context.DeadlineExceeded) || !engine.IsTimeout(err) {
		t.Errorf("%v is no DeadlineExceeded", err)
	}
	if took := time.Since(started); took != after {
		t.Errorf("took %v, want %v", took, after)
	}
}

func TestRequestTimeout(t *testing.T) {
	virtual(t, answers(mock.Always(mock.Hang())), func(t *testing.T, c *godwit.Client) {
		start := time.Now()
		_, err := godwit.Get[string](t.Context(), c, base)
		wantTimeout(t, err, engine.KindRequest, start, time.Minute)
		start = time.Now()
		_, err = godwit.Get[string](t.Context(), c, base, godwit.Timeout(time.Second))
		wantTimeout(t, err, engine.KindRequest, start, time.Second)
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = godwit.Get[string](ctx, c, base, godwit.Timeout(godwit.NoTimeout))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("NoTimeout: %v after %v", err, time.Since(start))
		}
	}, godwit.Timeout(time.Minute))
}

// TestTimeoutOfACallInACall makes a call with the context of another: the earlier
// of their deadlines ends it.
func TestTimeoutOfACallInACall(t *testing.T) {
	for _, row := range []struct{ outer, inner, want time.Duration }{
		{godwit.NoTimeout, time.Second, time.Second},
		{time.Minute, time.Second, time.Second},
		{time.Second, time.Minute, time.Second},
		{time.Second, godwit.NoTimeout, time.Second},
	} {
		var inner *godwit.Client
		refresh := godwit.Intercept(godwit.SendAuth, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			start := time.Now()
			_, err := godwit.Get[string](ctx, inner, base+"/token", godwit.Timeout(row.inner))
			wantTimeout(t, err, engine.KindRequest, start, row.want)
			return nil, err
		})
		virtual(t, answers(mock.Always(mock.Hang())), func(t *testing.T, c *godwit.Client) {
			inner = c.With()
			outer := c.With(refresh)
			defer outer.Close()
			defer inner.Close()
			if _, err := godwit.Get[string](t.Context(), outer, base, godwit.Timeout(row.outer)); err == nil {
				t.Error("the call came through")
			}
		})
	}
}

func TestRequestTimeoutCoversTheBody(t *testing.T) {
	slow := mock.OK("0123456789").WithPace(1, time.Second)
	virtual(t, answers(mock.Always(slow)), func(t *testing.T, c *godwit.Client) {
		start := time.Now()
		_, err := godwit.Get[string](t.Context(), c, base, godwit.Timeout(4500*time.Millisecond))
		wantTimeout(t, err, engine.KindRequest, start, 4500*time.Millisecond)
		start = time.Now()
		err = c.Stream(t.Context(), godwit.NewRequest("GET", base, godwit.Timeout(4500*time.Millisecond)), func(r *godwit.Response) error {
			_, err := io.ReadAll(r.Body)
			return err
		})
		wantTimeout(t, err, engine.KindRequest, start, 4500*time.Millisecond)
		if s, err := godwit.Get[string](t.Context(), c, base, godwit.Timeout(4500*time.Millisecond), godwit.TimeoutToHead()); err != nil || s != "0123456789" {
			t.Errorf("TimeoutToHead: %q, %v", s, err)
		}
	})
}

func TestRequestTimeoutCoversAllHops(t *testing.T) {
	hop := mock.Delay(3*time.Second, to(302, "/next"))
	virtual(t, answers(mock.Always(hop)), func(t *testing.T, c *godwit.Client) {
		start := time.Now()
		_, err := godwit.Get[string](t.Context(), c, base, godwit.Timeout(10*time.Second))
		wantTimeout(t, err, engine.KindRequest, start, 10*time.Second)
	})
}

func TestAttemptTimeout(t *testing.T) {
	virtual(t, answers(mock.Delay(3*time.Second, to(302, "/2")), mock.Delay(3*time.Second, to(302, "/3")), mock.Hang()), func(t *testing.T, c *godwit.Client) {
		start := time.Now()
		_, err := godwit.Get[string](t.Context(), c, base, godwit.AttemptTimeout(4*time.Second))
		wantTimeout(t, err, engine.KindAttempt, start, 10*time.Second)
	})
}

func TestEngineTimeouts(t *testing.T) {
	for kind, opt := range map[engine.TimeoutKind]godwit.Option{
		engine.KindPool:    godwit.PoolTimeout(time.Second),
		engine.KindConnect: godwit.ConnectTimeout(time.Second),
		engine.KindHeader:  godwit.HeaderTimeout(time.Second),
		engine.KindIdle:    godwit.IdleTimeout(time.Second),
	} {
		virtual(t, answers(mock.Always(mock.Timeout(kind))), func(t *testing.T, c *godwit.Client) {
			start := time.Now()
			_, err := godwit.Get[string](t.Context(), c, base, opt)
			wantTimeout(t, err, kind, start, time.Second)
			start = time.Now()
			_, err = godwit.Get[string](t.Context(), c.With(opt), base)
			wantTimeout(t, err, kind, start, time.Second)
		})
	}
}

// TestEndByProxy: what is said of a call's end beside the reason is kept.
func TestEndByProxy(t *testing.T) {
	hang := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, _ *godwit.Request, _ godwit.Handler) (*godwit.Response, error) {
		<-ctx.Done()
		return nil, &engine.OpError{Op: engine.OpProxy, Err: &engine.ProxyError{Proxy: "http://p.example", Err: ctx.Err()}, Sent: true}
	})
	reason := errors.New("own reason")
	virtual(t, nil, func(t *testing.T, c *godwit.Client) {
		for _, timeout := range []time.Duration{time.Second, time.Hour} { // or else the context's
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, reason)
			start := time.Now()
			_, err := godwit.Get[string](ctx, c, base, godwit.Timeout(timeout))
			cancel()
			if timeout == time.Second {
				wantTimeout(t, err, engine.KindRequest, start, timeout)
			} else if !errors.Is(err, reason) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's cause", err)
			}
			proxy, ok := errors.AsType[*godwit.ProxyError](err)
			if !ok || proxy.Proxy != "http://p.example" {
				t.Errorf("%v does not name the proxy", err)
			}
			if oe, ok := errors.AsType[*engine.OpError](err); !ok || oe.Op != engine.OpProxy || !oe.Sent {
				t.Errorf("got %#v, want Op proxy and Sent", oe)
			}
		}
	}, hang)
}

// TestContextKeepsTheDeadline: what waits in an interceptor ends with the call.
func TestContextKeepsTheDeadline(t *testing.T) {
	wait := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if at, ok := ctx.Deadline(); !ok || time.Until(at) != time.Second {
			t.Errorf("deadline in %v, %v", time.Until(at), ok)
		}
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		<-derived.Done()
		return nil, derived.Err()
	})
	virtual(t, nil, func(t *testing.T, c *godwit.Client) {
		start := time.Now()
		_, err := godwit.Get[string](t.Context(), c, base, godwit.Timeout(time.Second))
		wantTimeout(t, err, engine.KindRequest, start, time.Second)
	}, wait)
}

// TestDeadlineWithoutEngine: an engine without deadlines is ended by the context.
func TestDeadlineWithoutEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := godwit.New(godwit.WithEngine(mock.Config{Handlers: answers(mock.Always(mock.Hang())), Capabilities: engine.AllCapabilities &^ engine.RequestTimeout}))
		defer c.Close()
		start := time.Now()
		_, err := godwit.Get[string](t.Context(), c, base, godwit.Timeout(time.Second))
		wantTimeout(t, err, engine.KindRequest, start, time.Second)
	})
}

func TestUnsupported(t *testing.T) {
	eng := func() *godwit.Client {
		return godwit.New(godwit.WithEngine(mock.Config{Capabilities: engine.HTTP1}))
	}
	for capability, opt := range map[engine.Capabilities]godwit.Option{
		engine.PoolTimeout:    godwit.PoolTimeout(time.Second),
		engine.ConnectTimeout: godwit.ConnectTimeout(time.Second),
		engine.HeaderTimeout:  godwit.HeaderTimeout(time.Second),
		engine.IdleTimeout:    godwit.IdleTimeout(time.Second),
		engine.RequestTimeout: godwit.AttemptTimeout(time.Second),
		engine.NoStaleRetry:   godwit.NoStaleRetry(),
		engine.RawHead:        godwit.RawHead(),
		engine.RequestProxy:   godwit.Proxy("http://127.0.0.1:1"),
		engine.UnixSocket:     godwit.UnixSocket("/nowhere"),
		engine.Upgrade:        godwit.Upgrade("websocket"),
		engine.ExpectContinue: godwit.Header("Expect", "100-continue"),
	} {
		c := eng()
		_, err := c.Open(t.Context(), godwit.NewRequest("GET", base, opt))
		ue, ok := errors.AsType[*godwit.UnsupportedError](err)
		if !ok || ue.Capability != capability || ue.Engine != "mock" {
			t.Errorf("%s: %v", capability, err)
		}
		c.Close()
	}
}

// TestErrorBodyOfLongStream: where the request timeout ends with the head, the
// body of a bad status is waited for no longer than a second.
func TestErrorBodyOfLongStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endless := mock.Stream(func(ctx context.Context, w io.Writer) error {
			io.WriteString(w, "why")
			<-ctx.Done()
			return ctx.Err()
		})
		endless.Status = 500
		c, _ := client(t, answers(endless))
		start := time.Now()
		_, err := c.Open(t.Context(), godwit.NewRequest("GET", base, godwit.TimeoutToHead(), godwit.ExpectSuccess(true)))
		se, ok := errors.AsType[*godwit.StatusError](err)
		if !ok || se.Response.Text() != "why" || se.BodyErr == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// later ends when d is over, or with ctx.
func later(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// longLived are the ways to have a stream whose request timeout ends with the
// head; each reads it to its end.
var longLived = map[string]func(ctx context.Context, c *godwit.Client, opts ...godwit.Option) (string, error){
	"Open": func(ctx context.Context, c *godwit.Client, opts ...godwit.Option) (string, error) {
		return openAndRead(c.Open, ctx, append(opts, godwit.TimeoutToHead()))
	},
	"Upgrade refused": func(ctx context.Context, c *godwit.Client, opts ...godwit.Option) (string, error) {
		return openAndRead(c.Open, ctx, append(opts, godwit.Upgrade("other")))
	},
	"RoundTrip": func(ctx context.Context, c *godwit.Client, opts ...godwit.Option) (string, error) {
		return openAndRead(c.RoundTrip, ctx, append(opts, godwit.TimeoutToHead()))
	},
	"Do": func(ctx context.Context, c *godwit.Client, opts ...godwit.Option) (string, error) {
		return godwit.Get[string](ctx, c, base, append(opts, godwit.TimeoutToHead())...)
	},
}

func openAndRead(open func(context.Context, *godwit.Request) (*godwit.Response, error), ctx context.Context, opts []godwit.Option) (string, error) {
	resp, err := open(ctx, godwit.NewRequest("GET", base, opts...))
	if err != nil {
		return "", err
	}
	defer resp.Close()
	if at, ok := resp.Call().Context().Deadline(); ok {
		return "", errors.New("a deadline is left: " + at.String())
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// TestTimeoutToTheLastHead: a deadline that ends with the head holds until the one
// that the caller gets, whatever was thrown away on the way there, and no longer.
func TestTimeoutToTheLastHead(t *testing.T) {
	const limit = 10 * time.Second
	type step = func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error)
	// first sends, checks that the deadline is still to be seen, gives the response up
	// and goes on after a while.
	first := func(giveUp func(*godwit.Response)) step {
		return func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			resp, err := next(ctx, req)
			if err != nil {
				return nil, err
			}
			if _, ok := ctx.Deadline(); !ok {
				return nil, errors.New("no deadline beside the response")
			}
			giveUp(resp)
			if err := later(ctx, time.Second); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}
	}
	slow := mock.Delay(limit-50*time.Millisecond, mock.Text(503, "0123456789").WithPace(1, time.Second))
	for name, row := range map[string]struct {
		step step
		busy mock.Handler // the first answer, if it is not at once
		late bool         // the first answer leaves no time for another
	}{
		"sent again":         {step: first(func(resp *godwit.Response) { resp.Discard() })},
		"sent again, closed": {step: first(func(resp *godwit.Response) { resp.Close() })},
		"forgotten":          {step: first(func(*godwit.Response) {})},
		"saved": {step: first(func(resp *godwit.Response) {
			resp.Save()
			resp.Discard()
		})},
		"an error": {step: first(func(resp *godwit.Response) { godwit.NewStatusError(resp) })},
		"beside others": {step: func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			for {
				fork, err := godwit.CallFrom(ctx).Fork(ctx)
				if err != nil {
					return nil, err
				}
				resp, err := next(fork.Context(), req)
				if err == nil && resp.Status.IsSuccess() {
					resp.OnClose(func(error) { fork.End() })
					return resp, nil
				}
				if err == nil {
					resp.Discard()
				}
				fork.End()
				if err != nil {
					return nil, err
				}
			}
		}},
		"an error, slow": {late: true, busy: slow, step: first(func(resp *godwit.Response) { godwit.NewStatusError(resp) })},
		"left, slow":     {late: true, busy: slow, step: first(func(resp *godwit.Response) { resp.Discard() })},
		"waits": {late: true, step: func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			resp, err := next(ctx, req)
			if err != nil {
				return nil, err
			}
			resp.Discard()
			return nil, later(ctx, time.Hour)
		}},
	} {
		if row.busy == nil {
			row.busy = mock.Text(503, "busy")
		}
		for _, can := range []engine.Capabilities{engine.AllCapabilities, engine.AllCapabilities &^ engine.RequestTimeout} {
			for way, read := range longLived {
				try := func(last mock.Handler, check func(t *testing.T, s string, err error, took time.Duration)) {
					t.Run(name+"/"+way, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							var call *godwit.Call
							c := godwit.New(godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
								call = godwit.CallFrom(ctx)
								return row.step(ctx, req, next)
							}), godwit.WithEngine(mock.Config{Capabilities: can, Handlers: answers(row.busy, last)}))
							start := time.Now()
							s, err := read(t.Context(), c, godwit.Timeout(limit))
							check(t, s, err, time.Since(start))
							if (call.Err() == nil) != (err == nil) {
								t.Errorf("the call ended with %v, its caller got %v", call.Err(), err)
							}
							c.Close()
							if err := c.Join(t.Context()); err != nil {
								t.Error(err)
							}
						})
					})
				}
				try(mock.Hang(), func(t *testing.T, _ string, err error, took time.Duration) {
					wantTimeout(t, err, engine.KindRequest, time.Now().Add(-took), limit)
				})
				if !row.late {
					try(mock.OK("0123456789").WithPace(1, 3*time.Second), func(t *testing.T, s string, err error, took time.Duration) {
						if err != nil || s != "0123456789" || took < 2*limit {
							t.Errorf("got %q, %v after %v", s, err, took)
						}
					})
				}
			}
		}
	}
}

// TestTimeoutToTheLastHeadOfRedirects is the like for our own hops, and for what
// comes after the last head: interceptors, listeners and validators that take their
// time, and a body that nobody wants.
func TestTimeoutToTheLastHeadOfRedirects(t *testing.T) {
	hop := mock.Delay(3*time.Second, to(302, "/next"))
	ten := mock.OK("0123456789").WithPace(1, time.Second)
	for way, read := range longLived {
		if way == "RoundTrip" { // which follows nothing
			continue
		}
		virtual(t, answers(hop, hop, mock.Hang()), func(t *testing.T, c *godwit.Client) {
			start := time.Now()
			_, err := read(t.Context(), c, godwit.Timeout(10*time.Second))
			wantTimeout(t, err, engine.KindRequest, start, 10*time.Second)
		})
		slow := func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx) // somebody watches
			defer cancel()
			return later(ctx, time.Minute)
		}
		virtual(t, answers(hop, hop, ten, hop, hop, ten), func(t *testing.T, c *godwit.Client) {
			opts := []godwit.Option{godwit.Timeout(10 * time.Second), godwit.Validate(func(ctx context.Context, _ *godwit.Response) error { return slow(ctx) })}
			if s, err := read(t.Context(), c, opts...); err != nil || s != "0123456789" {
				t.Errorf("%s: %q, %v", way, s, err)
			}
			if s, err := read(t.Context(), c, append(opts, godwit.DropBody())...); err != nil || s != "" {
				t.Errorf("%s, body dropped: %q, %v", way, s, err)
			}
		}, godwit.Intercept(godwit.SendReceive, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			resp, err := next(ctx, req)
			if err == nil && resp.Status.IsSuccess() {
				err = slow(ctx)
			}
			return resp, err
		}))
	}
}

// TestTimeoutOfTheHandshake is the like for a connection that was upgraded.
func TestTimeoutOfTheHandshake(t *testing.T) {
	peer := func(rw io.ReadWriteCloser) { io.Copy(rw, rw) }
	hop := mock.Delay(3*time.Second, to(307, "/next"))
	virtual(t, answers(hop, mock.Text(101, "").WithUpgrade(peer)), func(t *testing.T, c *godwit.Client) {
		resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base, godwit.Upgrade("echo"), godwit.Timeout(4*time.Second)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close()
		if err := later(resp.Call().Context(), time.Hour); err != nil {
			t.Errorf("the connection ended with %v", err)
		}
		io.WriteString(resp.Upgraded(), "x")
		if _, err := io.ReadFull(resp.Upgraded(), make([]byte, 1)); err != nil {
			t.Error(err)
		}
	})
}

// TestTimeoutBesideTheHead: a deadline that has passed while an interceptor held a
// response ends the call when it gives that up.
func TestTimeoutBesideTheHead(t *testing.T) {
	held := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		resp, err := next(ctx, req)
		if err != nil {
			return nil, err
		}
		if err := later(ctx, time.Minute); err != nil {
			return nil, err
		}
		resp.Discard()
		return nil, later(ctx, time.Hour)
	})
	virtual(t, answers(mock.OK("x")), func(t *testing.T, c *godwit.Client) {
		start := time.Now()
		_, err := c.Open(t.Context(), godwit.NewRequest("GET", base, godwit.Timeout(time.Second), godwit.TimeoutToHead()))
		wantTimeout(t, err, engine.KindRequest, start, time.Minute)
	}, held)
}
