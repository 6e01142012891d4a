package enginetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

func always(r Reply) func(*engine.Request) Reply {
	return func(*engine.Request) Reply { return r }
}

func contractTests() []test {
	return []test{
		{name: "Constants", run: contractConstants},
		{name: "Response", run: contractResponse},
		{name: "AnyStatusIsNoError", run: contractStatuses},
		{name: "RedirectsAreNotFollowed", run: contractRedirect},
		{name: "CookiesAreNotTouched", run: contractCookies},
		{name: "ContentIsNotDecoded", run: contractEncoding},
		{name: "RequestReachesTheServer", run: contractRequest},
		{name: "RequestIsNotChanged", run: contractUnchanged},
		{name: "RequestBodyIsClosedOnce", run: contractBodyClosed},
		{name: "EmptyBodyIsNotNil", run: contractEmptyBody},
		{name: "BodyAfterItsEnd", run: contractBodyEnd},
		{name: "BodyCloseTwice", run: contractBodyClose},
		{name: "ResponseTrailers", needs: engine.ResponseTrailers, run: contractTrailers},
		{name: "Informational", needs: engine.Informational, run: contractInformational},
		{name: "CancelledBefore", run: contractCancelledBefore},
		{name: "CancelledWhileWaiting", run: contractCancelled},
		{name: "CauseIsVisible", run: contractCause},
		{name: "Deadline", needs: engine.RequestTimeout, run: contractDeadline},
		{name: "DeadlinePassed", needs: engine.RequestTimeout, run: contractDeadlinePassed},
		{name: "ClosedEngine", run: contractClosed},
		{name: "Concurrent", run: contractConcurrent},
		{name: "UnsupportedIsRefused", run: contractUnsupported},
		{name: "RequestBodyOpenFails", run: contractOpenFails},
		{name: "RequestBodyOpensSlowly", run: contractOpensSlowly},
		{name: "RequestBodyReadFails", run: contractReadFails},
		{name: "RequestBodyOfNoBytes", run: contractNoBytes},
		{name: "RequestTrailers", needs: engine.RequestTrailers, run: contractRequestTrailers},
		{name: "HeadBeforeBody", run: contractHeadFirst},
		{name: "BodyCloseUnblocksRead", run: contractCloseUnblocks},
		{name: "CancelledInBody", run: contractCancelBody},
		{name: "DeadlineInBody", needs: engine.RequestTimeout, run: contractDeadlineBody},
		{name: "HeadOnlyDeadline", needs: engine.RequestTimeout, run: contractHeadOnly},
		{name: "HeaderTimeout", needs: engine.HeaderTimeout, run: contractHeaderTimeout},
		{name: "IdleTimeout", needs: engine.IdleTimeout, run: contractIdleTimeout},
		{name: "TruncatedBody", run: contractTruncated},
		{name: "RawHead", needs: engine.RawHead, run: contractRawHead},
		{name: "Upgrade", needs: engine.Upgrade, run: contractUpgrade},
		{name: "UpgradeRefused", needs: engine.Upgrade, run: contractUpgradeRefused},
		{name: "Connect", needs: engine.Connect, run: contractConnect},
	}
}

func contractConstants(t *T) {
	e, _ := t.contract(always(Reply{}))
	if e.Name() == "" || e.Name() != strings.ToLower(e.Name()) {
		t.Errorf("Name() = %q, want a lower-case word", e.Name())
	}
	if first := e.Capabilities(); first == 0 || first != e.Capabilities() {
		t.Errorf("Capabilities() = %v", e.Capabilities())
	}
	if unknown := e.Capabilities() &^ engine.AllCapabilities; unknown != 0 {
		t.Errorf("Capabilities() has unknown bits %b", unknown)
	}
}

