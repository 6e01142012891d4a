package enginetest

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// bodyOwnContext: however often contexts come that end together, each call's body is
// opened with the one that has the call's values.
func bodyOwnContext(t *T) {
	type key struct{}
	e, s := t.engine(), t.respond("ok")
	parent, cancel := context.WithCancel(t.ctx)
	defer cancel()
	for i := range 40 {
		var got any
		b := sized(2, "ok")
		b.open = func(ctx context.Context) (io.Reader, error) {
			got = ctx.Value(key{})
			return strings.NewReader("ok"), nil
		}
		resp, err := t.executeIn(context.WithValue(parent, key{}, i), e, t.post(s.URL, b))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if got != i {
			t.Fatalf("the body of call %d was opened with the value of call %v", i, got)
		}
	}
}

// sizes are body lengths around the edges of buffers.
var sizes = []int{0, 1, 2, 511, 4094, 4095, 4096, 4097, 8175, 8191, 8192, 8193, 16_384, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 1 << 20}

func requestBodyTests() []test {
	return []test{
		{name: "InMemory", run: func(t *T) { t.echoes(func(s string) content.Content { return inMemory(s) }) }},
		{name: "KnownLength", run: func(t *T) { t.echoes(func(s string) content.Content { return sized(int64(len(s)), s) }) }},
		{name: "UnknownLength", run: func(t *T) { t.echoes(func(s string) content.Content { return stream(s) }) }},
		{name: "OneByteReads", run: bodyOneByte},
		{name: "WriterTo", run: func(t *T) { t.echoes(func(s string) content.Content { return writerTo{int64(len(s)), s} }) }},
		{name: "WriterToChunked", run: func(t *T) { t.echoes(func(s string) content.Content { return writerTo{-1, s} }) }},
		{name: "File", run: bodyFile},
		{name: "ShorterThanAnnounced", run: func(t *T) { t.bodyFails(sized(10, "12345"), nil) }},
		{name: "LongerThanAnnounced", run: bodyLonger},
		{name: "OpenFails", run: bodyOpenFails},
		{name: "OpenFailsSendsNothing", run: bodyOpenFailsUnsent},
		{name: "OpenedWithOwnContext", run: bodyOwnContext},
		{name: "ReadFailsAtOnce", run: func(t *T) { t.bodyFails(reading(&pieces{err: errBroken}), errBroken) }},
		{name: "ReadFailsMidway", run: bodyReadFails},
		{name: "ReadFailsMidwayWithLength", run: bodyReadFailsLength},
		{name: "ReadPanics", run: bodyReadPanics},
		{name: "ReadCountsWrong", run: bodyReadCountsWrong},
		{name: "TrailerPanics", needs: engine.RequestTrailers, run: bodyTrailerPanics},
		{name: "DataWithEOF", run: bodyDataWithEOF},
		{name: "ClosedOnSuccess", run: bodyClosedOnSuccess},
		{name: "ClosedWhenConnectFails", run: bodyClosedOnRefused},
		{name: "ClosedWhenServerResets", run: bodyClosedOnReset},
		{name: "NotReadAfterCancel", run: bodyNotReadAfterCancel},
		{name: "NotReadAfterBodyClose", needs: engine.Duplex, run: bodyNotReadAfterClose},
		{name: "Trailers", needs: engine.RequestTrailers, run: bodyTrailers},
		{name: "ContentTrailers", needs: engine.RequestTrailers, run: bodyContentTrailers},
		{name: "EarlyResponse", run: bodyEarlyResponse},
		{name: "EarlyResponseKeepsError", run: bodyEarlyClose},
		{name: "Duplex", needs: engine.Duplex, run: bodyDuplex},
	}
}

// echo starts a server that answers with the request's body.
func (t *T) echo() *server {
	return t.script(func(c *conn) {
		for {
			c.respond(c.request().Body)
		}
	})
}

// echoes sends bodies of many sizes and compares what comes back.
func (t *T) echoes(make func(s string) content.Content) {
	t.Helper()
	e := t.engine()
	s := t.echo()
	for _, size := range sizes {
		want, before := pattern(size), s.Accepted()
		t.want(e, t.post(s.URL, make(want)), 200, want)
		if n := s.Accepted(); before > 0 && n != before {
			t.Errorf("%d bytes: the connection of the request before was not used again", size)
		}
	}
}

