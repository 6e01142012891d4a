package content_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

func TestMultipartBytes(t *testing.T) {
	_, path := dirWith(t, "a b.json", "{}")
	custom := content.DataPart("c", `q"\x`+"\r\n.bin", content.Bytes([]byte("\x00\xff"), "x/y"))
	custom.Header = header.New("X-Custom", "1", "content-type", "z/z")
	own := content.Part{Header: header.New("Content-Disposition", "inline"), Body: content.TextAs("", "")}
	tests := []struct {
		name, subtype string
		parts         []content.Part
		want          string // | stands for CRLF
	}{
		{"a field", "form-data", []content.Part{content.Field("a", "1")},
			`--B|Content-Disposition: form-data; name="a"||1|--B--|`},
		{"all kinds", "form-data", []content.Part{content.Field("ü", ""), content.FilePart("f", path), custom},
			`--B|Content-Disposition: form-data; name="ü"|||--B|` +
				`Content-Disposition: form-data; name="f"; filename="a b.json"|Content-Type: application/json||{}|--B|` +
				`Content-Disposition: form-data; name="c"; filename="q%22\x%0D%0A.bin"|X-Custom: 1|content-type: z/z||` + "\x00\xff|--B--|"},
		{"own disposition", "form-data", []content.Part{own}, `--B|Content-Disposition: inline||` + `|--B--|`},
		{"mixed", "mixed", []content.Part{{}, {Body: content.Text("x")}, {Filename: "n", Body: content.TextAs("y", "")}},
			`--B|||--B|Content-Type: text/plain; charset=utf-8||x|--B|Content-Disposition: attachment; filename="n"||y|--B--|`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := content.MultipartOf(tt.subtype, "B", tt.parts...)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := c.ContentType(), "multipart/"+tt.subtype+"; boundary=B"; got != want {
				t.Errorf("type %q, want %q", got, want)
			}
			want := strings.ReplaceAll(tt.want, "|", "\r\n")
			if got := twoWays(t, c); got != want {
				t.Errorf("body\n%q, want\n%q", got, want)
			}
			if !c.Replayable() || c.ContentLength() != int64(len(want)) {
				t.Errorf("replayable %v, length %d, want %d", c.Replayable(), c.ContentLength(), len(want))
			}
		})
	}
}

func TestMultipartRandomBoundary(t *testing.T) {
	a, b := content.Multipart(content.Field("a", "1")), content.Multipart(content.Field("a", "1"))
	if a.ContentType() == b.ContentType() {
		t.Error("two bodies share a boundary")
	}
	m, ok := header.ParseMediaType(a.ContentType())
	if !ok || m.Essence() != "multipart/form-data" || len(m.Param("boundary")) < 32 {
		t.Errorf("type %q", a.ContentType())
	}
	if first := twoWays(t, a); !strings.HasPrefix(first, "--"+m.Param("boundary")+"\r\n") {
		t.Errorf("body %q", first)
	}
}

func TestMultipartUnknownLengthAndOnce(t *testing.T) {
	src := &closeCounter{Reader: strings.NewReader("abc")}
	c := content.Multipart(content.Field("a", "1"), content.DataPart("b", "", content.Reader(src, "", -1)))
	if c.ContentLength() != -1 || c.Replayable() {
		t.Errorf("length %d, replayable %v", c.ContentLength(), c.Replayable())
	}
	if got := readAll(t, c); !strings.Contains(got, "\r\n\r\nabc\r\n--") || src.closed != 1 {
		t.Errorf("body %q, closed %d times", got, src.closed)
	}
	r, err := c.Open(t.Context())
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if !errors.Is(err, content.ErrConsumed) {
		t.Errorf("second time: %v", err)
	}
}

func TestMultipartRefused(t *testing.T) {
	bad := map[string]content.Part{
		"no name":          {Body: content.Text("x")},
		"NUL in name":      content.Field("a\x00", "1"),
		"break in field":   {Name: "a", Header: header.New("X", "1\r\nY: 2")},
		"bad field name":   {Name: "a", Header: header.New("X Y", "1")},
		"break in type":    {Name: "a", Body: content.TextAs("", "a/b\r\nX: 1")},
		"bad own disposal": {Header: header.New("Content-Disposition", "x\n")},
	}
	for name, p := range bad {
		t.Run(name, func(t *testing.T) {
			c := content.Multipart(content.Field("ok", "1"), p)
			r, err := c.Open(t.Context())
			if err == nil || r != nil || !strings.Contains(err.Error(), "part 2") {
				t.Errorf("Open: %v, %v", r, err)
			}
		})
	}
	if _, err := content.MultipartOf("mixed", "b", bad["break in field"]); err == nil {
		t.Error("MultipartOf took a bad field")
	}
	if _, err := content.MultipartOf("mi xed", "b"); err == nil {
		t.Error("MultipartOf took a bad subtype")
	}
	for boundary, ok := range map[string]bool{
		"a": true, "=_'()+,-./:? x": true, strings.Repeat("x", 70): true, strings.Repeat("x", 71): false,
		"a ": false, "a\r\n": false, "ü": false, `a"`: false, "a;b": false,
	} {
		c, err := content.MultipartOf("mixed", boundary)
		if (err == nil) != ok {
			t.Errorf("boundary %q: %v", boundary, err)
		}
		if err != nil {
			continue
		}
		if m, _ := header.ParseMediaType(c.ContentType()); m.Param("boundary") != boundary {
			t.Errorf("boundary %q in %q", boundary, c.ContentType())
		}
	}
}

