package godwit_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
)

func sentURL(t *testing.T, rawURL string, clientOpts []godwit.ClientOption, opts ...godwit.Option) string {
	t.Helper()
	c, eng := client(t, answers(mock.Always(mock.OK(""))), clientOpts...)
	if _, err := c.Do(t.Context(), godwit.NewRequest("GET", rawURL, opts...)); err != nil {
		return "error: " + err.Error()
	}
	return eng.Requests()[0].URL.String()
}

func TestBaseURL(t *testing.T) {
	for _, row := range []struct{ base, url, want string }{
		{"https://h/dir/f", "x", "https://h/dir/x"},
		{"https://h/dir/f", "/x", "https://h/x"},
		{"https://h/dir/f", "", "https://h/dir/f"},
		{"https://h/dir/", "x/y", "https://h/dir/x/y"},
		{"https://h/dir", "x", "https://h/x"},
		{"https://h", "x", "https://h/x"},
		{"https://h:8443/a/", "x", "https://h:8443/a/x"},
		{"https://h/a/", "http://other/b", "http://other/b"},
		{"https://h/a/", "//other.host/p", "https://other.host/p"},
		{"https://u:p@h/a/?k=1#top", "//other.host/p", "https://other.host/p"},
		{"https://h/a/?k=1&x+y=2&c%5B%5D=3", "x?%6b=9&x%20y=8&c[]=7", "https://h/a/x?%6b=9&x%20y=8&c[]=7"},
		{"https://h/a/?%zz=1", "x?%zz=2", "https://h/a/x?%zz=2"},
		{"https://h/a/?k=1&l=2", "x?k=9", "https://h/a/x?k=9&l=2"},
		{"https://h/a/?k=1", "x", "https://h/a/x?k=1"},
		{"https://h/a/", "x%2Fy", "https://h/a/x%2Fy"},
		{"https://h/a%2Fb/", "x", "https://h/a%2Fb/x"},
		{"https://h/a/#top", "x", "https://h/a/x#top"},
		{"https://h/a/#top", "x#own", "https://h/a/x#own"},
		{"https://h/a/", "x?q=%20+%41", "https://h/a/x?q=%20+%41"},
	} {
		if got := sentURL(t, row.url, []godwit.ClientOption{godwit.BaseURL(row.base)}); got != row.want {
			t.Errorf("%s + %s = %s, want %s", row.base, row.url, got, row.want)
		}
	}
	for _, noHost := range []string{"http:/users", "http:users", "http:", "https:///users"} {
		got := sentURL(t, noHost, []godwit.ClientOption{godwit.BaseURL("https://u:p@h/dir/")})
		if !strings.HasPrefix(got, "error: ") || !strings.Contains(got, "has no ") {
			t.Errorf("%s takes the base's host: %s", noHost, got)
		}
	}
	for _, bad := range []string{"h/dir", "/dir", "https://", "::"} {
		c := godwit.New(godwit.WithEngine(mock.Config{}), godwit.BaseURL(bad))
		if c.Err() == nil {
			t.Errorf("base %q is accepted", bad)
		}
		c.Close()
		if got := sentURL(t, "x", nil, godwit.BaseURL("{base}"), godwit.PathParam("base...", bad)); !strings.HasPrefix(got, "error: ") {
			t.Errorf("base %q is accepted where it is put in: %s", bad, got)
		}
	}
}

