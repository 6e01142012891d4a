package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
)

// tracer notes on the request in which order interceptors run.
var tracer = attr.NewKey[*[]string]("trace")

func noting(name string) godwit.Interceptor {
	return func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if list, ok := tracer.Get(&req.Attributes); ok {
			*list = append(*list, name)
		}
		return next(ctx, req)
	}
}

func TestPhaseOrder(t *testing.T) {
	plugin := func(name string, at godwit.SendPhase) godwit.Plugin {
		return godwit.PluginFunc(name, func(s *godwit.Scope) error {
			s.Intercept(at, noting(name))
			return nil
		})
	}
	opts := []godwit.ClientOption{
		godwit.Intercept(godwit.SendAuth, noting("user 1")),
		godwit.Install(plugin("z", godwit.SendRetry), plugin("b", godwit.SendAuth), plugin("a", godwit.SendAuth), plugin("y", godwit.SendMonitoring)),
		godwit.Intercept(godwit.SendAuth, noting("user 2")),
		godwit.InterceptCall(godwit.CallState, noting("call")),
		godwit.Install(godwit.PluginFunc("custom", func(s *godwit.Scope) error {
			s.AddPhaseAfter(godwit.SendCache, "Sign")
			s.Intercept("Sign", noting("sign"))
			s.AddCallPhaseBefore(godwit.CallState, "Early")
			s.InterceptCall("Early", noting("early"))
			s.AddCallPhaseAfter(godwit.CallState, "Late")
			s.InterceptCall("Late", noting("late"))
			return nil
		})),
	}
	want := "early, call, late, z, a, b, user 1, user 2, sign, y"
	for range 2 {
		c, _ := client(t, answers(mock.OK("")), opts...)
		var got []string
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.Attribute(tracer, &got))); err != nil {
			t.Fatal(err)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("order %s\nwant  %s", s, want)
		}
		opts[0], opts[1] = opts[1], opts[0] // the order of options does not matter
	}
}

// TestDecodePhases: phases of one's own stand around those of the Decode pipeline.
func TestDecodePhases(t *testing.T) {
	var order []string
	mark := func(name string) godwit.DecodeInterceptor {
		return func(ctx context.Context, d *godwit.Decoding, next godwit.DecodeHandler) (bool, error) {
			order = append(order, name)
			return next(ctx, d)
		}
	}
	c, _ := client(t, answers(mock.OK("x")), godwit.Install(godwit.PluginFunc("p", func(s *godwit.Scope) error {
		s.AddDecodePhaseBefore(godwit.DecodeParse, "Outer")
		s.AddDecodePhaseAfter(godwit.DecodeReceive, "First")
		s.InterceptDecode("Outer", mark("outer"))
		s.InterceptDecode("First", mark("first"))
		s.InterceptDecode(godwit.DecodeReceive, mark("receive"))
		return nil
	})))
	if v, err := godwit.Get[string](t.Context(), c, base); err != nil || v != "x" {
		t.Fatal(v, err)
	}
	if got := strings.Join(order, " "); got != "receive first outer" {
		t.Errorf("order %s", got)
	}
}

func TestInstallReplaces(t *testing.T) {
	set := func(v string) godwit.Plugin {
		return godwit.PluginFunc("same", func(s *godwit.Scope) error {
			s.OnRequest(func(_ context.Context, r *godwit.Request) error { r.Header.Add("X", v); return nil })
			return nil
		})
	}
	c, eng := client(t, answers(mock.Always(mock.OK(""))), godwit.Install(set("1")), godwit.Install(set("2")))
	c.Do(t.Context(), godwit.NewRequest("GET", base))
	c.With(godwit.Install(set("3"))).Do(t.Context(), godwit.NewRequest("GET", base))
	for i, want := range []string{"2", "3"} {
		if got := eng.Requests()[i].Header.Joined("X"); got != want {
			t.Errorf("request %d: X %q, want %q", i, got, want)
		}
	}
}

