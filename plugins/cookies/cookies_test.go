package cookies_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/cookies"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// setting is an answer that sets cookies.
func setting(status int, lines ...string) *mock.Response {
	r := mock.Status(status)
	for _, l := range lines {
		r.WithHeader("Set-Cookie", l)
	}
	return r
}

func install(t *testing.T, config cookies.Config, handlers ...mock.Handler) (*godwit.Client, *cookies.Plugin, *mock.Engine) {
	t.Helper()
	eng := mock.NewT(t, handlers...)
	p := cookies.New(config)
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(p))
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, p, eng
}

func get(t *testing.T, c *godwit.Client, rawURL string, opts ...godwit.Option) *godwit.Response {
	t.Helper()
	return send(t, c, "GET", rawURL, opts...)
}

func send(t *testing.T, c *godwit.Client, method, rawURL string, opts ...godwit.Option) *godwit.Response {
	t.Helper()
	resp, err := c.Do(t.Context(), godwit.NewRequest(method, rawURL, opts...))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// sent returns the Cookie fields of the requests, "-" for none.
func sent(eng *mock.Engine) []string {
	var all []string
	for _, r := range eng.Requests() {
		values := r.Header.Values("Cookie")
		if values == nil {
			values = []string{"-"}
		}
		all = append(all, strings.Join(values, " | "))
	}
	return all
}

func expect(t *testing.T, name string, eng *mock.Engine, want ...string) {
	t.Helper()
	if got := sent(eng); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("%s: sent %q, want %q", name, got, want)
	}
}

func parse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestStatuses: what a response sets is kept whatever its status.
func TestStatuses(t *testing.T) {
	for _, status := range []int{200, 204, 304, 401, 404, 500, 503} {
		c, _, eng := install(t, cookies.Config{}, setting(status, "a=1"), mock.OK(""))
		get(t, c, "http://example.org/")
		get(t, c, "http://example.org/")
		expect(t, fmt.Sprint(status), eng, "-", "a=1")
	}
}

func TestRedirects(t *testing.T) {
	redirect := func(to string, lines ...string) *mock.Response {
		return setting(302, lines...).WithHeader("Location", to)
	}
	c, _, eng := install(t, cookies.Config{}, redirect("/b", "a=1", "b=2"), redirect("/c", "a=; Max-Age=0"), redirect("http://other.example/", "c=3"), redirect("http://example.org/d", "o=1"), mock.OK(""))
	get(t, c, "http://example.org/", godwit.Cookie("hand", "h"))
	expect(t, "hops", eng, "hand=h", "hand=h; a=1; b=2", "hand=h; b=2", "-", "hand=h; b=2; c=3")
}

// TestByHand: cookies set by hand go along, win, and are not kept.
func TestByHand(t *testing.T) {
	for name, row := range map[string]struct {
		opts []godwit.Option
		want string
	}{
		"none":            {nil, "a=1; b=2"},
		"another":         {[]godwit.Option{godwit.Cookie("c", "3")}, "c=3; a=1; b=2"},
		"the same name":   {[]godwit.Option{godwit.Cookie("a", "hand")}, "a=hand; b=2"},
		"both names":      {[]godwit.Option{godwit.Cookie("a", "x"), godwit.Cookie("b", "y")}, "a=x; b=y"},
		"field":           {[]godwit.Option{godwit.Header("Cookie", "b=hand;")}, "b=hand; a=1"},
		"fields":          {[]godwit.Option{godwit.AddHeader("Cookie", "b=hand", "c=3")}, "b=hand; c=3; a=1"},
		"names have case": {[]godwit.Option{godwit.Cookie("A", "3")}, "A=3; a=1; b=2"},
	} {
		c, p, eng := install(t, cookies.Config{}, setting(200, "a=1", "b=2"), mock.OK(""), mock.OK(""))
		get(t, c, "http://example.org/")
		get(t, c, "http://example.org/", row.opts...)
		get(t, c, "http://example.org/")
		expect(t, name, eng, "-", row.want, "a=1; b=2")
		if all, err := p.All(t.Context()); len(all) != 2 || err != nil {
			t.Errorf("%s: kept %v, %v", name, all, err)
		}
	}
}

