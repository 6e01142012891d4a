package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

func responseBodyTests() []test {
	return []test{
		{name: "Length", run: func(t *T) { t.bodies(lengthBody) }},
		{name: "Chunked", run: func(t *T) { t.bodies(chunkedBody) }},
		{name: "UntilClose", run: func(t *T) { t.bodies(closeBody) }},
		{name: "LengthSplitAtEveryByte", run: func(t *T) { t.splitBody(lengthBody("split me"), "split me") }},
		{name: "ChunkedSplitAtEveryByte", run: func(t *T) { t.splitBody(fancyChunks, "hello, world") }},
		{name: "ChunkExtensions", run: respExtensions},
		{name: "ChunkSizeForms", run: respChunkForms},
		{name: "OneByteChunks", run: respOneByteChunks},
		{name: "Trailers", needs: engine.ResponseTrailers, run: respTrailers},
		{name: "TrailersUnannounced", needs: engine.ResponseTrailers, run: respTrailersUnannounced},
		{name: "TrailersOverLimit", needs: engine.HeaderLimits, run: respTrailersLimit},
		{name: "HeadReturnsBeforeBody", run: respHeadFirst},
		{name: "SlowDrip", run: respDrip},
		{name: "Backpressure", run: respBackpressure},
		{name: "CopyTo", run: respCopy},
		{name: "SmallReads", run: respSmallReads},
		{name: "EmptyRead", run: respEmptyRead},
		{name: "ReadAfterEnd", run: respAfterEnd},
		{name: "ReadAfterClose", run: respAfterClose},
		{name: "CloseUnblocksRead", run: respCloseUnblocks},
		{name: "CloseEarlyClosesConnection", run: respCloseEarly},
		{name: "ContextCoversBody", run: respContext},
	}
}

func lengthBody(s string) string { return response(s) }
func closeBody(s string) string  { return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + s }

// chunkedBody sends s in chunks of growing sizes.
func chunkedBody(s string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for size := 1; s != ""; size = size*2 + 1 {
		n := min(size, len(s))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, s[:n])
		s = s[n:]
	}
	return b.String() + "0\r\n\r\n"
}

const fancyChunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n" +
	"5;a=b;c=\"d;e\"\r\nhello\r\n002\r\n, \r\n5;x\r\nworld\r\n000;end\r\nX-T: 1\r\nX-U: 2\r\n\r\n"

// bodies fetches bodies of many sizes in one framing.
func (t *T) bodies(frame func(string) string) {
	t.Helper()
	e := t.engine()
	var answers []string
	untilClose := strings.Contains(frame(""), "Connection: close")
	for _, size := range sizes {
		answers = append(answers, frame(pattern(size)))
	}
	s := t.script(func(c *conn) {
		for {
			target := c.request().Target
			i := slices.IndexFunc(sizes, func(n int) bool { return target == "/"+itoa(n) })
			c.write(answers[i])
			if untilClose {
				c.end()
				return
			}
		}
	})
	for _, size := range sizes {
		resp := t.get(e, s.URL+"/"+itoa(size), 200, pattern(size))
		want := int64(-1)
		if strings.HasPrefix(frame("x"), "HTTP/1.1 200 OK\r\nContent-Length") {
			want = int64(size)
		}
		if resp.ContentLength != want {
			t.Errorf("size %d: ContentLength %d, want %d", size, resp.ContentLength, want)
		}
	}
	if n := s.Accepted(); !untilClose && n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// splitBody sends an answer byte by byte, and split in two at every place.
func (t *T) splitBody(answer, want string) {
	t.Helper()
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.bytewise(answer)
		for i := 1; i < len(answer); i++ {
			c.request()
			c.write(answer[:i], answer[i:])
		}
	})
	for range len(answer) {
		t.get(e, s.URL, 200, want)
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// answers gives each request on a connection the same bytes.
func (t *T) answers(answer string) *server {
	return t.script(func(c *conn) {
		for {
			c.request()
			c.write(answer)
		}
	})
}

func respExtensions(t *T) {
	e := t.engine()
	s := t.answers(fancyChunks)
	for range 2 {
		t.get(e, s.URL, 200, "hello, world")
	}
}

func respChunkForms(t *T) {
	e := t.engine()
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
	for _, body := range []string{
		"a\r\n0123456789\r\n0\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n", "0000000a\r\n0123456789\r\n00000\r\n\r\n",
	} {
		s := t.answers(head + body)
		t.get(e, s.URL, 200, "0123456789")
		t.get(e, s.URL, 200, "0123456789")
	}
}

func respOneByteChunks(t *T) {
	e := t.engine()
	want := pattern(5000)
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := range len(want) {
		b.WriteString("1\r\n" + want[i:i+1] + "\r\n")
	}
	s := t.answers(b.String() + "0\r\n\r\n")
	t.get(e, s.URL, 200, want)
	t.get(e, s.URL, 200, want)
}

func respTrailers(t *T) {
	e := t.engine()
	s := t.answers(fancyChunks)
	resp := t.get(e, s.URL, 200, "hello, world")
	if resp.Trailer == nil {
		t.Fatal("Trailer is nil")
	}
	if h := resp.Trailer(); h.Get("x-t") != "1" || resp.Header.Has("X-T") {
		t.Errorf("trailer fields:\n%sheader:\n%s", h, resp.Header)
	}
}

func respTrailersUnannounced(t *T) {
	e := t.engine()
	s := t.answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
	for range 2 {
		resp := t.get(e, s.URL, 200, "x")
		if resp.Trailer == nil {
			t.Fatal("Trailer is nil")
		}
		if got := resp.Trailer().Values("X-A"); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("X-A: %q", got)
		}
	}
}