func TestHooks(t *testing.T) {
	var seen []string
	note := func(s string, args ...any) { seen = append(seen, fmt.Sprintf(s, args...)) }
	type celsius float64
	plugin := godwit.PluginFunc("hooks", func(s *godwit.Scope) error {
		s.OnRequest(func(_ context.Context, r *godwit.Request) error { note("request"); r.Header.Set("X", "1"); return nil })
		s.OnSend(func(_ context.Context, r *godwit.Request) error {
			note("send %s", r.URL.Path)
			r.Header.Add("Y", "1")
			return nil
		})
		s.OnResponse(func(_ context.Context, r *godwit.Response) error { note("response %d", int(r.Status)); return nil })
		s.OnError(func(_ context.Context, _ *godwit.Request, err error) error { note("error"); return nil })
		s.OnClose(func() { note("close") })
		s.TransformRequest(func(_ context.Context, r *godwit.Request) (content.Content, error) {
			if v, ok := r.Body.(celsius); ok {
				return content.Text(fmt.Sprintf("%g°C", float64(v))), nil
			}
			return nil, nil
		})
		s.TransformResponse(func(_ context.Context, d *godwit.Decoding) (bool, error) {
			v, ok := d.Target.(*celsius)
			if ok {
				_, err := fmt.Sscanf(string(d.Data), "%g°C", (*float64)(v))
				return true, err
			}
			return false, nil
		})
		return nil
	})
	c, eng := client(t, answers(to(307, "/2"), mock.OK("21.5°C"), mock.Refused()), godwit.Install(plugin))
	v, err := godwit.Post[celsius](t.Context(), c, base+"/1", celsius(20))
	if err != nil || v != 21.5 || eng.Requests()[1].Text() != "20°C" {
		t.Fatalf("got %v, %v", v, err)
	}
	for _, r := range eng.Requests() {
		if r.Header.Joined("X") != "1" || r.Header.Joined("Y") != "1" {
			t.Errorf("fields %s", r.Header)
		}
	}
	c.Do(t.Context(), godwit.NewRequest("GET", base+"/3"))
	c.Close()
	want := "request, send /1, response 307, send /2, response 200, request, send /3, error, close"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("hooks %s\nwant  %s", got, want)
	}
}

var limit = godwit.NewSetting("third party", 1).Check(func(n int) error {
	if n < 0 {
		return errors.New("limit is negative")
	}
	return nil
})

func TestSettings(t *testing.T) {
	var got int
	plugin := func(config ...int) godwit.ClientOption {
		return godwit.Install(godwit.PluginFunc("third", func(s *godwit.Scope) error {
			value := limit.Capture(s, config...)
			s.OnRequest(func(_ context.Context, r *godwit.Request) error { got = value.For(r); return nil })
			return nil
		}))
	}
	for name, row := range map[string]struct {
		client  []godwit.ClientOption
		request []godwit.Option
		want    int
	}{
		"default":               {[]godwit.ClientOption{plugin()}, nil, 1},
		"plugin's Config":       {[]godwit.ClientOption{plugin(2)}, nil, 2},
		"client before Config":  {[]godwit.ClientOption{plugin(2), limit.Set(3)}, nil, 3},
		"client, other order":   {[]godwit.ClientOption{limit.Set(3), plugin(2)}, nil, 3},
		"request before client": {[]godwit.ClientOption{plugin(2), limit.Set(3)}, []godwit.Option{limit.Set(4)}, 4},
		"bundled in All":        {[]godwit.ClientOption{plugin(2), godwit.All(limit.Set(3))}, []godwit.Option{godwit.All(limit.Set(4), limit.Set(5))}, 5},
	} {
		c, _ := client(t, answers(mock.OK("")), row.client...)
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base, row.request...)); err != nil || got != row.want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, row.want)
		}
	}
	c, _ := client(t, nil, plugin())
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base, limit.Set(-1))); err == nil {
		t.Error("a refused value is sent")
	}
}

type greeter struct{ name string }

func (greeter) Name() string                { return "greeter" }
func (greeter) Install(*godwit.Scope) error { return nil }

func TestPluginOf(t *testing.T) {
	c, _ := client(t, nil, godwit.Install(greeter{"ada"}))
	if p, ok := godwit.PluginOf[greeter](c); !ok || p.name != "ada" {
		t.Errorf("got %v, %v", p, ok)
	}
	if _, ok := godwit.PluginOf[closing](c); ok {
		t.Error("found what is not installed")
	}
}

