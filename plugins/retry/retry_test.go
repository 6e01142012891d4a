package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/retry"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const url = "http://example.org/"

// bubble runs f in virtual time with a client that retries, on a mock engine.
func bubble(t *testing.T, config retry.Config, handlers []mock.Handler, f func(t *testing.T, c *godwit.Client, eng *mock.Engine), opts ...godwit.ClientOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		eng := mock.New(handlers...)
		defer eng.Close()
		c := godwit.New(append([]godwit.ClientOption{godwit.WithEngineInstance(eng), godwit.Install(retry.New(config))}, opts...)...)
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
		f(t, c, eng)
		c.Close()
		if err := c.Join(t.Context()); err != nil {
			t.Error(err)
		}
		eng.AssertBodiesClosed(t)
	})
}

func list(h ...mock.Handler) []mock.Handler { return h }

var ok = mock.OK("ok")

func proxyFails(status int) mock.Handler {
	return mock.Error(&engine.OpError{Op: engine.OpProxy, Err: &engine.ProxyError{Proxy: "http://p:1", Status: status, Err: errors.New("no")}})
}

func TestWhatIsRepeated(t *testing.T) {
	reset := mock.Reset()
	for name, row := range map[string]struct {
		first  mock.Handler
		method string
		opts   []godwit.Option
		want   int
	}{
		"503":                       {mock.Status(503), "GET", nil, 2},
		"500":                       {mock.Status(500), "GET", nil, 2},
		"502":                       {mock.Status(502), "GET", nil, 2},
		"504":                       {mock.Status(504), "GET", nil, 2},
		"408":                       {mock.Status(408), "GET", nil, 2},
		"425":                       {mock.Status(425), "GET", nil, 2},
		"429":                       {mock.Status(429), "GET", nil, 2},
		"501":                       {mock.Status(501), "GET", nil, 1},
		"404":                       {mock.Status(404), "GET", nil, 1},
		"reset":                     {reset, "GET", nil, 2},
		"PUT":                       {reset, "PUT", nil, 2},
		"DELETE":                    {mock.Status(503), "DELETE", nil, 2},
		"QUERY":                     {mock.Status(503), "QUERY", nil, 2},
		"POST, 503":                 {mock.Status(503), "POST", nil, 1},
		"POST, reset":               {reset, "POST", nil, 1},
		"POST, refused":             {mock.Refused(), "POST", nil, 2},
		"POST, unsafe":              {reset, "POST", []godwit.Option{retry.Unsafe(true)}, 2},
		"POST, key":                 {reset, "POST", []godwit.Option{godwit.Header("Idempotency-Key", "k")}, 2},
		"no such host":              {mock.NoSuchHost(), "GET", nil, 1},
		"truncated body":            {mock.OK("0123456789").WithTruncation(3), "GET", nil, 2},
		"cut gzip":                  {mock.Bytes(200, "", []byte("\x1f\x8b\x08")).WithHeader("Content-Encoding", "gzip"), "GET", nil, 2},
		"body too large":            {mock.OK("0123456789"), "GET", []godwit.Option{godwit.MaxBody(5)}, 1},
		"connect timeout":           {mock.Timeout(engine.KindConnect), "GET", nil, 2},
		"idle timeout":              {mock.Timeout(engine.KindIdle), "GET", nil, 2},
		"protocol error":            {mock.Error(&engine.ProtocolError{Reason: "x"}), "GET", nil, 2},
		"never":                     {mock.Status(503), "GET", []godwit.Option{retry.Max(0)}, 1},
		"decided: yes":              {mock.Status(404), "POST", []godwit.Option{retry.If(func(_ *godwit.Request, r *godwit.Response, _ error) bool { return r != nil && r.Status == 404 })}, 2},
		"decided: no":               {mock.Status(503), "GET", []godwit.Option{retry.If(func(*godwit.Request, *godwit.Response, error) bool { return false })}, 1},
		"proxy unreachable":         {proxyFails(0), "POST", nil, 2},
		"proxy, 502":                {proxyFails(502), "POST", nil, 2},
		"proxy, 407":                {proxyFails(407), "POST", nil, 1},
		"unsupported by the engine": {mock.Error(&engine.UnsupportedError{}), "GET", nil, 1},
	} {
		bubble(t, retry.Config{}, list(row.first, mock.Always(ok)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			c.Do(t.Context(), godwit.NewRequest(row.method, url, row.opts...))
			if got := len(eng.Requests()); got != row.want {
				t.Errorf("%s: %d attempts, want %d", name, got, row.want)
			}
		})
	}
}

