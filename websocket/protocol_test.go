package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/plugins/retry"
	"github.com/godwit-go/godwit/websocket"
)

// TestBrokenPeers: what the server may not send ends the connection, and it is
// told why.
func TestBrokenPeers(t *testing.T) {
	for _, row := range []struct {
		name, wire string
		code       int
		says       string
	}{
		{"reserved bit", "\xa1\x00", 1002, "reserved"},
		{"RSV1 without compression", "\xc1\x00", 1002, "reserved"},
		{"reserved opcode", "\x83\x00", 1002, "opcode"},
		{"masked", "\x81\x80abcd", 1002, "masked"},
		{"fragmented ping", "\x09\x00", 1002, "fragmented"},
		{"continuation first", "\x80\x00", 1002, "continuation"},
		{"message in a message", "\x01\x01a\x81\x01b", 1002, "inside"},
		{"close of one byte", "\x88\x01\x03", 1002, "one byte"},
		{"close code 1005", "\x88\x02\x03\xed", 1002, "1005"},
		{"close reason not UTF-8", "\x88\x03\x03\xe8\xff", 1007, "UTF-8"},
		{"text not UTF-8", "\x81\x02a\xff", 1007, "UTF-8"},
		{"text not UTF-8, seen before its end", "\x01\x03a\xed\xa0", 1007, "UTF-8"},
		{"text not UTF-8, in an unfinished frame", "\x81\x7e\x01\x00ab\xff", 1007, "UTF-8"},
		{"text cut inside a character", "\x01\x01\xe2\x80\x01\x82", 1007, "UTF-8"},
		{"too large", "\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x01", 1009, "ReadLimit"},
		{"too large in fragments", "\x02\x01a\x80\x7f\x00\x00\x00\x00\x00\x10\x00\x00", 1009, "ReadLimit"},
	} {
		t.Run(row.name, func(t *testing.T) {
			told := make(chan []byte, 1)
			onMock(t, func(p *peer) {
				p.raw(row.wire)
				told <- p.want(ws.Close)
				p.rest()
			}, func(s *scene) {
				c := s.dial()
				_, err := c.Read(t.Context())
				if err == nil || !strings.Contains(err.Error(), row.says) {
					t.Errorf("error %v, want %q", err, row.says)
				}
				if code, _, _ := ws.ParseClose(<-told); code != row.code {
					t.Errorf("the server was told %d, want %d", code, row.code)
				}
				if row.code == 1009 && !errors.Is(err, websocket.ErrMessageTooLarge) {
					t.Errorf("%v is not ErrMessageTooLarge", err)
				}
				if _, again := c.Read(t.Context()); again == nil || again.Error() != err.Error() {
					t.Errorf("the next read: %v", again)
				}
				if err := c.Write(t.Context(), websocket.Binary, nil); err == nil {
					t.Error("Write after that succeeds")
				}
			})
		})
	}
}

// TestByteByByte: a conversation is the same in whatever pieces it comes.
func TestByteByByte(t *testing.T) {
	wire := "\x89\x02pi" + "\x01\x04\xe2\x82\xac!" + "\x89\x00" + "\x00\x00" + "\x80\x03end" + "\x8a\x01x" + "\x82\x7e\x00\x7e" + strings.Repeat("b", 126) + "\x88\x05\x03\xe9bye"
	onMock(t, func(p *peer) {
		for i := range len(wire) {
			p.raw(wire[i : i+1])
		}
		if got := p.want(ws.Pong); string(got) != "pi" {
			p.t.Errorf("pong %q", got)
		}
		p.want(ws.Pong)
		if code, reason, _ := ws.ParseClose(p.want(ws.Close)); code != 1001 || reason != "" {
			p.t.Errorf("close %d %q", code, reason)
		}
	}, func(s *scene) {
		c := s.dial()
		var got []string
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Type.String()+" "+m.String())
		}
		if want := []string{"text €!end", "binary " + strings.Repeat("b", 126)}; strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("got %q", got)
		}
		_, err := c.Read(t.Context())
		var e *websocket.CloseError
		if !errors.As(err, &e) || e.Code != 1001 || e.Reason != "bye" {
			t.Errorf("error %v", err)
		}
	})
}

