package enginetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
)

func timeoutTests() []test {
	return []test{
		{name: "DeadlineBeforeHead", needs: engine.RequestTimeout, run: timeoutHead},
		{name: "DeadlineInBody", needs: engine.RequestTimeout, run: timeoutBody},
		{name: "DeadlineInDrippingBody", needs: engine.RequestTimeout, run: timeoutDrip},
		{name: "DeadlineWhileConnecting", needs: engine.RequestTimeout | engine.CustomDial, run: timeoutDeadlineDial},
		{name: "DeadlineWhileSending", needs: engine.RequestTimeout, run: timeoutDeadlineSend},
		{name: "DeadlineNotReached", needs: engine.RequestTimeout, run: timeoutNotReached},
		{name: "DeadlineOfOneRequestOnly", needs: engine.RequestTimeout, run: timeoutNext},
		{name: "HeadOnly", needs: engine.RequestTimeout, run: timeoutHeadOnly},
		{name: "HeadOnlyBeforeHead", needs: engine.RequestTimeout, run: timeoutHeadOnlyHead},
		{name: "Connect", needs: engine.ConnectTimeout | engine.CustomDial, run: timeoutConnect},
		{name: "ConnectFromConfig", needs: engine.ConnectTimeout | engine.CustomDial, run: timeoutConnectConfig},
		{name: "ConnectInTLSHandshake", needs: engine.ConnectTimeout, run: timeoutHandshake},
		{name: "ConnectInProxyHandshake", needs: engine.ConnectTimeout | engine.HTTPProxy, run: timeoutProxy},
		{name: "Header", needs: engine.HeaderTimeout, run: timeoutHeader},
		{name: "HeaderEndsWithHead", needs: engine.HeaderTimeout, run: timeoutHeaderEnds},
		{name: "IdleInBody", needs: engine.IdleTimeout, run: timeoutIdle},
		{name: "IdleBeforeHead", needs: engine.IdleTimeout, run: timeoutIdleHead},
		{name: "IdleWhileSending", needs: engine.IdleTimeout, run: timeoutIdleSend},
		{name: "IdleIsBetweenBytes", needs: engine.IdleTimeout, run: timeoutIdleDrip},
		{name: "NoTimeoutLiftsTheConfig", needs: engine.IdleTimeout | engine.HeaderTimeout, run: timeoutNone},
		{name: "ContextDeadline", run: timeoutContext},
	}
}

// deadline makes a GET with a short deadline.
func (t *T) deadline(url string) *engine.Request {
	req := t.request("GET", url)
	req.Deadline, req.DeadlineKind, req.DeadlineLimit = time.Now().Add(short), engine.KindRequest, short
	return req
}

// timesOut sends req, which must fail by kind soon, not before its limit.
func (t *T) timesOut(e engine.Engine, req *engine.Request, kind engine.TimeoutKind) error {
	t.Helper()
	var err error
	start := time.Now()
	t.quick("a request with a timeout", func() { err = t.fails(e, req) })
	if took := time.Since(start); took < short/2 {
		t.Errorf("timed out after %v, want about %v", took, short)
	}
	t.wantTimeout(err, kind)
	return err
}

// silent starts a server that reads a request, writes some bytes and then
// nothing more.
func (t *T) silent(bytes string) *server {
	return t.script(func(c *conn) { c.head(); c.write(bytes); c.untilClosed() })
}

const halfBody = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"

func timeoutHead(t *T) {
	e := t.engine()
	s := t.silent("HTTP/1.1 200 OK\r\n")
	err := t.timesOut(e, t.deadline(s.URL), engine.KindRequest)
	if oe := t.wantOp(err, engine.OpReceive); !oe.Sent {
		t.Error("Sent is false")
	}
	s.WaitClosed(t)
}

func timeoutBody(t *T) {
	e := t.engine()
	for _, answer := range []string{halfBody, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", closeBody("half")} {
		s := t.silent(answer)
		t.wantOp(t.timesOut(e, t.deadline(s.URL), engine.KindRequest), engine.OpReceive)
		s.WaitClosed(t)
	}
}

