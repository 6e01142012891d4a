//go:build unix

package cio_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// pipeliningServer answers each request by 100 bytes, those that come in one
// piece by one piece.
func pipeliningServer(b testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\nServer: bench\r\nContent-Length: 100\r\n\r\n" + string(make([]byte, 100)))
	answers := bytes.Repeat(answer, 64)
	end := []byte("\r\n\r\n")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in, have := make([]byte, 16<<10), 0
				for {
					n, err := c.Read(in[have:])
					if err != nil {
						return
					}
					have += n
					count := bytes.Count(in[:have], end)
					rest := in[:have]
					if count > 0 {
						rest = in[bytes.LastIndex(in[:have], end)+len(end) : have]
					}
					have = copy(in, rest)
					if _, err := c.Write(answers[:count*len(answer)]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String() + "/path"
}

// BenchmarkPipelining is a GET of 100 bytes by 20 goroutines: by one connection,
// and, by the peers, by 20. The server runs in the same process; cpu-ns/op is
// the processor time of both.
func BenchmarkPipelining(b *testing.B) {
	const callers = 20
	run := func(b *testing.B, one func(buf []byte)) {
		var left atomic.Int64
		left.Store(int64(b.N))
		var before, after syscall.Rusage
		b.ReportAllocs()
		b.ResetTimer()
		cpuTime(&before)
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				buf := make([]byte, 4096)
				for left.Add(-1) >= 0 {
					one(buf)
				}
			})
		}
		wg.Wait()
		cpuTime(&after)
		used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
	}
	for _, v := range []struct {
		name   string
		config cio.Config
		limit  time.Duration
	}{
		{"cio/pipelined", cio.Config{Pipelining: true, MaxConnectionsPerRoute: 1}, 0},
		{"cio/pipelined, deadline", cio.Config{Pipelining: true, MaxConnectionsPerRoute: 1}, time.Minute},
		{"cio/20 connections", cio.Config{}, 0},
	} {
		b.Run(v.name, func(b *testing.B) {
			v.config.Proxy = engine.NoProxy
			e := v.config.New(engine.Config{})
			b.Cleanup(func() { e.Close() })
			u := mustURL(b, pipeliningServer(b))
			run(b, func(buf []byte) {
				req := &engine.Request{Method: "GET", URL: u}
				if v.limit > 0 {
					req.Deadline = time.Now().Add(v.limit)
				}
				resp, err := e.Execute(context.Background(), req)
				if err != nil {
					b.Error(err)
					return
				}
				drain(b, resp.Body, buf)
			})
		})
	}
	b.Run("nethttp/20 connections", func(b *testing.B) {
		tr := &http.Transport{MaxIdleConnsPerHost: callers}
		b.Cleanup(tr.CloseIdleConnections)
		u := pipeliningServer(b)
		run(b, func(buf []byte) {
			req, err := http.NewRequest("GET", u, nil)
			if err != nil {
				b.Error(err)
				return
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				b.Error(err)
				return
			}
			drain(b, resp.Body, buf)
		})
	})
}

func cpuTime(u *syscall.Rusage) { syscall.Getrusage(syscall.RUSAGE_SELF, u) }
