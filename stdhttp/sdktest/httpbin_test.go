package sdktest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/plugins/auth"
	"github.com/godwit-go/godwit/plugins/cookies"
	"github.com/godwit-go/godwit/stdhttp"
)

// call is one use of an endpoint.
type call struct {
	method, path string
	opts         []godwit.Option
	plugin       godwit.Plugin
	status       godwit.Status // 0 = 200
	has          string        // somewhere in the body
	check        func(r *godwit.Response) bool
}

func get(path, has string, opts ...godwit.Option) call {
	return call{method: "GET", path: path, has: has, opts: opts}
}

func field(name, value string) func(*godwit.Response) bool {
	return func(r *godwit.Response) bool { return r.Header.Get(name) == value }
}

func length(n int) func(*godwit.Response) bool {
	return func(r *godwit.Response) bool { return len(r.Bytes()) == n }
}

func hops(n int) func(*godwit.Response) bool {
	return func(r *godwit.Response) bool { return len(r.Call().History()) == n }
}

// unsized is a body of 70,000 bytes that does not say so before.
func unsized(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(zeros{}, 70_000)), nil
}

// calls are all endpoints of go-httpbin but /websocket/echo and /sse, which have
// tests of their own.
func calls() []call {
	digest := auth.New(auth.Digest{User: "ada", Password: "secret"})
	jar := cookies.New(cookies.Config{})
	body := godwit.Body("the body")
	return slices.Concat([]call{
		get("/", "httpbin"),
		get("/get?a=1&a=2", `"a"`),
		{method: "HEAD", path: "/head", check: length(0)},
		{method: "HEAD", path: "/get", check: length(0)},
		{method: "OPTIONS", path: "/get", check: func(r *godwit.Response) bool {
			return strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), "PATCH")
		}},
		{method: "DELETE", path: "/delete", opts: []godwit.Option{body}, has: "the body"},
		{method: "PATCH", path: "/patch", opts: []godwit.Option{body}, has: "the body"},
		{method: "POST", path: "/post", opts: []godwit.Option{body}, has: "the body"},
		{method: "PUT", path: "/put", opts: []godwit.Option{body}, has: "the body"},
		{method: "POST", path: "/post", opts: []godwit.Option{godwit.Body(map[string]string{"name": "ada"})}, has: `"ada"`},
		{method: "GET", path: "/post", status: 405},
		{method: "POST", path: "/upload", opts: []godwit.Option{godwit.Body(make([]byte, 100_000))}, has: "100000"},
		{method: "PUT", path: "/upload", opts: []godwit.Option{godwit.Body(content.Opener(unsized, "application/octet-stream", -1))}, has: "70000"},
		{method: "PATCH", path: "/upload", has: `"bytes_received": 0`},
		{method: "PURGE", path: "/anything", has: "PURGE"},
		{method: "POST", path: "/anything/else?x=%2F", opts: []godwit.Option{body}, has: "the body"},
		get("/encoding/utf8", "∀"),
		get("/forms/post", "<form"),
		get("/base64/aGVsbG8=", "hello"),
		get("/base64/encode/hello", "aGVsbG8="),
		get("/bytes/1000?seed=1", ""), // its length is checked by stream-bytes
		{method: "GET", path: "/bytes/1000", check: length(1000)},
		get("/deflate", `"deflated": true`),
		get("/gzip", `"gzipped": true`),
		get("/brotli", ""),
		get("/delay/0.01", `"url"`),
		get("/deny", "SHOULDN'T"),
		{method: "GET", path: "/drip?numbytes=10&duration=0.02&delay=0.01&code=203", status: 203, check: length(10)},
		get("/dump/request", "Host: "),
		get("/env", "{"),
		get("/etag/x", `"url"`),
		{method: "GET", path: "/etag/x", opts: []godwit.Option{godwit.Header("If-None-Match", `"x"`)}, status: 304},
		{method: "GET", path: "/etag/x", opts: []godwit.Option{godwit.Header("If-Match", `"y"`)}, status: 412},
		get("/cache", `"url"`),
		{method: "GET", path: "/cache", opts: []godwit.Option{godwit.Header("If-None-Match", "x")}, status: 304},
		{method: "GET", path: "/cache/7", check: field("Cache-Control", "public, max-age=7")},
		get("/headers", "X-Own", godwit.Header("X-Own", "1")),
		get("/hostname", "hostname"),
		get("/html", "Herman Melville"),
		get("/ip", "origin"),
		get("/json", "slideshow"),
		get("/jsonl", "{"),
		get("/robots.txt", "Disallow"),
		get("/user-agent", "godwit"),
		get("/uuid", "uuid"),
		get("/version", "{"),
		get("/xml", "<?xml"),
		get("/image", "PNG", godwit.Accept("image/png")),
		get("/links/3/1", "<a href"),
		{method: "GET", path: "/links/3", has: "<a href", check: hops(1)},
		{method: "GET", path: "/response-headers?X-Two=1&X-Two=2", check: func(r *godwit.Response) bool { return len(r.Header.Values("X-Two")) == 2 }},
		{method: "GET", path: "/status/418", status: 418},
		{method: "GET", path: "/status/204", status: 204},
		{method: "GET", path: "/status/500", status: 500},
		{method: "GET", path: "/unstable?failure_rate=1", status: 500},
		{method: "GET", path: "/unstable?failure_rate=0"},
		{method: "GET", path: "/stream-bytes/5000?chunk_size=100", check: func(r *godwit.Response) bool { return len(r.Bytes()) == 5000 }},
		{method: "GET", path: "/stream/5", check: func(r *godwit.Response) bool { return strings.Count(r.Text(), "\n") == 5 }},
		{method: "GET", path: "/trailers?X-Sum=7", check: func(r *godwit.Response) bool { t := r.Trailer(); return t.Get("X-Sum") == "7" }},
		{method: "GET", path: "/range/26", has: "abcdefghijklmnopqrstuvwxyz"},
		{method: "GET", path: "/range/26", opts: []godwit.Option{godwit.Header("Range", "bytes=3-5")}, status: 206, has: "def", check: length(3)},
		{method: "GET", path: "/range/26", opts: []godwit.Option{godwit.Header("Range", "bytes=30-")}, status: 416},
		{method: "GET", path: "/absolute-redirect/2", has: `"url"`, check: hops(2)},
		{method: "GET", path: "/redirect/3", has: `"url"`, check: hops(3)},
		{method: "GET", path: "/relative-redirect/2", has: `"url"`, check: hops(2)},
		{method: "GET", path: "/redirect-to?url=/get&status_code=307", has: `"url"`, check: hops(1)},
		{method: "GET", path: "/basic-auth/ada/secret", status: 401},
		get("/basic-auth/ada/secret", `"authenticated": true`, godwit.BasicAuth("ada", "secret")),
		{method: "GET", path: "/hidden-basic-auth/ada/secret", status: 404},
		get("/hidden-basic-auth/ada/secret", `"ada"`, godwit.BasicAuth("ada", "secret")),
		{method: "GET", path: "/bearer", status: 401},
		get("/bearer", "token", godwit.BearerAuth("token")),
		{method: "GET", path: "/digest-auth/auth/ada/secret", status: 401},
		{method: "GET", path: "/digest-auth/auth/ada/secret", plugin: digest, has: "ada"},
		{method: "GET", path: "/digest-auth/auth/ada/secret/SHA-256", plugin: digest, has: "ada"},
		get("/cookies", "yes", godwit.Cookie("seen", "yes")),
		{method: "GET", path: "/cookies/set?kept=1", plugin: jar, has: `"kept"`},
		{method: "GET", path: "/cookies/delete?kept=1", plugin: jar, check: func(r *godwit.Response) bool { return !strings.Contains(r.Text(), "kept") }},
	}, images())
}

