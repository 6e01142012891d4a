package sse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/auth"
	"github.com/godwit-go/godwit/plugins/retry"
	"github.com/godwit-go/godwit/sse"
)

// timed notes when requests reach the engine, and lets h answer.
func timed(start time.Time, times *[]time.Duration, handlers []mock.Handler) []mock.Handler {
	out := make([]mock.Handler, len(handlers))
	for i, h := range handlers {
		out[i] = mock.Func(func(ctx context.Context, r *mock.Request) (*mock.Response, error) {
			*times = append(*times, time.Since(start))
			return h.Answer(ctx, r)
		})
	}
	return out
}

// TestWaits: how long is waited before each request, up to the quarter that chance
// adds.
func TestWaits(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	refused, empty := mock.Refused(), streamed("")
	for _, tt := range []struct {
		name     string
		handlers []mock.Handler
		opts     []godwit.Option
		want     []time.Duration // the least
	}{
		{"default", list(streamed("data: a\n\n"), gone), nil, []time.Duration{3 * s}},
		{"refused from the start", list(refused, refused, refused, refused, refused, refused, gone), nil, []time.Duration{3 * s, 6 * s, 12 * s, 24 * s, 30 * s, 30 * s}},
		{"streams without events", list(empty, empty, empty, gone), nil, []time.Duration{3 * s, 6 * s, 12 * s}},
		{"an event starts anew", list(refused, refused, streamed("data: a\n\n"), refused, gone), nil, []time.Duration{3 * s, 6 * s, 3 * s, 6 * s}},
		{"own backoff", list(refused, refused, refused, refused, gone), []godwit.Option{sse.Backoff(100*ms, 250*ms)}, []time.Duration{100 * ms, 200 * ms, 250 * ms, 250 * ms}},
		{"the server's word", list(streamed("retry: 500\ndata: a\n\n"), refused, refused, gone), nil, []time.Duration{500 * ms, 1 * s, 2 * s}},
		{"the server's word without an event", list(streamed("retry: 500\n"), gone), nil, []time.Duration{500 * ms}},
		{"the server's word stays", list(streamed("retry: 500\ndata: a\n\n"), streamed("data: b\n\n"), gone), nil, []time.Duration{500 * ms, 500 * ms}},
		{"the server's last word", list(streamed("retry: 500\ndata: a\n\nretry: 700\nretry: x\n"), gone), nil, []time.Duration{700 * ms}},
		{"at once", list(streamed("retry: 0\ndata: a\n\n"), refused, refused, gone), nil, []time.Duration{100 * ms, 200 * ms, 400 * ms}},
		{"at once, as asked", list(streamed("retry: 0\ndata: a\n\n"), refused, gone), []godwit.Option{sse.Backoff(0, time.Second)}, []time.Duration{0, 200 * ms}},
		{"longer Retry-After than MaxRetry", list(mock.Status(503).WithHeader("Retry-After", "40"), gone), []godwit.Option{sse.RetryStatus(503), sse.MaxRetry(7 * s)}, []time.Duration{7 * s}},
		{"longer than the longest", list(streamed("retry: 60000\ndata: a\n\n"), refused, gone), nil, []time.Duration{60 * s, 60 * s}},
		{"longer than MaxRetry", list(streamed("retry: 99999999999999999999\ndata: a\n\n"), gone), nil, []time.Duration{time.Hour}},
		{"own MaxRetry", list(streamed("retry: 60000\ndata: a\n\n"), gone), []godwit.Option{sse.MaxRetry(5 * s)}, []time.Duration{5 * s}},
		{"Retry-After", list(mock.Status(503).WithHeader("Retry-After", "40"), mock.Status(503).WithHeader("Retry-After", "1"), gone), []godwit.Option{sse.RetryStatus(503)}, []time.Duration{40 * s, 6 * s}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, nil, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
				var times []time.Duration
				eng.Enqueue(timed(time.Now(), &times, tt.handlers)...)
				if _, err := collect(sse.Events(t.Context(), c, url, tt.opts...)); err != nil {
					t.Fatal(err)
				}
				if len(times) != len(tt.want)+1 {
					t.Fatalf("requests at %v", times)
				}
				for i, want := range tt.want {
					if got := times[i+1] - times[i]; got < want || got > want+want/4 {
						t.Errorf("wait %d is %v, want %v and up to a quarter", i+1, got, want)
					}
				}
			})
		})
	}
}

