package enginetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

func cancelTests() []test {
	return []test{
		{name: "BeforeStart", run: cancelBefore},
		{name: "WhileResolving", needs: engine.CustomResolve, run: cancelResolving},
		{name: "WhileDialling", needs: engine.CustomDial, run: cancelDialling},
		{name: "DialThatIgnoresIt", needs: engine.CustomDial, run: cancelLateDial},
		{name: "InTLSHandshake", run: cancelHandshake},
		{name: "InProxyHandshake", needs: engine.HTTPProxy, run: cancelProxy},
		{name: "InSOCKSHandshake", needs: engine.SOCKS5Proxy, run: cancelSOCKS},
		{name: "WaitingForPool", needs: engine.ConnectionLimits, run: cancelPool},
		{name: "WhileSending", run: cancelSending},
		{name: "WhileBodyIsRead", run: cancelBodyRead},
		{name: "WaitingForHead", run: cancelHead},
		{name: "WaitingForContinue", needs: engine.ExpectContinue, run: cancelContinue},
		{name: "InBody", run: cancelBody},
		{name: "InCopy", run: cancelCopy},
		{name: "BetweenHeadAndRead", run: cancelBetween},
		{name: "AfterEndKeepsConnection", run: cancelAfter},
		{name: "AbortContext", run: cancelAbortContext},
	}
}

// cancelled sends req, cancels when ready says so, and checks what comes back.
func (t *T) cancelled(e engine.Engine, req *engine.Request, ready <-chan struct{}) *engine.OpError {
	t.Helper()
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	done := t.start(ctx, e, req)
	within(t, "the state to cancel in", ready)
	cancel()
	r := within(t, "Execute after cancel", done)
	if r.err == nil {
		t.Fatal("Execute succeeded though its context was cancelled")
	}
	t.wantIs(r.err, context.Canceled)
	if engine.IsTimeout(r.err) || errors.Is(r.err, context.DeadlineExceeded) {
		t.Errorf("%v counts as a timeout", r.err)
	}
	oe, ok := errors.AsType[*engine.OpError](r.err)
	if !ok {
		t.Fatalf("error %v (%T) is no *engine.OpError", r.err, r.err)
	}
	return oe
}

func cancelBefore(t *T) {
	e := t.engine()
	s := t.respond("ok")
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	b := replayable("x")
	_, err := t.executeIn(ctx, e, t.post(s.URL, b))
	t.wantIs(err, context.Canceled)
	if oe, ok := errors.AsType[*engine.OpError](err); !ok || oe.Sent {
		t.Errorf("error %#v, want an *engine.OpError with Sent false", err)
	}
	b.wantClosedOnce(t)
	t.get(e, s.URL, 200, "ok")
}

func cancelResolving(t *T) {
	started := make(chan struct{}, 1)
	e := t.engine(func(c *engine.Config) { c.Resolve = blockedResolver(started) })
	if oe := t.cancelled(e, t.request("GET", "http://example.org/"), started); oe.Sent || oe.Op != engine.OpDNS {
		t.Errorf("Op %q, Sent %v; want dns, false", oe.Op, oe.Sent)
	}
}

func cancelDialling(t *T) {
	started := make(chan struct{}, 1)
	e := t.engine(func(c *engine.Config) { c.Dial = blocked(started) })
	b := replayable("x")
	if oe := t.cancelled(e, t.post("http://example.org/", b), started); oe.Sent || oe.Op != engine.OpConnect {
		t.Errorf("Op %q, Sent %v; want connect, false", oe.Op, oe.Sent)
	}
	b.wantClosedOnce(t)
}

func cancelHandshake(t *T) {
	e := t.engine()
	hello := make(chan struct{}, 1)
	s := t.script(func(c *conn) { c.read(1); hello <- struct{}{}; c.untilClosed() })
	req := t.request("GET", strings.Replace(s.URL, "http:", "https:", 1))
	if oe := t.cancelled(e, req, hello); oe.Sent || oe.Op != engine.OpTLS {
		t.Errorf("Op %q, Sent %v; want tls, false", oe.Op, oe.Sent)
	}
	s.WaitClosed(t)
}

// cancelLateDial: a dialer may come back with a connection long after the
// request is gone; the engine closes it, or keeps it for the next request.
func cancelLateDial(t *T) {
	started, release := make(chan struct{}, 1), make(chan struct{})
	s := t.respond("ok")
	e := t.engine(func(c *engine.Config) {
		c.Dial = func(_ context.Context, network, _ string) (net.Conn, error) {
			started <- struct{}{}
			<-release
			return net.Dial("tcp", s.Addr)
		}
	})
	t.cancelled(e, t.request("GET", s.URL), started)
	close(release)
	t.eventually(func() bool { return s.Accepted() > 0 })
	e.Close()
	s.WaitClosed(t)
}

func cancelProxy(t *T) {
	asked := make(chan struct{}, 1)
	p := t.script(func(c *conn) { c.head(); asked <- struct{}{}; c.untilClosed() })
	e := t.engine(through(&url.URL{Scheme: "http", Host: p.Addr}))
	if oe := t.cancelled(e, t.request("GET", "https://origin.test/"), asked); oe.Sent || oe.Op != engine.OpProxy {
		t.Errorf("Op %q, Sent %v; want proxy, false", oe.Op, oe.Sent)
	}
	p.WaitClosed(t)
}

