package content_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

// readAll opens c and reads it by Read alone; twoWays compares that with WriteTo.
func readAll(t *testing.T, c content.Content) string {
	t.Helper()
	r, err := c.Open(t.Context())
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer r.Close()
	b, err := io.ReadAll(iotest.OneByteReader(struct{ io.Reader }{r}))
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return string(b)
}

// twoWays reads a replayable c by Read and by WriteTo and checks its length.
func twoWays(t *testing.T, c content.Content) string {
	t.Helper()
	got := readAll(t, c)
	r, err := c.Open(t.Context())
	if err != nil {
		t.Fatalf("second Open: %v", err)
	}
	defer r.Close()
	var b bytes.Buffer
	n, err := io.Copy(struct{ io.Writer }{&b}, r)
	if err != nil || b.String() != got || n != int64(len(got)) {
		t.Errorf("WriteTo gave %d, %v and %q, Read %q", n, err, b.String(), got)
	}
	if n := c.ContentLength(); n >= 0 && n != int64(len(got)) {
		t.Errorf("ContentLength %d, body of %d bytes", n, len(got))
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read after WriteTo: %d, %v, want EOF", n, err)
	}
	return got
}

func dirWith(t *testing.T, name, data string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

func TestContents(t *testing.T) {
	dir, path := dirWith(t, "a.JSON", "file data")
	open := func(s string) func(context.Context) (io.ReadCloser, error) {
		return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
	}
	write := func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "written")
		if err == nil {
			_, err = io.Copy(w, strings.NewReader(" twice"))
		}
		return err
	}
	tests := []struct {
		name     string
		c        content.Content
		typ      string
		length   int64
		body     string
		inMemory bool
	}{
		{"Empty", content.Empty, "", 0, "", true},
		{"Bytes", content.Bytes([]byte("abc"), "a/b"), "a/b", 3, "abc", true},
		{"Bytes of nil", content.Bytes(nil, "a/b"), "a/b", 0, "", true},
		{"Text", content.Text("aü"), "text/plain; charset=utf-8", 3, "aü", true},
		{"TextAs", content.TextAs("abc", "text/x"), "text/x", 3, "abc", true},
		{"Opener", content.Opener(open("abc"), "a/b", 3), "a/b", 3, "abc", false},
		{"Opener of unknown length", content.Opener(open("abc"), "", -7), "", -1, "abc", false},
		{"Writer", content.Writer(write, "a/b", 13), "a/b", 13, "written twice", false},
		{"File", content.File(path), "application/json", 9, "file data", false},
		{"FileIn", content.FileIn(dir, "a.JSON"), "application/json", 9, "file data", false},
		{"FS", content.FS(fstest.MapFS{"d/x.txt": {Data: []byte("abc")}}, "d/x.txt"), "text/plain", 3, "abc", false},
		{"FS without extension", content.FS(fstest.MapFS{"x": {}}, "x"), "application/octet-stream", 0, "", false},
		{"WithType", content.WithType(content.Text("abc"), "x/y"), "x/y", 3, "abc", true},
		{"WithType of a file", content.WithType(content.File(path), "x/y"), "x/y", 9, "file data", false},
		{"WithTrailers", content.WithTrailers(content.Text("abc"), []string{"A"}, nil), "text/plain; charset=utf-8", -1, "abc", false},
		{"Progress", content.Progress(content.Text("abc"), func(int64, int64) {}), "text/plain; charset=utf-8", 3, "abc", false},
		{"Progress without a function", content.Progress(content.Text("abc"), nil), "text/plain; charset=utf-8", 3, "abc", false},
		{"Multipart of none", must(content.MultipartOf("mixed", "b")), "multipart/mixed; boundary=b", 7, "--b--\r\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.c.ContentType(); got != tt.typ {
				t.Errorf("ContentType %q, want %q", got, tt.typ)
			}
			if got := tt.c.ContentLength(); got != tt.length {
				t.Errorf("ContentLength %d, want %d", got, tt.length)
			}
			if !tt.c.Replayable() {
				t.Error("not replayable")
			}
			if got := twoWays(t, tt.c); got != tt.body {
				t.Errorf("body %q, want %q", got, tt.body)
			}
			b, ok := content.BytesOf(tt.c)
			if ok != tt.inMemory || ok && string(b) != tt.body {
				t.Errorf("BytesOf: %q, %v", b, ok)
			}
			ended, cancel := context.WithCancelCause(t.Context())
			why := errors.New("why")
			cancel(why)
			if _, err := tt.c.Open(ended); !errors.Is(err, why) {
				t.Errorf("Open with an ended context: %v", err)
			}
		})
	}
}