// TestByHandOrigins: cookies by hand go to every hop of the same origin, and to
// no other.
func TestByHandOrigins(t *testing.T) {
	for name, row := range map[string]struct{ to, want string }{
		"same":        {"http://example.org/x", "hand=1"},
		"other host":  {"http://www.example.org/x", "-"},
		"other port":  {"http://example.org:81/x", "-"},
		"other proto": {"https://example.org/x", "-"},
	} {
		c, p, eng := install(t, cookies.Config{}, mock.Redirect(row.to), mock.OK(""))
		get(t, c, "http://example.org/", godwit.Cookie("hand", "1"))
		expect(t, name, eng, "hand=1", row.want)
		if all, _ := p.All(t.Context()); len(all) > 0 {
			t.Errorf("%s: kept %v", name, all)
		}
	}
}

// TestSameSite: after a redirect from another site, Strict and Lax hold.
func TestSameSite(t *testing.T) {
	site := []string{"s=1; SameSite=Strict", "l=1; SameSite=Lax", "n=1; SameSite=None; Secure", "u=1", "x=1; SameSite=Whatever"}
	for name, row := range map[string]struct {
		from, method string
		status       int
		config       cookies.Config
		want         string
	}{
		"direct":               {"", "POST", 0, cookies.Config{}, "s=1; l=1; n=1; u=1; x=1"},
		"same site":            {"https://www.example.org/", "POST", 307, cookies.Config{}, "s=1; l=1; n=1; u=1; x=1"},
		"same site, http":      {"http://www.example.org/", "GET", 302, cookies.Config{}, "s=1; l=1; n=1; u=1; x=1"},
		"cross-site GET":       {"https://evil.example/", "GET", 302, cookies.Config{}, "l=1; n=1; u=1; x=1"},
		"cross-site, 303":      {"https://evil.example/", "POST", 303, cookies.Config{}, "l=1; n=1; u=1; x=1"},
		"cross-site POST":      {"https://evil.example/", "POST", 307, cookies.Config{}, "n=1; u=1; x=1"},
		"sibling under suffix": {"https://example.co.uk/", "POST", 307, cookies.Config{}, "n=1; u=1; x=1"},
		"ignored":              {"https://evil.example/", "POST", 307, cookies.Config{IgnoreSameSite: true}, "s=1; l=1; n=1; u=1; x=1"},
	} {
		handlers := []mock.Handler{mock.OK("")}
		first, target := row.from, "https://example.org/"
		if first != "" {
			handlers = []mock.Handler{mock.Status(row.status).WithHeader("Location", target), mock.OK("")}
		} else {
			first = target
		}
		c, p, eng := install(t, row.config, handlers...)
		if err := p.SetCookies(t.Context(), parse(t, target), site...); err != nil {
			t.Fatal(err)
		}
		send(t, c, row.method, first, godwit.AllowHTTPSDowngrade(true))
		if got := sent(eng); got[len(got)-1] != row.want {
			t.Errorf("%s: sent %q", name, got)
		}
	}
	// Back at the site that was called, another one was in between.
	c, p, eng := install(t, cookies.Config{}, mock.Redirect("https://evil.example/"), mock.Redirect("https://example.org/"), mock.OK(""))
	if err := p.SetCookies(t.Context(), parse(t, "https://example.org/"), site...); err != nil {
		t.Fatal(err)
	}
	send(t, c, "POST", "https://example.org/")
	expect(t, "there and back", eng, "s=1; l=1; n=1; u=1; x=1", "-", "n=1; u=1; x=1")
}

func TestUseAndOff(t *testing.T) {
	c, p, eng := install(t, cookies.Config{}, setting(200, "a=1"), setting(200, "b=2"), mock.OK(""), setting(200, "z=1"), mock.OK(""), mock.OK(""))
	other := new(cookies.Memory)
	const u = "http://example.org/"
	get(t, c, u)
	get(t, c, u, cookies.Use(other))
	get(t, c, u, cookies.Use(other))
	get(t, c, u, cookies.Off(), godwit.Cookie("hand", "1"))
	get(t, c, u)
	off := c.With(cookies.Off())
	defer off.Close()
	get(t, off, u)
	expect(t, "storages", eng, "-", "-", "b=2", "hand=1", "a=1", "-")
	if found, ok := godwit.PluginOf[*cookies.Plugin](c); !ok || found != p {
		t.Error("PluginOf")
	}
}

