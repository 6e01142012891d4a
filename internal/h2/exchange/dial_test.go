package exchange_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h2/exchange"
)

// TestPoolLimit: which limit ends a wait, and whether that tells what it was for.
func TestPoolLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := &exchange.Options{Timeouts: engine.Timeouts{Connect: 3 * time.Second, Pool: 4 * time.Second}}
		for _, tc := range []struct {
			dialing bool
			whole   time.Duration // the request's; 0 = none
			after   time.Duration
			want    string
		}{
			{true, 0, 2 * time.Second, "connect: connect timeout after 3s"},
			{false, 0, 3 * time.Second, "pool: pool timeout after 4s"},
			{true, time.Second, time.Second, "request timeout after 1s"},
			{false, time.Second, time.Second, "request timeout after 1s"},
		} {
			req := &engine.Request{URL: &url.URL{}}
			if tc.whole > 0 {
				req.Deadline, req.DeadlineLimit, req.DeadlineKind = time.Now().Add(tc.whole), tc.whole, engine.KindRequest
			}
			at, err := exchange.New(t.Context(), options, req).PoolLimit(tc.dialing, time.Second)
			if time.Until(at) != tc.after || err == nil || err.Error() != tc.want {
				t.Errorf("%+v: %v in %v", tc, err, time.Until(at))
			}
		}
	})
}

// TestEnter: who waits for a place gets one, or the reason why there is none.
func TestEnter(t *testing.T) {
	for name, tc := range map[string]struct {
		event func(leave, cancel, closes func()) // after a second; nil = nothing happens
		whole time.Duration
		after time.Duration
		want  string // of the error; "" = none
	}{
		"a place":    {event: func(leave, _, _ func()) { leave() }, after: time.Second},
		"cancelled":  {event: func(_, cancel, _ func()) { cancel() }, after: time.Second, want: "pool: context canceled"},
		"closed":     {event: func(_, _, closes func()) { closes() }, after: time.Second, want: "build: engine is closed"},
		"too long":   {after: 4 * time.Second, want: "pool: pool timeout after 4s"},
		"at its end": {whole: 2 * time.Second, after: 2 * time.Second, want: "pool: request timeout after 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate, closed := make(chan struct{}, 1), make(chan struct{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req := &engine.Request{URL: &url.URL{}}
				if tc.whole > 0 {
					req.Deadline, req.DeadlineLimit, req.DeadlineKind = time.Now().Add(tc.whole), tc.whole, engine.KindRequest
				}
				x := exchange.New(ctx, &exchange.Options{Timeouts: engine.Timeouts{Pool: 4 * time.Second}}, req)
				if err := x.Enter(gate, closed); err != nil {
					t.Fatal(err)
				}
				if tc.event != nil {
					time.AfterFunc(time.Second, func() { tc.event(func() { <-gate }, cancel, func() { close(closed) }) })
				}
				begin, got := time.Now(), ""
				if err := x.Enter(gate, closed); err != nil {
					got = err.Error()
				}
				if got != tc.want || time.Since(begin) != tc.after {
					t.Errorf("error %q after %v, want %q after %v", got, time.Since(begin), tc.want, tc.after)
				}
			})
		})
	}
}

// TestDialTooLate: who has waited for another's dial until the request's time was
// over does not dial; it was the proxy that took the time.
func TestDialTooLate(t *testing.T) {
	for _, proxy := range []string{"", "http://user:secret@p.example:8080"} {
		req := &engine.Request{URL: &url.URL{}, Deadline: time.Now().Add(-time.Second), DeadlineLimit: time.Minute, DeadlineKind: engine.KindRequest}
		_, err := exchange.New(t.Context(), &exchange.Options{}, req).Dial(nil, dial.Route{TLS: true, Addr: "a.example:443", Proxy: proxy})
		blamed, ok := errors.AsType[*engine.ProxyError](err)
		if e, isOp := err.(*engine.OpError); !isOp || e.Op != engine.OpConnect || !engine.IsTimeout(err) || ok != (proxy != "") || ok && blamed.Proxy != "http://p.example:8080" {
			t.Errorf("proxy %q: got %v", proxy, err)
		}
	}
}