func TestLastFailureIsReturned(t *testing.T) {
	bubble(t, retry.Config{Max: 2}, list(mock.Text(503, "1"), mock.Text(503, "2"), mock.Text(503, "3")), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url))
		if err != nil || resp.Text() != "3" || resp.Call().Sends() != 3 {
			t.Errorf("%v, %v", resp, err)
		}
	})
	bubble(t, retry.Config{Max: 1}, list(mock.Text(503, "1"), mock.Reset()), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", url))
		if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpReceive || ge.Attempt != 2 {
			t.Errorf("%v", err)
		}
	})
	bubble(t, retry.Config{Max: 100}, list(mock.Always(mock.Status(503))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url)) // MaxSends is 20
		if err != nil || resp.Status != 503 || len(eng.Requests()) != 20 {
			t.Errorf("%d requests, %v, %v", len(eng.Requests()), resp, err)
		}
	})
	bubble(t, retry.Config{}, list(mock.Reset(), mock.Redirect("/x"), mock.Text(503, "last"), mock.Always(ok)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.MaxSends(3)))
		if err != nil || resp.Text() != "last" || len(eng.Requests()) != 3 {
			t.Errorf("after a redirect: %d requests, %v, %v", len(eng.Requests()), resp, err)
		}
	})
}

func TestBackoff(t *testing.T) {
	var delays []time.Duration
	note := godwit.On(func(_ context.Context, e godwit.Retried) { delays = append(delays, e.Delay) })
	bubble(t, retry.Config{Max: 10, MaxDelay: 4 * time.Second}, list(mock.Always(mock.Status(503))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		start := time.Now()
		c.Do(t.Context(), godwit.NewRequest("GET", url))
		var sum time.Duration
		distinct := make(map[time.Duration]bool)
		for i, d := range delays {
			bound := min(4*time.Second, 500*time.Millisecond<<i)
			if d < 0 || d > bound {
				t.Errorf("wait %d: %v, bound %v", i+1, d, bound)
			}
			sum += d
			distinct[d] = true
		}
		if len(delays) != 10 || time.Since(start) != sum || len(distinct) < 9 {
			t.Errorf("waits %v took %v", delays, time.Since(start))
		}
	}, note)
}

func TestRetryAfter(t *testing.T) {
	start := time.Now()
	for name, row := range map[string]struct {
		value string
		want  time.Duration
		sends int
	}{
		"seconds":     {"7", 7 * time.Second, 2},
		"date":        {"date", 9 * time.Second, 2},
		"too long":    {"61", 0, 1},
		"nonsense":    {"soon", 0, 2},
		"in the past": {"Fri, 01 Jan 1999 15:04:05 GMT", 0, 2},
	} {
		bubble(t, retry.Config{Delay: func(int) time.Duration { return 0 }}, nil, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			start = time.Now()
			value := row.value
			if value == "date" {
				value = start.Add(9 * time.Second).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
			}
			eng.Enqueue(mock.Status(429).WithHeader("Retry-After", value), mock.Always(ok))
			c.Do(t.Context(), godwit.NewRequest("GET", url))
			if took := time.Since(start); took != row.want || len(eng.Requests()) != row.sends {
				t.Errorf("%s: %d sends, took %v", name, len(eng.Requests()), took)
			}
		})
	}
	bubble(t, retry.Config{Delay: func(int) time.Duration { return 0 }, MaxRetryAfter: -1}, list(mock.Status(429).WithHeader("Retry-After", "7"), ok), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		start := time.Now()
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); err != nil || time.Since(start) != 0 {
			t.Errorf("ignored: %v after %v", err, time.Since(start))
		}
	})
}