// timeoutDrip: a server that always gives one more byte doesn't move the
// deadline.
func timeoutDrip(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for {
			c.write("x")
		}
	})
	t.timesOut(e, t.deadline(s.URL), engine.KindRequest)
	s.WaitClosed(t)
}

// blocked is a dialer that waits for the end of its context.
func blocked(started chan<- struct{}) engine.DialFunc {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		if started != nil {
			started <- struct{}{}
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func timeoutDeadlineDial(t *T) {
	e := t.engine(func(c *engine.Config) { c.Dial = blocked(nil) })
	err := t.timesOut(e, t.deadline("http://example.org/"), engine.KindRequest)
	if oe := t.wantOp(err, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
}

// hanging is a body that never ends and fills every buffer.
func hanging() *body { return reading(endless{}) }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func timeoutDeadlineSend(t *T) {
	e := t.engine()
	s, stop := t.deaf()
	defer close(stop)
	req := t.deadline(s.URL)
	b := hanging()
	req.Method, req.Body = "POST", b
	t.wantOp(t.timesOut(e, req, engine.KindRequest), engine.OpSend, engine.OpReceive)
	b.wantClosedOnce(t)
}

// deaf starts a server that reads the head and then nothing until stop is
// closed.
func (t *T) deaf() (*server, chan struct{}) {
	stop := make(chan struct{})
	return t.script(func(c *conn) { c.head(); c.wait(stop) }), stop
}

func timeoutNotReached(t *T) {
	e := t.engine()
	s := t.respond("ok")
	for range 5 {
		req := t.deadline(s.URL)
		req.Deadline = time.Now().Add(long)
		t.want(e, req, 200, "ok")
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// timeoutNext: a deadline must not stay on the connection for the next request.
func timeoutNext(t *T) {
	e := t.engine()
	passed := make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		c.respond("ok")
		c.request()
		c.wait(passed)
		c.respond("late")
	})
	req := t.deadline(s.URL)
	req.Deadline = time.Now().Add(4 * short)
	t.want(e, req, 200, "ok")
	time.AfterFunc(time.Until(req.Deadline)+short, func() { close(passed) })
	t.get(e, s.URL, 200, "late")
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func timeoutHeadOnly(t *T) {
	e := t.engine()
	passed := make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		c.write(halfBody)
		c.wait(passed)
		c.write(" whole")
	})
	req := t.deadline(s.URL)
	req.HeadOnly, req.Deadline = true, time.Now().Add(4*short)
	resp := t.must(e, req)
	time.AfterFunc(time.Until(req.Deadline)+short, func() { close(passed) })
	if got := t.read(resp); got != "half whole" {
		t.Errorf("body %q", got)
	}
}

func timeoutHeadOnlyHead(t *T) {
	e := t.engine()
	s := t.silent("")
	req := t.deadline(s.URL)
	req.HeadOnly = true
	t.timesOut(e, req, engine.KindRequest)
	s.WaitClosed(t)
}

func timeoutConnect(t *T) {
	e := t.engine(func(c *engine.Config) { c.Dial = blocked(nil) })
	b := replayable("x")
	req := t.post("http://example.org/", b)
	req.Timeouts.Connect = short
	if oe := t.wantOp(t.timesOut(e, req, engine.KindConnect), engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
	b.wantClosedOnce(t)
}

func timeoutConnectConfig(t *T) {
	e := t.engine(func(c *engine.Config) { c.Dial, c.Timeouts.Connect = blocked(nil), short })
	t.timesOut(e, t.request("GET", "http://example.org/"), engine.KindConnect)
}

func timeoutHandshake(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.untilClosed() })
	req := t.request("GET", strings.Replace(s.URL, "http:", "https:", 1))
	req.Timeouts.Connect = short
	if oe := t.wantOp(t.timesOut(e, req, engine.KindConnect), engine.OpTLS, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
	s.WaitClosed(t)
}

func timeoutProxy(t *T) {
	p := t.script(func(c *conn) { c.head(); c.untilClosed() })
	e := t.engine(through(&url.URL{Scheme: "http", Host: p.Addr}))
	req := t.request("GET", "https://origin.test/")
	req.Timeouts.Connect = short
	if oe := t.wantOp(t.timesOut(e, req, engine.KindConnect), engine.OpProxy, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
	p.WaitClosed(t)
}

func timeoutHeader(t *T) {
	e := t.engine(func(c *engine.Config) { c.Timeouts.Header = long })
	for _, part := range []string{"", "HTTP/1.1 200 OK\r\nX-A"} {
		s := t.silent(part)
		req := t.request("GET", s.URL)
		req.Timeouts.Header = short
		if oe := t.wantOp(t.timesOut(e, req, engine.KindHeader), engine.OpReceive); !oe.Sent {
			t.Error("Sent is false")
		}
		s.WaitClosed(t)
	}
}

func timeoutHeaderEnds(t *T) {
	e := t.engine(func(c *engine.Config) { c.Timeouts.Header = 4 * short })
	passed := make(chan struct{})
	s := t.script(func(c *conn) {
		for {
			c.request()
			c.write(halfBody)
			c.wait(passed)
			c.write(" whole")
		}
	})
	time.AfterFunc(5*short, func() { close(passed) })
	t.get(e, s.URL, 200, "half whole")
	t.get(e, s.URL, 200, "half whole")
}

func timeoutIdle(t *T) {
	e := t.engine()
	s := t.silent(halfBody)
	req := t.request("GET", s.URL)
	req.Timeouts.Idle = short
	t.wantOp(t.timesOut(e, req, engine.KindIdle), engine.OpReceive)
	s.WaitClosed(t)
}

func timeoutIdleHead(t *T) {
	e := t.engine(func(c *engine.Config) { c.Timeouts.Idle = short })
	s := t.silent("HTTP/1.1 2")
	t.timesOut(e, t.request("GET", s.URL), engine.KindIdle)
	s.WaitClosed(t)
}

func timeoutIdleSend(t *T) {
	e := t.engine()
	s, stop := t.deaf()
	defer close(stop)
	b := hanging()
	req := t.post(s.URL, b)
	req.Timeouts.Idle = short
	t.timesOut(e, req, engine.KindIdle)
	b.wantClosedOnce(t)
}

// timeoutIdleDrip: bytes that keep coming keep the exchange alive for longer
// than the limit.
func timeoutIdleDrip(t *T) {
	e := t.engine()
	const pieces, limit = 12, 8 * short
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: ", itoa(pieces), "\r\n\r\n")
		tick := time.NewTicker(short)
		defer tick.Stop()
		for range pieces {
			<-tick.C
			c.write("x")
		}
	})
	req := t.request("GET", s.URL)
	req.Timeouts.Idle = limit
	t.want(e, req, 200, strings.Repeat("x", pieces))
}

func timeoutNone(t *T) {
	e := t.engine(func(c *engine.Config) { c.Timeouts.Idle, c.Timeouts.Header = short/2, short/2 })
	passed := make(chan struct{})
	s := t.script(func(c *conn) { c.request(); c.wait(passed); c.respond("late") })
	time.AfterFunc(2*short, func() { close(passed) })
	req := t.request("GET", s.URL)
	req.Timeouts.Idle, req.Timeouts.Header = engine.NoTimeout, engine.NoTimeout
	t.want(e, req, 200, "late")
}

// timeoutContext: the context's own deadline works as any end of it.
func timeoutContext(t *T) {
	e := t.engine()
	for _, answer := range []string{"", halfBody} {
		s := t.silent(answer)
		ctx, cancel := context.WithTimeout(t.ctx, short)
		defer cancel()
		t.quick("a request whose context ends", func() {
			resp, err := t.executeIn(ctx, e, t.request("GET", s.URL))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			t.wantIs(err, context.DeadlineExceeded)
			if errors.Is(err, context.Canceled) {
				t.Errorf("%v is context.Canceled", err)
			}
		})
		s.WaitClosed(t)
	}
}
