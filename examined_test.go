package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// TestSourceOnOneConnection: a body from a URL does not wait for a connection
// that its own request holds.
func TestSourceOnOneConnection(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 1<<17) // 2 MiB
	for name, factory := range map[string]engine.Factory{
		"cio":     cio.Config{MaxConnectionsPerRoute: 1},
		"nethttp": nethttp.Config{MaxConnectionsPerRoute: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var sources atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/src":
					sources.Add(1)
					io.WriteString(w, "small")
				case "/large":
					io.WriteString(w, large)
				case "/cut":
					w.Header().Set("Content-Length", "10")
					io.WriteString(w, "half")
				default:
					data, _ := io.ReadAll(r.Body)
					fmt.Fprintf(w, "%d %d", r.ContentLength, len(data))
				}
			}))
			defer server.Close()
			c := godwit.New(godwit.WithEngine(factory), godwit.BaseURL(server.URL))
			defer c.Close()
			got, err := godwit.Post[string](t.Context(), c, "/dst", godwit.URL(c, server.URL+"/src"))
			if err != nil || got != "5 5" || sources.Load() != 1 {
				t.Errorf("small: %q, %v, fetched %d times", got, err, sources.Load())
			}
			_, err = godwit.Post[string](t.Context(), c, "/dst", godwit.URL(c, server.URL+"/cut"))
			if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "body from a URL") {
				t.Errorf("cut: %v", err)
			}
			// What does not fit in memory needs a second connection: it is an end, not a
			// wait without one.
			_, err = godwit.Post[string](t.Context(), c, "/dst", godwit.URL(c, server.URL+"/large"), godwit.PoolTimeout(50*time.Millisecond))
			if timeout, ok := errors.AsType[*engine.TimeoutError](err); !ok || timeout.Kind != engine.KindPool {
				t.Errorf("large: %v", err)
			}
			two := godwit.New(godwit.BaseURL(server.URL))
			defer two.Close()
			if got, err := godwit.Post[string](t.Context(), two, "/dst", godwit.URL(c, server.URL+"/large")); err != nil || got != fmt.Sprint(-1, len(large)) {
				t.Errorf("large by another client: %q, %v", got, err)
			}
		})
	}
}

// TestBodyOfNoInterest: who asks for None or Status does not depend on the body.
func TestBodyOfNoInterest(t *testing.T) {
	endless := func(_ context.Context, w io.Writer) error {
		for {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return err
			}
		}
	}
	broken := func(_ context.Context, w io.Writer) error {
		io.WriteString(w, "half")
		return errors.New("broken")
	}
	stalled := func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return ctx.Err() }
	for name, stream := range map[string]func(context.Context, io.Writer) error{"endless": endless, "broken": broken, "stalled": stalled} {
		for _, status := range []godwit.Status{200, 500} {
			synctest.Test(t, func(t *testing.T) {
				c := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mock.Func(
					func(context.Context, *mock.Request) (*mock.Response, error) {
						return mock.Status(int(status)).WithStream(stream), nil
					}))}}), godwit.Timeout(time.Minute))
				defer c.Close()
				got, err := godwit.Get[godwit.Status](t.Context(), c, "http://example.org/")
				if err != nil || got != status {
					t.Errorf("%s: Status %d, %v", name, got, err)
				}
				_, err = godwit.Get[godwit.None](t.Context(), c, "http://example.org/")
				_, isStatus := errors.AsType[*godwit.StatusError](err)
				if status == 200 && err != nil || status != 200 && !isStatus {
					t.Errorf("%s: None of a %d: %v", name, status, err)
				}
			})
		}
	}
}

