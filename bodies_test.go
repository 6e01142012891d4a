package godwit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
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

// TestUnsendable: what a content knows to be wrong with itself fails the call
// before the engine is asked.
func TestUnsendable(t *testing.T) {
	used := content.Once(content.Text("x"))
	if _, err := used.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader := godwit.NewRequest("POST", base, godwit.Body(io.MultiReader(strings.NewReader("once"))))
	badPart := content.Multipart(content.Part{Name: "a", Header: header.New("X-A", "b\r\nX: y")})
	missing := content.File(filepath.Join(t.TempDir(), "none"))
	c, eng := client(t, answers(mock.OK("")))
	if _, err := c.Do(t.Context(), reader); err != nil {
		t.Fatal(err)
	}
	eng.Reset()
	for name, row := range map[string]struct {
		body any
		want string
	}{
		"field of a part":    {badPart, `"X-A"`},
		"in a wrapper":       {content.Progress(content.WithType(badPart, "multipart/mixed"), nil), `"X-A"`},
		"with trailers":      {content.WithTrailers(missing, []string{"A"}, nil), "none"},
		"part of a part":     {content.Multipart(content.DataPart("a", "", content.Multipart(content.Field("b", ""), content.Part{}))), "part 1: content: multipart/form-data: part 2 has no name"},
		"name of a part":     {content.Multipart(content.Field("a\x00", "b")), `"form-data; name=\"a\x00\""`},
		"missing file":       {missing, "none"},
		"missing in a part":  {content.Multipart(content.Field("a", "b"), content.DataPart("c", "", missing)), "part 2"},
		"directory":          {content.File(t.TempDir()), "is a directory"},
		"device":             {content.File(os.DevNull), "is no regular file"},
		"no function":        {content.Writer(nil, "", -1), "no function"},
		"no reader":          {content.Reader(nil, "", -1), "no reader"},
		"no file":            {content.OSFile(nil), "no file"},
		"sent already":       {used, "sent already"},
		"reader of a part":   {content.Multipart(content.DataPart("a", "", used)), "sent already"},
		"reader, once again": {reader.Body, "sent already"},
	} {
		_, err := c.Do(t.Context(), godwit.NewRequest("POST", base, godwit.Body(row.body), godwit.Header("Expect", "100-continue")))
		e, ok := errors.AsType[*godwit.Error](err)
		if !ok || e.Op != "build" || e.Attempt != 0 || !strings.Contains(err.Error(), "build: ") || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(eng.Requests()); n != 0 {
		t.Errorf("%d requests reached the engine", n)
	}
}

// TestReaderAsField: a reader that is no option's is read from where it stands by
// each call, within one call once.
func TestReaderAsField(t *testing.T) {
	reader := func(s string) io.Reader { return io.LimitReader(strings.NewReader(s), 100) }
	built := godwit.NewRequest("POST", base)
	literal := &godwit.Request{Method: "POST", URL: built.URL}
	sized := &godwit.Request{Method: "POST", URL: built.URL, Header: header.New("Content-Length", "3")}
	for name, row := range map[string]struct {
		request *godwit.Request
		length  int64
	}{"built": {built, -1}, "literal": {literal, -1}, "clone": {literal.Clone(), -1}, "with a length": {sized, 3}} {
		row.request.Body = reader("abc")
		c, eng := client(t, answers(to(307, "/again"), mock.Always(mock.OK(""))))
		if _, err := c.Do(t.Context(), row.request); !errors.Is(err, godwit.ErrNotReplayable) {
			t.Errorf("%s, redirected: %v", name, err)
		}
		row.request.Body = reader("xyz")
		if _, err := c.Do(t.Context(), row.request); err != nil {
			t.Errorf("%s, with a new reader: %v", name, err)
		}
		var sent []string
		for _, r := range eng.Requests() {
			if got := r.Request.Body.ContentLength(); got != row.length || r.Header.Has("Content-Length") {
				t.Errorf("%s: length %d", name, got)
			}
			sent = append(sent, r.Text())
		}
		if got := strings.Join(sent, " "); got != "abc xyz" {
			t.Errorf("%s: sent %q", name, got)
		}
	}
}

// TestURLBodyWithin: a source is fetched before the request takes a connection,
// whatever it is wrapped in, so that one connection is enough.
func TestURLBodyWithin(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/src.csv":
			io.WriteString(w, "a,b")
		case "/sent":
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%d %s %s", r.ContentLength, r.Header.Get("Content-Type"), body)
		default:
			http.Redirect(w, r, "/sent", http.StatusTemporaryRedirect)
		}
	}, func(t *testing.T, c *godwit.Client, url string) {
		source := func() content.Content { return godwit.URL(c, url+"/src.csv") }
		form, err := content.MultipartOf("mixed", "b", content.DataPart("", "", source()), content.DataPart("", "", content.WithType(source(), "x/y")))
		if err != nil {
			t.Fatal(err)
		}
		const parts = "--b\r\nContent-Type: text/csv\r\n\r\na,b\r\n--b\r\nContent-Type: x/y\r\n\r\na,b\r\n--b--\r\n"
		trailers := content.WithTrailers(source(), []string{"X-T"}, func() header.Header { return header.New("X-T", "1") })
		for name, row := range map[string]struct {
			path string
			body content.Content
			want string
		}{
			"plain":     {"/", source(), "3 text/csv a,b"},
			"typed":     {"/", content.WithType(source(), "x/y"), "3 x/y a,b"},
			"once":      {"/sent", content.Once(source()), "3 text/csv a,b"},
			"watched":   {"/", content.Progress(source(), func(int64, int64) {}), "3 text/csv a,b"},
			"trailers":  {"/", content.WithType(trailers, "x/y"), "-1 x/y a,b"},
			"multipart": {"/", form, fmt.Sprintf("%d multipart/mixed; boundary=b %s", len(parts), parts)},
		} {
			got, err := godwit.Post[string](t.Context(), c, url+row.path, row.body)
			if err != nil || got != row.want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}, godwit.EngineConfig(oneConnection), godwit.Timeout(5*time.Second))
}

