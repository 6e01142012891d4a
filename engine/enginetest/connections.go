package enginetest

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/godwit-go/godwit/engine"
)

func connectionTests() []test {
	return []test{
		{name: "Reuse", run: connReuse},
		{name: "ReuseAfterErrorStatus", run: connReuseError},
		{name: "NoReuseAfterConnectionClose", run: connClose},
		{name: "NoReuseAfterHTTP10", run: connHTTP10},
		{name: "NoReuseAfterProtocolError", run: connProtocolError},
		{name: "NoReuseAfterEarlyClose", run: connEarly},
		{name: "UnreadShortBody", run: connUnread},
		{name: "ParallelRequestsGetConnections", run: connParallel},
		{name: "ServersApart", run: connServers},
		{name: "ConnectionRefused", run: connRefused},
		{name: "ServerStartsLate", run: connLate},
		{name: "UnknownHost", needs: engine.CustomResolve, run: connUnknownHost},
	}
}

func connReuse(t *T) {
	e := t.engine()
	for _, answer := range []string{response("ok"), chunkedBody("ok"), response("ok", "Connection: keep-alive")} {
		s := t.answers(answer)
		for range 10 {
			t.get(e, s.URL, 200, "ok")
			t.want(e, t.post(s.URL, stream("x")), 200, "ok")
		}
		if n := s.Accepted(); n != 1 {
			t.Errorf("20 requests used %d connections, want 1", n)
		}
		if n := s.Open(); n != 1 {
			t.Errorf("%d connections open, want 1", n)
		}
	}
}

func connReuseError(t *T) {
	e := t.engine()
	s := t.answers("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops")
	for range 3 {
		t.get(e, s.URL, 500, "oops")
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// closes sends two requests to a server that leaves the closing to the client;
// each must use a connection of its own and close it.
func (t *T) closes(answer string) {
	t.Helper()
	e := t.engine()
	s := t.answers(answer)
	for range 2 {
		t.get(e, s.URL, 200, "ok")
	}
	s.WaitClosed(t)
	if n := s.Accepted(); n != 2 {
		t.Errorf("%s: %d connections, want 2", cut(answer), n)
	}
}

func connClose(t *T) {
	t.closes(response("ok", "Connection: close"))
	t.closes(response("ok", "connection: Close"))
	t.closes(response("ok", "Connection: x, close"))
	t.closes(response("ok", "Connection: keep-alive", "Connection: close"))
}

func connHTTP10(t *T) { t.closes("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok") }

func connProtocolError(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.request(); c.write("nonsense\r\n\r\n") }, func(c *conn) { c.request(); c.respond("next") })
	t.wantProtocol(t.fails(e, t.request("GET", s.URL)))
	s.WaitClosed(t)
	t.get(e, s.URL, 200, "next")
}

func connEarly(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")
	}, func(c *conn) { c.request(); c.respond("next") })
	resp := t.must(e, t.request("GET", s.URL))
	t.quick("Close of a body whose rest does not come", func() { resp.Body.Close() })
	t.get(e, s.URL, 200, "next")
}

// connUnread: whether a short body that nobody read costs the connection is the
// engine's choice; the next request must get its own answer.
func connUnread(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		for {
			c.respond(c.request().Target)
		}
	})
	for i := range 10 {
		resp := t.must(e, t.request("GET", s.URL+"/unread"+itoa(i)))
		resp.Body.Close()
		t.get(e, s.URL+"/"+itoa(i), 200, "/"+itoa(i))
	}
}

func connParallel(t *T) {
	e := t.engine()
	const n = 8
	var all sync.WaitGroup
	all.Add(n)
	s := t.script(func(c *conn) {
		c.request()
		all.Done()
		all.Wait()
		c.respond("ok")
	})
	var done []<-chan result
	for range n {
		done = append(done, t.start(t.ctx, e, t.request("GET", s.URL)))
	}
	for _, d := range done {
		r := within(t, "parallel requests", d)
		if r.err != nil {
			t.Fatal(r.err)
		}
		t.read(r.resp)
	}
	if got := s.Accepted(); got != n {
		t.Errorf("%d connections, want %d", got, n)
	}
}

func connServers(t *T) {
	e := t.engine()
	a, b := t.respond("a"), t.respond("b")
	for range 3 {
		t.get(e, a.URL, 200, "a")
		t.get(e, b.URL, 200, "b")
	}
}

func connRefused(t *T) {
	e := t.engine()
	_, err := t.execute(e, t.request("GET", "http://"+t.refusing()))
	if oe := t.wantOp(err, engine.OpConnect); oe.Sent {
		t.Error("Sent is true")
	}
	if engine.IsTimeout(err) {
		t.Errorf("%v counts as a timeout", err)
	}
}

func connLate(t *T) {
	e := t.engine()
	addr := t.refusing()
	for range 3 {
		_, err := t.execute(e, t.request("GET", "http://"+addr))
		t.wantOp(err, engine.OpConnect)
	}
	l, err := listen(addr)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	s := t.scriptOn(l, func(c *conn) { c.request(); c.respond("ok") })
	t.get(e, s.URL, 200, "ok")
}

func connUnknownHost(t *T) {
	unknown := errors.New("no such host, says the resolver")
	e := t.engine(func(c *engine.Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, unknown }
	})
	for range 3 {
		_, err := t.execute(e, t.request("GET", "http://unknown.example/"))
		t.wantIs(err, unknown)
		if oe := t.wantOp(err, engine.OpDNS); oe.Sent {
			t.Error("Sent is true")
		}
	}
}