func bodyOneByte(t *T) {
	e := t.engine()
	s := t.echo()
	want := pattern(5000)
	t.want(e, t.post(s.URL, reading(&pieces{parts: strings.Split(want, "")})), 200, want)
}

func bodyFile(t *T) {
	e := t.engine()
	s := t.echo()
	for _, size := range sizes {
		want := pattern(size)
		path := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		t.want(e, t.post(s.URL, file{path, int64(size)}), 200, want)
		t.want(e, t.post(s.URL, file{path, -1}), 200, want)
	}
}

// swallow starts a server that reads whatever comes and answers nothing.
func (t *T) swallow() *server { return t.script(func(c *conn) { c.untilClosed() }) }

// bodyFails sends a body that cannot be sent in full: an error of the sending,
// with cause in it, and the connection is not used again.
func (t *T) bodyFails(b *body, cause error) error {
	t.Helper()
	e := t.engine()
	s := t.swallow()
	_, err := t.execute(e, t.post(s.URL, b))
	if err == nil {
		t.Fatal("a body that breaks off was sent without an error")
	}
	t.wantOp(err, engine.OpSend)
	if cause != nil {
		t.wantIs(err, cause)
	}
	b.wantClosedOnce(t)
	s.WaitClosed(t)
	return err
}

func bodyLonger(t *T) {
	b := sized(5, "1234567890")
	e := t.engine()
	arrived := make(chan string, 1)
	s := t.script(func(c *conn) {
		r := c.head()
		c.readBody(r)
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		arrived <- r.Body + c.untilClosed()
	}, func(c *conn) { c.request(); c.respond("next") })
	_, err := t.execute(e, t.post(s.URL, b))
	if err == nil {
		t.Error("a body longer than announced was sent without an error")
	} else {
		t.wantOp(err, engine.OpSend)
	}
	b.wantClosedOnce(t)
	t.get(e, s.URL, 200, "next")
	select {
	case got := <-arrived:
		if len(got) > 5 {
			t.Errorf("the server got %q: more than was announced", got)
		}
	default: // the engine broke off before the end
	}
}

func bodyOpenFails(t *T) {
	e := t.engine()
	s := t.respond("ok")
	b := &body{length: 5, open: func(context.Context) (io.Reader, error) { return nil, errBroken }}
	_, err := t.execute(e, t.post(s.URL, b))
	t.wantIs(err, errBroken)
	t.wantOp(err, engine.OpSend, engine.OpBuild)
	t.get(e, s.URL, 200, "ok")
}

// bodyOpenFailsUnsent: what cannot be opened is found out before a byte is sent.
func bodyOpenFailsUnsent(t *T) {
	for _, length := range []int64{-1, 5} {
		e := t.engine()
		arrived := make(chan string, 16)
		s := t.script(func(c *conn) { arrived <- c.untilClosed() })
		b := &body{length: length, open: func(context.Context) (io.Reader, error) { return nil, errBroken }}
		_, err := t.execute(e, t.post(s.URL, b))
		t.wantIs(err, errBroken)
		if oe := t.wantOp(err, engine.OpSend, engine.OpBuild); oe.Sent {
			t.Error("Sent is true though there was nothing to send")
		}
		e.Close()
		s.WaitClosed(t)
		for range s.Accepted() {
			if got := within(t, "the end of the connection", arrived); got != "" {
				t.Errorf("length %d: the server got %s of a request whose body cannot be opened", length, cut(got))
			}
		}
	}
}

// bodyReadPanics: engines read bodies in goroutines of their own, where a panic
// of the body would end the program.
func bodyReadPanics(t *T) {
	parts := []string{pattern(100), pattern(70_000)}
	for _, row := range []struct {
		name   string
		length int64
		parts  []string
		value  any
	}{
		{"AtOnce", -1, nil, errBroken},
		{"AtOnceWithLength", 5, nil, errBroken},
		{"Midway", -1, parts, errBroken},
		{"MidwayWithLength", 100_000, parts, errBroken},
		{"Text", -1, nil, errBroken.Error()},
		{"Goexit", -1, parts, nil},
	} {
		t.row(row.name, func(t *T) {
			b := reading(&panics{pieces{parts: slices.Clone(row.parts)}, row.value})
			b.length = row.length
			cause, _ := row.value.(error)
			err := t.bodyFails(b, cause)
			if row.value != nil && !strings.Contains(err.Error(), errBroken.Error()) {
				t.Errorf("error %v does not say what the body panicked with", err)
			}
		})
	}
}

