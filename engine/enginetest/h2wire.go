package enginetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

func h2RequestHead(t *T) {
	got := make(chan *h2request, 1)
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		r := c.request()
		got <- r
		c.respond(r.id, "ok")
		c.answers("ok")
	})
	e := t.engine(ca.trust())
	resp := t.want(e, t.request("GET", s.URL+"/a%20b?c=d", "Host", "example.test:99", "X-Upper", "V", "Connection", "keep-alive, X-Hop",
		"X-Hop", "1", "Keep-Alive", "timeout=5", "Proxy-Connection", "keep-alive", "TE", "trailers, gzip", "Cookie", "a=b; c=d", "User-Agent", "u"), 200, "ok")
	if resp.Proto != "HTTP/2.0" || resp.Reason != "" {
		t.Errorf("proto %q, reason %q", resp.Proto, resp.Reason)
	}
	r := within(t, "the request", got)
	for name, want := range map[string]string{":method": "GET", ":scheme": "https", ":authority": "example.test:99", ":path": "/a%20b?c=d"} {
		if r.pseudo[name] != want {
			t.Errorf("%s: %q, want %q", name, r.pseudo[name], want)
		}
	}
	if i := slices.IndexFunc(r.order, func(n string) bool { return n[0] != ':' }); slices.ContainsFunc(r.order[max(i, 0):], func(n string) bool { return n[0] == ':' }) {
		t.Errorf("pseudo fields after others: %q", r.order)
	}
	for _, name := range r.order {
		if name != strings.ToLower(name) {
			t.Errorf("the name %q is not in lower case", name)
		}
	}
	for _, name := range []string{"host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"} {
		if r.fields.Has(name) {
			t.Errorf("the request has the field %s: %q", name, r.fields.Get(name))
		}
	}
	if got := strings.Join(r.fields.Values("cookie"), "; "); got != "a=b; c=d" {
		t.Errorf("cookie: %q", got)
	}
	if got := r.fields.Joined("te"); got != "trailers" && got != "" {
		t.Errorf("te: %q", got)
	}
	if r.fields.Get("x-upper") != "V" {
		t.Errorf("x-upper: %q", r.fields.Get("x-upper"))
	}
}

func h2Settings(t *T) {
	got := make(chan map[http2.SettingID]uint32, 1)
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		id := c.request().id
		got <- c.settings
		c.respond(id, "ok")
		c.answers("ok")
	})
	t.get(t.engine(ca.trust()), s.URL, 200, "ok")
	settings := within(t, "the settings", got)
	if push, ok := settings[http2.SettingEnablePush]; !ok || push != 0 {
		t.Errorf("ENABLE_PUSH is %d (sent: %v), want 0", push, ok)
	}
	if settings[http2.SettingMaxHeaderListSize] == 0 {
		t.Error("MAX_HEADER_LIST_SIZE was not sent")
	}
}

func h2Padding(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		for {
			id := c.request().id
			c.check(c.framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: id, BlockFragment: c.encode(":status", "200"), EndHeaders: true, PadLength: 200,
				Priority: http2.PriorityParam{StreamDep: 0, Weight: 3, Exclusive: true},
			}))
			for range 10 {
				c.check(c.framer.WriteDataPadded(id, false, []byte("0123456789"), make([]byte, 255)))
			}
			c.check(c.framer.WriteDataPadded(id, true, []byte("end"), nil))
		}
	})
	e := t.engine(ca.trust())
	for range 3 {
		t.get(e, s.URL, 200, repeat("0123456789", 10)+"end")
	}
}

func h2Unknown(t *T) {
	s, ca := t.frames([]http2.Setting{{ID: 0x99, Val: 7}}, func(c *frameConn) {
		for {
			id := c.request().id
			c.rawFrame(0xee, 0xff, id, "whatever")
			c.rawFrame(0xed, 0xff, 0, "")
			c.check(c.framer.WritePriority(id, http2.PriorityParam{StreamDep: 77, Weight: 1}))
			c.respond(id, "ok")
		}
	})
	e := t.engine(ca.trust())
	for range 3 {
		t.get(e, s.URL, 200, "ok")
	}
}