func TestJitter(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 10 {
		bubble(t, nil, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			var times []time.Duration
			eng.Enqueue(timed(time.Now(), &times, list(mock.Refused(), gone))...)
			collect(sse.Events(t.Context(), c, url))
			seen[times[1]] = true
		})
	}
	if len(seen) < 5 {
		t.Errorf("ten clients come at %v", seen)
	}
}

func TestEnds(t *testing.T) {
	event := streamed("id: 1\ndata: a\n\n")
	no := func(status int) mock.Handler { return mock.Text(status, "because") }
	refused := mock.Refused()
	for _, tt := range []struct {
		name     string
		handlers []mock.Handler
		opts     []godwit.Option
		want     string
		requests int
		attempts int
		text     string
	}{
		{"204", list(gone), nil, "", 1, 0, ""},
		{"404", list(no(404)), nil, "!Refused", 1, 1, "404 Not Found: \"because\""},
		{"503", list(no(503)), nil, "!Refused", 1, 1, "503"},
		{"201", list(mock.Bytes(201, "text/event-stream", []byte("data: a\n\n"))), nil, "!Refused", 1, 1, "201"},
		{"206", list(mock.Bytes(206, "text/event-stream", []byte("data: a\n\n"))), nil, "!Refused", 1, 1, "206"},
		{"304", list(mock.Status(304)), nil, "!Refused", 1, 1, "304"},
		{"503 on reconnect", list(event, no(503)), nil, "a[1] !Refused", 2, 1, "last event id \"1\""},
		{"503 that may be retried", list(event, no(503), event, gone), []godwit.Option{sse.RetryStatus(502, 503)}, "a[1] a[1]", 4, 0, ""},
		{"another status", list(no(503), no(500)), []godwit.Option{sse.RetryStatus(503)}, "!Refused", 2, 2, "(2 requests without an event)"},
		{"problem details", list(mock.Bytes(403, "application/problem+json", []byte(`{"title":"No seat","detail":"all taken"}`))), nil, "!Refused", 1, 1, "No seat: all taken"},
		{"HTML", list(mock.Bytes(200, "text/html", []byte("<p>Sign in"))), nil, "!NotEventStream", 1, 1, `Content-Type "text/html"; body starts "<p>Sign in"`},
		{"no Content-Type", list(mock.Bytes(200, "", []byte("data: a\n\n"))), nil, "!NotEventStream", 1, 1, "no Content-Type"},
		{"event-stream in name only", list(mock.Bytes(200, "text/event-streams", nil)), nil, "!NotEventStream", 1, 1, "text/event-streams"},
		{"unknown coding", list(mock.Bytes(200, "text/event-stream", []byte("xxx")).WithHeader("Content-Encoding", "br")), nil, "!NotEventStream", 1, 1, `Content-Encoding "br"`},
		{"type in capitals, with parameters", list(mock.Bytes(200, "Text/Event-Stream;charset=windows-1252;x", []byte("data: ü\n\n")), gone), nil, "ü", 2, 0, ""},
		{"attempts used up", list(refused, refused, refused), []godwit.Option{sse.MaxAttempts(2)}, "!AttemptsUsedUp", 3, 3, "sse.MaxAttempts"},
		{"attempts used up by silence", list(streamed(": hello\n\n"), streamed("")), []godwit.Option{sse.MaxAttempts(1)}, "!AttemptsUsedUp", 2, 2, "the server ended the stream"},
		{"attempts count from the last event", list(refused, event, refused, event, refused, refused), []godwit.Option{sse.MaxAttempts(2)}, "a[1] a[1] !AttemptsUsedUp", 6, 2, ""},
		{"the default of attempts", slices.Repeat(list(refused), 11), nil, "!AttemptsUsedUp", 11, 11, ""},
		{"unlimited", append(slices.Repeat(list(refused), 50), gone), []godwit.Option{sse.MaxAttempts(sse.Unlimited)}, "", 51, 0, ""},
		{"not once", list(refused), []godwit.Option{sse.Reconnect(false)}, "!Disconnected", 1, 1, "refused"},
		{"cut off, not again", list(streamed("data: a\n\ndata: b\n\n").WithTruncation(10)), []godwit.Option{sse.Reconnect(false)}, "a !Disconnected", 1, 0, "unexpected EOF"},
		{"reset in the middle", list(streamed("id: 1\ndata: a\n\ndata: b\n\n").WithReset(20), event, gone), nil, "a[1] a[1]", 3, 0, ""},
		{"unknown host", list(mock.NoSuchHost()), nil, "!BadRequest", 1, 1, "no such host"},
		{"unknown host that was known", list(event, mock.NoSuchHost(), gone), nil, "a[1]", 3, 0, ""},
		{"long line", list(streamed("data: a\n\ndata: 12345\n\n")), []godwit.Option{sse.MaxLine(10)}, "a !TooLarge", 1, 0, "sse.MaxLine"},
		{"long event", list(streamed("data: a\n\ndata: 12\ndata: 34\n\n")), []godwit.Option{sse.MaxEvent(4)}, "a !TooLarge", 1, 0, "sse.MaxEvent"},
		{"id that no field can carry", list(streamed("id: a\x01b\ndata: a\n\n")), nil, "a[a\x01b] !BadLastEventID", 1, 0, "control characters"},
		{"redirects without end", slices.Repeat(list(mock.Redirect("/")), 30), nil, "!BadRequest", 20, 1, "too many"},
		{"a validator", list(event), []godwit.Option{godwit.Validate(func(context.Context, *godwit.Response) error { return errors.New("not you") })}, "!BadRequest", 1, 1, "not you"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, tt.handlers, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
				got, err := collect(sse.Events(t.Context(), c, url, tt.opts...))
				for name, r := range map[string]sse.Reason{
					"Refused": sse.Refused, "NotEventStream": sse.NotEventStream, "AttemptsUsedUp": sse.AttemptsUsedUp, "Disconnected": sse.Disconnected,
					"BadRequest": sse.BadRequest, "TooLarge": sse.TooLarge, "BadLastEventID": sse.BadLastEventID,
				} {
					got = strings.ReplaceAll(got, "!"+string(r), "!"+name)
				}
				if got != tt.want || len(eng.Requests()) != tt.requests && !strings.HasPrefix(tt.name, "redirects") {
					t.Errorf("%d requests, %s, %v\nwant %d, %s", len(eng.Requests()), got, err, tt.requests, tt.want)
				}
				if (err == nil) != (tt.text == "" && !strings.Contains(tt.want, "!")) {
					t.Fatalf("error %v", err)
				}
				if err == nil {
					return
				}
				e, ok := errors.AsType[*sse.Error](err)
				if !ok || e.Attempts != tt.attempts || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%d attempts, want %d: %v", e.Attempts, tt.attempts, err)
				}
				if answered := e.Reason == sse.Refused || e.Reason == sse.NotEventStream; answered != (e.Response != nil) {
					t.Errorf("response %v", e.Response)
				}
			})
		})
	}
}

