// Command quickstart runs one program on five engines: cio, nethttp, h2, http3 and
// auto. Only the line that names the engine differs. It starts a server on this
// machine, over TCP and over QUIC, and checks every answer:
//
//	go run ./quickstart
//
// It is a program of its own beside examples/quickstart, since godwit itself does
// not depend on quic-go.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/auto"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// engines are what carries the requests, and how the last of them should go.
var engines = []struct {
	line   string
	config engine.Factory
	proto  []string
}{
	{"cio.Config{}", cio.Config{}, []string{"HTTP/1.1", "HTTP/2.0"}},
	{"nethttp.Config{}", nethttp.Config{}, []string{"HTTP/2.0"}},
	{"h2.Config{}", h2.Config{}, []string{"HTTP/2.0"}},
	{"http3.Config{}", http3.Config{}, []string{"HTTP/3.0"}},
	{"auto.Config{}", auto.Config{HeadStart: 5 * time.Second}, []string{"HTTP/3.0"}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := tour(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart failed:", err)
		os.Exit(1)
	}
}

// tour runs the program on each engine.
func tour(ctx context.Context, out io.Writer) error {
	s, err := startServer()
	if err != nil {
		return err
	}
	defer s.close()
	for _, e := range engines {
		fmt.Fprintf(out, "\n== godwit.New(godwit.WithEngine(%s), …)\n", e.line)
		err := godwit.Use(ctx, func(ctx context.Context, c *godwit.Client) error { return program(ctx, c, out, e.proto) },
			godwit.WithEngine(e.config), godwit.BaseURL(s.url),
			godwit.EngineConfig(func(c *engine.Config) {
				c.TLS, c.Proxy = &tls.Config{RootCAs: s.roots}, engine.NoProxy
			}))
		if err != nil {
			return fmt.Errorf("%s: %w", e.line, err)
		}
	}
	return nil
}

// User is what the server keeps.
type User struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

// program is the same for all engines.
func program(ctx context.Context, c *godwit.Client, out io.Writer, protos []string) error {
	ada := User{7, "Ada"}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"POST of a struct, JSON there and back", func() error {
			made, err := godwit.Post[User](ctx, c, "/users", ada)
			return expect(err, made, ada)
		}},
		{"GET of a struct", func() error {
			got, err := godwit.Get[User](ctx, c, "/users/{id}", godwit.PathParam("id", 7))
			return expect(err, got, ada)
		}},
		{"a redirect", func() error {
			got, err := godwit.Get[User](ctx, c, "/moved")
			return expect(err, got, ada)
		}},
		{"an error with status", func() error {
			_, err := godwit.Get[User](ctx, c, "/users/8")
			status, _ := errors.AsType[*godwit.StatusError](err)
			if status == nil {
				return fmt.Errorf("got %v, want a StatusError", err)
			}
			return expect(nil, int(status.Response.Status), 404)
		}},
		{"a timeout", func() error {
			_, err := godwit.Get[string](ctx, c, "/never", godwit.Timeout(50*time.Millisecond))
			return expect(nil, errors.Is(err, context.DeadlineExceeded), true)
		}},
		{"an upload of 4 MiB", func() error {
			body := bytes.Repeat([]byte("godwit"), 4<<20/6)
			sum, err := godwit.Post[string](ctx, c, "/sum", body)
			return expect(err, sum, fmt.Sprintf("%x", sha256.Sum256(body)))
		}},
		{"a download, streamed", func() error { return download(ctx, c) }},
		{"how it went: one of " + fmt.Sprint(protos), func() error {
			resp, err := godwit.Get[*godwit.Response](ctx, c, "/users/7")
			if err != nil {
				return err
			}
			for _, proto := range protos {
				if resp.Proto == proto {
					return nil
				}
			}
			return fmt.Errorf("it went by %s", resp.Proto)
		}},
	} {
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Fprintln(out, "ok:", step.name)
	}
	return nil
}

func download(ctx context.Context, c *godwit.Client) error {
	return c.Stream(ctx, godwit.NewRequest("GET", "/large"), func(r *godwit.Response) error {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil {
			return err
		}
		return expect(nil, fmt.Sprintf("%x", h.Sum(nil)), fmt.Sprintf("%x", sha256.Sum256(large)))
	})
}

func expect[T comparable](err error, got, want T) error {
	if err == nil && got != want {
		err = fmt.Errorf("got %v, want %v", got, want)
	}
	return err
}
