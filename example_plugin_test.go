package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/pipeline"
)

// The whole of a third-party plugin: it numbers requests, and has an option of
// its own that is valid in New and on one request, like godwit's own.

var numberField = godwit.NewSetting("numbering.field", "X-Number")

// NumberField sets the field that carries the number.
func NumberField(name string) godwit.Option { return numberField.Set(name) }

// Numbering numbers requests.
type Numbering struct{ last atomic.Int64 }

func (n *Numbering) Name() string { return "numbering" }

func (n *Numbering) Install(s *godwit.Scope) error {
	field := numberField.Capture(s)
	s.OnRequest(func(_ context.Context, req *godwit.Request) error {
		req.Header.Set(field.For(req), strconv.FormatInt(n.last.Add(1), 10))
		return nil
	})
	return nil
}

func ExampleInstall() {
	c := godwit.New(godwit.WithEngineInstance(echo()), godwit.Install(&Numbering{}), NumberField("X-No"))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/"))
	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/", NumberField("X-Other")))
	// Output:
	// GET https://example.org/
	// X-No: 1 <nil>
	// GET https://example.org/
	// X-Other: 2 <nil>
}

func ExampleNewSetting() {
	limit := godwit.NewSetting("limit", 3).Check(func(n int) error {
		if n < 0 {
			return errors.New("the limit is not negative")
		}
		return nil
	})
	c := godwit.New(godwit.WithEngineInstance(ada()), limit.Set(-1))
	defer c.Close()
	fmt.Println(c.Err())
	// Output: the limit is not negative
}

func ExamplePluginOf() {
	c := godwit.New(godwit.WithEngineInstance(ada()), godwit.Install(&Numbering{}))
	defer c.Close()

	_, _ = godwit.Get[User](ctx, c, "https://example.org/users/7")
	plugin, ok := godwit.PluginOf[*Numbering](c)
	fmt.Println(plugin.last.Load(), ok)
	// Output: 1 true
}

func ExamplePluginFunc() {
	shout := godwit.PluginFunc("shout", func(s *godwit.Scope) error {
		s.OnSend(func(_ context.Context, req *godwit.Request) error { // each hop and attempt
			req.Header.Set("X-Shout", "HEY")
			return nil
		})
		s.OnResponse(func(_ context.Context, resp *godwit.Response) error {
			fmt.Println("got", resp.Status)
			return nil
		})
		s.OnClose(func() { fmt.Println("closed") })
		return nil
	})
	c := godwit.New(godwit.WithEngineInstance(echo()), godwit.Install(shout))
	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/"))
	c.Close()
	// Output:
	// got 200 OK
	// GET https://example.org/
	// X-Shout: HEY <nil>
	// closed
}

func ExampleScope_TransformRequest() {
	type point struct{ x, y int }
	points := godwit.PluginFunc("points", func(s *godwit.Scope) error {
		s.TransformRequest(func(_ context.Context, req *godwit.Request) (content.Content, error) {
			if p, ok := req.Body.(point); ok {
				return content.Text(fmt.Sprintf("%d,%d", p.x, p.y)), nil
			}
			return nil, nil // not ours
		})
		s.TransformResponse(func(_ context.Context, d *godwit.Decoding) (bool, error) {
			p, ok := d.Target.(*point)
			if !ok {
				return false, nil
			}
			_, err := fmt.Sscanf(string(d.Data), "%d,%d", &p.x, &p.y)
			return true, err
		})
		return nil
	})
	mirror := mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) { return mock.OK(r.Text()), nil })
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mirror)), godwit.Install(points))
	defer c.Close()

	fmt.Println(godwit.Post[point](ctx, c, "https://example.org/", point{3, 4}))
	// Output: {3 4} <nil>
}

func ExampleIntercept() {
	once := func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		resp, err := next(ctx, req)
		if err != nil || resp.Status != godwit.StatusServiceUnavailable {
			return resp, err
		}
		resp.Discard() // before sending again: it holds a connection
		return next(ctx, req)
	}
	eng := mock.New(mock.Status(503), mock.OK("now it works"))
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Intercept(godwit.SendRetry, once))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/"))
	// Output: now it works <nil>
}

func ExampleInterceptCall() {
	tenant := attr.NewKey[string]("tenant")
	c := godwit.New(godwit.WithEngineInstance(echo()), godwit.InterceptCall(godwit.CallState,
		func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			if name, ok := tenant.Get(&req.Attributes); ok {
				req.Header.Set("X-Tenant", name)
			}
			return next(ctx, req)
		}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/", godwit.Attribute(tenant, "north")))
	// Output:
	// GET https://example.org/
	// X-Tenant: north <nil>
}

func ExampleInterceptDecode() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("  padded  "))), godwit.InterceptDecode(godwit.DecodeReceive,
		func(ctx context.Context, d *godwit.Decoding, next pipeline.Handler[*godwit.Decoding, bool]) (bool, error) {
			ok, err := next(ctx, d)
			if s, isString := d.Target.(*string); isString {
				*s = strings.TrimSpace(*s)
			}
			return ok, err
		}))
	defer c.Close()

	text, err := godwit.Get[string](ctx, c, "https://example.org/")
	fmt.Printf("%q %v\n", text, err)
	// Output: "padded" <nil>
}