func TestURLParts(t *testing.T) {
	type q struct {
		Term string `form:"term"`
		Page int    `form:"page,omitempty"`
	}
	var none *int
	for name, row := range map[string]struct {
		url  string
		opts []godwit.Option
		want string
	}{
		"path param":           {base + "/u/{id}/x", []godwit.Option{godwit.PathParam("id", "a/b ?#%")}, base + "/u/a%2Fb%20%3F%23%25/x"},
		"path param, slashes":  {base + "/f/{p...}", []godwit.Option{godwit.PathParam("p", "a b/c")}, base + "/f/a%20b/c"},
		"in the query":         {base + "/?q={q}", []godwit.Option{godwit.PathParam("q", "a&b")}, base + "/?q=a%26b"},
		"segments":             {base + "/a", []godwit.Option{godwit.Path("b/c", "d e")}, base + "/a/b%2Fc/d%20e"},
		"segments after slash": {base + "/a/", []godwit.Option{godwit.Path("b")}, base + "/a/b"},
		"param":                {base + "/?a=1", []godwit.Option{godwit.Param("b", "x y&z")}, base + "/?a=1&b=x+y%26z"},
		"params of many kinds": {base + "/", []godwit.Option{godwit.Param("a", 1, true, []string{"x", "y"}, nil, none, 2*time.Second)}, base + "/?a=1&a=true&a=x&a=y&a=2s"},
		"param of a time":      {base + "/", []godwit.Option{godwit.Param("t", time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), []byte("hi"))}, base + "/?t=2026-11-21T10%3A00%3A00Z&t=hi"},
		"params of values":     {base + "/", []godwit.Option{godwit.Params(url.Values{"b": {"2"}, "a": {"1"}})}, base + "/?a=1&b=2"},
		"params of a struct":   {base + "/", []godwit.Option{godwit.Params(q{Term: "x"})}, base + "/?term=x"},
		"param of a Stringer":  {base + "/", []godwit.Option{godwit.Param("u", url.URL{Host: "h"}, &url.URL{Host: "i"}, errors.New("e"))}, base + "/?u=%2F%2Fh&u=%2F%2Fi&u=e"},
		"param of nils":        {base + "/", []godwit.Option{godwit.Param("u", (*url.URL)(nil), (*url.Error)(nil), []*url.URL{nil}, []any{nil, 1}, (*time.Time)(nil))}, base + "/?u=1"},
		"param of a value":     {base + "/", []godwit.Option{godwit.Param("n", *big.NewInt(5), []big.Int{*big.NewInt(6)})}, base + "/?n=5&n=6"},
		"param of named bytes": {base + "/", []godwit.Option{godwit.Param("j", json.RawMessage("[1]"), [2]byte{1, 2})}, base + "/?j=%5B1%5D&j=1&j=2"},
		"fragment":             {base + "/", []godwit.Option{godwit.Fragment("top")}, base + "/#top"},
		"query kept":           {base + "/?a=%41&&b=c+d", nil, base + "/?a=%41&&b=c+d"},
		"query escaped":        {base + "/?q=grün \"x\"", nil, base + "/?q=gr%C3%BCn%20%22x%22"},
		"international host":   {"http://bücher.example/", nil, "http://xn--bcher-kva.example/"},
		"IPv6":                 {"http://[::1]:8080/", nil, "http://[::1]:8080/"},
		"host that is no text": {"http://h%80/", nil, `error: godwit: GET http://h%80/: build: URL "http://h%80/": host "h\x80" is not UTF-8`},
		"space around":         {"  " + base + "/ ", nil, base + "/"},
		"empty-valued key":     {base + "/?flag", nil, base + "/?flag"},
	} {
		if got := sentURL(t, row.url, nil, row.opts...); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

func TestURLDefaults(t *testing.T) {
	c := []godwit.ClientOption{godwit.BaseURL("https://h/{tenant}/"), godwit.PathParam("tenant", "acme"), godwit.Param("key", "k"), godwit.Param("page", 1)}
	for _, row := range []struct{ url, want string }{
		{"https://h/{tenant}/x", "https://h/acme/x?key=k&page=1"},
		{"https://h/x?page=2", "https://h/x?page=2&key=k"},
		{"https://h/x?%70age=2", "https://h/x?%70age=2&key=k"},
	} {
		if got := sentURL(t, row.url, c); got != row.want {
			t.Errorf("%s: %s, want %s", row.url, got, row.want)
		}
	}
	if got := sentURL(t, "x", c); got != "https://h/acme/x?key=k&page=1" {
		t.Errorf("parameter in the base: %s", got)
	}
	if got := sentURL(t, "https://h/{tenant}", c, godwit.PathParam("tenant", "own")); got != "https://h/own?key=k&page=1" {
		t.Errorf("own path parameter: %s", got)
	}
}

// TestValuesRefused: a value without a text, and one that would change the URL's
// shape, is an error before any I/O, which names it.
func TestValuesRefused(t *testing.T) {
	late := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		url  string
		opt  godwit.Option
		want string
	}{
		{base, godwit.Param("t", late), `Param "t": `},
		{base + "/{t}", godwit.PathParam("t", late), `PathParam "t": `},
		{base + "/{n}", godwit.PathParam("n", make(chan int)), "chan int"},
		{base + "/{n}", godwit.PathParam("n", (*url.URL)(nil)), "*url.URL gives 0 values"},
		{base + "/{n}", godwit.PathParam("n", []int{1, 2}), "[]int gives 2 values"},
		{base, godwit.Param("n", func() {}), "func()"},
		{base, godwit.Param("n", 1, []any{map[string]int{"a": 1}}), "map[string]int"},
		{base, godwit.Param("n", &struct{ A int }{1}), "struct { A int }"},
		{base, godwit.Path("users", "", "delete"), "segment 1"},
		{base, godwit.Path("users", ""), "segment 1"},
		{base, godwit.Path("..", "users"), "climb"},
		{"http://{t}.example.com/", godwit.PathParam("t", ""), "empty"},
		{"http://{t}.example.com/", godwit.PathParam("t", "."), "empty label"},
		{"http://{t}.example.com/", godwit.PathParam("t", "a."), "empty label"},
		{"http://{t}/", godwit.PathParam("t", ".."), "empty label"},
		{"http://h:{t}/", godwit.PathParam("t", ""), "empty"},
		{"http://.example.com/", godwit.Param("a", 1), "empty label"},
		{base + "/{t...}..", godwit.PathParam("t", "b/"), "a dot follows"},
		{base + "/{}", godwit.Param("a", 1), "no value for {}"},
	} {
		if got := sentURL(t, row.url, nil, row.opt); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, "build: ") || !strings.Contains(got, row.want) {
			t.Errorf("%s: %s, want an error with %s", row.url, got, row.want)
		}
	}
	for _, row := range []struct{ url, value, want string }{
		{"http://{t}/", "example.com.", "http://example.com./"},
		{base + "/{t...}/z", "a/", base + "/a//z"},
		{base + "/{t...}.json", "a/b", base + "/a/b.json"},
	} {
		if got := sentURL(t, row.url, nil, godwit.PathParam("t", row.value)); got != row.want {
			t.Errorf("%s: %s, want %s", row.url, got, row.want)
		}
	}
}