func contractResponse(t *T) {
	want := header.New("X-Second", "2", "X-First", "1", "X-Second", "3", "X-Empty", "")
	e, u := t.contract(always(Reply{Status: 207, Reason: "Multi-Status", Header: want, Body: "hello"}))
	resp := t.must(e, t.request("GET", u+"/x"))
	if resp.Status != 207 || resp.Reason != "Multi-Status" || resp.ContentLength != 5 {
		t.Errorf("status %d %q, length %d", resp.Status, resp.Reason, resp.ContentLength)
	}
	if !strings.HasPrefix(resp.Proto, "HTTP/") {
		t.Errorf("Proto %q", resp.Proto)
	}
	for _, name := range want.Names() {
		if got, want := resp.Header.Values(name), want.Values(name); !slices.Equal(got, want) {
			t.Errorf("field %s: %q, want %q", name, got, want)
		}
	}
	if resp.Upgraded != nil {
		t.Error("Upgraded is set on an ordinary response")
	}
	if got := t.read(resp); got != "hello" {
		t.Errorf("body %q", got)
	}
}

func contractStatuses(t *T) {
	e, u := t.contract(func(r *engine.Request) Reply {
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		return Reply{Status: status}
	})
	for _, status := range []int{200, 299, 300, 304, 400, 401, 404, 407, 429, 451, 500, 503, 599} {
		t.get(e, u+"/"+itoa(status), status, "")
	}
}

func contractRedirect(t *T) {
	var requests atomic.Int32
	e, u := t.contract(func(*engine.Request) Reply {
		requests.Add(1)
		return Reply{Status: 302, Header: header.New("Location", "/elsewhere"), Body: "moved"}
	})
	resp := t.get(e, u, 302, "moved")
	if resp.Header.Get("Location") != "/elsewhere" || requests.Load() != 1 {
		t.Errorf("Location %q after %d requests", resp.Header.Get("Location"), requests.Load())
	}
}

func contractCookies(t *T) {
	var cookies atomic.Int32
	e, u := t.contract(func(r *engine.Request) Reply {
		if r.Header.Has("Cookie") {
			cookies.Add(1)
		}
		return Reply{Header: header.New("Set-Cookie", "a=1; Path=/", "Set-Cookie", "b=2, x")}
	})
	for range 2 {
		resp := t.get(e, u, 200, "")
		if got := resp.Header.Values("Set-Cookie"); !slices.Equal(got, []string{"a=1; Path=/", "b=2, x"}) {
			t.Errorf("Set-Cookie %q", got)
		}
	}
	if cookies.Load() > 0 {
		t.Error("the engine sent a cookie by itself")
	}
}

func contractEncoding(t *T) {
	var asked atomic.Pointer[string]
	e, u := t.contract(func(r *engine.Request) Reply {
		ae := r.Header.Joined("Accept-Encoding")
		asked.Store(&ae)
		return Reply{Header: header.New("Content-Encoding", "gzip"), Body: "no gzip at all"}
	})
	resp := t.get(e, u, 200, "no gzip at all")
	if got := resp.Header.Get("Content-Encoding"); got != "gzip" || resp.ContentLength != 14 {
		t.Errorf("Content-Encoding %q, length %d", got, resp.ContentLength)
	}
	if *asked.Load() != "" {
		t.Errorf("the engine added Accept-Encoding: %s", *asked.Load())
	}
}