// bodyReadCountsWrong: a Read that breaks the contract of io.Reader is an error of
// the body; nothing is sent that is not the body's, and nobody turns in circles.
func bodyReadCountsWrong(t *T) {
	for _, row := range []struct {
		name  string
		read  func(p []byte) (int, error)
		cause error
	}{
		{"TooMany", func(p []byte) (int, error) { return len(p) + 1, nil }, nil},
		{"Negative", func([]byte) (int, error) { return -1, nil }, nil},
		{"NoProgress", func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress},
	} {
		for _, length := range []int64{-1, 100_000} {
			t.row(row.name+"/"+itoa(int(length)), func(t *T) {
				b := reading(readFunc(row.read))
				b.length = length
				t.bodyFails(b, row.cause)
			})
		}
	}
}

func bodyTrailerPanics(t *T) {
	e := t.engine()
	s := t.swallow()
	b := stream("body")
	req := t.post(s.URL, b)
	req.TrailerNames = []string{"X-Sum"}
	req.Trailer = func() header.Header { panic(errBroken) }
	_, err := t.execute(e, req)
	t.wantIs(err, errBroken)
	t.wantOp(err, engine.OpSend)
	b.wantClosedOnce(t)
	s.WaitClosed(t)
}

func bodyReadFails(t *T) {
	t.bodyFails(reading(&pieces{parts: []string{pattern(100), pattern(70_000)}, err: errBroken}), errBroken)
}

func bodyReadFailsLength(t *T) {
	b := reading(&pieces{parts: []string{pattern(100), pattern(70_000)}, err: errBroken})
	b.length = 100_000
	t.bodyFails(b, errBroken)
}

// eofReader returns its bytes together with io.EOF.
type eofReader struct{ s string }

func (r *eofReader) Read(p []byte) (int, error) {
	n := copy(p, r.s)
	if r.s = r.s[n:]; r.s == "" {
		return n, io.EOF
	}
	return n, nil
}

func bodyDataWithEOF(t *T) {
	e := t.engine()
	s := t.echo()
	for _, size := range []int{1, 4096, 70_000} {
		want := pattern(size)
		t.want(e, t.post(s.URL, reading(&eofReader{want})), 200, want)
		b := reading(&eofReader{want})
		b.length = int64(size)
		t.want(e, t.post(s.URL, b), 200, want)
	}
}

func bodyClosedOnSuccess(t *T) {
	e := t.engine()
	s := t.echo()
	for _, b := range []*body{replayable("x"), stream("x"), sized(1, "x"), stream(""), sized(0, ""), stream(pattern(1 << 20))} {
		t.read(t.must(e, t.post(s.URL, b)))
		b.wantClosedOnce(t)
	}
}

func bodyClosedOnRefused(t *T) {
	e := t.engine()
	b := stream("x")
	_, err := t.execute(e, t.post("http://"+t.refusing(), b))
	t.wantOp(err, engine.OpConnect)
	b.wantClosedOnce(t)
}

func bodyClosedOnReset(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.head(); c.reset() })
	b := reading(io.MultiReader(strings.NewReader(pattern(1<<20)), strings.NewReader(pattern(8<<20))))
	_, err := t.execute(e, t.post(s.URL, b))
	if oe := t.wantOp(err, engine.OpSend, engine.OpReceive); !oe.Sent {
		t.Error("Sent is false though the head arrived")
	}
	b.wantClosedOnce(t)
}

func bodyNotReadAfterCancel(t *T) {
	e := t.engine()
	arrived := make(chan struct{})
	s := t.script(func(c *conn) { c.head(); close(arrived); c.untilClosed() })
	g := newGate()
	b := reading(g)
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	done := t.start(ctx, e, t.post(s.URL, b))
	send(t, g, pattern(10_000))
	within(t, "the head", arrived)
	cancel()
	r := within(t, "Execute after cancel", done)
	t.wantIs(r.err, context.Canceled)
	reads := b.readCount()
	s.WaitClosed(t)
	b.wantClosedOnce(t)
	if now := b.readCount(); now != reads {
		t.Errorf("the request body was read %d times after Execute had failed", now-reads)
	}
}

