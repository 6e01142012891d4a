package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
)

// TestPathParamStaysInItsPlace: a value never becomes a host, a scheme, user info
// or another parameter.
func TestPathParamStaysInItsPlace(t *testing.T) {
	for _, row := range []struct{ url, value, want string }{
		{"{p...}", "http://evil.test/x", "https://api.example/v1/http%3A//evil.test/x"},
		{"{p}", "http:x", "https://api.example/v1/http%3Ax"},
		{"{p...}", "//evil.test/x", "error"},
		{"/{p...}", "/evil.test/x", "error"},
		{"{p}", "", "error"},
		{"/a/{p}", "..", "error"},
		{"/a/{p...}", "b/../c", "error"},
		{"https://{p}.example/", "evil.test:1@", "error"},
		{"https://{p}.example/", "a/b", "error"},
		{"https://{p}.example/", "shop-1", "https://shop-1.example/"},
		{"https://x.{p}", "example", "https://x.example"},
		{"{p}://h/", "http", "error"},
		{"/s?q={p}", "a&admin=1", "https://api.example/s?q=a%26admin%3D1"},
		{"/s?{p}=1", "a=b", "https://api.example/s?a%3Db=1"},
		{"/s#{p}", "a?b", "https://api.example/s#a%3Fb"},
		{"/a/{p}", "b:c", "https://api.example/a/b:c"},
	} {
		got := sentURL(t, row.url, []godwit.ClientOption{godwit.BaseURL("https://api.example/v1/")}, godwit.PathParam("p", row.value))
		if strings.HasPrefix(got, "error: ") {
			got = "error"
		}
		if got != row.want {
			t.Errorf("%s with %q: %s, want %s", row.url, row.value, got, row.want)
		}
	}
	if got := sentURL(t, "", []godwit.ClientOption{godwit.BaseURL("https://h/v1/")}, godwit.Path("users", "7")); got != "https://h/v1/users/7" {
		t.Errorf("Path on the base: %s", got)
	}
	if got := sentURL(t, "../x", []godwit.ClientOption{godwit.BaseURL("https://h/v1/a/")}); got != "https://h/v1/x" {
		t.Errorf("dots on the base: %s", got)
	}
}

func TestPasswordsStayOutOfErrors(t *testing.T) {
	c, _ := client(t, answers(mock.Always(mock.Refused())))
	for _, raw := range []string{
		"http://user:se/cret@host/", "http://user:se#cret@host/", "http://user:se?cret@host/", "user:secret@host",
		"http:/user:secret@host/", "http:user:secret@host", "http://user:secret@host/", "http://user:sec%zzret@host/", "//user:secret@/x",
	} {
		_, err := godwit.Get[string](t.Context(), c, raw)
		_, err2 := godwit.Get[string](t.Context(), c, "x", godwit.BaseURL(raw))
		_, err3 := godwit.Get[string](t.Context(), c, base, godwit.Proxy(raw))
		for _, err := range []error{err, err2, err3} {
			if err == nil || strings.Contains(err.Error(), "cret") || strings.Contains(err.Error(), ":se") {
				t.Errorf("%s: %v", raw, err)
			}
		}
	}
}