func images() (list []call) {
	for kind, mediaType := range map[string]string{"jpeg": "image/jpeg", "png": "image/png", "svg": "image/svg+xml", "webp": "image/webp", "avif": "image/avif"} {
		list = append(list, call{method: "GET", path: "/image/" + kind, check: field("Content-Type", mediaType)})
	}
	return list
}

// onHTTPBin runs f with a go-httpbin on each engine, and on one that calls it
// without a network.
func onHTTPBin(t *testing.T, f func(t *testing.T, engine engine.Factory, base string)) {
	bin := httpbin.New(httpbin.WithMaxBodySize(1<<20), httpbin.WithMaxDuration(time.Second)).Handler()
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			s := httptest.NewServer(bin)
			t.Cleanup(s.Close)
			f(t, e, s.URL)
		})
	}
	t.Run("handler", func(t *testing.T) { f(t, stdhttp.Handler(bin), "http://httpbin.example") })
}

func TestHTTPBin(t *testing.T) {
	all := calls()
	onHTTPBin(t, func(t *testing.T, e engine.Factory, base string) {
		c := newClient(t, e, nil)
		for i := range all {
			t.Run(all[i].method+all[i].path, func(t *testing.T) { all[i].run(t, c, base) })
		}
	})
}

func (k *call) run(t *testing.T, c *godwit.Client, base string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if k.plugin != nil {
		c = c.With(godwit.Install(k.plugin))
		defer c.Close()
	}
	want := k.status
	if want == 0 {
		want = 200
	}
	if k.path == "/brotli" {
		want = 501
	}
	resp, err := c.Do(ctx, godwit.NewRequest(k.method, base+k.path, k.opts...))
	switch {
	case err != nil:
		t.Fatal(err)
	case resp.Status != want:
		t.Errorf("status %v, want %v", resp.Status, want)
	case !strings.Contains(resp.Text(), k.has):
		t.Errorf("the body has no %q: %.300q", k.has, resp.Text())
	case k.check != nil && !k.check(resp):
		t.Errorf("%v\n%v\n%.300q", resp.Status, resp.Header, resp.Text())
	}
}

