package http3_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

// state is where an exchange stands still.
type state struct {
	name   string
	config http3.Config
	held   bool // by another request, which has what this one waits for
	other  bool // that is to another server
	change func(*engine.Request)
	reach  func(*engine.Request, func()) // calls the function when it is there; nil = the server tells
}

var states = []state{
	{name: "waiting for a place", config: http3.Config{MaxConcurrent: 1}, held: true, reach: func(_ *engine.Request, there func()) { there() }},
	{name: "waiting for a connection", config: http3.Config{MaxConnections: 1}, held: true, other: true, reach: onPoolWait},
	{name: "waiting for a stream", held: true, reach: onPoolWait},
	{name: "waiting for 100 Continue", config: http3.Config{ExpectContinueTimeout: time.Hour}, change: func(r *engine.Request) {
		r.Method, r.Header, r.Body = "POST", header.New("Expect", "100-continue"), content.Text("text")
	}, reach: func(r *engine.Request, there func()) { r.Trace = &engine.Trace{Wait100: there} }},
	{name: "waiting for the head"},
	{name: "sending the body", change: func(r *engine.Request) {
		r.Method, r.Body = "POST", content.Bytes(make([]byte, 1<<20), "")
	}},
	{name: "reading the request's body", change: func(r *engine.Request) {
		r.Method = "POST"
	}, reach: func(r *engine.Request, there func()) {
		in, _ := io.Pipe() // nobody writes
		r.Body = content.Reader(&told{in, there}, "", -1)
	}},
}

// told tells of its reads.
type told struct {
	io.ReadCloser
	there func()
}

func (b *told) Read(p []byte) (int, error) {
	b.there()
	return b.ReadCloser.Read(p)
}

func onPoolWait(r *engine.Request, there func()) {
	r.Trace = &engine.Trace{PoolWait: func(string) { there() }}
}

// stand brings an exchange into the state. The server answers when release is
// closed; done gets what became of the exchange.
func (st state) stand(ctx context.Context, t *testing.T) (e *http3.Engine, release chan struct{}, done chan error) {
	release, done = make(chan struct{}), make(chan error, 2)
	holding, reached := make(chan struct{}, 2), make(chan struct{})
	there := sync.OnceFunc(func() { close(reached) })
	serve := func() *script {
		return play(t, nil, func(n int, c *scripted, s *quic.Stream) {
			_, _ = s.Read(make([]byte, 10))
			if st.held && n == 0 {
				holding <- struct{}{}
			} else if st.reach == nil {
				there()
			}
			select {
			case <-release:
				answer(s, "ok")
				whole(s)
			case <-c.Context().Done():
			}
		}, func(c *quic.Config) {
			c.MaxIncomingStreams = 1
			c.InitialStreamReceiveWindow, c.MaxStreamReceiveWindow = 10_000, 10_000
		})
	}
	s := serve()
	e = newEngine(t, st.config)
	run := func(ctx context.Context, req *engine.Request) {
		resp, err := e.Execute(ctx, req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		done <- err
	}
	to := s
	if st.held {
		go run(t.Context(), request(t, "GET", s.URL))
		within(t, "the request that holds up the other", holding)
		if st.other {
			to = serve()
		}
	}
	req := request(t, "GET", to.URL)
	if st.change != nil {
		st.change(req)
	}
	if st.reach != nil {
		st.reach(req, there)
	}
	go run(ctx, req)
	within(t, "the state", reached)
	return e, release, done
}

// TestCancelInEachState: Execute returns at once, and holds nothing up.
func TestCancelInEachState(t *testing.T) {
	for _, st := range states {
		t.Run(st.name, func(t *testing.T) {
			leakcheck.Goroutines(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, release, done := st.stand(ctx, t)
			cancel()
			if err := within(t, "Execute after cancel", done); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			close(release)
			if st.held {
				if err := within(t, "the other request", done); err != nil {
					t.Errorf("the other request: %v", err)
				}
			}
		})
	}
}

// TestCloseInEachState: what has begun comes to its end, or is refused if it had
// not got a connection yet; then nothing is left.
func TestCloseInEachState(t *testing.T) {
	for _, st := range states {
		if st.name == "reading the request's body" {
			continue // it has no end but a cancellation
		}
		t.Run(st.name, func(t *testing.T) {
			leakcheck.Goroutines(t)
			e, release, done := st.stand(t.Context(), t)
			e.Close()
			if _, err := e.Execute(t.Context(), request(t, "GET", "https://example.test")); !errors.Is(err, engine.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
			close(release)
			n := 1
			if st.held {
				n = 2
			}
			refused := 0
			for range n {
				switch err := within(t, "the end of a request", done); {
				case errors.Is(err, engine.ErrClosed):
					refused++
				case err != nil:
					t.Errorf("%v", err)
				}
			}
			if refused > n-1 {
				t.Errorf("%d of %d requests were refused", refused, n)
			}
		})
	}
}