// TestDeadlineCannotBeMet: what cannot be waited for is not waited for.
func TestDeadlineCannotBeMet(t *testing.T) {
	slow := mock.Text(503, "later").WithHeader("Retry-After", "10")
	bubble(t, retry.Config{}, list(mock.Always(slow)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		start := time.Now()
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.Timeout(5*time.Second)))
		if err != nil || resp.Text() != "later" || time.Since(start) != 0 || len(eng.Requests()) != 1 {
			t.Errorf("%v, %v after %v", resp, err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		start = time.Now()
		if _, err := c.Do(ctx, godwit.NewRequest("GET", url)); !errors.Is(err, context.Canceled) || time.Since(start) != 3*time.Second {
			t.Errorf("cancelled in the wait: %v after %v", err, time.Since(start))
		}
	})
}

func TestAttemptTimeout(t *testing.T) {
	bubble(t, retry.Config{AttemptTimeout: time.Second, Delay: func(int) time.Duration { return 0 }}, list(mock.Hang(), mock.OK("0123").WithStall(2), ok), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		start := time.Now()
		s, err := godwit.Get[string](t.Context(), c, url)
		if err != nil || s != "ok" || time.Since(start) != 2*time.Second {
			t.Errorf("%q, %v after %v", s, err, time.Since(start))
		}
	})
}

func TestBodies(t *testing.T) {
	bubble(t, retry.Config{}, list(mock.Status(503), mock.Status(503), ok), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		if _, err := c.Do(t.Context(), godwit.NewRequest("PUT", url, godwit.Body("again"))); err != nil {
			t.Fatal(err)
		}
		for _, r := range eng.Requests() {
			if r.Text() != "again" {
				t.Errorf("sent %q", r.Text())
			}
		}
	})
	bubble(t, retry.Config{}, list(mock.Status(503)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		_, err := c.Do(t.Context(), godwit.NewRequest("PUT", url, godwit.Body(io.MultiReader(strings.NewReader("once")))))
		se, ok := errors.AsType[*godwit.StatusError](err)
		if !errors.Is(err, godwit.ErrNotReplayable) || !ok || se.Response.Status != 503 {
			t.Errorf("%v", err)
		}
	})
	// What came by RoundTrip has code on top that deals with the response.
	bubble(t, retry.Config{}, list(mock.Status(503)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		body := content.Reader(io.MultiReader(strings.NewReader("once")), "text/plain", -1)
		resp, err := c.RoundTrip(t.Context(), godwit.NewRequest("PUT", url, godwit.Body(body)))
		if err != nil || resp.Status != 503 {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Close()
	})
}

func TestModifyAndKey(t *testing.T) {
	config := retry.Config{IdempotencyKey: true, Modify: func(_ context.Context, r *godwit.Request, n int) error {
		if n == 3 {
			return errors.ErrUnsupported
		}
		r.Header.Set("X-Attempt", fmt.Sprint(n))
		return nil
	}}
	bubble(t, config, list(mock.Always(mock.Status(503))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		_, err := c.Do(t.Context(), godwit.NewRequest("POST", url))
		if !errors.Is(err, errors.ErrUnsupported) || len(eng.Requests()) != 3 {
			t.Errorf("%d requests, %v", len(eng.Requests()), err)
		}
		key := eng.Requests()[0].Header.Get("Idempotency-Key")
		for i, r := range eng.Requests() {
			if len(key) != 32 || r.Header.Get("Idempotency-Key") != key || i > 0 && r.Header.Get("X-Attempt") != fmt.Sprint(i) {
				t.Errorf("attempt %d: %s", i, r.Header)
			}
		}
	})
}

