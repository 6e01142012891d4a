package content_test

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/header"
)

// show prints what would be sent.
func show(c content.Content) {
	r, err := c.Open(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	fmt.Printf("%s, %d bytes, %v\n%s\n", c.ContentType(), c.ContentLength(), err, strings.ReplaceAll(string(b), "\r", ""))
}

func ExampleText() {
	show(content.Text("Grüße"))
	// Output:
	// text/plain; charset=utf-8, 7 bytes, <nil>
	// Grüße
}

func ExampleBytes() {
	show(content.Bytes([]byte(`{"id":7}`), "application/json"))
	// Output:
	// application/json, 8 bytes, <nil>
	// {"id":7}
}

func ExampleReader() {
	c := content.Reader(strings.NewReader("once"), "text/plain", -1)
	show(c)
	_, err := c.Open(context.Background())
	fmt.Println(err == content.ErrConsumed)
	// Output:
	// text/plain, -1 bytes, <nil>
	// once
	// true
}

func ExampleWriter() {
	show(content.Writer(func(ctx context.Context, w io.Writer) error {
		for i := range 3 {
			if _, err := fmt.Fprintln(w, "line", i); err != nil {
				return err
			}
		}
		return nil
	}, "text/plain", -1))
	// Output:
	// text/plain, -1 bytes, <nil>
	// line 0
	// line 1
	// line 2
}

func ExampleFile() {
	c := content.File("missing.png")
	fmt.Println(c.ContentType(), c.ContentLength())
	_, err := c.Open(context.Background())
	fmt.Println(err != nil)
	// Output:
	// image/png -1
	// true
}

func ExampleForm() {
	show(content.Form(url.Values{"q": {"two words"}, "lang": {"de"}}))
	// Output:
	// application/x-www-form-urlencoded, 19 bytes, <nil>
	// lang=de&q=two+words
}

func ExampleFormOf() {
	type search struct {
		Query string   `form:"q"`
		Tags  []string `form:"tag"`
		Page  int      `form:"page,omitempty"`
	}
	c, err := content.FormOf(search{Query: "birds", Tags: []string{"sea", "long legs"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	show(c)
	// Output:
	// application/x-www-form-urlencoded, 29 bytes, <nil>
	// q=birds&tag=sea&tag=long+legs
}

func ExampleMultipartOf() {
	photo := content.DataPart("photo", "godwit.txt", content.Text("o<"))
	photo.Header = header.New("X-Taken", "2026")
	c, err := content.MultipartOf("form-data", "cut-here", content.Field("title", "A bird"), photo)
	if err != nil {
		fmt.Println(err)
		return
	}
	show(c)
	// Output:
	// multipart/form-data; boundary=cut-here, 225 bytes, <nil>
	// --cut-here
	// Content-Disposition: form-data; name="title"
	//
	// A bird
	// --cut-here
	// Content-Disposition: form-data; name="photo"; filename="godwit.txt"
	// Content-Type: text/plain; charset=utf-8
	// X-Taken: 2026
	//
	// o<
	// --cut-here--
}

func ExampleReadMultipart() {
	body := "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n"
	in, err := content.ReadMultipart(strings.NewReader(body), "multipart/form-data; boundary=x")
	if err != nil {
		fmt.Println(err)
		return
	}
	for part, err := range in.All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		b, err := io.ReadAll(part.Body)
		fmt.Println(part.Name, string(b), err)
	}
	// Output: a 1 <nil>
}

func ExampleProgress() {
	c := content.Progress(content.Text("12345678"), func(sent, total int64) { fmt.Println(sent, "of", total) })
	r, err := c.Open(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	io.Copy(io.Discard, r)
	// Output: 8 of 8
}
