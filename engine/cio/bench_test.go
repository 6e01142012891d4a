package cio_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

// benchServer answers every request that comes in one piece by 100 bytes.
func benchServer(b testing.TB) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	body := make([]byte, 100)
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nContent-Type: text/plain\r\nServer: bench\r\nContent-Length: 100\r\n\r\n" + string(body))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := make([]byte, 4096)
				for {
					if _, err := c.Read(in); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String() + "/path"
}

func benchEngine(b testing.TB) *cio.Engine {
	e := cio.Config{Proxy: engine.NoProxy}.New(engine.Config{})
	b.Cleanup(func() { e.Close() })
	return e
}

func drain(b testing.TB, r io.ReadCloser, buf []byte) {
	n := 0
	for {
		m, err := r.Read(buf[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	r.Close()
	if n != 100 {
		b.Fatal(n)
	}
}

// BenchmarkGet is a GET of 100 bytes on a kept connection; the peers do the
// same by net/http.
func BenchmarkGet(b *testing.B) {
	cancellable := func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) }
	timed := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), time.Minute)
	}
	plain := func() (context.Context, context.CancelFunc) { return context.Background(), func() {} }
	for _, v := range []struct {
		name     string
		ctx      func() (context.Context, context.CancelFunc)
		deadline bool
	}{{"plain", plain, false}, {"deadline", plain, true}, {"cancel", cancellable, false}, {"timeout", timed, false}} {
		b.Run("cio/"+v.name, func(b *testing.B) {
			e := benchEngine(b)
			req := &engine.Request{Method: "GET", URL: mustURL(b, benchServer(b))}
			buf := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := v.ctx()
				if v.deadline {
					req.Deadline = time.Now().Add(time.Minute)
				}
				resp, err := e.Execute(ctx, req)
				if err != nil {
					b.Fatal(err)
				}
				drain(b, resp.Body, buf)
				cancel()
			}
		})
		if v.deadline {
			continue
		}
		b.Run("nethttp/"+v.name, func(b *testing.B) {
			tr := &http.Transport{}
			b.Cleanup(tr.CloseIdleConnections)
			url := benchServer(b)
			buf := make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := v.ctx()
				req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
				if err != nil {
					b.Fatal(err)
				}
				resp, err := tr.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				drain(b, resp.Body, buf)
				cancel()
			}
		})
	}
}