// TestPasswordsInParts: a password stays out of errors wherever it is given.
func TestPasswordsInParts(t *testing.T) {
	whole := func(u url.URL) *godwit.Request {
		r := godwit.NewRequest("GET", "")
		r.URL = &u
		return r
	}
	for name, req := range map[string]*godwit.Request{
		"brace in a password":     godwit.NewRequest("GET", "http://ada:{s3cret}@host/"),
		"open brace":              godwit.NewRequest("GET", "http://ada:{s3cret@host/{id}"),
		"brace, slash in it":      godwit.NewRequest("GET", "http://ada:/{s3cret}@host/"),
		"brace in the base":       godwit.NewRequest("GET", "x", godwit.BaseURL("http://ada:{s3cret}@host/")),
		"a host with its user":    godwit.NewRequest("GET", "http://{h}/", godwit.PathParam("h", "ada:s3cret@host")),
		"a base that climbs":      godwit.NewRequest("GET", "x", godwit.BaseURL("{b...}"), godwit.PathParam("b", "http://ada:s3cret@host/../x")),
		"a base begins by slash":  godwit.NewRequest("GET", "x", godwit.BaseURL("{b...}"), godwit.PathParam("b", "//ada:s3cret@host/")),
		"user with a colon":       godwit.NewRequest("GET", "http://ada%3As3cret:x@host/"),
		"in the literal's host":   whole(url.URL{Scheme: "http", Host: "ada:s3cret@127.0.0.1:80"}),
		"host and no port":        whole(url.URL{Scheme: "http", Host: "s3cret@host"}),
		"in the literal's opaque": whole(url.URL{Scheme: "http", Host: "host", Opaque: "//ada:s3cret@host/"}),
		"in the field Host":       godwit.NewRequest("GET", base, godwit.Header("Host", "ada:s3cret@host")),
	} {
		c, eng := client(t, answers(mock.Always(mock.OK(""))))
		_, err := c.Do(t.Context(), req)
		if err == nil || strings.Contains(err.Error(), "s3cret") || len(eng.Requests()) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, location := range []string{"ftp:ada:s3cret@h/", "mailto:ada:s3cret@h", "ftp://ada:s3cret@h/", "http:ada:s3cret@h/", "http:/ada:s3cret@h/x", "http://ada:s3cret@/x"} {
		for _, opt := range []godwit.Option{godwit.MaxRedirects(1), godwit.MaxRedirects(0), godwit.MaxSends(1)} {
			c, _ := client(t, answers(mock.Always(mock.Redirect(location))), opt)
			if _, err := godwit.Get[string](t.Context(), c, base); err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Location %s: %v", location, err)
			}
		}
	}
}

// TestUserInfoInTemplates: values are escaped as a name and a password are.
func TestUserInfoInTemplates(t *testing.T) {
	given := []godwit.Option{godwit.PathParam("user", "ada@home"), godwit.PathParam("pw", "s3/cr#t?!:")}
	for _, url := range []string{"http://{user}:{pw}@host/", "x"} {
		c, eng := client(t, answers(mock.OK("")), godwit.BaseURL("http://{user}:{pw}@host/"))
		if _, err := godwit.Get[string](t.Context(), c, url, given...); err != nil {
			t.Fatal(err)
		}
		req := eng.Requests()[0]
		if want := "Basic YWRhQGhvbWU6czMvY3IjdD8hOg=="; req.Header.Get("Authorization") != want || req.URL.Host != "host" {
			t.Errorf("%s: %s with %s", url, req.URL, req.Header)
		}
	}
}

// TestRequestsInLogs: a request that is printed shows its method and URL alone.
func TestRequestsInLogs(t *testing.T) {
	secrets := godwit.All(godwit.Header("X-Key", "s3cret"), godwit.Body("s3cret"), godwit.UserInfo("ada", "s3cret"))
	var sent *godwit.Request
	c, _ := client(t, answers(mock.OK("")), godwit.BaseURL("http://ada:s3cret@host/"), godwit.On(func(_ context.Context, e godwit.Sending) { sent = e.Request }))
	resp, err := c.Do(t.Context(), godwit.NewRequest("PUT", "x?q=1", godwit.Header("X-Key", "s3cret")))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		req  *godwit.Request
		want string
	}{
		{godwit.NewRequest("POST", "http://ada:s3cret@host/x", secrets), "POST http://host/x"},
		{godwit.NewRequest("", "http://ada:s3cret@host/{id}", secrets), "GET http://host/{id}"},
		{godwit.NewRequest("GE T", "//ada:s3cret@host/\n"), `"GE T" host/` + "\uFFFD"},
		{resp.Request(), "PUT http://host/x?q=1"},
		{sent, "PUT http://host/x?q=1"},
		{&godwit.Request{}, "GET"},
	} {
		var text, asJSON strings.Builder
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "req", row.req)
		slog.New(slog.NewJSONHandler(&asJSON, nil)).Info("m", "req", row.req)
		shown := []string{fmt.Sprint(row.req), fmt.Sprintf("%+v", row.req), row.req.String(), fmt.Sprintf("%v", *row.req)}
		for _, s := range shown {
			if s != row.want {
				t.Errorf("%s, want %s", s, row.want)
			}
		}
		all := fmt.Sprintf("%#v %#v %v", row.req, *row.req, struct{ R *godwit.Request }{row.req}) + text.String() + asJSON.String()
		if strings.Contains(all, "s3cret") || strings.Contains(all, "0x") {
			t.Error(all)
		}
	}
	if s := fmt.Sprintf("%v %+v", *resp, resp); strings.Contains(s, "s3cret") {
		t.Error(s)
	}
}

