package godwit_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

// told counts what the listeners and error handlers of a client are told.
type told struct {
	events  []string
	handled []error
}

func (o *told) options() godwit.ClientOption {
	return godwit.All(
		godwit.On(func(context.Context, godwit.ReceiveFailed) { o.events = append(o.events, "failed") }),
		godwit.On(func(context.Context, godwit.Cancelled) { o.events = append(o.events, "cancelled") }),
		godwit.OnError(func(_ context.Context, _ *godwit.Request, err error) error {
			o.handled = append(o.handled, err)
			return nil
		}),
	)
}

func (o *told) want(t *testing.T, name string, events ...string) {
	t.Helper()
	if !slices.Equal(o.events, events) || len(o.handled) != 1 {
		t.Errorf("%s: told %q and handlers %v, want %q and one error", name, o.events, o.handled, events)
	}
}

// TestStreamAsValue reads a stream that fails as a value: the error is that of the
// body, and it is told once.
func TestStreamAsValue(t *testing.T) {
	for name, row := range map[string]struct {
		answer *mock.Response
		opt    godwit.Option
		fits   func(error) bool
		op     godwit.Op
	}{
		"cut":   {mock.OK("0123456789").WithTruncation(4), nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }, engine.OpReceive},
		"reset": {mock.OK("0123456789").WithReset(4), nil, func(err error) bool { return !errors.Is(err, context.Canceled) }, engine.OpReceive},
		"no gzip": {mock.OK("0123456789").WithHeader("Content-Encoding", "gzip"), nil, func(err error) bool { return !errors.Is(err, context.Canceled) },
			engine.OpDecode},
		"idle":    {mock.OK("0123456789").WithStall(4), godwit.IdleTimeout(time.Second), isTimeout(engine.KindIdle), engine.OpReceive},
		"timeout": {mock.OK("0123456789").WithStall(4), godwit.Timeout(time.Second), isTimeout(engine.KindRequest), engine.OpReceive},
		"attempt": {mock.OK("0123456789").WithStall(4), godwit.AttemptTimeout(time.Second), isTimeout(engine.KindAttempt), engine.OpReceive},
	} {
		for how, read := range map[string]func(context.Context, *godwit.Response) error{
			"As": func(ctx context.Context, resp *godwit.Response) error {
				_, err := godwit.As[string](ctx, resp)
				return err
			},
			"Save": func(_ context.Context, resp *godwit.Response) error { return resp.Save() },
			"Body": func(_ context.Context, resp *godwit.Response) error {
				_, err := io.ReadAll(resp.Body)
				return err
			},
		} {
			var seen told
			virtual(t, answers(row.answer), func(t *testing.T, c *godwit.Client) {
				resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base, row.opt))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Close()
				err = read(t.Context(), resp)
				if ge, ok := errors.AsType[*godwit.Error](err); !ok || !row.fits(err) || ge.Op != row.op {
					t.Errorf("%s by %s: %v", name, how, err)
				}
				if resp.Call().Err() == nil {
					t.Errorf("%s by %s: the call has no error", name, how)
				}
			}, seen.options())
			seen.want(t, name+" by "+how, "failed")
		}
	}
}

func isTimeout(kind engine.TimeoutKind) func(error) bool {
	return func(err error) bool {
		te, ok := errors.AsType[*engine.TimeoutError](err)
		return ok && te.Kind == kind
	}
}

// TestReadAfterClose: that is the reader's own doing, and no failure of the call.
func TestReadAfterClose(t *testing.T) {
	var seen told
	c, _ := client(t, answers(mock.OK("0123")), seen.options())
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base))
	if err != nil {
		t.Fatal(err)
	}
	resp.Close()
	_, err = resp.Body.Read(make([]byte, 1))
	if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.URL != base || errors.Is(err, context.Canceled) {
		t.Errorf("a read after Close: %v", err)
	}
	if len(seen.events)+len(seen.handled) > 0 || resp.Call().Err() != nil {
		t.Errorf("told %q and %v, the call has %v", seen.events, seen.handled, resp.Call().Err())
	}
}

