package http3_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
)

// The engine is one line of the program, as every other.
func Example() {
	c := godwit.New(godwit.WithEngine(http3.Config{}))
	defer c.Close()
	fmt.Println(c.Supports(engine.HTTP3), c.Supports(engine.HTTP1))
	// page, err := godwit.Get[string](ctx, c, "https://example.org/")
	// Output: true false
}

// GET and HEAD may go with the first packets of a resumed connection.
func ExampleConfig_earlyData() {
	c := godwit.New(godwit.WithEngine(http3.Config{EarlyData: true}))
	defer c.Close()
	fmt.Println(c.Err())
	// Output: <nil>
}

// A request for which a proxy is configured is refused, not sent around it.
func ExampleConfig_proxy() {
	proxy := engine.FixedProxy(&url.URL{Scheme: "http", Host: "proxy.example:3128"})
	c := godwit.New(godwit.WithEngine(http3.Config{Proxy: proxy}))
	defer c.Close()
	_, err := godwit.Get[string](context.Background(), c, "https://example.org/")
	refused, ok := errors.AsType[*godwit.UnsupportedError](err)
	fmt.Println(ok && refused.Capability == engine.HTTPProxy)
	// Output: true
}

// A stream after an extended CONNECT sends and receives datagrams.
func ExampleStream() {
	c := godwit.New(godwit.WithEngine(http3.Config{Datagrams: true}))
	defer c.Close()
	ping := func(ctx context.Context) error {
		resp, err := c.Open(ctx, godwit.NewRequest("GET", "https://example.org/", godwit.Upgrade("connect-udp")))
		if err != nil {
			return err
		}
		defer resp.Close()
		stream, ok := resp.Upgraded().(*http3.Stream)
		if !ok {
			return fmt.Errorf("the server answered %v", resp.Status)
		}
		defer stream.Close()
		if err := stream.SendDatagram([]byte("ping")); err != nil {
			return err
		}
		answer, err := stream.ReceiveDatagram(ctx)
		fmt.Printf("%s\n", answer)
		return err
	}
	_ = ping
}
