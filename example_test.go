package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

// ctx stands for the context that a real caller has.
var ctx = context.Background()

// User is what the examples send and receive.
type User struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// ada answers every request with the same user.
func ada() *mock.Engine { return mock.Serve(mock.JSON(200, User{7, "Ada"})) }

// echo answers with the request as it was sent, but for the fields that godwit
// adds to every request.
func echo() *mock.Engine {
	return mock.Serve(mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
		var b strings.Builder
		fmt.Fprintln(&b, r.Method, r.URL)
		for name, value := range r.Header.All() {
			if !slices.Contains([]string{"User-Agent godwit", "Accept */*", "Accept-Encoding gzip, deflate"}, name+" "+value) {
				fmt.Fprintf(&b, "%s: %s\n", name, value)
			}
		}
		b.WriteString(r.Text())
		return mock.OK(strings.TrimSpace(b.String())), nil
	}))
}

// sent shows what goes to the server for a request with these options.
func sent(opts ...godwit.Option) {
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()
	text, err := godwit.Get[string](ctx, c, "https://example.org/a", opts...)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(text)
}

func Example() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	user, err := godwit.Get[User](ctx, c, "https://example.org/users/{id}", godwit.PathParam("id", 7))
	fmt.Println(user, err)
	// Output: {7 Ada} <nil>
}

func ExampleGet() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	user, _ := godwit.Get[User](ctx, c, "https://example.org/users/7")             // JSON
	text, _ := godwit.Get[string](ctx, c, "https://example.org/users/7")           // text
	bytes, _ := godwit.Get[[]byte](ctx, c, "https://example.org/users/7")          // as it came
	resp, _ := godwit.Get[*godwit.Response](ctx, c, "https://example.org/users/7") // all of it
	status, _ := godwit.Get[godwit.Status](ctx, c, "https://example.org/users/7")  // any status
	fmt.Println(user.Name, text, len(bytes), resp.Header.Get("Content-Type"), status)
	// Output: Ada {"id":7,"name":"Ada"} 21 application/json 200 OK
}

func ExamplePost() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	made, err := godwit.Post[User](ctx, c, "https://example.org/users", User{Name: "Ada"})
	fmt.Println(made, err)
	// Output: {7 Ada} <nil>
}

func ExamplePut() {
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()

	fmt.Println(godwit.Put[string](ctx, c, "https://example.org/users/7", User{7, "Ada"}))
	// Output:
	// PUT https://example.org/users/7
	// Content-Type: application/json
	// {"id":7,"name":"Ada"} <nil>
}

func ExamplePatch() {
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()

	change := map[string]string{"name": "Ada"}
	fmt.Println(godwit.Patch[string](ctx, c, "https://example.org/users/7", change, godwit.ContentType("application/merge-patch+json")))
	// Output:
	// PATCH https://example.org/users/7
	// Content-Type: application/merge-patch+json
	// {"name":"Ada"} <nil>
}

func ExampleDelete() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Status(204))))
	defer c.Close()

	_, err := godwit.Delete[godwit.None](ctx, c, "https://example.org/users/7")
	fmt.Println(err)
	// Output: <nil>
}

func ExampleHead() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Status(200).WithHeader("Content-Length", "5000"))))
	defer c.Close()

	resp, err := godwit.Head[*godwit.Response](ctx, c, "https://example.org/large")
	fmt.Println(resp.ContentLength, len(resp.Bytes()), err)
	// Output: 5000 0 <nil>
}

func ExampleOptions() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Status(204).WithHeader("Allow", "GET, PUT"))))
	defer c.Close()

	resp, err := godwit.Options[*godwit.Response](ctx, c, "https://example.org/users/7")
	fmt.Println(resp.Header.Get("Allow"), err)
	// Output: GET, PUT <nil>
}

func ExampleQuery() {
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()

	fmt.Println(godwit.Query[string](ctx, c, "https://example.org/users", "name = 'Ada'", godwit.ContentType("application/sql")))
	// Output:
	// QUERY https://example.org/users
	// Content-Type: application/sql
	// name = 'Ada' <nil>
}

func ExampleSend() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	req := godwit.NewRequest("REPORT", "https://example.org/users/7", godwit.Header("Depth", "1"))
	user, err := godwit.Send[User](ctx, c, req)
	fmt.Println(user, err)
	// Output: {7 Ada} <nil>
}

func ExampleAs() {
	c := godwit.New(godwit.WithEngineInstance(ada()))
	defer c.Close()

	resp, err := c.Do(ctx, godwit.NewRequest("GET", "https://example.org/users/7"))
	if err != nil {
		fmt.Println(err)
		return
	}
	user, err := godwit.As[User](ctx, resp) // any number of times, also as other types
	fmt.Println(user, err)
	// Output: {7 Ada} <nil>
}

func ExampleClient_Do() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Text(404, "not here"))))
	defer c.Close()

	resp, err := c.Do(ctx, godwit.NewRequest("PROPFIND", "https://example.org/a", godwit.Header("Depth", "1")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Status, resp.Text()) // any status; nothing to close
	// Output: 404 Not Found not here
}

