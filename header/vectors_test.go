package header_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/header"
)

// vectors decodes a file of the web-platform-tests; the test is skipped if the
// shared test data is not there.
func vectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "shared", "testdata", "wpt", name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no shared test data: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// wire turns the code points of a vector into bytes, as a field carries them.
// ok is false if one does not fit.
func wire(s string) (_ string, ok bool) {
	var b []byte
	for _, r := range s {
		if r > 0xff {
			return s, false
		}
		b = append(b, byte(r))
	}
	return string(b), true
}

func TestMediaTypeVectors(t *testing.T) {
	for _, file := range []string{"mime-types.json", "generated-mime-types.json"} {
		t.Run(file, func(t *testing.T) {
			var rows []json.RawMessage
			vectors(t, file, &rows)
			ran := 0
			for _, raw := range rows {
				var v struct {
					Input  string
					Output *string
				}
				if raw[0] == '"' {
					continue // a headline
				}
				if err := json.Unmarshal(raw, &v); err != nil {
					t.Fatal(err)
				}
				in, ok := wire(v.Input)
				if !ok && v.Output != nil {
					continue // code points that a field's bytes cannot be
				}
				ran++
				m, ok := header.ParseMediaType(in)
				if v.Output == nil {
					if ok {
						t.Errorf("ParseMediaType(%q) = %q, want failure", in, m)
					}
					continue
				}
				if want, _ := wire(*v.Output); !ok || m.String() != want {
					t.Errorf("ParseMediaType(%q) = %q, %v, want %q", in, m, ok, want)
				}
			}
			if want := len(rows) * 3 / 4; ran < want {
				t.Errorf("ran %d rows of %d", ran, len(rows))
			}
		})
	}
}

func TestContentTypeVectors(t *testing.T) {
	var rows []struct {
		ContentType []string
		MimeType    string
	}
	vectors(t, "content-types.json", &rows)
	for _, v := range rows {
		var h header.Header
		h.AddAll("content-type", v.ContentType...)
		if m, ok := header.ContentType(h); !ok || m.String() != v.MimeType {
			t.Errorf("%q: %q, %v, want %q", v.ContentType, m, ok, v.MimeType)
		}
	}
}

// The vectors have three outcomes: a number, null for a network error, and 42
// where a browser ignores the field and reads the body that the server of these
// tests sends, 42 bytes. What a browser ignores is an error here.
func TestContentLengthVectors(t *testing.T) {
	var rows []struct {
		Input  string
		Output *int64
	}
	vectors(t, "content-lengths.json", &rows)
	for _, v := range rows {
		var h header.Header
		for line := range strings.SplitSeq(v.Input, "\r\n") {
			name, value, _ := strings.Cut(line, ":")
			h.Add(name, strings.Trim(value, " \t"))
		}
		n, ok, err := header.ContentLength(h)
		ignored := v.Output != nil && *v.Output == 42 && !strings.Contains(v.Input, "42") || strings.HasSuffix(v.Input, "42s")
		switch {
		case v.Output == nil || ignored:
			if err == nil {
				t.Errorf("%q: %d, %v, want an error", v.Input, n, ok)
			}
		case err != nil || !ok || n != *v.Output:
			t.Errorf("%q: %d, %v, %v, want %d", v.Input, n, ok, err, *v.Output)
		}
	}
}
