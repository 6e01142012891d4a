package mock_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

func request(method, rawURL string) *engine.Request {
	u, err := url.Parse(rawURL)
	if err != nil {
		panic(err)
	}
	return &engine.Request{Method: method, URL: u}
}

func get() *engine.Request { return request("GET", "https://a.example/x") }

// body is a Content of a reader; bytesBody one in memory.
type body struct {
	open   func() io.ReadCloser
	length int64
}

func (b body) ContentType() string                         { return "" }
func (b body) ContentLength() int64                        { return b.length }
func (b body) Open(context.Context) (io.ReadCloser, error) { return b.open(), nil }
func (b body) Replayable() bool                            { return true }
func reader(s string) body {
	return body{func() io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }, -1}
}

type bytesBody string

func (b bytesBody) ContentType() string   { return "" }
func (b bytesBody) ContentLength() int64  { return int64(len(b)) }
func (b bytesBody) Replayable() bool      { return true }
func (b bytesBody) Bytes() ([]byte, bool) { return []byte(b), true }
func (b bytesBody) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(b))), nil
}

var _ content.Byteser = bytesBody("")

// send executes req, reads the body and closes it.
func send(t *testing.T, e engine.Engine, req *engine.Request) (*engine.Response, string) {
	t.Helper()
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// record is a testing.TB that notes failures.
type record struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *record) Helper() {}
func (r *record) Errorf(format string, a ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, a...))
}
func (r *record) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func TestHandlersInOrder(t *testing.T) {
	e := mock.NewT(t, mock.OK("1"), mock.Text(404, "2"), mock.Func(func(_ context.Context, req *mock.Request) (*mock.Response, error) {
		return mock.Text(201, req.Method+" "+req.Text()), nil
	}))
	post := request("POST", "https://a.example/")
	post.Body = reader("hello")
	for i, want := range []string{"200 1", "404 2", "201 POST hello"} {
		resp, text := send(t, e, post)
		if got := fmt.Sprint(resp.Status, " ", text); got != want {
			t.Errorf("answer %d = %q, want %q", i, got, want)
		}
	}
	e.Enqueue(mock.Status(204))
	if resp, text := send(t, e, get()); resp.Status != 204 || text != "" || resp.ContentLength != 0 || resp.Header.Has("Content-Length") {
		t.Errorf("204 = %+v %q", resp, text)
	}
}

func TestUnexpected(t *testing.T) {
	rec := &record{TB: t}
	e := mock.NewT(rec, mock.OK("1"), mock.When(mock.Method("PUT"), mock.Path("/a/*")).Reply(mock.OK("2")))
	send(t, e, get())
	_, err := e.Execute(t.Context(), request("DELETE", "https://a.example/gone"))
	unexpected, ok := errors.AsType[*mock.UnexpectedError](err)
	if !ok || unexpected.Request != "DELETE https://a.example/gone" {
		t.Fatalf("error = %v", err)
	}
	if want := "1. any request, used once; 2. method PUT, path /a/*, used 0 times"; unexpected.Handlers != want {
		t.Errorf("handlers = %s, want %s", unexpected.Handlers, want)
	}
	for _, f := range rec.cleanups {
		f()
	}
	got := strings.Join(rec.errors, "|")
	want := "mock: handler 2 (method PUT, path /a/*) was used 0 times, not once|mock: unexpected request DELETE https://a.example/gone"
	if got != want {
		t.Errorf("reports:\n%s\nwant\n%s", got, want)
	}
	e.Reset()
	rec.errors = nil
	e.AssertDone(rec)
	if len(rec.errors) != 0 || len(e.Requests()) != 0 || len(e.Responses()) != 0 {
		t.Errorf("after Reset: %v, %d requests", rec.errors, len(e.Requests()))
	}
}

