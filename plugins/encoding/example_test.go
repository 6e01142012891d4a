package encoding_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/plugins/encoding"
)

func Example() {
	ctx := context.Background()
	c := godwit.New(
		godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Func(echo)}}), // in place of a server
		godwit.Install(encoding.New(encoding.Config{Accept: []string{"zstd", "br", "gzip;q=0.5"}})),
	)
	defer c.Close()

	log := strings.Repeat("godwits fly far. ", 100)
	resp, err := c.Do(ctx, godwit.NewRequest("POST", "https://example.org/log", godwit.Body(log), encoding.Compress("br")))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("sent as", resp.Header.Get("X-Sent"), "of", resp.Header.Get("X-Length"), "bytes")
	fmt.Println("answered", len(resp.Bytes()), "bytes as", resp.Decoded)
	// Output:
	// sent as br of 32 bytes
	// answered 1700 bytes as [br]
}

// echo answers what it gets, as it gets it.
func echo(_ context.Context, req *mock.Request) (*mock.Response, error) {
	coding := req.Header.Get("Content-Encoding")
	return mock.Bytes(200, "text/plain", req.Body()).WithHeader("Content-Encoding", coding, "X-Sent", coding, "X-Length", fmt.Sprint(len(req.Body()))), nil
}

func ExampleCodec() {
	gzip := encoding.Gzip()
	fast := encoding.Codec{Name: "x-fast", NewReader: gzip.NewReader, NewWriter: gzip.NewWriter}
	c := godwit.New(
		godwit.WithEngineInstance(mock.Serve(mock.OK("hello"))),
		godwit.Install(encoding.New(encoding.Config{Codecs: []encoding.Codec{fast, encoding.Zstd()}})),
	)
	defer c.Close()
	resp, err := c.Do(context.Background(), godwit.NewRequest("GET", "https://example.org/"))
	fmt.Println(resp.Request().Header.Get("Accept-Encoding"), err)
	// Output: x-fast, zstd <nil>
}
