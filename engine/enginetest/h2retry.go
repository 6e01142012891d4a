package enginetest

import (
	"io"
	"strings"
	"sync"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// asked reads frames until a request comes, and answers none.
func (c *frameConn) asked() {
	for {
		f, err := c.framer.ReadFrame()
		c.check(err)
		if _, ok := f.(*http2.HeadersFrame); ok {
			return
		}
	}
}

// h2GoAwayAlways: a server that never processes anything is not asked for ever.
func h2GoAwayAlways(t *T) {
	for _, late := range []bool{false, true} {
		settings := []http2.Setting{}
		if late { // the settings come after the request
			settings = nil
		}
		s, ca := t.frames(settings, func(c *frameConn) {
			c.asked()
			if late {
				c.greet()
			}
			c.check(c.framer.WriteGoAway(0, http2.ErrCodeNo, []byte("never")))
			c.goneBy()
		})
		e := t.engine(ca.trust())
		t.quick("a request that no connection processes", func() {
			err := t.fails(e, t.post(s.URL, inMemory("x")))
			if oe := t.wantOp(err, engine.OpReceive, engine.OpSend); !strings.Contains(oe.Error(), "never") {
				t.Errorf("the error does not say what the server said: %v", err)
			}
		})
		if n := s.Accepted(); n < 2 || n > 4 {
			t.Errorf("%d connections, want 2 to 4", n)
		}
	}
}

// h2GoAwayTwice: a server that retires its connections one after the other is
// asked again.
func h2GoAwayTwice(t *T) {
	gone := func(c *frameConn) {
		c.request()
		c.check(c.framer.WriteGoAway(0, http2.ErrCodeNo, nil))
		c.goneBy()
	}
	s, ca := t.frames([]http2.Setting{}, gone, gone, func(c *frameConn) { c.answers("at last") })
	t.want(t.engine(ca.trust()), t.post(s.URL, inMemory("x")), 200, "at last")
}

// h2GoAwayReason: the error of a request that may have been processed tells what
// the server said as it went, and the request is not sent again.
func h2GoAwayReason(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		id := c.request().id
		c.check(c.framer.WriteGoAway(id, http2.ErrCodeEnhanceYourCalm, []byte("too many")))
		c.Conn.Close()
	})
	err := t.fails(t.engine(ca.trust()), t.post(s.URL, inMemory("x")))
	if oe := t.wantOp(err, engine.OpReceive); !oe.Sent {
		t.Error("Sent is false for a request that may have been processed")
	}
	for _, part := range []string{"ENHANCE_YOUR_CALM", "too many"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %s: %v", part, err)
		}
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// h2Requires1: HTTP_1_1_REQUIRED is no reason to try HTTP/2 again. What an engine
// with HTTP/1.1 does instead is its own matter.
func h2Requires1(t *T) {
	if !t.s.bridged() {
		t.Skip("the engine has HTTP/1.1 too")
	}
	for name, refuse := range map[string]func(c *frameConn, id uint32){
		"RST_STREAM": func(c *frameConn, id uint32) {
			c.check(c.framer.WriteRSTStream(id, http2.ErrCodeHTTP11Required))
			c.answers("by HTTP/2 after all")
		},
		"GOAWAY": func(c *frameConn, _ uint32) {
			c.check(c.framer.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil))
			c.goneBy()
		},
	} {
		requests := make(chan struct{}, 10)
		s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
			id := c.request().id
			requests <- struct{}{}
			refuse(c, id)
		})
		err := t.fails(t.engine(ca.trust()), t.request("GET", s.URL))
		if !strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
			t.Errorf("%s: error %v", name, err)
		}
		if n := len(requests); n != 1 {
			t.Errorf("%s: %d requests by HTTP/2, want 1", name, n)
		}
	}
}

// h2RefusedLate: a server that has answered has processed the request, though it
// says later that it has not.
func h2RefusedLate(t *T) {
	for name, refuse := range map[string]func(c *frameConn, id uint32){
		"RST_STREAM": func(c *frameConn, id uint32) {
			c.check(c.framer.WriteRSTStream(id, http2.ErrCodeRefusedStream))
			c.answers("again")
		},
		"GOAWAY": func(c *frameConn, _ uint32) {
			c.check(c.framer.WriteGoAway(0, http2.ErrCodeNo, nil))
			c.goneBy()
		},
	} {
		taken := make(chan struct{})
		take := sync.OnceFunc(func() { close(taken) })
		s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
			r := c.request()
			c.headers(r.id, false, ":status", "200")
			<-taken
			refuse(c, r.id)
		})
		t.onServerEnd(take)
		resp := t.must(t.engine(ca.trust()), t.post(s.URL, inMemory("x")))
		take()
		_, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if oe := t.wantOp(err, engine.OpReceive); !oe.Sent {
			t.Errorf("%s: Sent is false for a request that was answered: %v", name, err)
		}
	}
}

// h2TrailerLimit: what the server says it takes of fields holds for trailers too;
// the error says so, and costs the stream only.
func h2TrailerLimit(t *T) {
	s, ca := t.frames([]http2.Setting{{ID: http2.SettingMaxHeaderListSize, Val: 1000}}, func(c *frameConn) {
		c.respond(c.request().id, "settled")
		c.head()
		c.reset()
		c.answers("next")
	})
	e := t.engine(ca.trust())
	t.get(e, s.URL, 200, "settled")
	req := t.post(s.URL, stream("sent"))
	req.TrailerNames, req.Trailer = []string{"X-Up"}, func() header.Header { return header.New("X-Up", repeat("~", 1000)) }
	err := t.fails(e, req)
	t.wantOp(err, engine.OpSend)
	for _, part := range []string{"trailer", "1036", "MAX_HEADER_LIST_SIZE, 1000"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %s: %v", part, err)
		}
	}
	t.get(e, s.URL, 200, "next")
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