// TestOwed: an interceptor that breaks its promise is named.
func TestOwed(t *testing.T) {
	nothing := func(context.Context, *godwit.Request, godwit.Handler) (*godwit.Response, error) { return nil, nil }
	noRequest := func(ctx context.Context, _ *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		return next(ctx, nil)
	}
	fine := func(ctx context.Context, r *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		return next(ctx, r)
	}
	for name, row := range map[string]struct {
		opts []godwit.ClientOption
		want string
	}{
		"nothing, Send":                 {[]godwit.ClientOption{godwit.Intercept(godwit.SendAttempt, nothing)}, "the interceptor in Attempt returned neither a response nor an error"},
		"nothing, Call":                 {[]godwit.ClientOption{godwit.InterceptCall(godwit.CallState, nothing)}, "the interceptor in State returned neither a response nor an error"},
		"no request before another one": {[]godwit.ClientOption{godwit.Intercept(godwit.SendRetry, noRequest), godwit.Intercept(godwit.SendAuth, fine)}, "the interceptor before Auth went on with a nil request"},
	} {
		c := godwit.New(append(row.opts, godwit.WithEngine(mock.Config{}))...)
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/"))
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
	c := godwit.New(godwit.WithEngine(mock.Config{}))
	defer c.Close()
	for _, body := range []any{(*strings.Reader)(nil), (*io.PipeReader)(nil)} {
		if _, err := c.Do(t.Context(), godwit.NewRequest("POST", "http://example.org/", godwit.Body(body))); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("body is a nil %T", body)) {
			t.Errorf("%T: %v", body, err)
		}
	}
	if err := c.Stream(t.Context(), godwit.NewRequest("GET", "http://example.org/"), nil); err == nil {
		t.Error("Stream without a function")
	}
}

func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		future := godwit.Async(t.Context(), func(context.Context) (int, error) { runtime.Goexit(); return 1, nil })
		if v, err := future.Await(t.Context()); err == nil || !strings.Contains(err.Error(), "Goexit") {
			t.Errorf("Async: %v, %v", v, err)
		}
		out, err := godwit.Parallel(t.Context(), 2, []int{0, 1, 2, 3, 4, 5}, func(_ context.Context, i int) (int, error) {
			if i%2 == 1 {
				runtime.Goexit()
			}
			return i + 1, nil
		})
		item, _ := errors.AsType[*godwit.ItemError](err)
		if fmt.Sprint(out) != "[1 0 3 0 5 0]" || item == nil || item.Index != 1 || strings.Count(err.Error(), "Goexit") != 3 {
			t.Errorf("Parallel: %v, %v", out, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		cancel(why)
		never := godwit.Async(t.Context(), func(context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		<-never.Done()
		hung := make(chan struct{})
		defer close(hung)
		_, err = godwit.Async(t.Context(), func(context.Context) (int, error) { <-hung; return 0, nil }).Await(ctx)
		if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
			t.Errorf("Await: %v", err)
		}
		_, err = godwit.Parallel(ctx, 1, []int{1}, func(context.Context, int) (int, error) { return 1, nil })
		if !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
			t.Errorf("Parallel: %v", err)
		}
	})
}

// TestBindRefuses: a client whose context has ended takes no call, from that
// moment on.
func TestBindRefuses(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		eng := mock.New(mock.Always(mock.OK("")))
		c := godwit.New(godwit.WithEngineInstance(eng), godwit.Bind(ctx))
		cancel()
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/")); !errors.Is(err, godwit.ErrClientClosed) || len(eng.Requests()) > 0 {
			t.Fatalf("%d requests, %v", len(eng.Requests()), err)
		}
		c.Close()
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, opt := range map[string]godwit.ClientOption{
		"no host":   godwit.BaseURL("nohost"),
		"bad host":  godwit.BaseURL("http://[x/"),
		"scheme":    godwit.BaseURL("ftp://x/"),
		"UserInfo":  godwit.UserInfo("a:b", "c"),
		"user in a": godwit.BasicAuth("a:b", "c"),
	} {
		c := godwit.New(godwit.WithEngine(mock.Config{}), opt)
		if c.Err() == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/")); err == nil {
			t.Errorf("%s: a call goes", name)
		}
		c.Close()
	}
	c := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mock.OK(""))}}), godwit.BaseURL("http://{host}/v1/"), godwit.Cookie("a", "b"))
	defer c.Close()
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", "x", godwit.PathParam("host", "example.org"), godwit.DelHeader("Cookie")))
	if err != nil || resp.Request().URL.String() != "http://example.org/v1/x" || resp.Request().Header.Has("Cookie") {
		t.Errorf("%v %v, %v", resp.Request().URL, resp.Request().Header, err)
	}
	for _, spoil := range []func(*godwit.Request){
		func(r *godwit.Request) { u := *r.URL; u.Path = "tenant"; r.URL = &u },
		func(r *godwit.Request) { u := *r.URL; u.Path = "http://evil/x"; r.URL = &u },
		func(r *godwit.Request) { u := *r.URL; u.RawQuery = "a#b"; r.URL = &u },
	} {
		c := c.With(godwit.Intercept(godwit.SendAttempt, func(ctx context.Context, r *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			spoil(r)
			return next(ctx, r)
		}))
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/")); err == nil {
			t.Error("a malformed target is sent")
		}
		c.Close()
	}
}

