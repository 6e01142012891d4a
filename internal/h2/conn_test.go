package h2_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h2"
)

func config() h2.Config {
	return h2.Config{
		StreamWindow: 1 << 20, ConnWindow: 1 << 20, HeaderTable: 4096, EncoderTable: 4096, MaxHeaderBytes: 64 << 10, MaxHeaderFields: 100,
	}
}

// open opens a stream for a GET.
func open(t testing.TB, c *h2.Conn) *h2.Stream {
	t.Helper()
	if _, _, ok := c.Reserve(); !ok {
		t.Fatal("the connection takes no streams")
	}
	s := new(h2.Stream)
	s.Bind(c)
	head := &h2.RequestHead{Method: "GET", Scheme: "https", Authority: "a", Path: "/", Header: header.New("X", "y"), Length: -1}
	if err := head.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(s, head, nil, true); err != nil {
		t.Fatal(err)
	}
	return s
}

// sink takes what the client writes, and never answers by itself.
func sink(server net.Conn) { go io.Copy(io.Discard, server) }

func raw(kind h2.FrameType, flags h2.Flags, id uint32, payload string) []byte {
	return append(h2.AppendFrameHeader(nil, h2.FrameHeader{Length: uint32(len(payload)), Type: kind, Flags: flags, StreamID: id}), payload...)
}

// TestPing: a server that has fallen silent is asked, and given up when it does
// not answer.
func TestPing(t *testing.T) {
	for _, tc := range []struct {
		name          string
		stream, idle  bool
		answers, dies bool
	}{
		{"silent with a stream", true, false, false, true},
		{"silent without a stream", false, false, false, false},
		{"silent without a stream, PingIdle", false, true, false, true},
		{"answers", true, false, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				cfg := config()
				cfg.PingInterval, cfg.PingTimeout, cfg.PingIdle = 10*time.Second, 3*time.Second, tc.idle
				pings := make(chan struct{}, 100)
				go func() {
					io.CopyN(io.Discard, server, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
					b := make([]byte, h2.FrameHeaderLen)
					for {
						if _, err := io.ReadFull(server, b); err != nil {
							return
						}
						h := h2.ParseFrameHeader(b)
						payload := make([]byte, h.Length)
						io.ReadFull(server, payload)
						if h.Type == h2.FramePing {
							pings <- struct{}{}
							if tc.answers {
								server.Write(raw(h2.FramePing, h2.FlagAck, 0, string(payload)))
							}
						}
					}
				}()
				c := h2.New(client, cfg)
				defer c.Close()
				server.Write(raw(h2.FrameSettings, 0, 0, ""))
				if tc.stream {
					open(t, c)
				}
				time.Sleep(9 * time.Second)
				synctest.Wait()
				if len(pings) > 0 {
					t.Error("a PING came too early")
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if died := errors.Is(c.Err(), h2.ErrPing); died != tc.dies {
					t.Errorf("after a PING: %v", c.Err())
				}
				if (len(pings) > 0) != (tc.stream || tc.idle) {
					t.Errorf("%d PINGs", len(pings))
				}
			})
		})
	}
}

// TestWriteTimeout: a server that takes nothing is given up.
func TestWriteTimeout(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	cfg := config()
	cfg.WriteTimeout = 20 * time.Millisecond
	c := h2.New(client, cfg)
	defer c.Close()
	s := open(t, c)
	<-s.Wake()
	if _, _, err := s.Head(); !errors.Is(err, h2.ErrWriteTimeout) {
		t.Errorf("error %v", err)
	}
	s.Release()
	<-c.Done()
}

// TestFarewell: the server gets a GOAWAY and a close_notify, if it reads; nothing
// waits for long if it does not, and the caller not at all.
func TestFarewell(t *testing.T) {
	const data, alert = 23, 21 // types of records, in the clear by TLS 1.2
	s := httptest.NewTLSServer(nil)
	s.Close()
	for _, tc := range []struct {
		name  string
		reads []byte // records
		idle  time.Duration
		gone  time.Duration
	}{
		{"all is read", []byte{data, alert}, 0, 0},
		{"a deadline is over", []byte{data, alert}, time.Hour, 0},
		{"GOAWAY is read", []byte{data}, 0, 100 * time.Millisecond},
		{"nothing is read", nil, 0, 100 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				greeted, socket := make(chan struct{}), toldClose{client, make(chan struct{}, 3)}
				over := make(chan struct{})
				defer close(over)
				go func() {
					secure := tls.Server(server, &tls.Config{Certificates: s.TLS.Certificates})
					secure.Read(make([]byte, 1<<10))
					close(greeted)
					head := make([]byte, 5)
					for _, want := range tc.reads {
						if io.ReadFull(server, head); head[0] != want {
							t.Errorf("record %d, want %d", head[0], want)
						}
						io.CopyN(io.Discard, server, int64(binary.BigEndian.Uint16(head[3:])))
					}
					<-over
				}()
				cfg := config()
				cfg.WriteTimeout = time.Minute
				c := h2.New(tls.Client(socket, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}), cfg)
				c.Greet()
				<-greeted
				synctest.Wait() // the client knows that it has written
				time.Sleep(tc.idle)
				begin := time.Now()
				c.Close()
				if took := time.Since(begin); took > 0 {
					t.Errorf("Close took %v", took)
				}
				<-socket.closed
				if took := time.Since(begin); took != tc.gone {
					t.Errorf("the socket was closed after %v", took)
				}
			})
		})
	}
}

