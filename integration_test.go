package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
)

// onEngines runs f with a client on each real engine, against a real server.
func onEngines(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, c *godwit.Client, url string), opts ...godwit.ClientOption) {
	t.Helper()
	for name, factory := range testEngines() {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			c := godwit.New(append([]godwit.ClientOption{godwit.WithEngine(factory)}, opts...)...)
			defer c.Close()
			if err := c.Err(); err != nil {
				t.Fatal(err)
			}
			f(t, c, server.URL)
		})
	}
}

func oneConnection(c *engine.Config) { c.MaxConnectionsPerRoute = 1; c.Timeouts.Pool = 5 * time.Second }

// TestRefreshOnOneConnection: a login that answers a 401 by a request to the same
// host gets the only connection, because the 401 was discarded.
func TestRefreshOnOneConnection(t *testing.T) {
	auth := godwit.Intercept(godwit.SendAuth, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		resp, err := next(ctx, req)
		if err != nil || resp.Status != 401 {
			return resp, err
		}
		resp.Discard()
		login := req.URL.JoinPath("/token").String()
		token, err := godwit.Get[string](context.WithoutCancel(ctx), godwit.CallFrom(ctx).Client(), login)
		if err != nil {
			return nil, err
		}
		req = req.Clone()
		req.Header.Set("Authorization", "Bearer "+token)
		return next(ctx, req)
	})
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			io.WriteString(w, "secret")
		case r.Header.Get("Authorization") == "Bearer secret":
			io.WriteString(w, "hello")
		default:
			w.WriteHeader(401)
			io.WriteString(w, strings.Repeat("go away ", 10_000))
		}
	}, func(t *testing.T, c *godwit.Client, url string) {
		for range 3 {
			if s, err := godwit.Get[string](t.Context(), c, url); err != nil || s != "hello" {
				t.Fatalf("%q, %v", s, err)
			}
		}
	}, auth, godwit.EngineConfig(oneConnection))
}

// TestRetryInsideALimit: a limit of one attempt at a time, in phase Attempt, does
// not lock out the retry of the same call.
func TestRetryInsideALimit(t *testing.T) {
	limit := make(chan struct{}, 1)
	bulkhead := godwit.Intercept(godwit.SendAttempt, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		select {
		case limit <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		release := sync.OnceFunc(func() { <-limit })
		resp, err := next(ctx, req)
		if err != nil {
			release()
			return nil, err
		}
		resp.OnClose(func(error) { release() })
		return resp, nil
	})
	retry := godwit.Intercept(godwit.SendRetry, func(ctx context.Context, req *godwit.Request, next godwit.Handler) (*godwit.Response, error) {
		for {
			resp, err := next(ctx, req)
			if err != nil || resp.Status != 503 {
				return resp, err
			}
			resp.Discard()
		}
	})
	var mu sync.Mutex
	count := 0
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		count++
		n := count
		mu.Unlock()
		if n%3 != 0 {
			w.WriteHeader(503)
		}
		fmt.Fprint(w, n)
	}, func(t *testing.T, c *godwit.Client, url string) {
		for range 5 {
			if _, err := godwit.Get[int](t.Context(), c, url, godwit.Timeout(5*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}, bulkhead, retry, godwit.EngineConfig(oneConnection))
}

func TestJSONRoundTrip(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.WriteHeader(201)
		io.Copy(w, r.Body)
	}, func(t *testing.T, c *godwit.Client, url string) {
		in := user{1, "Ada \u2028 <b>"}
		if out, err := godwit.Post[user](t.Context(), c, url, in); err != nil || out != in {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

func TestRawHeadAndConnection(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x") }, func(t *testing.T, c *godwit.Client, url string) {
		for i := range 2 {
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url))
			if err != nil {
				t.Fatal(err)
			}
			if resp.RemoteAddr() == nil || "http://"+resp.RemoteAddr().String() != url || resp.LocalAddr() == nil || resp.TLS() != nil || resp.Reused() != (i == 1) {
				t.Errorf("request %d: %v %v reused %v", i, resp.RemoteAddr(), resp.LocalAddr(), resp.Reused())
			}
		}
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.RawHead()))
		if !c.Supports(engine.RawHead) {
			if _, ok := errors.AsType[*godwit.UnsupportedError](err); !ok {
				t.Errorf("RawHead: %v", err)
			}
		} else if err != nil || !strings.HasPrefix(string(resp.RawHead()), "HTTP/1.1 200 OK\r\n") {
			t.Errorf("RawHead: %q, %v", resp.RawHead(), err)
		}
	})
}

