package recovered_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/internal/recovered"
)

func catch(v any) (err error) {
	defer func() { err = recovered.Error("the body", recover()) }()
	panic(v)
}

func TestError(t *testing.T) {
	for _, tc := range []struct {
		name  string
		value any
		text  string
		cause error
	}{
		{"text", "boom", "the body panicked: boom\n", nil},
		{"error", io.ErrNoProgress, "the body panicked: " + io.ErrNoProgress.Error() + "\n", io.ErrNoProgress},
		{"number", 7, "the body panicked: 7\n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := catch(tc.value)
			if !strings.HasPrefix(err.Error(), tc.text) || !strings.Contains(err.Error(), "recovered_test.catch") {
				t.Errorf("error = %v, want %q and the stack", err, tc.text)
			}
			if cause := errors.Unwrap(err); cause != tc.cause {
				t.Errorf("cause = %v, want %v", cause, tc.cause)
			}
		})
	}
}

type codec struct{}

func (codec) MediaTypes() []string { return []string{"a/b", "c/d"} }

func TestCodec(t *testing.T) {
	use := func(f func() error) (err error) {
		defer recovered.Codec(&err, codec{}, "decoding into", new(int))
		return f()
	}
	if err := use(func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := use(func() error { return io.ErrNoProgress }); err != io.ErrNoProgress {
		t.Error(err)
	}
	err := use(func() error { panic(io.ErrNoProgress) })
	const want = "codec recovered_test.codec for a/b, c/d, decoding into *int, panicked: "
	if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
	err = use(func() error { return crash(nil) })
	if err == nil || !strings.Contains(err.Error(), "nil pointer dereference (") || !strings.Contains(err.Error(), "recovered_test.crash, recovered_test.go:") || len(err.Error()) > 300 {
		t.Errorf("%v", err)
	}
}

//go:noinline
func crash(p *error) error { return *p }