// toldClose tells when it is closed.
type toldClose struct {
	net.Conn
	closed chan struct{} // has room for each time
}

func (c toldClose) Close() error {
	c.closed <- struct{}{}
	return c.Conn.Close()
}

// TestNoOldNews: a stream does not hear what another one did not listen to.
func TestNoOldNews(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	c := h2.New(client, config())
	defer c.Close()
	go io.Copy(io.Discard, server)
	for range 100 {
		s := open(t, c)
		select {
		case <-s.Wake():
			t.Fatal("news of a stream without an answer")
		default:
		}
		s.Nudge()
		s.Release()
	}
}

// TestWindowGrows: where the path holds more than the window, the window is
// raised, up to its limit.
func TestWindowGrows(t *testing.T) {
	client, server := net.Pipe()
	cfg := config()
	cfg.StreamWindow, cfg.MaxStreamWindow = 64<<10, 256<<10
	c := h2.New(client, cfg)
	granted, pinged := make(chan uint32, 1000), make(chan []byte, 10)
	go func() {
		io.CopyN(io.Discard, server, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
		b := make([]byte, h2.FrameHeaderLen)
		for {
			if _, err := io.ReadFull(server, b); err != nil {
				close(granted)
				return
			}
			h := h2.ParseFrameHeader(b)
			payload := make([]byte, h.Length)
			if _, err := io.ReadFull(server, payload); err != nil { // the end came within a frame
				close(granted)
				return
			}
			f, err := h2.ParseFrame(h, payload)
			switch {
			case err != nil:
				t.Error(err)
			case h.Type == h2.FrameWindowUpdate && h.StreamID == 1:
				granted <- f.Increment
			case h.Type == h2.FramePing && !h.Flags.Has(h2.FlagAck):
				pinged <- payload
			}
		}
	}()
	server.Write(raw(h2.FrameSettings, 0, 0, ""))
	s := open(t, c)
	server.Write(raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, "\x88"))
	window, largest := int64(64<<10), int64(0)
	piece, p := make([]byte, 16<<10), make([]byte, 64<<10)
	var held []byte
	for range 20 {
		sent := 0
		for ; window >= int64(len(piece)); window -= int64(len(piece)) {
			server.Write(raw(h2.FrameData, 0, 1, string(piece)))
			sent += len(piece)
		}
		for got := 0; got < sent; {
			n, err := s.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			if got += n; n == 0 {
				<-s.Wake()
			}
		}
		if held != nil { // the answer comes when a window has come after the question
			server.Write(raw(h2.FramePing, h2.FlagAck, 0, string(held)))
			held = nil
		}
		select {
		case held = <-pinged:
		default:
		}
		for window < int64(len(piece)) {
			window += int64(<-granted)
		}
		largest = max(largest, window)
	}
	if largest <= 64<<10 || largest > 256<<10 {
		t.Errorf("the largest window was %d", largest)
	}
	s.Release()
	c.Close()
	<-c.Done()
	server.Close()
	for range granted {
	}
}

// FuzzConn: whatever a server sends, the connection ends or waits, and its
// stream has an answer, an error, or neither yet.
func FuzzConn(f *testing.F) {
	settings := string(raw(h2.FrameSettings, 0, 0, ""))
	f.Add([]byte(settings + string(raw(h2.FrameHeaders, h2.FlagEndHeaders|h2.FlagEndStream, 1, "\x88"))))
	f.Add([]byte(settings + string(raw(h2.FrameHeaders, h2.FlagEndHeaders, 1, "\x88")) + string(raw(h2.FrameData, h2.FlagEndStream|h2.FlagPadded, 1, "\x02abcd"))))
	f.Add([]byte(settings + string(raw(h2.FrameHeaders, 0, 1, "\x88")) + string(raw(h2.FrameContinuation, h2.FlagEndHeaders, 1, "\x00\x01a\x01b"))))
	f.Add([]byte(settings + string(raw(h2.FrameGoAway, 0, 0, "\x00\x00\x00\x00\x00\x00\x00\x00"))))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := net.Pipe()
		c := h2.New(client, config())
		sink(server)
		s := open(t, c)
		server.SetWriteDeadline(time.Now().Add(5 * time.Second))
		server.Write(b)
		server.Close()
		<-c.Done()
		if _, ok, err := s.Head(); !ok && err == nil {
			t.Error("the connection is over and the stream has neither a head nor an error")
		}
		for p := make([]byte, 1<<10); ; {
			if n, err := s.Read(p); err != nil {
				break
			} else if n == 0 {
				t.Fatal("the connection is over and the body has neither bytes nor an error")
			}
		}
		s.Release()
	})
}
