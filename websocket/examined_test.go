package websocket_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// brisk takes what is written nearly at once.
type brisk struct{ net.Conn }

func (b brisk) Write(p []byte) (int, error) {
	if len(p) > 1<<10 { // not a ping, for which nobody waits
		<-time.After(1_000_700 * time.Nanosecond)
	}
	return b.Conn.Write(p)
}

// TestKeepAliveUpload: a message that is sent fast, and for longer than keep-alive
// waits, is a sign of life.
func TestKeepAliveUpload(t *testing.T) {
	const size = 40 << 20
	piped(t, func(c net.Conn) io.ReadWriteCloser { return brisk{c} }, func(p *peer) {
		io.CopyN(io.Discard, p.r, size)
		p.send(ws.Text, "done")
		p.rest()
	}, func(t *testing.T, s *scene) {
		c := s.dial(websocket.KeepAlive(100*time.Millisecond, 100*time.Millisecond))
		wrote := make(chan error, 1)
		began := time.Now()
		go func() { wrote <- c.Write(t.Context(), websocket.Binary, make([]byte, size)) }()
		m, err := c.Read(t.Context())
		if err != nil || m.String() != "done" || time.Since(began) < 600*time.Millisecond {
			t.Errorf("%q, %v after %v", m.Data, err, time.Since(began))
		}
		if err := <-wrote; err != nil {
			t.Errorf("Write: %v", err)
		}
	})
}

// TestKeepAliveShortReads: reads that are given up add up.
func TestKeepAliveShortReads(t *testing.T) {
	for name, row := range map[string]struct {
		script func(*peer)
		pause  time.Duration // between two reads
		alive  bool
	}{
		"deaf":            {(*peer).rest, 0, false},
		"deaf, pauses":    {(*peer).rest, 31 * time.Millisecond, false},
		"answers":         {echo, 0, true},
		"answers, pauses": {echo, 631 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, agreeing(), row.script, func(t *testing.T, s *scene) {
				c, began := s.dial(websocket.KeepAlive(300*time.Millisecond, 200*time.Millisecond)), time.Now()
				err := context.DeadlineExceeded
				for errors.Is(err, context.DeadlineExceeded) && time.Since(began) < 10*time.Second {
					ctx, cancel := context.WithTimeout(t.Context(), 77*time.Millisecond)
					_, err = c.Read(ctx)
					cancel()
					<-time.After(row.pause)
				}
				if _, dead := errors.AsType[*websocket.PongTimeoutError](err); dead == row.alive || dead && time.Since(began) > time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// TestClientCloseEndsWait: what is refused is not waited for.
func TestClientCloseEndsWait(t *testing.T) {
	for name, when := range map[string]func(error) bool{"Temporary": nil, "always": func(error) bool { return true }} {
		t.Run(name, func(t *testing.T) {
			bubble(t, agreeing(), leaving, func(t *testing.T, s *scene) {
				c, began := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Hour, When: when})), time.Now()
				time.AfterFunc(time.Minute, func() { s.client.Close() })
				_, err := c.Read(t.Context())
				if !errors.Is(err, godwit.ErrClientClosed) || websocket.Temporary(err) || time.Since(began) != time.Minute {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if _, again := c.Read(t.Context()); again != err {
					t.Errorf("the next Read: %v", again)
				}
				if err := s.client.Join(t.Context()); err != nil {
					t.Errorf("the client still knows of it: %v", err)
				}
			})
		})
	}
}

// after answers as a does, but late.
func after(d time.Duration, a answer) answer {
	return func(r *http.Request) (int, http.Header) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		return a(r)
	}
}

// polled reads with little time until there is something, or an error of another
// kind, or too much time has gone.
func polled(t *testing.T, c *websocket.Conn, each, most time.Duration) (m websocket.Message, err error) {
	for began := time.Now(); time.Since(began) < most; {
		ctx, cancel := context.WithTimeout(t.Context(), each)
		m, err = c.Read(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return m, err
		}
	}
	return m, err
}

// TestSlowHandshake: an attempt to connect again outlives the callers.
func TestSlowHandshake(t *testing.T) {
	var handshakes atomic.Int32
	counted := func(a answer) answer {
		return func(r *http.Request) (int, http.Header) {
			handshakes.Add(1)
			return a(r)
		}
	}
	policy := websocket.Reconnect{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond, Attempts: 3}
	slow, never := 151*time.Millisecond, time.Hour
	for _, row := range []struct {
		name  string
		a     answer
		want  string // message or error
		count int32
	}{
		{"agrees", inTurn(agreeing(), after(slow, agreeing())), "again", 2},
		{"refuses", inTurn(agreeing(), after(slow, refusing(500))), "gave up after 3 attempts", 4},
		{"says nothing", inTurn(agreeing(), after(never, agreeing())), "gave up after 3 attempts to reconnect: websocket: an attempt to connect again took longer", 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			handshakes.Store(0)
			var conns atomic.Int32
			bubble(t, counted(row.a), func(p *peer) {
				if conns.Add(1) > 1 {
					p.send(ws.Text, "again")
					p.rest()
				}
			}, func(t *testing.T, s *scene) {
				c := s.dial(websocket.WithReconnect(policy))
				m, err := polled(t, c, 97*time.Millisecond, 5*time.Minute)
				if got := m.String() + fmt.Sprint(err); !strings.Contains(got, row.want) || handshakes.Load() != row.count {
					t.Errorf("%s; %d handshakes", got, handshakes.Load())
				}
			})
		})
	}
}

