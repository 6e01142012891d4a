package enginetest

import (
	"errors"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

func responseHeadTests() []test {
	return []test{
		{name: "Statuses", run: respStatuses},
		{name: "ReasonPhrases", run: respReasons},
		{name: "HTTP10", run: respHTTP10},
		{name: "OrderAndCase", needs: engine.FieldOrder, run: respOrder},
		{name: "RepeatedSetCookie", run: respCookies},
		{name: "EmptyAndPaddedValues", run: respValues},
		{name: "BytesAbove127", run: respObsText},
		{name: "LongValue", run: respLong},
		{name: "HeadOverLimit", needs: engine.HeaderLimits, run: respTooLong},
		{name: "HeadOverOwnLimit", needs: engine.HeaderLimits, run: respOwnLimit},
		{name: "StatusLineOverLimit", needs: engine.HeaderLimits, run: respLongStatusLine},
		{name: "FieldsAtLimit", needs: engine.HeaderLimits, run: respManyFields},
		{name: "FieldsOverLimit", needs: engine.HeaderLimits, run: respTooMany},
		{name: "EndlessHead", needs: engine.HeaderLimits, run: respEndlessHead},
		{name: "UnaskedContinue", run: respContinue},
		{name: "InformationalSkipped", run: respInformational},
		{name: "InformationalShown", needs: engine.Informational, run: respInformationalShown},
		{name: "InformationalRefusedByTrace", needs: engine.Informational, run: respInformationalError},
		{name: "EndlessInformational", run: respEndless},
		{name: "SwitchingUnasked", run: respSwitching},
		{name: "NoContent", run: respNoContent},
		{name: "HeadWithLength", run: respHead},
		{name: "NotModifiedWithLength", run: respNotModified},
		{name: "RawHead", needs: engine.RawHead, run: respRawHead},
		{name: "SplitAtEveryByte", run: respSplit},
		{name: "ConnectionInfo", needs: engine.ConnectionInfo, run: respConn},
	}
}

func respStatuses(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		for {
			c.write("HTTP/1.1 ", strings.TrimPrefix(c.request().Target, "/"), " X\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for status := 200; status <= 599; status++ {
		if status != 204 && status != 304 {
			t.get(e, s.URL+"/"+itoa(status), status, "")
		}
	}
	for _, status := range []int{600, 799, 999} {
		t.get(e, s.URL+"/"+itoa(status), status, "")
	}
}

func respReasons(t *T) {
	e := t.engine()
	for _, row := range []struct{ name, line, want string }{
		{"usual", "HTTP/1.1 200 OK", "OK"},
		{"empty", "HTTP/1.1 200 ", ""},
		{"no space", "HTTP/1.1 200", ""},
		{"words", "HTTP/1.1 200 All is well: 1/2", "All is well: 1/2"},
		{"utf-8", "HTTP/1.1 200 schön", "schön"},
	} {
		s := t.raw(row.line + "\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
		resp := t.get(e, s.URL, 200, "x")
		if resp.Reason != row.want || resp.Proto != "HTTP/1.1" {
			t.Errorf("%s: reason %q, proto %q", row.name, resp.Reason, resp.Proto)
		}
	}
}

func respHTTP10(t *T) {
	e := t.engine()
	for _, row := range []struct {
		answer string
		length int64
	}{
		{"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nold", -1},
		{"HTTP/1.0 200 OK\r\nX-A: 1\r\nContent-Length: 3\r\n\r\nold", 3},
	} {
		s := t.raw(row.answer)
		resp := t.get(e, s.URL, 200, "old")
		if resp.Proto != "HTTP/1.0" || resp.ContentLength != row.length {
			t.Errorf("proto %q, length %d, want HTTP/1.0 and %d", resp.Proto, resp.ContentLength, row.length)
		}
	}
}

func respOrder(t *T) {
	e := t.engine()
	want := header.New("x-lower", "1", "X-UPPER", "2", "Content-Length", "0", "X-MiXeD", "3", "x-lower", "4", "Date", "x")
	s := t.raw("HTTP/1.1 200 OK\r\n" + want.String() + "\r\n")
	if resp := t.get(e, s.URL, 200, ""); resp.Header.String() != want.String() {
		t.Errorf("fields:\n%swant:\n%s", resp.Header, want)
	}
}

func respCookies(t *T) {
	e := t.engine()
	s := t.respond("", "Set-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "set-cookie: b=2", "SET-COOKIE: c")
	got := t.get(e, s.URL, 200, "").Header.Values("Set-Cookie")
	if want := []string{"a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2", "c"}; !slices.Equal(got, want) {
		t.Errorf("Set-Cookie: %q", got)
	}
}

func respValues(t *T) {
	e := t.engine()
	s := t.respond("", "X-Empty:", "X-Blank:   ", "X-Tight:a", "X-Wide: \t a b \t ", "X-Colon: a:b")
	h := t.get(e, s.URL, 200, "").Header
	for name, want := range map[string]string{"X-Empty": "", "X-Blank": "", "X-Tight": "a", "X-Wide": "a b", "X-Colon": "a:b"} {
		if got, ok := h.Lookup(name); got != want || !ok {
			t.Errorf("%s: %q, %v; want %q", name, got, ok, want)
		}
	}
}

func respObsText(t *T) {
	e := t.engine()
	s := t.respond("", "X-Latin: gr\xfc\xdfe", "X-Utf8: grüße")
	h := t.get(e, s.URL, 200, "").Header
	if h.Get("X-Latin") != "gr\xfc\xdfe" || h.Get("X-Utf8") != "grüße" {
		t.Errorf("fields: %q", h.String())
	}
}

func respLong(t *T) {
	e := t.engine()
	for _, n := range []int{4000, 4096, 8192, 20_000, 65_536, 200_000} {
		value := pattern(n)
		s := t.respond("x", "X-Long: "+value)
		if got := t.get(e, s.URL, 200, "x").Header.Get("X-Long"); got != value {
			t.Errorf("value of %d bytes arrives as %s", n, cut(got))
		}
	}
}

// tooLong sends an answer that goes over a limit; the server may find the
// connection closed before all is written.
func (t *T) tooLong(e engine.Engine, answer string) {
	t.Helper()
	s := t.script(func(c *conn) { c.request(); c.write(answer) })
	t.wantProtocol(t.fails(e, t.request("GET", s.URL)))
	s.WaitClosed(t)
}

func respTooLong(t *T) {
	e := t.engine()
	t.tooLong(e, response("x", "X-Long: "+pattern(300<<10)))
	t.tooLong(e, response("x", "X-"+strings.Repeat("n", 300<<10)+": 1"))
}

func respOwnLimit(t *T) {
	e := t.engine(func(c *engine.Config) { c.MaxHeaderBytes, c.MaxHeaderFields = 2000, 5 })
	ok := t.respond("x", "X-Long: "+pattern(1000))
	t.get(e, ok.URL, 200, "x")
	t.tooLong(e, response("x", "X-Long: "+pattern(6000)))
	t.tooLong(e, response("x", "A: 1", "B: 2", "C: 3", "D: 4", "E: 5", "F: 6"))
}

func respLongStatusLine(t *T) {
	t.tooLong(t.engine(), "HTTP/1.1 200 "+strings.Repeat("O", 300<<10)+"\r\nContent-Length: 0\r\n\r\n")
}

// respEndlessHead: a head without an end, in each of its parts.
func respEndlessHead(t *T) {
	e := t.engine()
	for _, piece := range []string{"X", "X-A: 1\r\n", "\r", "HTTP/1.1 200 "} {
		start := "HTTP/1.1 200 OK\r\nX-A: "
		switch piece {
		case "X-A: 1\r\n":
			start = "HTTP/1.1 200 OK\r\n"
		case "HTTP/1.1 200 ":
			start = ""
		}
		s := t.script(func(c *conn) {
			c.request()
			c.write(start)
			for {
				c.write(strings.Repeat(piece, 1000))
			}
		})
		t.quick("a head without an end", func() { t.wantProtocol(t.fails(e, t.request("GET", s.URL))) })
		s.WaitClosed(t)
	}
}

func fieldLines(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = "X-" + itoa(i) + ": v"
	}
	return lines
}

func respManyFields(t *T) {
	e := t.engine()
	s := t.respond("x", fieldLines(999)...)
	if n := t.get(e, s.URL, 200, "x").Header.Len(); n != 1000 {
		t.Errorf("%d fields, want 1000", n)
	}
}

func respTooMany(t *T) { t.tooLong(t.engine(), response("x", fieldLines(1000)...)) }

func respContinue(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		for {
			c.request()
			c.write("HTTP/1.1 100 Continue\r\n\r\n")
			c.respond("ok")
		}
	})
	for range 2 {
		t.get(e, s.URL, 200, "ok")
		t.want(e, t.post(s.URL, stream("x")), 200, "ok")
	}
}

const hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX-N: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\nHTTP/1.1 199 Odd\r\n\r\n"

func respInformational(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.request(); c.write(hints); c.respond("ok") })
	resp := t.get(e, s.URL, 200, "ok")
	if resp.Header.Has("Link") || resp.Header.Has("X-N") {
		t.Errorf("fields of a 1xx response are in the final one:\n%s", resp.Header)
	}
}

