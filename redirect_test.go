package godwit_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

func to(status int, location string) mock.Handler {
	return mock.Text(status, "moved").WithHeader("Location", location)
}

func TestRedirectMethods(t *testing.T) {
	for _, row := range []struct {
		status         int
		method, body   string
		want, wantBody string
	}{
		{301, "GET", "", "GET", ""},
		{301, "POST", "b", "GET", ""},
		{302, "POST", "b", "GET", ""},
		{303, "POST", "b", "GET", ""},
		{303, "PUT", "b", "GET", ""},
		{303, "HEAD", "", "HEAD", ""},
		{301, "PUT", "b", "PUT", "b"},
		{302, "DELETE", "", "DELETE", ""},
		{307, "POST", "b", "POST", "b"},
		{308, "PATCH", "b", "PATCH", "b"},
		{307, "QUERY", "b", "QUERY", "b"},
	} {
		c, eng := client(t, answers(to(row.status, "/next?x=%20a#frag"), mock.OK("")))
		req := godwit.NewRequest(row.method, base+"/first", godwit.Header("Content-Language", "de"))
		if row.body != "" {
			req.Body = row.body
		}
		resp, err := c.Do(t.Context(), req)
		if err != nil {
			t.Errorf("%d %s: %v", row.status, row.method, err)
			continue
		}
		got := eng.Requests()[1]
		if got.Method != row.want || got.Text() != row.wantBody || got.URL.RequestURI() != "/next?x=%20a" {
			t.Errorf("%d %s: next is %s %s %q", row.status, row.method, got.Method, got.URL, got.Text())
		}
		if kept := got.Header.Has("Content-Language"); kept != (row.want == row.method && row.status != 303) && row.method != "HEAD" {
			t.Errorf("%d %s: Content-Language kept: %v", row.status, row.method, kept)
		}
		if h := resp.Call().History(); len(h) != 1 || h[0].URL != base+"/first" || h[0].Status != godwit.Status(row.status) || h[0].Method != row.method {
			t.Errorf("history %+v", h)
		}
		if resp.Request().URL.Fragment != "frag" {
			t.Errorf("final URL %s", resp.Request().URL)
		}
		eng.AssertBodiesClosed(t)
	}
}

func TestRedirectCredentials(t *testing.T) {
	for name, row := range map[string]struct {
		from, location string
		keep           bool
	}{
		"same origin":       {"https://a.test/", "/x", true},
		"default port":      {"https://a.test/", "https://A.test:443/x", true},
		"other host":        {"https://a.test/", "https://b.test/", false},
		"sub-domain":        {"https://a.test/", "https://x.a.test/", false},
		"other port":        {"https://a.test/", "https://a.test:8443/", false},
		"upgrade to https":  {"http://a.test/", "https://a.test/", false},
		"network path":      {"https://a.test/", "//b.test/x", false},
		"user info of them": {"https://a.test/", "https://eve:x@a.test/", true},
	} {
		c, eng := client(t, answers(to(302, row.location), mock.OK("")))
		_, err := c.Do(t.Context(), godwit.NewRequest("GET", row.from, godwit.BearerAuth("t"), godwit.Cookie("a", "b"), godwit.Header("X-Other", "o")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		h := eng.Requests()[1].Header
		if (h.Get("Authorization") == "Bearer t") != row.keep || h.Has("Cookie") != row.keep || !h.Has("X-Other") {
			t.Errorf("%s: fields\n%s", name, h)
		}
	}
}

func TestRedirectUserInfoStaysHome(t *testing.T) {
	c, eng := client(t, answers(to(302, "https://a.test/same"), to(302, "https://b.test/"), mock.OK("")))
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", "https://ada:pw@a.test/")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if got := eng.Requests()[i].Header.Has("Authorization"); got != want {
			t.Errorf("hop %d: Authorization sent: %v", i, got)
		}
	}
}