// TestUpgrade: the raw connection works both ways and ends with the response.
func TestUpgrade(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo/3.1" {
			w.WriteHeader(400)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/3.1\r\n\r\nhi")
		io.Copy(conn, rw)
	}, func(t *testing.T, c *godwit.Client, url string) {
		resp, err := c.Open(t.Context(), godwit.NewRequest("GET", url, godwit.Upgrade("echo/3.1"), godwit.Timeout(time.Minute)))
		if err != nil {
			t.Fatal(err)
		}
		conn := resp.Upgraded()
		io.WriteString(conn, "there")
		buf := make([]byte, 7)
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "hithere" {
			t.Errorf("%q, %v", buf, err)
		}
		c.Cancel()
		if _, err := conn.Read(buf); err == nil {
			t.Error("the connection outlives Cancel")
		}
		resp.Close()
		if _, err := c.Do(t.Context(), godwit.NewRequest("GET", url, godwit.Upgrade("echo"))); err == nil {
			t.Error("a buffered call was upgraded")
		}
		if err := c.Join(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDetach: a raw connection outlives its call, and is one of the client's until
// it is closed.
func TestDetach(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, rw)
	}, func(t *testing.T, c *godwit.Client, url string) {
		open := func() (*godwit.Response, *godwit.Detached) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel() // the connection does not end with it
			resp, err := c.Open(ctx, godwit.NewRequest("GET", url, godwit.Upgrade("echo")))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := resp.Detach()
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-resp.Call().Done():
			default:
				t.Error("the call goes on")
			}
			if _, err := resp.Detach(); err == nil {
				t.Error("detached twice")
			}
			resp.Close()
			return resp, conn
		}
		works := func(resp *godwit.Response) bool {
			io.WriteString(resp.Upgraded(), "ping")
			buf := make([]byte, 4)
			_, err := io.ReadFull(resp.Upgraded(), buf)
			return err == nil && string(buf) == "ping"
		}
		first, conn := open()
		second, kept := open()
		third, _ := open()
		if !works(first) || !works(second) || !works(third) {
			t.Error("a detached connection is closed")
		}
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if c.Join(short) == nil {
			t.Error("Join does not wait for detached connections")
		}
		if kept.Err() != nil {
			t.Error(kept.Err())
		}
		ended := kept.Done()
		conn.Close()
		conn.Close()
		<-conn.Done()
		if !errors.Is(conn.Err(), net.ErrClosed) {
			t.Errorf("closed: %v", conn.Err())
		}
		if works(first) || !works(second) {
			t.Error("Close closed another connection, or none")
		}
		c.Cancel()
		if works(second) || works(third) {
			t.Error("a connection outlives Cancel")
		}
		<-ended
		if !errors.Is(kept.Err(), context.Canceled) {
			t.Errorf("cancelled: %v", kept.Err())
		}
		kept.Close()
		if err := c.Join(t.Context()); err != nil {
			t.Error(err)
		}
		resp, err := c.Open(t.Context(), godwit.NewRequest("GET", url, godwit.Upgrade("echo")))
		if err != nil {
			t.Fatal(err)
		}
		resp.Close()
		if _, err := resp.Detach(); err == nil {
			t.Error("a closed connection was detached")
		}
	})
	c, _ := client(t, answers(mock.OK("")))
	if resp, err := c.Open(t.Context(), godwit.NewRequest("GET", base)); err != nil {
		t.Error(err)
	} else if _, err := resp.Detach(); err == nil {
		t.Error("a body was detached")
	} else {
		resp.Close()
	}
}

// TestSharedStream: 64 goroutines stream bodies of their own over one client.
func TestSharedStream(t *testing.T) {
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat(r.URL.RawQuery+"\n", 5000))
	}, func(t *testing.T, c *godwit.Client, url string) {
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				id := fmt.Sprintf("id=%d", i)
				for range 5 {
					err := c.Stream(t.Context(), godwit.NewRequest("GET", url+"?"+id), func(r *godwit.Response) error {
						b, err := io.ReadAll(r.Body)
						if string(b) != strings.Repeat(id+"\n", 5000) {
							t.Errorf("%s: got another's body", id)
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
	})
}

func TestTimings(t *testing.T) {
	slow := make(chan struct{})
	onEngines(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "2")
		http.NewResponseController(w).Flush()
		<-slow
		io.WriteString(w, "ok")
	}, func(t *testing.T, c *godwit.Client, url string) {
		url = strings.Replace(url, "127.0.0.1", "localhost", 1)
		for i := range 2 {
			req := godwit.NewRequest("POST", url, godwit.Timed(), godwit.Body(strings.Repeat("x", 1<<20)))
			resp, err := c.Open(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if m := resp.Call().Timings(); m.Total != 0 {
				t.Errorf("total of an open body: %v", m.Total)
			}
			slow <- struct{}{}
			if _, err := io.ReadAll(resp.Body); err != nil {
				t.Fatal(err)
			}
			m := resp.Call().Timings()
			if fresh := i == 0; m.Reused == fresh || (m.DNS > 0) != fresh || (m.Connect > 0) != fresh {
				t.Errorf("request %d: %+v", i, m)
			}
			if m.Send <= 0 || m.Body <= 0 || m.Remote == nil {
				t.Errorf("request %d: %+v", i, m)
			}
			wantWhole(t, m)
			resp.Close()
		}
		resp, err := c.Open(t.Context(), godwit.NewRequest("HEAD", url))
		if err != nil || resp.Call().Timings() != (godwit.Timings{}) {
			t.Errorf("untimed: %v", err)
		}
		resp.Close()
		slow <- struct{}{}
	})
}