// TestLoop: a redirect loop is told as one, by whatever limit it ends.
func TestLoop(t *testing.T) {
	for _, opt := range []godwit.Option{godwit.MaxRedirects(20), godwit.MaxRedirects(50), godwit.MaxRedirects(3), godwit.MaxSends(3)} {
		c := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mock.Redirect("/again"))}}))
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/", opt))
		if !errors.Is(err, godwit.ErrTooManyRedirects) {
			t.Error(err)
		}
		c.Close()
	}
}

// TestOrigin: what a call is for does not change with where it is sent.
func TestOrigin(t *testing.T) {
	var seen []string
	note := godwit.Intercept(godwit.SendReceive, func(ctx context.Context, r *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		scheme, host := godwit.CallFrom(ctx).Origin()
		seen = append(seen, scheme+"://"+host+" "+r.URL.Host)
		return next(ctx, r)
	})
	balance := godwit.Intercept(godwit.SendState, func(ctx context.Context, r *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		r = r.Clone()
		u := *r.URL
		u.Host = "balanced." + u.Host
		r.URL = &u
		return next(ctx, r)
	})
	eng := mock.New(mock.Redirect("https://other.example/"), mock.OK(""), mock.OK(""))
	c := godwit.New(godwit.WithEngineInstance(eng), note, balance)
	defer c.Close()
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://first.example:8080/")); err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(t.Context(), godwit.NewRequest("GET", "http://direct.example/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Close()
	want := "[http://first.example:8080 balanced.first.example:8080 http://first.example:8080 balanced.other.example http://direct.example direct.example]"
	if got := fmt.Sprint(seen); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestErrorTexts(t *testing.T) {
	eng := mock.New(mock.Always(mock.Redirect("http://example.org/plain")))
	c := godwit.New(godwit.WithEngineInstance(eng))
	defer c.Close()
	if _, err := godwit.Get[string](t.Context(), c, "https://example.org/"); err == nil || !strings.Contains(err.Error(), "AllowHTTPSDowngrade") {
		t.Errorf("downgrade: %v", err)
	}
	if _, err := godwit.Get[string](t.Context(), c, "https://example.org/", godwit.FollowRedirects(false)); err == nil || strings.Contains(err.Error(), "AllowHTTPSDowngrade") {
		t.Errorf("redirects are off: %v", err)
	}
	bad := godwit.NewRequest("GET", "")
	bad.URL = &url.URL{Scheme: "http", Host: "example.org", RawQuery: "a\r\nSet-Cookie: x"}
	if _, err := c.Do(t.Context(), bad); err == nil || strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("a URL breaks the line: %q", err)
	}
	large := mock.New(mock.Always(mock.Bytes(500, "text/plain", make([]byte, 2<<20))))
	l := godwit.New(godwit.WithEngineInstance(large))
	defer l.Close()
	_, err := l.Open(t.Context(), godwit.NewRequest("GET", "http://example.org/", godwit.ExpectSuccess(true)))
	status, _ := errors.AsType[*godwit.StatusError](err)
	if status == nil || len(status.Response.Bytes()) != 1<<20 || !errors.Is(status.BodyErr, godwit.ErrBodyTooLarge) || strings.Contains(status.BodyErr.Error(), "MaxBody") {
		t.Errorf("a large error: %v", err)
	}
}
