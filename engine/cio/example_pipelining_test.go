package cio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// Many small GETs to one host share a connection; at most 8 of them are
// unanswered at a time.
func ExampleConfig_pipelining() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go echo(&peerConn{Conn: c, Reader: bufio.NewReader(c)})
		}
	}()
	e := cio.Config{Pipelining: true, PipelineMaxSize: 8, MaxConnectionsPerRoute: 1, Proxy: engine.NoProxy}.New(engine.Config{})
	defer e.Close()
	answers := make([]string, 5)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			u := &url.URL{Scheme: "http", Host: ln.Addr().String(), Path: fmt.Sprintf("/%d", i)}
			resp, err := e.Execute(context.Background(), &engine.Request{Method: "GET", URL: u})
			if err != nil {
				fmt.Println(err)
				return
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			answers[i] = string(b)
		})
	}
	wg.Wait()
	fmt.Println(answers, e.Stats().Open)
	// Output: [GET /0 GET /1 GET /2 GET /3 GET /4] 1
}
