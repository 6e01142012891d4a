package websocket_test

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// items is text that compresses, and hardly with anything else.
func items(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "item %d %x;", i, i*7919)
	}
	return b.String()
}

// TestUnsentMessage: a message that came to nothing is not referred to by those
// after it.
func TestUnsentMessage(t *testing.T) {
	text := items(200)
	for name, spoil := range map[string]func(w io.WriteCloser, cancel func()) error{
		"not UTF-8":     func(w io.WriteCloser, _ func()) error { _, err := w.Write([]byte{0xff}); return err },
		"cut character": func(w io.WriteCloser, _ func()) error { w.Write([]byte{0xe2}); return w.Close() },
		"cancelled":     func(w io.WriteCloser, cancel func()) error { cancel(); return w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, deflating, echo, func(s *scene) {
				c := s.dial(websocket.Compress(websocket.Compression{}))
				ctx, cancel := context.WithCancel(s.t.Context())
				defer cancel()
				w, err := c.Writer(ctx, websocket.Text)
				if err != nil {
					s.t.Fatal(err)
				}
				io.WriteString(w, text)
				if err := spoil(w, cancel); err == nil {
					s.t.Fatal("no error")
				}
				for range 2 {
					if err := c.Write(s.t.Context(), websocket.Text, []byte(text)); err != nil {
						s.t.Fatal(err)
					}
					if m, err := c.Read(s.t.Context()); err != nil || m.String() != text {
						s.t.Fatalf("%.50q, %v", m.Data, err)
					}
				}
			})
		})
	}
}

// TestClosingFreesWriters: who waits behind a Writer that nobody closes.
func TestClosingFreesWriters(t *testing.T) {
	var freed chan error
	blocked := func(t *testing.T, s *scene) *websocket.Conn {
		c := s.dial()
		if _, err := c.Writer(t.Context(), websocket.Text); err != nil {
			t.Fatal(err)
		}
		go func() { freed <- c.Write(context.Background(), websocket.Text, []byte("x")) }()
		synctest.Wait()
		return c
	}
	t.Run("CloseNow", func(t *testing.T) {
		bubble(t, agreeing(), (*peer).rest, func(t *testing.T, s *scene) {
			freed = make(chan error, 1)
			c := blocked(t, s)
			c.CloseNow()
			if err := <-freed; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write: %v", err)
			}
			if err := c.Write(context.Background(), websocket.Text, nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write after that: %v", err)
			}
		})
	})
	t.Run("Close", func(t *testing.T) {
		var answer chan struct{}
		bubble(t, agreeing(), func(p *peer) {
			payload := p.want(ws.Close)
			<-answer
			p.send(ws.Close, string(payload))
			if h, _, ok := p.frame(); ok {
				p.t.Errorf("a frame after the close frame: %+v", h)
			}
		}, func(t *testing.T, s *scene) {
			freed, answer = make(chan error, 1), make(chan struct{})
			c := blocked(t, s)
			closed := make(chan error, 1)
			go func() { closed <- c.Close(1000, "") }()
			if err := <-freed; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write: %v", err)
			}
			close(answer)
			if err := <-closed; err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	})
}