func TestBadPlugins(t *testing.T) {
	broken := errors.New("broken")
	for name, opt := range map[string]godwit.ClientOption{
		"install fails": godwit.Install(godwit.PluginFunc("p", func(*godwit.Scope) error { return broken })),
		"unknown phase": godwit.Intercept("Nowhere", noting("x")),
		"nil":           godwit.Install(nil),
		"nil function":  godwit.Intercept(godwit.SendAuth, nil),
		"OnRequest":     godwit.Install(godwit.PluginFunc("p", func(s *godwit.Scope) error { s.OnRequest(nil); return nil })),
		"OnError":       godwit.Install(godwit.PluginFunc("p", func(s *godwit.Scope) error { s.OnError(nil); return nil })),
		"anchor":        godwit.Install(godwit.PluginFunc("p", func(s *godwit.Scope) error { s.AddPhaseAfter("Nowhere", "X"); return nil })),
	} {
		c := godwit.New(godwit.WithEngineInstance(mock.New()), opt)
		if err := c.Err(); err == nil || strings.HasPrefix(name, "On") && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); err == nil {
			t.Errorf("%s: the call works", name)
		}
		c.Close()
	}
}

// TestOnSendChangesACopy: what it does to the URL is for one send.
func TestOnSendChangesACopy(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK(""))), godwit.Install(godwit.PluginFunc("p", func(s *godwit.Scope) error {
		s.OnSend(func(_ context.Context, req *godwit.Request) error {
			req.URL.Path += "x"
			return nil
		})
		return nil
	})))
	req := godwit.NewRequest("GET", base+"/")
	for range 2 {
		if _, err := c.Do(t.Context(), req); err != nil || req.URL.Path != "/" {
			t.Errorf("the caller's URL is %s, %v", req.URL, err)
		}
	}
	if got := eng.Requests()[1].URL.Path; got != "/x" {
		t.Errorf("sent to %s", got)
	}
}

// TestReplacedPluginIsForgotten: what was wrong with it, too.
func TestReplacedPluginIsForgotten(t *testing.T) {
	bad := godwit.Install(godwit.PluginFunc("p", func(*godwit.Scope) error { return errors.New("broken") }))
	good := godwit.Install(godwit.PluginFunc("p", func(*godwit.Scope) error { return nil }))
	c := godwit.New(godwit.WithEngineInstance(mock.New()), bad)
	defer c.Close()
	if err := c.With(good).Err(); err != nil {
		t.Error(err)
	}
	if err := c.With().With().Err(); err == nil || strings.Count(err.Error(), "broken") != 1 {
		t.Errorf("of a sibling's sibling: %v", err)
	}
}

// TestOriginStays: what interceptors do to the URL in place does not move it.
func TestOriginStays(t *testing.T) {
	var host string
	c, _ := client(t, answers(mock.OK("")), godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		req.URL.Host = "mirror.example"
		_, host = godwit.CallFrom(ctx).Origin()
		return next(ctx, req)
	}))
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); err != nil || host != "example.org" {
		t.Errorf("the origin is %q, %v", host, err)
	}
}

