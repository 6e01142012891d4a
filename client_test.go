package godwit_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
)

// user is a value for codecs.
type user struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// client returns a client on a mock engine whose handlers must all be used.
func client(t *testing.T, handlers []mock.Handler, opts ...godwit.ClientOption) (*godwit.Client, *mock.Engine) {
	t.Helper()
	eng := mock.NewT(t, handlers...)
	c := godwit.New(append([]godwit.ClientOption{godwit.WithEngineInstance(eng)}, opts...)...)
	t.Cleanup(func() { c.Close() })
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	return c, eng
}

func answers(h ...mock.Handler) []mock.Handler { return h }

const base = "http://example.org"

func TestGetTyped(t *testing.T) {
	c, eng := client(t, answers(mock.JSON(200, user{7, "Ada"})))
	u, err := godwit.Get[user](t.Context(), c, base+"/users/{id}", godwit.PathParam("id", 7), godwit.Param("full", true))
	if err != nil || u != (user{7, "Ada"}) {
		t.Fatalf("got %+v, %v", u, err)
	}
	req := eng.Requests()[0]
	if got, want := req.URL.String(), base+"/users/7?full=true"; got != want {
		t.Errorf("URL %s, want %s", got, want)
	}
	if got, want := req.Header.Get("Accept"), "application/json, */*;q=0.5"; got != want {
		t.Errorf("Accept %q, want %q", got, want)
	}
}

func TestPostTyped(t *testing.T) {
	c, eng := client(t, answers(mock.JSON(201, user{1, "Ada"})))
	u, err := godwit.Post[user](t.Context(), c, base+"/users", user{Name: "Ada"})
	if err != nil || u.ID != 1 {
		t.Fatalf("got %+v, %v", u, err)
	}
	req := eng.Requests()[0]
	if req.Text() != `{"id":0,"name":"Ada"}` || req.Header.Get("Content-Type") != "application/json" {
		t.Errorf("sent %q as %q", req.Text(), req.Header.Get("Content-Type"))
	}
}