func respTrailersLimit(t *T) {
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
	t.tooLong(t.engine(), head+"X-Long: "+pattern(300<<10)+"\r\n\r\n")
	t.tooLong(t.engine(), head+strings.Join(fieldLines(1001), "\r\n")+"\r\n\r\n")
}

func respHeadFirst(t *T) {
	e := t.engine()
	more := make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
		c.wait(more)
		c.write("late")
	})
	r := within(t, "Execute when only the head is there", t.start(t.ctx, e, t.request("GET", s.URL)))
	if r.err != nil {
		t.Fatal(r.err)
	}
	close(more)
	if got := t.read(r.resp); got != "late" {
		t.Errorf("body %q", got)
	}
}

// respDrip gives each piece when the one before has been read.
func respDrip(t *T) {
	e := t.engine()
	next := make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for i := range 100 {
			c.write("1\r\n", string(rune('a'+i%26)), "\r\n")
			c.wait(next)
		}
		c.write("0\r\n\r\n")
	})
	resp := t.must(e, t.request("GET", s.URL))
	buf := make([]byte, 4096)
	for i := range 100 {
		n, err := resp.Body.Read(buf)
		if n != 1 || buf[0] != byte('a'+i%26) || (err != nil && err != io.EOF) {
			t.Fatalf("piece %d: %q, %v", i, buf[:n], err)
		}
		select {
		case next <- struct{}{}:
		case <-t.ctx.Done():
			t.Fatal("the server is gone")
		}
	}
	if rest := t.read(resp); rest != "" {
		t.Errorf("rest %q", rest)
	}
}

// respBackpressure lets the server write until it blocks for want of a reader,
// which shows that the engine does not buffer without bound; then all must come.
func respBackpressure(t *T) {
	e := t.engine()
	const mib = 64
	piece := pattern(1 << 20)
	written := make(chan int, mib)
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: ", itoa(mib<<20), "\r\n\r\n")
		for i := range mib {
			c.write(piece)
			written <- i
		}
	})
	resp := t.must(e, t.request("GET", s.URL))
	got := make([]byte, len(piece))
	for i := range mib {
		if _, err := io.ReadFull(resp.Body, got); err != nil {
			t.Fatalf("MiB %d: %v", i, err)
		}
		if string(got) != piece {
			t.Fatalf("MiB %d differs", i)
		}
		if ahead := len(written); i == 0 && ahead == mib {
			t.Errorf("the server could write %d MiB while one was read", mib)
		}
	}
	if rest := t.read(resp); rest != "" {
		t.Errorf("rest of %d bytes", len(rest))
	}
}