// TestLastWords: what the server said before a write failed can be read.
func TestLastWords(t *testing.T) {
	lastWords := func(p *peer) {
		p.send(ws.Text, "last")
		p.close(4001, "bye")
	}
	bubble(t, agreeing(), lastWords, func(t *testing.T, s *scene) {
		c := s.dial()
		synctest.Wait() // the peer has gone
		for range 2 {
			if err := c.Write(t.Context(), websocket.Text, []byte("x")); err == nil {
				t.Error("a write to nobody succeeds")
			}
		}
		if err := c.Ping(t.Context()); err == nil {
			t.Error("a ping to nobody succeeds")
		}
		if m, err := c.Read(t.Context()); err != nil || m.String() != "last" {
			t.Errorf("%q, %v", m.Data, err)
		}
		if _, err := c.Read(t.Context()); websocket.CloseStatus(err) != 4001 {
			t.Errorf("error %v", err)
		}
	})
	bubble(t, agreeing(), lastWords, func(t *testing.T, s *scene) {
		c := s.dial()
		synctest.Wait()
		if err := c.Close(1000, ""); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	bubble(t, agreeing(), func(*peer) {}, func(t *testing.T, s *scene) { // and with a successor
		c := s.dial(websocket.WithReconnect(websocket.Reconnect{}))
		synctest.Wait()
		if err := c.Write(t.Context(), websocket.Text, []byte("x")); err == nil {
			t.Error("a write to nobody succeeds")
		}
		began := time.Now()
		if err := c.Write(t.Context(), websocket.Text, []byte("x")); time.Since(began) < 250*time.Millisecond {
			t.Errorf("the next write did not reconnect: %v", err)
		}
	})
}

// TestCancelledWrite: a frame that was left unfinished ends the connection.
func TestCancelledWrite(t *testing.T) {
	var over chan struct{}
	piped(t, nil, func(p *peer) {
		p.r.ReadByte()
		<-over
	}, func(t *testing.T, s *scene) {
		over = make(chan struct{})
		defer close(over)
		c := s.dial()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Write(ctx, websocket.Binary, make([]byte, 100_000)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
		if err := c.Write(t.Context(), websocket.Binary, nil); err == nil || !strings.Contains(err.Error(), "middle of a frame") {
			t.Errorf("the next Write: %v", err)
		}
		if _, err := c.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "middle of a frame") {
			t.Errorf("Read: %v", err)
		}
	})
}

// TestEndedContext: what never began harms nothing.
func TestEndedContext(t *testing.T) {
	everywhere(t, agreeing(), echo, func(s *scene) {
		c := s.dial()
		for range 500 {
			ctx, cancel := context.WithCancel(s.t.Context())
			cancel()
			if err := c.Write(ctx, websocket.Text, nil); !errors.Is(err, context.Canceled) {
				s.t.Fatalf("Write: %v", err)
			}
			if _, err := c.Read(ctx); !errors.Is(err, context.Canceled) {
				s.t.Fatalf("Read: %v", err)
			}
		}
		if err := c.Ping(s.t.Context()); err != nil {
			s.t.Errorf("the connection did not survive: %v", err)
		}
	})
}

// TestDeafPeer: control frames have 5 seconds to be written.
func TestDeafPeer(t *testing.T) {
	for name, row := range map[string]struct {
		wire string
		is   func(error) bool
	}{
		"pong": {"\x89\x00", func(err error) bool {
			return !errors.Is(err, os.ErrDeadlineExceeded) && strings.Contains(err.Error(), "takes nothing")
		}},
		"close frame, by a broken rule": {"\x83\x00", func(err error) bool {
			_, ok := errors.AsType[*godwit.ProtocolError](err)
			return ok
		}},
		"close frame, as an answer": {"\x88\x02\x03\xe9", func(err error) bool { return websocket.CloseStatus(err) == 1001 }},
	} {
		t.Run(name, func(t *testing.T) {
			var over chan struct{}
			piped(t, nil, func(p *peer) {
				p.raw(row.wire)
				<-over
			}, func(t *testing.T, s *scene) {
				over = make(chan struct{})
				defer close(over)
				began := time.Now()
				_, err := s.dial().Read(t.Context())
				if !row.is(err) || time.Since(began) != 5*time.Second {
					t.Errorf("%v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// TestSlowPong: who reads or writes does not wait for a peer that takes no pong, and
// the connection goes on once it does.
func TestSlowPong(t *testing.T) {
	const slow = time.Second
	t.Run("Read", func(t *testing.T) {
		piped(t, nil, func(p *peer) {
			p.send(ws.Ping, "1")
			<-time.After(slow)
			if got := p.want(ws.Pong); string(got) != "1" {
				p.t.Errorf("pong %q", got)
			}
			p.send(ws.Text, "x")
			p.rest()
		}, func(t *testing.T, s *scene) {
			c, began := s.dial(), time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), slow/5)
			defer cancel()
			if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != slow/5 {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if m, err := c.Read(t.Context()); err != nil || m.String() != "x" {
				t.Errorf("%q, %v", m.Data, err)
			}
		})
	})
	t.Run("Write", func(t *testing.T) {
		piped(t, nil, func(p *peer) {
			<-time.After(slow) // the message is on its way
			p.send(ws.Ping, "1")
			p.want(ws.Binary)
			<-time.After(slow)
			p.want(ws.Pong)
			p.want(ws.Text)
			p.rest()
		}, func(t *testing.T, s *scene) {
			c, began := s.dial(), time.Now()
			go c.Read(t.Context())
			if err := c.Write(t.Context(), websocket.Binary, make([]byte, 1<<20)); err != nil || time.Since(began) != slow {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if err := c.Write(t.Context(), websocket.Text, nil); err != nil || time.Since(began) != 2*slow {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
}

// TestCloseTimeout: the stream is closed when the server does not answer in time.
func TestCloseTimeout(t *testing.T) {
	var ended chan struct{}
	bubble(t, agreeing(), func(p *peer) { p.rest(); close(ended) }, func(t *testing.T, s *scene) {
		ended = make(chan struct{})
		c, began := s.dial(websocket.CloseTimeout(7*time.Second)), time.Now()
		if err := c.Close(1000, ""); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 7*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		<-ended
		if err := c.Close(1000, ""); err != nil {
			t.Errorf("Close again: %v", err)
		}
	})
}

// TestClosedHere: the words after an end of our own.
func TestClosedHere(t *testing.T) {
	for name, end := range map[string]func(*websocket.Conn) error{
		"Close":    func(c *websocket.Conn) error { return c.Close(websocket.StatusGoingAway, "") },
		"CloseNow": func(c *websocket.Conn) error { c.CloseNow(); return c.Close(1000, "") },
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, agreeing(), echo, func(s *scene) {
				c := s.dial(websocket.WithReconnect(websocket.Reconnect{}))
				if err := end(c); err != nil {
					s.t.Errorf("Close: %v", err)
				}
				_, err := c.Read(s.t.Context())
				for what, err := range map[string]error{"Read": err, "Write": c.Write(s.t.Context(), websocket.Text, nil)} {
					if !errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "by the server") {
						s.t.Errorf("%s: %v", what, err)
					}
				}
			})
		})
	}
}

// TestClosedAfterLoss: what was lost can still be closed, and then says so.
func TestClosedAfterLoss(t *testing.T) {
	for name, opts := range map[string][]websocket.Option{
		"once":         nil,
		"reconnecting": {websocket.WithReconnect(websocket.Reconnect{Min: time.Hour})},
	} {
		for how, end := range map[string]func(*websocket.Conn){
			"Close":    func(c *websocket.Conn) { c.Close(1000, "") },
			"CloseNow": func(c *websocket.Conn) { c.CloseNow() },
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				bubble(t, agreeing(), func(p *peer) { p.close(1012, ""); p.frame() }, func(t *testing.T, s *scene) {
					c := s.dial(opts...)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if _, err := c.Read(ctx); err == nil {
						t.Error("no error")
					}
					end(c)
					_, err := c.Read(t.Context())
					for what, err := range map[string]error{"Read": err, "Write": c.Write(t.Context(), websocket.Text, nil)} {
						if !errors.Is(err, net.ErrClosed) || websocket.CloseStatus(err) != 1012 || websocket.Temporary(err) {
							t.Errorf("%s: %v", what, err)
						}
					}
					for _, err := range c.Messages(t.Context()) {
						t.Errorf("Messages: %v", err)
					}
					if err := c.Close(1000, ""); err != nil {
						t.Errorf("Close again: %v", err)
					}
				})
			})
		}
	}
}

// counted counts writes.
type counted struct {
	net.Conn
	writes *atomic.Int32
}

func (c counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestOneWrite: a message goes by one write, each with a mask of its own.
func TestOneWrite(t *testing.T) {
	var writes atomic.Int32
	var masks sync.Map
	wrap := func(c net.Conn) io.ReadWriteCloser { return counted{c, &writes} }
	piped(t, wrap, func(p *peer) {
		for {
			h, _, ok := p.frame()
			if !ok {
				return
			}
			if _, again := masks.LoadOrStore(h.Key, true); again || h.Key == 0 {
				p.t.Errorf("mask %#x again", h.Key)
			}
		}
	}, func(t *testing.T, s *scene) {
		for _, opts := range [][]websocket.Option{nil, {websocket.KeepAlive(time.Hour, time.Hour)}} {
			c := s.dial(opts...)
			for _, n := range []int{0, 10, 125, 126, 4000, 4082, 4096, 65535, 65536} {
				writes.Store(0)
				if err := c.Write(t.Context(), websocket.Binary, make([]byte, n)); err != nil || writes.Load() != 1 {
					t.Errorf("%d bytes: %d writes, %v", n, writes.Load(), err)
				}
			}
			c.CloseNow()
		}
	})
}

// TestOwnWindow: what we compress refers to messages before it, as far back as was
// agreed.
func TestOwnWindow(t *testing.T) {
	text := items(60) // more than 512 bytes, less than 4 KiB
	for _, row := range []struct {
		offer  websocket.Compression
		window int
		less   bool // the second message is much shorter than the first
	}{
		{websocket.Compression{}, 32 << 10, true},
		{websocket.Compression{ClientMaxWindowBits: 12}, 4 << 10, true},
		{websocket.Compression{ClientMaxWindowBits: 9}, 512, false},
		{websocket.Compression{ClientNoContextTakeover: true}, 0, false},
	} {
		t.Run(fmt.Sprintf("%+v", row.offer), func(t *testing.T) {
			bubble(t, deflating, func(p *peer) {
				var dict []byte
				var sizes []int
				for range 2 {
					h, payload, _ := p.frame()
					if !h.Compressed {
						p.t.Error("not compressed")
					}
					sizes = append(sizes, len(payload))
					r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")), dict)
					got, err := io.ReadAll(r)
					if err != nil || string(got) != text {
						p.t.Errorf("%.40q, %v", got, err)
					}
					dict = got[max(0, len(got)-row.window):]
				}
				if less := sizes[1] < sizes[0]/4; less != row.less {
					p.t.Errorf("sizes %v", sizes)
				}
				p.rest()
			}, func(t *testing.T, s *scene) {
				c := s.dial(websocket.Compress(row.offer))
				for range 2 {
					if err := c.Write(t.Context(), websocket.Text, []byte(text)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
			})
		})
	}
}
