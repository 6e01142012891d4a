package auth_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/plugins/auth"
)

var (
	ada  = basicValue("ada", "pw")
	adas = auth.Basic{User: "ada", Password: "pw", Preemptive: true}
)

// TestWhereCredentialsGo: hops of one call, and which of them get credentials.
func TestWhereCredentialsGo(t *testing.T) {
	for name, row := range map[string]struct {
		hosts []string
		hops  []string
		want  string // + or - for each hop
	}{
		"other host":                    {nil, []string{"http://a.org/", "http://b.org/"}, "+-"},
		"other port":                    {nil, []string{"http://a.org/", "http://a.org:81/"}, "+-"},
		"other scheme":                  {nil, []string{"http://a.org/", "https://a.org/"}, "+-"},
		"downgrade":                     {nil, []string{"https://a.org/", "http://a.org/"}, "+-"},
		"default port written out":      {nil, []string{"http://a.org/", "http://a.org:80/x"}, "++"},
		"case of the host":              {nil, []string{"http://a.org/", "http://A.ORG/x"}, "++"},
		"there and back":                {nil, []string{"http://a.org/", "http://b.org/", "http://a.org/x"}, "+-+"},
		"named hosts":                   {[]string{"a.org", "b.org"}, []string{"http://a.org/", "http://b.org/", "http://c.org/"}, "++-"},
		"first host is not named":       {[]string{"b.org"}, []string{"http://a.org/", "http://b.org/"}, "-+"},
		"named host, other port":        {[]string{"a.org"}, []string{"http://a.org:81/"}, "-"},
		"named port":                    {[]string{"a.org:81"}, []string{"http://a.org:81/", "http://a.org/"}, "+-"},
		"named scheme":                  {[]string{"https://a.org"}, []string{"http://a.org/", "https://a.org/"}, "-+"},
		"named host, upgrade":           {[]string{"a.org"}, []string{"http://a.org/", "https://a.org/"}, "++"},
		"named host, downgrade":         {[]string{"a.org"}, []string{"https://a.org/", "http://a.org/"}, "+-"},
		"named host, downgrade by name": {[]string{"http://a.org"}, []string{"https://a.org/", "http://a.org/"}, "-+"},
		"subdomains":                    {[]string{"*.a.org"}, []string{"http://x.a.org/", "http://y.x.a.org/", "http://a.org/", "http://xa.org/"}, "++--"},
		"everywhere":                    {[]string{"*"}, []string{"http://a.org/", "http://b.org:8080/"}, "++"},
		"everywhere, downgrade":         {[]string{"*"}, []string{"https://a.org/", "http://b.org/"}, "+-"},
		"IPv6":                          {[]string{"[::1]:81"}, []string{"http://[::1]:81/", "http://[::1]/"}, "+-"},
	} {
		t.Run(name, func(t *testing.T) {
			var hop int
			eng := serve(func(context.Context, *mock.Request) *mock.Response {
				if hop++; hop < len(row.hops) {
					return mock.Redirect(row.hops[hop])
				}
				return mock.OK("")
			})
			basic := adas
			basic.Hosts = row.hosts
			c := clientWith(t, eng, godwit.Install(auth.New(basic, auth.APIKey{Key: "k", Hosts: row.hosts})), godwit.AllowHTTPSDowngrade(true))
			get(t, c, row.hops[0])
			for field, value := range map[string]string{"Authorization": ada, "X-API-Key": "k"} {
				got := ""
				for _, v := range sent(eng, field) {
					got += map[bool]string{v == value: "+", v == "-": "-"}[true]
				}
				if got != row.want {
					t.Errorf("%s on the hops: %s, want %s", field, got, row.want)
				}
			}
		})
	}
}

