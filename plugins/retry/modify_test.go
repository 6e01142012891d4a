package retry_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/hosts"
	"github.com/godwit-go/godwit/plugins/retry"
)

// TestAttemptTimeoutOrder: the request's goes before a host's rule's, that before
// the client's, that before the configuration's.
func TestAttemptTimeoutOrder(t *testing.T) {
	limit := godwit.AttemptTimeout
	rule := func(o godwit.Option) godwit.ClientOption {
		return godwit.Install(hosts.New(hosts.Rule{Host: "*", Options: []godwit.Option{o}}))
	}
	for name, row := range map[string]struct {
		config  time.Duration
		client  []godwit.ClientOption
		request []godwit.Option
		want    time.Duration // 0 = none
	}{
		"none":                     {0, nil, nil, 0},
		"negative":                 {-1, nil, nil, 0},
		"the configuration's":      {300 * time.Millisecond, nil, nil, 300 * time.Millisecond},
		"the client's, less":       {300 * time.Millisecond, []godwit.ClientOption{limit(50 * time.Millisecond)}, nil, 50 * time.Millisecond},
		"the client's, more":       {300 * time.Millisecond, []godwit.ClientOption{limit(time.Second)}, nil, time.Second},
		"the client's, none":       {300 * time.Millisecond, []godwit.ClientOption{limit(godwit.NoTimeout)}, nil, 0},
		"a host's":                 {300 * time.Millisecond, []godwit.ClientOption{limit(time.Second), rule(limit(50 * time.Millisecond))}, nil, 50 * time.Millisecond},
		"the request's, less":      {300 * time.Millisecond, []godwit.ClientOption{limit(time.Second)}, []godwit.Option{limit(50 * time.Millisecond)}, 50 * time.Millisecond},
		"the request's, more":      {300 * time.Millisecond, []godwit.ClientOption{limit(time.Second)}, []godwit.Option{limit(5 * time.Second)}, 5 * time.Second},
		"the request's, none":      {300 * time.Millisecond, nil, []godwit.Option{limit(godwit.NoTimeout)}, 0},
		"the request's, on a host": {300 * time.Millisecond, []godwit.ClientOption{rule(limit(50 * time.Millisecond))}, []godwit.Option{limit(5 * time.Second)}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			config := retry.Config{Max: -1, AttemptTimeout: row.config}
			slow := mock.Delay(10*time.Second, ok)
			bubble(t, config, list(slow), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
				_, err := godwit.Get[string](t.Context(), c, url, row.request...)
				te, _ := errors.AsType[*engine.TimeoutError](err)
				switch {
				case row.want == 0 && err != nil:
					t.Error(err)
				case row.want != 0 && (te == nil || te.Kind != engine.KindAttempt || te.Limit != row.want):
					t.Errorf("%v, want the limit %v", err, row.want)
				}
			}, row.client...)
		})
	}
}

// TestSiblingWithoutAttemptTimeout: what one configuration says is not the
// client's own, which siblings have, too.
func TestSiblingWithoutAttemptTimeout(t *testing.T) {
	bubble(t, retry.Config{AttemptTimeout: time.Second}, list(mock.Delay(10*time.Second, ok)), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
		sibling := c.With(godwit.Install(retry.New(retry.Config{Max: -1})))
		defer sibling.Close()
		if _, err := godwit.Get[string](t.Context(), sibling, url); err != nil {
			t.Error(err)
		}
	})
}

// TestModifiedSecrets: what is for the call's own origin does not go to the one
// that Modify chooses, and is there again when it chooses the first.
func TestModifiedSecrets(t *testing.T) {
	to := func(host string) func(*godwit.Request) { return func(r *godwit.Request) { r.URL.Host = host } }
	own := []godwit.Option{godwit.BearerAuth("own"), godwit.Cookie("a", "1"), godwit.Header("Host", "vhost.example"), godwit.Header("X-Other", "x")}
	const all, none = "Bearer own|a=1|vhost.example|x", "|||x"
	for name, row := range map[string]struct {
		url    string
		opts   []godwit.Option
		modify []func(*godwit.Request)
		want   []string
	}{
		"another host":  {url, own, []func(*godwit.Request){to("mirror.example")}, []string{all, none}},
		"and back":      {url, own, []func(*godwit.Request){to("mirror.example"), to("example.org")}, []string{all, none, all}},
		"another port":  {url, own, []func(*godwit.Request){to("example.org:81")}, []string{all, none}},
		"the same port": {url, own, []func(*godwit.Request){to("EXAMPLE.org:80")}, []string{all, all}},
		"another scheme": {url, own, []func(*godwit.Request){func(r *godwit.Request) {
			r.URL.Scheme = "https"
		}}, []string{all, none}},
		"its own": {url, own, []func(*godwit.Request){func(r *godwit.Request) {
			r.URL.Host = "mirror.example"
			r.Header.Set("Authorization", "Bearer mirror")
			r.Header.Set("Cookie", "b=2")
		}}, []string{all, "Bearer mirror|b=2||x"}},
		"user info": {"http://u:p@example.org/", nil, []func(*godwit.Request){to("mirror.example"), to("example.org")}, []string{"Basic dTpw|||", "|||", "Basic dTpw|||"}},
		"no URL":    {url, own, []func(*godwit.Request){func(r *godwit.Request) { r.URL = nil }}, []string{all}},
	} {
		t.Run(name, func(t *testing.T) {
			handlers := list()
			for range row.modify {
				handlers = append(handlers, mock.Status(503))
			}
			config := retry.Config{Modify: func(_ context.Context, r *godwit.Request, n int) error {
				row.modify[n-1](r)
				return nil
			}}
			bubble(t, config, append(handlers, ok), func(t *testing.T, c *godwit.Client, eng *mock.Engine) {
				req := godwit.NewRequest("GET", row.url, row.opts...)
				before := req.URL.String()
				_, err := c.Do(t.Context(), req)
				if (err != nil) != (len(row.want) == len(row.modify)) {
					t.Error(err)
				}
				if req.URL.String() != before {
					t.Errorf("the caller's URL is %s now", req.URL)
				}
				var got []string
				for _, r := range eng.Requests() {
					h := r.Header
					got = append(got, strings.Join([]string{h.Get("Authorization"), h.Get("Cookie"), h.Get("Host"), h.Get("X-Other")}, "|"))
				}
				if !slices.Equal(got, row.want) {
					t.Errorf("sent %q\nwant %q", got, row.want)
				}
			})
		})
	}
}

