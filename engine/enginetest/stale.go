package enginetest

import (
	"sync/atomic"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
)

func staleTests() []test {
	return []test{
		{name: "GetAfterIdleClose", run: staleIdle},
		{name: "ManyIdleClosed", run: staleMany},
		{name: "GetIsSentAgain", run: staleGet},
		{name: "PostThatArrivedIsNotSentAgain", run: stalePost},
		{name: "PostAfterIdleClose", run: stalePostIdle},
		{name: "OneShotBodyIsNotSentAgain", run: staleOneShot},
		{name: "FreshConnectionIsNotRetried", run: staleFresh},
		{name: "AnswerBegunIsNotRetried", run: staleBegun},
		{name: "NoStaleRetryConfig", needs: engine.NoStaleRetry, run: staleNoRetryConfig},
		{name: "NoStaleRetryRequest", needs: engine.NoStaleRetry, run: staleNoRetryRequest},
	}
}

// staleIdle: the server closes an idle connection; nobody notices.
func staleIdle(t *T) {
	e := t.engine()
	closed := make(chan struct{}, 8)
	s := t.script(func(c *conn) {
		c.request()
		c.respond("ok")
		c.end()
		closed <- struct{}{}
	})
	for range 5 {
		t.get(e, s.URL, 200, "ok")
		within(t, "the server's close", closed)
	}
}

func staleMany(t *T) {
	e := t.engine()
	const n = 6
	all, closed := make(chan struct{}), make(chan struct{}, n)
	s := t.script(func(c *conn) {
		c.request()
		if c.N == n-1 {
			close(all)
		}
		if c.N < n {
			c.wait(all)
		}
		c.respond("ok")
		c.end()
		closed <- struct{}{}
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
	for range n {
		within(t, "the server's close", closed)
	}
	t.get(e, s.URL, 200, "ok")
	s.WaitClosed(t)
}

// dying starts a server whose first connection answers one request, reads a
// second and closes without an answer; the others answer "again". It counts the
// second requests and what came after them.
func (t *T) dying() (*server, *atomic.Int32) {
	var arrived atomic.Int32
	s := t.script(func(c *conn) {
		c.request()
		c.respond("first")
		c.request()
		arrived.Add(1)
		c.end()
	}, func(c *conn) {
		for {
			c.request()
			arrived.Add(1)
			c.respond("again")
		}
	})
	return s, &arrived
}

func staleGet(t *T) {
	e := t.engine()
	s, arrived := t.dying()
	t.get(e, s.URL, 200, "first")
	t.get(e, s.URL, 200, "again")
	if n := arrived.Load(); n != 2 {
		t.Errorf("the request arrived %d times, want 2", n)
	}
}

// notAgain checks that a request that reached a server fails and does not reach
// it twice.
func (t *T) notAgain(req func(url string) *engine.Request, mods ...func(*engine.Config)) {
	t.Helper()
	e := t.engine(mods...)
	s, arrived := t.dying()
	t.get(e, s.URL, 200, "first")
	resp, err := t.execute(e, req(s.URL))
	if err == nil {
		t.Fatalf("status %d, want an error; the request arrived %d times", resp.Status, arrived.Load())
	}
	if oe := t.wantOp(err, engine.OpReceive, engine.OpSend); !oe.Sent {
		t.Error("Sent is false, though the request arrived")
	}
	if n := arrived.Load(); n != 1 {
		t.Errorf("the request arrived %d times", n)
	}
}

func stalePost(t *T) {
	for _, body := range []func() content.Content{
		func() content.Content { return nil },
		func() content.Content { return inMemory("x") },
		func() content.Content { return replayable(pattern(10_000)) },
	} {
		t.notAgain(func(u string) *engine.Request { return t.post(u, body()) })
	}
}

// stalePostIdle: if the close is seen before anything is sent the POST may go
// out on a fresh connection; it must not arrive twice.
func stalePostIdle(t *T) {
	e := t.engine()
	var posts atomic.Int32
	closed := make(chan struct{}, 8)
	s := t.script(func(c *conn) {
		if c.request().Method == "POST" {
			posts.Add(1)
		}
		c.respond("ok")
		c.end()
		closed <- struct{}{}
	})
	for range 5 {
		t.get(e, s.URL, 200, "ok")
		within(t, "the server's close", closed)
		before := posts.Load()
		b := replayable("x")
		resp, err := t.execute(e, t.post(s.URL, b))
		if err == nil {
			t.read(resp)
			within(t, "the server's close", closed)
		}
		if n := posts.Load() - before; n > 1 || (err == nil) != (n == 1) {
			t.Errorf("error %v, and the POST arrived %d times", err, n)
		}
		if opens, closes, _ := b.counts(); closes != opens {
			t.Errorf("the body was opened %d times and closed %d times", opens, closes)
		}
	}
}

func staleOneShot(t *T) {
	t.notAgain(func(u string) *engine.Request {
		req := t.request("PUT", u)
		req.Body = sized(1, "x")
		return req
	})
	t.notAgain(func(u string) *engine.Request {
		req := t.request("PUT", u)
		req.Body = stream("x")
		return req
	})
}

func staleFresh(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.request(); c.end() })
	_, err := t.execute(e, t.request("GET", s.URL))
	if oe := t.wantOp(err, engine.OpReceive); !oe.Sent {
		t.Error("Sent is false")
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("the request was sent %d times", n)
	}
}

func staleBegun(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.respond("first")
		c.request()
		c.write("HTTP/1.1 200")
		c.end()
	}, func(c *conn) { c.request(); c.respond("again") })
	t.get(e, s.URL, 200, "first")
	err := t.fails(e, t.request("GET", s.URL))
	t.wantOp(err, engine.OpReceive)
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func staleNoRetryConfig(t *T) {
	t.notAgain(func(u string) *engine.Request { return t.request("GET", u) },
		func(c *engine.Config) { c.NoStaleRetry = true })
}

func staleNoRetryRequest(t *T) {
	t.notAgain(func(u string) *engine.Request {
		req := t.request("GET", u)
		req.NoStaleRetry = true
		return req
	})
}
