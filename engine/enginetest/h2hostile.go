package enginetest

import (
	"strings"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
)

// hostile is a server that breaks the rules; the request must fail with
// *engine.ProtocolError.
type hostile struct {
	name string
	// method of the request; "" = GET.
	method string
	// bare leaves our SETTINGS out.
	bare bool
	// lives tells that the connection goes on: only the stream is lost.
	lives bool
	run   func(c *frameConn, id uint32)
}

func hostileTests() []test {
	var tests []test
	for _, list := range [][]hostile{brokenFrames(), brokenHeads(), brokenBodies(), floods()} {
		for _, h := range list {
			tests = append(tests, test{name: h.name, run: func(t *T) { t.hostile(h) }})
		}
	}
	return tests
}

func (t *T) hostile(h hostile) {
	gone := make(chan struct{}, 1)
	s, ca := t.frames(nil, func(c *frameConn) {
		id := uint32(1)
		if !h.bare {
			c.greet()
			id = c.request().id
		}
		if !h.lives {
			defer func() { gone <- struct{}{} }()
			h.run(c, id)
			c.goneBy()
			return
		}
		h.run(c, id)
		c.answers("next")
	}, func(c *frameConn) {
		c.greet()
		c.answers("next")
	})
	e := t.engine(ca.trust())
	method := h.method
	if method == "" {
		method = "GET"
	}
	req := t.request(method, s.URL)
	req.NoStaleRetry = t.s.caps.Has(engine.NoStaleRetry)
	t.wantProtocol(t.fails(e, req))
	want := 1
	if !h.lives {
		within(t, "the end of the connection", gone)
		want = 2
	}
	t.get(e, s.URL, 200, "next")
	if n := s.Accepted(); n != want {
		t.Errorf("%d connections, want %d", n, want)
	}
}

// rawFrame sends a frame as it stands.
func (c *frameConn) rawFrame(kind http2.FrameType, flags http2.Flags, id uint32, payload string) {
	c.check(c.framer.WriteRawFrame(kind, flags, id, []byte(payload)))
}

