package h1_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
)

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAppendRequestHead(t *testing.T) {
	for _, tc := range []struct {
		name, method, url string
		head              h1.RequestHead // Method and URL are filled in
		want              string         // lines joined by |
	}{
		{"GET", "GET", "http://example.org/a?b=c", h1.RequestHead{Length: h1.NoBody}, "GET /a?b=c HTTP/1.1|Host: example.org"},
		{"empty path", "GET", "http://example.org", h1.RequestHead{Length: h1.NoBody}, "GET / HTTP/1.1|Host: example.org"},
		{"empty path and a query", "GET", "http://example.org?x", h1.RequestHead{Length: h1.NoBody}, "GET /?x HTTP/1.1|Host: example.org"},
		{"empty query", "GET", "http://example.org/?", h1.RequestHead{Length: h1.NoBody}, "GET /? HTTP/1.1|Host: example.org"},
		{"escapes are kept", "GET", "http://example.org/a%2Fb%20c#f", h1.RequestHead{Length: h1.NoBody}, "GET /a%2Fb%20c HTTP/1.1|Host: example.org"},
		{"default port", "GET", "https://example.org:443/", h1.RequestHead{Length: h1.NoBody}, "GET / HTTP/1.1|Host: example.org"},
		{"other port", "GET", "https://example.org:80/", h1.RequestHead{Length: h1.NoBody}, "GET / HTTP/1.1|Host: example.org:80"},
		{"empty port", "GET", "http://example.org:/", h1.RequestHead{Length: h1.NoBody}, "GET / HTTP/1.1|Host: example.org"},
		{"IPv6", "GET", "http://[fe80::1%25eth0]:8080/", h1.RequestHead{Length: h1.NoBody}, "GET / HTTP/1.1|Host: [fe80::1]:8080"},
		{"order and case", "GET", "http://example.org/", h1.RequestHead{Length: h1.NoBody, Header: header.New("b", "1", "A", "2", "B", "3")},
			"GET / HTTP/1.1|Host: example.org|b: 1|A: 2|B: 3"},
		{"own Host", "GET", "http://example.org/", h1.RequestHead{Length: h1.NoBody, Header: header.New("A", "b", "host", "other:1")},
			"GET / HTTP/1.1|A: b|host: other:1"},
		{"POST without body", "POST", "http://example.org/", h1.RequestHead{Length: h1.NoBody}, "POST / HTTP/1.1|Host: example.org|Content-Length: 0"},
		{"DELETE without body", "DELETE", "http://example.org/", h1.RequestHead{Length: h1.NoBody}, "DELETE / HTTP/1.1|Host: example.org"},
		{"length", "POST", "http://example.org/", h1.RequestHead{Length: 12}, "POST / HTTP/1.1|Host: example.org|Content-Length: 12"},
		{"chunked", "POST", "http://example.org/", h1.RequestHead{Length: h1.Chunked, TrailerNames: []string{"A", "B"}},
			"POST / HTTP/1.1|Host: example.org|Transfer-Encoding: chunked|Trailer: A, B"},
		{"OPTIONS *", "OPTIONS", "*", h1.RequestHead{Length: h1.NoBody, Header: header.New("Host", "example.org")}, "OPTIONS * HTTP/1.1|Host: example.org"},
		{"absolute", "GET", "http://example.org:80/a?b", h1.RequestHead{Length: h1.NoBody, Target: h1.TargetAbsolute, ProxyAuthorization: "Basic x"},
			"GET http://example.org/a?b HTTP/1.1|Host: example.org|Proxy-Authorization: Basic x"},
		{"absolute, own credentials", "GET", "http://example.org/", h1.RequestHead{Length: h1.NoBody, Target: h1.TargetAbsolute, ProxyAuthorization: "Basic x",
			Header: header.New("proxy-authorization", "y")}, "GET http://example.org/ HTTP/1.1|Host: example.org|proxy-authorization: y"},
		{"absolute OPTIONS", "OPTIONS", "http://example.org", h1.RequestHead{Length: h1.NoBody, Target: h1.TargetAbsolute},
			"OPTIONS http://example.org HTTP/1.1|Host: example.org"},
		{"CONNECT", "CONNECT", "https://example.org", h1.RequestHead{Length: h1.NoBody}, "CONNECT example.org:443 HTTP/1.1|Host: example.org"},
		{"CONNECT with a port", "CONNECT", "http://[::1]:8080", h1.RequestHead{Length: h1.NoBody}, "CONNECT [::1]:8080 HTTP/1.1|Host: [::1]:8080"},
		{"CONNECT to another host", "CONNECT", "http://proxy:3128", h1.RequestHead{Length: h1.NoBody, Header: header.New("Host", "example.org:22")},
			"CONNECT example.org:22 HTTP/1.1|Host: example.org:22"},
		{"upgrade", "GET", "http://example.org/", h1.RequestHead{Length: h1.NoBody, Protocol: "websocket", Header: header.New("A", "b")},
			"GET / HTTP/1.1|Host: example.org|A: b|Connection: Upgrade|Upgrade: websocket"},
		{"upgrade by own fields", "GET", "http://example.org/", h1.RequestHead{Length: h1.NoBody, Protocol: "websocket", Header: header.New("Connection", "Upgrade", "Upgrade", "WebSocket")},
			"GET / HTTP/1.1|Host: example.org|Connection: Upgrade|Upgrade: WebSocket"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.head.Method, tc.head.URL = tc.method, mustParse(t, tc.url)
			got, err := h1.AppendRequestHead([]byte("before "), &tc.head)
			if err != nil {
				t.Fatal(err)
			}
			want := "before " + strings.ReplaceAll(tc.want, "|", "\r\n") + "\r\n\r\n"
			if d := cmp.Diff(want, string(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestOpaque: an opaque part is the request target as it is.
func TestOpaque(t *testing.T) {
	for _, tc := range []struct {
		opaque string
		target h1.Target
		want   string
	}{
		{"/a b%2F", h1.TargetOrigin, ""},
		{"/a%2f%zz", h1.TargetOrigin, "GET /a%2f%zz?q HTTP/1.1"},
		{"//other/a", h1.TargetOrigin, "GET http://other/a?q HTTP/1.1"},
		{"//other/a", h1.TargetAbsolute, "GET http://other/a?q HTTP/1.1"},
		{"/a", h1.TargetAbsolute, "GET http://example.org/a?q HTTP/1.1"},
	} {
		u := &url.URL{Scheme: "http", Host: "example.org", Opaque: tc.opaque, RawQuery: "q"}
		b, err := h1.AppendRequestHead(nil, &h1.RequestHead{Method: "GET", URL: u, Target: tc.target, Length: h1.NoBody})
		line, _, _ := strings.Cut(string(b), "\r\n")
		if line != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("%q: %q, %v, want %q", tc.opaque, line, err, tc.want)
		}
	}
}

func TestAppendRequestHeadRefuses(t *testing.T) {
	base := url.URL{Scheme: "http", Host: "example.org", Path: "/"}
	query, host := base, base
	query.RawQuery = "a b\r\nX: y"
	host.Host = "example.org\r\nX: y"
	for _, tc := range []struct {
		name string
		head h1.RequestHead
	}{
		{"method", h1.RequestHead{Method: "GET /", URL: &base}},
		{"empty method", h1.RequestHead{URL: &base}},
		{"query", h1.RequestHead{Method: "GET", URL: &query}},
		{"host", h1.RequestHead{Method: "GET", URL: &host}},
		{"no host", h1.RequestHead{Method: "GET", URL: &url.URL{Scheme: "http", Path: "/"}}},
		{"own host", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("Host", "a/b")}},
		{"two hosts", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("Host", "a", "host", "b")}},
		{"name", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("A:", "b")}},
		{"CR in a value", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("A", "b\rc")}},
		{"LF in a value", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("A", "b\nc")}},
		{"NUL in a value", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("A", "b\x00c")}},
		{"Content-Length", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("content-length", "5")}},
		{"Transfer-Encoding", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("Transfer-encoding", "chunked")}},
		{"Trailer", h1.RequestHead{Method: "GET", URL: &base, Header: header.New("Trailer", "A")}},
		{"trailer name", h1.RequestHead{Method: "POST", URL: &base, Length: h1.Chunked, TrailerNames: []string{"A\r\nB"}}},
		{"forbidden trailer name", h1.RequestHead{Method: "POST", URL: &base, Length: h1.Chunked, TrailerNames: []string{"Host"}}},
		{"protocol", h1.RequestHead{Method: "GET", URL: &base, Protocol: "a b"}},
		{"proxy credentials", h1.RequestHead{Method: "GET", URL: &base, ProxyAuthorization: "a\r\nb"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := h1.AppendRequestHead([]byte("x"), &tc.head)
			if _, ok := errors.AsType[*h1.InputError](err); !ok {
				t.Errorf("error = %v, want an InputError", err)
			}
			if string(b) != "x" {
				t.Errorf("appended %q", b)
			}
		})
	}
}