func TestHandshake(t *testing.T) {
	const key, protocols = "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"
	change := func(name, value string) answer {
		return func(r *http.Request) (int, http.Header) {
			status, h := agreeing()(r)
			h.Del(name)
			if value != "" {
				h.Set(name, value)
			}
			return status, h
		}
	}
	for _, row := range []struct {
		name   string
		answer answer
		opts   []websocket.Option
		fails  string
	}{
		{name: "plain", answer: agreeing()},
		{name: "fields in other case", answer: func(r *http.Request) (int, http.Header) {
			_, h := agreeing()(r)
			h.Set("Upgrade", "WebSocket")
			h.Set("Connection", "keep-alive, upgrade")
			return 101, h
		}},
		{name: "sub-protocol", answer: agreeing(protocols, "b"), opts: []websocket.Option{websocket.Subprotocol("a", "b")}},
		{name: "refused", answer: func(*http.Request) (int, http.Header) { return 403, http.Header{} }, fails: "403"},
		{name: "refused, where success is expected", answer: func(*http.Request) (int, http.Header) { return 403, http.Header{} },
			opts: []websocket.Option{godwit.ExpectSuccess(true)}, fails: "403"},
		{name: "extensions of no name", answer: agreeing("Sec-WebSocket-Extensions", ",")},
		{name: "another protocol", answer: func(*http.Request) (int, http.Header) { return 426, http.Header{"Upgrade": {"h2c"}} }, fails: "h2c"},
		{name: "another version", answer: refusing(426, "Upgrade", "websocket", "Sec-WebSocket-Version", "8", "Sec-WebSocket-Version", "7"), fails: "Sec-WebSocket-Version: 8, 7, where 13 was sent"},
		{name: "an ordinary page", answer: func(*http.Request) (int, http.Header) { return 200, http.Header{} }, fails: "200"},
		{name: "wrong key", answer: change(key, "AAAA"), fails: key},
		{name: "no key", answer: change(key, ""), fails: key},
		{name: "two protocols", answer: change("Upgrade", "websocket, h2c"), fails: "Upgrade"},
		{name: "sub-protocol not offered", answer: agreeing(protocols, "c"), opts: []websocket.Option{websocket.Subprotocol("a")}, fails: "not offered"},
		{name: "extension not offered", answer: agreeing("Sec-WebSocket-Extensions", "permessage-deflate"), fails: "not offered"},
		{name: "bad extension", answer: agreeing("Sec-WebSocket-Extensions", "permessage-deflate; x"),
			opts: []websocket.Option{websocket.Compress(websocket.Compression{})}, fails: "unknown parameter"},
	} {
		t.Run(row.name, func(t *testing.T) {
			everywhere(t, row.answer, func(p *peer) { p.rest() }, func(s *scene) {
				c, err := websocket.Dial(s.t.Context(), s.client, s.url, row.opts...)
				if row.fails == "" {
					if err != nil {
						s.t.Fatal(err)
					}
					if x := c.Extensions(); x != "" {
						s.t.Errorf("extensions %q", x)
					}
					c.CloseNow()
					return
				}
				e, ok := errors.AsType[*websocket.HandshakeError](err)
				if !ok || !strings.Contains(err.Error(), row.fails) {
					s.t.Fatalf("error %v, want %q", err, row.fails)
				}
				if e.Response.Status != 101 && e.Response.Text() != "refused" {
					s.t.Errorf("the response's body is %q", e.Response.Text())
				}
			})
		})
	}
}