func TestCycle(t *testing.T) {
	made, err := mock.Config{Handlers: []mock.Handler{mock.OK("1"), mock.OK("2"), mock.When().Reply(mock.OK("3"), mock.OK("4")).Times(2)}, Cycle: true}.NewEngine(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for range 10 {
		_, text := send(t, made, get())
		got += text
	}
	if got != "1234123412" {
		t.Errorf("answers = %s", got)
	}
}

func TestRules(t *testing.T) {
	e := mock.New(
		mock.When(mock.Path("/twice")).Reply(mock.Status(503), mock.OK("then")).Times(2),
		mock.When(mock.Path("/many")).Reply(mock.Status(503), mock.OK("then")),
		mock.When(mock.Path("/rare")).Reply(mock.OK("rare")).AtLeast(0),
	)
	for _, step := range []struct{ path, want string }{
		{"/twice", "503"}, {"/twice", "200"}, {"/twice", "none"},
		{"/many", "503"}, {"/many", "200"}, {"/many", "200"}, {"/other", "none"},
	} {
		resp, err := e.Execute(t.Context(), request("GET", "http://a.example"+step.path))
		got := "none"
		if err == nil {
			got = fmt.Sprint(resp.Status)
			resp.Body.Close()
		}
		if got != step.want {
			t.Errorf("%s = %s, want %s", step.path, got, step.want)
		}
	}
	rec := &record{TB: t}
	e.AssertDone(rec)
	if len(rec.errors) != 2 {
		t.Errorf("reports = %q, want the two unexpected requests only", rec.errors)
	}
}

// TestNoHandler: what was forgotten is told, to whom uses it.
func TestNoHandler(t *testing.T) {
	for name, row := range map[string]struct {
		h    mock.Handler
		want string
	}{
		"When without Reply": {mock.When(), "has no Reply"},
		"nil":                {nil, "a handler is nil"},
		"nil Func":           {mock.Func(nil), "a handler is nil"},
		"nil response":       {(*mock.Response)(nil), "a handler is nil"},
		"nil rule":           {(*mock.Rule)(nil), "a handler is nil"},
		"Always(nil)":        {mock.Always(nil), "a handler is nil"},
		"second reply":       {mock.When().Reply(mock.OK(""), nil), "a handler is nil"},
	} {
		e := mock.New(row.h)
		var err error
		for range 2 {
			var resp *engine.Response
			if resp, err = e.Execute(t.Context(), request("GET", "http://a.example/")); err != nil {
				break
			}
			resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMatchers(t *testing.T) {
	req := request("POST", "https://A.example:8443/users/7%2F8/x?q=1&q=2")
	req.Header = header.New("Accept", "a/b", "X-One", "1")
	req.Body = bytesBody(`{"b": [1, 2.50], "a": "x"}`)
	for _, tc := range []struct {
		name string
		m    mock.Matcher
		want bool
	}{
		{"method", mock.Method("POST"), true},
		{"other method", mock.Method("post"), false},
		{"path", mock.Path("/users/7/8/x"), true},
		{"pattern", mock.Path("/users/*/*/x"), true},
		{"one star is one segment", mock.Path("/users/*"), false},
		{"prefix", mock.PathPrefix("/users/"), true},
		{"other prefix", mock.PathPrefix("/x"), false},
		{"host", mock.Host("a.example"), true},
		{"host and port", mock.Host("a.example:8443"), true},
		{"other port", mock.Host("a.example:1"), false},
		{"query", mock.Query("q", "2"), true},
		{"other query", mock.Query("q", "3"), false},
		{"field", mock.HeaderIs("x-one", "1"), true},
		{"other value", mock.HeaderIs("x-one", "2"), false},
		{"has field", mock.HasHeader("ACCEPT"), true},
		{"has not", mock.HasHeader("Accept-Language"), false},
		{"body", mock.BodyIs(`{"b": [1, 2.50], "a": "x"}`), true},
		{"other body", mock.BodyIs(`{}`), false},
		{"part of body", mock.BodyContains("2.50"), true},
		{"no part of body", mock.BodyContains("2.51"), false},
		{"JSON", mock.BodyJSON(map[string]any{"a": "x", "b": []any{1, jsonNumber("2.50")}}), true},
		{"other JSON", mock.BodyJSON(map[string]any{"a": "x"}), false},
		{"function", mock.Match("own", func(r *mock.Request) bool { return r.Text() != "" }), true},
		{"not", mock.Not(mock.Method("POST")), false},
		{"not not", mock.Not(mock.Not(mock.Method("POST"))), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, b := range []content.Content{req.Body, reader(string(req.Body.(bytesBody)))} {
				r := *req
				r.Body = b
				resp, err := mock.New(mock.When(tc.m).Reply(mock.OK("fits"))).Execute(t.Context(), &r)
				if err == nil {
					resp.Body.Close()
				}
				if (err == nil) != tc.want {
					t.Errorf("with a %T: fits = %v (%v), want %v", b, err == nil, err, tc.want)
				}
			}
		})
	}
}

func TestHistory(t *testing.T) {
	e := mock.New(mock.Always(mock.OK("x")))
	req := request("PUT", "https://a.example/1")
	req.Header = header.New("X-A", "1")
	req.Body = reader("first")
	send(t, e, req)
	req.URL.Path, req.Body = "/2", bytesBody("second")
	req.Header.Set("X-A", "2")
	send(t, e, req)
	var got []string
	for _, r := range e.Requests() {
		got = append(got, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header.Get("x-a"), " ", r.Text()))
	}
	if text := strings.Join(got, "|"); text != "PUT https://a.example/1 1 first|PUT https://a.example/2 2 second" {
		t.Errorf("history = %s", text)
	}
	if r := e.Responses(); len(r) != 2 || string(r[1].Body) != "x" {
		t.Errorf("responses = %v", r)
	}
	var v struct{ A int }
	req.Body = bytesBody(`{"A": 7}`)
	send(t, e, req)
	if err := e.Requests()[2].JSON(&v); err != nil || v.A != 7 {
		t.Errorf("JSON = %+v, %v", v, err)
	}
}

func TestRequestTrailers(t *testing.T) {
	e := mock.New(mock.Always(mock.OK("")))
	req := request("POST", "https://a.example/")
	req.Body = reader("body")
	req.TrailerNames = []string{"X-Sum"}
	req.Trailer = func() header.Header { return header.New("X-Sum", "4") }
	send(t, e, req)
	if r := e.Requests()[0]; r.Trailer().Get("X-Sum") != "4" || r.Text() != "body" {
		t.Errorf("trailer = %v, body = %q", r.Trailer(), r.Text())
	}
}

func TestCapabilities(t *testing.T) {
	for c, change := range map[engine.Capabilities]func(*engine.Request){
		engine.Upgrade:         func(r *engine.Request) { r.Protocol = "websocket" },
		engine.Connect:         func(r *engine.Request) { r.Method = "CONNECT" },
		engine.RequestTrailers: func(r *engine.Request) { r.Trailer = func() header.Header { return header.Header{} } },
		engine.UnixSocket:      func(r *engine.Request) { r.UnixSocket = "/s" },
		engine.RequestProxy:    func(r *engine.Request) { r.Proxy = engine.NoProxy },
		engine.RawHead:         func(r *engine.Request) { r.WantRawHead = true },
		engine.NoStaleRetry:    func(r *engine.Request) { r.NoStaleRetry = true },
		engine.PoolTimeout:     func(r *engine.Request) { r.Timeouts.Pool = 1 },
		engine.ConnectTimeout:  func(r *engine.Request) { r.Timeouts.Connect = 1 },
		engine.HeaderTimeout:   func(r *engine.Request) { r.Timeouts.Header = 1 },
		engine.IdleTimeout:     func(r *engine.Request) { r.Timeouts.Idle = 1 },
		engine.RequestTimeout:  func(r *engine.Request) { r.Deadline = farFuture },
		engine.HTTP3:           func(r *engine.Request) { r.Needs = engine.HTTP3 },
	} {
		t.Run(c.String(), func(t *testing.T) {
			made, err := mock.Config{Handlers: []mock.Handler{mock.OK("")}, Capabilities: engine.AllCapabilities &^ c, EngineName: "little"}.NewEngine(engine.Config{})
			if err != nil {
				t.Fatal(err)
			}
			req := get()
			change(req)
			_, err = made.Execute(t.Context(), req)
			if u, ok := errors.AsType[*engine.UnsupportedError](err); !ok || u.Engine != "little" || u.Capability != c {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestClose(t *testing.T) {
	e := mock.New(mock.OK("x"))
	for range 2 {
		if err := e.Close(); err != nil || !e.Closed() {
			t.Errorf("Close = %v", err)
		}
	}
	if _, err := e.Execute(t.Context(), get()); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("error = %v", err)
	}
}

func TestFactory(t *testing.T) {
	var seen *mock.Engine
	var f engine.Factory = mock.Config{Created: func(e *mock.Engine) { seen = e }}
	made, err := f.NewEngine(engine.Config{MaxConnections: 7})
	if err != nil || made != engine.Engine(seen) || seen.Shared().MaxConnections != 7 || f.Name() != "mock" || made.Name() != "mock" {
		t.Errorf("made %v, %v", made, err)
	}
}

func TestConcurrent(t *testing.T) {
	e := mock.NewT(t, mock.When(mock.Method("GET")).Reply(mock.Func(func(_ context.Context, req *mock.Request) (*mock.Response, error) {
		return mock.OK(req.URL.Path), nil
	})).Times(200), mock.When(mock.Method("PUT")).Reply(mock.OK("put")).Times(200))
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			path := fmt.Sprint("/", i)
			if _, text := send(t, e, request("GET", "http://a.example"+path)); text != path {
				t.Errorf("answer to %s = %s", path, text)
			}
			put := request("PUT", "http://a.example/")
			put.Body = reader(path)
			send(t, e, put)
		})
	}
	wg.Wait()
	if n := len(e.Requests()); n != 400 {
		t.Errorf("%d requests in the history", n)
	}
}

// TestQuickPathAllocations keeps the engine's share of a call small.
func TestQuickPathAllocations(t *testing.T) {
	made, err := mock.Config{Handlers: []mock.Handler{mock.Always(mock.OK(strings.Repeat("x", 100)))}, NoHistory: true}.NewEngine(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	req, buf, ctx := get(), make([]byte, 128), t.Context()
	got := testing.AllocsPerRun(100, func() {
		resp, err := made.Execute(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := resp.Body.Read(buf); n != 100 {
			t.Fatal(n)
		}
		resp.Body.Close()
	})
	if got > 2 {
		t.Errorf("%v allocations, want at most 2", got)
	}
}

func BenchmarkQuickPath(b *testing.B) {
	made, _ := mock.Config{Handlers: []mock.Handler{mock.Always(mock.OK(strings.Repeat("x", 100)))}, NoHistory: true}.NewEngine(engine.Config{})
	req, buf, ctx := get(), make([]byte, 128), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := made.Execute(ctx, req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = resp.Body.Read(buf)
		resp.Body.Close()
	}
}
