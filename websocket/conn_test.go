package websocket_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

func TestEcho(t *testing.T) {
	everywhere(t, agreeing(), echo, func(s *scene) {
		c := s.dial()
		for _, n := range []int{0, 1, 125, 126, 127, 4000, 4082, 4083, 65535, 65536, 100_000, 1 << 20} {
			want := strings.Repeat("é", n/2) + strings.Repeat("x", n%2)
			for _, kind := range []websocket.MessageType{websocket.Text, websocket.Binary} {
				if err := c.Write(s.t.Context(), kind, []byte(want)); err != nil {
					s.t.Fatal(err)
				}
				m, err := c.Read(s.t.Context())
				if err != nil || m.Type != kind || m.String() != want {
					s.t.Fatalf("%d bytes: got %v, %d bytes, %v", n, m.Type, len(m.Data), err)
				}
			}
		}
		if err := c.Ping(s.t.Context()); err != nil {
			s.t.Errorf("Ping: %v", err)
		}
		if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
			s.t.Errorf("Close: %v", err)
		}
		if _, err := c.Read(s.t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			s.t.Errorf("Read after Close: %v", err)
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			s.t.Errorf("second Close: %v", err)
		}
	})
}

func TestStreams(t *testing.T) {
	everywhere(t, deflating, echo, func(s *scene) {
		for _, opts := range [][]websocket.Option{nil, {websocket.Compress(websocket.Compression{})}} {
			c := s.dial(opts...)
			for _, n := range []int{0, 10, 5000, 300_000} {
				want := strings.Repeat("0123456789", n/10)
				w, err := c.Writer(s.t.Context(), websocket.Text)
				if err != nil {
					s.t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() {
					for rest := want; rest != ""; {
						k := min(len(rest), 777)
						if _, err := io.WriteString(w, rest[:k]); err != nil {
							done <- err
							return
						}
						rest = rest[k:]
					}
					done <- w.Close()
				}()
				kind, r, err := c.Reader(s.t.Context())
				if err != nil || kind != websocket.Text {
					s.t.Fatal(kind, err)
				}
				got, err := io.ReadAll(r)
				if err != nil || string(got) != want {
					s.t.Fatalf("%d bytes: got %d, %v", n, len(got), err)
				}
				if err := <-done; err != nil {
					s.t.Fatal(err)
				}
			}
			c.Close(websocket.StatusNormalClosure, "")
		}
	})
}

// TestCancelledRead: waiting for a message is harmless to give up.
func TestCancelledRead(t *testing.T) {
	everywhere(t, agreeing(), echo, func(s *scene) {
		c := s.dial()
		for range 3 {
			ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Millisecond)
			if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
				s.t.Fatalf("Read: %v", err)
			}
			cancel()
			c.Write(s.t.Context(), websocket.Text, []byte("still here"))
			if m, err := c.Read(s.t.Context()); err != nil || m.String() != "still here" {
				s.t.Fatalf("Read after a cancelled one: %q, %v", m.Data, err)
			}
		}
	})
}

func TestCancelledBetweenFragments(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) {
		p.part(ws.Text, "one ", false)
		p.want(ws.Binary)
		p.part(ws.Continuation, "two", true)
		echo(p)
	}, func(s *scene) {
		c := s.dial()
		ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			s.t.Fatalf("Read: %v", err)
		}
		c.Write(s.t.Context(), websocket.Binary, nil)
		if m, err := c.Read(s.t.Context()); err != nil || m.String() != "one two" {
			s.t.Fatalf("got %q, %v", m.Data, err)
		}
	})
}

func TestCancelledInsideAFrame(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) {
		p.raw("\x82\x05ab")
		p.rest()
	}, func(s *scene) {
		c := s.dial()
		ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			s.t.Fatalf("Read: %v", err)
		}
		if _, err := c.Read(s.t.Context()); err == nil || !strings.Contains(err.Error(), "middle of a message") {
			s.t.Errorf("the connection lives on: %v", err)
		}
	})
}
