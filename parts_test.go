package godwit_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

// TestCallsOfARunningCall: while a client closes, what is sent in the course of
// its running call starts, and nothing else does; nor when it is closed.
func TestCallsOfARunningCall(t *testing.T) {
	eng := mock.Serve(mock.OK("in"))
	defer eng.Close()
	var c *godwit.Client
	var inside context.Context
	visit := func(ctx context.Context, by *godwit.Client) error {
		_, err := godwit.Get[string](ctx, by, "http://example.org/inner")
		return err
	}
	other := godwit.New(godwit.WithEngineInstance(eng), godwit.Intercept(godwit.SendAuth, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if err := visit(ctx, c); !errors.Is(err, godwit.ErrClientClosed) {
			t.Errorf("the context of another client's call: %v", err)
		}
		return next(ctx, req)
	}))
	defer other.Close()
	c = godwit.New(godwit.WithEngineInstance(eng), godwit.Intercept(godwit.SendAuth, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if req.URL.Path != "/outer" {
			return next(ctx, req)
		}
		c.Close()
		inside = context.WithoutCancel(ctx)
		derived, cancel := context.WithTimeout(inside, time.Hour)
		defer cancel()
		for name, row := range map[string]struct {
			ctx  context.Context
			want error
		}{
			"the call's context": {ctx, nil},
			"one made of it":     {derived, nil},
			"another":            {t.Context(), godwit.ErrClientClosed},
		} {
			if err := visit(row.ctx, c); !errors.Is(err, row.want) {
				t.Errorf("%s: %v, want %v", name, err, row.want)
			}
		}
		if err := visit(t.Context(), other); err != nil {
			t.Error(err)
		}
		return next(ctx, req)
	}))
	if got, err := godwit.Get[string](t.Context(), c, "http://example.org/outer"); err != nil || got != "in" {
		t.Errorf("%q, %v", got, err)
	}
	if err := c.Join(t.Context()); err != nil {
		t.Error(err)
	}
	if err := visit(inside, c); !errors.Is(err, godwit.ErrClientClosed) {
		t.Errorf("when it is closed: %v", err)
	}
}

// TestSavingTwice: a Save that failed fails again as it did, and what came of the
// body stays.
func TestSavingTwice(t *testing.T) {
	eng := mock.Serve(mock.Text(503, "0123456789").WithTruncation(4))
	defer eng.Close()
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		resp, err := next(ctx, req)
		if err != nil {
			return nil, err
		}
		first := resp.Save()
		if second := resp.Save(); first == nil || second != first || resp.Text() != "0123" {
			t.Errorf("%v, then %v, %q", first, second, resp.Text())
		}
		return resp, nil
	}))
	defer c.Close()
	_, err := godwit.Get[string](t.Context(), c, "http://example.org/")
	se, ok := errors.AsType[*godwit.StatusError](err)
	if !ok || se.BodyErr == nil || se.Response.Text() != "0123" {
		t.Errorf("%v", err)
	}
}

// TestNewStatusErrorInTime: a body without end is given up after a second.
func TestNewStatusErrorInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := mock.Serve(mock.Text(503, "0123456789").WithStall(4))
		defer eng.Close()
		c := godwit.New(godwit.WithEngineInstance(eng), godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			resp, err := next(ctx, req)
			if err != nil {
				return nil, err
			}
			return nil, godwit.NewStatusError(resp)
		}))
		defer c.Close()
		start := time.Now()
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/"))
		se, ok := errors.AsType[*godwit.StatusError](err)
		if !ok || se.BodyErr == nil || errors.Is(se.BodyErr, io.EOF) || se.Response.Text() != "0123" || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestDefaultsOfPlugins: what the client's options set, and settings that give
// way to a request's.
func TestDefaultsOfPlugins(t *testing.T) {
	var fields []string
	plugin := godwit.PluginFunc("p", func(s *godwit.Scope) error {
		fields = s.DefaultHeader().Names()
		s.OnRequest(func(_ context.Context, req *godwit.Request) error {
			return req.WithDefaults(godwit.AttemptTimeout(time.Second), godwit.Header("X-B", "2")).Err()
		})
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		eng := mock.Serve(mock.Delay(time.Hour, mock.OK("")))
		defer eng.Close()
		c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(plugin), godwit.Header("X-A", "1"))
		defer c.Close()
		if strings.Join(fields, " ") != "X-A" {
			t.Errorf("fields %q", fields)
		}
		for want, opts := range map[time.Duration][]godwit.Option{
			time.Second: nil,
			time.Minute: {godwit.AttemptTimeout(time.Minute)},
		} {
			_, err := godwit.Get[string](t.Context(), c, "http://example.org/", opts...)
			te, ok := errors.AsType[*engine.TimeoutError](err)
			if !ok || te.Limit != want {
				t.Errorf("%v, want the limit %v", err, want)
			}
		}
	})
}