func respCopy(t *T) {
	e := t.engine()
	for name, frame := range map[string]func(string) string{"length": lengthBody, "chunked": chunkedBody} {
		for _, size := range []int{0, 1, 4096, 100_000, 1 << 20} {
			want := pattern(size)
			s := t.answers(frame(want))
			for range 2 {
				resp := t.must(e, t.request("GET", s.URL))
				// A part is read first so that a WriteTo starts in the middle.
				first := make([]byte, min(size, 10))
				if _, err := io.ReadFull(resp.Body, first); err != nil {
					t.Fatal(err)
				}
				var b bytes.Buffer
				n, err := io.Copy(&b, resp.Body)
				if err != nil || int(n) != size-len(first) || string(first)+b.String() != want {
					t.Errorf("%s of %d bytes: copied %d, %v", name, size, n, err)
				}
				resp.Body.Close()
			}
			if n := s.Accepted(); n != 1 {
				t.Errorf("%s of %d bytes: %d connections, want 1", name, size, n)
			}
		}
	}
}

func respSmallReads(t *T) {
	e := t.engine()
	want := pattern(3000)
	for name, frame := range map[string]func(string) string{"length": lengthBody, "chunked": chunkedBody, "close": closeBody} {
		s := t.raw(frame(want))
		resp := t.must(e, t.request("GET", s.URL))
		var got []byte
		var err error
		for buf := make([]byte, 7); err == nil; {
			var n int
			n, err = resp.Body.Read(buf)
			got = append(got, buf[:n]...)
		}
		if err != io.EOF || string(got) != want {
			t.Errorf("%s: %s, %v", name, cut(string(got)), err)
		}
	}
}

func respEmptyRead(t *T) {
	e := t.engine()
	s := t.respond("abc")
	resp := t.must(e, t.request("GET", s.URL))
	if n, err := resp.Body.Read(nil); n != 0 || err != nil {
		t.Errorf("Read(nil): %d, %v", n, err)
	}
	if got := t.read(resp); got != "abc" {
		t.Errorf("body %q", got)
	}
}

func respAfterEnd(t *T) {
	e := t.engine()
	for _, frame := range []func(string) string{lengthBody, chunkedBody, closeBody} {
		s := t.raw(frame("abc"))
		resp := t.must(e, t.request("GET", s.URL))
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if n, err := resp.Body.Read(make([]byte, 5)); n != 0 || err != io.EOF {
				t.Errorf("Read after the end: %d, %v", n, err)
			}
		}
	}
}

func respAfterClose(t *T) {
	e := t.engine()
	s := t.respond(pattern(100))
	resp := t.must(e, t.request("GET", s.URL))
	for range 2 {
		if err := resp.Body.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if n, err := resp.Body.Read(make([]byte, 5)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("Read after Close: %d, %v; want an error that is not io.EOF", n, err)
	}
}

func respCloseUnblocks(t *T) {
	e := t.engine()
	for _, framing := range []string{"Content-Length: 100", "Transfer-Encoding: chunked", "Connection: close"} {
		s := t.script(func(c *conn) {
			c.request()
			c.write("HTTP/1.1 200 OK\r\n", framing, "\r\n\r\n")
			c.untilClosed()
		})
		resp := t.must(e, t.request("GET", s.URL))
		done := make(chan error, 1)
		reading := make(chan struct{})
		go func() {
			close(reading)
			_, err := resp.Body.Read(make([]byte, 10))
			done <- err
		}()
		<-reading
		t.quick("Close during a Read", func() { resp.Body.Close() })
		if err := within(t, "Read after Close", done); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: the Read that was unblocked gives %v", framing, err)
		}
		s.WaitClosed(t)
	}
}

func respCloseEarly(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for {
			c.write(pattern(10_000))
		}
	})
	for range 3 {
		resp := t.must(e, t.request("GET", s.URL))
		if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		t.quick("Close of a long body", func() { resp.Body.Close() })
	}
	s.WaitClosed(t)
	if n := s.Accepted(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// respContext: the context given to Execute rules the body too.
func respContext(t *T) {
	e := t.engine()
	s := t.script(func(c *conn) {
		c.request()
		c.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
		c.untilClosed()
	})
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	resp, err := t.executeIn(ctx, e, t.request("GET", s.URL))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel()
	t.quick("Read after cancel", func() { _, err = resp.Body.Read(make([]byte, 5)) })
	t.wantIs(err, context.Canceled)
	t.wantOp(err, engine.OpReceive)
	s.WaitClosed(t)
}
