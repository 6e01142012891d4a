package hosts_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/everyengine"
	"github.com/godwit-go/godwit/plugins/hosts"
)

// everywhere makes every host name lead to the server at base. The mock has no
// dialer and needs none.
func everywhere(addr func() string) godwit.ClientOption {
	return godwit.EngineConfig(func(c *engine.Config) {
		c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr())
		}
	})
}

// onHosts is onEngines with names for the server.
func onHosts(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, c *godwit.Client), opts ...godwit.ClientOption) {
	t.Helper()
	var mu sync.Mutex
	var addr string
	dial := everywhere(func() string {
		mu.Lock()
		defer mu.Unlock()
		return addr
	})
	everyengine.Run(t, handler, func(t *testing.T, c *godwit.Client, base string) {
		mu.Lock()
		addr = strings.TrimPrefix(base, "http://")
		mu.Unlock()
		f(t, c)
	}, append([]godwit.ClientOption{dial}, opts...)...)
}

func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s key=%s v=%s accept=%s auth=%s", r.URL.RequestURI(), r.Header.Get("X-Key"), strings.Join(r.Header.Values("X-Multi"), "+"), r.Header.Get("Accept"), r.Header.Get("Authorization"))
}

func key(host, value string) hosts.Rule {
	return hosts.Rule{Host: host, Header: header.New("X-Key", value)}
}

func TestLongestMatch(t *testing.T) {
	install := godwit.Install(hosts.New(
		key("*", "any"), key("*.example.org", "wild"), key("*.b.example.org", "longer"), key("a.b.example.org", "exact"),
		key("a.b.example.org:8080", "port"), key("http://a.b.example.org:8081", "scheme"), key("a.b.example.org:8081", "no scheme"),
		key("https://only.example.net", "tls"), key("Big.Example.COM", "case"), key("bücher.example", "idn"), key("*:9999", "any, port"), key("[::1]:80", "six"),
	))
	onHosts(t, echo, func(t *testing.T, c *godwit.Client) {
		for url, want := range map[string]string{
			"http://elsewhere.test/":        "any",
			"http://x.example.org/":         "wild",
			"http://x.y.example.org/":       "wild",
			"http://example.org/":           "any",
			"http://notexample.org/":        "any",
			"http://x.b.example.org/":       "longer",
			"http://b.example.org/":         "wild",
			"http://a.b.example.org/":       "exact",
			"http://A.B.EXAMPLE.ORG./":      "exact",
			"http://a.b.example.org:8080/":  "port",
			"http://a.b.example.org:8081/":  "scheme",
			"http://only.example.net/":      "any",
			"http://big.example.com/":       "case",
			"http://xn--bcher-kva.example/": "idn",
			"http://other.test:9999/":       "any, port",
			"http://x.example.org:9999/":    "wild",
			"http://[0:0:0:0:0:0:0:1]/":     "six",
		} {
			got, err := godwit.Get[string](t.Context(), c, url)
			if err != nil || !strings.Contains(got, "key="+want+" ") {
				t.Errorf("%s: %q, %v, want %s", url, got, err, want)
			}
		}
	}, install)
}