func must(c content.Content, err error) content.Content {
	if err != nil {
		panic(err)
	}
	return c
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func TestReaderIsSentOnce(t *testing.T) {
	src := &closeCounter{Reader: strings.NewReader("abc")}
	c := content.Reader(src, "a/b", 3)
	if c.Replayable() || c.ContentLength() != 3 || c.ContentType() != "a/b" {
		t.Errorf("replayable %v, length %d, type %q", c.Replayable(), c.ContentLength(), c.ContentType())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Open(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("Open with an ended context: %v", err)
	}
	if got := readAll(t, c); got != "abc" {
		t.Errorf("body %q", got)
	}
	if src.closed != 1 {
		t.Errorf("closed %d times", src.closed)
	}
	if _, err := c.Open(t.Context()); !errors.Is(err, content.ErrConsumed) {
		t.Errorf("second Open: %v", err)
	}
	if got := readAll(t, content.Reader(strings.NewReader("x"), "", -1)); got != "x" {
		t.Errorf("reader without Close: %q", got)
	}
	if _, err := content.Reader(nil, "", 0).Open(t.Context()); err == nil {
		t.Error("a nil reader opens")
	}
}

func TestReaderKeepsFile(t *testing.T) {
	_, path := dirWith(t, "f", "abc")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := content.Reader(f, "", 3).Open(t.Context())
	if err != nil || r != io.ReadCloser(f) {
		t.Errorf("Open returned %T, %v", r, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	r, err = content.Reader(strings.NewReader("abc"), "", 3).Open(t.Context())
	if _, ok := r.(io.WriterTo); !ok || err != nil {
		t.Errorf("WriteTo of a strings.Reader is lost: %T, %v", r, err)
	}
}

func TestOnce(t *testing.T) {
	c := content.Once(content.WithTrailers(content.Text("abc"), []string{"A"}, func() header.Header { return header.New("A", "1") }))
	if c.Replayable() {
		t.Error("replayable")
	}
	if tr, ok := c.(content.Trailerer); !ok || tr.Trailers().Get("a") != "1" {
		t.Error("trailers are lost")
	}
	if _, ok := content.BytesOf(content.Once(content.Text("abc"))); ok {
		t.Error("bytes can be had more than once")
	}
	if got := readAll(t, c); got != "abc" {
		t.Errorf("body %q", got)
	}
	if _, err := c.Open(t.Context()); !errors.Is(err, content.ErrConsumed) {
		t.Errorf("second Open: %v", err)
	}
}

func TestOpenerErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		open func(context.Context) (io.ReadCloser, error)
		want error
	}{
		{"no function", nil, nil},
		{"an error", func(context.Context) (io.ReadCloser, error) { return nil, broken }, broken},
		{"no reader", func(context.Context) (io.ReadCloser, error) { return nil, nil }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := content.Opener(tt.open, "", -1).Open(t.Context())
			if err == nil || r != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, %v", r, err)
			}
		})
	}
}

func TestWrappersKeepTrailers(t *testing.T) {
	inner := content.WithTrailers(content.Text("abc"), []string{"A", "B"}, func() header.Header { return header.New("A", "1") })
	for name, c := range map[string]content.Content{
		"WithType":   content.WithType(inner, "x/y"),
		"Progress":   content.Progress(inner, func(int64, int64) {}),
		"both":       content.WithType(content.Progress(inner, func(int64, int64) {}), "x/y"),
		"no wrapper": inner,
	} {
		tr, ok := c.(content.Trailerer)
		if !ok || len(tr.TrailerNames()) != 2 || tr.Trailers().Get("A") != "1" {
			t.Errorf("%s: trailers are lost", name)
		}
		if c.ContentLength() != -1 {
			t.Errorf("%s: length %d", name, c.ContentLength())
		}
	}
	for name, c := range map[string]content.Content{
		"WithType": content.WithType(content.Text("abc"), "x/y"),
		"Progress": content.Progress(content.Text("abc"), nil),
		"Once":     content.Once(content.Text("abc")),
	} {
		if _, ok := c.(content.Trailerer); ok {
			t.Errorf("%s: trailers out of nothing", name)
		}
	}
	if h := content.WithTrailers(content.Empty, nil, nil).(content.Trailerer).Trailers(); h.Len() != 0 {
		t.Errorf("trailers without a function: %v", h)
	}
}