func h2Ping(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		for {
			id := c.request().id
			want := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
			c.check(c.framer.WritePing(false, want))
			for {
				f, err := c.framer.ReadFrame()
				c.check(err)
				if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
					if p.Data != want {
						c.t.Errorf("a PING of %v is answered with %v", want, p.Data)
					}
					break
				}
			}
			c.respond(id, "ok")
		}
	})
	t.get(t.engine(ca.trust()), s.URL, 200, "ok")
}

func h2Trailers(t *T) {
	got := make(chan *h2request, 1)
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		r := c.request()
		got <- r
		c.headers(r.id, false, ":status", "200")
		c.data(r.id, false, "body")
		c.headers(r.id, true, "x-sum", "17", "x-more", "a", "x-more", "b")
		c.answers("ok")
	})
	req := t.post(s.URL, stream("sent"))
	req.TrailerNames, req.Trailer = []string{"X-Up"}, func() header.Header { return header.New("X-Up", "9") }
	resp := t.want(t.engine(ca.trust()), req, 200, "body")
	if resp.Trailer == nil || resp.Trailer().Get("X-Sum") != "17" || len(resp.Trailer().Values("X-More")) != 2 {
		t.Errorf("the trailer fields are not there")
	}
	if r := within(t, "the request", got); r.body != "sent" || r.trailer.Get("x-up") != "9" {
		t.Errorf("the server got %q and the trailer %v", r.body, r.trailer)
	}
}

// h2LargeHeads: heads that need CONTINUATION, both ways.
func h2LargeHeads(t *T) {
	large := pattern(60_000)
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		for {
			r := c.request()
			if r.fields.Get("x-large") != large {
				c.t.Errorf("a large field arrived with %d bytes", len(r.fields.Get("x-large")))
			}
			c.long(r.id, ":status", "200", "x-large", large)
		}
	})
	e := t.engine(ca.trust())
	for range 3 {
		if resp := t.want(e, t.request("GET", s.URL, "X-Large", large), 200, ""); resp.Header.Get("X-Large") != large {
			t.Errorf("a large field came with %d bytes", len(resp.Header.Get("X-Large")))
		}
	}
}

// h2OneConnection: requests that come while the first connection is being made
// share it, and so do those after it.
func h2OneConnection(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) { c.answers("ok") })
	e := t.engine(ca.trust())
	for range 2 {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				resp, err := t.execute(e, t.request("GET", s.URL))
				if err != nil {
					t.Error(err)
					return
				}
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "ok" {
					t.Errorf("body %q, %v", b, err)
				}
			})
		}
		wg.Wait()
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func h2MaxStreams(t *T) {
	const limit = 3
	s, ca := t.frames([]http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: limit}}, func(c *frameConn) {
		var open []uint32
		for {
			r := c.request()
			if open = append(open, r.id); r.pseudo[":path"] == "/first" || len(open) == limit {
				for _, id := range open {
					c.respond(id, "ok")
				}
				open = nil
			} else if len(open) > limit {
				c.t.Errorf("%d streams open, the limit is %d", len(open), limit)
			}
		}
	})
	e := t.engine(ca.trust())
	t.get(e, s.URL+"/first", 200, "ok")
	var wg sync.WaitGroup
	for range limit {
		wg.Go(func() {
			if resp, err := t.execute(e, t.request("GET", s.URL)); err != nil {
				t.Error(err)
			} else {
				io.ReadAll(resp.Body)
			}
		})
	}
	wg.Wait()
}