func TestPanickingHandlersLeaveNothing(t *testing.T) {
	for name, opt := range map[string]godwit.Option{
		"error handler": godwit.OnError(func(context.Context, *godwit.Request, error) error { panic("h") }),
		"validator":     godwit.Validate(func(context.Context, *godwit.Response) error { panic("h") }),
		"listener":      godwit.On(func(context.Context, godwit.Cancelled) { panic("h") }),
	} {
		c, eng := client(t, answers(mock.Always(mock.OK(""))))
		func() {
			defer func() { recover() }()
			fail := godwit.Validate(func(context.Context, *godwit.Response) error { return context.Canceled })
			c.Do(t.Context(), godwit.NewRequest("GET", base, opt, fail))
			t.Errorf("%s: the panic was swallowed", name)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if err := c.Join(ctx); err != nil {
			t.Errorf("%s: a call still runs", name)
		}
		cancel()
		eng.AssertBodiesClosed(t)
	}
}

// TestReaderIsSentOnce: a reader sent twice is an error, not an empty body.
func TestReaderIsSentOnce(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, func(t *testing.T, c *godwit.Client, url string) {
		req := godwit.NewRequest("POST", url, godwit.Body(io.MultiReader(strings.NewReader("once"))))
		if resp, err := c.Do(t.Context(), req); err != nil || resp.Text() != "once" {
			t.Fatal(err)
		}
		if _, err := c.Do(t.Context(), req); !errors.Is(err, godwit.ErrNotReplayable) {
			t.Errorf("second time: %v", err)
		}
	})
}

func TestCallersDeadlineWithCause(t *testing.T) {
	budget := errors.New("budget")
	virtual(t, answers(mock.Always(mock.Hang())), func(t *testing.T, c *godwit.Client) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, budget)
		defer cancel()
		_, err := godwit.Get[string](ctx, c, base)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, budget) || errors.Is(err, context.Canceled) || !err.(*godwit.Error).Timeout() {
			t.Errorf("got %v", err)
		}
	})
}

