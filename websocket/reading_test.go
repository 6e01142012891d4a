package websocket_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

// TestCancelledThenRead: a message whose first fragments a cancelled Read has seen
// is whole for whoever reads next.
func TestCancelledThenRead(t *testing.T) {
	read := func(s *scene, c *websocket.Conn, ctx context.Context) (string, error) {
		m, err := c.Read(ctx)
		return m.String(), err
	}
	stream := func(s *scene, c *websocket.Conn, ctx context.Context) (string, error) {
		_, r, err := c.Reader(ctx)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r)
		return string(b), err
	}
	for name, row := range map[string]struct {
		parts []string
		then  func(s *scene, c *websocket.Conn, ctx context.Context) (string, error)
	}{
		"Read":               {[]string{"\x01\x02He", "\x00\x02ll", "\x80\x01o"}, read},
		"Reader":             {[]string{"\x01\x02He", "\x00\x02ll", "\x80\x01o"}, stream},
		"Read, compressed":   {[]string{"\x41\x02\xf2\x00", "\x00\x01\x11", "\x80\x02\x00\x00"}, read},
		"Reader, compressed": {[]string{"\x41\x02\xf2\x00", "\x00\x01\x11", "\x80\x02\x00\x00"}, stream},
		"Read, stored block": {[]string{"\x41\x07\x00\x05\x00\xfa\xff\x48\x65", "\x00\x02\x6c\x6c", "\x80\x02\x6f\x00"}, read},
	} {
		t.Run(name, func(t *testing.T) {
			seen, goOn := make(chan struct{}), make(chan struct{})
			everywhere(t, deflating, func(p *peer) {
				p.raw("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00") // "Hello", which the compressed ones refer to
				for _, part := range row.parts[:2] {
					p.raw(part)
					p.send(ws.Ping, "") // answered when the part was seen
					p.want(ws.Pong)
					seen <- struct{}{}
					<-goOn
				}
				p.raw(row.parts[2])
				p.raw("\xc1\x05\xf2\x00\x11\x00\x00")
				p.rest()
			}, func(s *scene) {
				c := s.dial(websocket.Compress(websocket.Compression{}))
				if m, err := c.Read(s.t.Context()); err != nil || m.String() != "Hello" {
					s.t.Fatalf("%q, %v", m.Data, err)
				}
				for range 2 {
					ctx, cancel := context.WithCancel(s.t.Context())
					go func() { <-seen; cancel() }()
					if _, err := c.Read(ctx); !errors.Is(err, context.Canceled) {
						s.t.Fatalf("Read: %v", err)
					}
					goOn <- struct{}{}
				}
				if text, err := row.then(s, c, s.t.Context()); err != nil || text != "Hello" {
					s.t.Errorf("%q, %v", text, err)
				}
				if m, err := c.Read(s.t.Context()); err != nil || m.String() != "Hello" {
					s.t.Errorf("the message after it: %q, %v", m.Data, err)
				}
			})
		})
	}
}

// TestPingAfterTheMessage: the message before a pong is read by somebody who then
// reads no more.
func TestPingAfterTheMessage(t *testing.T) {
	var passed chan struct{}
	bubble(t, agreeing(), func(p *peer) {
		p.send(ws.Text, "first")
		payload := p.want(ws.Ping)
		<-passed
		p.send(ws.Pong, string(payload))
		p.rest()
	}, func(t *testing.T, s *scene) {
		passed = make(chan struct{})
		c := s.dial()
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() { done <- c.Ping(ctx) }()
		synctest.Wait()
		if m, err := c.Read(t.Context()); err != nil || m.String() != "first" {
			t.Errorf("%q, %v", m.Data, err)
		}
		close(passed)
		if err := <-done; err != nil {
			t.Errorf("Ping: %v", err)
		}
	})
}

// TestWrongPong: only a pong that repeats a ping's payload answers it.
func TestWrongPong(t *testing.T) {
	bubble(t, agreeing(), func(p *peer) {
		payload := p.want(ws.Ping)
		p.send(ws.Pong, "")
		p.send(ws.Pong, string(payload[:7]))
		p.send(ws.Pong, string(binary.BigEndian.AppendUint64(nil, 1<<40)))
		p.send(ws.Pong, string(binary.BigEndian.AppendUint64(nil, 0)))
		p.rest()
	}, func(t *testing.T, s *scene) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.dial().Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ping: %v", err)
		}
	})
}