func TestStatusError(t *testing.T) {
	problem := mock.Bytes(404, "application/problem+json", []byte(`{"title":"No such user","status":"x","code":17}`))
	c, _ := client(t, answers(problem))
	_, err := godwit.Get[user](t.Context(), c, "http://ada:secret@example.org/users/7")
	se, ok := errors.AsType[*godwit.StatusError](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	if se.Response.Status != 404 || se.Problem == nil || se.Problem.Title != "No such user" || string(se.Problem.Extensions["code"]) != "17" {
		t.Errorf("got %+v %+v", se.Response, se.Problem)
	}
	if got, err := godwit.As[map[string]any](t.Context(), se.Response); err != nil || got["title"] != "No such user" {
		t.Errorf("body: %v, %v", got, err)
	}
	if want := "godwit: GET http://example.org/users/7: status 404 Not Found: No such user"; err.Error() != want {
		t.Errorf("text %q, want %q", err, want)
	}
}

// TestProblemText: what a server wrote stays on the error's line, and is short.
func TestProblemText(t *testing.T) {
	c, _ := client(t, answers(mock.Bytes(500, "application/problem+json", []byte(`{"title":"a\nlevel=INFO","detail":"`+strings.Repeat("ü", 50<<10)+`"}`))))
	_, err := godwit.Get[string](t.Context(), c, base)
	if err == nil || strings.ContainsAny(err.Error(), "\r\n") || len(err.Error()) > 600 || !strings.HasSuffix(err.Error(), "üü…") {
		t.Errorf("%q", err)
	}
	if se, _ := errors.AsType[*godwit.StatusError](err); se == nil || se.Problem.Title != "a\nlevel=INFO" || len(se.Problem.Detail) != 100<<10 {
		t.Error("the problem is not as it came")
	}
}

func TestStatusByDoor(t *testing.T) {
	ctx := t.Context()
	c, _ := client(t, answers(mock.Always(mock.Text(500, "broken"))))
	req := godwit.NewRequest("GET", base)
	if resp, err := c.Do(ctx, req); err != nil || resp.Text() != "broken" {
		t.Errorf("Do: %v", err)
	}
	if resp, err := godwit.Get[*godwit.Response](ctx, c, base); err != nil || resp.Status != 500 {
		t.Errorf("Get[*Response]: %v", err)
	}
	if s, err := godwit.Get[godwit.Status](ctx, c, base); err != nil || s != 500 {
		t.Errorf("Get[Status]: %v, %v", s, err)
	}
	fails := map[string]error{}
	_, fails["Get[None]"] = godwit.Get[godwit.None](ctx, c, base)
	_, fails["Get[string]"] = godwit.Get[string](ctx, c, base)
	_, fails["Do, expecting"] = c.Do(ctx, godwit.NewRequest("GET", base, godwit.ExpectSuccess(true)))
	fails["Stream, expecting"] = c.Stream(ctx, godwit.NewRequest("GET", base, godwit.ExpectSuccess(true)), func(*godwit.Response) error { return nil })
	_, fails["Get[Status], expecting"] = godwit.Get[godwit.Status](ctx, c, base, godwit.ExpectSuccess(true))
	for name, err := range fails {
		se, ok := errors.AsType[*godwit.StatusError](err)
		if !ok || string(se.Response.Bytes()) != "broken" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := godwit.Get[string](ctx, c, base, godwit.ExpectSuccess(false)); err != nil || s != "broken" {
		t.Errorf("Get[string], not expecting: %q, %v", s, err)
	}
}

func TestBodiesIn(t *testing.T) {
	ctx := t.Context()
	text := func(s string) *godwit.Client {
		c, _ := client(t, answers(mock.OK(s)))
		return c
	}
	check := func(name string, got, want any, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", name, got, err, want)
		}
	}
	s, err := godwit.Get[string](ctx, text("grüße"), base)
	check("string", s, "grüße", err)
	b, err := godwit.Get[[]byte](ctx, text("abc"), base)
	check("bytes", string(b), "abc", err)
	i, err := godwit.Get[int](ctx, text(" 42\n"), base)
	check("int", i, 42, err)
	u, err := godwit.Get[uint8](ctx, text("255"), base)
	check("uint8", u, uint8(255), err)
	f, err := godwit.Get[float64](ctx, text("1.5"), base)
	check("float64", f, 1.5, err)
	ok, err := godwit.Get[bool](ctx, text("true"), base)
	check("bool", ok, true, err)
	r, err := godwit.Get[io.Reader](ctx, text("stream"), base)
	if err == nil {
		b, _ = io.ReadAll(r)
	}
	check("reader", string(b), "stream", err)
	_, err = godwit.Get[godwit.None](ctx, text("ignored"), base)
	check("none", nil, nil, err)
	type id string
	type count int
	n, err := godwit.Get[id](ctx, text("x1"), base)
	check("named string", n, id("x1"), err)
	m, err := godwit.Get[count](ctx, text("7"), base)
	check("named int", m, count(7), err)
	at, err := godwit.Get[time.Time](ctx, text("2026-11-21T10:00:00Z"), base)
	check("time", at, time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), err)
	a, err := godwit.Get[any](ctx, text("any"), base)
	check("any", a, "any", err)
	if p, err := godwit.Get[*int](ctx, text("42"), base); err != nil || *p != 42 {
		t.Errorf("*int: %v, %v", p, err)
	}
	if p, err := godwit.Get[*big.Int](ctx, text("42"), base); err != nil || p.Int64() != 42 {
		t.Errorf("*big.Int: %v, %v", p, err)
	}
	if p, err := godwit.Get[*netip.Addr](ctx, text("::1"), base); err != nil || !p.IsLoopback() {
		t.Errorf("*netip.Addr: %v, %v", p, err)
	}
	if p, err := godwit.Get[*int](ctx, text("x"), base); err == nil || p != nil {
		t.Errorf("*int of x: %v, %v", p, err)
	}
	if p, err := godwit.Get[**godwit.Response](ctx, text("x"), base); err == nil {
		t.Errorf("**Response: %v, %v", p, err)
	}
	untyped := func() *godwit.Client {
		c, _ := client(t, answers(mock.Bytes(200, "", []byte("7"))))
		return c
	}
	m, err = godwit.Get[count](ctx, untyped(), base)
	check("named int, untyped", m, count(7), err)
	n, err = godwit.Get[id](ctx, untyped(), base)
	check("named string, untyped", n, id("7"), err)
	for name, err := range map[string]error{
		"any": second(godwit.Get[any](ctx, untyped(), base)), "time": second(godwit.Get[*time.Time](ctx, untyped(), base)), "struct": second(godwit.Get[*user](ctx, untyped(), base)),
	} {
		if err == nil || !strings.Contains(err.Error(), "AnyContentType") {
			t.Errorf("%s, untyped: %v", name, err)
		}
	}
	if _, err := godwit.Get[uint8](ctx, text("256"), base); err == nil {
		t.Error("256 fits no uint8")
	}
	if _, err := godwit.Get[int](ctx, text(""), base); err == nil {
		t.Error("an empty body is no int")
	}
}

