package retry_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/plugins/retry"
)

// onSockets runs f with clients on the engines that have a wire: without hedging,
// with hedging that never sends a second request, and with one that does at once.
func onSockets(t *testing.T, config retry.Config, f func(t *testing.T, c *godwit.Client)) {
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		for hedge, delay := range map[string]time.Duration{"alone": 0, "hedged": time.Hour, "hedging": time.Millisecond} {
			t.Run(name+"/"+hedge, func(t *testing.T) {
				config := config
				config.Hedge.Delay = delay
				config.BaseDelay, config.MaxDelay, config.Budget.Ratio = time.Millisecond, time.Millisecond, -1
				c := godwit.New(godwit.WithEngine(factory), godwit.Install(retry.New(config)),
					godwit.EngineConfig(func(e *engine.Config) { e.Proxy = engine.NoProxy }))
				if err := c.Err(); err != nil {
					t.Fatal(err)
				}
				f(t, c)
				c.Close()
				if err := c.Join(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestBodiesOnSockets: what goes wrong in the body of the first answers.
func TestBodiesOnSockets(t *testing.T) {
	for _, row := range []struct {
		name string
		bad  http.HandlerFunc
		opts []godwit.Option
		want error // of the call, which is then not repeated; nil = it ends well
	}{
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, nil},
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, nil, nil},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "012")
		}, nil, nil},
		{"cut chunks", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "012")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, nil, nil},
		{"cut gzip", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "\x1f\x8b\x08")
		}, nil, nil},
		{"stalled", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "012")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, []godwit.Option{godwit.AttemptTimeout(100 * time.Millisecond)}, nil},
		{"too large", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "0123456789") },
			[]godwit.Option{godwit.MaxBody(5)}, godwit.ErrBodyTooLarge},
	} {
		t.Run(row.name, func(t *testing.T) {
			var bad atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if bad.Add(-1) >= 0 {
					row.bad(w, r)
					return
				}
				io.WriteString(w, "ok")
			}))
			defer server.Close()
			onSockets(t, retry.Config{}, func(t *testing.T, c *godwit.Client) {
				bad.Store(2) // both requests of a hedged attempt
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", server.URL, row.opts...))
				switch {
				case row.want != nil:
					if !errors.Is(err, row.want) || bad.Load() < 0 {
						t.Errorf("%v, and %d requests, want %v", err, 2-bad.Load(), row.want)
					}
				case err != nil || resp.Text() != "ok":
					t.Errorf("%v, %v", resp, err)
				}
			})
		})
	}
}

// TestHedgeOnSockets: the server sees that the slow request is given up.
func TestHedgeOnSockets(t *testing.T) {
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int32
			gone := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n.Add(1) == 1 {
					<-r.Context().Done()
					close(gone)
					return
				}
				io.WriteString(w, "second")
			}))
			defer server.Close()
			c := godwit.New(godwit.WithEngine(factory), godwit.Install(retry.New(retry.Config{Hedge: retry.Hedge{Delay: 20 * time.Millisecond}})),
				godwit.EngineConfig(func(e *engine.Config) { e.Proxy = engine.NoProxy }))
			defer c.Close()
			err := c.Stream(t.Context(), godwit.NewRequest("GET", server.URL), func(r *godwit.Response) error {
				text, err := io.ReadAll(r.Body)
				if string(text) != "second" || r.Call().Sends() != 2 {
					t.Errorf("%q after %d sends", text, r.Call().Sends())
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			select {
			case <-gone:
			case <-time.After(10 * time.Second):
				t.Error("the slow request goes on")
			}
		})
	}
}

// TestOnSockets: from 64 goroutines, while every other connection breaks.
func TestOnSockets(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var n atomic.Int32
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				if _, err := conn.Read(buf); err != nil || n.Add(1)%2 == 1 {
					return
				}
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
			})
		}
	})
	onSockets(t, retry.Config{Max: 40}, func(t *testing.T, c *godwit.Client) {
		_, err := godwit.Parallel(t.Context(), 64, make([]int, 192), func(ctx context.Context, _ int) (string, error) {
			s, err := godwit.Get[string](ctx, c, "http://"+l.Addr().String(), godwit.MaxSends(80))
			if err == nil && s != "ok" {
				t.Errorf("%q", s)
			}
			return s, err
		})
		if err != nil {
			t.Error(err)
		}
	})
	l.Close()
	all.Wait()
}
