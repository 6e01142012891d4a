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