func ExampleOn() {
	c := godwit.New(godwit.WithEngineInstance(moved()),
		godwit.On(func(_ context.Context, e godwit.Created) { fmt.Println("created", e.Request.URL) }),
		godwit.On(func(_ context.Context, e godwit.Sending) { fmt.Println("sending", e.Request.URL) }),
		godwit.On(func(_ context.Context, e godwit.Received) { fmt.Println("received", e.Response.Status) }),
		godwit.On(func(_ context.Context, e godwit.Redirected) { fmt.Println("redirected to", e.To.URL) }),
	)
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/old")
	fmt.Println(err)
	// Output:
	// created https://example.org/old
	// sending https://example.org/old
	// received 307 Temporary Redirect
	// redirected to https://example.org/new
	// sending https://example.org/new
	// received 200 OK
	// <nil>
}

func ExampleEmit() {
	type Throttled struct{ Host string } // a plugin's own event
	throttle := godwit.PluginFunc("throttle", func(s *godwit.Scope) error {
		s.OnSend(func(ctx context.Context, req *godwit.Request) error {
			godwit.Emit(ctx, Throttled{req.URL.Host})
			return nil
		})
		godwit.Listen(s, func(_ context.Context, e Throttled) { fmt.Println("the plugin hears", e.Host) })
		return nil
	})
	c := godwit.New(godwit.WithEngineInstance(ada()), godwit.Install(throttle),
		godwit.On(func(_ context.Context, e Throttled) { fmt.Println("throttled", e.Host) }))
	defer c.Close()

	_, _ = godwit.Get[User](ctx, c, "https://example.org/users/7")
	// Output:
	// throttled example.org
	// the plugin hears example.org
}

func ExampleValidate() {
	quota := errors.New("the quota is used up")
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK(`{"error":"quota"}`))),
		godwit.Validate(func(_ context.Context, resp *godwit.Response) error {
			if strings.Contains(string(resp.Bytes()), `"error":"quota"`) {
				return quota
			}
			return nil
		}))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/")
	fmt.Println(errors.Is(err, quota), err)
	// Output: true godwit: GET https://example.org/: the quota is used up
}

func ExampleOnError() {
	noUser := errors.New("no such user")
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Status(404))),
		godwit.OnError(func(_ context.Context, _ *godwit.Request, err error) error {
			if failed, ok := errors.AsType[*godwit.StatusError](err); ok && failed.Response.Status == 404 {
				return noUser
			}
			return nil // leave it as it is
		}))
	defer c.Close()

	_, err := godwit.Get[User](ctx, c, "https://example.org/users/9")
	fmt.Println(errors.Is(err, noUser))
	// Output: true
}

func ExampleExpectSuccess() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Text(500, "broken"))))
	defer c.Close()

	text, err := godwit.Get[string](ctx, c, "https://example.org/", godwit.ExpectSuccess(false))
	fmt.Println(text, err)
	_, err = c.Do(ctx, godwit.NewRequest("GET", "https://example.org/", godwit.ExpectSuccess(true)))
	fmt.Println(err)
	// Output:
	// broken <nil>
	// godwit: GET https://example.org/: status 500 Internal Server Error: "broken"
}

func ExampleClient_String() {
	c := godwit.New(godwit.WithEngineInstance(ada()), godwit.Install(&Numbering{}))
	defer c.Close()
	first, _, _ := strings.Cut(c.String(), "\n") // then the pipelines, with what runs in each phase
	fmt.Println(first)
	// Output: godwit.Client[mock]
}

func ExampleCallFrom() {
	c := godwit.New(godwit.WithEngineInstance(moved()), godwit.Intercept(godwit.SendMonitoring,
		func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			resp, err := next(ctx, req)
			fmt.Println(req.URL.Path, "was send number", godwit.CallFrom(ctx).Sends())
			return resp, err
		}))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/old")
	fmt.Println(err)
	// Output:
	// /old was send number 1
	// /new was send number 2
	// <nil>
}

func ExampleScope_AddPhaseBefore() {
	const sign godwit.SendPhase = "Sign" // a phase of the plugin's own
	signing := godwit.PluginFunc("signing", func(s *godwit.Scope) error {
		s.AddPhaseBefore(godwit.SendMonitoring, sign)
		s.Intercept(sign, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			req = req.Clone()
			req.Header.Set("Signature", "of "+req.Method)
			return next(ctx, req)
		})
		return nil
	})
	c := godwit.New(godwit.WithEngineInstance(echo()), godwit.Install(signing))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/"))
	// Output:
	// GET https://example.org/
	// Signature: of GET <nil>
}

func ExampleDecode() {
	type move struct{ From, To string }
	m, err := godwit.Decode[move](context.Background(), nil, "application/json", []byte(`{"from":"e2","to":"e4"}`))
	fmt.Println(m.From, m.To, err)
	// Output: e2 e4 <nil>
}

func ExampleNewStatusError() {
	giveUp := func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		resp, err := next(ctx, req)
		if err == nil && resp.Status == godwit.StatusServiceUnavailable {
			return nil, fmt.Errorf("not tried again: %w", godwit.NewStatusError(resp))
		}
		return resp, err
	}
	locked := mock.Bytes(503, "application/problem+json", []byte(`{"title":"Locked by another user"}`))
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(locked)), godwit.Intercept(godwit.SendRetry, giveUp))
	defer c.Close()

	_, err := c.Do(ctx, godwit.NewRequest("GET", "https://example.org/"))
	se, _ := errors.AsType[*godwit.StatusError](err)
	fmt.Println(se.Problem.Title)
	// Output: Locked by another user
}