// TestAttemptEnds: what ends an attempt that nobody waits for any more.
func TestAttemptEnds(t *testing.T) {
	for name, end := range map[string]func(*scene, *websocket.Conn){
		"Close":  func(_ *scene, c *websocket.Conn) { c.Close(1000, "") },
		"Cancel": func(s *scene, _ *websocket.Conn) { s.client.Cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, inTurn(agreeing(), after(time.Hour, agreeing())), leaving, func(t *testing.T, s *scene) {
				c, began := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Millisecond})), time.Now()
				if _, err := polled(t, c, time.Second, 3*time.Second); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				end(s, c)
				if err := s.client.Join(t.Context()); err != nil || time.Since(began) > 10*time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if err := c.Write(t.Context(), websocket.Text, nil); err == nil {
					t.Error("Write succeeds")
				}
			})
		})
	}
}

// TestSubscribeFails: a panic is an error of the attempt, as is a time of its own
// that was over.
func TestSubscribeFails(t *testing.T) {
	var runs atomic.Int32
	for name, row := range map[string]struct {
		subscribe func(ctx context.Context) error
		want      string
	}{
		"panic": {func(context.Context) error { panic("boom") }, "gave up after 2 attempts to reconnect: websocket: subscribe: Reconnect.Subscribe panicked: boom"},
		"late": {func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		}, "gave up after 2 attempts to reconnect: websocket: subscribe: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			runs.Store(0)
			bubble(t, agreeing(), leaving, func(t *testing.T, s *scene) {
				c := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Millisecond, Attempts: 2,
					Subscribe: func(ctx context.Context, _ *websocket.Conn) error { runs.Add(1); return row.subscribe(ctx) }}))
				if _, err := c.Read(t.Context()); err == nil || !strings.Contains(err.Error(), row.want) || runs.Load() != 2 {
					t.Errorf("%v; %d runs", err, runs.Load())
				}
			})
		})
	}
}

// TestNotTemporary: what another attempt would meet again.
func TestNotTemporary(t *testing.T) {
	c := godwit.New(godwit.WithEngineInstance(scripted{}))
	defer c.Close()
	dial := func(c *godwit.Client, url string, opts ...websocket.Option) error {
		_, err := websocket.Dial(t.Context(), c, url, opts...)
		return err
	}
	call := func(op engine.Op, err error) error {
		return &godwit.Error{Op: op, Err: &engine.OpError{Op: op, Err: err}}
	}
	var none context.Context
	_, noContext := websocket.Dial(none, c, "ws://h.test/")
	for name, row := range map[string]struct {
		err  error
		want bool
	}{
		"the end of a context":  {context.DeadlineExceeded, false},
		"in a call":             {call(engine.OpReceive, context.DeadlineExceeded), false},
		"a timeout":             {call(engine.OpReceive, &godwit.TimeoutError{}), true},
		"the network's":         {call(engine.OpConnect, &net.OpError{Op: "dial", Err: context.DeadlineExceeded}), true},
		"refused":               {call(engine.OpConnect, errors.New("refused")), true},
		"unknown authority":     {call(engine.OpTLS, x509.UnknownAuthorityError{}), false},
		"redirects":             {call(engine.OpSend, godwit.ErrTooManyRedirects), false},
		"unsupported":           {&godwit.UnsupportedError{}, false},
		"PROTOCOL_ERROR":        {call(engine.OpReceive, &h2.ResetError{Code: h2.CodeProtocol}), false},
		"HTTP_1_1_REQUIRED":     {call(engine.OpReceive, &h2.ResetError{Code: h2.CodeHTTP11Required}), false},
		"REFUSED_STREAM":        {call(engine.OpReceive, &h2.ResetError{Code: h2.CodeRefusedStream}), true},
		"reset later":           {fmt.Errorf("websocket: read: %w", &h2.ResetError{Code: h2.CodeProtocol}), true},
		"StatusError 503":       {&godwit.Error{Err: &godwit.StatusError{Response: godwit.NewResponse(nil, 503, header.Header{}, nil)}}, true},
		"StatusError 403":       {&godwit.Error{Err: &godwit.StatusError{Response: godwit.NewResponse(nil, 403, header.Header{}, nil)}}, false},
		"scheme":                {dial(c, "ftp://h.test/"), false},
		"fragment":              {dial(c, "ws://h.test/#x"), false},
		"option":                {dial(c, "ws://h.test/", websocket.ReadLimit(-1)), false},
		"option of the request": {dial(c, "ws://h.test/", godwit.Timeout(-1)), false},
		"no URL":                {dial(c, ""), false},
		"no context":            {noContext, false},
	} {
		if row.err == nil || websocket.Temporary(row.err) != row.want {
			t.Errorf("%s: %v", name, row.err)
		}
	}
}