// TestKeyIsOneACall: redirects that keep the method keep the key, too.
func TestKeyIsOneACall(t *testing.T) {
	config := retry.Config{IdempotencyKey: true}
	to := func(status int) mock.Handler { return mock.Status(status).WithHeader("Location", "/next") }
	keys := func(eng *mock.Engine) (all []string) {
		for _, r := range eng.Requests() {
			all = append(all, r.Method+" "+r.Header.Get("Idempotency-Key"))
		}
		return all
	}
	for status, kept := range map[int]bool{307: true, 308: true, 303: false, 302: false} {
		bubble(t, config, list(mock.Status(503), to(status), mock.Status(503), mock.Always(ok)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			if _, err := c.Do(t.Context(), godwit.NewRequest("POST", url)); err != nil {
				t.Fatal(err)
			}
			got := keys(eng)
			last := "GET "
			if kept {
				last = got[0]
			}
			if len(got) != 4 || len(got[0]) != len("POST ")+32 || got[1] != got[0] || got[2] != last || got[3] != last {
				t.Errorf("%d: %q", status, got)
			}
		})
	}
	bubble(t, config, list(mock.Status(503), mock.Always(ok)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		resp, err := c.RoundTrip(t.Context(), godwit.NewRequest("PATCH", url))
		if err != nil {
			t.Fatal(err)
		}
		resp.Close()
		if got := keys(eng); len(got) != 2 || len(got[0]) != len("PATCH ")+32 || got[1] != got[0] {
			t.Errorf("RoundTrip: %q", got)
		}
	})
	bubble(t, config, list(mock.Always(ok)), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		req := godwit.NewRequest("POST", url)
		for range 2 {
			c.Do(t.Context(), req)
		}
		if got := keys(eng); got[0] == got[1] || req.Header.Has("Idempotency-Key") {
			t.Errorf("two calls with one request: %q", got)
		}
	})
}

func TestBudget(t *testing.T) {
	config := retry.Config{Max: 5, Delay: func(int) time.Duration { return 0 }, Budget: retry.Budget{Ratio: 0.5, PerSecond: 1, Burst: 3}}
	bubble(t, config, list(mock.Always(mock.Status(503))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		sends := func() int {
			before := len(eng.Requests())
			c.Do(t.Context(), godwit.NewRequest("GET", url))
			return len(eng.Requests()) - before
		}
		if a, b, d := sends(), sends(), sends(); a != 4 || b+d != 3 {
			t.Errorf("sends %d, %d, %d: want 4, then one repetition for two calls", a, b, d)
		}
		time.Sleep(2 * time.Second) // virtual
		if n := sends(); n != 3 {
			t.Errorf("%d sends after two seconds, want 3", n)
		}
	})
	// A redirect's hops are one call; a rate below zero is none.
	config.Budget = retry.Budget{Ratio: 0.5, PerSecond: -1, Burst: 1}
	bubble(t, config, list(mock.Status(503), mock.Redirect("/1"), mock.Redirect("/2"), mock.Always(mock.Status(503))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		for i, want := range []int{4, 5, 7} { // all told: the third call has two halves of a token
			c.Do(t.Context(), godwit.NewRequest("GET", url))
			if n := len(eng.Requests()); n != want {
				t.Errorf("%d sends after call %d, want %d", n, i+1, want)
			}
			time.Sleep(time.Hour) // virtual
		}
	})
	config.Budget = retry.Budget{Ratio: -1}
	bubble(t, config, list(mock.Always(mock.Status(503))), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		for range 3 {
			c.Do(t.Context(), godwit.NewRequest("GET", url))
		}
		if n := len(eng.Requests()); n != 18 {
			t.Errorf("%d sends without a budget, want 18", n)
		}
	})
}