// TestErrorBody: what the server said stands in the error, even if it never stops
// talking.
func TestErrorBody(t *testing.T) {
	bubble(t, list(lasting("out of order").WithHeader("X", "y")), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
		eng.Reset()
		silent := mock.Stream(func(ctx context.Context, w io.Writer) error {
			io.WriteString(w, "out of order")
			<-ctx.Done()
			return ctx.Err()
		})
		silent.Status = 503
		eng.Enqueue(silent)
		start := time.Now()
		_, err := collect(sse.Events(t.Context(), c, url))
		e, ok := errors.AsType[*sse.Error](err)
		if !ok || e.Response == nil || e.Response.Status != 503 || e.Response.Text() != "out of order" {
			t.Fatalf("error %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestLastEventID(t *testing.T) {
	for _, tt := range []struct {
		name     string
		handlers []mock.Handler
		opts     []godwit.Option
		want     string // events
		sent     string // ids
	}{
		{"goes on", list(streamed("id: 1\ndata: a\n\nid: 2\ndata: b\n\n"), gone), nil, "a[1] b[2]", "|2"},
		{"WPT: it persists over streams", list(streamed("id: …\nretry: 200\ndata: hello\n\n"), streamed("data: …\n\n"), streamed("data: …\n\n"), gone), nil, "hello[…] …[…] …[…]", "|…|…|…"},
		{"is reset", list(streamed("id: 1\ndata: a\n\nid\ndata: b\n\n"), gone), []godwit.Option{sse.LastEventID("0")}, "a[1] b", "0|"},
		{"without an event", list(streamed("id: 1\ndata: a\n\nid: 2\n\n"), gone), nil, "a[1]", "|2"},
		{"of an unfinished event", list(streamed("id: 1\ndata: a\n\nid: 2\ndata: b\n"), gone), nil, "a[1]", "|1"},
		{"of a cut event", list(streamed("id: 1\ndata: a\n\nid: 2\ndata: b\n\n").WithReset(24), gone), nil, "a[1]", "|1"},
		{"the seed stays until there is another", list(mock.Refused(), streamed("data: a\n\n"), streamed("id: 8\ndata: b\n\n"), gone), []godwit.Option{sse.LastEventID("7")}, "a[7] b[8]", "7|7|7|8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, tt.handlers, func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
				got, err := collect(sse.Events(t.Context(), c, url, tt.opts...))
				if got != tt.want || err != nil {
					t.Errorf("%s, %v, want %s", got, err, tt.want)
				}
				var sent []string
				for _, r := range eng.Requests() {
					sent = append(sent, r.Header.Joined("Last-Event-ID"))
				}
				if got := strings.Join(sent, "|"); got != tt.sent {
					t.Errorf("ids sent %q, want %q", got, tt.sent)
				}
			})
		})
	}
}

