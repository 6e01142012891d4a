// Command autobahn is an echo client for the fuzzing server of the Autobahn test
// suite: it runs every case, or those named on the command line by number, and
// has the server write its report.
//
//	go run ./websocket/internal/autobahn -url ws://127.0.0.1:9001
//
// The test of this package starts the server itself, if it is told where the
// suite is.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/websocket"
)

func main() {
	server := flag.String("url", "ws://127.0.0.1:9001", "the fuzzing server")
	agent := flag.String("agent", "godwit", "the name in the report")
	flag.Parse()
	client := godwit.New()
	defer client.Close()
	t := tester{client: client, server: *server, agent: *agent}
	if err := t.run(context.Background(), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// tester talks to one fuzzing server.
type tester struct {
	client *godwit.Client
	server string
	agent  string
}

// run runs the cases of the given numbers, or all, and has the report written.
func (t tester) run(ctx context.Context, cases []string) error {
	if len(cases) == 0 {
		n, err := t.count(ctx)
		if err != nil {
			return err
		}
		for i := range n {
			cases = append(cases, strconv.Itoa(i+1))
		}
	}
	for _, number := range cases {
		if err := t.one(ctx, number); err != nil {
			return fmt.Errorf("case %s: %w", number, err)
		}
	}
	return websocket.Session(ctx, t.client, t.server+"/updateReports?agent="+url.QueryEscape(t.agent), drain(ctx))
}

func (t tester) count(ctx context.Context) (n int, err error) {
	err = websocket.Session(ctx, t.client, t.server+"/getCaseCount", func(c *websocket.Conn) error {
		n, err = websocket.ReadJSON[int](ctx, c)
		return err
	})
	return n, err
}

// one echoes until the server ends the case; how it does so is the server's to
// judge.
func (t tester) one(ctx context.Context, number string) error {
	c, err := websocket.Dial(ctx, t.client, t.server+"/runCase?case="+number+"&agent="+url.QueryEscape(t.agent),
		websocket.Compress(websocket.Compression{Threshold: 1}), websocket.ReadLimit(64<<20))
	if err != nil {
		return err
	}
	defer c.CloseNow()
	var m websocket.Message
	for {
		if m, err = c.ReadInto(ctx, m.Data[:0]); err != nil {
			return nil
		}
		if err := c.Write(ctx, m.Type, m.Data); err != nil {
			return nil
		}
	}
}

// drain reads until the connection is closed.
func drain(ctx context.Context) func(*websocket.Conn) error {
	return func(c *websocket.Conn) error {
		for _, err := range c.Messages(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	}
}