// TestURLBodiesStream: parts that are too large to be kept are all open when the
// body is sent, and closed after it.
func TestURLBodiesStream(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 128<<10)
	var open atomic.Int32
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			open.Add(1)
			io.WriteString(w, big)
			return
		}
		before, n := open.Swap(0), 0
		if form, err := r.MultipartReader(); err == nil {
			for part, err := form.NextPart(); err == nil; part, err = form.NextPart() {
				if b, err := io.ReadAll(part); err == nil && string(b) == big {
					n++
				}
			}
		}
		fmt.Fprintf(w, "%d open, %d whole", before, n)
	}, func(t *testing.T, c *godwit.Client, url string) {
		part := content.DataPart("a", "", godwit.URL(c, url))
		got, err := godwit.Post[string](t.Context(), c, url, content.Multipart(part, part, part))
		if err != nil || got != "3 open, 3 whole" {
			t.Errorf("%s, %v", got, err)
		}
	}, godwit.Timeout(20*time.Second))
}

// TestURLBodyBounded: a source that a body of unknown kind opens, when the request
// has its connection, does not wait for another one for ever.
func TestURLBodyBounded(t *testing.T) {
	pool := make(chan time.Duration, 1)
	c, _ := client(t, answers(mock.Always(mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
		if r.Method == "GET" {
			pool <- r.Request.Timeouts.Pool
		}
		return mock.Text(200, string(r.Body())), nil
	}))))
	source := godwit.URL(c, base)
	for name, row := range map[string]struct {
		body content.Content
		want time.Duration
	}{
		"alone":     {source, 0},
		"wrapped":   {content.WithType(source, "x/y"), 0},
		"by itself": {content.Opener(source.Open, "", -1), 30 * time.Second},
		"bounded":   {content.Opener(godwit.URL(c, base, godwit.PoolTimeout(time.Second)).Open, "", -1), time.Second},
	} {
		if _, err := godwit.Post[string](t.Context(), c, base, row.body); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := <-pool; got != row.want {
			t.Errorf("%s: it waits %v", name, got)
		}
	}
}

// TestURLBodyDropped: what a client does with the bodies that its callers want is
// nothing to a source.
func TestURLBodyDropped(t *testing.T) {
	c, eng := client(t, answers(mock.Text(200, "source"), mock.OK("")), godwit.DropBody(), godwit.MaxBody(1), godwit.ExpectSuccess(false))
	if _, err := godwit.Post[godwit.Status](t.Context(), c, base, godwit.URL(c, base+"/src")); err != nil {
		t.Fatal(err)
	}
	if got := eng.Requests()[1].Text(); got != "source" {
		t.Errorf("sent %q", got)
	}
}

// TestBodyClosePanics: a panic in a body's Close fails the call, if it comes in
// time, and never ends the program.
func TestBodyClosePanics(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}, func(t *testing.T, c *godwit.Client, url string) {
		for _, length := range []int64{-1, 5} {
			body := content.Reader(shutPanics{strings.NewReader("hello")}, "", length)
			_, err := godwit.Post[godwit.Status](t.Context(), c, url, body)
			if err != nil && !strings.Contains(err.Error(), "panicked: shut") {
				t.Errorf("length %d: %v", length, err)
			}
		}
	})
}

// shutPanics is a reader whose Close panics.
type shutPanics struct{ io.Reader }

func (shutPanics) Close() error { panic("shut") }
