package godwit_test

import (
	"fmt"
	"net/url"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/header"
)

func ExampleNewRequest() {
	req := godwit.NewRequest("GET", "/users/{id}", godwit.PathParam("id", "a/b"), godwit.Param("full", true))
	fmt.Println(req.Method, req.URL, req.Err())

	// An error is kept: Do, Stream and Open return it before any I/O.
	req = godwit.NewRequest("GET", "https://example.org/", godwit.Header("bad name", "x"))
	fmt.Println(req.Err() != nil)
	// Output:
	// GET /users/a%2Fb?full=true <nil>
	// true
}

func ExampleRequest_With() {
	req := godwit.NewRequest("GET", "https://example.org/users")
	req.With(godwit.Param("page", 2), godwit.Accept("application/json"))
	fmt.Println(req.URL, req.Header.Get("Accept"))
	// Output: https://example.org/users?page=2 application/json
}

func ExampleRequest_Clone() {
	req := godwit.NewRequest("GET", "https://example.org/", godwit.Header("X-Try", "1"))
	again := req.Clone()
	again.Header.Set("X-Try", "2")
	fmt.Println(req.Header.Get("X-Try"), again.Header.Get("X-Try"))
	// Output: 1 2
}

func ExampleHeader() {
	sent(godwit.Header("Accept-Language", "de"), godwit.Header("accept-language", "en")) // the last one counts
	// Output:
	// GET https://example.org/a
	// accept-language: en
}

func ExampleAddHeader() {
	sent(godwit.AddHeader("X-Tag", "red", "green"), godwit.AddHeader("X-Tag", "blue"))
	// Output:
	// GET https://example.org/a
	// X-Tag: red
	// X-Tag: green
	// X-Tag: blue
}

func ExampleAddHeaders() {
	sent(godwit.AddHeaders(header.New("X-A", "1", "x-B", "2"))) // order and case stay
	// Output:
	// GET https://example.org/a
	// X-A: 1
	// x-B: 2
}

func ExampleDelHeader() {
	common := godwit.All(godwit.Header("X-A", "1"), godwit.Header("X-B", "2"))
	sent(common, godwit.DelHeader("X-A"))
	// Output:
	// GET https://example.org/a
	// X-B: 2
}

func ExampleCookie() {
	sent(godwit.Cookie("theme", "dark"), godwit.Cookie("id", "7"))
	// Output:
	// GET https://example.org/a
	// Cookie: theme=dark; id=7
}

func ExampleCookie_client() {
	c := godwit.New(godwit.WithEngineInstance(echo()), godwit.Cookie("theme", "dark")) // with every request
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/", godwit.Cookie("id", "7")))
	// Output:
	// GET https://example.org/
	// Cookie: id=7; theme=dark <nil>
}

func ExampleContentType() {
	sent(godwit.Body(`{"id":7}`), godwit.ContentType("application/vnd.user+json"))
	// Output:
	// GET https://example.org/a
	// Content-Type: application/vnd.user+json
	// {"id":7}
}

func ExampleAccept() {
	sent(godwit.Accept("text/csv", "text/plain;q=0.5"))
	// Output:
	// GET https://example.org/a
	// Accept: text/csv, text/plain;q=0.5
}

func ExampleUserAgent() {
	sent(godwit.UserAgent("crane/1.0"))
	// Output:
	// GET https://example.org/a
	// User-Agent: crane/1.0
}

func ExampleBasicAuth() {
	sent(godwit.BasicAuth("ada", "secret"))
	// Output:
	// GET https://example.org/a
	// Authorization: Basic YWRhOnNlY3JldA==
}

func ExampleBearerAuth() {
	sent(godwit.BearerAuth("t0ken"))
	// Output:
	// GET https://example.org/a
	// Authorization: Bearer t0ken
}

func ExampleUserInfo() {
	sent(godwit.UserInfo("ada", "secret")) // never shown in errors or logs
	// Output:
	// GET https://example.org/a
	// Authorization: Basic YWRhOnNlY3JldA==
}