// TestForgottenResponsesAreClosed: an interceptor that sends again without
// discarding, or drops a response, leaks nothing.
func TestForgottenResponsesAreClosed(t *testing.T) {
	again := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		next(ctx, req)
		next(ctx, req)
		return next(ctx, req)
	})
	c, eng := client(t, answers(mock.Always(mock.OK("x"))), again)
	if s, err := godwit.Get[string](t.Context(), c, base); err != nil || s != "x" || len(eng.Requests()) != 3 {
		t.Errorf("%q, %v", s, err)
	}
	eng.AssertBodiesClosed(t)
	swap := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		next(ctx, req)
		return godwit.NewResponse(req, 203, header.New("X", "y"), []byte("made up")), nil
	})
	c, eng = client(t, answers(mock.Always(mock.OK("x"))), swap)
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
	if err != nil || resp.Text() != "made up" || resp.Status != 203 || resp.Call() == nil {
		t.Errorf("%v, %v", resp, err)
	}
	err = c.Stream(t.Context(), godwit.NewRequest("GET", base), func(r *godwit.Response) error {
		b, err := io.ReadAll(r.Body)
		if string(b) != "made up" {
			t.Errorf("streamed %q", b)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	c.Close()
	if err := c.Join(t.Context()); err != nil {
		t.Error(err)
	}
	eng.AssertBodiesClosed(t)
}

func TestMaxSends(t *testing.T) {
	forever := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		for {
			resp, err := next(ctx, req)
			if err != nil {
				return nil, err
			}
			resp.Discard()
		}
	})
	c, eng := client(t, answers(mock.Always(mock.OK("x"))), forever)
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); !errors.Is(err, godwit.ErrTooManySends) || len(eng.Requests()) != 20 {
		t.Errorf("%d sends, %v", len(eng.Requests()), err)
	}
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.MaxSends(3))); !errors.Is(err, godwit.ErrTooManySends) || len(eng.Requests()) != 23 {
		t.Errorf("%d sends, %v", len(eng.Requests()), err)
	}
}

