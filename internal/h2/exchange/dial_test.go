package exchange_test

import (
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