// TestCancelledIsTold, wherever the call is when it is cancelled.
func TestCancelledIsTold(t *testing.T) {
	var before told
	c, _ := client(t, answers(mock.Always(mock.OK("0123"))), before.options())
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(done, godwit.NewRequest("GET", base)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	before.want(t, "before the call", "cancelled")

	for name, end := range map[string]func(*godwit.Client, *godwit.Response, func()){
		"the context":   func(_ *godwit.Client, _ *godwit.Response, cancel func()) { cancel() },
		"Call.Cancel":   func(_ *godwit.Client, resp *godwit.Response, _ func()) { resp.Call().Cancel() },
		"Client.Cancel": func(c *godwit.Client, _ *godwit.Response, _ func()) { c.Cancel() },
	} {
		var unread told
		virtual(t, answers(mock.Always(mock.OK("0123"))), func(t *testing.T, c *godwit.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			resp, err := c.Open(ctx, godwit.NewRequest("GET", base))
			if err != nil {
				t.Fatal(err)
			}
			end(c, resp, cancel)
			synctest.Wait()
			resp.Close()
			resp.Close()
			if err := resp.Call().Err(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: the call ended with %v", name, err)
			}
		}, unread.options())
		unread.want(t, "an unread stream, "+name, "failed", "cancelled")
	}
}

// TestCancelledBeforeRead: who reads such a stream as a value gets the reason, and
// it is told once.
func TestCancelledBeforeRead(t *testing.T) {
	why := errors.New("mine")
	var seen told
	virtual(t, answers(mock.OK("0123").WithStall(2)), func(t *testing.T, c *godwit.Client) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		resp, err := c.Open(ctx, godwit.NewRequest("GET", base))
		if err != nil {
			t.Fatal(err)
		}
		cancel(why)
		synctest.Wait()
		if _, err := godwit.As[string](t.Context(), resp); !errors.Is(err, why) {
			t.Errorf("got %v", err)
		}
		resp.Close()
	}, seen.options())
	seen.want(t, "cancelled before the first read", "failed", "cancelled")
}

// TestNestedCallInDecoding: the error of a call that an interceptor makes is that
// of the call around it, too.
func TestNestedCallInDecoding(t *testing.T) {
	other, _ := client(t, answers(mock.Always(mock.JSON(200, "no number"))))
	var seen told
	c, _ := client(t, answers(mock.OK("0123")), seen.options(),
		godwit.InterceptDecode(godwit.DecodeReceive, func(ctx context.Context, d *godwit.Decoding, next godwit.DecodeHandler) (bool, error) {
			_, err := godwit.Get[struct{}](ctx, other, base+"/nested")
			return false, err
		}))
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := godwit.As[string](t.Context(), resp); err == nil || resp.Call().Err() == nil {
		t.Errorf("%v, the call has %v", err, resp.Call().Err())
	}
	seen.want(t, "nested", "failed")
}

// TestCancelWithForks: the call knows that it was cancelled though the fork that
// its response came by ends with it.
func TestCancelWithForks(t *testing.T) {
	c, _ := client(t, answers(mock.OK("0123").WithStall(2)), byFork())
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base))
	if err != nil {
		t.Fatal(err)
	}
	c.Cancel()
	if err := resp.Call().Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	resp.Close()
}

// byFork sends by a fork of the call, as hedging does.
func byFork() godwit.ClientOption {
	return godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		fork, err := godwit.CallFrom(ctx).Fork(ctx)
		if err != nil {
			return nil, err
		}
		resp, err := next(fork.Context(), req)
		if err != nil {
			fork.End()
			return nil, err
		}
		resp.OnClose(func(error) { fork.End() })
		return resp, nil
	})
}

// TestAttemptTimeoutOfStreams: the limit is that of the attempt whose body it is,
// and counts whether somebody reads or not.
func TestAttemptTimeoutOfStreams(t *testing.T) {
	hop := mock.Delay(5*time.Second, to(302, "/next"))
	virtual(t, answers(hop, mock.OK("0123456789").WithPace(5, 2*time.Second)), func(t *testing.T, c *godwit.Client) {
		resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base, godwit.Timeout(10*time.Second), godwit.AttemptTimeout(6*time.Second)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 10 {
			t.Errorf("the limit of the hop before holds for the stream: %q, %v", body, err)
		}
	})
	armed := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		ctx.Done() // as an engine that dials does
		return next(ctx, req)
	})
	for name, opt := range map[string]godwit.ClientOption{"a timer runs": armed, "a fork": byFork(), "neither": godwit.All()} {
		virtual(t, answers(mock.OK("0123").WithStall(2)), func(t *testing.T, c *godwit.Client) {
			start := time.Now()
			resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base, godwit.Timeout(time.Minute), godwit.AttemptTimeout(time.Second)))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Close()
			<-resp.Call().Done()
			if took := time.Since(start); took != time.Second {
				t.Errorf("%s: the unread stream ended after %v", name, took)
			}
		}, opt)
	}
}

