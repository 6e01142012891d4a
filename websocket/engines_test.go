package websocket_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// scripted is an engine that answers each handshake by itself.
type scripted struct {
	engine.Engine
	answer func(*engine.Request) *engine.Response
	lacks  engine.Capabilities
}

func (s scripted) Capabilities() engine.Capabilities { return s.Engine.Capabilities() &^ s.lacks }

func (s scripted) Execute(_ context.Context, req *engine.Request) (*engine.Response, error) {
	resp := s.answer(req)
	resp.Body = http.NoBody
	return resp, nil
}

func onScripted(t *testing.T, s scripted, f func(c *godwit.Client)) {
	t.Helper()
	s.Engine = mock.New()
	defer s.Engine.Close()
	c := godwit.New(godwit.WithEngineInstance(s))
	defer c.Join(context.WithoutCancel(t.Context()))
	defer c.Close()
	f(c)
}

// TestUnsupported: an engine that cannot upgrade says so before anything is
// sent.
func TestUnsupported(t *testing.T) {
	onScripted(t, scripted{lacks: engine.Upgrade}, func(c *godwit.Client) {
		_, err := websocket.Dial(t.Context(), c, "ws://h.test/")
		if u, ok := errors.AsType[*godwit.UnsupportedError](err); !ok || u.Capability != engine.Upgrade {
			t.Errorf("error %v", err)
		}
	})
}

// TestExtendedConnect: over HTTP/2 (RFC 8441) a 2xx with a stream is an
// agreement, without the fields of HTTP/1.1; over HTTP/1.1 it is none.
func TestExtendedConnect(t *testing.T) {
	for _, row := range []struct {
		proto  string
		status int
		ok     bool
	}{{"HTTP/2.0", 200, true}, {"HTTP/3.0", 200, true}, {"HTTP/1.1", 200, false}, {"HTTP/2.0", 302, false}} {
		onScripted(t, scripted{answer: func(req *engine.Request) *engine.Response {
			if req.Protocol != "websocket" {
				t.Errorf("Protocol %q", req.Protocol)
			}
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				echo(newPeer(t, there, nil))
			}()
			return &engine.Response{Status: row.status, Proto: row.proto, Header: header.New("Sec-WebSocket-Protocol", "p"), Upgraded: here}
		}}, func(c *godwit.Client) {
			conn, err := websocket.Dial(t.Context(), c, "ws://h.test/", websocket.Subprotocol("p"))
			if (err == nil) != row.ok {
				t.Fatalf("%s %d: %v", row.proto, row.status, err)
			}
			if err != nil {
				return
			}
			defer conn.CloseNow()
			if err := conn.Ping(t.Context()); err != nil || conn.Subprotocol() != "p" {
				t.Errorf("%q, %v", conn.Subprotocol(), err)
			}
		})
	}
}

// browser is a connection that delivers messages.
type browser struct {
	io.ReadWriteCloser
	messages chan websocket.Message
	closed   chan struct{}
}

func (b *browser) ReadMessage(ctx context.Context) (bool, []byte, error) {
	select {
	case m, ok := <-b.messages:
		if !ok {
			return false, nil, &engine.MessageCloseError{Code: 1000, Reason: "bye"}
		}
		return m.Type == websocket.Text, m.Data, nil
	case <-b.closed:
		return false, nil, net.ErrClosed
	case <-ctx.Done():
		return false, nil, ctx.Err()
	}
}

func (b *browser) WriteMessage(_ context.Context, text bool, data []byte) error {
	kind := websocket.Binary
	if text {
		kind = websocket.Text
	}
	b.messages <- websocket.Message{Type: kind, Data: append([]byte(nil), data...)}
	return nil
}

func (b *browser) CloseMessage(context.Context, int, string) error {
	close(b.messages)
	return nil
}

func (b *browser) Close() error {
	select {
	case <-b.closed:
	default:
		close(b.closed)
	}
	return nil
}

func (*browser) Subprotocol() string { return "p" }
func (*browser) Extensions() string  { return "x" }