// TestKeepAliveWhileWriting: a peer that takes what is sent is alive, one that
// takes nothing is not.
func TestKeepAliveWhileWriting(t *testing.T) {
	var over chan struct{}
	for name, row := range map[string]struct {
		script func(p *peer)
		alive  bool
	}{
		"slow": {func(p *peer) {
			for range 10 {
				io.CopyN(io.Discard, p.r, 100<<10)
				<-time.After(900 * time.Millisecond)
			}
			p.send(ws.Text, "done")
			p.rest()
		}, true},
		"deaf": {func(*peer) { <-over }, false},
	} {
		t.Run(name, func(t *testing.T) {
			piped(t, nil, row.script, func(t *testing.T, s *scene) {
				over = make(chan struct{})
				defer close(over)
				c := s.dial(websocket.KeepAlive(2*time.Second, time.Second))
				wrote := make(chan error, 1)
				go func() { wrote <- c.Write(t.Context(), websocket.Binary, make([]byte, 1000<<10)) }()
				m, err := c.Read(t.Context())
				if row.alive && (err != nil || m.String() != "done") {
					t.Errorf("%q, %v", m.Data, err)
				}
				if _, dead := errors.AsType[*websocket.PongTimeoutError](err); dead == row.alive {
					t.Errorf("Read: %v", err)
				}
				if err := <-wrote; (err == nil) != row.alive {
					t.Errorf("Write: %v", err)
				}
			})
		})
	}
}

// TestKeepAliveWithoutReader: nothing can be said of a peer while nobody reads.
func TestKeepAliveWithoutReader(t *testing.T) {
	bubble(t, agreeing(), (*peer).rest, func(t *testing.T, s *scene) {
		c := s.dial(websocket.KeepAlive(time.Second, time.Second))
		<-time.After(time.Minute)
		if err := c.Write(t.Context(), websocket.Text, nil); err != nil {
			t.Errorf("Write: %v", err)
		}
	})
}

// TestSessionEnds: the end of the context is the error, whatever f makes of it.
func TestSessionEnds(t *testing.T) {
	why := errors.New("enough")
	drain := func(ctx context.Context, c *websocket.Conn) (err error) {
		for _, err = range c.Messages(ctx) {
		}
		return err
	}
	for _, row := range []struct {
		name string
		f    func(ctx context.Context, c *websocket.Conn) error
		want error
	}{
		{"f returns the error", drain, why},
		{"f reads on", func(_ context.Context, c *websocket.Conn) error { return drain(context.Background(), c) }, why},
		{"f returns nil", func(ctx context.Context, c *websocket.Conn) error { drain(ctx, c); return nil }, why},
		{"f closes", func(_ context.Context, c *websocket.Conn) error { return c.Close(3000, "") }, nil},
		{"f closes now", func(_ context.Context, c *websocket.Conn) error { c.CloseNow(); return nil }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, agreeing(), echo, func(t *testing.T, s *scene) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				time.AfterFunc(time.Second, func() { cancel(why) })
				err := websocket.Session(ctx, s.client, s.url, func(c *websocket.Conn) error { return row.f(ctx, c) })
				if err != row.want {
					t.Errorf("Session: %v, want %v", err, row.want)
				}
			})
		})
	}
}