// FuzzPlainURL: what is read without url.Parse is what url.Parse makes of it.
func FuzzPlainURL(f *testing.F) {
	for _, s := range []string{
		"http://h", "https://h/", "http://h:80/a/b.c", "http://h/?q", "http://h/?", "http://h/??", "http://h?q=1", "http://h/a?q=1&r=a+b%20c#f",
		"http://h:/", "http://h:a/", "http://h:80a/", "http://:80/", "http:///x", "http://H-1.example.ORG/~u/_x", "http://h//a//b", "http://h/a:b", "http://h/;p",
		"HTTP://h/", "ftp://h/", "http://u@h/", "http://[::1]/", "http://h/%41", "http://h/a b", " http://h/", "http://h/#", "http:/h", "http://h/?a?b/c:d", "http://h/?'|^`\\",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if strings.ContainsAny(raw, "{}<>\" \t%") || strings.ContainsFunc(raw, func(r rune) bool { return r >= 0x7f }) {
			return // may be changed
		}
		want, _ := url.Parse(raw) // nil if it refuses it
		if got := godwit.NewRequest("GET", raw).URL; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %#v, want %#v", raw, got, want)
		}
	})
}

func BenchmarkNewRequest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		godwit.NewRequest("GET", "http://127.0.0.1:8080/path/to/it?q=1")
	}
}

// FuzzURL: whatever the text, a request either fails before any I/O or has a
// request target without white space and control characters.
func FuzzURL(f *testing.F) {
	for _, s := range []string{base, "http://[::1]/", "//x", "a b", "http://h/?q=\x7f", "http://h/{x}", "http://ü/", "http://a:b@c/%zz", "http://h:99999/"} {
		f.Add(s, "v")
	}
	eng := mock.Serve(mock.OK(""))
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.BaseURL("http://base/a/"))
	f.Fuzz(func(t *testing.T, raw, value string) {
		defer eng.Reset()
		eng.Enqueue(mock.Always(mock.OK("")))
		c.Do(t.Context(), godwit.NewRequest("GET", raw, godwit.PathParam("x", value), godwit.Param("p", value)))
		for _, r := range eng.Requests() {
			target := r.URL.Host + r.URL.RequestURI()
			for i := range len(target) {
				if target[i] <= ' ' || target[i] >= 0x7f {
					t.Errorf("%q, %q: sent %q", raw, value, target)
				}
			}
		}
	})
}