func second[T any](_ T, err error) error { return err }

func TestDecodeErrors(t *testing.T) {
	ctx := t.Context()
	c, _ := client(t, answers(mock.Bytes(200, "text/html", []byte("<p>login</p>"))))
	_, err := godwit.Get[user](ctx, c, base)
	de, ok := errors.AsType[*godwit.DecodeError](err)
	if !ok || de.ContentType != "text/html" || !strings.Contains(de.Snippet, "<p>login") || de.Type != "godwit_test.user" {
		t.Fatalf("got %v", err)
	}
	if ge, _ := errors.AsType[*godwit.Error](err); ge.Op != engine.OpDecode {
		t.Errorf("op %s", ge.Op)
	}
	c, _ = client(t, answers(mock.Bytes(200, "", []byte(`{"id":3}`))))
	if u, err := godwit.Get[user](ctx, c, base, godwit.AnyContentType()); err != nil || u.ID != 3 {
		t.Errorf("AnyContentType: %v, %v", u, err)
	}
	c, _ = client(t, answers(mock.Bytes(200, "application/vnd.x+json; charset=utf-16le", []byte("{\x00\"\x00i\x00d\x00\"\x00:\x003\x00}\x00"))))
	if u, err := godwit.Get[user](ctx, c, base); err != nil || u.ID != 3 {
		t.Errorf("suffix and charset: %v, %v", u, err)
	}
	c, _ = client(t, answers(mock.Status(204)))
	if u, err := godwit.Get[*user](ctx, c, base); err != nil || u != nil {
		t.Errorf("empty body as pointer: %v, %v", u, err)
	}
	c, _ = client(t, nil)
	_, err = godwit.Post[string](ctx, c, base, user{}, godwit.ContentType("application/yaml"))
	if err == nil || !strings.Contains(err.Error(), "application/yaml") {
		t.Errorf("unknown request type: %v", err)
	}
}

func TestRequestIsNotChanged(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK("x"))), godwit.Header("X-Default", "d"), godwit.Cookie("a", "1"))
	req := godwit.NewRequest("POST", base, godwit.Header("X-Own", "o"), godwit.Body("text"))
	before := req.Header.Clone()
	done := make(chan error, 64)
	for range 64 {
		go func() {
			_, err := c.Do(t.Context(), req)
			done <- err
		}()
	}
	for range 64 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if !req.Header.Equal(before) || req.Body != "text" || req.URL.String() != base {
		t.Errorf("request changed: %+v", req)
	}
	for _, r := range eng.Requests() {
		if r.Text() != "text" || r.Header.Get("X-Default") != "d" || r.Header.Get("Cookie") != "a=1" {
			t.Fatalf("sent %v %q", r.Header, r.Text())
		}
	}
}

func TestStreamAndOpen(t *testing.T) {
	ctx := t.Context()
	c, eng := client(t, answers(mock.Always(mock.OK("hello"))))
	var got []byte
	err := c.Stream(ctx, godwit.NewRequest("GET", base), func(r *godwit.Response) (err error) {
		if r.IsSaved() {
			t.Error("streamed response is saved")
		}
		got, err = io.ReadAll(r.Body)
		return err
	})
	if err != nil || string(got) != "hello" {
		t.Fatalf("Stream: %q, %v", got, err)
	}
	resp, err := c.Open(ctx, godwit.NewRequest("GET", base))
	if err != nil {
		t.Fatal(err)
	}
	call := resp.Call()
	select {
	case <-call.Done():
		t.Error("call ended before its body")
	default:
	}
	if eng.OpenBodies() != 1 {
		t.Errorf("%d open bodies", eng.OpenBodies())
	}
	resp.Close()
	<-call.Done()
	if err := call.Err(); err != nil {
		t.Errorf("call ended with %v", err)
	}
	stop := errors.New("stop")
	if err := c.Stream(ctx, godwit.NewRequest("GET", base), func(*godwit.Response) error { return stop }); err != stop {
		t.Errorf("Stream returned %v", err)
	}
}

func TestOpenIsCancelledByItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := client(t, answers(mock.OK("0123456789").WithStall(3)))
	resp, err := c.Open(ctx, godwit.NewRequest("GET", base))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, buf); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = resp.Body.Read(buf)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
	if _, ok := errors.AsType[*godwit.Error](err); !ok {
		t.Errorf("read error %T is not wrapped", err)
	}
	resp.Close()
	if err := resp.Call().Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("call ended with %v", err)
	}
}

func TestErrorsBeforeIO(t *testing.T) {
	ctx := t.Context()
	c, eng := client(t, nil)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for name, call := range map[string]func() error{
		"bad URL":      func() error { _, err := godwit.Get[string](ctx, c, "http://exa mple.org/"); return err },
		"CR in URL":    func() error { _, err := godwit.Get[string](ctx, c, base+"/a\r\nb"); return err },
		"relative URL": func() error { _, err := godwit.Get[string](ctx, c, "users"); return err },
		"scheme":       func() error { _, err := godwit.Get[string](ctx, c, "ftp://example.org"); return err },
		"proxy scheme": func() error { _, err := godwit.Get[string](ctx, c, base, godwit.Proxy("ftp://h:1")); return err },
		"path param, list": func() error {
			_, err := godwit.Get[string](ctx, c, base+"/{id}", godwit.PathParam("id", []int{1, 2}))
			return err
		},
		"missing path param": func() error { _, err := godwit.Get[string](ctx, c, base+"/{id}"); return err },
		"climbing param": func() error {
			_, err := godwit.Get[string](ctx, c, base+"/{id}", godwit.PathParam("id", ".."))
			return err
		},
		"method":       func() error { _, err := c.Do(ctx, godwit.NewRequest("GE T", base)); return err },
		"field name":   func() error { _, err := godwit.Get[string](ctx, c, base, godwit.Header("a b", "c")); return err },
		"field value":  func() error { _, err := godwit.Get[string](ctx, c, base, godwit.Header("a", "b\r\nc: d")); return err },
		"NUL in value": func() error { _, err := godwit.Get[string](ctx, c, base, godwit.Header("a", "b\x00")); return err },
		"field set by hand": func() error {
			req := godwit.NewRequest("GET", base)
			req.Header.Set("X", "a\nb")
			_, err := c.Do(ctx, req)
			return err
		},
		"transfer-encoding": func() error {
			_, err := godwit.Get[string](ctx, c, base, godwit.Header("Transfer-Encoding", "chunked"))
			return err
		},
		"upgrade": func() error { _, err := godwit.Get[string](ctx, c, base, godwit.Header("Upgrade", "h2c")); return err },
		"two hosts": func() error {
			_, err := godwit.Get[string](ctx, c, base, godwit.AddHeader("Host", "a", "b"))
			return err
		},
		"wrong length": func() error {
			_, err := godwit.Post[string](ctx, c, base, "abc", godwit.Header("Content-Length", "4"))
			return err
		},
		"timeout":      func() error { _, err := godwit.Get[string](ctx, c, base, godwit.Timeout(0)); return err },
		"cookie":       func() error { _, err := godwit.Get[string](ctx, c, base, godwit.Cookie("a", "b;c")); return err },
		"nil request":  func() error { _, err := c.Do(ctx, nil); return err },
		"done context": func() error { _, err := godwit.Get[string](cancelled, c, base); return err },
		"upgrade by Do": func() error {
			_, err := c.Do(ctx, godwit.NewRequest("POST", base, godwit.Body(make(chan int))))
			return err
		},
	} {
		err := call()
		ge, ok := errors.AsType[*godwit.Error](err)
		if !ok || ge.Op != engine.OpBuild || strings.ContainsAny(err.Error(), "\r\n\x00") || name != "nil request" && ge.URL == "" {
			t.Errorf("%s: %q", name, err)
		}
	}
	if n := len(eng.Requests()); n != 0 {
		t.Errorf("%d requests reached the engine", n)
	}
}

func TestUserInfo(t *testing.T) {
	c, eng := client(t, answers(mock.Refused(), mock.OK("")))
	_, err := godwit.Get[string](t.Context(), c, "http://ada:pa%20ss@example.org/x")
	if err == nil || strings.Contains(err.Error(), "ada") || strings.Contains(err.Error(), "pa") {
		t.Errorf("error %v", err)
	}
	if got := eng.Requests()[0].Header.Get("Authorization"); got != "Basic YWRhOnBhIHNz" {
		t.Errorf("Authorization %q", got)
	}
	if eng.Requests()[0].URL.User != nil {
		t.Error("user info reached the engine")
	}
	_, err = godwit.Get[string](t.Context(), c, base, godwit.UserInfo("a", "b"), godwit.BearerAuth("t"))
	if got := eng.Requests()[1].Header.Get("Authorization"); err != nil || got != "Bearer t" {
		t.Errorf("Authorization %q, %v", got, err)
	}
}