// pass waits in the bubble's time.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TestLongQuiet: a stream without events that stays open for long is no failure:
// for the longest wait, and for 10 s.
func TestLongQuiet(t *testing.T) {
	for _, tt := range []struct {
		open, longest time.Duration
		requests      int
	}{
		{30 * time.Second, 30 * time.Second, 31},
		{29 * time.Second, 30 * time.Second, 11},
		{10 * time.Second, time.Second, 31},
		{9 * time.Second, time.Second, 11},
	} {
		quiet := mock.Stream(func(ctx context.Context, w io.Writer) error {
			return pass(ctx, tt.open)
		}).WithHeader("Content-Type", "text/event-stream")
		bubble(t, append(slices.Repeat(list(quiet), 30), gone), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			got, err := collect(sse.Events(t.Context(), c, url, sse.Backoff(time.Second, tt.longest)))
			if n := len(eng.Requests()); n != tt.requests || (err == nil) != (n == 31) {
				t.Errorf("open for %v, longest wait %v: %s, %v, %d requests", tt.open, tt.longest, got, err, n)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	t.Run("the request timeout ends with the head", func(t *testing.T) {
		slow := mock.Stream(func(ctx context.Context, w io.Writer) error {
			if err := pass(ctx, time.Hour); err != nil {
				return err
			}
			_, err := io.WriteString(w, "data: late\n\n")
			return err
		}).WithHeader("Content-Type", "text/event-stream")
		bubble(t, list(slow, gone), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
			if got, err := collect(sse.Events(t.Context(), c, url, godwit.Timeout(time.Second), godwit.AttemptTimeout(time.Second))); got != "late" || err != nil {
				t.Errorf("%s, %v", got, err)
			}
		})
	})
	t.Run("and covers it", func(t *testing.T) {
		bubble(t, list(mock.Hang(), streamed("data: a\n\n"), gone), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
			start := time.Now()
			if got, err := collect(sse.Events(t.Context(), c, url, godwit.Timeout(time.Second))); got != "a" || err != nil || time.Since(start) > 10*time.Second {
				t.Errorf("%s, %v after %v", got, err, time.Since(start))
			}
		})
	})
	t.Run("that of the stream, after others", func(t *testing.T) {
		hop := mock.Text(307, "").WithHeader("Location", "/next")
		bubble(t, list(hop, mock.Hang(), streamed("data: a\n\n"), gone), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
			start := time.Now()
			if got, err := collect(sse.Events(t.Context(), c, url, godwit.Timeout(time.Second))); got != "a" || err != nil || time.Since(start) > 10*time.Second {
				t.Errorf("%s, %v after %v", got, err, time.Since(start))
			}
		})
	})
	t.Run("the idle timeout stays", func(t *testing.T) {
		bubble(t, list(lasting("id: 1\ndata: a\n\n"), gone), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
			start := time.Now()
			if got, err := collect(sse.Events(t.Context(), c, url, godwit.IdleTimeout(20*time.Second))); got != "a[1]" || err != nil || time.Since(start) < 20*time.Second {
				t.Errorf("%s, %v after %v", got, err, time.Since(start))
			}
		})
	})
	t.Run("and is told", func(t *testing.T) {
		bubble(t, list(lasting("data: a\n\n")), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
			got, err := collect(sse.Events(t.Context(), c, url, godwit.IdleTimeout(20*time.Second), sse.Reconnect(false)))
			te, ok := errors.AsType[*godwit.TimeoutError](err)
			if e, _ := errors.AsType[*sse.Error](err); got != "a !"+string(sse.Disconnected) || !ok || te.Kind != engine.KindIdle || !e.Timeout() {
				t.Errorf("%s, %v", got, err)
			}
		})
	})
	t.Run("the context covers all", func(t *testing.T) {
		bubble(t, list(lasting("data: a\n\n")), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := collect(sse.Events(ctx, c, url))
			if got != "a !"+string(sse.Cancelled) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, %v", got, err)
			}
		})
	})
}

