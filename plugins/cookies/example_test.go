package cookies_test

import (
	"context"
	"fmt"
	"net/url"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/cookies"
)

// A server that greets who has logged in.
func greeter() godwit.ClientOption {
	return godwit.WithEngine(mock.Config{Handlers: []mock.Handler{
		mock.When(mock.Path("/login")).Reply(mock.Redirect("/").WithHeader("Set-Cookie", "user=Ada; Path=/; Secure; HttpOnly", "Set-Cookie", "lang=en; Max-Age=3600")),
		mock.Always(mock.Func(func(_ context.Context, req *mock.Request) (*mock.Response, error) {
			return mock.Text(200, "Cookie: "+req.Header.Get("Cookie")), nil
		})),
	}})
}

func Example() {
	ctx := context.Background()
	c := godwit.New(greeter(), godwit.Install(cookies.New(cookies.Config{})))
	defer c.Close()

	text, err := godwit.Get[string](ctx, c, "https://example.org/login")
	fmt.Println(text, err)
	text, err = godwit.Get[string](ctx, c, "https://example.org/", godwit.Cookie("lang", "de"))
	fmt.Println(text, err)
	text, err = godwit.Get[string](ctx, c, "http://example.org/")
	fmt.Println(text, err)
	// Output:
	// Cookie: user=Ada; lang=en <nil>
	// Cookie: lang=de; user=Ada <nil>
	// Cookie: lang=en <nil>
}

// Several sessions share a client.
func ExampleUse() {
	ctx := context.Background()
	c := godwit.New(greeter(), godwit.Install(cookies.New(cookies.Config{})))
	defer c.Close()

	ada, guest := cookies.Use(new(cookies.Memory)), cookies.Use(new(cookies.Memory))
	if _, err := godwit.Get[string](ctx, c, "https://example.org/login", ada); err != nil {
		fmt.Println(err)
	}
	text, err := godwit.Get[string](ctx, c, "https://example.org/", ada)
	fmt.Println(text, err)
	text, err = godwit.Get[string](ctx, c, "https://example.org/", guest)
	fmt.Println(text, err)
	// Output:
	// Cookie: user=Ada; lang=en <nil>
	// Cookie:  <nil>
}

func ExamplePlugin_Cookies() {
	ctx := context.Background()
	jar := cookies.New(cookies.Config{})
	u, err := url.Parse("https://www.example.org/")
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := jar.SetCookies(ctx, u, "id=7; Domain=example.org; SameSite=Lax"); err != nil {
		fmt.Println(err)
		return
	}
	kept, err := jar.Cookies(ctx, u)
	for _, cookie := range kept {
		fmt.Println(cookie.Name, cookie.Value, cookie.Domain, cookie.SameSite, err)
	}
	// Output: id 7 example.org Lax <nil>
}

func ExampleConstant() {
	fixed := cookies.Constant(cookies.Cookie{Name: "consent", Value: "no"}, cookies.Cookie{Name: "key", Value: "k", Domain: "example.org"})
	c := godwit.New(greeter(), godwit.Install(cookies.New(cookies.Config{Storage: fixed})))
	defer c.Close()
	for _, u := range []string{"https://example.org/", "https://example.com/"} {
		text, err := godwit.Get[string](context.Background(), c, u)
		fmt.Println(text, err)
	}
	// Output:
	// Cookie: consent=no; key=k <nil>
	// Cookie: consent=no <nil>
}