// TestStreamsEndWithTheirCall: a body that nobody reads or closes does not outlive
// the caller's context, the timeouts, or Call.Cancel.
func TestStreamsEndWithTheirCall(t *testing.T) {
	stall := mock.OK("0123456789").WithStall(2)
	for name, row := range map[string]struct {
		opts []godwit.Option
		end  func(resp *godwit.Response, cancel func())
		is   error
	}{
		"context":        {nil, func(_ *godwit.Response, cancel func()) { cancel() }, context.Canceled},
		"Call.Cancel":    {nil, func(r *godwit.Response, _ func()) { r.Call().Cancel() }, context.Canceled},
		"Timeout":        {[]godwit.Option{godwit.Timeout(time.Second)}, func(*godwit.Response, func()) { time.Sleep(2 * time.Second) }, context.DeadlineExceeded},
		"AttemptTimeout": {[]godwit.Option{godwit.AttemptTimeout(time.Second)}, func(*godwit.Response, func()) { time.Sleep(2 * time.Second) }, context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			eng := mock.New(stall)
			defer eng.Close()
			c := godwit.New(godwit.WithEngineInstance(eng))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			resp, err := c.Open(ctx, godwit.NewRequest("GET", base, row.opts...))
			if err != nil {
				t.Fatal(err)
			}
			row.end(resp, cancel)
			synctest.Wait()
			<-resp.Call().Done()
			if err := resp.Call().Err(); !errors.Is(err, row.is) {
				t.Errorf("%s: call ended with %v", name, err)
			}
			c.Close()
			if err := c.Join(t.Context()); err != nil {
				t.Error(err)
			}
			eng.AssertBodiesClosed(t)
			if _, err := io.ReadAll(resp.Body); !errors.Is(err, row.is) {
				t.Errorf("%s: read says %v", name, err)
			}
		})
	}
}

// TestBadStatusWithBadBody: the status is told whatever became of its body.
func TestBadStatusWithBadBody(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	for name, row := range map[string]struct {
		answer mock.Handler
		is     error
	}{
		"too large": {mock.Text(500, long), godwit.ErrBodyTooLarge},
		"truncated": {mock.Text(500, "0123456789").WithTruncation(4), io.ErrUnexpectedEOF},
		"corrupt":   {mock.Text(500, "no gzip at all").WithHeader("Content-Encoding", "gzip"), nil},
	} {
		c, eng := client(t, answers(mock.Always(row.answer)), godwit.MaxBody(1<<20))
		_, err := godwit.Get[string](t.Context(), c, base)
		err2 := c.Stream(t.Context(), godwit.NewRequest("GET", base, godwit.ExpectSuccess(true)), func(*godwit.Response) error { return nil })
		for _, err := range []error{err, err2} {
			se, ok := errors.AsType[*godwit.StatusError](err)
			if !ok || se.Response.Status != 500 || se.BodyErr == nil || row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("%s: %v", name, err)
			}
			if name == "truncated" && ok && string(se.Response.Bytes()) != "0123" || name == "too large" && ok && len(se.Response.Bytes()) > 1<<20 {
				t.Errorf("%s: kept %d bytes", name, len(se.Response.Bytes()))
			}
		}
		eng.AssertBodiesClosed(t)
	}
}

func TestTrailersAreChecked(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, func(t *testing.T, c *godwit.Client, url string) {
		for name, h := range map[string]header.Header{
			"line break":  header.New("X-Sum", "1\r\nInj: 1"),
			"unannounced": header.New("X-Sum", "1", "X-Other", "2"),
		} {
			body := content.WithTrailers(content.Text("abc"), []string{"X-Sum"}, func() header.Header { return h })
			if _, err := c.Do(t.Context(), godwit.NewRequest("POST", url, godwit.Body(body))); err == nil {
				t.Errorf("%s: sent", name)
			}
		}
		bad := content.WithTrailers(content.Text("abc"), []string{"X Sum"}, func() header.Header { return header.Header{} })
		for name, req := range map[string]*godwit.Request{
			"name":     godwit.NewRequest("POST", url, godwit.Body(bad)),
			"protocol": godwit.NewRequest("GET", url, godwit.Upgrade("a b, c")),
			"version":  godwit.NewRequest("GET", url, godwit.Upgrade("a/")),
			"nameless": godwit.NewRequest("GET", url, godwit.Upgrade("/1")),
		} {
			_, err := c.Open(t.Context(), req)
			if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op != engine.OpBuild {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestClientContentTypeYields(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK(""))), godwit.ContentType("application/json"))
	form := content.Multipart(content.Field("a", "b"))
	for _, row := range []struct {
		body any
		want string
	}{
		{form, form.ContentType()}, {url.Values{"a": {"b"}}, "application/x-www-form-urlencoded"}, {"{}", "application/json"},
		{[]byte("{}"), "application/json"}, {user{}, "application/json"}, {nil, ""},
	} {
		if _, err := godwit.Post[string](t.Context(), c, base, row.body); err != nil {
			t.Fatal(err)
		}
		if got := eng.Requests()[len(eng.Requests())-1].Header.Get("Content-Type"); got != row.want {
			t.Errorf("%T: %q, want %q", row.body, got, row.want)
		}
	}
	if _, err := godwit.Post[string](t.Context(), c, base, form, godwit.ContentType("multipart/form-data; boundary=zzz")); err == nil {
		t.Error("a wrong boundary is sent")
	}
}

func TestSwitchesAndRemovals(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK("x"))), godwit.DropBody(), godwit.NoStaleRetry(), godwit.RawHead(), godwit.Timed(), godwit.AnyContentType(), godwit.Header("X-D", "1"))
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base, godwit.DropBody(false), godwit.RawHead(false), godwit.NoStaleRetry(false), godwit.Timed(false),
		godwit.DelHeader("X-D"), godwit.DelHeader("User-Agent"), godwit.DelHeader("Accept"), godwit.DelHeader("Accept-Encoding")))
	if err != nil || resp.Text() != "x" || resp.RawHead() != nil || !resp.Call().Timings().Start.IsZero() {
		t.Errorf("%v, %v", resp, err)
	}
	if r := eng.Requests()[0]; r.Header.Len() != 0 || r.NoStaleRetry {
		t.Errorf("sent %s", r.Header)
	}
}