// TestChallengeElsewhere: a host that a redirect leads to cannot ask for what is
// another's, nor can it in a fork of the call.
func TestChallengeElsewhere(t *testing.T) {
	eng := serve(func(_ context.Context, r *mock.Request) *mock.Response {
		if r.URL.Host == "a.org" {
			return mock.Redirect("http://b.org/")
		}
		return unauthorized(`Basic realm="x"`, "Bearer", `Digest realm="x", nonce="n", qop="auth"`)
	})
	fork := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		f, err := godwit.CallFrom(ctx).Fork(ctx)
		if err != nil {
			return nil, err
		}
		resp, err := next(f.Context(), req)
		if err != nil {
			f.End()
			return nil, err
		}
		resp.OnClose(func(error) { f.End() })
		return resp, nil
	})
	providers := godwit.Install(auth.New(
		auth.Basic{User: "ada", Password: "pw"},
		auth.Bearer{Token: "t", SendWithoutRequest: func(*godwit.Request) bool { return false }},
		auth.Digest{User: "ada", Password: "pw"},
	))
	for name, opts := range map[string][]godwit.ClientOption{"plain": {providers}, "forked": {providers, fork}} {
		eng.Reset()
		eng.Enqueue(mock.Always(mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
			if r.URL.Host == "a.org" {
				return mock.Redirect("http://b.org/"), nil
			}
			return unauthorized(`Basic realm="x"`, "Bearer", `Digest realm="x", nonce="n", qop="auth"`), nil
		})))
		resp := get(t, clientWith(t, eng, opts...), "http://a.org/")
		if resp.Status != 401 || resp.Text() != "refused" {
			t.Errorf("%s: %v %q", name, resp.Status, resp.Text())
		}
		if diff := cmp.Diff([]string{"-", "-"}, sent(eng, "Authorization")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestOwnCredentialsStay(t *testing.T) {
	for name, row := range map[string]struct {
		url  string
		opts []godwit.Option
		want string
	}{
		"field":     {url, []godwit.Option{godwit.BearerAuth("mine")}, "Bearer mine"},
		"user info": {"http://me:mine@example.org/", nil, basicValue("me", "mine")},
	} {
		eng := serve(func(context.Context, *mock.Request) *mock.Response { return unauthorized("Basic") })
		resp := get(t, client(t, eng, adas), row.url, row.opts...)
		if got := sent(eng, "Authorization"); resp.Status != 401 || !slices.Equal(got, []string{row.want}) {
			t.Errorf("%s: %v after %q", name, resp.Status, got)
		}
	}
}

func TestOff(t *testing.T) {
	eng := serve(wants(ada, "Basic"))
	c := client(t, eng, auth.Basic{User: "ada", Password: "pw"}, auth.APIKey{Key: "k"})
	if resp := get(t, c, url, auth.Off()); resp.Status != 401 || len(eng.Requests()) != 1 || eng.Requests()[0].Header.Has("X-API-Key") {
		t.Errorf("%v after %d requests", resp.Status, len(eng.Requests()))
	}
	if resp := get(t, c, url); resp.Status != 200 {
		t.Errorf("without: %v", resp.Status)
	}
}

func TestRefusedIf(t *testing.T) {
	eng := serve(func(_ context.Context, r *mock.Request) *mock.Response {
		if r.Header.Get("Authorization") == "Bearer 2" {
			return mock.OK("in")
		}
		return mock.Status(419)
	})
	bearer := auth.Bearer{Token: "1", Refresh: func(context.Context, auth.Token) (auth.Token, error) { return auth.Token{Access: "2"}, nil }}
	expired := auth.RefusedIf(func(r *godwit.Response) bool { return r.Status == 419 })
	if resp := get(t, client(t, eng, bearer), url); resp.Status != 419 {
		t.Errorf("by default: %v", resp.Status)
	}
	if resp := get(t, client(t, eng, bearer), url, expired); resp.Status != 200 {
		t.Errorf("%v", resp.Status)
	}
}

// TestChoiceOfProvider: who answers which challenges.
func TestChoiceOfProvider(t *testing.T) {
	lazy := func(*godwit.Request) bool { return false }
	basic := auth.Basic{User: "ada", Password: "pw"}
	bearer := auth.Bearer{Token: "t", SendWithoutRequest: lazy}
	for name, row := range map[string]struct {
		providers  []auth.Provider
		challenges []string
		want       []string // Authorization of each request
	}{
		"by scheme":                     {[]auth.Provider{basic, bearer}, []string{"Bearer"}, []string{"-", "Bearer t"}},
		"several in one field":          {[]auth.Provider{basic, bearer}, []string{`Negotiate, Custom abc==, Basic realm="a, Bearer b"`}, []string{"-", ada}},
		"several fields":                {[]auth.Provider{basic}, []string{"Negotiate", "Basic"}, []string{"-", ada}},
		"the first listed wins":         {[]auth.Provider{bearer, basic}, []string{"Basic, Bearer"}, []string{"-", "Bearer t", ada}},
		"none fits":                     {[]auth.Provider{basic, bearer}, []string{"Negotiate"}, []string{"-"}},
		"no challenge, one provider":    {[]auth.Provider{basic}, nil, []string{"-", ada}},
		"no challenge, two providers":   {[]auth.Provider{basic, bearer}, nil, []string{"-"}},
		"realm":                         {[]auth.Provider{auth.Basic{User: "x", Password: "y", Realm: "other"}, auth.Basic{User: "ada", Password: "pw", Realm: "this"}}, []string{`Basic realm="this"`}, []string{"-", ada}},
		"realm, no challenge":           {[]auth.Provider{auth.Basic{User: "ada", Password: "pw", Realm: "this"}}, nil, []string{"-"}},
		"wrong realm":                   {[]auth.Provider{auth.Basic{User: "ada", Password: "pw", Realm: "this"}}, []string{`Basic realm="that"`}, []string{"-"}},
		"realm of a token":              {[]auth.Provider{auth.Bearer{Token: "t", SendWithoutRequest: lazy, Realm: "r"}}, []string{`Bearer realm="s"`}, []string{"-"}},
		"preemptive, refused, next":     {[]auth.Provider{auth.Bearer{Token: "t"}, basic}, []string{"Basic"}, []string{"Bearer t", ada}},
		"two preemptive for one field":  {[]auth.Provider{auth.Bearer{Token: "t"}, adas}, []string{"Negotiate"}, []string{"Bearer t"}},
		"preemptive Basic is final":     {[]auth.Provider{adas}, []string{"Basic"}, []string{ada}},
		"unknown Digest, Basic instead": {[]auth.Provider{auth.Digest{User: "ada"}, basic}, []string{`Digest realm="x", nonce="n", algorithm=SHA-3, Basic realm="x"`}, []string{"-", ada}},
	} {
		eng := serve(func(context.Context, *mock.Request) *mock.Response { return unauthorized(row.challenges...) })
		resp := get(t, client(t, eng, row.providers...), url)
		if resp.Status != 401 || resp.Text() != "refused" {
			t.Errorf("%s: the refusal is lost: %v %q", name, resp.Status, resp.Text())
		}
		if diff := cmp.Diff(row.want, sent(eng, "Authorization")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestRefusalIsGivenUpFirst: no response is held while an answer is sought.
func TestRefusalIsGivenUpFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eng := mock.New(
			mock.Text(401, strings.Repeat("x", 1000)).WithLength(-1).WithStall(10), // a tail that never comes
			mock.OK("in"),
		)
		bearer := auth.Bearer{Token: "1", Refresh: func(context.Context, auth.Token) (auth.Token, error) {
			if n := eng.OpenBodies(); n != 0 {
				t.Errorf("%d bodies are open during the refresh", n)
			}
			return auth.Token{Access: "2"}, nil
		}}
		if resp := get(t, client(t, eng, bearer), url); resp.Text() != "in" {
			t.Errorf("%v", resp)
		}
	})
}

func TestBodies(t *testing.T) {
	eng := serve(wants(ada, "Basic"))
	c := client(t, eng, auth.Basic{User: "ada", Password: "pw"})
	if s, err := godwit.Post[string](t.Context(), c, url, "again"); err != nil || s != "in" {
		t.Errorf("%q, %v", s, err)
	}
	for _, r := range eng.Requests() {
		if r.Text() != "again" {
			t.Errorf("sent %q", r.Text())
		}
	}
	c = client(t, serve(wants(ada, "Basic")), auth.Basic{User: "ada", Password: "pw"})
	_, err := godwit.Post[string](t.Context(), c, url, io.MultiReader(strings.NewReader("once")))
	se, ok := errors.AsType[*godwit.StatusError](err)
	if !errors.Is(err, godwit.ErrNotReplayable) || !ok || se.Response.Status != 401 {
		t.Errorf("a body that can be sent once: %v", err)
	}
	// What was learned holds for the next.
	if s, err := godwit.Post[string](t.Context(), c, url, io.MultiReader(strings.NewReader("once"))); err != nil || s != "in" {
		t.Errorf("%q, %v", s, err)
	}
}

// hmacLike is a provider as users write them.
type hmacLike struct {
	mu     sync.Mutex
	checks int
}

func (h *hmacLike) NewAuthenticator() (auth.Authenticator, error) { return h, nil }
func (h *hmacLike) Scope() auth.Scope                             { return auth.Scope{} }
func (h *hmacLike) Accepts(x *auth.Exchange) bool {
	_, ok := x.Challenge("Mine", "")
	return ok && x.Answered < 2
}
func (h *hmacLike) Authorize(_ context.Context, x *auth.Exchange) error {
	if x.State != nil {
		x.Set("Mine " + x.State.(string))
	}
	return nil
}
func (h *hmacLike) Answer(_ context.Context, x *auth.Exchange) (bool, error) {
	c, _ := x.Challenge("Mine", "")
	if x.Response.Status != 401 || c.Token68 == "stop" {
		return false, nil
	}
	x.State = c.Token68 + "+"
	return true, nil
}
func (h *hmacLike) Check(_ context.Context, _ *auth.Exchange, resp *godwit.Response) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks++
	if resp.Header.Has("Bad") {
		return errors.ErrUnsupported
	}
	return nil
}

