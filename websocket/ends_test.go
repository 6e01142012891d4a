package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// TestGaveUp: a connection that could not be made again is an error, whatever the
// server said to the last one.
func TestGaveUp(t *testing.T) {
	policy := websocket.Reconnect{Min: time.Millisecond, Max: time.Millisecond, Attempts: 3}
	subscribing := policy
	subscribing.When = func(err error) bool { return !strings.Contains(err.Error(), "subscribe") }
	subscribing.Subscribe = func(ctx context.Context, c *websocket.Conn) error {
		_, err := c.Read(ctx)
		return err
	}
	for name, row := range map[string]struct {
		script func(*peer)
		policy websocket.Reconnect
		want   string
	}{
		"1001":      {func(p *peer) { p.close(1001, ""); p.rest() }, policy, "gave up"},
		"no status": {func(p *peer) { p.send(ws.Close, ""); p.rest() }, policy, "gave up"},
		"Subscribe": {func(p *peer) { p.close(1001, ""); p.rest() }, subscribing, "subscribe: "},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, agreeing(), row.script, func(t *testing.T, s *scene) {
				c := s.dial(websocket.WithReconnect(row.policy))
				var got []error
				for _, err := range c.Messages(t.Context()) {
					got = append(got, err)
				}
				if len(got) != 1 || got[0] == nil || !strings.Contains(got[0].Error(), row.want) {
					t.Errorf("Messages: %v, want %q", got, row.want)
				}
				if _, err := c.NetConn(t.Context(), websocket.Binary).Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("NetConn: %v, want %q", err, row.want)
				}
			})
		})
	}
}

// TestNetConnUnlimited: a message may be of any length, on each connection.
func TestNetConnUnlimited(t *testing.T) {
	const size = 100
	var conns atomic.Int32
	bubble(t, agreeing(), func(p *peer) {
		p.send(ws.Binary, strings.Repeat("x", size))
		if conns.Add(1) > 1 {
			p.rest()
		}
	}, func(t *testing.T, s *scene) {
		n := s.dial(websocket.ReadLimit(size-1), websocket.WithReconnect(websocket.Reconnect{})).NetConn(t.Context(), websocket.Binary)
		if got, err := io.ReadFull(n, make([]byte, 2*size)); err != nil {
			t.Errorf("%d bytes, %v", got, err)
		}
	})
	b := &browser{messages: make(chan websocket.Message, 1), closed: make(chan struct{})}
	b.messages <- websocket.Message{Type: websocket.Binary, Data: make([]byte, size)}
	onBrowser(t, b, func(c *websocket.Conn) {
		if got, err := io.ReadFull(c.NetConn(t.Context(), websocket.Binary), make([]byte, size)); err != nil {
			t.Errorf("%d bytes, %v", got, err)
		}
	}, websocket.ReadLimit(size-1))
}

// onBrowser opens a connection that delivers messages.
func onBrowser(t *testing.T, b engine.MessageConn, f func(*websocket.Conn), opts ...websocket.Option) {
	t.Helper()
	onScripted(t, scripted{answer: func(*engine.Request) *engine.Response {
		return &engine.Response{Status: 101, Proto: "HTTP/1.1", Upgraded: b}
	}}, func(client *godwit.Client) {
		c, err := websocket.Dial(t.Context(), client, "ws://h.test/", opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		f(c)
	})
}

// TestNetConnDeadline: os.ErrDeadlineExceeded is a deadline that was set, and that
// alone.
func TestNetConnDeadline(t *testing.T) {
	var over chan struct{}
	piped(t, nil, func(p *peer) {
		p.send(ws.Ping, "")
		<-over
	}, func(t *testing.T, s *scene) {
		over = make(chan struct{})
		defer close(over)
		n := s.dial().NetConn(t.Context(), websocket.Binary)
		n.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := n.Read(make([]byte, 1)); err != os.ErrDeadlineExceeded {
			t.Errorf("at the deadline: %v", err)
		}
		n.SetReadDeadline(time.Time{})
		for range 2 {
			if _, err := n.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "no pong within") {
				t.Errorf("on a connection that was lost: %v", err)
			}
		}
	})
}

