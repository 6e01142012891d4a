package content_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/godwit-go/godwit/content"
)

// dump reads all parts: "name/file[fields]=body" each, and the error at the end.
func dump(r io.Reader, contentType string) (string, error) {
	in, err := content.ReadMultipart(r, contentType)
	if err != nil {
		return "", err
	}
	var out []string
	for p, err := range in.All() {
		if err != nil {
			return strings.Join(out, "|"), err
		}
		b, err := io.ReadAll(p.Body)
		var names []string
		for name := range p.Header.All() {
			names = append(names, name)
		}
		out = append(out, fmt.Sprintf("%s/%s%v=%s", p.Name, p.Filename, names, b))
		if err != nil {
			return strings.Join(out, "|"), err
		}
	}
	return strings.Join(out, "|"), nil
}

const incoming = "preamble\r\n--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n" +
	"--b \r\nX: 1\r\nContent-Type: x/y\r\nx: 2\r\nContent-Disposition: form-data; name=c; filename=\"../d\"\r\n\r\n2\r\n-\r\n\r\n" +
	"--b\r\n\r\n\r\n--b--"

func TestReadMultipart(t *testing.T) {
	const want = "a/[Content-Disposition]=1|c/d[Content-Disposition Content-Type X X]=2\r\n-\r\n|/[]="
	for _, tail := range []string{"", "\r\n", "\r\nepilogue"} {
		got, err := dump(iotest.OneByteReader(strings.NewReader(incoming+tail)), `multipart/form-data; boundary="b"`)
		if got != want || err != nil {
			t.Errorf("tail %q: %q, %v, want %q", tail, got, err, want)
		}
	}
	if got, err := dump(strings.NewReader("--b--\r\n"), "multipart/mixed;boundary=b"); got != "" || err != nil {
		t.Errorf("no parts: %q, %v", got, err)
	}
}

// Wherever the body is cut before the end of its closing delimiter, that is an
// error and never a clean end.
func TestReadMultipartCut(t *testing.T) {
	for i := range len(incoming) {
		if got, err := dump(strings.NewReader(incoming[:i]), "multipart/mixed; boundary=b"); err == nil {
			t.Errorf("cut after %q: %q and no error", incoming[:i], got)
		}
	}
	failing := io.MultiReader(strings.NewReader(incoming[:40]), iotest.ErrReader(errBroken))
	if _, err := dump(failing, "multipart/mixed; boundary=b"); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a broken reader: %v", err)
	}
}

func TestReadMultipartSkipsUnread(t *testing.T) {
	in, err := content.ReadMultipart(strings.NewReader(incoming), "multipart/mixed; boundary=b")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for p, err := range in.All() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 && p.Disposition.Param("filename") != "../d" {
			t.Errorf("disposition %v", p.Disposition)
		}
	}
	if n != 3 {
		t.Errorf("%d parts", n)
	}
}

func TestReadMultipartRefused(t *testing.T) {
	for _, bad := range []string{"", "text/plain", "text/plain; boundary=b", "multipart/mixed", `multipart/mixed; boundary=""`,
		"multipart/mixed; boundary=" + strings.Repeat("x", 71)} {
		if _, err := content.ReadMultipart(strings.NewReader(""), bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// Reading never panics and always ends; parts that were read whole can be
// written and read again with the same result.
func FuzzReadMultipart(f *testing.F) {
	f.Add(incoming)
	f.Add("--b\r\nA:\r\n\r\n--b")
	f.Add("--b\r\n\r\n\r\n--b\r\n\r\n--b--")
	f.Fuzz(func(t *testing.T, s string) {
		in, err := content.ReadMultipart(strings.NewReader(s), "multipart/mixed; boundary=b")
		if err != nil {
			t.Fatal(err)
		}
		var parts []content.Part
		var bodies []string
		for p, err := range in.All() {
			if err != nil {
				return
			}
			b, err := io.ReadAll(p.Body)
			if err != nil {
				return
			}
			parts = append(parts, content.Part{Header: p.Header.Clone(), Body: content.Bytes(b, "")})
			bodies = append(bodies, string(b))
			if strings.Contains(string(b), "another-boundary") {
				return
			}
		}
		c, err := content.MultipartOf("mixed", "another-boundary", parts...)
		if err != nil {
			return // fields that can be received but not sent
		}
		r, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		again, err := content.ReadMultipart(r, c.ContentType())
		if err != nil {
			t.Fatal(err)
		}
		for i, body := range bodies {
			p, err := again.Next()
			if err != nil {
				t.Fatalf("part %d of %q: %v", i, s, err)
			}
			b, err := io.ReadAll(p.Body)
			if string(b) != body || err != nil || !p.Header.Equal(parts[i].Header) {
				t.Errorf("part %d of %q: %q %q, %v, want %q %q", i, s, p.Header, b, err, parts[i].Header, body)
			}
		}
		if _, err := again.Next(); err != io.EOF {
			t.Errorf("after the last part of %q: %v", s, err)
		}
	})
}