func ExampleClient_Stream() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("a long text"))))
	defer c.Close()

	var n int64
	err := c.Stream(ctx, godwit.NewRequest("GET", "https://example.org/large"), func(resp *godwit.Response) (err error) {
		n, err = io.Copy(io.Discard, resp.Body) // closed for you
		return err
	})
	fmt.Println(n, err)
	// Output: 11 <nil>
}

func ExampleClient_Open() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("a long text"))))
	defer c.Close()

	resp, err := c.Open(ctx, godwit.NewRequest("GET", "https://example.org/large"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Close() // what Open returns is yours to close
	first := make([]byte, 6)
	_, err = io.ReadFull(resp.Body, first)
	fmt.Printf("%s, %v\n", first, err)
	// Output: a long, <nil>
}

func ExampleResponse_Discard() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("of no interest"))))
	defer c.Close()

	resp, err := c.Open(ctx, godwit.NewRequest("GET", "https://example.org/"))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Discard() // little is read, so that the connection is used again; much is not
	fmt.Println(resp.Status)
	// Output: 200 OK
}

func ExampleResponse() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("hello").WithTrailer("Checksum", "x"))))
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Status, resp.Proto, resp.Header.Get("Content-Type"), resp.Trailer().Get("Checksum"))
	fmt.Println(resp.Request().Method, resp.Call().Sends(), !resp.ResponseTime.Before(resp.RequestTime))
	// Output:
	// 200 OK HTTP/1.1 text/plain; charset=utf-8 x
	// GET 1 true
}

func ExampleResponse_ContentType() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("x").WithHeader(
		"ETag", `"v7"`, "Last-Modified", "Tue, 01 Sep 2026 10:00:00 GMT", "Expires", "Tue, 01 Sep 2026 11:00:00 GMT",
		"Vary", "Accept, Accept-Language", "Set-Cookie", "id=7; Path=/; HttpOnly"))))
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/")
	if err != nil {
		fmt.Println(err)
		return
	}
	mediaType, _ := resp.ContentType()
	tag, _ := resp.ETag()
	fmt.Println(mediaType.Essence(), resp.Charset(), resp.ContentLength, tag, resp.Vary())
	fmt.Println(resp.Expires().Sub(resp.LastModified()), resp.SetCookies()[0].Name)
	// Output:
	// text/plain utf-8 1 "v7" [Accept Accept-Language]
	// 1h0m0s id
}

func ExampleResponse_OnClose() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("hello"))))
	defer c.Close()

	err := c.Stream(ctx, godwit.NewRequest("GET", "https://example.org/"), func(resp *godwit.Response) error {
		resp.OnClose(func(err error) { fmt.Println("the body has ended:", err) })
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	})
	fmt.Println(err)
	// Output:
	// the body has ended: <nil>
	// <nil>
}

func ExampleNewResponse() {
	resp := godwit.NewResponse(nil, godwit.StatusOK, mock.OK("").Header, []byte("from a cache"))
	fmt.Println(resp.Status, resp.Text())
	// Output: 200 OK from a cache
}

func ExampleStatus() {
	s := godwit.Status(404)
	fmt.Println(s, s == godwit.StatusNotFound, s.IsSuccess(), s.IsClientError())
	// Output: 404 Not Found true false true
}

func ExampleError() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Refused())))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://user:secret@example.org/")
	if failed, ok := errors.AsType[*godwit.Error](err); ok {
		fmt.Println(failed.Op, failed.Method, failed.URL, failed.Attempt)
	}
	// Output: connect GET https://example.org/ 1
}

func ExampleStatusError() {
	problem := mock.Bytes(404, "application/problem+json", []byte(`{"title":"No such user","id":9}`))
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(problem)))
	defer c.Close()

	_, err := godwit.Get[User](ctx, c, "https://example.org/users/9")
	if failed, ok := errors.AsType[*godwit.StatusError](err); ok {
		fmt.Println(failed.Response.Status, failed.Problem.Title, string(failed.Problem.Extensions["id"]))
	}
	fmt.Println(err)
	// Output:
	// 404 Not Found No such user 9
	// godwit: GET https://example.org/users/9: status 404 Not Found: No such user
}

func ExampleDecodeError() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Bytes(200, "text/html", []byte("<p>Log in first</p>")))))
	defer c.Close()

	_, err := godwit.Get[User](ctx, c, "https://example.org/users/7")
	if failed, ok := errors.AsType[*godwit.DecodeError](err); ok {
		fmt.Println(failed.Type, "from", failed.ContentType, failed.Snippet)
	}
	// Output: godwit_test.User from text/html "<p>Log in first</p>"
}

// moved redirects from /old to /new.
func moved() *mock.Engine {
	return mock.New(
		mock.When(mock.Path("/old")).Reply(mock.Redirect("/new")),
		mock.When(mock.Path("/new")).Reply(mock.OK("here")),
	)
}

// downgrading redirects from https to http.
func downgrading() *mock.Engine {
	return mock.Serve(mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
		if r.URL.Scheme == "https" {
			return mock.Redirect("http://example.org/"), nil
		}
		return mock.OK("plain"), nil
	}))
}
