package content_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit/content"
)

var errBroken = errors.New("broken")

func TestWriterFailures(t *testing.T) {
	tests := []struct {
		name  string
		write func(context.Context, io.Writer) error
		want  string
	}{
		{"error", func(context.Context, io.Writer) error { return errBroken }, "broken"},
		{"error after bytes", func(_ context.Context, w io.Writer) error { return errors.Join(write(w, "abc"), errBroken) }, "broken"},
		{"EOF", func(context.Context, io.Writer) error { return io.EOF }, "returned io.EOF"},
		{"EOF after bytes", func(_ context.Context, w io.Writer) error { return cmp.Or(write(w, "abc"), io.EOF) }, "returned io.EOF"},
		{"panic", func(context.Context, io.Writer) error { panic("oh") }, "panicked: oh"},
		{"panic after bytes", func(_ context.Context, w io.Writer) error { panic(fmt.Sprint(write(w, "abc"))) }, "panicked: <nil>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := content.Writer(tt.write, "", -1)
			for way, hide := range map[string]func(io.ReadCloser) io.Reader{
				"WriteTo": func(r io.ReadCloser) io.Reader { return r },
				"Read":    func(r io.ReadCloser) io.Reader { return struct{ io.Reader }{r} },
			} {
				synctest.Test(t, func(t *testing.T) {
					r, err := c.Open(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					var b bytes.Buffer
					n, err := io.Copy(&b, hide(r))
					if err == nil || !strings.Contains(err.Error(), tt.want) || n != int64(b.Len()) {
						t.Errorf("%s: %d bytes of %d, error %v", way, n, b.Len(), err)
					}
					if _, again := r.Read(make([]byte, 1)); again == nil || again == io.EOF {
						t.Errorf("%s: Read after the failure: %v", way, again)
					}
					if err := r.Close(); err != nil {
						t.Errorf("%s: Close: %v", way, err)
					}
				})
			}
		})
	}
	if _, err := content.Writer(nil, "", 0).Open(t.Context()); err == nil {
		t.Error("a nil function opens")
	}
}

func write(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

// A writer function that ends its goroutine must not hang the reader.
// TestWriterOfNothing: writes of nothing, however many, are no reads of nothing.
func TestWriterOfNothing(t *testing.T) {
	r, err := content.Writer(func(_ context.Context, w io.Writer) error {
		for range 1000 {
			if _, err := w.Write(nil); err != nil {
				return err
			}
		}
		return write(w, "x")
	}, "", -1).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := r.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestWriterGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := content.Writer(func(context.Context, io.Writer) error { runtime.Goexit(); return nil }, "", -1).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("Read: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Close ends a function that is stuck in a write or waits for its context, and
// returns only then; synctest finds a goroutine that is left.
func TestWriterClose(t *testing.T) {
	stuck := map[string]func(context.Context, io.Writer) error{
		"in a write": func(_ context.Context, w io.Writer) error {
			for {
				if err := write(w, "more"); err != nil {
					return err
				}
			}
		},
		"waiting for the context": func(ctx context.Context, w io.Writer) error {
			if err := write(w, "more"); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
	}
	for name, f := range stuck {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				returned := false
				c := content.Writer(func(ctx context.Context, w io.Writer) error {
					defer func() { returned = true }()
					return f(ctx, w)
				}, "", -1)
				r, err := c.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
					t.Fatal(err)
				}
				if err := r.Close(); err != nil || !returned {
					t.Errorf("Close: %v, function returned: %v", err, returned)
				}
				if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
					t.Errorf("Read after Close: %v", err)
				}
			})
		})
	}
}

func TestWriterCloseUnread(t *testing.T) {
	called := false
	r, err := content.Writer(func(context.Context, io.Writer) error { called = true; return nil }, "", -1).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if n, err := r.(io.WriterTo).WriteTo(io.Discard); n != 0 || err == nil {
		t.Errorf("WriteTo after Close: %d, %v", n, err)
	}
	if called {
		t.Error("the function ran")
	}
}

// A Read that blocks ends when another goroutine closes the body.
func TestWriterCloseDuringRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := content.Writer(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return nil }, "", -1).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() {
			_, err := r.Read(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; err == nil {
			t.Error("Read succeeded")
		}
	})
}

// What Read leaves, WriteTo carries on with.
func TestWriterReadThenWriteTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := content.Writer(func(_ context.Context, w io.Writer) error { return write(w, "abcdef") }, "", 6).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		head := make([]byte, 2)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if n, err := r.(io.WriterTo).WriteTo(&b); n != 4 || err != nil || string(head)+b.String() != "abcdef" {
			t.Errorf("%q and %q, %d, %v", head, b.String(), n, err)
		}
	})
}

// A body is read once: later tries get what the first one ended with.
func TestWriterSecondWriteTo(t *testing.T) {
	for _, want := range []error{nil, errBroken} {
		r, err := content.Writer(func(_ context.Context, w io.Writer) error { return errors.Join(write(w, "a"), want) }, "", -1).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := r.(io.WriterTo)
		if n, err := w.WriteTo(io.Discard); n != 1 || !errors.Is(err, want) {
			t.Errorf("first: %d, %v", n, err)
		}
		if n, err := w.WriteTo(io.Discard); n != 0 || !errors.Is(err, want) {
			t.Errorf("second: %d, %v", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Closing does not wait for a WriteTo in another goroutine, but ends its context.
func TestWriterCloseDuringWriteTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := content.Writer(func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return errBroken }, "", -1).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() {
			_, err := r.(io.WriterTo).WriteTo(io.Discard)
			failed <- err
		}()
		synctest.Wait()
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Error("Read during WriteTo")
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, errBroken) {
			t.Errorf("WriteTo: %v", err)
		}
	})
}

// A writer that fails ends the function with its error, and the count is right.
func TestWriterToFails(t *testing.T) {
	r, err := content.Writer(func(_ context.Context, w io.Writer) error {
		if err := write(w, "abc"); err != nil {
			return err
		}
		return write(w, "def")
	}, "", 6).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n, err := r.(io.WriterTo).WriteTo(&limitedWriter{left: 4}); n != 4 || !errors.Is(err, errBroken) {
		t.Errorf("%d, %v", n, err)
	}
}

type limitedWriter struct{ left int }

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(w.left, len(p))
	w.left -= n
	if n < len(p) {
		return n, errBroken
	}
	return n, nil
}
