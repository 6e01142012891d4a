package enginetest

import (
	"errors"
	"io"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

func truncationTests() []test {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	list := []test{
		{name: "EveryPrefixOfLength", run: func(t *T) { t.everyPrefix(response("hello", "X-A: 1")) }},
		{name: "EveryPrefixOfChunked", run: func(t *T) { t.everyPrefix(fancyChunks) }},
		{name: "EveryPrefixAfterInformational", run: func(t *T) { t.everyPrefix("HTTP/1.1 103 Hints\r\n\r\n" + response("x")) }},
		{name: "LongBody", run: truncLong},
		{name: "ByReset", run: truncReset},
		{name: "CopyTo", run: truncCopy},
		{name: "UntilCloseByReset", run: truncUntilCloseReset},
		{name: "ConnectionIsNotReused", run: truncReuse},
	}
	for _, row := range []struct{ name, answer string }{
		{"BeforeStatusLine", ""},
		{"InStatusLine", "HTTP/1.1 20"},
		{"AfterStatusLine", "HTTP/1.1 200 OK\r\n"},
		{"InFieldName", "HTTP/1.1 200 OK\r\nContent-Le"},
		{"InFieldValue", "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 1"},
		{"BeforeBlankLine", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"},
		{"BeforeBody", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"},
		{"InBody", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789"},
		{"BeforeChunkSize", chunked},
		{"InChunkSize", chunked + "1"},
		{"AfterChunkSize", chunked + "a\r\n"},
		{"InChunk", chunked + "a\r\n123"},
		{"AfterChunkData", chunked + "3\r\n123"},
		{"MissingLastChunk", chunked + "3\r\n123\r\n"},
		{"AfterLastChunk", chunked + "3\r\n123\r\n0\r\n"},
		{"InTrailer", chunked + "3\r\n123\r\n0\r\nX-A: 1"},
		{"AfterTrailer", chunked + "3\r\n123\r\n0\r\nX-A: 1\r\n"},
	} {
		list = append(list, test{name: row.name, run: func(t *T) { t.truncated(t.engine(), row.answer) }})
	}
	return list
}

// truncated checks that an answer that breaks off fails, by an error that says
// so and is not io.EOF itself.
func (t *T) truncated(e engine.Engine, answer string) {
	t.Helper()
	s := t.raw(answer)
	err := t.fails(e, t.request("GET", s.URL))
	oe := t.wantOp(err, engine.OpReceive)
	if !oe.Sent {
		t.Errorf("%s: Sent is false", cut(answer))
	}
	if _, protocol := errors.AsType[*engine.ProtocolError](err); !protocol && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s and the end: %v, want io.ErrUnexpectedEOF", cut(answer), err)
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%s and the end: the request was sent %d times", cut(answer), n)
	}
}

func (t *T) everyPrefix(answer string) {
	e := t.engine()
	for i := range len(answer) {
		t.truncated(e, answer[:i])
	}
}

func truncLong(t *T) {
	e := t.engine()
	long := pattern(1 << 20)
	t.truncated(e, "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n"+long)
	t.truncated(e, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"+long+"\r\n")
	t.truncated(e, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n"+long)
}

// truncReset: any end by RST is an error, whatever had come before.
func truncReset(t *T) {
	e := t.engine()
	for _, answer := range []string{
		"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nX-A: 1\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n12",
	} {
		s := t.script(func(c *conn) { c.request(); c.write(answer); c.reset() })
		err := t.fails(e, t.request("GET", s.URL))
		t.wantOp(err, engine.OpReceive)
		if errors.Is(err, io.EOF) {
			t.Errorf("%q and a reset: %v looks like an orderly end", answer, err)
		}
	}
}

// truncCopy: io.Copy sees the broken end as Read does.
func truncCopy(t *T) {
	e := t.engine()
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
	} {
		s := t.raw(answer)
		resp := t.must(e, t.request("GET", s.URL))
		var b strings.Builder
		if _, err := io.Copy(&b, resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("io.Copy of a truncated body: %v", err)
		}
		if b.String() != "12345" {
			t.Errorf("io.Copy gave %q before the error", b.String())
		}
	}
}

// truncUntilCloseReset: a body that ends with the connection is not complete if
// the connection is reset.
func truncUntilCloseReset(t *T) {
	e := t.engine()
	read := make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\n\r\npart")
		c.wait(read)
		c.reset()
	})
	resp := t.must(e, t.request("GET", s.URL))
	if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	close(read)
	_, err := io.ReadAll(resp.Body)
	if err == nil {
		t.Fatal("a body until close that ends with a reset looks complete")
	}
	t.wantOp(err, engine.OpReceive)
}

func truncReuse(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
		c.closeWrite()
	}, func(c *conn) { c.request(); c.respond("next") })
	err := t.fails(e, t.request("GET", s.URL))
	t.wantIs(err, io.ErrUnexpectedEOF)
	t.get(e, s.URL, 200, "next")
}
