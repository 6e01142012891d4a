package retry_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/retry"
)

func TestHedge(t *testing.T) {
	config := retry.Config{Hedge: retry.Hedge{Delay: 100 * time.Millisecond}}
	var started, aborted atomic.Int32
	hang := mock.Func(func(ctx context.Context, _ *mock.Request) (*mock.Response, error) {
		started.Add(1)
		<-ctx.Done()
		aborted.Add(1)
		return nil, ctx.Err()
	})
	bubble(t, config, list(hang, mock.OK("second")), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		start := time.Now()
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url))
		if err != nil || resp.Text() != "second" || time.Since(start) != 100*time.Millisecond || resp.Call().Sends() != 2 {
			t.Errorf("%v, %v after %v", resp, err, time.Since(start))
		}
		synctest.Wait()
		if aborted.Load() != 1 {
			t.Errorf("loser aborted %d times", aborted.Load())
		}
	})
	bubble(t, config, list(mock.Delay(150*time.Millisecond, mock.OK("first")), mock.Hang()), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		var got []byte
		err := c.Stream(t.Context(), godwit.NewRequest("GET", url), func(r *godwit.Response) (err error) {
			got, err = io.ReadAll(r.Body)
			return err
		})
		if err != nil || string(got) != "first" {
			t.Errorf("streamed %q, %v", got, err)
		}
	})
	bubble(t, config, list(mock.Delay(150*time.Millisecond, mock.Status(503)), mock.Delay(150*time.Millisecond, mock.OK("good"))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		if s, err := godwit.Get[string](t.Context(), c, url); err != nil || s != "good" {
			t.Errorf("a bad answer won: %q, %v", s, err)
		}
	})
	bubble(t, config, list(mock.Always(mock.Delay(time.Second, ok))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		if _, err := c.Do(t.Context(), godwit.NewRequest("POST", url)); err != nil || len(eng.Requests()) != 1 {
			t.Errorf("a POST was hedged: %v", err)
		}
	})
	bubble(t, config, list(mock.Always(mock.Reset())), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url, retry.Max(1))); err == nil || len(eng.Requests()) != 2 {
			t.Errorf("%d requests, %v", len(eng.Requests()), err)
		}
	})
}

// TestHedgeKeepsPanics: what panics in a branch is its error, not the program's
// end.
func TestHedgeKeepsPanics(t *testing.T) {
	config := retry.Config{Hedge: retry.Hedge{Delay: 100 * time.Millisecond}}
	boom := errors.New("boom")
	inner := func(f func()) godwit.ClientOption {
		return godwit.Intercept(godwit.SendAttempt, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			if godwit.CallFrom(ctx).Sends() == 0 {
				f()
			}
			return next(ctx, req)
		})
	}
	do := func(t *testing.T, c *godwit.Client) (*godwit.Response, error) {
		return c.Do(t.Context(), godwit.NewRequest("GET", url))
	}
	bubble(t, config, nil, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		if _, err := do(t, c); !errors.Is(err, boom) || !strings.Contains(err.Error(), "panicked: boom") || len(eng.Requests()) != 0 {
			t.Errorf("panic: %v", err)
		}
	}, inner(func() { panic(boom) }))
	bubble(t, config, nil, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		if _, err := do(t, c); err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
			t.Errorf("Goexit: %v", err)
		}
	}, inner(runtime.Goexit))
	var first atomic.Bool
	bubble(t, config, list(mock.Always(ok)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		if resp, err := do(t, c); err != nil || resp.Text() != "ok" {
			t.Errorf("a loser's panic: %v, %v", resp, err)
		}
	}, inner(func() {
		if first.CompareAndSwap(false, true) {
			time.Sleep(time.Second) // virtual: the second branch wins meanwhile
			panic(boom)
		}
	}))
}

// TestHedgeDeafLoser: a loser that does not look at its context keeps nobody but
// Join waiting.
func TestHedgeDeafLoser(t *testing.T) {
	config := retry.Config{Hedge: retry.Hedge{Delay: 100 * time.Millisecond}}
	deaf := func(lost *atomic.Bool) godwit.ClientOption {
		return godwit.Intercept(godwit.SendAttempt, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			if lost.CompareAndSwap(false, true) {
				time.Sleep(2 * time.Second) // virtual
			}
			return next(ctx, req)
		})
	}
	for _, row := range []struct {
		name string
		opt  godwit.Option
		took time.Duration
	}{
		{"GET", nil, 100 * time.Millisecond},
		{"with a body", godwit.Body("x"), 2 * time.Second}, // which is the caller's again afterwards
	} {
		bubble(t, config, list(mock.Always(ok)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			start := time.Now()
			resp, err := c.Do(t.Context(), godwit.NewRequest("PUT", url, row.opt))
			if took := time.Since(start); err != nil || resp.Text() != "ok" || took != row.took {
				t.Errorf("%s: %v, %v after %v", row.name, resp, err, took)
			}
			if err := c.Join(t.Context()); err != nil || time.Since(start) != 2*time.Second {
				t.Errorf("%s: joined %v after %v", row.name, err, time.Since(start))
			}
		}, deaf(new(atomic.Bool)))
	}
}

// TestHedgeSendsLeft: a hedge takes no send that is not there.
func TestHedgeSendsLeft(t *testing.T) {
	config := retry.Config{Hedge: retry.Hedge{Delay: 100 * time.Millisecond, Max: 3}}
	bubble(t, config, list(mock.Always(mock.Delay(time.Second, ok))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		for _, most := range []int{1, 2} {
			eng.Reset()
			eng.Enqueue(mock.Always(mock.Delay(time.Second, mock.Status(503))))
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.MaxSends(most)))
			if err != nil || resp.Status != 503 || len(eng.Requests()) != most {
				t.Errorf("MaxSends(%d): %d requests, %v, %v", most, len(eng.Requests()), resp, err)
			}
		}
	})
	config.Budget = retry.Budget{Ratio: 0.001, PerSecond: -1, Burst: 1}
	bubble(t, config, list(mock.Always(mock.Delay(time.Second, ok))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		for i, most := range []int{1, 20} { // the first call leaves the token to the second
			if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.MaxSends(most))); err != nil || len(eng.Requests()) != 1+2*i {
				t.Errorf("MaxSends(%d): %d requests in all, %v", most, len(eng.Requests()), err)
			}
		}
	})
}

func TestHedgePercentile(t *testing.T) {
	config := retry.Config{Hedge: retry.Hedge{Percentile: 0.9}}
	bubble(t, config, nil, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		for range 16 { // a 17th would be hedged, at the moment it is answered
			eng.Enqueue(mock.Delay(50*time.Millisecond, ok))
			c.Do(t.Context(), godwit.NewRequest("GET", url))
		}
		eng.Reset()
		eng.Enqueue(mock.Hang(), ok)
		start := time.Now()
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); err != nil || time.Since(start) != 50*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
	// Quick failures say nothing about how long an answer takes.
	config.Max = -1
	bubble(t, config, nil, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		for range 20 {
			eng.Enqueue(mock.Delay(time.Millisecond, mock.Status(503)))
			c.Do(t.Context(), godwit.NewRequest("GET", url))
		}
		eng.Enqueue(mock.Delay(50*time.Millisecond, ok))
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); err != nil || len(eng.Requests()) != 21 {
			t.Errorf("%d requests, %v", len(eng.Requests()), err)
		}
	})
	if c := godwit.New(godwit.WithEngineInstance(mock.New()), godwit.Install(retry.New(retry.Config{Hedge: retry.Hedge{Percentile: 1}}))); c.Err() == nil {
		t.Error("a percentile of 1 is accepted")
	}
}
