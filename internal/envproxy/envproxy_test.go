package envproxy_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/internal/envproxy"
)

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name, env, url, want string
	}{
		{"none", "", "http://a.example/", ""},
		{"http", "HTTP_PROXY=http://p:1", "http://a.example/", "http://p:1"},
		{"http does not serve https", "HTTP_PROXY=http://p:1", "https://a.example/", ""},
		{"https", "HTTPS_PROXY=http://p:1 HTTP_PROXY=http://q:1", "https://a.example/", "http://p:1"},
		{"lower case", "https_proxy=http://p:1", "https://a.example/", "http://p:1"},
		{"all", "ALL_PROXY=socks5h://p:1", "https://a.example/", "socks5h://p:1"},
		{"all, lower case", "all_proxy=socks5://p:1", "http://a.example/", "socks5://p:1"},
		{"special before all", "ALL_PROXY=socks5h://p:1 HTTP_PROXY=http://q:2", "http://a.example/", "http://q:2"},
		{"no proxy", "ALL_PROXY=http://p:1 NO_PROXY=.example", "http://a.example/", ""},
		{"no proxy for loopback", "ALL_PROXY=http://p:1", "http://127.0.0.1:80/", ""},
		{"without scheme", "HTTP_PROXY=p:1", "http://a.example/", "http://p:1"},
		{"malformed", "HTTP_PROXY=http://u:secret@p:x", "http://a.example/", "error"},
		{"malformed, other scheme", "HTTP_PROXY=http://u:secret@p:x", "https://a.example/", ""},
		{"malformed https", "HTTPS_PROXY=http://", "https://a.example/", "error"},
		{"malformed, loopback", "HTTP_PROXY=http://u:secret@p:x", "http://127.0.0.1/", ""},
		{"malformed, all excepted", "HTTP_PROXY=http://u:secret@p:x NO_PROXY=*", "http://a.example/", ""},
		{"malformed, host excepted", "ALL_PROXY=http:// NO_PROXY=a.example", "https://a.example/", ""},
		{"malformed, other host excepted", "ALL_PROXY=http:// NO_PROXY=a.example", "https://b.example/", "error"},
		{"cgi", "REQUEST_METHOD=GET HTTP_PROXY=http://p:1", "http://a.example/", "error"},
		{"cgi, loopback", "REQUEST_METHOD=GET HTTP_PROXY=http://p:1", "http://localhost/", ""},
		{"cgi, lower case", "REQUEST_METHOD=GET http_proxy=http://p:1", "http://a.example/", "http://p:1"},
		{"cgi, both cases", "REQUEST_METHOD=GET http_proxy=http://p:1 HTTP_PROXY=http://q:1", "http://a.example/", "http://p:1"},
		{"cgi and https", "REQUEST_METHOD=GET HTTPS_PROXY=http://p:1", "https://a.example/", "http://p:1"},
		{"cgi and all", "REQUEST_METHOD=GET ALL_PROXY=http://p:1", "http://a.example/", "http://p:1"},
		{"localhost", "ALL_PROXY=http://p:1", "http://LocalHost:80/", ""},
		{"localhost with a dot", "ALL_PROXY=http://p:1", "http://localhost.:80/", ""},
		{"IPv6 loopback", "ALL_PROXY=http://p:1", "http://[::1]:80/", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"} {
				t.Setenv(name, "")
				t.Setenv(strings.ToLower(name), "")
			}
			for pair := range strings.FieldsSeq(tc.env) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			u, err := url.Parse(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			got, err := envproxy.Read()(u)
			text := ""
			switch {
			case err != nil:
				text = "error"
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("error shows the password: %v", err)
				}
			case got != nil:
				text = got.String()
			}
			if text != tc.want {
				t.Errorf("got %q (%v), want %q", text, err, tc.want)
			}
		})
	}
}

func TestNoProxy(t *testing.T) {
	for _, tc := range []struct {
		list, direct, proxied string // hosts
	}{
		{"a.example", "a.example x.a.example A.EXAMPLE a.example:8080 a.example. x.a.example.:80", "ba.example a.example.org"},
		{"a.example.", "a.example a.example. x.a.example", "b.example"},
		{".a.example", "x.a.example x.a.example.", "a.example"},
		{"*.a.example.", "x.a.example", "a.example"},
		{"a.example:8080", "a.example:8080 a.example.:8080", "a.example a.example:80"},
		{"a.example.:8080", "a.example:8080", "a.example"},
		{"a.example b.example", "a.example b.example", "c.example"},
		{"a.example,\tb.example ,c.example", "a.example b.example c.example", "d.example"},
		{"*", "a.example 192.0.2.1 [2001:db8::1]", ""},
		{"a.example *", "b.example", ""},
		{"2001:db8::1", "[2001:db8::1] [2001:db8::1]:8080", "[2001:db8::2]"},
		{"[2001:db8::1]", "[2001:db8::1] [2001:db8:0::1]:8080", "[2001:db8::2]"},
		{"[2001:db8::1]:8080", "[2001:db8::1]:8080", "[2001:db8::1]"},
		{"2001:db8::/32", "[2001:db8::7]", "[2001:db9::7]"},
		{"192.0.2.0/24 198.51.100.1:81", "192.0.2.9 198.51.100.1:81", "198.51.100.1 a.example"},
		{"b\u00fccher.example", "b\u00fccher.example xn--bcher-kva.example", "bucher.example"},
		{", ,", "", "a.example"},
	} {
		for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "REQUEST_METHOD"} {
			t.Setenv(name, "")
		}
		t.Setenv("ALL_PROXY", "http://p:1")
		t.Setenv("NO_PROXY", tc.list)
		choose := envproxy.Read()
		for want, hosts := range map[bool]string{false: tc.direct, true: tc.proxied} {
			for host := range strings.FieldsSeq(hosts) {
				u, err := url.Parse("http://" + host + "/")
				if err != nil {
					t.Fatal(err)
				}
				before := u.Host
				if proxy, err := choose(u); err != nil || (proxy != nil) != want || u.Host != before {
					t.Errorf("NO_PROXY=%q: %s goes by %v, %v", tc.list, host, proxy, err)
				}
			}
		}
	}
}