// send gives the gate a piece.
func send(t *T, g *gate, s string) {
	t.Helper()
	select {
	case g.ch <- s:
	case <-t.ctx.Done():
		t.Fatal("the engine does not read the request body")
	}
}

func bodyNotReadAfterClose(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.head()
		c.write(halfBody)
		c.untilClosed()
	})
	g := newGate()
	b := reading(g)
	resp := t.must(e, t.post(s.URL, b))
	send(t, g, "more")
	t.quick("Body.Close while the request is sent", func() { resp.Body.Close() })
	reads := b.readCount()
	s.WaitClosed(t)
	b.wantClosedOnce(t)
	if now := b.readCount(); now != reads {
		t.Errorf("the request body was read %d times after Body.Close", now-reads)
	}
}

func bodyTrailers(t *T) {
	e := t.engine()
	s, requests := t.record()
	b := stream(pattern(10_000))
	req := t.post(s.URL, b)
	req.TrailerNames = []string{"X-Sum", "X-Other"}
	req.Trailer = func() header.Header {
		if b.readCount() < 2 {
			t.Error("Trailer is called before the end of the body")
		}
		return header.New("X-Sum", "42", "X-Other", "o")
	}
	got := t.sent(e, requests, req)
	if v := strings.ToLower(got.Fields.Joined("Trailer")); !strings.Contains(v, "x-sum") || !strings.Contains(v, "x-other") {
		t.Errorf("Trailer: %q", v)
	}
	if got.Trailer.Get("X-Sum") != "42" || got.Trailer.Get("X-Other") != "o" || got.Trailer.Len() != 2 {
		t.Errorf("trailer fields:\n%s", got.Trailer)
	}
}

func bodyContentTrailers(t *T) {
	e := t.engine()
	s, requests := t.record()
	got := t.sent(e, requests, t.post(s.URL, &trailing{stream("abc"), header.New("X-Sum", "42")}))
	if got.Trailer.Get("X-Sum") != "42" || !header.EqualFold(got.Fields.Get("Trailer"), "X-Sum") {
		t.Errorf("Trailer: %q, fields:\n%s", got.Fields.Get("Trailer"), got.Trailer)
	}
}

// bodyEarlyResponse: the server answers and closes long before the end of the
// request (RFC 9112 §9.5).
func bodyEarlyResponse(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.head()
		c.write("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge")
		c.closeWrite()
		c.untilClosed()
	}, func(c *conn) { c.request(); c.respond("next") })
	b := stream(pattern(16 << 20))
	t.want(e, t.post(s.URL, b), 413, "large")
	b.wantClosedOnce(t)
	t.get(e, s.URL, 200, "next")
}

// bodyEarlyClose: a server that closes without an answer gives an error, not a
// hang.
func bodyEarlyClose(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) { c.head(); c.read(10); c.reset() })
	b := stream(pattern(16 << 20))
	t.quick("a request that the server breaks off", func() {
		_, err := t.execute(e, t.post(s.URL, b))
		if err == nil {
			t.Error("no error")
			return
		}
		t.wantOp(err, engine.OpSend, engine.OpReceive)
	})
	b.wantClosedOnce(t)
}

func bodyDuplex(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.head()
		c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			size := c.line()
			n := hexSize(size)
			data := c.read(n)
			c.read(2)
			if n == 0 {
				c.write("0\r\n\r\n")
				break
			}
			c.write(size, "\r\n", data, "\r\n")
		}
	})
	g := newGate()
	b := reading(g)
	resp := t.must(e, t.post(s.URL, b))
	for i := range 50 {
		want := pattern(i*100 + 1)
		send(t, g, want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("round %d: %s, %v", i, cut(string(got)), err)
		}
	}
	close(g.ch)
	if rest := t.read(resp); rest != "" {
		t.Errorf("rest %q", rest)
	}
	b.wantClosedOnce(t)
}
