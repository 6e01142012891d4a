package enginetest

import (
	"io"
	"strings"
)

// framingTests are answers that cannot be trusted: where one message ends and
// the next begins depends on who reads them (RFC 9112 §11.2). Each must fail
// with *engine.ProtocolError and cost the connection.
func framingTests() []test {
	list := []test{
		{name: "GarbageAfterBody", run: func(t *T) { t.smuggled(response("ok")) }},
		{name: "GarbageAfterChunkedBody", run: func(t *T) {
			t.smuggled("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
		}},
		{name: "GarbageAfterNoContent", run: framingNoContent},
		{name: "BodyAfterHead", run: framingHead},
		{name: "AnswerBeforeRequest", run: framingUnasked},
		{name: "FramingFieldsInTrailer", run: framingTrailer},
	}
	for _, row := range framingRows() {
		list = append(list, test{name: row.name, run: func(t *T) {
			e := t.engine()
			s := t.script(func(c *conn) {
				c.request()
				c.write(row.answer)
				c.closeWrite()
			}, func(c *conn) { c.request(); c.respond("next") })
			t.wantProtocol(t.fails(e, t.request("GET", s.URL)))
			t.get(e, s.URL, 200, "next")
		}})
	}
	return list
}

type framingRow struct{ name, answer string }

func framingRows() []framingRow {
	rows := chunkRows()
	const ok = "HTTP/1.1 200 OK\r\n"
	return append(rows, []framingRow{
		{"TwoContentLengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
		{"ContentLengthList", ok + "Content-Length: 5, 6\r\n\r\nhello!"},
		{"ContentLengthPlus", ok + "Content-Length: +5\r\n\r\nhello"},
		{"ContentLengthNegative", ok + "Content-Length: -5\r\n\r\nhello"},
		{"ContentLengthHex", ok + "Content-Length: 0x5\r\n\r\nhello"},
		{"ContentLengthEmpty", ok + "Content-Length:\r\n\r\nhello"},
		{"ContentLengthSpace", ok + "Content-Length: 5 5\r\n\r\nhello"},
		{"ContentLengthOverflow", ok + "Content-Length: 18446744073709551621\r\n\r\nhello"},
		{"ContentLengthWord", ok + "Content-Length: five\r\n\r\nhello"},
		{"ContentLengthWithChunked", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkedWithContentLength", ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkedThenIdentity", ok + "Transfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkedTwice", ok + "Transfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkedInTwoFields", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"UnknownCoding", ok + "Transfer-Encoding: zip\r\n\r\nhello"},
		{"UnknownCodingThenChunked", ok + "Transfer-Encoding: zip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"AlmostChunked", ok + "Transfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"EmptyTransferEncoding", ok + "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello"},
		{"TransferEncodingOnHTTP10", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		{"ObsFold", ok + "X-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"},
		{"ObsFoldTab", ok + "X-A: 1\r\n\tContent-Length: 0\r\n\r\n"},
		{"FoldBeforeFirstField", ok + " X-A: 1\r\nContent-Length: 0\r\n\r\n"},
		{"BareLFInFields", ok + "X-A: 1\nContent-Length: 0\r\n\r\n"},
		{"BareLFStatusLine", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"},
		{"BareLFBlankLine", ok + "Content-Length: 0\r\n\n"},
		{"BareCRInValue", ok + "X-A: 1\rX-B: 2\r\nContent-Length: 0\r\n\r\n"},
		{"BareCRInName", ok + "X\rA: 1\r\nContent-Length: 0\r\n\r\n"},
		{"NULInValue", ok + "X-A: 1\x002\r\nContent-Length: 0\r\n\r\n"},
		{"NULInName", ok + "X\x00A: 1\r\nContent-Length: 0\r\n\r\n"},
		{"ControlInValue", ok + "X-A: 1\x012\r\nContent-Length: 0\r\n\r\n"},
		{"SpaceBeforeColon", ok + "Content-Length : 0\r\n\r\n"},
		{"TabBeforeColon", ok + "X-A\t: 0\r\nContent-Length: 0\r\n\r\n"},
		{"SpaceInName", ok + "X A: 0\r\nContent-Length: 0\r\n\r\n"},
		{"EmptyName", ok + ": 1\r\nContent-Length: 0\r\n\r\n"},
		{"NoColon", ok + "X-A\r\nContent-Length: 0\r\n\r\n"},
		{"StatusLineGarbage", "nonsense\r\nContent-Length: 0\r\n\r\n"},
		{"GarbageBeforeStatusLine", "garbage\r\n" + ok + "Content-Length: 0\r\n\r\n"},
		{"BinaryGarbage", "\x16\x03\x01\x00\x00\xff\xfe\x00\x01garbage\r\n\r\n"},
		{"VersionHTTP56", "HTTP/5.6 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"VersionHTTP2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"VersionHTTP12", "HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"VersionLowerCase", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"OtherProtocol", "ICY 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"StatusTwoDigits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"},
		{"StatusFourDigits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"},
		{"StatusNoNumber", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"},
		{"StatusNegative", "HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n"},
		{"StatusZero", "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"},
		{"StatusTwoSpaces", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"NULInReason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"},
		{"BareCRInReason", "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n"},
	}...)
}

func chunkRows() []framingRow {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	long := strings.Repeat("x", 1<<20)
	return []framingRow{
		{"ChunkSizeEmpty", head + "\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeOnlyExtension", head + ";x\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeNegative", head + "-5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizePlus", head + "+5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeOverflow", head + "10000000000000005\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeHuge", head + "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizePrefix", head + "0x5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeUnderscore", head + "0_5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeWord", head + "five\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeLeadingSpace", head + " 5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeInnerSpace", head + "0 5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeBareLF", head + "5\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeBareCR", head + "5\rx\r\nhello\r\n0\r\n\r\n"},
		{"ChunkSizeManyZeros", head + strings.Repeat("0", 1<<20) + "5\r\nhello\r\n0\r\n\r\n"},
		{"ChunkDataTooLong", head + "4\r\nhello\r\n0\r\n\r\n"},
		{"ChunkDataTooShort", head + "6\r\nhello\r\n0\r\n\r\n"},
		{"ChunkDataBareLF", head + "5\r\nhello\n0\r\n\r\n"},
		{"ChunkDataWithoutCRLF", head + "5\r\nhello0\r\n\r\n"},
		{"ChunkExtensionTooLong", head + "5;" + long + "\r\nhello\r\n0\r\n\r\n"},
		{"ChunkExtensionBareLF", head + "5;a\nb\r\nhello\r\n0\r\n\r\n"},
		{"ChunkExtensionNUL", head + "5;a\x00b\r\nhello\r\n0\r\n\r\n"},
		{"ChunkExtensionsInSum", head + strings.Repeat("1;"+strings.Repeat("e", 1000)+"\r\nx\r\n", 5000) + "0\r\n\r\n"},
		{"TrailerBareLF", head + "0\r\nX-A: 1\nX-B: 2\r\n\r\n"},
		{"TrailerNoColon", head + "0\r\nX-A\r\n\r\n"},
		{"TrailerFold", head + "0\r\nX-A: 1\r\n 2\r\n\r\n"},
	}
}

// smuggled sends a good answer with a second one behind it that nobody asked
// for: the next request must not get it.
func (t *T) smuggled(answer string) {
	t.Helper()
	e := t.engine()
	evil := response("evil", "X-Evil: 1")
	s := t.script(func(c *conn) {
		c.request()
		c.write(answer + evil)
		c.request()
		c.respond("late")
	}, func(c *conn) { c.request(); c.respond("good") })
	t.get(e, s.URL, 200, "ok")
	t.get(e, s.URL, 200, "good")
}

func framingNoContent(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 204 No Content\r\n\r\n" + response("evil"))
		c.request()
		c.respond("late")
	}, func(c *conn) { c.request(); c.respond("good") })
	t.get(e, s.URL, 204, "")
	t.get(e, s.URL, 200, "good")
}

func framingHead(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write(response("evil"))
		c.request()
		c.respond("late")
	}, func(c *conn) { c.request(); c.respond("good") })
	t.want(e, t.request("HEAD", s.URL), 200, "")
	t.get(e, s.URL, 200, "good")
}

// framingUnasked: bytes that come while a connection is idle belong to nobody.
func framingUnasked(t *T) {
	e := t.engine()
	idle, sent := make(chan struct{}), make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		c.respond("ok")
		c.wait(idle)
		c.write("HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil")
		close(sent)
		c.request()
		c.respond("late")
	}, func(c *conn) { c.request(); c.respond("good") })
	t.get(e, s.URL, 200, "ok")
	close(idle)
	within(t, "the unasked answer", sent)
	t.get(e, s.URL, 200, "good")
}

// framingTrailer: a trailer cannot frame the message that it ends (RFC 9110
// §6.5.1). Engines may refuse it or leave it without effect.
func framingTrailer(t *T) {
	for _, field := range []string{"Content-Length: 50", "Transfer-Encoding: chunked", "Connection: keep-alive, upgrade"} {
		e := t.engine()
		s := t.script(func(c *conn) {
			c.request()
			c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + field + "\r\n\r\n")
			c.request()
			c.respond("next")
		}, func(c *conn) { c.request(); c.respond("next") })
		resp := t.must(e, t.request("GET", s.URL))
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		name, _, _ := strings.Cut(field, ":")
		switch {
		case err != nil:
			t.wantProtocol(err)
		case string(b) != "hello" || name != "Transfer-Encoding" && resp.Header.Has(name):
			t.Errorf("%s in the trailer: body %q, header\n%s", field, b, resp.Header)
		}
		t.get(e, s.URL, 200, "next")
	}
}