// h2SendWindow: a body is sent within the windows of stream and connection.
func h2SendWindow(t *T) {
	s, ca := t.frames([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 10}}, func(c *frameConn) {
		c.respond(c.request().id, "settled") // from here on the client knows the window
		r, _ := c.head()
		window, ended := 10, false
		for !ended {
			f, ok := c.next().(*http2.DataFrame)
			if !ok {
				c.t.Errorf("a frame between those of the body: %v", f)
				c.stop()
			}
			r.body += string(f.Data())
			if window -= len(f.Data()); window < 0 {
				c.t.Errorf("the body exceeds the window by %d bytes", -window)
			}
			if ended = f.StreamEnded(); !ended && window == 0 {
				window = 1 + len(r.body)%2000
				c.check(c.framer.WriteWindowUpdate(r.id, uint32(window)))
			}
		}
		c.respond(r.id, r.body)
		c.answers("ok")
	})
	body := pattern(50_000)
	e := t.engine(ca.trust())
	t.get(e, s.URL, 200, "settled")
	t.want(e, t.post(s.URL, inMemory(body)), 200, body)
}

func h2InitialWindow(t *T) {
	s, ca := t.frames([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, func(c *frameConn) {
		c.respond(c.request().id, "settled")
		r, _ := c.head()
		c.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5})
		for len(r.body) < 5 {
			if f, ok := c.next().(*http2.DataFrame); ok {
				r.body += string(f.Data())
			}
		}
		// Now the window is below zero; it takes 4 bytes more than that.
		c.greet(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 2})
		c.check(c.framer.WriteWindowUpdate(r.id, 3+4))
		for ended := false; !ended; {
			f, ok := c.next().(*http2.DataFrame)
			if !ok {
				c.stop()
			}
			r.body, ended = r.body+string(f.Data()), f.StreamEnded()
		}
		c.respond(r.id, r.body)
		c.answers("ok")
	})
	e := t.engine(ca.trust())
	t.get(e, s.URL, 200, "settled")
	t.want(e, t.post(s.URL, inMemory("123456789")), 200, "123456789")
}

// h2SlowReader: a body that nobody reads holds up no other.
func h2SlowReader(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		slow := c.request().id
		c.headers(slow, false, ":status", "200")
		window := int(c.settings[http2.SettingInitialWindowSize])
		if window == 0 {
			window = 1<<16 - 1
		}
		for left := min(window, 8<<20); left > 0; left -= 16 << 10 {
			c.data(slow, false, repeat("x", min(left, 16<<10)))
		}
		for {
			r := c.request()
			c.respond(r.id, "quick")
		}
	})
	e := t.engine(ca.trust())
	resp := t.must(e, t.request("GET", s.URL))
	for range 3 {
		t.get(e, s.URL, 200, "quick")
	}
	resp.Body.Close()
}

func h2Cancel(t *T) {
	type reset struct {
		id   uint32
		code http2.ErrCode
	}
	resets, begun := make(chan reset, 4), make(chan struct{}, 4)
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		for {
			r := c.request()
			if r.pseudo[":path"] != "/hang" {
				c.respond(r.id, "ok")
				continue
			}
			begun <- struct{}{}
			id, code := c.reset()
			resets <- reset{id, code}
		}
	})
	e := t.engine(ca.trust())
	t.get(e, s.URL, 200, "ok")
	for range 3 {
		ctx, cancel := context.WithCancel(t.ctx)
		done := t.start(ctx, e, t.request("GET", s.URL+"/hang"))
		within(t, "the request", begun)
		cancel()
		t.wantIs(within(t, "a canceled request", done).err, context.Canceled)
		if got := within(t, "RST_STREAM", resets); got.code != http2.ErrCodeCancel {
			t.Errorf("RST_STREAM with %v, want CANCEL", got.code)
		}
		t.get(e, s.URL, 200, "ok")
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1: a canceled stream must not cost the connection", n)
	}
}

// h2GoAway: what the server says it has not processed is sent again, whatever
// its method.
func h2GoAway(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		c.request()
		c.check(c.framer.WriteGoAway(0, http2.ErrCodeNo, []byte("maintenance")))
		c.goneBy()
	}, func(c *frameConn) { c.answers("again") })
	e := t.engine(ca.trust())
	t.want(e, t.post(s.URL, inMemory("x")), 200, "again")
	if n := s.Accepted(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func h2GoAwayGraceful(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		r := c.request()
		c.headers(r.id, false, ":status", "200")
		c.check(c.framer.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil))
		c.check(c.framer.WriteGoAway(r.id, http2.ErrCodeNo, nil))
		c.data(r.id, true, "the last one")
		c.goneBy()
	}, func(c *frameConn) { c.answers("next") })
	e := t.engine(ca.trust())
	resp := t.must(e, t.request("GET", s.URL))
	if got := t.read(resp); got != "the last one" {
		t.Errorf("body %q", got)
	}
	t.get(e, s.URL, 200, "next")
}

