package godwit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/mock"
)

func TestBodiesOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.csv")
	if err := os.WriteFile(file, []byte("a,b"), 0o600); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	rest := strings.NewReader("skip this")
	rest.Seek(5, io.SeekStart)
	for name, row := range map[string]struct {
		body              any
		text, contentType string
		length            int64
	}{
		"string":       {"ü", "ü", "text/plain; charset=utf-8", 2},
		"bytes":        {[]byte("x"), "x", "application/octet-stream", 1},
		"struct":       {user{1, "A"}, `{"id":1,"name":"A"}`, "application/json", 19},
		"map":          {map[string]int{"a": 1}, `{"a":1}`, "application/json", 7},
		"number":       {7, `7`, "application/json", 1},
		"values":       {url.Values{"a": {"b c"}}, "a=b+c", "application/x-www-form-urlencoded", 5},
		"reader":       {io.MultiReader(strings.NewReader("once")), "once", "application/octet-stream", -1},
		"string rest":  {rest, "this", "application/octet-stream", 4},
		"buffer":       {bytes.NewBufferString("buf"), "buf", "application/octet-stream", 3},
		"bytes reader": {bytes.NewReader([]byte("br")), "br", "application/octet-stream", 2},
		"os.File":      {open, "a,b", "text/csv", 3},
		"file":         {content.File(file), "a,b", "text/csv", 3},
		"fs":           {content.FS(os.DirFS(filepath.Dir(file)), "a.csv"), "a,b", "text/csv", 3},
		"writer":       {func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, "w"); return err }, "w", "application/octet-stream", -1},
		"none":         {nil, "", "", 0},
		"godwit.None":  {godwit.None{}, "", "", 0},
	} {
		c, eng := client(t, answers(to(307, "/again"), mock.OK("")))
		_, err := godwit.Post[string](t.Context(), c, base, row.body)
		first := eng.Requests()[0]
		if first.Text() != row.text || first.Header.Get("Content-Type") != row.contentType {
			t.Errorf("%s: sent %q as %q", name, first.Text(), first.Header.Get("Content-Type"))
		}
		if row.body != nil && name != "godwit.None" && first.Request.Body.ContentLength() != row.length {
			t.Errorf("%s: length %d", name, first.Request.Body.ContentLength())
		}
		if name == "reader" {
			if !errors.Is(err, godwit.ErrNotReplayable) {
				t.Errorf("%s: %v", name, err)
			}
			eng.Reset()
			continue
		}
		if err != nil || eng.Requests()[1].Text() != row.text {
			t.Errorf("%s, again: %v", name, err)
		}
	}
}

func TestContentTypeByHand(t *testing.T) {
	c, eng := client(t, answers(mock.Always(mock.OK(""))))
	form := content.Multipart(content.Field("a", "b"))
	for _, row := range []struct {
		body       any
		given      string
		want, text string
	}{
		{[]byte("x"), "image/png", "image/png", "x"},
		{user{}, "application/merge-patch+json", "application/merge-patch+json", `{"id":0,"name":""}`},
		{form, "multipart/form-data", form.ContentType(), ""},
	} {
		if _, err := godwit.Post[string](t.Context(), c, base, row.body, godwit.ContentType(row.given)); err != nil {
			t.Fatal(err)
		}
		r := eng.Requests()[len(eng.Requests())-1]
		if got := r.Header.Values("Content-Type"); len(got) != 1 || got[0] != row.want || row.text != "" && r.Text() != row.text {
			t.Errorf("%s: sent %q as %q", row.given, r.Text(), got)
		}
	}
}

// TestReaderLength: a Content-Length given by hand is the length of a reader.
func TestReaderLength(t *testing.T) {
	c, eng := client(t, answers(mock.OK("")))
	_, err := godwit.Post[string](t.Context(), c, base, io.MultiReader(strings.NewReader("abc")), godwit.Header("Content-Length", "3"))
	if err != nil || eng.Requests()[0].Request.Body.ContentLength() != 3 || eng.Requests()[0].Header.Has("Content-Length") {
		t.Errorf("%v", err)
	}
}

func TestURLBody(t *testing.T) {
	c, eng := client(t, answers(
		mock.When(mock.Path("/src.png")).Reply(mock.Bytes(200, "image/png", []byte("picture"))),
		mock.When(mock.Path("/gone")).Reply(mock.Status(404)),
		mock.When(mock.Path("/dst")).Reply(mock.OK("stored")).AtLeast(1),
	))
	s, err := godwit.Put[string](t.Context(), c, base+"/dst", godwit.URL(c, base+"/src.png"))
	if err != nil || s != "stored" {
		t.Fatal(s, err)
	}
	for _, r := range eng.Requests() {
		if r.URL.Path == "/dst" && (r.Text() != "picture" || r.Header.Get("Content-Type") != "image/png") {
			t.Errorf("sent %q as %q", r.Text(), r.Header.Get("Content-Type"))
		}
	}
	_, err = godwit.Put[string](t.Context(), c, base+"/dst", godwit.URL(c, base+"/gone"))
	if se, ok := errors.AsType[*godwit.StatusError](err); !ok || se.Response.Status != 404 {
		t.Errorf("missing source: %v", err)
	}
	eng.AssertBodiesClosed(t)
}

func TestMultipartRoundTrip(t *testing.T) {
	form := content.Multipart(content.Field("user", "ada"), content.DataPart("pic", "a b.png", content.Bytes([]byte{1, 2}, "image/png")))
	echo := mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
		return mock.Bytes(200, r.Header.Get("Content-Type"), r.Body()), nil
	})
	c, _ := client(t, answers(echo))
	parts, err := godwit.Post[*content.MultipartReader](t.Context(), c, base, form)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for p, err := range parts.All() {
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(p.Body)
		got = append(got, p.Name+"="+p.Filename+"="+string(b))
	}
	if s := strings.Join(got, ";"); s != "user==ada;pic=a b.png=\x01\x02" {
		t.Errorf("parts %q", s)
	}
}