func TestWhatARuleSets(t *testing.T) {
	install := godwit.Install(hosts.New(hosts.Rule{
		Host:     "api.test",
		Header:   header.New("X-Key", "rule", "X-Multi", "1", "X-Multi", "2"),
		Params:   url.Values{"k": {"1", "2"}, "z": {"&"}},
		BasePath: "/v2/",
		Options:  []godwit.Option{nil, godwit.Accept("text/x"), godwit.Param("o", 3), godwit.UserInfo("me", "pw")},
	}))
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:pw"))
	for name, row := range map[string]struct {
		url    string
		client []godwit.ClientOption
		opts   []godwit.Option
		want   string
	}{
		"all of it":          {"http://api.test/users", nil, nil, "/v2/users?k=1&k=2&z=%26&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
		"no path":            {"http://api.test", nil, nil, "/v2/?k=1&k=2&z=%26&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
		"below it already":   {"http://api.test/v2/users?z=own", nil, nil, "/v2/users?z=own&k=1&k=2&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
		"not below it":       {"http://api.test/v22", nil, nil, "/v2/v22?k=1&k=2&z=%26&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
		"escapes stay":       {"http://api.test/a%2Fb/%C3%A9", nil, nil, "/v2/a%2Fb/%C3%A9?k=1&k=2&z=%26&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
		"the request first":  {"http://api.test/", nil, []godwit.Option{godwit.Header("x-key", "own"), godwit.Param("k", "own"), godwit.Accept("a/b"), godwit.BasicAuth("i", "x")}, "/v2/?k=own&z=%26&o=3 key=own v=1+2 accept=a/b auth=Basic aTp4"},
		"then the rule":      {"http://api.test/", []godwit.ClientOption{godwit.Header("X-Key", "client"), godwit.Accept("c/d")}, nil, "/v2/?k=1&k=2&z=%26&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
		"a BaseURL's host":   {"users", []godwit.ClientOption{godwit.BaseURL("http://api.test/")}, nil, "/v2/users?k=1&k=2&z=%26&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
		"another host":       {"http://web.test/users", []godwit.ClientOption{godwit.Header("X-Key", "client")}, nil, "/users key=client v= accept=*/* auth="},
		"ignored":            {"http://api.test/users", nil, []godwit.Option{hosts.Ignore(true)}, "/users key= v= accept=*/* auth="},
		"ignored but for it": {"http://api.test/v2/", []godwit.ClientOption{hosts.Ignore(true)}, []godwit.Option{hosts.Ignore(false)}, "/v2/?k=1&k=2&z=%26&o=3 key=rule v=1+2 accept=text/x auth=" + basic},
	} {
		t.Run(name, func(t *testing.T) {
			onHosts(t, echo, func(t *testing.T, c *godwit.Client) {
				got, err := godwit.Get[string](t.Context(), c, row.url, row.opts...)
				if err != nil || got != row.want {
					t.Errorf("%v\ngot  %s\nwant %s", err, got, row.want)
				}
			}, append(row.client, install)...)
		})
	}
}

// TestRedirects: each hop's own host decides; nothing of the first host's rule
// reaches the second.
func TestRedirects(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	handler := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, fmt.Sprintf("%s%s key=%s secret=%s auth=%s", r.Host, r.URL.RequestURI(), r.Header.Get("X-Key"), r.Header.Get("X-Secret"), r.Header.Get("Authorization")))
		mu.Unlock()
		switch {
		case r.Host == "a.test" && strings.HasSuffix(r.URL.Path, "/start"):
			w.Header().Set("Location", "/step")
			w.WriteHeader(302)
		case r.Host == "a.test":
			w.Header().Set("Location", "http://b.test/b")
			w.WriteHeader(307)
		case r.Host == "b.test":
			w.Header().Set("Location", "http://c.test/c")
			w.WriteHeader(302)
		case r.Host == "c.test" && r.URL.Path == "/c":
			w.Header().Set("Location", "http://a.test/v/end")
			w.WriteHeader(302)
		}
	}
	handlerEnd := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v/end" {
			mu.Lock()
			seen = append(seen, fmt.Sprintf("%s%s key=%s secret=%s auth=%s", r.Host, r.URL.RequestURI(), r.Header.Get("X-Key"), r.Header.Get("X-Secret"), r.Header.Get("Authorization")))
			mu.Unlock()
			fmt.Fprint(w, "end")
			return
		}
		handler(w, r)
	}
	install := godwit.Install(hosts.New(
		hosts.Rule{Host: "a.test", Header: header.New("X-Key", "A", "X-Secret", "s", "Authorization", "Bearer a"), Params: url.Values{"p": {"1"}}, BasePath: "/v"},
		hosts.Rule{Host: "b.test", Header: header.New("X-Key", "B", "Authorization", "Bearer b")},
	))
	onHosts(t, handlerEnd, func(t *testing.T, c *godwit.Client) {
		seen = nil
		got, err := godwit.Get[string](t.Context(), c, "http://a.test/start")
		want := []string{
			"a.test/v/start?p=1 key=A secret=s auth=Bearer a",
			"a.test/step key=A secret=s auth=Bearer a",
			"b.test/b key=B secret= auth=Bearer b",
			"c.test/c key= secret= auth=",
			"a.test/v/end key=A secret=s auth=Bearer a",
		}
		if err != nil || got != "end" || !slices.Equal(seen, want) {
			t.Errorf("%q, %v\n%s", got, err, strings.Join(seen, "\n"))
		}
	}, install)
	// Credentials of the request's own are stripped by the redirect, and the
	// second host's take their place.
	onHosts(t, handlerEnd, func(t *testing.T, c *godwit.Client) {
		seen = nil
		_, err := godwit.Get[string](t.Context(), c, "http://a.test/start", godwit.BearerAuth("own"), godwit.Header("X-Key", "own"))
		want := []string{
			"a.test/v/start?p=1 key=own secret=s auth=Bearer own",
			"a.test/step key=own secret=s auth=Bearer own",
			"b.test/b key=own secret= auth=Bearer b",
			"c.test/c key=own secret= auth=",
			"a.test/v/end key=own secret=s auth=Bearer a",
		}
		if err != nil || !slices.Equal(seen, want) {
			t.Errorf("%v\n%s", err, strings.Join(seen, "\n"))
		}
	}, install)
}

var level = godwit.NewSetting("hosts_test.level", "none")

// TestSettings: a rule's settings hold for the hops to its hosts, and those read
// by the call as a whole are the first host's.
func TestSettings(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/go" {
			w.Header().Set("Location", "http://b.test/")
			w.WriteHeader(302)
			return
		}
		w.WriteHeader(404)
	}
	var mu sync.Mutex
	var levels []string
	spy := godwit.PluginFunc("spy", func(s *godwit.Scope) error {
		v := level.Capture(s)
		s.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
			mu.Lock()
			levels = append(levels, req.URL.Host+"="+v.For(req))
			mu.Unlock()
			return next(ctx, req)
		})
		return nil
	})
	install := godwit.Install(spy, hosts.New(
		hosts.Rule{Host: "a.test", Options: []godwit.Option{level.Set("A"), godwit.ExpectSuccess(false), godwit.AttemptTimeout(time.Minute)}},
		hosts.Rule{Host: "c.test", Options: []godwit.Option{godwit.FollowRedirects(false), level.Set("C")}},
	))
	onHosts(t, handler, func(t *testing.T, c *godwit.Client) {
		for _, row := range []struct {
			url    string
			opts   []godwit.Option
			ok     bool
			levels []string
		}{
			{"http://a.test/go", nil, true, []string{"a.test=A", "b.test=none"}},
			{"http://a.test/", nil, true, []string{"a.test=A"}},
			{"http://a.test/go", []godwit.Option{level.Set("own")}, true, []string{"a.test=own", "b.test=own"}},
			{"http://a.test/", []godwit.Option{godwit.ExpectSuccess(true)}, false, []string{"a.test=A"}},
			{"http://c.test/go", []godwit.Option{godwit.FollowRedirects(true), godwit.ExpectSuccess(false)}, true, []string{"c.test=C", "b.test=none"}},
			{"http://b.test/", nil, false, []string{"b.test=none"}},
			{"http://c.test/go", []godwit.Option{godwit.ExpectSuccess(false)}, true, []string{"c.test=C"}},
		} {
			levels = nil
			_, err := godwit.Get[godwit.None](t.Context(), c, row.url, row.opts...)
			if (err == nil) != row.ok || !slices.Equal(levels, row.levels) {
				t.Errorf("%s: %v, %q", row.url, err, levels)
			}
		}
	}, install)
}