// TestHTTPBinIsComplete: what the index page links to is called.
func TestHTTPBinIsComplete(t *testing.T) {
	c := newClient(t, stdhttp.Handler(httpbin.New().Handler()), nil)
	index, err := godwit.Get[string](t.Context(), c, "http://httpbin.example/")
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{"sse": true, "websocket": true}
	for _, k := range calls() {
		called[firstSegment(k.path)] = true
	}
	links := regexp.MustCompile(`(?:href="|<code>)(/[a-z][^"<? ]*)`).FindAllStringSubmatch(index, -1)
	if len(links) < 50 {
		t.Errorf("%d links on the index page", len(links))
	}
	for _, l := range links {
		if name := firstSegment(l[1]); !called[name] {
			t.Errorf("%s is not called", l[1])
		}
	}
}

func firstSegment(path string) string {
	path, _, _ = strings.Cut(path[1:], "?")
	name, _, _ := strings.Cut(path, "/")
	return name
}

// TestDigestThroughTransport lets the client's plugin answer a challenge to an SDK's
// request, whose body is sent again by GetBody.
func TestDigestThroughTransport(t *testing.T) {
	onHTTPBin(t, func(t *testing.T, e engine.Factory, base string) {
		c := newClient(t, e, nil, godwit.Install(auth.New(auth.Digest{User: "ada", Password: "secret"})))
		resp, err := stdhttp.Client(c).Post(base+"/digest-auth/auth/ada/secret", "text/plain", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || !strings.Contains(string(b), `"ada"`) {
			t.Errorf("%s %q, %v", resp.Status, b, err)
		}
	})
}

func TestHTTPBinEvents(t *testing.T) {
	onHTTPBin(t, func(t *testing.T, e engine.Factory, base string) {
		events := 0
		err := newClient(t, e, nil).Stream(t.Context(), godwit.NewRequest("GET", base+"/sse?count=3&duration=0.03"), func(r *godwit.Response) error {
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), "data:") {
					events++
				}
			}
			return lines.Err()
		})
		if err != nil || events != 3 {
			t.Errorf("%d events, %v", events, err)
		}
	})
}

func TestHTTPBinWebSocket(t *testing.T) {
	onHTTPBin(t, func(t *testing.T, e engine.Factory, base string) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		resp, err := newClient(t, e, nil).Open(ctx, godwit.NewRequest("GET", base+"/websocket/echo", godwit.Upgrade("websocket"),
			godwit.Header("Sec-WebSocket-Version", "13"), godwit.Header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close()
		if resp.Status != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Fatalf("%v %v", resp.Status, resp.Header)
		}
		stream := resp.Upgraded()
		fmt.Fprint(stream, "\x81\x82\x00\x00\x00\x00hi") // a masked frame of text
		frame := make([]byte, 4)
		if _, err := io.ReadFull(stream, frame); err != nil || string(frame) != "\x81\x02hi" {
			t.Errorf("frame %q, %v", frame, err)
		}
	})
}
