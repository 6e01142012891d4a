package websocket_test

import (
	"context"
	"crypto/rand"
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
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/plugins/negotiate"
	"github.com/godwit-go/godwit/websocket"
)

// bare is an engine whose upgraded streams have no deadlines.
type bare struct{ engine.Engine }

func (b bare) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	resp, err := b.Engine.Execute(ctx, req)
	if err == nil && resp.Upgraded != nil {
		resp.Upgraded = stream{resp.Upgraded}
	}
	return resp, err
}

// TestCompression: what a server that echoes compressed frames as they are sends
// back can be read, whatever was agreed of windows and takeover.
func TestCompression(t *testing.T) {
	noise := make([]byte, 3000)
	rand.Read(noise)
	for _, offer := range []websocket.Compression{
		{},
		{ClientNoContextTakeover: true},
		{ClientNoContextTakeover: true, ServerNoContextTakeover: true},
		{ClientMaxWindowBits: 8, ServerMaxWindowBits: 8},
		{ClientMaxWindowBits: 9, ServerMaxWindowBits: 15},
		{ClientMaxWindowBits: 12, ServerMaxWindowBits: 12},
	} {
		t.Run(fmt.Sprintf("%+v", offer), func(t *testing.T) {
			offer.Threshold = 1
			everywhere(t, deflating, echo, func(s *scene) {
				c := s.dial(websocket.Compress(offer))
				if !strings.HasPrefix(c.Extensions(), "permessage-deflate") {
					s.t.Fatalf("Extensions %q", c.Extensions())
				}
				if offer.ServerNoContextTakeover != offer.ClientNoContextTakeover {
					return // what we send can't be echoed then
				}
				for i := range 12 {
					want := strings.Repeat(fmt.Sprint("message ", i, " é "), 1+i*i*40)
					if i%3 == 2 {
						want = string(noise)
					}
					kind := websocket.Text
					if i%3 == 2 {
						kind = websocket.Binary
					}
					if err := c.Write(s.t.Context(), kind, []byte(want)); err != nil {
						s.t.Fatal(err)
					}
					if m, err := c.Read(s.t.Context()); err != nil || m.String() != want {
						s.t.Fatalf("message %d: %d bytes of %d, %v", i, len(m.Data), len(want), err)
					}
				}
				c.Close(1000, "")
			})
		})
	}
}

// TestCompressedFromServer: RFC 7692 §7.2.3, message by message.
func TestCompressedFromServer(t *testing.T) {
	for _, row := range []struct {
		name string
		wire []string
		want string // messages joined by |
		says string
	}{
		{"one block", []string{"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"}, "Hello", ""},
		{"fragments", []string{"\x41\x03\xf2\x48\xcd", "\x80\x04\xc9\xc9\x07\x00"}, "Hello", ""},
		{"context taken over", []string{"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", "\xc1\x05\xf2\x00\x11\x00\x00"}, "Hello|Hello", ""},
		{"stored block", []string{"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"}, "Hello", ""},
		{"last block", []string{"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00"}, "Hello", ""},
		{"two blocks", []string{"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"}, "Hello", ""},
		{"empty", []string{"\xc1\x01\x00"}, "", ""},
		{"not compressed", []string{"\x81\x02hi"}, "hi", ""},
		{"garbage", []string{"\xc1\x03\xff\xff\xff"}, "", "compressed data"},
		{"text not UTF-8", []string{"\xc1\x07\x00\x01\x00\xfe\xff\xff\x00"}, "", "UTF-8"},
	} {
		t.Run(row.name, func(t *testing.T) {
			everywhere(t, deflating, func(p *peer) {
				for _, f := range row.wire {
					p.raw(f)
				}
				p.close(1000, "")
				p.frame()
			}, func(s *scene) {
				c := s.dial(websocket.Compress(websocket.Compression{}))
				var got []string
				var failed error
				for m, err := range c.Messages(s.t.Context()) {
					if failed = err; err == nil {
						got = append(got, m.String())
					}
				}
				if strings.Join(got, "|") != row.want || row.says == "" && failed != nil || row.says != "" && (failed == nil || !strings.Contains(failed.Error(), row.says)) {
					s.t.Errorf("got %q, %v", got, failed)
				}
			})
		})
	}
}

// TestBomb: the limit holds for what comes out of a compressed message.
func TestBomb(t *testing.T) {
	everywhere(t, deflating, echo, func(s *scene) {
		c := s.dial(websocket.Compress(websocket.Compression{}), websocket.ReadLimit(1000))
		c.Write(s.t.Context(), websocket.Binary, make([]byte, 1<<20))
		if _, err := c.Read(s.t.Context()); !errors.Is(err, websocket.ErrMessageTooLarge) {
			s.t.Errorf("error %v", err)
		}
	})
}