// h2GoAwayOnce: a body that was opened and cannot be opened again is not sent
// again, but the error tells that it may.
func h2GoAwayOnce(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		c.head()
		c.check(c.framer.WriteGoAway(0, http2.ErrCodeNo, nil))
		c.goneBy()
	}, func(c *frameConn) { c.answers("again") })
	body := stream("once")
	_, err := t.execute(t.engine(ca.trust()), t.post(s.URL, body))
	if body.Replayable() {
		t.Fatal("the test needs a body that is not replayable")
	}
	if err == nil {
		t.Fatal("a request whose body can be read only once was sent twice")
	}
	t.wantOp(err, engine.OpReceive, engine.OpSend)
}

func h2Refused(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		c.check(c.framer.WriteRSTStream(c.request().id, http2.ErrCodeRefusedStream))
		c.answers("again")
	}, func(c *frameConn) { c.answers("again") })
	t.want(t.engine(ca.trust()), t.post(s.URL, inMemory("x")), 200, "again")
}

func h2RefusedAlways(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		for {
			c.check(c.framer.WriteRSTStream(c.request().id, http2.ErrCodeRefusedStream))
		}
	})
	err := t.fails(t.engine(ca.trust()), t.request("GET", s.URL))
	t.wantOp(err, engine.OpReceive)
}

func h2RefusedNoRetry(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		c.check(c.framer.WriteRSTStream(c.request().id, http2.ErrCodeRefusedStream))
		c.answers("again")
	})
	req := t.request("GET", s.URL)
	req.NoStaleRetry = true
	if oe := t.wantOp(t.fails(t.engine(ca.trust()), req), engine.OpReceive); oe.Sent {
		t.Error("Sent is true for a request that the server has refused to process")
	}
}

func h2ResetBody(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		r := c.request()
		c.headers(r.id, false, ":status", "200", "content-length", "100")
		c.data(r.id, false, "half")
		c.check(c.framer.WriteRSTStream(r.id, http2.ErrCodeInternal))
		c.answers("next")
	})
	e := t.engine(ca.trust())
	resp := t.must(e, t.request("GET", s.URL))
	b, err := io.ReadAll(resp.Body)
	if string(b) != "half" && len(b) > 0 {
		t.Errorf("body %q", b)
	}
	t.wantIs(err, io.ErrUnexpectedEOF)
	t.wantOp(err, engine.OpReceive)
	t.get(e, s.URL, 200, "next")
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// h2EarlyResponse: a whole answer before the end of the request, and then
// RST_STREAM(NO_ERROR), is an answer (RFC 9113 §8.1).
func h2EarlyResponse(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		r, _ := c.head()
		c.headers(r.id, false, ":status", "413")
		c.data(r.id, true, "too large")
		c.check(c.framer.WriteRSTStream(r.id, http2.ErrCodeNo))
		c.answers("next")
	})
	e := t.engine(ca.trust())
	t.want(e, t.post(s.URL, sized(1<<20, repeat("x", 1<<20))), 413, "too large")
	t.get(e, s.URL, 200, "next")
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func h2Interim(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		id := c.request().id
		c.headers(id, false, ":status", "103", "link", "</a>")
		c.headers(id, false, ":status", "103", "link", "</b>")
		c.respond(id, "ok")
		c.answers("ok")
	})
	var seen []string
	req := t.request("GET", s.URL)
	req.Trace = &engine.Trace{Informational: func(status int, h header.Header) error {
		seen = append(seen, itoa(status)+" "+h.Get("Link"))
		return nil
	}}
	e := t.engine(ca.trust())
	t.want(e, req, 200, "ok")
	if want := []string{"103 </a>", "103 </b>"}; !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
}