// TestStatusErrorOutlivesItsBody: a status is told though the body met a timeout.
func TestStatusErrorOutlivesItsBody(t *testing.T) {
	for name, opt := range map[string]godwit.Option{
		"request": godwit.Timeout(time.Second), "attempt": godwit.AttemptTimeout(time.Second), "context": godwit.Timeout(godwit.NoTimeout),
	} {
		for range 20 {
			virtual(t, answers(mock.Text(503, "busy, come again").WithStall(4)), func(t *testing.T, c *godwit.Client) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				_, err := c.Open(ctx, godwit.NewRequest("GET", base, godwit.ExpectSuccess(true), opt))
				se, ok := errors.AsType[*godwit.StatusError](err)
				if !ok || se.Response.Text() != "busy" || !errors.Is(se.BodyErr, context.DeadlineExceeded) {
					t.Fatalf("%s: %v", name, err)
				}
				if _, timeout := errors.AsType[*engine.TimeoutError](se.BodyErr); !timeout && name != "context" {
					t.Fatalf("%s: BodyErr is %v", name, se.BodyErr)
				}
			})
		}
	}
}

// TestCallFromInDecoding: who decodes, or sees that it failed, finds the call.
func TestCallFromInDecoding(t *testing.T) {
	var inDecode, inHandler *godwit.Call
	c, _ := client(t, answers(mock.Always(mock.JSON(200, "no number"))),
		godwit.InterceptDecode(godwit.DecodeReceive, func(ctx context.Context, d *godwit.Decoding, next godwit.DecodeHandler) (bool, error) {
			inDecode = godwit.CallFrom(ctx)
			if ctx.Err() != nil {
				t.Error("the context has ended")
			}
			return next(ctx, d)
		}),
		godwit.OnError(func(ctx context.Context, _ *godwit.Request, err error) error {
			inHandler = godwit.CallFrom(ctx)
			return nil
		}))
	if _, err := godwit.Get[struct{}](t.Context(), c, base); err == nil || inDecode == nil || inHandler != inDecode || inDecode.Sends() != 1 {
		t.Errorf("%v: %v and %v", err, inDecode, inHandler)
	}
	inHandler = nil
	if _, err := c.Do(t.Context(), godwit.NewRequest("G T", base)); err == nil || inHandler == nil {
		t.Errorf("%v: %v", err, inHandler)
	}
}

// TestSendsInsideGuard: an interceptor near the engine sends again and again.
func TestSendsInsideGuard(t *testing.T) {
	sent := 0
	c, eng := client(t, answers(mock.Always(mock.OK("0123"))), godwit.MaxSends(5),
		godwit.Intercept(godwit.SendAttempt, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			for range 40 {
				if _, err := next(ctx, req); err != nil { // forgets the response
					return nil, err
				}
				sent++
				if left := godwit.CallFrom(ctx).SendsLeft(req); left != 5-sent {
					t.Errorf("%d left after %d", left, sent)
				}
			}
			return next(ctx, req)
		}))
	_, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
	if !errors.Is(err, godwit.ErrTooManySends) || sent != 5 || len(eng.Requests()) != 5 {
		t.Errorf("%d sends, %v", sent, err)
	}
	eng.AssertBodiesClosed(t)
}

// TestDropBodyOfAnUpgrade: a raw connection is no body.
func TestDropBodyOfAnUpgrade(t *testing.T) {
	echo := mock.Text(101, "").WithUpgrade(func(rw io.ReadWriteCloser) { io.Copy(rw, rw) })
	c, _ := client(t, answers(echo), godwit.DropBody())
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base, godwit.Upgrade("echo")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	io.WriteString(resp.Upgraded(), "x")
	if _, err := io.ReadFull(resp.Upgraded(), make([]byte, 1)); err != nil {
		t.Error(err)
	}
}