// TestNotSwitched: a 101 that does not say to what.
func TestNotSwitched(t *testing.T) {
	for _, missing := range []string{"Upgrade", "Connection"} {
		srv := httptest.NewServer(server(t, func(r *http.Request) (int, http.Header) {
			_, h := agreeing()(r)
			h.Del(missing)
			return 101, h
		}, (*peer).rest))
		defer srv.Close()
		c := godwit.New(godwit.WithEngine(cio.Config{}))
		defer c.Close()
		_, err := websocket.Dial(t.Context(), c, srv.URL)
		if e, ok := errors.AsType[*websocket.HandshakeError](err); !ok || e.Response.Status != 101 || websocket.Temporary(err) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

func TestBadArguments(t *testing.T) {
	for name, dial := range map[string]struct {
		url  string
		opt  websocket.Option
		says string
	}{
		"scheme":        {"ftp://h/", nil, "ftp"},
		"fragment":      {"ws://h/#x", nil, "fragment"},
		"one slash":     {"ws:/h/", nil, "write ws://host/path"},
		"no slash":      {"WSS:u:secret@h", nil, "write wss://host/path"},
		"limit":         {"ws://h/", websocket.ReadLimit(-1), "ReadLimit"},
		"keep-alive":    {"ws://h/", websocket.KeepAlive(0, 1), "KeepAlive"},
		"close":         {"ws://h/", websocket.CloseTimeout(0), "CloseTimeout"},
		"sub-protocol":  {"ws://h/", websocket.Subprotocol("a b"), "a b"},
		"offered twice": {"ws://h/", websocket.Subprotocol("a", "b", "a"), "twice"},
		"window":        {"ws://h/", websocket.Compress(websocket.Compression{ServerMaxWindowBits: 7}), "window bits"},
		"backoff":       {"ws://h/", websocket.WithReconnect(websocket.Reconnect{Min: -1}), "Min"},
		"body":          {"ws://h/", godwit.Body("x"), "GET without a body"},
	} {
		t.Run(name, func(t *testing.T) {
			onMock(t, echo, func(s *scene) {
				if _, err := websocket.Dial(t.Context(), s.client, dial.url, dial.opt); err == nil || !strings.Contains(err.Error(), dial.says) {
					t.Errorf("error %v, want %q", err, dial.says)
				}
			})
		})
	}
	onMock(t, echo, func(s *scene) {
		c := s.dial()
		for name, err := range map[string]error{
			"text":   c.Write(t.Context(), websocket.Text, []byte("\xff")),
			"type":   c.Write(t.Context(), 7, nil),
			"code":   c.Close(1005+1, ""),
			"reason": c.Close(1000, strings.Repeat("x", 124)),
		} {
			if err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("the connection did not survive: %v", err)
		}
	})
}

// TestOptionsOfTheClient: what is set on a client holds for its connections, and
// its fields, credentials and time limits for the handshake.
func TestOptionsOfTheClient(t *testing.T) {
	got := make(chan *http.Request, 10)
	everywhere(t, func(r *http.Request) (int, http.Header) {
		got <- r
		return agreeing()(r)
	}, func(p *peer) { p.send(ws.Binary, "12345"); p.rest() }, func(s *scene) {
		ctx, cancel := context.WithCancel(s.t.Context())
		c, err := websocket.Dial(ctx, s.client, s.url, godwit.Header("X-Own", "2"), godwit.Timeout(time.Second))
		if err != nil {
			s.t.Fatal(err)
		}
		cancel() // ends with the handshake
		r := <-got
		for name, want := range map[string]string{"X-Client": "1", "X-Own": "2", "Authorization": "Bearer t", "Sec-Websocket-Version": "13"} {
			if r.Header.Get(name) != want {
				s.t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
			}
		}
		if _, err := c.Read(s.t.Context()); !errors.Is(err, websocket.ErrMessageTooLarge) {
			s.t.Errorf("the client's ReadLimit: %v", err)
		}
	}, godwit.Header("X-Client", "1"), godwit.BearerAuth("t"), websocket.ReadLimit(4))
}

// TestDialContext: the context ends a handshake that hangs.
func TestDialContext(t *testing.T) {
	everywhere(t, func(r *http.Request) (int, http.Header) {
		<-r.Context().Done()
		return 500, nil
	}, nil, func(s *scene) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Millisecond)
		defer cancel()
		if _, err := websocket.Dial(ctx, s.client, s.url); !errors.Is(err, context.DeadlineExceeded) {
			s.t.Errorf("error %v", err)
		}
	})
}