func TestConcurrentWriters(t *testing.T) {
	everywhere(t, agreeing(), echo, func(s *scene) {
		c := s.dial()
		const writers, each = 8, 20
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for j := range each {
					text := fmt.Sprintf("%d:%d:%s", i, j, strings.Repeat("x", i*j*10))
					if i%2 == 0 {
						w, err := c.Writer(s.t.Context(), websocket.Text)
						if err != nil {
							s.t.Error(err)
							return
						}
						io.WriteString(w, text[:2])
						io.WriteString(w, text[2:])
						if err := w.Close(); err != nil {
							s.t.Error(err)
						}
					} else if err := c.Write(s.t.Context(), websocket.Text, []byte(text)); err != nil {
						s.t.Error(err)
					}
				}
			})
		}
		next := make([]int, writers)
		for range writers * each {
			m, err := c.Read(s.t.Context())
			if err != nil {
				s.t.Fatal(err)
			}
			var i, j int
			fmt.Sscanf(m.String(), "%d:%d:", &i, &j)
			if j != next[i] {
				s.t.Fatalf("writer %d: message %d, want %d", i, j, next[i])
			}
			next[i]++
		}
		wg.Wait()
	})
}

// TestPongWhileWriting: a ping is answered though a message is being written in
// pieces, and a reader never waits for a writer.
func TestPongWhileWriting(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) {
		p.want(ws.Text)
		p.send(ws.Ping, "now")
		if got := p.want(ws.Pong); string(got) != "now" {
			p.t.Errorf("pong %q", got)
		}
		p.send(ws.Text, "go on")
		p.want(ws.Continuation)
		p.send(ws.Text, "done")
		p.rest()
	}, func(s *scene) {
		c := s.dial()
		w, err := c.Writer(s.t.Context(), websocket.Text)
		if err != nil {
			s.t.Fatal(err)
		}
		io.WriteString(w, strings.Repeat("x", 5000))
		if m, err := c.Read(s.t.Context()); err != nil || m.String() != "go on" {
			s.t.Fatalf("%q, %v", m.Data, err)
		}
		w.Close()
		if m, err := c.Read(s.t.Context()); err != nil || m.String() != "done" {
			s.t.Fatalf("%q, %v", m.Data, err)
		}
	})
}

type greeting struct {
	Name string
	N    int
}

func TestJSON(t *testing.T) {
	everywhere(t, agreeing(), echo, func(s *scene) {
		c := s.dial()
		want := greeting{"Ada", 7}
		if err := c.WriteJSON(s.t.Context(), want); err != nil {
			s.t.Fatal(err)
		}
		if got, err := websocket.ReadJSON[greeting](s.t.Context(), c); err != nil || got != want {
			s.t.Errorf("%+v, %v", got, err)
		}
		c.Write(s.t.Context(), websocket.Text, []byte("{"))
		if _, err := websocket.ReadJSON[greeting](s.t.Context(), c); err == nil {
			s.t.Error("no error for what is no JSON")
		}
		if err := c.Ping(s.t.Context()); err != nil {
			s.t.Errorf("the connection did not survive: %v", err)
		}
	})
}

// TestJSONByPlugins: what a plugin knows of decoding holds for messages, too; values
// that godwit.Decode would not ask it for are JSON as all others.
func TestJSONByPlugins(t *testing.T) {
	strict := negotiate.Config{Codecs: []godwit.Codec{negotiate.JSON{Mode: negotiate.Strict}}}
	for name, opts := range map[string][]godwit.ClientOption{"none": nil, "negotiate": {godwit.Install(negotiate.New(strict))}} {
		t.Run(name, func(t *testing.T) {
			onMock(t, echo, func(s *scene) {
				c := s.dial()
				read[greeting](t, c, `{"Name":"Ada","N":7}`, greeting{"Ada", 7}, true)
				read[greeting](t, c, `{"Name":"Ada","N":7,"More":1}`, greeting{"Ada", 7}, opts == nil)
				read(t, c, `"a\tb"`, "a\tb", true)
				read(t, c, `a`, "", false)
				read(t, c, ` 5 `, 5, true)
				read(t, c, `0x5`, 0, false)
				read(t, c, `404`, godwit.StatusNotFound, true)
				read(t, c, `null`, greeting{}, true)
				read(t, c, ``, greeting{}, false)
				read[*greeting](t, c, ``, nil, false)
				read[any](t, c, `true`, true, true)
			}, opts...)
		})
	}
}

// read has text sent back, and reads it as a T.
func read[T comparable](t *testing.T, c *websocket.Conn, text string, want T, ok bool) {
	t.Helper()
	c.Write(t.Context(), websocket.Text, []byte(text))
	got, err := websocket.ReadJSON[T](t.Context(), c)
	if (err == nil) != ok || ok && got != want {
		t.Errorf("%s as %T: %v, %v", text, want, got, err)
	}
	if _, undecoded := errors.AsType[*godwit.DecodeError](err); undecoded == ok {
		t.Errorf("%s as %T: %v", text, want, err)
	}
}

