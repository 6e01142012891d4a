package enginetest

import (
	"net"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

func requestHeadTests() []test {
	return []test{
		{name: "OrderAndCase", needs: engine.FieldOrder, run: headOrder},
		{name: "NothingIsAdded", run: headNothingAdded},
		{name: "RepeatedFields", run: headRepeated},
		{name: "OddValues", run: headOddValues},
		{name: "ManyFields", run: headMany},
		{name: "HostFromURL", run: headHost},
		{name: "HostOverride", run: headHostOverride},
		{name: "DefaultPortOmitted", needs: engine.CustomDial, run: headDefaultPort},
		{name: "IPv6Host", needs: engine.CustomDial, run: headIPv6},
		{name: "Targets", run: headTargets},
		{name: "NoFramingWithoutBody", run: headNoFraming},
		{name: "ZeroLengthForEmptyPost", run: headZeroLength},
		{name: "LengthOrChunked", run: headLengthOrChunked},
		{name: "ConnectionClose", run: headConnectionClose},
		{name: "NotChanged", run: headNotChanged},
	}
}

// head sends req and returns what arrived.
func (t *T) sent(e engine.Engine, requests <-chan *received, req *engine.Request) *received {
	t.Helper()
	t.read(t.must(e, req))
	return within(t, "the request", requests)
}

func headOrder(t *T) {
	e := t.engine()
	s, requests := t.record()
	fields := []string{"x-lower", "1", "X-UPPER", "2", "accept", "a/b", "X-MiXeD", "3", "x-lower", "4", "User-Agent", "t", "ACCEPT", "c/d"}
	got := t.sent(e, requests, t.request("GET", s.URL, fields...))
	want := header.New(fields...)
	var ours header.Header
	for name, value := range got.Fields.All() {
		if !slices.ContainsFunc([]string{"Host", "Connection"}, func(own string) bool { return header.EqualFold(own, name) }) {
			ours.Add(name, value)
		}
	}
	if ours.String() != want.String() {
		t.Errorf("fields on the wire:\n%swant:\n%s", ours, want)
	}
}

func headNothingAdded(t *T) {
	e := t.engine()
	s, requests := t.record()
	got := t.sent(e, requests, t.request("GET", s.URL))
	for name := range got.Fields.All() {
		if !header.EqualFold(name, "Host") {
			t.Errorf("the engine added %s: %s", name, got.Fields.Get(name))
		}
	}
}

func headRepeated(t *T) {
	e := t.engine()
	s, requests := t.record()
	got := t.sent(e, requests, t.request("GET", s.URL, "X-A", "1", "X-B", "x", "X-A", "2", "X-A", "1"))
	if a := got.Fields.Values("X-A"); !slices.Equal(a, []string{"1", "2", "1"}) {
		t.Errorf("X-A: %q", a)
	}
}

func headOddValues(t *T) {
	e := t.engine()
	s, requests := t.record()
	long := pattern(20_000)
	got := t.sent(e, requests, t.request("GET", s.URL, "X-Empty", "", "X-Utf8", "grüße", "X-Tab", "a\tb", "X-Long", long, "X-Quote", `a="b, c"; d`))
	for name, want := range map[string]string{"X-Empty": "", "X-Utf8": "grüße", "X-Tab": "a\tb", "X-Long": long, "X-Quote": `a="b, c"; d`} {
		if v, ok := got.Fields.Lookup(name); v != want || !ok {
			t.Errorf("%s: %s, want %s", name, cut(v), cut(want))
		}
	}
}

func headMany(t *T) {
	e := t.engine()
	s, requests := t.record()
	req := t.request("GET", s.URL)
	for i := range 300 {
		req.Header.Add("X-"+itoa(i), pattern(i))
	}
	got := t.sent(e, requests, req)
	for name, value := range req.Header.All() {
		if v := got.Fields.Get(name); v != value {
			t.Errorf("%s: %s, want %s", name, cut(v), cut(value))
		}
	}
}

// wantHost checks that there is exactly one Host field, of that value.
func (t *T) wantHost(got *received, want string) {
	t.Helper()
	if hosts := got.Fields.Values("Host"); !slices.Equal(hosts, []string{want}) {
		t.Errorf("Host %q, want one %q", hosts, want)
	}
}

func headHost(t *T) {
	e := t.engine()
	s, requests := t.record()
	t.wantHost(t.sent(e, requests, t.request("GET", s.URL)), s.Addr)
}

func headHostOverride(t *T) {
	e := t.engine()
	s, requests := t.record()
	for _, name := range []string{"Host", "host"} {
		t.wantHost(t.sent(e, requests, t.request("GET", s.URL, "X-A", "1", name, "example.org:81")), "example.org:81")
	}
}

// to dials addr whatever is asked for, and keeps the addresses asked for.
func (t *T) to(addr string, asked chan<- string) func(*engine.Config) {
	return func(c *engine.Config) {
		c.Dial = dialer(addr, asked)
	}
}

func headDefaultPort(t *T) {
	s, requests := t.record()
	asked := make(chan string, 8)
	e := t.engine(t.to(s.Addr, asked))
	for _, row := range []struct{ url, host, dialled string }{
		{"http://example.org/", "example.org", "example.org:80"},
		{"http://example.org:80/", "example.org", "example.org:80"},
		{"http://example.org:8080/", "example.org:8080", "example.org:8080"},
		{"http://example.org:443/", "example.org:443", "example.org:443"},
	} {
		req := t.request("GET", row.url, "Connection", "close")
		got := t.sent(e, requests, req)
		t.wantHost(got, row.host)
		if addr := within(t, "dial", asked); addr != row.dialled {
			t.Errorf("%s: dialled %s, want %s", row.url, addr, row.dialled)
		}
	}
}

func headIPv6(t *T) {
	s, requests := t.record()
	asked := make(chan string, 8)
	e := t.engine(t.to(s.Addr, asked))
	got := t.sent(e, requests, t.request("GET", "http://[2001:db8::1]:8080/x"))
	t.wantHost(got, "[2001:db8::1]:8080")
	if addr := within(t, "dial", asked); addr != net.JoinHostPort("2001:db8::1", "8080") {
		t.Errorf("dialled %s", addr)
	}
	t.wantHost(t.sent(e, requests, t.request("GET", "http://[2001:db8::1]/x")), "[2001:db8::1]")
}

func headTargets(t *T) {
	e := t.engine()
	s, requests := t.record()
	for _, row := range []struct{ url, target string }{
		{"", "/"},
		{"/", "/"},
		{"?a=b", "/?a=b"},
		{"/?", "/?"},
		{"/a/b/", "/a/b/"},
		{"/a//b/../c/./d", "/a//b/../c/./d"},
		{"/a%2Fb/%41%c3%bc", "/a%2Fb/%41%c3%bc"},
		{"/p?q=a+b%20c&q=%2B&&=&x", "/p?q=a+b%20c&q=%2B&&=&x"},
		{"/p?q=a'b(c)*~!;$@:/?", "/p?q=a'b(c)*~!;$@:/?"},
		{"/p#fragment", "/p"},
		{"/p?q#fragment?", "/p?q"},
		{"/;v=1,2=:@", "/;v=1,2=:@"},
		{"/%20%25%3F", "/%20%25%3F"},
	} {
		if got := t.sent(e, requests, t.request("GET", s.URL+row.url)); got.Target != row.target {
			t.Errorf("%q: request target %q, want %q", row.url, got.Target, row.target)
		}
	}
	long := "/" + strings.Repeat("x", 30_000)
	if got := t.sent(e, requests, t.request("GET", s.URL+long)); got.Target != long {
		t.Errorf("a target of %d bytes arrives as %s", len(long), cut(got.Target))
	}
}

func headNoFraming(t *T) {
	e := t.engine()
	s, requests := t.record()
	for _, m := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
		got := t.sent(e, requests, t.request(m, s.URL))
		for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer"} {
			if got.Fields.Has(name) {
				t.Errorf("%s without a body sends %s: %s", m, name, got.Fields.Get(name))
			}
		}
	}
}

