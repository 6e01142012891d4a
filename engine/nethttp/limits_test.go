package nethttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

// waits returns a request whose trace tells when it asks for a connection.
func waits(t *testing.T, rawURL string) (*engine.Request, chan struct{}) {
	asked := make(chan struct{}, 10)
	req := request(t, rawURL)
	req.Trace = &engine.Trace{PoolWait: func(string) { asked <- struct{}{} }}
	return req, asked
}

func TestLimits(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config nethttp.Config
		shared engine.Config
	}{
		{"per route", nethttp.Config{MaxConnectionsPerRoute: 1}, engine.Config{}},
		{"in all", nethttp.Config{MaxConnections: 1}, engine.Config{}},
		{"shared configuration", nethttp.Config{}, engine.Config{MaxConnections: 1}},
		{"concurrent", nethttp.Config{MaxConcurrent: 1}, engine.Config{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			leakcheck.Goroutines(t)
			s, began, release := held(t)
			e := newEngine(t, tc.config, tc.shared)
			done := make(chan result, 10)
			start(t.Context(), t, e, request(t, s.URL+"/0"), done)
			<-began

			late := request(t, s.URL+"/late")
			late.Timeouts.Pool = 20 * time.Millisecond
			_, err := e.Execute(t.Context(), late)
			if op(err) != engine.OpPool || kind(err) != engine.KindPool || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error = %v, want the pool's timeout", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, err := e.Execute(ctx, request(t, s.URL+"/ended")); op(err) != engine.OpPool || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error = %v, want the context's", err)
			}

			start(t.Context(), t, e, request(t, s.URL+"/1"), done)
			close(release)
			for range 2 {
				if r := <-done; r.err != nil {
					t.Errorf("%s: %v", r.path, r.err)
				}
			}
			if got := <-began; got != "/1" {
				t.Errorf("the server saw %s, want /1 alone", got)
			}
			e.Close()
			s.conns.WaitClosed(t)
		})
	}
}

// TestPhaseOfTheAttempt: a limit is reached where the attempt is, wherever the one
// before it failed.
func TestPhaseOfTheAttempt(t *testing.T) {
	s, began, release := held(t)
	var refused atomic.Bool
	var e engine.Engine
	done := make(chan result, 1)
	e = newEngine(t, nethttp.Config{
		MaxConnectionsPerRoute: 1,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !refused.Swap(true) {
				return nil, errors.New("refused")
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
		NetworkInterceptors: []func(http.RoundTripper) http.RoundTripper{func(rt http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := rt.RoundTrip(r)
				if err == nil {
					return resp, nil
				}
				start(t.Context(), t, e, request(t, s.URL), done)
				<-began
				return rt.RoundTrip(r)
			})
		}},
	}, engine.Config{})
	req := request(t, s.URL)
	req.Timeouts.Pool = 20 * time.Millisecond
	if _, err := e.Execute(t.Context(), req); op(err) != engine.OpPool || kind(err) != engine.KindPool {
		t.Errorf("error = %v, want the pool's timeout", err)
	}
	close(release)
	if r := <-done; r.err != nil {
		t.Error(r.err)
	}
}

