package godwit_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
)

// upload shows what goes to the server with that body.
func upload(body any, opts ...godwit.Option) {
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()
	text, err := godwit.Post[string](ctx, c, "https://example.org/a", body, opts...)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println(text)
}

func ExampleBody_text() {
	upload("Grüße")
	upload(content.TextAs("a,b\n1,2", "text/csv"))
	// Output:
	// POST https://example.org/a
	// Content-Type: text/plain; charset=utf-8
	// Grüße
	// POST https://example.org/a
	// Content-Type: text/csv
	// a,b
	// 1,2
}

func ExampleBody_bytes() {
	upload([]byte("raw"))
	upload(content.Bytes([]byte("GIF89a"), "image/gif"))
	// Output:
	// POST https://example.org/a
	// Content-Type: application/octet-stream
	// raw
	// POST https://example.org/a
	// Content-Type: image/gif
	// GIF89a
}

func ExampleBody_file() {
	dir, err := os.MkdirTemp("", "godwit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "page.html"), []byte("<p>hello</p>"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	upload(content.File(filepath.Join(dir, "page.html"))) // sent by the kernel where it can

	_, err = content.FileIn(dir, "../secret").Open(ctx) // a name from outside stays inside
	fmt.Println(err != nil)
	// Output:
	// POST https://example.org/a
	// Content-Type: text/html
	// <p>hello</p>
	// true
}

func ExampleBody_fS() {
	assets := fstest.MapFS{"logo.svg": {Data: []byte("<svg/>")}} // or an embed.FS
	upload(content.FS(assets, "logo.svg"))
	// Output:
	// POST https://example.org/a
	// Content-Type: image/svg+xml
	// <svg/>
}

func ExampleURL() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("from afar"))))
	defer c.Close()
	upload(godwit.URL(c, "https://source.example/file")) // fetched when it is sent, streamed
	// Output:
	// POST https://example.org/a
	// Content-Type: application/octet-stream
	// from afar
}

func ExampleBody_reader() {
	upload(strings.NewReader("once"))
	upload(content.Reader(strings.NewReader("once"), "text/plain", 4)) // with type and length
	// Output:
	// POST https://example.org/a
	// Content-Type: application/octet-stream
	// once
	// POST https://example.org/a
	// Content-Type: text/plain
	// once
}

func ExampleBody_writer() {
	upload(content.Writer(func(ctx context.Context, w io.Writer) error {
		return csv.NewWriter(w).WriteAll([][]string{{"id", "name"}, {"7", "Ada"}})
	}, "text/csv", -1))
	// Output:
	// POST https://example.org/a
	// Content-Type: text/csv
	// id,name
	// 7,Ada
}

func ExampleBody_form() {
	upload(url.Values{"user": {"ada"}, "note": {"two words"}})

	form, err := content.FormOf(struct {
		User string `form:"user"`
		Note string `form:"note,omitempty"`
	}{User: "ada"})
	fmt.Println(err)
	upload(form)
	// Output:
	// POST https://example.org/a
	// Content-Type: application/x-www-form-urlencoded
	// note=two+words&user=ada
	// <nil>
	// POST https://example.org/a
	// Content-Type: application/x-www-form-urlencoded
	// user=ada
}

func ExampleBody_multipart() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, file, err := r.FormFile("file")
		fmt.Fprintln(w, r.FormValue("user"), r.FormValue("password"), file.Filename, file.Header.Get("Content-Type"), file.Size, err)
	}))
	defer server.Close()
	c := godwit.New()
	defer c.Close()

	form := content.Multipart(
		content.Field("user", "ada"),
		content.Field("password", "secret"),
		content.DataPart("file", "bird.bin", content.Bytes([]byte{1, 2, 3}, "application/octet-stream")),
	)
	fmt.Println(godwit.Post[string](ctx, c, server.URL, form))
	// Output:
	// ada secret bird.bin application/octet-stream 3 <nil>
	//  <nil>
}

func ExampleBody_jSON() {
	upload(User{7, "Ada"})
	upload(User{7, "Ada"}, godwit.ContentType("application/vnd.user+json"))
	// Output:
	// POST https://example.org/a
	// Content-Type: application/json
	// {"id":7,"name":"Ada"}
	// POST https://example.org/a
	// Content-Type: application/vnd.user+json
	// {"id":7,"name":"Ada"}
}

func ExampleBody_trailers() {
	eng := mock.Serve(mock.Status(204))
	c := godwit.New(godwit.WithEngineInstance(eng))
	defer c.Close()

	body := content.WithTrailers(content.Text("data"), []string{"Checksum"}, func() header.Header {
		return header.New("Checksum", "77")
	})
	_, err := godwit.Post[godwit.None](ctx, c, "https://example.org/", body)
	fmt.Println(eng.Requests()[0].Trailer().Get("Checksum"), err)
	// Output: 77 <nil>
}

func ExampleOnUpload() {
	c := godwit.New(godwit.WithEngineInstance(echo()))
	defer c.Close()

	_, err := godwit.Post[godwit.None](ctx, c, "https://example.org/", "hello", godwit.OnUpload(func(done, total int64) {
		fmt.Println(done, "of", total)
	}))
	fmt.Println(err)
	// Output:
	// 5 of 5
	// <nil>
}