func cancelSOCKS(t *T) {
	asked := make(chan struct{}, 1)
	p := t.script(func(c *conn) { c.read(2); asked <- struct{}{}; c.untilClosed() })
	e := t.engine(through(&url.URL{Scheme: "socks5", Host: p.Addr}))
	if oe := t.cancelled(e, t.request("GET", "http://127.0.0.1:1/"), asked); oe.Sent || oe.Op != engine.OpProxy {
		t.Errorf("Op %q, Sent %v; want proxy, false", oe.Op, oe.Sent)
	}
	p.WaitClosed(t)
}

func cancelPool(t *T) {
	e := t.engine(perRoute(1))
	s, release := t.holding()
	held := t.must(e, t.request("GET", s.URL+"/hold"))
	ready := make(chan struct{})
	go func() {
		t.eventually(func() bool { return t.waiting() == 1 })
		close(ready)
	}()
	if oe := t.cancelled(e, t.request("GET", s.URL), ready); oe.Sent || oe.Op != engine.OpPool {
		t.Errorf("Op %q, Sent %v; want pool, false", oe.Op, oe.Sent)
	}
	close(release)
	t.read(held)
	t.get(e, s.URL, 200, "ok")
}

func cancelSending(t *T) {
	e := t.engine()
	arrived, stop := make(chan struct{}, 1), make(chan struct{})
	s := t.script(func(c *conn) { c.head(); arrived <- struct{}{}; c.wait(stop) })
	b := hanging()
	t.cancelled(e, t.post(s.URL, b), arrived)
	b.wantClosedOnce(t)
	close(stop)
	s.WaitClosed(t)
}

// cancelBodyRead: the engine waits for the request body, not for the network.
func cancelBodyRead(t *T) {
	e := t.engine()
	s := t.swallow()
	g := newGate()
	b := reading(g)
	t.cancelled(e, t.post(s.URL, b), g.asked)
	b.wantClosedOnce(t)
	s.WaitClosed(t)
}

func cancelHead(t *T) {
	for _, part := range []string{"", "HTTP/1.1 200 OK\r\nX-A: "} {
		e := t.engine()
		arrived := make(chan struct{}, 1)
		s := t.script(func(c *conn) { c.request(); c.write(part); arrived <- struct{}{}; c.untilClosed() })
		if oe := t.cancelled(e, t.request("GET", s.URL), arrived); !oe.Sent || oe.Op != engine.OpReceive {
			t.Errorf("Op %q, Sent %v; want receive, true", oe.Op, oe.Sent)
		}
		s.WaitClosed(t)
	}
}

func cancelContinue(t *T) {
	e := t.engine()
	arrived := make(chan struct{}, 1)
	s := t.script(func(c *conn) { c.head(); arrived <- struct{}{}; c.untilClosed() })
	b := stream("x")
	t.cancelled(e, t.expecting(s.URL, b), arrived)
	b.wantClosedOnce(t)
	s.WaitClosed(t)
}

// cancelling opens a body that stalls after "half".
func (t *T) cancelling(answer string) (*engine.Response, context.CancelFunc, *server) {
	e := t.engine()
	s := t.silent(answer)
	ctx, cancel := context.WithCancel(t.ctx)
	resp, err := t.executeIn(ctx, e, t.request("GET", s.URL))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	return resp, cancel, s
}

var halves = []string{halfBody, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", closeBody("half")}

func cancelBody(t *T) {
	for _, answer := range halves {
		resp, cancel, s := t.cancelling(answer)
		defer cancel()
		if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		reading := make(chan struct{})
		go func() {
			close(reading)
			_, err := resp.Body.Read(make([]byte, 4))
			done <- err
		}()
		<-reading
		cancel()
		err := within(t, "Read after cancel", done)
		t.wantIs(err, context.Canceled)
		t.wantOp(err, engine.OpReceive)
		s.WaitClosed(t)
	}
}

func cancelCopy(t *T) {
	for _, answer := range halves {
		resp, cancel, s := t.cancelling(answer)
		defer cancel()
		done := make(chan error, 1)
		got := make(chan struct{}, 16)
		go func() {
			_, err := io.Copy(writerFunc(func(p []byte) (int, error) { got <- struct{}{}; return len(p), nil }), resp.Body)
			done <- err
		}()
		within(t, "the first bytes", got)
		cancel()
		t.wantIs(within(t, "io.Copy after cancel", done), context.Canceled)
		s.WaitClosed(t)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// cancelBetween: nobody reads, and still the connection is given up.
func cancelBetween(t *T) {
	for _, answer := range halves {
		resp, cancel, s := t.cancelling(answer)
		cancel()
		s.WaitClosed(t)
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("a cancelled body reads without an error")
		}
		resp.Body.Close()
	}
}

// cancelAfter: when the body is at its end the context no longer matters.
func cancelAfter(t *T) {
	e := t.engine()
	s := t.respond("ok")
	for range 5 {
		ctx, cancel := context.WithCancel(t.ctx)
		resp, err := t.executeIn(ctx, e, t.request("GET", s.URL))
		if err != nil {
			t.Fatal(err)
		}
		t.read(resp)
		cancel()
	}
	t.get(e, s.URL, 200, "ok")
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