func TestNilArguments(t *testing.T) {
	var noContext context.Context
	for name, opt := range map[string]godwit.ClientOption{
		"Validate": godwit.Validate(nil), "OnError": godwit.OnError(nil), "Bind": godwit.Bind(noContext), "EngineConfig": godwit.EngineConfig(nil),
		"On": godwit.On[godwit.Created](nil), "typed nil plugin": godwit.Install((*closingPointer)(nil)), "WithEngine": godwit.WithEngine(nil),
		"WithCodec": godwit.WithCodec(nil), "reserved name": godwit.Install(godwit.PluginFunc("godwit", func(*godwit.Scope) error { return nil })),
	} {
		c := godwit.New(godwit.WithEngineInstance(mock.New()), opt)
		if c.Err() == nil {
			t.Errorf("%s: no error", name)
		}
		c.Close()
	}
	c := godwit.New(godwit.WithEngineInstance(mock.New()), nil, godwit.All(nil, godwit.Header("A", "b")))
	if c.Err() != nil {
		t.Error(c.Err())
	}
	c.Close()
}

type closingPointer struct{}

func (*closingPointer) Name() string                { return "p" }
func (*closingPointer) Install(*godwit.Scope) error { return nil }

// TestHandMadeResponses: an interceptor may return a bare literal.
func TestHandMadeResponses(t *testing.T) {
	for name, resp := range map[string]*godwit.Response{
		"literal": {Status: 200}, "with body": {Status: 200, Body: io.NopCloser(strings.NewReader("x")), ContentLength: -1},
		"NewResponse(nil)": godwit.NewResponse(nil, 200, header.Header{}, []byte("x")),
	} {
		c, _ := client(t, nil, godwit.Intercept(godwit.SendCache, func(context.Context, *godwit.Request, godwit.Handler) (*godwit.Response, error) { return resp, nil }))
		if _, err := godwit.Get[string](t.Context(), c, base); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := c.Stream(t.Context(), godwit.NewRequest("GET", base), func(r *godwit.Response) error {
			_, err := io.ReadAll(r.Body)
			return err
		})
		if err != nil {
			t.Errorf("%s, streamed: %v", name, err)
		}
	}
}