// TestCloseBehindWriter: the server's close frame is answered behind a frame that
// is being written, if the context allows it.
func TestCloseBehindWriter(t *testing.T) {
	var over chan struct{}
	piped(t, nil, func(p *peer) {
		<-time.After(200 * time.Millisecond)
		p.close(1001, "")
		<-over
	}, func(t *testing.T, s *scene) {
		over = make(chan struct{})
		defer close(over)
		c, wrote := s.dial(), make(chan error, 1)
		go func() { wrote <- c.Write(context.Background(), websocket.Binary, make([]byte, 1<<20)) }()
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := c.Read(ctx); websocket.CloseStatus(err) != 1001 || time.Since(began) != 400*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-wrote; err == nil {
			t.Error("Write succeeds")
		}
	})
	// The same where nobody writes but nobody takes anything either.
	piped(t, nil, func(p *peer) {
		p.close(1001, "")
		<-over
	}, func(t *testing.T, s *scene) {
		over = make(chan struct{})
		defer close(over)
		c, began := s.dial(), time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		if _, err := c.Read(ctx); websocket.CloseStatus(err) != 1001 || time.Since(began) != 300*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestAbandonedInFrame: a read that is given up inside a frame tells the server if
// that takes no time.
func TestAbandonedInFrame(t *testing.T) {
	var over chan struct{}
	piped(t, nil, func(p *peer) {
		p.raw("\x82\x05ab")
		<-over
	}, func(t *testing.T, s *scene) {
		over = make(chan struct{})
		defer close(over)
		c, began := s.dial(), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// noting writes down how it is ended.
type noting struct {
	net.Conn
	mu  *sync.Mutex
	log *[]string
}

func (n noting) note(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*n.log = append(*n.log, s)
}

func (n noting) CloseWrite() error { n.note("CloseWrite"); return nil }
func (n noting) Close() error      { n.note("Close"); return n.Conn.Close() }

// TestOrderlyEnd: after both close frames the writing half ends by itself (RFC 8441
// §5); without them the stream is reset.
func TestOrderlyEnd(t *testing.T) {
	for name, row := range map[string]struct {
		script func(*peer)
		end    func(c *websocket.Conn)
		want   string
	}{
		"closed here":       {echo, func(c *websocket.Conn) { c.Close(1000, "") }, "CloseWrite Close"},
		"closed there":      {func(p *peer) { p.close(1000, ""); p.frame() }, func(c *websocket.Conn) { c.Read(context.Background()) }, "CloseWrite Close"},
		"closed at once":    {echo, func(c *websocket.Conn) { c.CloseNow() }, "Close"},
		"without an answer": {(*peer).rest, func(c *websocket.Conn) { c.Close(1000, "") }, "Close"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var log []string
			piped(t, func(c net.Conn) io.ReadWriteCloser { return noting{c, &mu, &log} }, row.script, func(t *testing.T, s *scene) {
				row.end(s.dial())
				mu.Lock()
				defer mu.Unlock()
				if got := strings.Join(log, " "); got != row.want {
					t.Errorf("%s, want %s", got, row.want)
				}
			})
		})
	}
}

// TestDropBodyOfClient: what a client does with bodies has no say in upgrades.
func TestDropBodyOfClient(t *testing.T) {
	everywhere(t, agreeing(), echo, func(s *scene) {
		if err := s.dial().Ping(s.t.Context()); err != nil {
			s.t.Error(err)
		}
	}, godwit.DropBody())
	bubble(t, refusing(403), echo, func(t *testing.T, s *scene) {
		_, err := websocket.Dial(t.Context(), s.client, s.url, godwit.DropBody())
		if e, ok := errors.AsType[*websocket.HandshakeError](err); !ok || e.Response.Text() != "refused" {
			t.Errorf("%v", err)
		}
	})
}

// TestBaseURL: of any of the four schemes.
func TestBaseURL(t *testing.T) {
	for base, want := range map[string]string{
		"ws://mock.test/a/": "http://mock.test/a/b", "wss://mock.test/a/": "https://mock.test/a/b",
		"http://mock.test/a/": "http://mock.test/a/b", "https://mock.test/": "https://mock.test/b",
	} {
		onMock(t, echo, func(s *scene) {
			s.url = "b"
			var sent string
			s.dial(godwit.On(func(_ context.Context, e godwit.Sending) { sent = e.Request.URL.String() }))
			if sent != want {
				t.Errorf("%s: %s, want %s", base, sent, want)
			}
		}, godwit.BaseURL(base))
	}
}

// TestExtensionByHand: an extension of the caller's own is refused for what it is.
func TestExtensionByHand(t *testing.T) {
	bubble(t, agreeing("Sec-WebSocket-Extensions", "x-foo"), echo, func(t *testing.T, s *scene) {
		_, err := websocket.Dial(t.Context(), s.client, s.url, godwit.Header("Sec-WebSocket-Extensions", "x-foo"))
		if _, ok := errors.AsType[*websocket.HandshakeError](err); !ok || !strings.Contains(err.Error(), "offered by hand") {
			t.Errorf("%v", err)
		}
	})
}

// TestNetConnClosedTwice: what we closed is net.ErrClosed, though the server was first.
func TestNetConnClosedTwice(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) { p.close(1000, ""); p.frame() }, func(s *scene) {
		n := s.dial().NetConn(s.t.Context(), websocket.Binary)
		if _, err := n.Read(make([]byte, 1)); err != io.EOF {
			s.t.Errorf("Read after the server's close: %v", err)
		}
		if err := n.Close(); err != nil {
			s.t.Errorf("Close: %v", err)
		}
		if _, err := n.Read(make([]byte, 1)); err != net.ErrClosed {
			s.t.Errorf("Read after Close: %v", err)
		}
		if _, err := n.Write(nil); err != net.ErrClosed {
			s.t.Errorf("Write after Close: %v", err)
		}
	})
}

// TestMessageConnPings: what is not to be had is refused by name.
func TestMessageConnPings(t *testing.T) {
	b := &browser{messages: make(chan websocket.Message, 10), closed: make(chan struct{})}
	onScripted(t, scripted{answer: func(*engine.Request) *engine.Response {
		return &engine.Response{Status: 101, Proto: "HTTP/1.1", Upgraded: b}
	}}, func(c *godwit.Client) {
		conn, err := websocket.Dial(t.Context(), c, "ws://h.test/")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		_, keep := websocket.Dial(t.Context(), c, "ws://h.test/", websocket.KeepAlive(time.Second, time.Second))
		for what, err := range map[string]error{"Conn.Ping": conn.Ping(t.Context()), "KeepAlive": keep} {
			want := "websocket." + what + ": engine " + c.Engine().Name() + " delivers messages, and leaves no pings to programs"
			if u, ok := errors.AsType[*godwit.UnsupportedError](err); !ok || err.Error() != want || u.Capability != engine.Upgrade || websocket.Temporary(err) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// panicking is a codec that some bodies break.
type panicking struct{ godwit.JSON }

func (panicking) Marshal(any) ([]byte, error) { panic("in Marshal") }
func (panicking) Unmarshal([]byte, any) error { panic("in Unmarshal") }

// TestPanickingCodec: nothing that comes from a server ends the program.
func TestPanickingCodec(t *testing.T) {
	onMock(t, func(p *peer) { p.send(ws.Text, "{}"); echo(p) }, func(s *scene) {
		c := s.dial()
		if _, err := websocket.ReadJSON[int](t.Context(), c); err == nil || !strings.Contains(err.Error(), "in Unmarshal") {
			t.Errorf("ReadJSON: %v", err)
		}
		if err := c.WriteJSON(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "in Marshal") {
			t.Errorf("WriteJSON: %v", err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("the connection is gone: %v", err)
		}
	}, godwit.WithCodec(panicking{}))
}