func TestBuildErrorOfClient(t *testing.T) {
	c := godwit.New(godwit.WithEngineInstance(mock.New()), godwit.Header("bad name", "x"), godwit.Timeout(-1))
	defer c.Close()
	_, err := c.Do(t.Context(), godwit.NewRequest("GET", base))
	for _, part := range []string{"bad name", "Timeout(-1ns)"} {
		if err == nil || !strings.Contains(err.Error(), part) || c.Err() == nil || !strings.Contains(c.Err().Error(), part) {
			t.Errorf("error %v lacks %q", err, part)
		}
	}
}

func TestNegativeEngineConfig(t *testing.T) {
	for part, set := range map[string]func(*engine.Config){
		"MaxConcurrent -1": func(c *engine.Config) { c.MaxConcurrent = -1 },
		"Idle:-1s":         func(c *engine.Config) { c.Timeouts.Idle = -time.Second },
	} {
		c := godwit.New(godwit.WithEngine(mock.Config{}), godwit.EngineConfig(set))
		if err := c.Err(); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", part, err)
		}
		c.Close()
	}
}

func TestHeaders(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK(""))), godwit.Header("X-A", "default"), godwit.AddHeader("X-D", "1", "2"))
	h := header.New("x-copied", "c1", "x-copied", "c2")
	_, err := c.Do(t.Context(), godwit.NewRequest("get", base,
		godwit.Header("x-a", "own"), godwit.AddHeader("x-b", "1"), godwit.AddHeader("X-B", "2"), godwit.AddHeaders(h), godwit.Header("Gone", "x"), godwit.DelHeader("gone")))
	if err != nil {
		t.Fatal(err)
	}
	got := eng.Requests()[0].Header.String()
	want := "x-a: own\r\nx-b: 1\r\nX-B: 2\r\nx-copied: c1\r\nx-copied: c2\r\nX-D: 1\r\nX-D: 2\r\nUser-Agent: godwit\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
	if got != want {
		t.Errorf("fields\n%swant\n%s", got, want)
	}
	if eng.Requests()[0].Method != "get" {
		t.Error("method's case changed")
	}
}

// TestRemovals: what becomes a field goes with it, and what comes later stays.
func TestRemovals(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK(""))), godwit.BaseURL("http://base:p@h/"), godwit.UserInfo("client", "p"), godwit.Cookie("d", "4"))
	basic := func(user string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":p")) }
	for name, row := range map[string]struct {
		url                  string
		opts                 []godwit.Option
		credentials, cookies string
	}{
		"defaults":               {base, nil, basic("client"), "d=4"},
		"two fields":             {base, []godwit.Option{godwit.AddHeader("Cookie", "a=1", "b=2"), godwit.Cookie("c", "3")}, basic("client"), "a=1; b=2; c=3; d=4"},
		"a name in the second":   {base, []godwit.Option{godwit.AddHeader("Cookie", "a=1", "d=2")}, basic("client"), "a=1; d=2"},
		"cookies go":             {base, []godwit.Option{godwit.Cookie("b", "2"), godwit.DelHeader("cookie")}, basic("client"), ""},
		"later cookies stay":     {base, []godwit.Option{godwit.Cookie("b", "2"), godwit.DelHeader("Cookie"), godwit.Cookie("c", "3")}, basic("client"), "c=3"},
		"client's user goes":     {base, []godwit.Option{godwit.DelHeader("authorization")}, "", "d=4"},
		"base's user goes":       {"x", []godwit.Option{godwit.DelHeader("Authorization")}, "", "d=4"},
		"URL's user goes":        {"http://own:p@h/", []godwit.Option{godwit.DelHeader("Authorization")}, "", "d=4"},
		"user of an option goes": {base, []godwit.Option{godwit.UserInfo("own", "p"), godwit.DelHeader("Authorization")}, "", "d=4"},
		"later user stays":       {base, []godwit.Option{godwit.DelHeader("Authorization"), godwit.UserInfo("own", "p")}, basic("own"), "d=4"},
	} {
		for _, req := range []*godwit.Request{godwit.NewRequest("GET", row.url, row.opts...), godwit.NewRequest("GET", row.url).With(row.opts...)} {
			if _, err := c.Do(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			sent := eng.Requests()[len(eng.Requests())-1].Header
			if got := sent.Joined("Authorization"); got != row.credentials {
				t.Errorf("%s: credentials %q, want %q", name, got, row.credentials)
			}
			if got := sent.Joined("Cookie"); got != row.cookies {
				t.Errorf("%s: cookies %q, want %q", name, got, row.cookies)
			}
		}
	}
	if _, err := godwit.Get[string](t.Context(), c, "http://a%3Ab:pw@h/"); err == nil || !strings.Contains(err.Error(), "colon") {
		t.Errorf("user name with a colon: %v", err)
	}
	if _, err := godwit.Get[string](t.Context(), c, "http://a%3Ab:pw@h/", godwit.BearerAuth("t")); err != nil {
		t.Errorf("user name with a colon that is not sent: %v", err)
	}
}