// TestDialDeadline: plugins see the deadline of the handshake, and do not wait for
// what comes after it; the connection has none.
func TestDialDeadline(t *testing.T) {
	bubble(t, inTurn(refusing(503, "Retry-After", "5"), agreeing()), (*peer).rest, func(t *testing.T, s *scene) {
		var call context.Context
		c := s.client.With(godwit.Install(retry.New(retry.Config{})), godwit.On(func(ctx context.Context, _ godwit.Sending) { call = ctx }))
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := websocket.Dial(ctx, c, s.url)
		if e, ok := errors.AsType[*websocket.HandshakeError](err); !ok || e.Response.Status != 503 || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		conn, err := websocket.Dial(ctx, c, s.url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		if at, ok := call.Deadline(); ok {
			t.Errorf("the deadline is still %v", at)
		}
	})
}

// TestClientCancel: the connection is a call of its client.
func TestClientCancel(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) { p.rest() }, func(s *scene) {
		c := s.dial()
		done := make(chan error, 1)
		go func() {
			_, err := c.Read(s.t.Context())
			done <- err
		}()
		s.client.Cancel()
		if err := <-done; err == nil {
			s.t.Error("the read succeeded")
		}
	})
}

// TestLostConnection: an end without a close frame is an error that says so.
func TestLostConnection(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) { p.raw("\x81\x05he") }, func(s *scene) {
		c := s.dial()
		_, err := c.Read(s.t.Context())
		if !errors.Is(err, io.ErrUnexpectedEOF) || websocket.CloseStatus(err) != -1 {
			s.t.Errorf("error %v", err)
		}
	})
}

func TestSession(t *testing.T) {
	codes := make(chan int, 1)
	everywhere(t, agreeing(), func(p *peer) {
		payload := p.want(ws.Close)
		p.send(ws.Close, string(payload))
		code, _, _ := ws.ParseClose(payload)
		codes <- code
	}, func(s *scene) {
		for want, cause := range map[int]error{1000: nil, 1001: errors.New("mine")} {
			if err := websocket.Session(s.t.Context(), s.client, s.url, func(*websocket.Conn) error { return cause }); err != cause {
				s.t.Errorf("Session: %v", err)
			}
			if code := <-codes; code != want {
				s.t.Errorf("the server was told %d, want %d", code, want)
			}
		}
	})
}

// TestHalfOpenClose: a server that never answers a close frame costs no more
// than the timeout.
func TestHalfOpenClose(t *testing.T) {
	everywhere(t, agreeing(), func(p *peer) { p.rest() }, func(s *scene) {
		c := s.dial(websocket.CloseTimeout(30 * time.Millisecond))
		if err := c.Close(websocket.StatusNormalClosure, ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "CloseTimeout") {
			s.t.Errorf("Close: %v", err)
		}
	})
}

// stream hides what an Upgraded stream can do beside reading and writing.
type stream struct{ io.ReadWriteCloser }

// TestWithoutDeadlines: a stream that has none can be read all the same.
func TestWithoutDeadlines(t *testing.T) {
	e := mock.New(mock.Always(mocked(t, agreeing(), echo)))
	defer e.Close()
	s := &scene{t: t, url: "ws://mock.test/", client: godwit.New(godwit.WithEngineInstance(bare{e}))}
	defer s.client.Close()
	c := s.dial()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, err := c.Read(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Read: %v", err)
		}
		cancel()
		want := bytes.Repeat([]byte("x"), 10_000)
		c.Write(t.Context(), websocket.Binary, want)
		if m, err := c.Read(t.Context()); err != nil || !bytes.Equal(m.Data, want) {
			t.Fatalf("%d bytes, %v", len(m.Data), err)
		}
	}
	if err := c.Close(1000, ""); err != nil {
		t.Error(err)
	}
}
