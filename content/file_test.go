package content_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/godwit-go/godwit/content"
)

func TestFileIsAnOSFile(t *testing.T) {
	dir, path := dirWith(t, "a.txt", "abc")
	for name, c := range map[string]content.Content{
		"File":   content.File(path),
		"FileIn": content.FileIn(dir, "a.txt"),
		"FS":     content.FS(os.DirFS(dir), "a.txt"),
		"typed":  content.WithType(content.File(path), "x/y"),
	} {
		r, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.(*os.File); !ok {
			t.Errorf("%s: Open returned %T", name, r)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFileErrors(t *testing.T) {
	dir, path := dirWith(t, "a.txt", "abc")
	outside, _ := dirWith(t, "secret", "top")
	missing := filepath.Join(dir, "none")
	rel, err := filepath.Rel(dir, filepath.Join(outside, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		c    content.Content
		want error // nil = any
	}{
		{"File missing", content.File(missing), fs.ErrNotExist},
		{"FileIn missing", content.FileIn(dir, "none"), fs.ErrNotExist},
		{"FileIn without dir", content.FileIn(missing, "a.txt"), fs.ErrNotExist},
		{"FS missing", content.FS(fstest.MapFS{}, "none"), fs.ErrNotExist},
		{"FS bad name", content.FS(os.DirFS(dir), "../x"), fs.ErrInvalid},
		{"typed, missing", content.WithType(content.File(missing), "a/b"), fs.ErrNotExist},
		{"watched and with trailers, missing", content.Progress(content.WithTrailers(content.File(missing), []string{"A"}, nil),
			func(int64, int64) {}), fs.ErrNotExist},
		{"once, missing", content.Once(content.File(missing)), nil},
		{"directory", content.File(dir), nil},
		{"device", content.File(os.DevNull), nil},
		{"file as directory", content.FileIn(path, "x"), nil},
		{"out by dots", content.FileIn(dir, rel), nil},
		{"out by an absolute path", content.FileIn(dir, filepath.Join(outside, "secret")), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := tt.c.Open(t.Context())
			if err == nil || r != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Open: %v, %v", r, err)
			}
			if n := tt.c.ContentLength(); n != -1 {
				t.Errorf("ContentLength %d", n)
			}
			// The same file as a later part is found before the first is sent.
			m := content.Multipart(content.Field("a", "b"), content.DataPart("c", "d", tt.c))
			if _, err := m.Open(t.Context()); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("in a multipart body: %v", err)
			}
		})
	}
}

// What is no regular file is not even opened: that blocks, if it is a named pipe.
func TestFilePipe(t *testing.T) {
	_, err := content.FS(pipes{t}, "pipe").Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "pipe") || !strings.Contains(err.Error(), "*os.File") {
		t.Errorf("error %v", err)
	}
}

// pipes is a file system of named pipes.
type pipes struct{ t *testing.T }

func (p pipes) Open(string) (fs.File, error) {
	p.t.Error("opened")
	return nil, fs.ErrPermission
}

func (pipes) Stat(name string) (fs.FileInfo, error) {
	return fstest.MapFS{name: {Mode: fs.ModeNamedPipe}}.Stat(name)
}

func TestFileInSymlink(t *testing.T) {
	dir, _ := dirWith(t, "a.txt", "abc")
	_, secret := dirWith(t, "secret", "top")
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
		if runtime.GOOS == "windows" {
			t.Skipf("no right to make symbolic links: %v", err)
		}
		t.Fatal(err)
	}
	if _, err := content.FileIn(dir, "link").Open(t.Context()); err == nil {
		t.Error("a symbolic link led out of the directory")
	}
}

func TestFileOpensAnew(t *testing.T) {
	_, path := dirWith(t, "a.txt", "abc")
	c := content.File(path)
	if got := readAll(t, c); got != "abc" || c.ContentLength() != 3 {
		t.Errorf("%q, %d", got, c.ContentLength())
	}
	if err := os.WriteFile(path, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); got != "changed" || c.ContentLength() != 7 {
		t.Errorf("%q, %d", got, c.ContentLength())
	}
}

func TestOSFile(t *testing.T) {
	_, path := dirWith(t, "a.txt", "0123456789")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	c := content.OSFile(f)
	if c.ContentLength() != 6 || c.ContentType() != "text/plain" || !c.Replayable() {
		t.Errorf("length %d, type %q, replayable %v", c.ContentLength(), c.ContentType(), c.Replayable())
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			r, err := c.Open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			if b, err := io.ReadAll(r); string(b) != "456789" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
	wg.Wait()
	if off, err := f.Seek(0, io.SeekCurrent); off != 4 || err != nil {
		t.Errorf("offset %d, %v: the file was moved or closed", off, err)
	}
	if _, err := content.OSFile(nil).Open(t.Context()); err == nil {
		t.Error("a nil file opens")
	}
}

func TestOSFilePipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("abc"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c := content.OSFile(r)
	if c.Replayable() || c.ContentLength() != -1 {
		t.Errorf("replayable %v, length %d", c.Replayable(), c.ContentLength())
	}
	if got := readAll(t, c); got != "abc" {
		t.Errorf("body %q", got)
	}
	if _, err := r.Stat(); err != nil {
		t.Errorf("the pipe was closed: %v", err)
	}
}

func TestTypeByExtension(t *testing.T) {
	for ext, want := range map[string]string{
		".html": "text/html", "JPG": "image/jpeg", ".tar": "application/x-tar", ".js": "text/javascript",
		"": "", ".": "", ".nope": "", "..html": "",
	} {
		if got := content.TypeByExtension(ext); got != want {
			t.Errorf("TypeByExtension(%q) = %q, want %q", ext, got, want)
		}
	}
	for name, want := range map[string]string{"a.b.PNG": "image/png", "png": "application/octet-stream", "dir.png/x": "application/octet-stream"} {
		if got := content.File(name).ContentType(); got != want {
			t.Errorf("type of %q: %q, want %q", name, got, want)
		}
	}
}
