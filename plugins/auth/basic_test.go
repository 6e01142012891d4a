package auth_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/auth"
)

// TestBasicLearns: after one challenge what lies below the same directory gets
// the credentials unasked, until they are refused (RFC 7617 §2.2).
func TestBasicLearns(t *testing.T) {
	var locked bool
	eng := serve(func(ctx context.Context, r *mock.Request) *mock.Response {
		if locked {
			return unauthorized("Basic")
		}
		return wants(ada, "Basic realm=x")(ctx, r)
	})
	c := client(t, eng, auth.Basic{User: "ada", Password: "pw", Hosts: []string{"*"}})
	get(t, c, "http://a.org/dir/file")
	get(t, c, "http://a.org/dir/sub/other")
	get(t, c, "http://a.org/dirt")
	get(t, c, "http://b.org/dir/file")
	if diff := cmp.Diff([]string{"-", ada, ada, "-", ada, "-", ada}, sent(eng, "Authorization")); diff != "" {
		t.Error(diff)
	}
	locked = true
	n := len(eng.Requests())
	get(t, c, "http://a.org/dir/file")
	get(t, c, "http://a.org/dir/file")
	if diff := cmp.Diff([]string{ada, "-", ada}, sent(eng, "Authorization")[n:]); diff != "" {
		t.Errorf("after a refusal: %s", diff)
	}
}

func TestBasicClear(t *testing.T) {
	eng := serve(wants(ada, "Basic realm=x"))
	plugin := auth.New(auth.Basic{User: "ada", Password: "pw"})
	c := clientWith(t, eng, godwit.Install(plugin))
	get(t, c, url)
	plugin.Clear()
	get(t, c, url)
	if diff := cmp.Diff([]string{"-", ada, "-", ada}, sent(eng, "Authorization")); diff != "" {
		t.Error(diff)
	}
}

// TestBasicEncoding: RFC 7617 §2, §2.1 and its examples.
func TestBasicEncoding(t *testing.T) {
	for name, row := range map[string]struct {
		basic     auth.Basic
		challenge string
		want      string
	}{
		"RFC 7617 §2":             {auth.Basic{User: "Aladdin", Password: "open sesame"}, "Basic", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		"RFC 7617 §2.1":           {auth.Basic{User: "test", Password: "123£"}, `Basic realm="foo", charset="UTF-8"`, "Basic dGVzdDoxMjPCow=="},
		"UTF-8 by default":        {auth.Basic{User: "test", Password: "123£"}, "Basic", "Basic dGVzdDoxMjPCow=="},
		"Latin 1":                 {auth.Basic{User: "test", Password: "123£", Latin1: true}, "Basic", "Basic dGVzdDoxMjOj"},
		"Latin 1, server: UTF-8":  {auth.Basic{User: "test", Password: "123£", Latin1: true}, `Basic charset="utf-8"`, "Basic dGVzdDoxMjPCow=="},
		"normal form C":           {auth.Basic{User: "u", Password: "e\u0301"}, "Basic", basicValue("u", "é")},
		"empty password, no name": {auth.Basic{Password: "p"}, "Basic", basicValue("", "p")},
	} {
		eng := serve(wants(row.want, row.challenge))
		c := client(t, eng, row.basic)
		for range 2 { // what the server asked for holds for unasked ones too
			if resp := get(t, c, url); resp.Status != 200 {
				t.Errorf("%s: sent %q, want %q", name, sent(eng, "Authorization"), row.want)
			}
		}
		if len(eng.Requests()) != 3 {
			t.Errorf("%s: %d requests", name, len(eng.Requests()))
		}
	}
}

func TestCredentialsByRequest(t *testing.T) {
	byPath := func(_ context.Context, r *godwit.Request) (string, string, error) {
		if r.URL.Path == "/none" {
			return "", "", nil
		}
		return r.URL.Path[1:], "pw", nil
	}
	eng := serve(func(context.Context, *mock.Request) *mock.Response { return mock.Status(204) })
	c := client(t, eng, auth.Basic{Credentials: byPath, Preemptive: true})
	for _, p := range []string{"a", "b", "none"} {
		get(t, c, "http://h/"+p)
	}
	if diff := cmp.Diff([]string{basicValue("a", "pw"), basicValue("b", "pw"), "-"}, sent(eng, "Authorization")); diff != "" {
		t.Error(diff)
	}
}

// TestProxyBasic: only the proxy itself can ask, and only for plain requests.
func TestProxyBasic(t *testing.T) {
	for name, row := range map[string]struct {
		url, proxy, remote string
		want               []string
	}{
		"proxy":                        {"http://a.org/", "127.0.0.1:3128", "127.0.0.1:3128", []string{"-", ada}},
		"by name":                      {"http://a.org/", "http://proxy.example:3128", "10.0.0.1:3128", []string{"-", ada}},
		"localhost":                    {"http://a.org/", "localhost:3128", "127.0.0.1:3128", []string{"-", ada}},
		"origin":                       {"http://a.org/", "127.0.0.1:3128", "10.0.0.1:80", []string{"-"}},
		"origin on the proxy's port":   {"http://a.org:3128/", "proxy.example:3128", "10.0.0.1:3128", []string{"-"}},
		"by address on the same port":  {"http://a.org:3128/", "10.0.0.1:3128", "10.0.0.1:3128", []string{"-", ada}},
		"other address, the same port": {"http://a.org:3128/", "10.0.0.2:3128", "10.0.0.1:3128", []string{"-"}},
		"https":                        {"https://a.org/", "127.0.0.1:3128", "127.0.0.1:3128", []string{"-"}},
	} {
		eng := serve(func(_ context.Context, r *mock.Request) *mock.Response {
			resp := mock.Text(407, "proxy").WithHeader("Proxy-Authenticate", "Basic realm=p").WithConn(via(row.remote), false)
			if r.Header.Get("Proxy-Authorization") == ada {
				resp = mock.OK("in").WithConn(via(row.remote), true)
			}
			return resp
		})
		resp := get(t, client(t, eng, auth.Basic{User: "ada", Password: "pw", Proxy: row.proxy}), row.url)
		if diff := cmp.Diff(row.want, sent(eng, "Proxy-Authorization")); diff != "" {
			t.Errorf("%s: %v %s", name, resp.Status, diff)
		}
		for _, v := range sent(eng, "Authorization") {
			if v != "-" {
				t.Errorf("%s: the origin got %q", name, v)
			}
		}
	}
}