// TestHandMadeAtTheEngine: what stands around it needs no more than the literal.
func TestHandMadeAtTheEngine(t *testing.T) {
	for name, row := range map[string]struct {
		first *godwit.Response
		want  string
	}{
		"a redirect": {&godwit.Response{Status: 302, Header: header.New("Location", "/next")}, "second"},
		"a body":     {&godwit.Response{Status: 200, Body: io.NopCloser(strings.NewReader("first"))}, "first"},
	} {
		n := 0
		c, _ := client(t, answers(mock.Always(mock.OK("second"))), godwit.Intercept(godwit.SendEngine,
			func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
				if n++; n == 1 {
					return row.first, nil
				}
				return next(ctx, req)
			}))
		if got, err := godwit.Get[string](t.Context(), c, base); err != nil || got != row.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestLengthOfNothing: what is not there has a length, and what was not decoded
// keeps its own.
func TestLengthOfNothing(t *testing.T) {
	c, _ := client(t, answers(mock.Status(204).WithLength(-1)))
	if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); err != nil || resp.ContentLength != 0 {
		t.Errorf("204: length %d, %v", resp.ContentLength, err)
	}
	c, _ = client(t, answers(mock.OK("0123").WithHeader("Content-Encoding", "identity")))
	if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base)); err != nil || resp.ContentLength != 4 || resp.Decoded != nil {
		t.Errorf("identity: length %d, %v", resp.ContentLength, err)
	}
}

func TestHandlersSeeEveryFailure(t *testing.T) {
	var seen int
	c, _ := client(t, answers(mock.OK("0123").WithTruncation(2)), godwit.OnError(func(context.Context, *godwit.Request, error) error { seen++; return nil }))
	c.Do(t.Context(), godwit.NewRequest("GET", "http://a b/"))
	done, cancel := context.WithCancel(t.Context())
	cancel()
	c.Do(done, godwit.NewRequest("GET", base))
	c.Stream(t.Context(), godwit.NewRequest("GET", base), func(r *godwit.Response) error { _, err := io.ReadAll(r.Body); return err })
	c.Close()
	c.Do(t.Context(), godwit.NewRequest("GET", base))
	if seen != 4 {
		t.Errorf("%d of 4 failures were seen", seen)
	}
}

func TestHostFieldOverRedirects(t *testing.T) {
	c, eng := client(t, answers(to(302, "/same"), to(302, "http://other.test/"), mock.OK("")))
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://u:p@a.test/", godwit.Header("Host", "virtual.test"))); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"virtual.test", "virtual.test", ""} {
		if got := eng.Requests()[i].Header.Get("Host"); got != want {
			t.Errorf("hop %d: Host %q", i, got)
		}
	}
}

// TestReadAfterEnd: what a body ended with is what all further reads tell.
func TestReadAfterEnd(t *testing.T) {
	broken := errors.New("broken")
	for name, row := range map[string]struct {
		answer mock.Handler
		want   error
	}{
		"end":     {mock.OK("7"), io.EOF},
		"failure": {mock.Stream(func(_ context.Context, w io.Writer) error { io.WriteString(w, "7"); return broken }), broken},
	} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			c, _ := client(t, answers(row.answer), godwit.On(func(context.Context, godwit.ReceiveFailed) { failed++ }))
			resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Close()
			var one [1]byte
			if _, err := io.ReadFull(resp.Body, one[:]); err != nil || one[0] != '7' {
				t.Fatalf("%q, %v", one, err)
			}
			for range 3 {
				if n, err := resp.Body.Read(one[:]); n != 0 || !errors.Is(err, row.want) {
					t.Errorf("read %d, %v, want %v", n, err, row.want)
				}
			}
			switch n, err := io.Copy(io.Discard, resp.Body); {
			case n != 0, row.want == io.EOF && err != nil, row.want != io.EOF && !errors.Is(err, row.want):
				t.Errorf("copied %d, %v", n, err)
			}
			if want := map[bool]int{false: 1}[row.want == io.EOF]; failed != want {
				t.Errorf("ReceiveFailed was raised %d times, want %d", failed, want)
			}
		})
	}
}