// A part that fails half-way fails the body, both ways, and is closed.
func TestMultipartPartFails(t *testing.T) {
	for way, hide := range map[string]func(io.ReadCloser) io.Reader{
		"WriteTo": func(r io.ReadCloser) io.Reader { return r },
		"Read":    func(r io.ReadCloser) io.Reader { return struct{ io.Reader }{r} },
	} {
		src := &closeCounter{Reader: io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(errBroken))}
		c := content.Multipart(content.DataPart("a", "", content.Reader(src, "", -1)), content.Field("b", "2"))
		r, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, hide(r)); !errors.Is(err, errBroken) || !strings.HasSuffix(b.String(), "abc") {
			t.Errorf("%s: %v after %q", way, err, b.String())
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errBroken) {
			t.Errorf("%s: Read after the failure: %v", way, err)
		}
		if err := r.Close(); err != nil || src.closed != 1 {
			t.Errorf("%s: Close %v, closed %d times", way, err, src.closed)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: Read after Close: %v", way, err)
		}
	}
}

// A part that cannot be opened once the body is on its way fails the body too.
func TestMultipartPartDoesNotOpen(t *testing.T) {
	broken := content.Opener(func(context.Context) (io.ReadCloser, error) { return nil, errBroken }, "", -1)
	c := content.Multipart(content.Field("a", "1"), content.DataPart("b", "", broken))
	for way, hide := range map[string]func(io.ReadCloser) io.Reader{
		"WriteTo": func(r io.ReadCloser) io.Reader { return r },
		"Read":    func(r io.ReadCloser) io.Reader { return struct{ io.Reader }{r} },
	} {
		r, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, hide(r)); !errors.Is(err, errBroken) || n == 0 {
			t.Errorf("%s: %d, %v", way, n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An io.EOF where no part ends is not the end of the body.
func TestMultipartEOF(t *testing.T) {
	for name, open := range map[string]func(context.Context) (io.ReadCloser, error){
		"of Open":  func(context.Context) (io.ReadCloser, error) { return nil, io.EOF },
		"of Close": func(context.Context) (io.ReadCloser, error) { return closesWith{strings.NewReader("x"), io.EOF}, nil },
	} {
		for way, hide := range map[string]func(io.ReadCloser) io.Reader{
			"WriteTo": func(r io.ReadCloser) io.Reader { return r },
			"Read":    func(r io.ReadCloser) io.Reader { return struct{ io.Reader }{r} },
		} {
			r, err := content.Multipart(content.DataPart("a", "", content.Opener(open, "", -1)), content.Field("b", "2")).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := io.Copy(io.Discard, hide(r)); err != io.ErrUnexpectedEOF {
					t.Errorf("%s, %s: %v", name, way, err)
				}
			}
			r.Close()
		}
	}
}

type closesWith struct {
	io.Reader
	err error
}

func (c closesWith) Close() error { return c.err }

// A writer that fails at any byte gets the right count and its own error.
func TestMultipartToFailingWriter(t *testing.T) {
	c := content.Multipart(content.Field("a", "1"), content.Field("b", "2"))
	for limit := range int(c.ContentLength()) {
		r, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.(io.WriterTo).WriteTo(&limitedWriter{left: limit})
		if n != int64(limit) || !errors.Is(err, errBroken) {
			t.Errorf("limit %d: %d, %v", limit, n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Closing the body ends a read that is stuck in a part.
func TestMultipartCloseDuringRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := content.Writer(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return nil }, "", -1)
		r, err := content.Multipart(content.DataPart("a", "", stuck)).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() {
			_, err := io.ReadAll(struct{ io.Reader }{r})
			failed <- err
		}()
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; err == nil {
			t.Error("the read succeeded")
		}
	})
}

func TestMultipartKeepsSendfile(t *testing.T) {
	_, path := dirWith(t, "f", "abc")
	r, err := content.Multipart(content.FilePart("f", path)).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := &fileSpy{}
	if _, err := io.Copy(w, r); err != nil || w.seen == 0 {
		t.Errorf("%v, %d files seen", err, w.seen)
	}
}

// fileSpy counts what has a descriptor among that which it is asked to read from.
type fileSpy struct {
	bytes.Buffer
	seen int
}

func (w *fileSpy) ReadFrom(r io.Reader) (int64, error) {
	if _, ok := r.(interface{ Fd() uintptr }); ok {
		w.seen++
	}
	return w.Buffer.ReadFrom(r)
}

// A body much larger than any buffer passes without being kept.
func TestMultipartStreams(t *testing.T) {
	const size = 16 << 20
	block := make([]byte, 64<<10)
	c := content.Multipart(content.DataPart("a", "big", content.Writer(func(_ context.Context, w io.Writer) error {
		for range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return err
			}
		}
		return nil
	}, "", size)))
	r, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in, err := content.ReadMultipart(struct{ io.Reader }{r}, c.ContentType())
	if err != nil {
		t.Fatal(err)
	}
	p, err := in.Next()
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, p.Body); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := in.Next(); err != io.EOF {
		t.Errorf("after the last part: %v", err)
	}
}