func TestRequestIsNotChanged(t *testing.T) {
	onHosts(t, echo, func(t *testing.T, c *godwit.Client) {
		req := godwit.NewRequest("GET", "http://api.test/x")
		for range 2 {
			resp, err := c.Do(t.Context(), req)
			if err != nil || !strings.HasPrefix(resp.Text(), "/v/x?p=1 key=k ") {
				t.Fatalf("%v, %v", resp, err)
			}
		}
		if req.URL.String() != "http://api.test/x" || req.Header.Len() != 0 || !req.Attributes.Empty() {
			t.Errorf("%v %v %v", req.URL, req.Header, req.Attributes)
		}
	}, godwit.Install(hosts.New(hosts.Rule{Host: "api.test", Header: header.New("X-Key", "k"), Params: url.Values{"p": {"1"}}, BasePath: "/v"})))
}

// TestRoundTrip: that door has no defaults, so only a hop's fields are set.
func TestRoundTrip(t *testing.T) {
	onHosts(t, echo, func(t *testing.T, c *godwit.Client) {
		resp, err := c.RoundTrip(t.Context(), godwit.NewRequest("GET", "http://api.test/x"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := godwit.As[string](t.Context(), resp)
		if err != nil || !strings.HasPrefix(got, "/x key=k ") {
			t.Errorf("%q, %v", got, err)
		}
	}, godwit.Install(hosts.New(hosts.Rule{Host: "api.test", Header: header.New("X-Key", "k"), BasePath: "/v"})))
}

func TestBadRules(t *testing.T) {
	for name, row := range map[string]struct {
		rules []hosts.Rule
		want  string
	}{
		"no host":        {[]hosts.Rule{{}}, `rule for "": "" is no host name`},
		"a URL":          {[]hosts.Rule{{Host: "http://a.test/x"}}, "a pattern is a host name"},
		"scheme":         {[]hosts.Rule{{Host: "ftp://a.test"}}, `scheme "ftp"`},
		"port":           {[]hosts.Rule{{Host: "a.test:0"}}, `port "0"`},
		"inner wildcard": {[]hosts.Rule{{Host: "a.*.test"}}, `"a.*.test" is no host name`},
		"IPv6":           {[]hosts.Rule{{Host: "[::zz]"}}, "no IPv6 address"},
		"twice":          {[]hosts.Rule{{Host: "a.test"}, {Host: "A.test"}}, "already"},
		"field name":     {[]hosts.Rule{{Host: "a.test", Header: header.New("a b", "c")}}, `field name "a b"`},
		"field value":    {[]hosts.Rule{{Host: "a.test", Header: header.New("A", "c\n")}}, "field A"},
		"content type":   {[]hosts.Rule{{Host: "a.test", Options: []godwit.Option{godwit.ContentType("a/b")}}}, "Content-Type belongs to the body"},
		"base path":      {[]hosts.Rule{{Host: "a.test", BasePath: "v2"}}, `BasePath "v2"`},
		"base host":      {[]hosts.Rule{{Host: "a.test", BasePath: "//evil"}}, `BasePath "//evil"`},
		"base query":     {[]hosts.Rule{{Host: "a.test", BasePath: "/a?b"}}, `BasePath "/a?b"`},
		"option":         {[]hosts.Rule{{Host: "a.test", Options: []godwit.Option{godwit.MaxRedirects(-1)}}}, "MaxRedirects(-1)"},
		"path":           {[]hosts.Rule{{Host: "a.test", Options: []godwit.Option{godwit.Path("x")}}}, "BasePath"},
		"body":           {[]hosts.Rule{{Host: "a.test", Options: []godwit.Option{godwit.Body("x")}}}, "single requests"},
	} {
		c := godwit.New(godwit.Install(hosts.New(row.rules...)))
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", name, err, row.want)
		}
		c.Close()
	}
}

func TestConcurrent(t *testing.T) {
	onHosts(t, echo, func(t *testing.T, c *godwit.Client) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				host := []string{"a", "b"}[i%2]
				got, err := godwit.Get[string](t.Context(), c, "http://"+host+".test/x")
				if err != nil || !strings.HasPrefix(got, "/"+host+"/x?p=1 key="+host+" ") {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		wg.Wait()
	}, godwit.Install(hosts.New(
		hosts.Rule{Host: "a.test", Header: header.New("X-Key", "a"), Params: url.Values{"p": {"1"}}, BasePath: "/a"},
		hosts.Rule{Host: "b.test", Header: header.New("X-Key", "b"), Params: url.Values{"p": {"1"}}, BasePath: "/b"},
	)))
}