// TestTotalLimitOverRoutes: an idle connection to one host makes room for
// another host.
func TestTotalLimitOverRoutes(t *testing.T) {
	e := newEngine(t, nethttp.Config{MaxConnections: 1}, engine.Config{})
	a, b := serve(t, false, nil, ok), serve(t, false, nil, ok)
	for range 3 {
		send(t, e, request(t, a.URL))
		send(t, e, request(t, b.URL))
	}
	held, began, release := held(t)
	done := make(chan result, 2)
	start(t.Context(), t, e, request(t, held.URL), done)
	<-began
	req, asked := waits(t, a.URL)
	start(t.Context(), t, e, req, done)
	<-asked
	if n := a.conns.Accepted(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	close(release)
	for range 2 {
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
	}
}

func TestConcurrentSlotEndsWithTheBody(t *testing.T) {
	s := serve(t, false, nil, ok)
	e := newEngine(t, nethttp.Config{MaxConcurrent: 1}, engine.Config{})
	resp, err := e.Execute(t.Context(), request(t, s.URL))
	if err != nil {
		t.Fatal(err)
	}
	req, asked := waits(t, s.URL)
	req.Timeouts.Pool = 10 * time.Millisecond
	if _, err := e.Execute(t.Context(), req); kind(err) != engine.KindPool {
		t.Errorf("error = %v, want the pool's timeout", err)
	}
	if len(asked) != 0 {
		t.Error("the waiting exchange asked for a connection")
	}
	resp.Body.Close()
	send(t, e, request(t, s.URL))
}

// TestCloseRefusesWhoWaits: by MaxConcurrent, at once.
func TestCloseRefusesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		dial := func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
					<-release
					io.WriteString(server, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
			return client, nil
		}
		e := newEngine(t, nethttp.Config{MaxConcurrent: 1, Dial: dial}, engine.Config{})
		first, waiting := make(chan result, 1), make(chan result, 1)
		start(t.Context(), t, e, request(t, "http://a.example"), first)
		synctest.Wait()
		req := request(t, "http://a.example")
		req.Timeouts.Pool = time.Minute
		start(t.Context(), t, e, req, waiting)
		synctest.Wait()
		e.Close()
		if r := <-waiting; op(r.err) != engine.OpBuild || !errors.Is(r.err, engine.ErrClosed) {
			t.Errorf("error = %v, want ErrClosed", r.err)
		}
		close(release)
		if r := <-first; r.err != nil {
			t.Error(r.err)
		}
	})
}

// dialer counts the connections that are open at the same time.
type dialer struct {
	mu        sync.Mutex // guards what follows
	open, max int
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open++
	d.max = max(d.max, d.open)
	return &dialled{Conn: c, d: d}, nil
}

type dialled struct {
	net.Conn
	d    *dialer
	once sync.Once
}

func (c *dialled) Close() error {
	c.once.Do(func() {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		c.d.open--
	})
	return c.Conn.Close()
}

// TestQueue: all that wait are served, with no more than the connections there
// may be.
func TestQueue(t *testing.T) {
	s, began, release := held(t)
	d := &dialer{}
	e := newEngine(t, nethttp.Config{MaxConnections: 2, Dial: d.dial}, engine.Config{})
	done := make(chan result, 10)
	start(t.Context(), t, e, request(t, s.URL+"/0"), done)
	<-began
	for i := 1; i <= 4; i++ {
		req, asked := waits(t, fmt.Sprint(s.URL, "/", i))
		start(t.Context(), t, e, req, done)
		<-asked
	}
	<-began // on the second connection
	close(release)
	got := map[string]bool{}
	for range 5 {
		r := <-done
		if r.err != nil {
			t.Error(r.err)
		}
		got[r.path] = true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(got) != 5 || d.max != 2 {
		t.Errorf("served %v on %d connections, want 2", got, d.max)
	}
}

func TestUpgradeHoldsTheSlot(t *testing.T) {
	s := serve(t, false, nil, upgrade)
	e := newEngine(t, nethttp.Config{MaxConnections: 1, MaxConcurrent: 1}, engine.Config{})
	req := request(t, s.URL)
	req.Protocol = "echo"
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 101 || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("response = %+v", resp)
	}
	other := request(t, s.URL)
	other.Timeouts.Pool = 10 * time.Millisecond
	if _, err := e.Execute(t.Context(), other); kind(err) != engine.KindPool {
		t.Errorf("error = %v, want the pool's timeout", err)
	}
	got := make([]byte, 5)
	_, _ = io.WriteString(resp.Upgraded, "hello")
	if _, err := io.ReadFull(resp.Upgraded, got); err != nil || string(got) != "hello" {
		t.Errorf("echo = %q, %v", got, err)
	}
	_ = resp.Upgraded.(interface{ SetReadDeadline(time.Time) error }).SetReadDeadline(time.Unix(1, 0))
	if _, err := resp.Upgraded.Read(got); !engine.IsTimeout(err) {
		t.Errorf("read after the deadline = %v", err)
	}
	resp.Upgraded.Close()
	send(t, e, request(t, s.URL))
}