// TestCancelledWait: the wait ends at once by the context, by Client.Cancel and,
// at its end, by Client.Close; the cause can be seen.
func TestCancelledWait(t *testing.T) {
	why := errors.New("why")
	for name, tt := range map[string]struct {
		end   func(c *godwit.Client, cancel context.CancelCauseFunc)
		is    []error
		after time.Duration
	}{
		"context":       {func(_ *godwit.Client, cancel context.CancelCauseFunc) { cancel(why) }, []error{why, context.Canceled}, time.Second},
		"Client.Cancel": {func(c *godwit.Client, _ context.CancelCauseFunc) { c.Cancel() }, []error{context.Canceled}, time.Second},
		"Client.Close":  {func(c *godwit.Client, _ context.CancelCauseFunc) { c.Close() }, []error{godwit.ErrClientClosed}, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, list(streamed("id: 1\ndata: a\n\n")), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				start := time.Now()
				time.AfterFunc(time.Second, func() { tt.end(c, cancel) })
				got, err := collect(sse.Events(ctx, c, url))
				if took := time.Since(start); got != "a[1] !"+string(sse.Cancelled) || took < time.Second || took > tt.after {
					t.Errorf("%s, %v after %v", got, err, took)
				}
				for _, is := range tt.is {
					if !errors.Is(err, is) {
						t.Errorf("%v is not %v", err, is)
					}
				}
				if e, ok := errors.AsType[*sse.Error](err); !ok || e.LastEventID != "1" {
					t.Errorf("error %#v", err)
				}
			})
		})
	}
}