// TestCostlyMessages: ReadLimit bounds the work for a message, too.
func TestCostlyMessages(t *testing.T) {
	for name, wire := range map[string]string{
		"empty frames":             "\x02\x00" + strings.Repeat("\x00\x00", 2000),
		"empty frames, compressed": "\x42\x00" + strings.Repeat("\x00\x00", 2000),
		"empty blocks":             "\x42\x7e\xff\xff" + strings.Repeat("\x00\x00\x00\xff\xff", 0xffff/5),
		"empty blocks in frames":   "\x42\x05\x00\x00\x00\xff\xff" + strings.Repeat("\x00\x05\x00\x00\x00\xff\xff", 3000),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, deflating, func(p *peer) {
				p.raw(wire)
				p.rest()
			}, func(t *testing.T, s *scene) {
				c := s.dial(websocket.Compress(websocket.Compression{}), websocket.ReadLimit(1000))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := c.Read(ctx); !errors.Is(err, websocket.ErrMessageTooLarge) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// TestDeclaredLength: a length alone costs no memory.
func TestDeclaredLength(t *testing.T) {
	bubble(t, agreeing(), func(p *peer) {
		p.raw("\x82\x7f\x00\x00\x00\x00\x40\x00\x00\x00" + "few")
		p.rest()
	}, func(t *testing.T, s *scene) {
		c := s.dial(websocket.ReadLimit(0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("%d bytes were allocated", n)
		}
	})
}

func TestNetConnEnds(t *testing.T) {
	t.Run("after Close", func(t *testing.T) {
		everywhere(t, agreeing(), echo, func(s *scene) {
			nc := s.dial().NetConn(s.t.Context(), websocket.Binary)
			if err := nc.Close(); err != nil {
				s.t.Error(err)
			}
			_, err := nc.Read(make([]byte, 1))
			_, werr := nc.Write(make([]byte, 1))
			if !errors.Is(err, net.ErrClosed) || !errors.Is(werr, net.ErrClosed) {
				s.t.Errorf("Read %v, Write %v", err, werr)
			}
		})
	})
	t.Run("after the server's close", func(t *testing.T) {
		bubble(t, agreeing(), func(p *peer) { p.close(1000, ""); p.frame() }, func(t *testing.T, s *scene) {
			nc := s.dial().NetConn(t.Context(), websocket.Binary)
			if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("Read: %v", err)
			}
			if _, err := nc.Write(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("Write: %v", err)
			}
		})
	})
	t.Run("the other type", func(t *testing.T) {
		bubble(t, agreeing(), func(p *peer) {
			p.send(ws.Text, "x")
			if code, _, _ := ws.ParseClose(p.want(ws.Close)); code != 1003 {
				p.t.Errorf("the server was told %d", code)
			}
			p.close(1003, "")
		}, func(t *testing.T, s *scene) {
			nc := s.dial().NetConn(t.Context(), websocket.Binary)
			if _, err := nc.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "text message") {
				t.Errorf("Read: %v", err)
			}
		})
	})
	t.Run("a deadline in a frame", func(t *testing.T) {
		var more chan struct{}
		bubble(t, agreeing(), func(p *peer) {
			p.raw("\x82\x05ab")
			<-more
			p.raw("cde")
			p.rest()
		}, func(t *testing.T, s *scene) {
			more = make(chan struct{})
			nc, got := s.dial().NetConn(t.Context(), websocket.Binary), make([]byte, 5)
			nc.SetReadDeadline(time.Now().Add(time.Second))
			n, err := io.ReadFull(nc, got)
			if n != 2 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%d bytes, %v", n, err)
			}
			if n, err := nc.Read(got[2:]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("after it %d bytes, %v", n, err)
			}
			close(more)
			nc.SetReadDeadline(time.Time{})
			if _, err := io.ReadFull(nc, got[2:]); err != nil || string(got) != "abcde" {
				t.Errorf("%q, %v", got, err)
			}
		})
	})
	t.Run("lost in a message", func(t *testing.T) {
		var dials atomic.Int32
		bubble(t, agreeing(), func(p *peer) {
			if dials.Add(1) == 1 {
				p.raw("\x82\x05ab")
				return
			}
			p.send(ws.Binary, "again")
			p.rest()
		}, func(t *testing.T, s *scene) {
			nc, got := s.dial(websocket.WithReconnect(websocket.Reconnect{})).NetConn(t.Context(), websocket.Binary), make([]byte, 5)
			if n, err := io.ReadFull(nc, got); n != 2 || err == nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			if _, err := io.ReadFull(nc, got); err != nil || string(got) != "again" {
				t.Errorf("%q, %v", got, err)
			}
		})
	})
}

// TestNetConnSilent: a server that says no farewell holds up Close alone.
func TestNetConnSilent(t *testing.T) {
	const limit = 3 * time.Second
	silent := func(t *testing.T, script func(*peer), f func(nc net.Conn), opts ...websocket.Option) {
		bubble(t, deflating, func(p *peer) { script(p); p.rest() }, func(t *testing.T, s *scene) {
			f(s.dial(append(opts, websocket.CloseTimeout(limit))...).NetConn(t.Context(), websocket.Binary))
		})
	}
	t.Run("the other type", func(t *testing.T) {
		silent(t, func(p *peer) { p.send(ws.Text, "x") }, func(nc net.Conn) {
			began := time.Now()
			nc.SetReadDeadline(began.Add(time.Second))
			if _, err := nc.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "text message") || time.Since(began) != time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
	for name, row := range map[string]struct {
		script func(*peer)
		opts   []websocket.Option
	}{
		"Close":                       {func(*peer) {}, nil},
		"Close in a frame":            {func(p *peer) { p.raw("\x82\x05ab") }, nil},
		"Close in a compressed frame": {func(p *peer) { p.raw("\xc2\x05") }, []websocket.Option{websocket.Compress(websocket.Compression{})}},
		"Close, and a farewell in time": {func(p *peer) {
			if code, _, _ := ws.ParseClose(p.want(ws.Close)); code != 1000 {
				p.t.Errorf("the server was told %d", code)
			}
			p.close(1000, "")
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			silent(t, row.script, func(nc net.Conn) {
				began, end := time.Now(), make(chan error)
				go func() {
					_, err := io.ReadFull(nc, make([]byte, 9))
					if time.Since(began) != time.Minute {
						t.Errorf("the Read ended after %v", time.Since(began))
					}
					end <- err
				}()
				<-time.After(time.Minute)
				closed := make(chan error, 1)
				go func() { closed <- nc.Close() }()
				if err := <-end; err != net.ErrClosed && err != io.ErrUnexpectedEOF {
					t.Errorf("Read: %v", err)
				}
				err, took := <-closed, time.Since(began)-time.Minute
				if bid := strings.Contains(name, "in time"); bid != (err == nil) || !bid && (!errors.Is(err, context.DeadlineExceeded) || took != limit) {
					t.Errorf("Close: %v after %v", err, took)
				}
			}, row.opts...)
		})
	}
	t.Run("nothing to read into", func(t *testing.T) {
		silent(t, func(*peer) {}, func(nc net.Conn) {
			if n, err := nc.Read(nil); n != 0 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	})
}

// TestStalledRefusal: the body of a refusal has the call's time, not more, and what
// is known of the refusal is the error in any case.
func TestStalledRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := mock.Func(func(context.Context, *mock.Request) (*mock.Response, error) {
			return mock.Text(200, "").WithStream(func(ctx context.Context, _ io.Writer) error {
				<-ctx.Done()
				return ctx.Err()
			}), nil
		})
		c := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(stalled)}}))
		defer c.Join(context.WithoutCancel(t.Context()))
		defer c.Close()
		short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		for _, row := range []struct {
			limit time.Duration
			ctx   context.Context
			opts  []websocket.Option
		}{
			{300 * time.Millisecond, short, nil},
			{500 * time.Millisecond, t.Context(), []websocket.Option{godwit.Timeout(500 * time.Millisecond)}},
			{5 * time.Second, t.Context(), nil},
		} {
			began, limit := time.Now(), row.limit
			_, err := websocket.Dial(row.ctx, c, "ws://mock.test/", row.opts...)
			if _, ok := errors.AsType[*websocket.HandshakeError](err); !ok || time.Since(began) != limit {
				t.Errorf("%v after %v, want %v", err, time.Since(began), limit)
			}
		}
	})
}

// TestNoSubprotocol: none offered is no field.
func TestNoSubprotocol(t *testing.T) {
	bubble(t, func(r *http.Request) (int, http.Header) {
		if v, ok := r.Header["Sec-Websocket-Protocol"]; ok {
			t.Errorf("sent %q", v)
		}
		return agreeing()(r)
	}, (*peer).rest, func(t *testing.T, s *scene) { s.dial(websocket.Subprotocol()) })
}