func TestOwnProvider(t *testing.T) {
	h := new(hmacLike)
	eng := mock.New(unauthorized("Mine a"), unauthorized("Mine b"), mock.OK("in"), unauthorized("Mine stop"), unauthorized("Mine a"), mock.OK("").WithHeader("Bad", "1"))
	c := client(t, eng, h)
	if resp := get(t, c, url); resp.Text() != "in" {
		t.Errorf("%v", resp)
	}
	if resp := get(t, c, url); resp.Status != 401 || resp.Text() != "refused" || resp.Header.Get("WWW-Authenticate") != "Mine stop" {
		t.Errorf("no answer: %v %q", resp.Status, resp.Text())
	}
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("checked: %v", err)
	}
	if diff := cmp.Diff([]string{"-", "Mine a+", "Mine b+", "-", "-", "Mine a+"}, sent(eng, "Authorization")); diff != "" || h.checks != 3 {
		t.Errorf("%d checks, %s", h.checks, diff)
	}
}

func TestBadConfiguration(t *testing.T) {
	for name, p := range map[string]auth.Provider{
		"nil": nil, "Basic": auth.Basic{}, "Bearer": auth.Bearer{}, "Digest": auth.Digest{}, "APIKey": auth.APIKey{}, "SigV4": auth.SigV4{Region: "r"},
		"colon": auth.Basic{User: "a:b"}, "control": auth.Basic{User: "a\n"}, "latin 1": auth.Basic{User: "Ж", Latin1: true},
		"host": auth.Basic{User: "a", Hosts: []string{"http://a/path"}}, "star": auth.Basic{User: "a", Hosts: []string{"a.*.org"}},
		"scheme": auth.Basic{User: "a", Hosts: []string{"ftp://a"}}, "empty host": auth.Basic{User: "a", Hosts: []string{""}},
		"proxy":            auth.Digest{User: "a", Proxy: "socks5://p:1"},
		"preemptive proxy": auth.Basic{User: "a", Proxy: "p:1", Preemptive: true},
		"algorithm":        auth.Digest{User: "a", Algorithms: []string{"SHA-1"}},
		"two places":       auth.APIKey{Key: "k", Query: "q", Cookie: "c"}, "field": auth.APIKey{Key: "k", Header: "a b"},
		"cookie": auth.APIKey{Key: "k;", Cookie: "c"}, "token and load": auth.Bearer{Token: "t", Load: auth.TokenFunc(nil), Timeout: -1},
		"no cache": auth.Bearer{Token: "t", NoCache: true}, "netrc": auth.Netrc{Path: "testdata/none"},
	} {
		c := godwit.New(godwit.WithEngineInstance(mock.New()), godwit.Install(auth.New(p)))
		if err := c.Err(); err == nil {
			t.Errorf("%s: no error", name)
		}
		c.Close()
	}
	c := godwit.New(godwit.WithEngineInstance(mock.New()), godwit.Install(auth.New(auth.Basic{User: "a", Hosts: []string{"u:secret@h"}})))
	if err := c.Err(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	c.Close()
}

func TestAPIKey(t *testing.T) {
	loaded := auth.APIKey{Load: func(context.Context) (string, error) { return "l", nil }}
	for name, row := range map[string]struct {
		key  auth.APIKey
		opts []godwit.Option
		show func(*mock.Request) string
		want string
	}{
		"field":         {auth.APIKey{Key: "k"}, nil, func(r *mock.Request) string { return r.Header.Get("X-API-Key") }, "k"},
		"named field":   {auth.APIKey{Key: "k", Header: "Key"}, nil, func(r *mock.Request) string { return r.Header.Get("Key") }, "k"},
		"own field":     {auth.APIKey{Key: "k"}, []godwit.Option{godwit.Header("x-api-key", "own")}, func(r *mock.Request) string { return r.Header.Joined("X-API-Key") }, "own"},
		"loaded":        {loaded, nil, func(r *mock.Request) string { return r.Header.Get("X-API-Key") }, "l"},
		"query":         {auth.APIKey{Key: "k&", Query: "key"}, []godwit.Option{godwit.Param("a", 1)}, func(r *mock.Request) string { return r.URL.RawQuery }, "a=1&key=k%26"},
		"cookie":        {auth.APIKey{Key: "k", Cookie: "key"}, []godwit.Option{godwit.Cookie("a", "1")}, func(r *mock.Request) string { return r.Header.Joined("Cookie") }, "a=1; key=k"},
		"Authorization": {auth.APIKey{Key: "Token k", Header: "Authorization"}, nil, func(r *mock.Request) string { return r.Header.Joined("Authorization") }, "Token k"},
	} {
		eng := mock.New(mock.Status(401))
		if resp := get(t, client(t, eng, row.key), url, row.opts...); resp.Status != 401 {
			t.Errorf("%s: %v", name, resp.Status)
		}
		if got := row.show(eng.Requests()[0]); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

// TestRequestOfAnEarlierCall: a request that was already answered can be sent
// again, without what the plugin hung on it.
func TestRequestOfAnEarlierCall(t *testing.T) {
	eng := serve(func(context.Context, *mock.Request) *mock.Response { return mock.OK("") })
	c := client(t, eng, auth.SigV4{AWSCredentials: auth.AWSCredentials{AccessKey: "a", SecretKey: "s"}, Region: "r", Service: "s"})
	req := get(t, c, url).Request().Clone()
	req.Header = header.Header{}
	if _, err := c.Do(t.Context(), req.With(auth.Off())); err != nil || eng.Requests()[1].Header.Has("Authorization") {
		t.Errorf("%v, %s", err, eng.Requests()[1].Header)
	}
}
