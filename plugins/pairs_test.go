package plugins_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/hosts"
	"github.com/godwit-go/godwit/plugins/hsts"
)

// Plugins that have to do with each other, two by two.

var level = godwit.NewSetting("plugins_test.level", "none")

// TestHostsAndHSTS: the rule of the URL that a request really goes to applies,
// all of it.
func TestHostsAndHSTS(t *testing.T) {
	rules := hosts.New(
		hosts.Rule{
			Host: "https://api.example", Header: header.New("X-Rule", "tls"), BasePath: "/v2",
			Params: url.Values{"k": {"1"}}, Options: []godwit.Option{level.Set("tls")},
		},
		hosts.Rule{
			Host: "http://both.example", Header: header.New("X-Rule", "plain"), BasePath: "/plain",
			Params: url.Values{"p": {"1"}}, Options: []godwit.Option{level.Set("plain"), godwit.ExpectSuccess(false)},
		},
		hosts.Rule{Host: "https://both.example", Header: header.New("X-Rule", "tls"), BasePath: "/tls", Params: url.Values{"t": {"1"}}},
		hosts.Rule{Host: "http://gone.example", Header: header.New("X-Rule", "plain"), BasePath: "/plain", Options: []godwit.Option{level.Set("plain")}},
		hosts.Rule{Host: "any.example", BasePath: "/any", Params: url.Values{"a": {"1"}}},
	)
	upgrade := hsts.New(hsts.Config{Preload: func(host string) (bool, bool) { return false, host != "other.example" }})
	for name, row := range map[string]struct {
		url               string
		opts              []godwit.Option
		want, rule, level string
	}{
		"by the https rule":    {"http://api.example/x", nil, "https://api.example/v2/x?k=1", "tls", "tls"},
		"https already":        {"https://api.example/x", nil, "https://api.example/v2/x?k=1", "tls", "tls"},
		"its own parameter":    {"http://api.example/v2/x?k=2", nil, "https://api.example/v2/x?k=2", "tls", "tls"},
		"escapes":              {"http://api.example/a%2Fb", nil, "https://api.example/v2/a%2Fb?k=1", "tls", "tls"},
		"not by the http rule": {"http://both.example/x?y", nil, "https://both.example/tls/x?y&t=1", "tls", "none"},
		"by no rule any more":  {"http://gone.example/x", nil, "https://gone.example/x", "", "none"},
		"by the same rule":     {"http://any.example/x", nil, "https://any.example/any/x?a=1", "", "none"},
		"not upgraded":         {"http://both.example/x", []godwit.Option{hsts.Off()}, "http://both.example/plain/x?p=1", "plain", "plain"},
		"rules ignored":        {"http://api.example/x", []godwit.Option{hosts.Ignore(true)}, "https://api.example/x", "", "none"},
	} {
		for _, order := range [][]godwit.Plugin{{rules, upgrade}, {upgrade, rules}} {
			eng := mock.NewT(t, mock.OK("in"))
			var got string
			spy := godwit.PluginFunc("spy", func(s *godwit.Scope) error {
				v := level.Capture(s)
				s.Intercept(godwit.SendAttempt, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
					got = v.For(req)
					return next(ctx, req)
				})
				return nil
			})
			c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(order...), godwit.Install(spy))
			if _, err := godwit.Get[string](t.Context(), c, row.url, row.opts...); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r := eng.Requests()[0]
			if r.URL.String() != row.want || r.Header.Get("X-Rule") != row.rule || got != row.level {
				t.Errorf("%s: %s, rule %q, level %q, want %s, %q, %q", name, r.URL, r.Header.Get("X-Rule"), got, row.want, row.rule, row.level)
			}
			c.Close()
		}
	}
	// Settings of the whole call are those of the rule that it ends up with, and
	// a hop by RoundTrip or a redirect gets its fields, too.
	eng := mock.NewT(t, mock.Status(404), mock.OK(""), mock.Redirect("http://api.example/y"), mock.OK(""))
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(rules, upgrade))
	defer c.Close()
	if _, err := godwit.Get[string](t.Context(), c, "http://both.example/"); err == nil {
		t.Error("ExpectSuccess(false) of the http rule holds for https")
	}
	resp, err := c.RoundTrip(t.Context(), godwit.NewRequest("GET", "http://api.example/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Close()
	if _, err := godwit.Get[string](t.Context(), c, "http://other.example/"); err != nil {
		t.Fatal(err)
	}
	for i, want := range map[int]string{1: "https://api.example/", 3: "https://api.example/y"} {
		if r := eng.Requests()[i]; r.URL.String() != want || r.Header.Get("X-Rule") != "tls" {
			t.Errorf("request %d: %s %s", i, r.URL, r.Header)
		}
	}
}