func respInformationalShown(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.request(); c.write(hints); c.respond("ok") })
	var got []string
	req := t.request("GET", s.URL)
	req.Trace = &engine.Trace{Informational: func(status int, h header.Header) error {
		got = append(got, itoa(status)+":"+h.Joined("Link")+h.Get("X-N"))
		return nil
	}}
	t.want(e, req, 200, "ok")
	if want := []string{"100:", "102:1", "103:</a>, </b>", "199:"}; !slices.Equal(got, want) {
		t.Errorf("1xx seen %q, want %q", got, want)
	}
}

func respInformationalError(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.request(); c.write(hints); c.respond("ok") })
	refusal := errors.New("no hints, please")
	req := t.request("GET", s.URL)
	req.Trace = &engine.Trace{Informational: func(int, header.Header) error { return refusal }}
	_, err := t.execute(e, req)
	t.wantIs(err, refusal)
	s.WaitClosed(t)
}

func respEndless(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		for {
			c.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		}
	})
	t.quick("endless 1xx responses", func() { t.wantProtocol(t.fails(e, t.request("GET", s.URL))) })
	s.WaitClosed(t)
}

func respSwitching(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	})
	t.wantProtocol(t.fails(e, t.request("GET", s.URL)))
	s.WaitClosed(t)
}