func ExampleBody() {
	sent(godwit.Body(User{7, "Ada"}))
	// Output:
	// GET https://example.org/a
	// Content-Type: application/json
	// {"id":7,"name":"Ada"}
}

func ExamplePath() {
	sent(godwit.Path("red bird", "1/2")) // each segment escaped, slashes included
	// Output:
	// GET https://example.org/a/red%20bird/1%2F2
}

func ExamplePathParam() {
	req := godwit.NewRequest("GET", "/files/{name}/{path...}", godwit.PathParam("name", "a/b"), godwit.PathParam("path", "c/d e"))
	fmt.Println(req.URL)
	// Output: /files/a%2Fb/c/d%20e
}

func ExampleParam() {
	var none *int
	sent(godwit.Param("q", "two words"), godwit.Param("id", []int{1, 2}), godwit.Param("left", none))
	// Output: GET https://example.org/a?q=two+words&id=1&id=2
}

func ExampleParams() {
	search := struct {
		Text string `form:"q"`
		Page int    `form:"page,omitempty"`
	}{Text: "godwit"}
	sent(godwit.Params(search))
	sent(godwit.Params(url.Values{"q": {"godwit"}, "page": {"2"}}))
	// Output:
	// GET https://example.org/a?q=godwit
	// GET https://example.org/a?page=2&q=godwit
}

func ExampleFragment() {
	req := godwit.NewRequest("GET", "https://example.org/page", godwit.Fragment("top"))
	fmt.Println(req.URL)
	// Output: https://example.org/page#top
}

func ExampleBaseURL() {
	c := godwit.New(godwit.WithEngineInstance(echo()), godwit.BaseURL("https://api.example.org/v1/?key=k"))
	defer c.Close()

	for _, ref := range []string{"users", "users?page=2", "/root", "https://other.example/"} {
		fmt.Println(godwit.Get[string](ctx, c, ref))
	}
	// Output:
	// GET https://api.example.org/v1/users?key=k <nil>
	// GET https://api.example.org/v1/users?page=2&key=k <nil>
	// GET https://api.example.org/root?key=k <nil>
	// GET https://other.example/ <nil>
}

func ExampleAll() {
	german := godwit.All(godwit.Header("Accept-Language", "de"), godwit.Param("region", "DE"))
	sent(german)
	// Output:
	// GET https://example.org/a?region=DE
	// Accept-Language: de
}

func ExampleAttribute() {
	tenant := attr.NewKey[string]("tenant")
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/", godwit.Attribute(tenant, "north"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tenant.Get(resp.Call().Attributes()))
	// Output: north true
}

func ExampleFollowRedirects() {
	c := godwit.New(godwit.WithEngineInstance(moved()))
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/old", godwit.FollowRedirects(false))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Status, resp.Header.Get("Location"))
	// Output: 307 Temporary Redirect /new
}

func ExampleCall_History() {
	c := godwit.New(godwit.WithEngineInstance(moved()))
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/old")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, hop := range resp.Call().History() {
		fmt.Println(hop.Method, hop.URL, hop.Status)
	}
	fmt.Println(resp.Request().URL, resp.Text())
	// Output:
	// GET https://example.org/old 307 Temporary Redirect
	// https://example.org/new here
}

func ExampleMaxRedirects() {
	c := godwit.New(godwit.WithEngineInstance(moved()), godwit.MaxRedirects(0))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/old")
	fmt.Println(err)
	// Output: godwit: GET https://example.org/old: receive: too many redirects: the limit is 0 (see godwit.MaxRedirects); the next is to https://example.org/new
}

func ExampleAllowHTTPSDowngrade() {
	c := godwit.New(godwit.WithEngineInstance(downgrading()))
	defer c.Close()

	status, _ := godwit.Get[godwit.Status](ctx, c, "https://example.org/")
	fmt.Println(status) // the redirect itself
	text, err := godwit.Get[string](ctx, c, "https://example.org/", godwit.AllowHTTPSDowngrade(true))
	fmt.Println(text, err)
	// Output:
	// 307 Temporary Redirect
	// plain <nil>
}