func brokenFrames() []hostile {
	raw := func(name string, kind http2.FrameType, flags http2.Flags, id uint32, payload string) hostile {
		return hostile{name: name, run: func(c *frameConn, _ uint32) { c.rawFrame(kind, flags, id, payload) }}
	}
	return []hostile{
		{name: "PushPromise", run: func(c *frameConn, id uint32) {
			c.check(c.framer.WritePushPromise(http2.PushPromiseParam{
				StreamID: id, PromiseID: 2, EndHeaders: true, BlockFragment: c.encode(":method", "GET", ":path", "/"),
			}))
		}},
		{name: "FirstFrameIsPing", bare: true, run: func(c *frameConn, _ uint32) { c.check(c.framer.WritePing(false, [8]byte{})) }},
		{name: "FirstFrameIsHTTP1", bare: true, run: func(c *frameConn, _ uint32) { c.write("HTTP/1.1 400 Bad Request\r\n\r\n") }},
		{name: "FirstBytesAreNoise", bare: true, run: func(c *frameConn, _ uint32) { c.write(repeat("noise ", 20)) }},
		raw("FrameTooLarge", http2.FrameData, 0, 1, repeat("x", 16<<10+1)),
		raw("SettingsOnStream", http2.FrameSettings, 0, 1, ""),
		raw("SettingsOddSize", http2.FrameSettings, 0, 0, "12345"),
		raw("SettingsAckWithPayload", http2.FrameSettings, http2.FlagSettingsAck, 0, "123456"),
		raw("SettingsEnablePush", http2.FrameSettings, 0, 0, "\x00\x02\x00\x00\x00\x01"),
		raw("SettingsWindowTooLarge", http2.FrameSettings, 0, 0, "\x00\x04\x80\x00\x00\x00"),
		raw("SettingsFrameTooSmall", http2.FrameSettings, 0, 0, "\x00\x05\x00\x00\x00\x01"),
		raw("SettingsFrameTooLarge", http2.FrameSettings, 0, 0, "\x00\x05\x01\x00\x00\x00"),
		raw("PingSize", http2.FramePing, 0, 0, "1234"),
		raw("PingOnStream", http2.FramePing, 0, 1, "12345678"),
		raw("ResetSize", http2.FrameRSTStream, 0, 1, "123"),
		raw("ResetOnConnection", http2.FrameRSTStream, 0, 0, "1234"),
		raw("ResetOfIdleStream", http2.FrameRSTStream, 0, 7, "1234"),
		raw("GoAwaySize", http2.FrameGoAway, 0, 0, "1234"),
		raw("GoAwayOnStream", http2.FrameGoAway, 0, 1, "12345678"),
		raw("WindowUpdateSize", http2.FrameWindowUpdate, 0, 0, "123"),
		raw("WindowUpdateByZero", http2.FrameWindowUpdate, 0, 0, "\x00\x00\x00\x00"),
		raw("WindowUpdateOverflow", http2.FrameWindowUpdate, 0, 0, "\x7f\xff\xff\xff"),
		raw("DataOnConnection", http2.FrameData, 0, 0, "x"),
		raw("DataOnIdleStream", http2.FrameData, 0, 5, "x"),
		raw("DataOnEvenStream", http2.FrameData, 0, 2, "x"),
		raw("DataPadding", http2.FrameData, http2.FlagDataPadded, 1, "\x05abc"),
		raw("HeadersOnConnection", http2.FrameHeaders, http2.FlagHeadersEndHeaders, 0, "\x88"),
		raw("HeadersOnIdleStream", http2.FrameHeaders, http2.FlagHeadersEndHeaders, 9, "\x88"),
		raw("HeadersPadding", http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersPadded, 1, "\x09\x88"),
		raw("ContinuationAlone", http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1, "\x88"),
		raw("CompressionBroken", http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\xff\xff\xff\xff\xff"),
		raw("CompressionBadIndex", http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\x88\xfe"),
		raw("CompressionTableTooLarge", http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, "\x3f\xff\xff\x03\x88"),
		{name: "FieldBlockInterrupted", run: func(c *frameConn, id uint32) {
			c.rawFrame(http2.FrameHeaders, 0, id, "\x88")
			c.check(c.framer.WritePing(false, [8]byte{}))
		}},
		{name: "FieldBlockOfAnotherStream", run: func(c *frameConn, id uint32) {
			c.rawFrame(http2.FrameHeaders, 0, id, "\x88")
			c.rawFrame(http2.FrameContinuation, http2.FlagContinuationEndHeaders, id+2, "\x88")
		}},
		{name: "StreamWindowByZero", lives: true, run: func(c *frameConn, id uint32) {
			c.rawFrame(http2.FrameWindowUpdate, 0, id, "\x00\x00\x00\x00")
		}},
		{name: "StreamWindowOverflow", lives: true, run: func(c *frameConn, id uint32) {
			c.rawFrame(http2.FrameWindowUpdate, 0, id, "\x7f\xff\xff\xff")
		}},
		{name: "WindowIgnored", run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			c.flood(func(int) error { return c.framer.WriteData(id, false, make([]byte, 16<<10)) })
		}},
	}
}

func brokenHeads() []hostile {
	head := func(name string, fields ...string) hostile {
		return hostile{name: name, lives: true, run: func(c *frameConn, id uint32) { c.headers(id, true, fields...) }}
	}
	return []hostile{
		head("StatusMissing", "x", "y"),
		head("StatusTwice", ":status", "200", ":status", "200"),
		head("StatusWord", ":status", "abc"),
		head("StatusTwoDigits", ":status", "20"),
		head("StatusFourDigits", ":status", "2000"),
		head("StatusBelow100", ":status", "099"),
		head("StatusEmpty", ":status", ""),
		head("Switching", ":status", "101"),
		head("PseudoUnknown", ":status", "200", ":x", "y"),
		head("PseudoOfRequest", ":status", "200", ":path", "/"),
		head("PseudoAfterField", "x", "y", ":status", "200"),
		head("NameUpperCase", ":status", "200", "X-Upper", "y"),
		head("NameEmpty", ":status", "200", "", "y"),
		head("NameSpace", ":status", "200", "a b", "y"),
		head("NameColon", ":status", "200", "a:b", "y"),
		head("ValueNUL", ":status", "200", "x", "a\x00b"),
		head("ValueCR", ":status", "200", "x", "a\rb"),
		head("ValueLF", ":status", "200", "x", "a\nb"),
		head("ValueSpaceBefore", ":status", "200", "x", " a"),
		head("ValueSpaceAfter", ":status", "200", "x", "a "),
		head("FieldConnection", ":status", "200", "connection", "close"),
		head("FieldKeepAlive", ":status", "200", "keep-alive", "timeout=5"),
		head("FieldProxyConnection", ":status", "200", "proxy-connection", "close"),
		head("FieldTransferEncoding", ":status", "200", "transfer-encoding", "chunked"),
		head("FieldUpgrade", ":status", "200", "upgrade", "x"),
		head("FieldTE", ":status", "200", "te", "gzip"),
		head("InterimEnds", ":status", "103"),
		head("ContentLengthWord", ":status", "200", "content-length", "x"),
		head("ContentLengthNegative", ":status", "200", "content-length", "-1"),
		head("ContentLengthTwo", ":status", "200", "content-length", "1", "content-length", "2"),
		head("ContentLengthWithoutBody", ":status", "200", "content-length", "5"),
		{name: "InterimWithoutEnd", lives: true, run: func(c *frameConn, id uint32) {
			for range 200 {
				c.headers(id, false, ":status", "103", "link", "</x>")
			}
		}},
		{name: "FieldsTooMany", lives: true, run: func(c *frameConn, id uint32) {
			fields := []string{":status", "200"}
			for i := range 1001 {
				fields = append(fields, "x-"+itoa(i), "y")
			}
			c.long(id, fields...)
		}},
		{name: "FieldsTooLarge", lives: true, run: func(c *frameConn, id uint32) {
			fields := []string{":status", "200", "x-long", repeat("y", 3000)}
			for range 200 { // by index: a few bytes on the wire
				fields = append(fields, "x-long", repeat("y", 3000))
			}
			c.long(id, fields...)
		}},
		{name: "FieldTooLarge", run: func(c *frameConn, id uint32) {
			c.long(id, ":status", "200", "x-long", repeat("~", 300<<10))
		}},
	}
}

// long sends a head in as many frames as it takes.
func (c *frameConn) long(id uint32, fields ...string) {
	block := string(c.encode(fields...))
	first := block[:min(len(block), 16<<10)]
	c.rawFrame(http2.FrameHeaders, http2.FlagHeadersEndStream, id, first)
	for block = block[len(first):]; block != ""; {
		n := min(len(block), 16<<10)
		if c.framer.WriteContinuation(id, false, []byte(block[:n])) != nil {
			c.stop()
		}
		block = block[n:]
	}
	c.rawFrame(http2.FrameContinuation, http2.FlagContinuationEndHeaders, id, "")
}

func brokenBodies() []hostile {
	return []hostile{
		{name: "DataBeforeHead", lives: true, run: func(c *frameConn, id uint32) { c.data(id, false, "x") }},
		{name: "EndWithoutHead", lives: true, run: func(c *frameConn, id uint32) { c.data(id, true, "") }},
		{name: "BodyTooShort", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200", "content-length", "5")
			c.data(id, true, "1234")
		}},
		{name: "BodyTooLong", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200", "content-length", "5")
			c.data(id, false, "123")
			c.data(id, false, "456")
		}},
		{name: "BodyOfNoContent", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "204")
			c.data(id, true, "x")
		}},
		{name: "BodyOfNotModified", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "304")
			c.data(id, true, "x")
		}},
		{name: "BodyOfHead", method: "HEAD", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			c.data(id, true, "x")
		}},
		{name: "SecondHead", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			c.headers(id, true, ":status", "200")
		}},
		{name: "TrailersWithoutEnd", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			c.headers(id, false, "x", "y")
		}},
		{name: "TrailersUpperCase", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			c.headers(id, true, "X", "y")
		}},
		{name: "TrailersTooLarge", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			fields := []string{}
			for i := range 1001 {
				fields = append(fields, "x-"+itoa(i), "y")
			}
			c.long(id, fields...)
		}},
		{name: "TrailerTooLarge", lives: true, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			fields := []string{}
			for range 100 { // by index, but for the first
				fields = append(fields, "x-long", repeat("y", 3000))
			}
			c.long(id, fields...)
		}},
	}
}