func headZeroLength(t *T) {
	e := t.engine()
	s, requests := t.record()
	for _, m := range []string{"POST", "PUT", "PATCH"} {
		for _, empty := range []bool{false, true} {
			req := t.request(m, s.URL)
			if empty {
				req.Body = inMemory("")
			}
			got := t.sent(e, requests, req)
			if v := got.Fields.Values("Content-Length"); !slices.Equal(v, []string{"0"}) || got.Chunked {
				t.Errorf("%s, empty content %v: Content-Length %q, chunked %v", m, empty, v, got.Chunked)
			}
		}
	}
}

func headLengthOrChunked(t *T) {
	e := t.engine()
	s, requests := t.record()
	got := t.sent(e, requests, t.post(s.URL, sized(5, "hello")))
	if v := got.Fields.Values("Content-Length"); !slices.Equal(v, []string{"5"}) || got.Chunked || got.Body != "hello" {
		t.Errorf("known length: Content-Length %q, chunked %v, body %q", v, got.Chunked, got.Body)
	}
	got = t.sent(e, requests, t.post(s.URL, stream("hello")))
	if got.Fields.Has("Content-Length") || !got.Chunked || got.Body != "hello" {
		t.Errorf("unknown length: chunked %v, body %q, head:\n%s", got.Chunked, got.Body, got.Raw)
	}
}

func headConnectionClose(t *T) {
	e := t.engine()
	s, requests := t.record()
	for range 2 {
		got := t.sent(e, requests, t.request("GET", s.URL, "Connection", "close"))
		if v := got.Fields.Values("Connection"); !slices.Equal(v, []string{"close"}) {
			t.Errorf("Connection: %q, want one close", v)
		}
	}
	if n := s.Accepted(); n != 2 {
		t.Errorf("two requests with Connection: close used %d connections", n)
	}
	s.WaitClosed(t)
}

func headNotChanged(t *T) {
	e := t.engine()
	s, requests := t.record()
	req := t.post(s.URL+"?q#f", replayable("x"), "X-A", "1", "Connection", "close")
	before := req.Header.Clone()
	beforeURL := *req.URL
	t.sent(e, requests, req)
	if req.Header.String() != before.String() || *req.URL != beforeURL || req.Method != "POST" {
		t.Errorf("the request was changed: %s %v\n%v", req.Method, req.URL, req.Header)
	}
}