func h2Expect(t *T) {
	s, ca := t.frames([]http2.Setting{}, func(c *frameConn) {
		r, ended := c.head()
		if ended || r.fields.Get("expect") != "100-continue" {
			c.t.Errorf("expect: %q, ended: %v", r.fields.Get("expect"), ended)
		}
		c.headers(r.id, false, ":status", "100")
		for !ended {
			if f, ok := c.next().(*http2.DataFrame); ok {
				r.body, ended = r.body+string(f.Data()), f.StreamEnded()
			}
		}
		c.respond(r.id, r.body)
		r, _ = c.head()
		c.respond(r.id, "no") // without leave
		for {
			switch f := c.next().(type) {
			case *http2.DataFrame:
				if len(f.Data()) > 0 {
					c.t.Errorf("the body came though the server had refused it")
				}
			case *http2.HeadersFrame:
				c.respond(f.StreamID, "next")
			}
		}
	})
	e := t.engine(ca.trust())
	t.want(e, t.expecting(s.URL, sized(5, "hello")), 200, "hello")
	refused := sized(5, "hello")
	t.want(e, t.expecting(s.URL, refused), 200, "no")
	if n := refused.readCount(); n > 0 {
		t.Errorf("the body was read %d times though the server had refused it", n)
	}
	t.get(e, s.URL, 200, "next")
}

func h2ExtendedConnect(t *T) {
	s, ca := t.frames([]http2.Setting{{ID: http2.SettingEnableConnectProtocol, Val: 1}}, func(c *frameConn) {
		c.respond(c.request().id, "first") // an engine with HTTP/1.1 too has learnt then what this server takes
		r, _ := c.head()
		for name, want := range map[string]string{":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/chat"} {
			if r.pseudo[name] != want {
				c.t.Errorf("%s: %q, want %q", name, r.pseudo[name], want)
			}
		}
		c.headers(r.id, false, ":status", "200")
		for {
			switch f := c.next().(type) {
			case *http2.DataFrame:
				c.data(f.StreamID, f.StreamEnded(), string(f.Data()))
				if n := len(f.Data()); n > 0 {
					c.check(c.framer.WriteWindowUpdate(0, uint32(n)))
					c.check(c.framer.WriteWindowUpdate(f.StreamID, uint32(n)))
				}
			case *http2.HeadersFrame:
				c.decode(f)
				c.respond(f.StreamID, "beside")
			}
		}
	})
	e := t.engine(ca.trust())
	t.get(e, s.URL, 200, "first")
	req := t.request("GET", s.URL+"/chat")
	req.Protocol = "websocket"
	resp := t.must(e, req)
	if resp.Upgraded == nil {
		t.Fatalf("status %d, Upgraded is nil", resp.Status)
	}
	t.echoed(resp.Upgraded)
	if resp.Proto == "HTTP/2.0" {
		half, ok := resp.Upgraded.(interface{ CloseWrite() error })
		if !ok {
			t.Fatalf("%T has no CloseWrite", resp.Upgraded)
		}
		if err := half.CloseWrite(); err != nil {
			t.Error(err)
		}
		if n, err := resp.Upgraded.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end of both sides: %d, %v", n, err)
		}
	}
	if err := resp.Upgraded.Close(); err != nil {
		t.Error(err)
	}
	if _, err := resp.Upgraded.Read(make([]byte, 1)); err == nil {
		t.Error("Read after Close succeeds")
	}
	if !t.s.bridged() {
		return // HTTP/1.1 is asked where HTTP/2 has not announced it
	}
	old, ca := t.frames([]http2.Setting{}, func(c *frameConn) { c.answers("ok") })
	e = t.engine(ca.trust())
	req = t.request("GET", old.URL+"/chat")
	req.Protocol = "websocket"
	_, err := t.execute(e, req)
	if u, ok := errors.AsType[*engine.UnsupportedError](err); !ok || !u.Capability.Has(engine.Upgrade) {
		t.Errorf("error %v, want *engine.UnsupportedError for upgrade", err)
	}
}