// TestEndedBetweenConnections: where one stream has ended and the next has not begun,
// and where a wait of no length is over already, Cancel and Close end the loop as at
// any other time, and Join waits for it.
func TestEndedBetweenConnections(t *testing.T) {
	for name, tt := range map[string]struct {
		end func(c *godwit.Client)
		is  error
	}{
		"Client.Cancel": {(*godwit.Client).Cancel, context.Canceled},
		"Client.Close":  {func(c *godwit.Client) { c.Close() }, godwit.ErrClientClosed},
	} {
		for _, waiting := range []bool{false, true} {
			for range 20 {
				end := func(c *godwit.Client) {
					now, cancel := context.WithCancel(context.Background())
					cancel()
					if c.Join(now) == nil {
						t.Errorf("%s, waiting %v: Join does not wait", name, waiting)
					}
					tt.end(c)
				}
				bubble(t, append(slices.Repeat(list(streamed("data: a\n\n")), 5), gone), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
					opts := []godwit.Option{quick, sse.MaxAttempts(sse.Unlimited)}
					if waiting {
						opts = append(opts, godwit.On(func(_ context.Context, e sse.Reconnecting) { end(c) }))
					}
					got, err := collect(sse.Events(t.Context(), c, url, opts...))
					if reason(err) != sse.Cancelled || !errors.Is(err, tt.is) || len(eng.Requests()) != 1 {
						t.Errorf("%s, waiting %v: %s, %v after %d requests", name, waiting, got, err, len(eng.Requests()))
					}
				}, godwit.Intercept(godwit.SendReceive, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
					resp, err := next(ctx, req)
					if err == nil && !waiting {
						c := godwit.CallFrom(ctx).Client()
						resp.OnClose(func(error) { end(c) }) // when the call has ended
					}
					return resp, err
				}))
			}
		}
	}
}

// watched calls f whenever somebody asks whether the context has ended.
type watched struct {
	context.Context
	f func()
}

func (w watched) Err() error {
	w.f()
	return w.Context.Err()
}

// TestCancelAnywhere: once a loop runs, Client.Cancel ends it wherever it stands:
// here at each place that looks at the context.
func TestCancelAnywhere(t *testing.T) {
	for n := 2; ; n++ { // at the first look nothing runs
		looks, sent := 0, -1
		bubble(t, append(slices.Repeat(list(streamed("data: a\n\n")), 3), gone), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			ctx := watched{t.Context(), func() {
				if looks++; looks == n {
					sent = len(eng.Requests())
					c.Cancel()
				}
			}}
			got, err := collect(sse.Events(ctx, c, url, quick))
			if sent >= 0 && (reason(err) != sse.Cancelled || len(eng.Requests()) != sent) {
				t.Errorf("look %d, after %d requests: %s, %v after %d", n, sent, got, err, len(eng.Requests()))
			}
		})
		if sent < 0 {
			return
		}
	}
}

// TestJoin: a stream that waits to reconnect is a running call.
func TestJoin(t *testing.T) {
	bubble(t, list(streamed("data: a\n\n"), gone), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		done := make(chan struct{})
		waiting := make(chan struct{})
		go func() {
			defer close(done)
			collect(sse.Events(t.Context(), c, url, godwit.On(func(context.Context, sse.Reconnecting) { close(waiting) })))
		}()
		<-waiting
		if err := c.Join(t.Context()); err != nil {
			t.Error(err)
		}
		start := time.Now()
		if <-done; time.Since(start) > time.Second {
			t.Errorf("Join returned %v early", time.Since(start))
		}
	})
}

// TestCancelledInTheMiddle: events that are there already are not given out when
// the context has ended.
func TestCancelledInTheMiddle(t *testing.T) {
	bubble(t, list(streamed("data: a\n\ndata: b\n\n")), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []string
		for ev, err := range sse.Events(ctx, c, url) {
			got = append(got, ev.Data)
			if cancel(); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if strings.Join(got, ",") != "a," {
			t.Errorf("events %q", got)
		}
	})
}

// TestLeftAndCancelled: leaving the loop and the end of the context do not meet.
func TestLeftAndCancelled(t *testing.T) {
	bubble(t, list(streamed("data: a\n\ndata: b\n\n")), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range sse.Events(ctx, c, url) {
			cancel()
			break
		}
	})
}

func TestPanicInTheLoop(t *testing.T) {
	bubble(t, list(lasting("data: a\n\n")), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		defer func() {
			if recover() != "oh" {
				t.Error("the panic is gone")
			}
		}()
		for range sse.Events(t.Context(), c, url) {
			panic("oh")
		}
	})
}