func ExampleOnDownload() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("hello").WithPace(3, 1))))
	defer c.Close()

	text, err := godwit.Get[string](ctx, c, "https://example.org/", godwit.OnDownload(func(done, total int64) {
		fmt.Println(done, "of", total)
	}))
	fmt.Println(text, err)
	// Output:
	// 3 of 5
	// 5 of 5
	// hello <nil>
}

func ExampleGet_multipart() {
	parts := "--b\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nada\r\n--b--\r\n"
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Bytes(200, "multipart/form-data; boundary=b", []byte(parts)))))
	defer c.Close()

	reader, err := godwit.Get[*content.MultipartReader](ctx, c, "https://example.org/form")
	if err != nil {
		fmt.Println(err)
		return
	}
	for part, err := range reader.All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		value, _ := io.ReadAll(part.Body)
		fmt.Printf("%s = %s\n", part.Name, value)
	}
	// Output: user = ada
}

func ExampleGet_reader() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("line 1\nline 2"))))
	defer c.Close()

	r, err := godwit.Get[io.Reader](ctx, c, "https://example.org/log") // over the buffered body
	if err != nil {
		fmt.Println(err)
		return
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fmt.Println(lines.Text())
	}
	// Output:
	// line 1
	// line 2
}

func ExampleGet_number() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("42\n"))))
	defer c.Close()

	fmt.Println(godwit.Get[int](ctx, c, "https://example.org/count"))
	// Output: 42 <nil>
}

func ExampleMaxBody() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("more than four"))), godwit.MaxBody(4))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/")
	fmt.Println(errors.Is(err, godwit.ErrBodyTooLarge))
	// Output: true
}

func ExampleDropBody() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.OK("of no interest"))))
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/", godwit.DropBody())
	fmt.Println(resp.Status, len(resp.Bytes()), err)
	// Output: 200 OK 0 <nil>
}

func ExampleDefaultCharset() {
	latin1 := mock.Bytes(200, "text/plain", []byte("Gr\xfc\xdfe"))
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(latin1)), godwit.DefaultCharset("utf-8", "iso-8859-1"))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/"))
	// Output: Grüße <nil>
}

func ExampleAcceptCharset() {
	sent(godwit.AcceptCharset("utf-8", "iso-8859-1;q=0.5"))
	// Output:
	// GET https://example.org/a
	// Accept-Charset: utf-8, iso-8859-1;q=0.5
}

func ExampleRemoveBOM() {
	marked := mock.Bytes(200, "application/octet-stream", []byte("\xef\xbb\xbfhi"))
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(marked)))
	defer c.Close()

	as, _ := godwit.Get[[]byte](ctx, c, "https://example.org/")
	without, _ := godwit.Get[[]byte](ctx, c, "https://example.org/", godwit.RemoveBOM(true))
	fmt.Println(len(as), len(without))
	// Output: 5 2
}

func ExampleDecompress() {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	io.WriteString(w, "hello")
	w.Close()
	zipped := mock.Bytes(200, "text/plain", packed.Bytes()).WithHeader("Content-Encoding", "gzip")
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(zipped)))
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, "https://example.org/")
	fmt.Println(resp.Text(), resp.Decoded, resp.Call().WireHeader().Get("Content-Encoding"), err)
	resp, err = godwit.Get[*godwit.Response](ctx, c, "https://example.org/", godwit.Decompress(false))
	fmt.Println(len(resp.Bytes()) == packed.Len(), resp.Header.Get("Content-Encoding"), err)
	// Output:
	// hello [gzip] gzip <nil>
	// true gzip <nil>
}

func ExampleAnyContentType() {
	mislabelled := mock.Bytes(200, "text/html", []byte(`{"id":7,"name":"Ada"}`))
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mislabelled)))
	defer c.Close()

	fmt.Println(godwit.Get[User](ctx, c, "https://example.org/users/7", godwit.AnyContentType()))
	// Output: {7 Ada} <nil>
}

// table is a codec for lists of records.
type table struct{}

func (table) MediaTypes() []string { return []string{"text/csv"} }

func (table) Marshal(v any) ([]byte, error) {
	records, ok := v.([][]string)
	if !ok {
		return nil, fmt.Errorf("%T is no [][]string", v)
	}
	var b bytes.Buffer
	err := csv.NewWriter(&b).WriteAll(records)
	return b.Bytes(), err
}

func (table) Unmarshal(data []byte, v any) (err error) {
	into, ok := v.(*[][]string)
	if !ok {
		return fmt.Errorf("%T is no *[][]string", v)
	}
	*into, err = csv.NewReader(bytes.NewReader(data)).ReadAll()
	return err
}

func ExampleWithCodec() {
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(mock.Bytes(200, "text/csv", []byte("7,Ada\n")))), godwit.WithCodec(table{}))
	defer c.Close()

	records, err := godwit.Get[[][]string](ctx, c, "https://example.org/users")
	fmt.Println(records, err)
	// Output: [[7 Ada]] <nil>
}

func ExampleJSON() {
	extra := mock.Serve(mock.JSON(200, map[string]any{"id": 7, "name": "Ada", "age": 36}))
	c := godwit.New(godwit.WithEngineInstance(extra), godwit.WithCodec(godwit.JSON{Strict: true}))
	defer c.Close()

	_, err := godwit.Get[User](ctx, c, "https://example.org/users/7")
	fmt.Println(err != nil)
	// Output: true
}