func floods() []hostile {
	flood := func(name string, write func(c *frameConn, id uint32) error) hostile {
		return hostile{name: name, run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200")
			c.flood(func(int) error { return write(c, id) })
		}}
	}
	return []hostile{
		flood("FloodOfSettings", func(c *frameConn, _ uint32) error { return c.framer.WriteSettings() }),
		flood("FloodOfSettingsAcks", func(c *frameConn, _ uint32) error { return c.framer.WriteSettingsAck() }),
		flood("FloodOfPings", func(c *frameConn, _ uint32) error { return c.framer.WritePing(false, [8]byte{}) }),
		{name: "FloodOfPingsAndDataOnClosedStream", run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200", "X", "malformed: the stream ends")
			c.flood(func(int) error {
				if err := c.framer.WriteData(id, false, []byte("x")); err != nil {
					return err
				}
				return c.framer.WritePing(false, [8]byte{})
			})
		}},
		flood("FloodOfPingAcks", func(c *frameConn, _ uint32) error { return c.framer.WritePing(true, [8]byte{}) }),
		flood("FloodOfEmptyData", func(c *frameConn, id uint32) error { return c.framer.WriteData(id, false, nil) }),
		flood("FloodOfPadding", func(c *frameConn, id uint32) error {
			return c.framer.WriteDataPadded(id, false, nil, make([]byte, 1))
		}),
		flood("FloodOfWindowUpdates", func(c *frameConn, id uint32) error { return c.framer.WriteWindowUpdate(id, 1) }),
		flood("FloodOfConnectionWindowUpdates", func(c *frameConn, _ uint32) error { return c.framer.WriteWindowUpdate(0, 1) }),
		flood("FloodOfPriority", func(c *frameConn, id uint32) error {
			return c.framer.WritePriority(id, http2.PriorityParam{Weight: 1})
		}),
		flood("FloodOfUnknownFrames", func(c *frameConn, _ uint32) error { return c.framer.WriteRawFrame(0x77, 0, 0, nil) }),
		flood("FloodOfGoAway", func(c *frameConn, _ uint32) error { return c.framer.WriteGoAway(1<<31-1, 0, nil) }),
		{name: "FloodOfEmptyContinuation", run: func(c *frameConn, id uint32) {
			c.rawFrame(http2.FrameHeaders, 0, id, "\x88")
			c.flood(func(int) error { return c.framer.WriteContinuation(id, false, nil) })
		}},
		{name: "FloodOfContinuation", run: func(c *frameConn, id uint32) {
			c.rawFrame(http2.FrameHeaders, 0, id, "\x88")
			field := []byte(strings.Repeat("\x00\x01x\x01y", 3000))
			c.flood(func(int) error { return c.framer.WriteContinuation(id, false, field) })
		}},
		{name: "FloodOfHeadersOnClosedStream", run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200", "X", "malformed: the stream ends")
			block := string(c.encode(":status", "200"))
			c.flood(func(int) error {
				return c.framer.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, []byte(block))
			})
		}},
		flood("FloodOfLargeSettings", func(c *frameConn, _ uint32) error {
			return c.framer.WriteRawFrame(http2.FrameSettings, 0, 0, []byte(strings.Repeat("\x00\x04\x00\x00\x00\x01", 2700)))
		}),
		flood("FloodOfPriorityUpdates", func(c *frameConn, _ uint32) error {
			return c.framer.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x01u=1"))
		}),
		{name: "FloodOfInterimResponses", run: func(c *frameConn, id uint32) {
			block := string(c.encode(":status", "103"))
			c.flood(func(int) error {
				return c.framer.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, []byte(block))
			})
		}},
		{name: "FloodOfEmptyHeaders", run: func(c *frameConn, id uint32) {
			c.flood(func(int) error {
				return c.framer.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, id, nil)
			})
		}},
		{name: "FloodOfEndsOfClosedStream", run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200", "X", "malformed: the stream ends")
			c.flood(func(int) error { return c.framer.WriteData(id, true, nil) })
		}},
		{name: "FloodOfDataOnClosedStream", run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200", "X", "malformed: the stream ends")
			c.flood(func(int) error { return c.framer.WriteData(id, false, make([]byte, 10_000)) })
		}},
		{name: "FloodOfResets", run: func(c *frameConn, id uint32) {
			c.headers(id, false, ":status", "200", "X", "malformed: the stream ends")
			c.flood(func(int) error { return c.framer.WriteRSTStream(id, http2.ErrCodeCancel) })
		}},
	}
}