func TestProgress(t *testing.T) {
	const size = 2<<20 + 5
	_, path := dirWith(t, "big.bin", strings.Repeat("x", size))
	halves := func(_ context.Context, w io.Writer) error {
		for range 2 {
			if _, err := io.WriteString(w, "half"); err != nil {
				return err
			}
		}
		return nil
	}
	type step struct{ sent, total int64 }
	tests := []struct {
		name  string
		c     content.Content
		steps []step // by WriteTo
	}{
		{"empty", content.Empty, []step{{0, 0}}},
		{"empty writer", content.Writer(func(context.Context, io.Writer) error { return nil }, "", -1), []step{{0, -1}}},
		{"bytes", content.Text("abc"), []step{{3, 3}}},
		{"writer", content.Writer(halves, "", -1), []step{{4, -1}, {8, -1}}},
		{"file", content.File(path), []step{{1 << 20, size}, {2 << 20, size}, {size, size}}},
		{"plain reader", content.Opener(func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(iotest.OneByteReader(strings.NewReader("ab"))), nil
		}, "", 2), []step{{1, 2}, {2, 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var steps []step
			c := content.Progress(tt.c, func(sent, total int64) { steps = append(steps, step{sent, total}) })
			r, err := c.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n, err := r.(io.WriterTo).WriteTo(struct{ io.Writer }{io.Discard})
			if err := errors.Join(err, r.Close()); err != nil {
				t.Fatal(err)
			}
			last := tt.steps[len(tt.steps)-1]
			if n != last.sent || len(steps) != len(tt.steps) {
				t.Fatalf("%d bytes, steps %v, want %v", n, steps, tt.steps)
			}
			for i := range steps {
				if steps[i] != tt.steps[i] {
					t.Errorf("steps %v, want %v", steps, tt.steps)
				}
			}

			steps = nil
			r, err = c.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil {
				t.Fatal(err)
			}
			if len(steps) == 0 || steps[len(steps)-1] != last {
				t.Errorf("by Read: steps %v, want the last to be %v", steps, last)
			}
			for i := 1; i < len(steps); i++ {
				if steps[i].sent <= steps[i-1].sent {
					t.Errorf("steps do not grow: %v", steps)
				}
			}
		})
	}
}

// readerFrom notes what it was asked to read from, as a connection that can
// sendfile would.
type readerFrom struct {
	bytes.Buffer
	files int
}

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) {
	if lr, ok := r.(*io.LimitedReader); ok {
		if _, ok := lr.R.(*os.File); ok {
			w.files++
		}
	}
	return w.Buffer.ReadFrom(r)
}

func TestProgressKeepsSendfile(t *testing.T) {
	_, path := dirWith(t, "f", "abc")
	r, err := content.Progress(content.File(path), func(int64, int64) {}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var w readerFrom
	if n, err := io.Copy(&w, r); n != 3 || err != nil || w.files == 0 || w.String() != "abc" {
		t.Errorf("%d bytes, %v, %d files seen", n, err, w.files)
	}
}

// TestComparable: a body can be told from another one.
func TestComparable(t *testing.T) {
	for name, body := range map[string]func() content.Content{
		"Reader": func() content.Content { return content.Reader(strings.NewReader(""), "", -1) },
		"Once":   func() content.Content { return content.Once(content.Text("")) },
	} {
		a, b := body(), body()
		if same := a; a == b || a != same {
			t.Errorf("%s: two are one, or one is two", name)
		}
	}
}