// TestRoundTrip: the door for http.Client has no state, so nothing is kept.
func TestRoundTrip(t *testing.T) {
	c, p, eng := install(t, cookies.Config{}, setting(200, "b=2"))
	if err := p.SetCookies(t.Context(), parse(t, "http://example.org/"), "a=1"); err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(t.Context(), godwit.NewRequest("GET", "http://example.org/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Close()
	expect(t, "RoundTrip", eng, "-")
	if all, _ := p.All(t.Context()); len(all) != 1 {
		t.Errorf("kept %v", all)
	}
}

// TestFromCache: what a cache answers sets nothing, what stands behind it does.
func TestFromCache(t *testing.T) {
	eng := mock.NewT(t, setting(200, "real=1"), mock.OK(""))
	p := cookies.New(cookies.Config{})
	calls := 0
	cache := godwit.Intercept(godwit.SendCache, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		if calls++; calls == 2 {
			return godwit.NewResponse(req, 200, header.New("Set-Cookie", "cached=1"), nil), nil
		}
		return next(ctx, req)
	})
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(p), cache)
	defer c.Close()
	for range 3 {
		get(t, c, "http://example.org/")
	}
	expect(t, "cache", eng, "-", "real=1")
}

// TestHostField: a Host field by hand names whom the caller talks to.
func TestHostField(t *testing.T) {
	c, p, eng := install(t, cookies.Config{}, setting(200, "a=1; Domain=example.org"), mock.OK(""), mock.OK(""))
	get(t, c, "http://192.0.2.1/", godwit.Header("Host", "www.example.org:8080"))
	get(t, c, "http://192.0.2.1/", godwit.Header("Host", "example.org"))
	get(t, c, "http://192.0.2.1/")
	expect(t, "Host", eng, "-", "a=1", "-")
	if all, _ := p.All(t.Context()); len(all) != 1 || all[0].Domain != "example.org" {
		t.Errorf("kept %v", all)
	}
}

type failing struct {
	cookies.Memory
	site, update error
}

func (f *failing) Site(ctx context.Context, site string) ([]cookies.Cookie, error) {
	if f.site != nil {
		return nil, f.site
	}
	return f.Memory.Site(ctx, site)
}

func (f *failing) Update(ctx context.Context, site string, change func([]cookies.Cookie) []cookies.Cookie) error {
	if f.update != nil {
		return f.update
	}
	return f.Memory.Update(ctx, site, change)
}

func TestStorageErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, s := range map[string]*failing{"read": {site: broken}, "write": {update: broken}} {
		eng := mock.New(mock.Always(setting(200, "a=1")))
		c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(cookies.New(cookies.Config{Storage: s})))
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://example.org/"))
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "cookies") {
			t.Errorf("%s: %v", name, err)
		}
		eng.AssertBodiesClosed(t)
		c.Close()
		var told error
		c = godwit.New(godwit.WithEngineInstance(eng), godwit.Install(cookies.New(cookies.Config{Storage: s, OnError: func(_ context.Context, err error) { told = err }})))
		get(t, c, "http://example.org/")
		if !errors.Is(told, broken) {
			t.Errorf("%s: told %v", name, told)
		}
		c.Close()
		eng.Close()
	}
}

// TestServers: a session over real sockets, from many goroutines, each with
// cookies of its own.
func TestServers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/login":
			http.SetCookie(w, &http.Cookie{Name: "session", Value: r.URL.Query().Get("user"), Path: "/", HttpOnly: true})
			http.Redirect(w, r, "/me", http.StatusSeeOther)
		case "/me":
			c, err := r.Cookie("session")
			if err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, c.Value)
		}
	}))
	defer server.Close()
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		shared := cookies.New(cookies.Config{})
		c := godwit.New(godwit.WithEngine(factory), godwit.Install(shared))
		var wg sync.WaitGroup
		for n := range 64 {
			wg.Go(func() {
				user, own := fmt.Sprint("user", n), cookies.Use(new(cookies.Memory))
				for range 3 {
					if got, err := godwit.Post[string](t.Context(), c, server.URL+"/login", nil, godwit.Param("user", user), own); err != nil || got != user {
						t.Errorf("%s: %q, %v", name, got, err)
					}
					if _, err := godwit.Post[string](t.Context(), c, server.URL+"/login", nil, godwit.Param("user", user)); err != nil {
						t.Errorf("%s, shared: %v", name, err)
					}
				}
			})
		}
		wg.Wait()
		if kept, err := shared.Cookies(t.Context(), parse(t, server.URL)); len(kept) != 1 || err != nil || !kept[0].HTTPOnly || !kept[0].HostOnly {
			t.Errorf("%s: %v, %v", name, kept, err)
		}
		c.Close()
	}
}