func contractRequest(t *T) {
	type seen struct{ method, path, query, field, body string }
	var mu sync.Mutex
	var got seen
	e, u := t.contract(func(r *engine.Request) Reply {
		s := seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("X-One"), ""}
		if r.Body != nil {
			if rc, err := r.Body.Open(t.ctx); err == nil {
				b, _ := io.ReadAll(rc)
				rc.Close()
				s.body = string(b)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		got = s
		return Reply{}
	})
	req := t.post(u+"/a%2Fb?q=%41&r", inMemory("content"), "X-One", "1")
	t.want(e, req, 200, "")
	mu.Lock()
	defer mu.Unlock()
	if want := (seen{"POST", "/a%2Fb", "q=%41&r", "1", "content"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func contractUnchanged(t *T) {
	e, u := t.contract(always(Reply{Body: "x"}))
	req := t.post(u+"/p?q=1#frag", replayable("body"), "X-b", "2", "x-A", "1", "X-b", "3")
	before := *req
	before.Header = req.Header.Clone()
	beforeURL := *req.URL
	t.want(e, req, 200, "x")
	if req.Method != before.Method || *req.URL != beforeURL || req.URL != before.URL || req.Body != before.Body ||
		req.Header.String() != before.Header.String() || req.Attributes != before.Attributes ||
		req.Deadline != before.Deadline || req.Timeouts != before.Timeouts || req.Needs != before.Needs {
		t.Errorf("the request changed:\n%+v\nwas\n%+v", req, &before)
	}
}

func contractBodyClosed(t *T) {
	e, u := t.contract(func(r *engine.Request) Reply { return Reply{Body: "x"} })
	for _, b := range []*body{replayable("x"), stream("y"), sized(0, ""), stream("")} {
		t.want(e, t.post(u, b), 200, "x")
		b.wantClosedOnce(t)
	}
}

func contractEmptyBody(t *T) {
	e, u := t.contract(func(r *engine.Request) Reply {
		if r.URL.Path == "/204" {
			return Reply{Status: 204}
		}
		return Reply{}
	})
	t.get(e, u+"/204", 204, "")
	t.get(e, u+"/200", 200, "")
	t.want(e, t.request("HEAD", u+"/200"), 200, "")
}

func contractBodyEnd(t *T) {
	e, u := t.contract(always(Reply{Body: "abc"}))
	resp := t.must(e, t.request("GET", u))
	b, err := io.ReadAll(resp.Body)
	if string(b) != "abc" || err != nil {
		t.Fatalf("body %q, %v", b, err)
	}
	for range 2 {
		if n, err := resp.Body.Read(make([]byte, 8)); n != 0 || err != io.EOF {
			t.Errorf("Read after the end: %d, %v; want 0, io.EOF", n, err)
		}
	}
}

func contractBodyClose(t *T) {
	e, u := t.contract(always(Reply{Body: "abc"}))
	for _, read := range []int{0, 1, 3} {
		resp := t.must(e, t.request("GET", u))
		if _, err := io.ReadFull(resp.Body, make([]byte, read)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := resp.Body.Close(); err != nil {
				t.Errorf("Close after %d bytes: %v", read, err)
			}
		}
		if n, err := resp.Body.Read(make([]byte, 8)); n != 0 || err == nil {
			t.Errorf("Read after Close: %d, %v", n, err)
		}
	}
}

func contractTrailers(t *T) {
	e, u := t.contract(always(Reply{Body: "abc", Trailer: header.New("X-Sum", "7", "X-Sum", "8")}))
	resp := t.must(e, t.request("GET", u))
	if resp.ContentLength != -1 {
		t.Errorf("ContentLength %d, want -1", resp.ContentLength)
	}
	t.read(resp)
	if resp.Trailer == nil {
		t.Fatal("Trailer is nil")
	}
	if got := resp.Trailer().Values("x-sum"); !slices.Equal(got, []string{"7", "8"}) {
		t.Errorf("trailer X-Sum %q", got)
	}
}

func contractInformational(t *T) {
	e, u := t.contract(always(Reply{
		Informational: []Informational{
			{103, header.New("Link", "</a.css>")}, {102, header.Header{}}, {103, header.New("Link", "</b.css>")},
		},
		Body: "final",
	}))
	var got []string
	req := t.request("GET", u)
	req.Trace = &engine.Trace{Informational: func(status int, h header.Header) error {
		got = append(got, itoa(status)+h.Get("Link"))
		return nil
	}}
	t.want(e, req, 200, "final")
	if want := []string{"103</a.css>", "102", "103</b.css>"}; !slices.Equal(got, want) {
		t.Errorf("1xx seen: %q, want %q", got, want)
	}
	refusal := errors.New("enough")
	req = t.request("GET", u)
	req.Trace = &engine.Trace{Informational: func(int, header.Header) error { return refusal }}
	_, err := t.execute(e, req)
	t.wantIs(err, refusal)
}

func contractCancelledBefore(t *T) {
	var asked atomic.Int32
	e, u := t.contract(func(*engine.Request) Reply { asked.Add(1); return Reply{} })
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	b := replayable("x")
	_, err := t.executeIn(ctx, e, t.post(u, b))
	t.wantIs(err, context.Canceled)
	if asked.Load() > 0 {
		t.Error("the request was sent though its context had ended")
	}
	b.wantClosedOnce(t)
}

func contractCancelled(t *T) {
	asked := make(chan struct{}, 1)
	e, u := t.contract(func(*engine.Request) Reply {
		asked <- struct{}{}
		return Reply{Hang: make(chan struct{})}
	})
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	done := t.start(ctx, e, t.request("GET", u))
	within(t, "the request", asked)
	cancel()
	r := within(t, "Execute after cancel", done)
	t.wantIs(r.err, context.Canceled)
	t.wantOp(r.err, engine.OpReceive, engine.OpSend)
	if engine.IsTimeout(r.err) {
		t.Errorf("cancellation %v counts as a timeout", r.err)
	}
}

func contractCause(t *T) {
	asked := make(chan struct{}, 1)
	e, u := t.contract(func(*engine.Request) Reply {
		asked <- struct{}{}
		return Reply{Hang: make(chan struct{})}
	})
	cause := errors.New("the user left")
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	done := t.start(ctx, e, t.request("GET", u))
	within(t, "the request", asked)
	cancel(cause)
	r := within(t, "Execute after cancel", done)
	if !errors.Is(r.err, cause) && !errors.Is(r.err, context.Canceled) {
		t.Errorf("error %v is neither the cause nor context.Canceled", r.err)
	}
}

func contractDeadline(t *T) {
	e, u := t.contract(always(Reply{Hang: make(chan struct{})}))
	for _, kind := range []engine.TimeoutKind{engine.KindRequest, engine.KindAttempt} {
		req := t.request("GET", u)
		req.Deadline, req.DeadlineKind, req.DeadlineLimit = time.Now().Add(short), kind, short
		r := within(t, "Execute after its deadline", t.start(t.ctx, e, req))
		t.wantTimeout(r.err, kind)
		if te, ok := errors.AsType[*engine.TimeoutError](r.err); ok && te.Limit != short {
			t.Errorf("Limit %v, want %v", te.Limit, short)
		}
	}
}

func contractDeadlinePassed(t *T) {
	var asked atomic.Int32
	e, u := t.contract(func(*engine.Request) Reply { asked.Add(1); return Reply{} })
	req := t.request("GET", u)
	req.Deadline, req.DeadlineKind = time.Now().Add(-time.Second), engine.KindRequest
	_, err := t.execute(e, req)
	t.wantTimeout(err, engine.KindRequest)
	if asked.Load() > 0 {
		t.Error("the request was sent though its deadline had passed")
	}
}

func contractClosed(t *T) {
	e, u := t.contract(always(Reply{}))
	t.get(e, u, 200, "")
	for range 2 {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	b := replayable("x")
	_, err := t.execute(e, t.post(u, b))
	t.wantIs(err, engine.ErrClosed)
	if oe := t.wantOp(err, engine.OpBuild, engine.OpPool, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
	b.wantClosedOnce(t)
}

func contractConcurrent(t *T) {
	e, u := t.contract(func(r *engine.Request) Reply { return Reply{Body: r.URL.Path} })
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			path := "/" + itoa(i)
			resp, err := t.execute(e, t.request("GET", u+path))
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := io.ReadAll(resp.Body); string(b) != path || err != nil {
				t.Errorf("%s: body %q, %v", path, b, err)
			}
		})
	}
	wg.Wait()
}

// contractUnsupported goes through all that the engine says it cannot do.
func contractUnsupported(t *T) {
	for _, one := range (engine.AllCapabilities &^ t.s.caps).Each() {
		if a, ok := asks[one]; ok {
			t.row(one.String(), func(t *T) { t.refusesOne(one, a) })
		}
	}
}

var _ content.Content = file{}