func TestPingBehindAMessage(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) {
		p.send(ws.Text, "first")
		echo(p)
	}, func(s *scene) {
		c := s.dial()
		done := make(chan error, 1)
		go func() { done <- c.Ping(s.t.Context()) }()
		if m, err := c.Read(s.t.Context()); err != nil || m.String() != "first" {
			s.t.Fatalf("%q, %v", m.Data, err)
		}
		go c.Read(s.t.Context())
		if err := <-done; err != nil {
			s.t.Error(err)
		}
		c.CloseNow()
	})
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		onMock(t, echo, func(s *scene) {
			c := s.dial(websocket.KeepAlive(10*time.Second, 2*time.Second))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a server that answers: %v", err)
			}
			c.CloseNow()
		})
		onMock(t, func(p *peer) { p.rest() }, func(s *scene) {
			c := s.dial(websocket.KeepAlive(10*time.Second, 2*time.Second))
			began := time.Now()
			_, err := c.Read(t.Context())
			e, ok := errors.AsType[*websocket.PongTimeoutError](err)
			if !ok || e.Limit != 2*time.Second || time.Since(began) != 12*time.Second {
				t.Errorf("a silent server: %v after %v", err, time.Since(began))
			}
		})
	})
}

// TestReconnect: the server ends each connection after a message, and the reader
// sees one stream.
func TestReconnect(t *testing.T) {
	for name, end := range map[string]func(*peer){
		"lost":   func(*peer) {},
		"closed": func(p *peer) { p.close(1012, "restart"); p.frame() },
	} {
		t.Run(name, func(t *testing.T) {
			var dials, hooks atomic.Int32
			everywhere(t, agreeing(), func(p *peer) {
				n := dials.Add(1)
				topic := p.want(ws.Text)
				p.send(ws.Text, fmt.Sprint(string(topic), n))
				end(p)
			}, func(s *scene) {
				dials.Store(0)
				hooks.Store(0)
				subscribe := func(ctx context.Context, c *websocket.Conn) error {
					hooks.Add(1)
					return c.Write(ctx, websocket.Text, []byte("topic"))
				}
				c := s.dial(websocket.WithReconnect(websocket.Reconnect{Min: time.Millisecond, Max: 2 * time.Millisecond, Subscribe: subscribe}))
				c.Write(s.t.Context(), websocket.Text, []byte("first"))
				for i, want := range []string{"first1", "topic2", "topic3"} {
					if m, err := c.Read(s.t.Context()); err != nil || m.String() != want {
						s.t.Fatalf("message %d: %q, %v", i, m.Data, err)
					}
				}
				if hooks.Load() != 2 {
					s.t.Errorf("%d hooks", hooks.Load())
				}
				c.CloseNow()
				if _, err := c.Read(s.t.Context()); !errors.Is(err, net.ErrClosed) {
					s.t.Errorf("Read after CloseNow: %v", err)
				}
			})
		})
	}
}

// TestNoReconnect: a normal end is an end.
func TestNoReconnect(t *testing.T) {
	onMock(t, func(p *peer) { p.close(1000, ""); p.frame() }, func(s *scene) {
		c := s.dial(websocket.WithReconnect(websocket.Reconnect{}))
		if _, err := c.Read(t.Context()); websocket.CloseStatus(err) != 1000 {
			t.Error(err)
		}
	})
}

func TestNetConn(t *testing.T) {
	everywhere(t, agreeing(), echo, func(s *scene) {
		nc := s.dial(websocket.ReadLimit(10)).NetConn(s.t.Context(), websocket.Binary)
		want := strings.Repeat("0123456789", 10_000)
		go io.WriteString(nc, want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || string(got) != want {
			s.t.Fatalf("%d bytes, %v", len(got), err)
		}
		nc.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := nc.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Fatalf("Read past the deadline: %v", err)
		}
		nc.SetReadDeadline(time.Time{})
		io.WriteString(nc, "again")
		if n, err := io.ReadFull(nc, got[:5]); err != nil || string(got[:n]) != "again" {
			s.t.Fatalf("%q, %v", got[:n], err)
		}
		if nc.LocalAddr() == nil || nc.RemoteAddr() == nil {
			s.t.Error("no address")
		}
		if err := nc.Close(); err != nil {
			s.t.Error(err)
		}
	})
}

func TestNetConnEOF(t *testing.T) {
	onMock(t, func(p *peer) {
		p.send(ws.Binary, "last")
		p.close(1000, "")
		p.frame()
	}, func(s *scene) {
		if b, err := io.ReadAll(s.dial().NetConn(t.Context(), websocket.Binary)); err != nil || string(b) != "last" {
			t.Errorf("%q, %v", b, err)
		}
	})
}