// silent is a browser whose server says no farewell.
type silent struct{ *browser }

func (silent) CloseMessage(context.Context, int, string) error { return nil }

// TestMessageConnSilent: Close says what it waited for.
func TestMessageConnSilent(t *testing.T) {
	b := &browser{messages: make(chan websocket.Message), closed: make(chan struct{})}
	onBrowser(t, silent{b}, func(c *websocket.Conn) {
		err := c.Close(websocket.StatusNormalClosure, "")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "websocket.CloseTimeout") {
			t.Errorf("%v", err)
		}
	}, websocket.CloseTimeout(time.Millisecond))
}

// meanwhile is a stream on which something happens during each write.
type meanwhile struct {
	net.Conn
	does *func()
}

func (m meanwhile) Write(p []byte) (int, error) {
	(*m.does)()
	return m.Conn.Write(p)
}

// TestContextEndsMeanwhile: a frame that was sent to its end harms nothing, whenever its
// context ended.
func TestContextEndsMeanwhile(t *testing.T) {
	does := func() {}
	piped(t, func(c net.Conn) io.ReadWriteCloser { return meanwhile{c, &does} }, (*peer).rest, func(t *testing.T, s *scene) {
		c := s.dial()
		for what, send := range map[string]func(context.Context) error{
			"Write": func(ctx context.Context) error { return c.Write(ctx, websocket.Text, []byte("x")) },
			"Ping": func(ctx context.Context) error {
				if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
					return fmt.Errorf("it waited for its pong: %w", err)
				}
				return nil
			},
		} {
			for range 2 {
				ctx, cancel := context.WithCancel(t.Context())
				does = func() {
					cancel()
					synctest.Wait() // who watches the context has seen it
				}
				if err := send(ctx); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				does = func() {}
			}
		}
		<-time.After(time.Minute)
		if err := c.Write(t.Context(), websocket.Text, nil); err != nil {
			t.Errorf("the connection is gone: %v", err)
		}
	})
}

// inert is a stream whose reads are not broken off but by closing it.
type inert struct{ net.Conn }

func (inert) SetReadDeadline(time.Time) error { return nil }

// TestNetConnBothDeadlines: a Read and a Write that wait at the same time. The end of
// the Write may be sooner seen than that of the Read.
func TestNetConnBothDeadlines(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) io.ReadWriteCloser{
		"as they end":     nil,
		"the Write first": func(c net.Conn) io.ReadWriteCloser { return inert{c} },
	} {
		t.Run(name, func(t *testing.T) {
			var over chan struct{}
			piped(t, wrap, func(*peer) { <-over }, func(t *testing.T, s *scene) {
				over = make(chan struct{})
				defer close(over)
				n, ends := s.dial().NetConn(t.Context(), websocket.Binary), make(chan error)
				go func() {
					_, err := n.Read(make([]byte, 1))
					ends <- err
				}()
				go func() {
					_, err := n.Write(make([]byte, 1))
					ends <- err
				}()
				synctest.Wait()
				n.SetReadDeadline(time.Unix(1, 0))
				n.SetWriteDeadline(time.Unix(1, 0))
				for range 2 {
					if err := <-ends; err != os.ErrDeadlineExceeded {
						t.Error(err)
					}
				}
			})
		})
	}
}

// sending is what needs a connection that can be written to.
func sending(ctx context.Context, c *websocket.Conn) map[string]error {
	w, err := c.Writer(ctx, websocket.Text)
	if err == nil {
		w.Close()
	}
	return map[string]error{"Writer": err, "Write": c.Write(ctx, websocket.Text, nil), "Ping": c.Ping(ctx)}
}