func TestMessageConn(t *testing.T) {
	b := &browser{messages: make(chan websocket.Message, 10), closed: make(chan struct{})}
	var _ engine.MessageConn = b
	onScripted(t, scripted{answer: func(*engine.Request) *engine.Response {
		return &engine.Response{Status: 101, Proto: "HTTP/1.1", Upgraded: b}
	}}, func(c *godwit.Client) {
		ctx := t.Context()
		conn, err := websocket.Dial(ctx, c, "ws://h.test/")
		if err != nil {
			t.Fatal(err)
		}
		if conn.Subprotocol() != "p" || conn.Extensions() != "x" {
			t.Errorf("%q %q", conn.Subprotocol(), conn.Extensions())
		}
		conn.Write(ctx, websocket.Text, []byte("one"))
		w, _ := conn.Writer(ctx, websocket.Binary)
		io.WriteString(w, "t")
		io.WriteString(w, "wo")
		w.Close()
		if m, err := conn.Read(ctx); err != nil || m.Type != websocket.Text || m.String() != "one" {
			t.Errorf("%v, %v", m, err)
		}
		kind, r, err := conn.Reader(ctx)
		if text, _ := io.ReadAll(r); err != nil || kind != websocket.Binary || string(text) != "two" {
			t.Errorf("%v %q %v", kind, text, err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := conn.Read(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled read: %v", err)
		}
		if _, ok := errors.AsType[*godwit.UnsupportedError](conn.Ping(ctx)); !ok {
			t.Error("Ping is supported")
		}
		if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := conn.Read(ctx); websocket.CloseStatus(err) != 1000 {
			t.Errorf("Read after Close: %v", err)
		}
	})
}

// TestMessageConnLost: what has ended by itself can still be closed, and then says so.
func TestMessageConnLost(t *testing.T) {
	b := &browser{messages: make(chan websocket.Message), closed: make(chan struct{})}
	close(b.messages)
	onScripted(t, scripted{answer: func(*engine.Request) *engine.Response {
		return &engine.Response{Status: 101, Proto: "HTTP/1.1", Upgraded: b}
	}}, func(c *godwit.Client) {
		conn, err := websocket.Dial(t.Context(), c, "ws://h.test/")
		if err != nil {
			t.Fatal(err)
		}
		for _, closed := range []bool{false, true} {
			if _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != 1000 || errors.Is(err, net.ErrClosed) != closed {
				t.Errorf("%v", err)
			}
			conn.CloseNow()
		}
	})
}

// TestThroughAProxy: the handshake of wss goes by CONNECT.
func TestThroughAProxy(t *testing.T) {
	origin := httptest.NewTLSServer(server(t, agreeing(), echo))
	defer origin.Close()
	connects := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects <- r.Method + " " + r.Host
		far, err := net.Dial("tcp", r.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer far.Close()
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer near.Close()
		io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(near, far); near.Close() }()
		io.Copy(far, near)
	}))
	defer proxy.Close()
	for name, e := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		t.Run(name, func(t *testing.T) {
			c := godwit.New(godwit.WithEngine(e), trusting(origin), godwit.Proxy(proxy.URL))
			defer c.Close()
			conn, err := websocket.Dial(t.Context(), c, strings.Replace(origin.URL, "https", "wss", 1))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.CloseNow()
			if u, _ := url.Parse(origin.URL); <-connects != "CONNECT "+u.Host {
				t.Error("the proxy was not asked to connect")
			}
			if err := conn.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAllocations: a message there and back costs none.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	here, there := net.Pipe()
	onScripted(t, scripted{answer: func(*engine.Request) *engine.Response {
		return &engine.Response{Status: 200, Proto: "HTTP/2.0", Upgraded: here}
	}}, func(c *godwit.Client) {
		go plainEcho(there)
		conn, err := websocket.Dial(t.Context(), c, "ws://h.test/")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		message, buf := []byte(strings.Repeat("0123456789abcdef", 4)), make([]byte, 0, 100)
		writes := testing.AllocsPerRun(500, func() {
			if err := conn.Write(t.Context(), websocket.Binary, message); err != nil {
				t.Error(err)
			}
			m, err := conn.ReadInto(t.Context(), buf)
			if err != nil || len(m.Data) != len(message) {
				t.Errorf("%d bytes, %v", len(m.Data), err)
			}
		})
		if writes >= 1 {
			t.Errorf("%v allocations a message", writes)
		}
	})
}

// plainEcho answers frames of less than 126 bytes and allocates nothing.
func plainEcho(rw io.ReadWriteCloser) {
	defer rw.Close()
	r, frames, buf := bufio.NewReader(rw), ws.Receiver{Server: true}, make([]byte, 256)
	for {
		head, err := r.Peek(6)
		if err != nil {
			return
		}
		h, n, err := frames.Next(head)
		if err != nil || n == 0 {
			return
		}
		r.Discard(n)
		payload := buf[n : n+int(h.Length)]
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		ws.Mask(payload, payload, h.Key)
		h.Masked = false
		rw.Write(append(h.Append(buf[:0]), payload...))
	}
}