func respNoContent(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 204 No Content\r\n\r\n")
		c.request()
		c.write("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")
		c.request()
		c.respond("after")
	})
	t.get(e, s.URL, 204, "")
	t.get(e, s.URL, 205, "")
	t.get(e, s.URL, 200, "after")
}

// bodiless sends two requests on a connection whose first answer announces a
// length and has no body.
func (t *T) bodiless(method, head string, status int, length int64) {
	t.Helper()
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write(head)
		c.request()
		c.respond("after")
	})
	resp := t.want(e, t.request(method, s.URL), status, "")
	if resp.ContentLength != length {
		t.Errorf("ContentLength %d, want %d", resp.ContentLength, length)
	}
	t.get(e, s.URL, 200, "after")
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func respHead(t *T) {
	t.bodiless("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345678901\r\n\r\n", 200, 12345678901)
	t.bodiless("HEAD", "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n", 404, -1)
	t.bodiless("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0)
}

func respNotModified(t *T) {
	t.bodiless("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 99\r\n\r\n", 304, 99)
}

func respRawHead(t *T) {
	e := t.engine()
	raw := "HTTP/1.1 200 Fine by me\r\nx-ODD:   spaced  \r\ncontent-length: 2\r\nX-ODD:again\r\n\r\n"
	s := t.script(func(c *conn) {
		for {
			c.request()
			c.write(raw, "ok")
		}
	})
	req := t.request("GET", s.URL)
	req.WantRawHead = true
	if resp := t.want(e, req, 200, "ok"); string(resp.RawHead) != raw {
		t.Errorf("RawHead %q, want %q", resp.RawHead, raw)
	}
	if resp := t.get(e, s.URL, 200, "ok"); resp.RawHead != nil {
		t.Errorf("RawHead %q though it was not asked for", resp.RawHead)
	}
}

// respSplit sends one byte a write, and every split in two.
func respSplit(t *T) {
	e := t.engine()
	answer := hints + response("hello", "X-A: 1", "X-Empty:", "X-B: "+pattern(50))
	s := t.script(func(c *conn) {
		for {
			c.request()
			c.bytewise(answer)
		}
	})
	for range 3 {
		if resp := t.get(e, s.URL, 200, "hello"); resp.Header.Get("X-B") != pattern(50) || resp.Header.Len() != 4 {
			t.Errorf("fields:\n%s", resp.Header)
		}
	}
	split := t.script(func(c *conn) {
		for i := 1; i < len(answer); i++ {
			c.request()
			c.write(answer[:i], answer[i:])
		}
	})
	for range len(answer) - 1 {
		t.get(e, split.URL, 200, "hello")
	}
}

func respConn(t *T) {
	e := t.engine()
	s := t.respond("ok")
	for i := range 2 {
		resp := t.get(e, s.URL, 200, "ok")
		if resp.Conn == nil || resp.Conn.Remote == nil || resp.Conn.Local == nil {
			t.Fatalf("Conn is %+v", resp.Conn)
		}
		if got := resp.Conn.Remote.String(); got != s.Addr || resp.Conn.TLS != nil || resp.Conn.Proxy != nil {
			t.Errorf("Conn is %+v, want Remote %s", resp.Conn, s.Addr)
		}
		if resp.Reused != (i > 0) {
			t.Errorf("request %d: Reused is %v", i, resp.Reused)
		}
	}
}