func TestEventsOfTheStream(t *testing.T) {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	bubble(t, list(streamed(": hi\nid: 1\ndata: a\n\nretry: 1000\n"), mock.Refused(), gone), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		seq := sse.Events(t.Context(), c, url,
			godwit.On(func(_ context.Context, e sse.Opened) {
				note("opened %d %s", e.Response.Status, e.Response.Header.Get("Content-Type"))
			}),
			godwit.On(func(_ context.Context, e sse.Comment) { note("comment %s", e.Text) }),
			godwit.On(func(_ context.Context, e sse.RetryChanged) { note("retry %v", e.Delay) }),
			godwit.On(func(_ context.Context, e sse.Reconnecting) {
				note("reconnecting %d %v %s %v", e.Attempt, e.Delay >= time.Second, e.LastEventID, errors.Is(e.Err, io.EOF))
			}),
		)
		for ev, err := range seq {
			note("%s %v", show(ev), err)
		}
	}, sse.Comments(true)) // the client's, here
	want := "opened 200 text/event-stream; comment hi; a[1] <nil>; retry 1s; reconnecting 1 true 1 true; reconnecting 2 true 1 false"
	if got := strings.Join(notes, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestRetryChangedAtOnce: each time to wait is told when it comes, an event or not.
func TestRetryChangedAtOnce(t *testing.T) {
	slow := mock.Stream(func(ctx context.Context, w io.Writer) error {
		io.WriteString(w, "retry: 5000\n: hi\n\n")
		<-time.After(time.Second)
		_, err := io.WriteString(w, "retry: 40\nretry: 50\ndata: a\n\n")
		return err
	}).WithHeader("Content-Type", "text/event-stream")
	bubble(t, list(slow, gone), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		start := time.Now()
		var notes []string
		note := func(what string) { notes = append(notes, fmt.Sprint(what, " at ", time.Since(start))) }
		for ev := range sse.Events(t.Context(), c, url, sse.Comments(true),
			godwit.On(func(_ context.Context, e sse.RetryChanged) { note(e.Delay.String()) }),
			godwit.On(func(_ context.Context, e sse.Comment) { note(e.Text) })) {
			note(ev.Data)
		}
		want := "5s at 0s, hi at 0s, 40ms at 1s, 50ms at 1s, a at 1s"
		if got := strings.Join(notes, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestAuthRefreshes: a token that expired while the stream was open is refreshed
// by the plugin when it is reconnected.
func TestAuthRefreshes(t *testing.T) {
	var valid atomic.Int32
	everyengine.Run(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", valid.Load()) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="events"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		n := valid.Add(1) // it is good for one stream
		if n > 3 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "id: %d\ndata: after %s\n\n", n, r.Header.Get("Last-Event-ID"))
	}, func(t *testing.T, c *godwit.Client, base string) {
		valid.Store(0)
		bearer := auth.New(auth.Bearer{
			Load: func(context.Context) (auth.Token, error) { return auth.Token{Access: "t0"}, nil },
			Refresh: func(context.Context, auth.Token) (auth.Token, error) {
				return auth.Token{Access: fmt.Sprintf("t%d", valid.Load())}, nil
			},
		})
		c = c.With(godwit.Install(bearer))
		defer c.Close()
		got, err := collect(sse.Events(t.Context(), c, base, quick))
		if want := "after [1] after 1[2] after 2[3]"; got != want || err != nil {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	})
}

// TestBesideRetry: the plugins retry and hedging do their part within each
// connection.
func TestBesideRetry(t *testing.T) {
	plugin := retry.New(retry.Config{BaseDelay: time.Millisecond, Hedge: retry.Hedge{Delay: 10 * time.Millisecond}})
	bubble(t, list(mock.Status(503), streamed("data: a\n\n"), mock.Delay(time.Second, streamed("data: slow\n\n")), streamed("data: b\n\n"), gone),
		func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
			if got, err := collect(sse.Events(t.Context(), c, url)); got != "a b" || err != nil || len(eng.Requests()) != 5 {
				t.Errorf("%s, %v, %d requests", got, err, len(eng.Requests()))
			}
		}, godwit.Install(plugin))
}