// TestIfSeesTheBody: of every response of a buffered call, also where the body is
// not whole; a response that is kept is the caller's as it would be without If.
func TestIfSeesTheBody(t *testing.T) {
	for name, row := range map[string]struct {
		answer *mock.Response
		want   string // "" = no response
	}{
		"200":               {mock.Text(200, "later"), "later"},
		"400":               {mock.Text(400, "later"), "later"},
		"503":               {mock.Text(503, "later"), "later"},
		"503, cut off":      {mock.Text(503, "later").WithTruncation(3), "lat"},
		"200, cut off":      {mock.Text(200, "later").WithTruncation(3), ""},
		"503, without body": {mock.Status(503), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			judge := func(_ *godwit.Request, resp *godwit.Response, err error) bool {
				text := ""
				if resp != nil {
					text = resp.Text()
				}
				seen = append(seen, text)
				return len(seen) == 1
			}
			bubble(t, retry.Config{If: judge}, list(row.answer, row.answer, row.answer), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
				_, err := godwit.Get[string](t.Context(), c, url)
				if !slices.Equal(seen, []string{row.want, row.want}) {
					t.Errorf("If saw %q", seen)
				}
				_, want := godwit.Get[string](t.Context(), c, url, retry.Max(0), retry.If(nil))
				if (err == nil) != (want == nil) || err != nil && errors.Unwrap(err).Error() != errors.Unwrap(want).Error() {
					t.Errorf("%v\nwithout If %v", err, want)
				}
				was, ok := errors.AsType[*godwit.StatusError](err)
				without, wantOK := errors.AsType[*godwit.StatusError](want)
				if ok != wantOK || ok && ((was.BodyErr == nil) != (without.BodyErr == nil) || was.Response.Text() != without.Response.Text()) {
					t.Errorf("%+v\nwithout If %+v", was, without)
				}
			})
		})
	}
}

// TestNotReplayableHasItsBody: the failure that could not be repeated is whole.
func TestNotReplayableHasItsBody(t *testing.T) {
	problem := func() *mock.Response {
		return mock.Bytes(503, "application/problem+json", []byte(`{"title":"why","code":7}`))
	}
	for name, row := range map[string]struct {
		config retry.Config
		answer *mock.Response
		whole  bool
	}{
		"whole":         {retry.Config{}, problem(), true},
		"whole, If":     {retry.Config{If: func(*godwit.Request, *godwit.Response, error) bool { return true }}, problem(), true},
		"cut off":       {retry.Config{}, problem().WithTruncation(5), false},
		"cut off, If":   {retry.Config{If: func(*godwit.Request, *godwit.Response, error) bool { return true }}, problem().WithTruncation(5), false},
		"never an end":  {retry.Config{}, problem().WithStall(5), false},
		"hedged config": {retry.Config{Hedge: retry.Hedge{Delay: time.Hour}}, problem(), true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, row.config, list(row.answer), func(t *testing.T, c *godwit.Client, _ *mock.Engine) {
				_, err := godwit.Put[string](t.Context(), c, url, io.MultiReader(strings.NewReader("once")))
				se, ok := errors.AsType[*godwit.StatusError](err)
				if !ok || !errors.Is(err, godwit.ErrNotReplayable) {
					t.Fatal(err)
				}
				if !row.whole {
					if se.BodyErr == nil || se.Response.Text() != `{"tit` {
						t.Errorf("%v, %q", se.BodyErr, se.Response.Text())
					}
					return
				}
				if se.BodyErr != nil || se.Problem == nil || se.Problem.Title != "why" {
					t.Errorf("%v, %v, %q", se.BodyErr, se.Problem, se.Response.Text())
				}
				if v, err := godwit.As[struct{ Code int }](t.Context(), se.Response); err != nil || v.Code != 7 {
					t.Errorf("%v, %v", v, err)
				}
			})
		})
	}
}