func TestMaxBody(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, answer := range map[string]*mock.Response{
		"announced": mock.OK(long),
		"unknown":   mock.Stream(func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, long); return err }),
	} {
		c, eng := client(t, answers(answer), godwit.MaxBody(999))
		_, err := godwit.Get[string](t.Context(), c, base)
		if !errors.Is(err, godwit.ErrBodyTooLarge) || !strings.Contains(err.Error(), "MaxBody") {
			t.Errorf("%s: %v", name, err)
		}
		eng.AssertBodiesClosed(t)
		c, _ = client(t, answers(answer), godwit.MaxBody(1000))
		if s, err := godwit.Get[string](t.Context(), c, base); err != nil || s != long {
			t.Errorf("%s at the limit: %v", name, err)
		}
	}
}

func TestTruncatedBodyFails(t *testing.T) {
	c, eng := client(t, answers(mock.OK("0123456789").WithTruncation(4), mock.OK("0123456789").WithReset(4)))
	for range 2 {
		_, err := godwit.Get[string](t.Context(), c, base)
		if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpReceive {
			t.Errorf("got %v", err)
		}
	}
	eng.AssertBodiesClosed(t)
}

func TestDropBody(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK("hello"))))
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.DropBody()))
	if err != nil || len(resp.Bytes()) != 0 || resp.Status != 200 {
		t.Errorf("got %v, %v", resp, err)
	}
	eng.AssertBodiesClosed(t)
	if _, err := godwit.Get[string](t.Context(), c, base, godwit.DropBody()); err != nil {
		t.Error(err)
	}
}

func TestNoEngine(t *testing.T) {
	c := godwit.New(godwit.EngineConfig(func(c *engine.Config) { c.MaxHeaderBytes = 7 }))
	defer c.Close()
	if err := c.Err(); err != nil {
		t.Errorf("default engine: %v", err)
	}
	if c.Engine() == nil || c.Engine().Name() != "cio" {
		t.Errorf("default engine is %v", c)
	}
	var e engine.Engine = mock.New()
	c = godwit.New(godwit.WithEngineInstance(e), godwit.EngineConfig(func(*engine.Config) {}))
	defer c.Close()
	if c.Err() == nil {
		t.Error("EngineConfig with an instance is no error")
	}
}

// TestTracesAddUp: the client's hooks and the request's are both called.
func TestTracesAddUp(t *testing.T) {
	var seen []string
	trace := func(who string) *engine.Trace {
		return &engine.Trace{
			GotConn:       func(engine.GotConn) { seen = append(seen, who+" conn") },
			Informational: func(status int, _ header.Header) error { seen = append(seen, fmt.Sprint(who, " ", status)); return nil },
			ConnectDone:   func(string, string, error) {},
		}
	}
	c, _ := client(t, answers(mock.Always(mock.OK("").WithInformational(103))), godwit.Trace(trace("client")))
	for _, opts := range [][]godwit.Option{nil, {godwit.Trace(trace("request"))}, {godwit.Trace(trace("request")), godwit.Timed(true)}, {godwit.Trace(nil)}} {
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base, opts...)); err != nil {
			t.Fatal(err)
		}
	}
	want := "client conn,client 103,client conn,request conn,client 103,request 103,client conn,request conn,client 103,request 103,client conn,client 103"
	if got := strings.Join(seen, ","); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
