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
		{"cgi", "REQUEST_METHOD=GET HTTP_PROXY=http://p:1", "http://a.example/", "error"},
		{"cgi and all", "REQUEST_METHOD=GET ALL_PROXY=http://p:1", "http://a.example/", "http://p:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"} {
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