func TestRedirectRefused(t *testing.T) {
	ctx := t.Context()
	c, _ := client(t, answers(to(302, "http://a.test/")))
	resp, err := c.Do(ctx, godwit.NewRequest("GET", "https://a.test/"))
	if err != nil || resp.Status != 302 || resp.Text() != "moved" {
		t.Errorf("https to http: %v, %v", resp, err)
	}
	c, _ = client(t, answers(to(302, "http://a.test/"), mock.OK("")))
	if resp, err := c.Do(ctx, godwit.NewRequest("GET", "https://a.test/", godwit.AllowHTTPSDowngrade(true))); err != nil || resp.Status != 200 {
		t.Errorf("allowed: %v, %v", resp, err)
	}
	c, _ = client(t, answers(to(302, "/x")))
	if resp, err := c.Do(ctx, godwit.NewRequest("GET", base, godwit.FollowRedirects(false))); err != nil || resp.Status != 302 {
		t.Errorf("switched off: %v, %v", resp, err)
	}
	c, _ = client(t, answers(mock.Status(302)))
	if resp, err := c.Do(ctx, godwit.NewRequest("GET", base)); err != nil || resp.Status != 302 {
		t.Errorf("no Location: %v, %v", resp, err)
	}
	for _, bad := range []string{"ftp://a.test/", "http://a b/", "mailto:x@y", "http:b", "http://", "http://a.test:0/", "http://a.test:99999/"} {
		c, eng := client(t, answers(to(302, bad)))
		_, err := c.Do(ctx, godwit.NewRequest("GET", base))
		if ge, ok := errors.AsType[*godwit.Error](err); !ok || ge.Op == engine.OpBuild || !strings.Contains(err.Error(), "Location") {
			t.Errorf("Location %q: %v", bad, err)
		}
		eng.AssertBodiesClosed(t)
	}
	c, _ = client(t, answers(to(302, "/x")))
	if resp, err := c.Open(ctx, godwit.NewRequest("CONNECT", base)); err != nil || resp.Status != 302 {
		t.Errorf("CONNECT: %v, %v", resp, err)
	} else {
		resp.Close()
	}
	c, eng := client(t, answers(to(307, "/x")))
	_, err = c.Do(ctx, godwit.NewRequest("POST", base, godwit.Body(io.LimitReader(strings.NewReader("once"), 4))))
	if !errors.Is(err, godwit.ErrNotReplayable) {
		t.Errorf("one-shot body: %v", err)
	}
	eng.AssertBodiesClosed(t)
	c, eng = client(t, answers(to(307, "/x"), mock.OK("")))
	again := content.Opener(func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("twice")), nil }, "", -1)
	if _, err := c.Do(ctx, godwit.NewRequest("POST", base, godwit.Body(again))); err != nil || eng.Requests()[1].Text() != "twice" {
		t.Errorf("replayable body: %v", err)
	}
}

func TestRedirectLoops(t *testing.T) {
	ctx := t.Context()
	c, eng := client(t, answers(mock.Always(to(302, "/again"))))
	_, err := c.Do(ctx, godwit.NewRequest("GET", base))
	if !errors.Is(err, godwit.ErrTooManySends) || len(eng.Requests()) != 20 {
		t.Errorf("%d requests, %v", len(eng.Requests()), err)
	}
	ge, _ := errors.AsType[*godwit.Error](err)
	if ge == nil || ge.Attempt != 20 || ge.URL != base+"/again" {
		t.Errorf("error %+v", ge)
	}
	eng.AssertBodiesClosed(t)
	_, err = c.Do(ctx, godwit.NewRequest("GET", base, godwit.MaxRedirects(3)))
	if !errors.Is(err, godwit.ErrTooManyRedirects) || len(eng.Requests()) != 24 {
		t.Errorf("%d requests, %v", len(eng.Requests()), err)
	}
	eng.AssertBodiesClosed(t)
}

func TestRedirectEvents(t *testing.T) {
	c, _ := client(t, answers(to(302, "/2"), mock.OK("")))
	var seen []string
	note := func(s string) { seen = append(seen, s) }
	_, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/1",
		godwit.On(func(_ context.Context, e godwit.Created) { note("created " + e.Request.URL.Path) }),
		godwit.On(func(_ context.Context, e godwit.Sending) { note("sending " + e.Request.URL.Path) }),
		godwit.On(func(_ context.Context, e godwit.Received) { note("received " + e.Response.Status.String()) }),
		godwit.On(func(_ context.Context, e godwit.Redirected) { note("redirected " + e.To.URL.Path) }),
		godwit.On(func(_ context.Context, e godwit.ReceiveFailed) { note("failed") }),
	))
	if err != nil {
		t.Fatal(err)
	}
	want := "created /1, sending /1, received 302 Found, redirected /2, sending /2, received 200 OK"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("events %s\nwant   %s", got, want)
	}
}

// TestRedirectBackHome: cookies by hand are for the origin that they were given
// for, also when the way leads over another one.
func TestRedirectBackHome(t *testing.T) {
	c, eng := client(t, answers(to(302, "http://other.example/"), to(302, base+"/back"), to(302, "/again"), mock.OK("")))
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/", godwit.Cookie("id", "7"))); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"id=7", "", "id=7", "id=7"} {
		if got := eng.Requests()[i].Header.Get("Cookie"); got != want {
			t.Errorf("hop %d: Cookie %q, want %q", i, got, want)
		}
	}
}
