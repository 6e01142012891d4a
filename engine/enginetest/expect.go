package enginetest

import (
	"errors"

	"github.com/godwit-go/godwit/engine"
)

func expectTests() []test {
	const need = engine.ExpectContinue
	return []test{
		{name: "ContinueThenFinal", needs: need, run: expectContinue},
		{name: "NoAnswerSendsAnyway", needs: need, run: expectNoAnswer},
		{name: "FinalAtOnce", needs: need, run: expectFinal},
		{name: "ExpectationFailed", needs: need, run: expectFailed},
		{name: "NoBody", needs: need, run: expectNoBody},
		{name: "ServerCloses", needs: need, run: expectCloses},
		{name: "EarlyHintsThenContinue", needs: need, run: expectHints},
	}
}

// expecting makes a POST with Expect: 100-continue.
func (t *T) expecting(url string, b *body) *engine.Request {
	return t.post(url, b, "Expect", "100-continue")
}

func expectContinue(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		for {
			r := c.head()
			if got := r.Fields.Values("Expect"); len(got) != 1 || got[0] != "100-continue" {
				t.Errorf("Expect: %q", got)
			}
			if n := c.r.Buffered(); n > 0 {
				t.Errorf("%d bytes of the body came before 100 Continue", n)
			}
			c.write("HTTP/1.1 100 Continue\r\n\r\n")
			c.readBody(r)
			c.respond(r.Body)
		}
	})
	for _, b := range []*body{replayable("hello"), stream("hello"), sized(5, "hello")} {
		t.want(e, t.expecting(s.URL, b), 200, "hello")
		b.wantClosedOnce(t)
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// expectNoAnswer: a server that does not know the expectation gets the body
// after a while (RFC 9110 §10.1.1).
func expectNoAnswer(t *T) {
	e := t.engine()
	s := t.echo()
	t.quick("Expect: 100-continue without an answer", func() {
		t.want(e, t.expecting(s.URL, stream("hello")), 200, "hello")
	})
}

func expectFinal(t *T) {
	e := t.engine()
	rest := make(chan string, 1)
	s := t.script(func(c *conn) {
		c.head()
		c.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		rest <- c.untilClosed()
	}, func(c *conn) { c.request(); c.respond("next") })
	b := sized(5, "hello")
	t.want(e, t.expecting(s.URL, b), 401, "no")
	if n := b.readCount(); n > 0 {
		t.Errorf("the body was read %d times though the server had refused it", n)
	}
	b.wantClosedOnce(t)
	t.get(e, s.URL, 200, "next")
	if got := within(t, "the end of the connection", rest); got != "" {
		t.Errorf("after the refusal the server got %s: the connection has a body outstanding and must not carry on", cut(got))
	}
}

func expectFailed(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.head()
		c.write("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	b := stream("hello")
	t.want(e, t.expecting(s.URL, b), 417, "")
	if n := b.readCount(); n > 0 {
		t.Errorf("the body was read %d times after 417", n)
	}
	b.wantClosedOnce(t)
}

func expectNoBody(t *T) {
	e := t.engine()
	s := t.respond("ok")
	t.want(e, t.request("GET", s.URL, "Expect", "100-continue"), 200, "ok")
}

func expectCloses(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.head(); c.end() })
	b := stream("hello")
	_, err := t.execute(e, t.expecting(s.URL, b))
	if err == nil {
		t.Fatal("no error")
	}
	if _, timeout := errors.AsType[*engine.TimeoutError](err); timeout {
		t.Errorf("error %v", err)
	}
	t.wantOp(err, engine.OpReceive, engine.OpSend)
	b.wantClosedOnce(t)
}

func expectHints(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		r := c.head()
		c.write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
		c.write("HTTP/1.1 100 Continue\r\n\r\n")
		c.readBody(r)
		c.respond(r.Body)
	})
	t.want(e, t.expecting(s.URL, stream("hello")), 200, "hello")
}