// TestFork: two branches race; the loser is aborted and closed.
func TestFork(t *testing.T) {
	slow := make(chan struct{})
	var aborted atomic.Bool
	race := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		call := godwit.CallFrom(ctx)
		loser, err := call.Fork(ctx)
		if err != nil {
			return nil, err
		}
		lost := make(chan struct{})
		go func() {
			defer close(lost)
			hedge := req.Clone()
			hedge.Header.Set("X-Hedge", "1")
			if _, err := next(loser.Context(), hedge); errors.Is(err, context.Canceled) {
				aborted.Store(true)
			}
		}()
		<-slow
		resp, err := next(ctx, req)
		loser.End()
		<-lost
		return resp, err
	})
	hang := mock.Func(func(ctx context.Context, _ *mock.Request) (*mock.Response, error) {
		close(slow)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	c, eng := client(t, answers(mock.When(mock.HasHeader("X-Hedge")).Reply(hang), mock.OK("winner")), race)
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
	if err != nil || resp.Text() != "winner" || resp.Call().Sends() != 2 || !aborted.Load() {
		t.Errorf("%v, aborted %v", err, aborted.Load())
	}
	eng.AssertBodiesClosed(t)
	c.Close()
	if err := c.Join(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestForkOutlivesTheCall: Join waits for a branch in the background.
func TestForkOutlivesTheCall(t *testing.T) {
	release, done := make(chan struct{}), make(chan error, 1)
	background := godwit.Intercept(godwit.SendCache, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		fork, err := godwit.CallFrom(ctx).Fork(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		go func() {
			defer fork.End()
			<-release
			resp, err := next(fork.Context(), req)
			if err == nil {
				err = resp.Save()
			}
			done <- err
		}()
		return godwit.NewResponse(req, 200, header.Header{}, []byte("stale")), nil
	})
	c, eng := owned(t, answers(mock.OK("fresh")), background)
	if s, err := godwit.Get[string](t.Context(), c, base); err != nil || s != "stale" {
		t.Fatalf("%q, %v", s, err)
	}
	c.Close()
	if eng.Closed() {
		t.Error("engine closed under the branch")
	}
	close(release)
	if err := c.Join(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil || !eng.Closed() {
		t.Errorf("branch: %v, engine closed %v", err, eng.Closed())
	}
}

// TestEveryFailureTogether: validator, decoder and retry fail in every
// combination, and nothing is left open.
func TestEveryFailureTogether(t *testing.T) {
	for bits := range 16 {
		fails := func(bit int) bool { return bits>>bit&1 == 1 }
		boom := errors.New("boom")
		opts := []godwit.ClientOption{
			godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
				resp, err := next(ctx, req)
				if err != nil {
					return nil, err
				}
				if godwit.CallFrom(ctx).Buffered() {
					if err := resp.Save(); err != nil {
						if fails(0) {
							return nil, err
						}
						if resp, err = next(ctx, req); err != nil {
							return nil, err
						}
					}
				}
				if fails(1) {
					return nil, boom // the response is forgotten
				}
				return resp, nil
			}),
			godwit.Validate(func(context.Context, *godwit.Response) error {
				if fails(2) {
					return boom
				}
				return nil
			}),
			godwit.InterceptDecode(godwit.DecodeReceive, func(ctx context.Context, d *godwit.Decoding, next godwit.DecodeHandler) (bool, error) {
				if fails(3) {
					return false, boom
				}
				return next(ctx, d)
			}),
		}
		c, eng := client(t, answers(mock.OK("0123456789").WithTruncation(4), mock.Always(mock.OK("x"))), opts...)
		_, err := godwit.Get[string](t.Context(), c, base)
		if want := bits != 0; (err != nil) != want {
			t.Errorf("%04b: %v", bits, err)
		}
		stop := errors.New("stop")
		err = c.Stream(t.Context(), godwit.NewRequest("GET", base), func(r *godwit.Response) error { return stop })
		if err == nil {
			t.Errorf("%04b: Stream lost the error", bits)
		}
		eng.AssertBodiesClosed(t)
		c.Close()
		if err := c.Join(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestValidators(t *testing.T) {
	ctx := t.Context()
	var order []string
	v := func(name string, err error) godwit.Option {
		return godwit.Validate(func(_ context.Context, r *godwit.Response) error {
			order = append(order, name+" "+r.Text())
			return err
		})
	}
	replaced := errors.New("replaced")
	c, _ := client(t, answers(to(302, "/x"), mock.OK("a"), mock.Text(500, "b"), mock.OK("c")), v("client", nil),
		godwit.OnError(func(_ context.Context, _ *godwit.Request, err error) error {
			if _, ok := errors.AsType[*godwit.StatusError](err); ok {
				return replaced
			}
			return nil
		}))
	if s, err := godwit.Get[string](ctx, c, base, v("request", nil)); err != nil || s != "a" {
		t.Errorf("%q, %v", s, err)
	}
	if _, err := godwit.Get[string](ctx, c, base, v("request", nil)); !errors.Is(err, replaced) {
		t.Errorf("handler did not replace: %v", err)
	}
	refused := errors.New("refused")
	if _, err := c.Do(ctx, godwit.NewRequest("GET", base, v("request", refused))); !errors.Is(err, refused) {
		t.Errorf("validator: %v", err)
	}
	if got := strings.Join(order, ", "); got != "client a, request a, client c, request c" {
		t.Errorf("validators ran: %s", got)
	}
}

// TestDecode: what is no body is decoded like one, by plugins and codecs.
func TestDecode(t *testing.T) {
	type celsius float64
	c, _ := client(t, nil, godwit.Install(godwit.PluginFunc("p", func(s *godwit.Scope) error {
		s.TransformResponse(func(_ context.Context, d *godwit.Decoding) (bool, error) {
			v, ok := d.Target.(*celsius)
			if !ok || d.Response.Header.Get("Content-Type") != "text/celsius" {
				return false, nil
			}
			_, err := fmt.Sscanf(string(d.Data), "%g°C", (*float64)(v))
			return true, err
		})
		return nil
	})))
	if v, err := godwit.Decode[celsius](t.Context(), c, "text/celsius", []byte("21.5°C")); err != nil || v != 21.5 {
		t.Error(v, err)
	}
	if v, err := godwit.Decode[map[string]int](t.Context(), c, "application/json", []byte(`{"a":1}`)); err != nil || v["a"] != 1 {
		t.Error(v, err)
	}
	if v, err := godwit.Decode[string](t.Context(), c, "text/plain; charset=iso-8859-1", []byte("\xe9")); err != nil || v != "é" {
		t.Error(v, err)
	}
	_, err := godwit.Decode[map[string]int](t.Context(), c, "application/x-none", []byte("x"))
	if de, ok := errors.AsType[*godwit.DecodeError](err); !ok || de.ContentType != "application/x-none" || de.Type != "map[string]int" {
		t.Error(err)
	}
	if v, err := godwit.Decode[bool](t.Context(), nil, "text/plain", []byte("true")); err != nil || !v {
		t.Error("a nil client:", v, err)
	}
}
