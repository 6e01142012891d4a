package hsts_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/plugins/hsts"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

var (
	verified   = &engine.Conn{TLS: &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}}
	unverified = &engine.Conn{TLS: &tls.ConnectionState{}}
)

// saying is an answer with the field, over a verified connection.
func saying(values ...string) *mock.Response {
	r := mock.OK("").WithConn(verified, false)
	for _, v := range values {
		r.WithHeader("Strict-Transport-Security", v)
	}
	return r
}

func install(t *testing.T, config hsts.Config, handlers ...mock.Handler) (*godwit.Client, *hsts.Plugin, *mock.Engine) {
	t.Helper()
	eng := mock.NewT(t, handlers...)
	p := hsts.New(config)
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(p))
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, p, eng
}

func get(t *testing.T, c *godwit.Client, url string, opts ...godwit.Option) *godwit.Response {
	t.Helper()
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url, opts...))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// urls returns where the requests went.
func urls(eng *mock.Engine) string {
	var all []string
	for _, r := range eng.Requests() {
		all = append(all, r.URL.String())
	}
	return strings.Join(all, " ")
}

// TestUpgrade: https://example.org says something; a request goes to a URL.
func TestUpgrade(t *testing.T) {
	const day = "max-age=86400"
	for name, row := range map[string]struct {
		says, url, want string
	}{
		"itself":                    {day, "http://example.org/x?y", "https://example.org/x?y"},
		"capitals":                  {day, "http://EXAMPLE.org/", "https://EXAMPLE.org/"},
		"dot at end":                {day, "http://example.org./", "https://example.org./"},
		"port 80":                   {day, "http://example.org:80/", "https://example.org/"},
		"other port":                {day, "http://example.org:8080/", "https://example.org:8080/"},
		"below":                     {day, "http://www.example.org/", "http://www.example.org/"},
		"below, includeSubDomains":  {day + "; includeSubDomains", "http://a.b.example.org/", "https://a.b.example.org/"},
		"itself, includeSubDomains": {"IncludeSubdomains;" + day, "http://example.org/", "https://example.org/"},
		"above":                     {day + "; includeSubDomains", "http://org/", "http://org/"},
		"looks alike":               {day + "; includeSubDomains", "http://badexample.org/", "http://badexample.org/"},
		"quoted":                    {`max-age="86400"`, "http://example.org/", "https://example.org/"},
		"unknown directives":        {`preload; x="a;b\"c"; ` + day + " ; y=1;", "http://example.org/", "https://example.org/"},
		"huge":                      {"max-age=99999999999999999999", "http://example.org/", "https://example.org/"},
		"zero":                      {"max-age=0", "http://example.org/", "http://example.org/"},
		"no max-age":                {"includeSubDomains", "http://example.org/", "http://example.org/"},
		"empty":                     {"", "http://example.org/", "http://example.org/"},
		"no number":                 {"max-age=1d", "http://example.org/", "http://example.org/"},
		"negative":                  {"max-age=-1", "http://example.org/", "http://example.org/"},
		"no value":                  {"max-age", "http://example.org/", "http://example.org/"},
		"twice":                     {day + "; " + day, "http://example.org/", "http://example.org/"},
		"no token":                  {day + "; a b", "http://example.org/", "http://example.org/"},
		"open quote":                {`max-age="86400`, "http://example.org/", "http://example.org/"},
		"sub domains with a value":  {day + "; includeSubDomains=1", "http://example.org/", "http://example.org/"},
	} {
		c, _, eng := install(t, hsts.Config{}, saying(row.says), mock.OK(""))
		get(t, c, "https://example.org/")
		resp := get(t, c, row.url)
		if got := eng.Requests()[1].URL.String(); got != row.want || resp.Request().URL.String() != row.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Of several fields the first counts.
	c, p, _ := install(t, hsts.Config{}, saying("max-age=0", day))
	get(t, c, "https://example.org/")
	if all, _ := p.All(t.Context()); len(all) > 0 {
		t.Errorf("two fields: %v", all)
	}
}

// TestTeachers: who may say that a host wants https.
func TestTeachers(t *testing.T) {
	field := header.New("Strict-Transport-Security", "max-age=86400")
	for name, row := range map[string]struct {
		url    string
		conn   *engine.Conn
		status int
		opts   []godwit.Option
		learnt bool
	}{
		"verified":            {"https://example.org/", verified, 200, nil, true},
		"an error":            {"https://example.org/", verified, 503, nil, true},
		"not verified":        {"https://example.org/", unverified, 200, nil, false},
		"plain":               {"http://example.org/", &engine.Conn{}, 200, nil, false},
		"plain, to TLS proxy": {"http://example.org/", verified, 200, nil, false},
		"nothing is known":    {"https://example.org/", nil, 200, nil, false},
		"IPv4":                {"https://192.0.2.1/", verified, 200, nil, false},
		"IPv6":                {"https://[2001:db8::1]/", verified, 200, nil, false},
		"switched off":        {"https://example.org/", verified, 200, []godwit.Option{hsts.Off()}, false},
	} {
		answer := &mock.Response{Status: row.status, Header: field}
		if row.conn != nil {
			answer.WithConn(row.conn, false)
		}
		c, p, _ := install(t, hsts.Config{}, answer)
		get(t, c, row.url, row.opts...)
		if all, err := p.All(t.Context()); len(all) == 1 != row.learnt || err != nil {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, eng := install(t, hsts.Config{}, saying("max-age=60"), mock.OK(""), saying("max-age=60"), mock.OK(""), mock.OK(""), saying("max-age=1000; includeSubDomains"), saying("max-age=1000"), saying("max-age=0"), mock.OK(""))
		get(t, c, "https://example.org/1")
		time.Sleep(59 * time.Second)
		get(t, c, "http://example.org/2")
		get(t, c, "https://example.org/3") // said again: counts from now
		time.Sleep(59 * time.Second)
		get(t, c, "http://example.org/4")
		time.Sleep(time.Second)
		get(t, c, "http://example.org/5")
		get(t, c, "https://example.org/6")
		get(t, c, "https://example.org/7")
		if known, err := p.Known(t.Context(), "www.example.org"); known || err != nil {
			t.Errorf("includeSubDomains was taken back: %v, %v", known, err)
		}
		get(t, c, "https://example.org/8")
		get(t, c, "http://example.org/9")
		for i, scheme := range []string{"https", "https", "https", "https", "http", "https", "https", "https", "http"} {
			if got := eng.Requests()[i].URL.Scheme; got != scheme {
				t.Errorf("request %d: %s", i+1, got)
			}
		}
	})
}

// TestRedirects: each hop is upgraded, and a redirect from https to a known
// host's http is no downgrade.
func TestRedirects(t *testing.T) {
	preload := hsts.Config{Preload: func(host string) (bool, bool) { return host == "all.example", strings.HasSuffix(host, ".example") }}
	c, _, eng := install(t, preload, mock.Redirect("http://b.example/x"), mock.Redirect("http://plain.org/"), mock.Redirect("http://www.all.example/y"), mock.OK(""))
	resp := get(t, c, "http://a.example/", godwit.AllowHTTPSDowngrade(true))
	if got := urls(eng); got != "https://a.example/ https://b.example/x http://plain.org/ https://www.all.example/y" || resp.Status != 200 {
		t.Errorf("%s", got)
	}
	// Without permission for downgrades, too; credentials stay on the origin.
	c, _, eng = install(t, preload, mock.Redirect("http://a.example/2"), mock.Redirect("https://a.example/3"), mock.OK(""))
	get(t, c, "http://a.example/", godwit.BearerAuth("secret"))
	for _, r := range eng.Requests() {
		if r.URL.Scheme != "https" || !r.Header.Has("Authorization") {
			t.Errorf("%s: %s", r.URL, r.Header)
		}
	}
	// Not followed, it shows where it would go; the wire header what was sent.
	c, _, _ = install(t, preload, mock.Redirect("http://b.example:80/x"))
	resp = get(t, c, "https://plain.org/", godwit.FollowRedirects(false))
	if wire := resp.Call().WireHeader(); resp.Header.Get("Location") != "https://b.example/x" || wire.Get("Location") != "http://b.example:80/x" {
		t.Errorf("%s, wire %s", resp.Header, wire)
	}
	c, _, _ = install(t, preload, mock.Redirect("/x"), mock.OK(""))
	get(t, c, "https://a.example/")
	c, _, eng = install(t, preload, mock.Redirect("http://b.example/"), mock.OK(""))
	get(t, c, "http://a.example/", hsts.Off())
	if got := urls(eng); got != "http://a.example/ http://b.example/" {
		t.Errorf("off: %s", got)
	}
}

func TestPreload(t *testing.T) {
	var asked []string
	c, p, eng := install(t, hsts.Config{Preload: func(host string) (bool, bool) {
		asked = append(asked, host)
		return true, host == "dev"
	}}, mock.OK(""), saying("max-age=0"), mock.OK(""))
	get(t, c, "http://A.b.dev/")
	if got := strings.Join(asked[:3], " "); got != "a.b.dev b.dev dev" {
		t.Errorf("asked for %s", got)
	}
	get(t, c, "https://a.b.dev/")
	get(t, c, "http://a.b.dev/")
	if got := urls(eng); got != "https://A.b.dev/ https://a.b.dev/ https://a.b.dev/" {
		t.Error(got)
	}
	for _, host := range []string{"192.0.2.1", "::1", ""} {
		if known, err := p.Known(t.Context(), host); known || err != nil {
			t.Errorf("%q: %v, %v", host, known, err)
		}
	}
}

func TestInternational(t *testing.T) {
	p := hsts.New(hsts.Config{})
	if err := p.Learn(t.Context(), "BÜCHER.example", "max-age=60"); err != nil {
		t.Fatal(err)
	}
	if known, err := p.Known(t.Context(), "xn--bcher-kva.example"); !known || err != nil {
		t.Errorf("%v, %v", known, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := new(hsts.Memory)
	start := time.Now()
	for i := range 10_001 {
		if err := m.Set(t.Context(), hsts.Policy{Host: fmt.Sprint("h", i), Expires: start.Add(time.Duration(i))}); err != nil {
			t.Fatal(err)
		}
	}
	all, _ := m.All(t.Context())
	_, first, _ := m.Get(t.Context(), "h1000")
	_, kept, _ := m.Get(t.Context(), "h1001")
	if len(all) != 9000 || first || !kept {
		t.Errorf("%d, %v, %v", len(all), first, kept)
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "hsts.json")
	one, two := hsts.New(hsts.Config{Store: &hsts.File{Path: path}}), hsts.New(hsts.Config{Store: &hsts.File{Path: path}})
	known := func(p *hsts.Plugin, host string) bool {
		t.Helper()
		ok, err := p.Known(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	learn := func(p *hsts.Plugin, host, value string) {
		t.Helper()
		if err := p.Learn(t.Context(), host, value); err != nil {
			t.Fatal(err)
		}
	}
	if known(two, "example.org") {
		t.Error("known at the start")
	}
	learn(one, "example.org", "max-age=1000; includeSubDomains")
	learn(two, "example.com", "max-age=1000")
	for _, p := range []*hsts.Plugin{one, two, hsts.New(hsts.Config{Store: &hsts.File{Path: path}})} {
		if !known(p, "www.example.org") || !known(p, "example.com") || known(p, "www.example.com") {
			t.Error(p.All(t.Context()))
		}
	}
	learn(two, "example.org", "max-age=0")
	learn(two, "unknown.example", "max-age=0")
	if all, err := one.All(t.Context()); len(all) != 1 || all[0].Host != "example.com" || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := hsts.New(hsts.Config{Store: &hsts.File{}}).Known(t.Context(), "example.org"); err == nil {
		t.Error("no Path: no error")
	}
}

type failing struct {
	hsts.Memory
	err error
}

func (f *failing) Get(context.Context, string) (hsts.Policy, bool, error) {
	return hsts.Policy{}, false, f.err
}

func TestStoreErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, url := range map[string]string{"upgrade": "http://example.org/", "learn": "https://example.org/"} {
		eng := mock.New(mock.Always(saying("max-age=60")))
		c := godwit.New(godwit.WithEngineInstance(eng), godwit.Install(hsts.New(hsts.Config{Store: &failing{err: broken}})))
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		var told error
		c = godwit.New(godwit.WithEngineInstance(eng), godwit.Install(hsts.New(hsts.Config{Store: &failing{err: broken}, OnError: func(_ context.Context, err error) { told = err }})))
		get(t, c, url)
		if !errors.Is(told, broken) {
			t.Errorf("%s: told %v", name, told)
		}
		c.Close()
		eng.AssertBodiesClosed(t)
		eng.Close()
	}
}

// TestServers: over real TLS, from many goroutines; without verification nothing
// is learnt.
func TestServers(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=86400")
		fmt.Fprint(w, "secure")
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	address := server.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	client := func(factory engine.Factory, verify bool) (*godwit.Client, *hsts.Plugin) {
		p := hsts.New(hsts.Config{Store: &hsts.File{Path: filepath.Join(t.TempDir(), "hsts.json")}})
		return godwit.New(godwit.WithEngine(factory), godwit.Install(p), godwit.EngineConfig(func(c *engine.Config) {
			c.TLS = &tls.Config{RootCAs: roots, InsecureSkipVerify: !verify}
			c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, address)
			}
		})), p
	}
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		c, _ := client(factory, true)
		get(t, c, "https://example.com:"+port)
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if got, err := godwit.Get[string](t.Context(), c, "http://example.com:"+port); got != "secure" || err != nil {
					t.Errorf("%s: %q, %v", name, got, err)
				}
			})
		}
		wg.Wait()
		c.Close()
		c, p := client(factory, false)
		get(t, c, "https://example.com:"+port)
		if all, err := p.All(t.Context()); len(all) > 0 || err != nil {
			t.Errorf("%s, not verified: %v, %v", name, all, err)
		}
		c.Close()
	}
}

// FuzzLearn: no field makes the parser panic, and only one with a max-age of
// more than zero makes a host known.
func FuzzLearn(f *testing.F) {
	for _, s := range []string{"max-age=1", `max-age="1"; includeSubDomains`, "max-age=0", `;;x="\"`, "max-age=1;max-age=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p := hsts.New(hsts.Config{})
		if err := p.Learn(t.Context(), "example.org", value); err != nil {
			t.Fatal(err)
		}
		known, _ := p.Known(t.Context(), "example.org")
		if known && (!strings.Contains(strings.ToLower(value), "max-age") || !strings.ContainsAny(value, "123456789")) {
			t.Errorf("%q makes the host known", value)
		}
	})
}