// TestBesideClose: what is sent while Close waits comes too late.
func TestBesideClose(t *testing.T) {
	for name, opts := range map[string][]websocket.Option{
		"once":         nil,
		"reconnecting": {websocket.WithReconnect(websocket.Reconnect{})},
	} {
		t.Run(name, func(t *testing.T) {
			var over chan struct{}
			bubble(t, agreeing(), func(p *peer) {
				payload := p.want(ws.Close)
				<-over
				p.send(ws.Close, string(payload))
			}, func(t *testing.T, s *scene) {
				over = make(chan struct{})
				c, closed := s.dial(opts...), make(chan error)
				go func() { closed <- c.Close(1000, "") }()
				synctest.Wait()
				for what, err := range sending(t.Context(), c) {
					if !errors.Is(err, net.ErrClosed) || websocket.Temporary(err) {
						t.Errorf("%s: %v", what, err)
					}
				}
				close(over)
				if err := <-closed; err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

// TestBesideFarewell: the server has said farewell and not closed the connection yet.
func TestBesideFarewell(t *testing.T) {
	for name, row := range map[string]struct {
		opts []websocket.Option
		want websocket.StatusCode
	}{
		"once":         {nil, 1001},
		"reconnecting": {[]websocket.Option{websocket.WithReconnect(websocket.Reconnect{Min: time.Millisecond})}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			var over chan struct{}
			bubble(t, agreeing(), func(p *peer) {
				if conns.Add(1) > 1 {
					echo(p)
					return
				}
				p.close(1001, "")
				p.want(ws.Close)
				<-over
			}, func(t *testing.T, s *scene) {
				over = make(chan struct{})
				defer close(over)
				c, began := s.dial(row.opts...), time.Now()
				go func() {
					for range c.Messages(t.Context()) {
					}
				}()
				synctest.Wait()
				for what, err := range sending(t.Context(), c) {
					if websocket.CloseStatus(err) != row.want || err == nil != (row.want < 0) {
						t.Errorf("%s: %v", what, err)
					}
				}
				if wait := time.Since(began); wait > 10*time.Millisecond {
					t.Errorf("it took %v", wait)
				}
			})
		})
	}
}

// TestAbandonedWriter: a message is given up with its context, whoever has its Writer.
func TestAbandonedWriter(t *testing.T) {
	mine := fmt.Errorf("mine: %w", context.Canceled)
	abandon := func(t *testing.T, c *websocket.Conn, size int) io.WriteCloser {
		ctx, cancel := context.WithCancelCause(t.Context())
		w, err := c.Writer(ctx, websocket.Text)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, strings.Repeat("x", size))
		cancel(mine)
		return w
	}
	given := func(t *testing.T, w io.WriteCloser) {
		if _, err := io.WriteString(w, "x"); err != mine {
			t.Errorf("Write to it: %v", err)
		}
		if err := w.Close(); err != mine {
			t.Errorf("Close of it: %v", err)
		}
	}
	for name, opts := range map[string][]websocket.Option{"plain": nil, "compressed": {websocket.Compress(websocket.Compression{})}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, deflating, echo, func(t *testing.T, s *scene) {
				c := s.dial(opts...)
				given(t, abandon(t, c, 10))
				w := abandon(t, c, 10)
				if err := c.Write(t.Context(), websocket.Text, []byte("next")); err != nil {
					t.Errorf("the next message: %v", err)
				}
				if m, err := c.Read(t.Context()); err != nil || m.String() != "next" {
					t.Errorf("%q, %v", m.Data, err)
				}
				given(t, w)
			})
		})
	}
	t.Run("begun", func(t *testing.T) {
		bubble(t, agreeing(), (*peer).rest, func(t *testing.T, s *scene) {
			c := s.dial(websocket.WithReconnect(websocket.Reconnect{}))
			w := abandon(t, c, 10_000)
			synctest.Wait()
			given(t, w)
			began := time.Now()
			if err := c.Write(t.Context(), websocket.Text, nil); err != nil || time.Since(began) < 250*time.Millisecond {
				t.Errorf("the next message: %v after %v, want it on another connection", err, time.Since(began))
			}
		})
	})
	t.Run("messages", func(t *testing.T) {
		b := &browser{messages: make(chan websocket.Message, 1), closed: make(chan struct{})}
		onBrowser(t, b, func(c *websocket.Conn) {
			given(t, abandon(t, c, 10))
			w := abandon(t, c, 10)
			if err := c.Write(t.Context(), websocket.Text, []byte("next")); err != nil {
				t.Errorf("the next message: %v", err)
			}
			given(t, w)
		})
	})
}
