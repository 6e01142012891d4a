package h2_test

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h2"
)

func post() *h2.RequestHead {
	return &h2.RequestHead{Method: "POST", Scheme: "https", Authority: "a", Path: "/", Length: -1}
}

func waitFor[V any](t testing.TB, ch <-chan V, otherwise string) (v V) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(10 * time.Second):
		t.Fatal(otherwise)
	}
	return v
}

// TestOpenDoesNotWait: who opens a stream on a connection whose server takes
// nothing is not held up, on a pipe nor on a socket, and what waits to be
// written is bounded.
func TestOpenDoesNotWait(t *testing.T) {
	sockets := func(t *testing.T) (client, server net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		client.(*net.TCPConn).SetWriteBuffer(16 << 10)
		if server, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	for _, tc := range []struct {
		name  string
		conns func(*testing.T) (client, server net.Conn)
	}{
		{"pipe", func(*testing.T) (client, server net.Conn) { return net.Pipe() }},
		{"TCP", sockets},
	} {
		for _, size := range []int{0, 10_000, 60_000} {
			t.Run(tc.name+" "+strconv.Itoa(size), func(t *testing.T) {
				client, server := tc.conns(t)
				defer server.Close()
				c := h2.New(client, config())
				defer func() { <-c.Done() }()
				defer c.Close()
				server.Write(raw(h2.FrameSettings, 0, 0, "\x00\x04\x40\x00\x00\x00"+"\x00\x08\x00\x00\x00\x01"))
				<-c.Settled()
				go server.Write(raw(h2.FrameWindowUpdate, 0, 0, "\x40\x00\x00\x00"))
				opened := make(chan int, 1)
				go func() {
					whole := 0
					for range 90 {
						s, all, err := openWith(t, c, post(), make([]byte, size), true)
						if err != nil {
							t.Error(err)
							break
						}
						if all {
							whole++
						}
						defer s.Release()
					}
					opened <- whole
				}()
				if whole := waitFor(t, opened, "Open waits for the server to read"); size == 60_000 && whole > 60 {
					t.Errorf("%d bodies wait to be written", whole)
				}
			})
		}
	}
}

// TestTunnelHead: Content-Length says nothing about what follows a 2xx to
// CONNECT (RFC 9110 §9.3.6).
func TestTunnelHead(t *testing.T) {
	for _, tc := range []struct {
		method string
		fields []string
		end    bool
		want   string // of the body; "" = the stream is broken
	}{
		{"CONNECT", []string{":status", "200", "content-length", "0"}, false, "hello"},
		{"CONNECT", []string{":status", "200", "content-length", "2"}, false, "hello"},
		{"CONNECT", []string{":status", "204"}, false, "hello"},
		{"CONNECT", []string{":status", "403", "content-length", "2"}, false, ""},
		{"POST", []string{":status", "200", "content-length", "0"}, false, ""},
	} {
		t.Run(tc.method+" "+strings.Join(tc.fields, " "), func(t *testing.T) {
			c, server := connect(t, config())
			sink(server)
			head := post()
			head.Method = tc.method
			s, _, err := openWith(t, c, head, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Release()
			server.send(h2.FrameHeaders, h2.FlagEndHeaders, 1, block(tc.fields...))
			server.send(h2.FrameData, h2.FlagEndStream, 1, "hello")
			server.settle()
			p := make([]byte, 10)
			n, err := s.Read(p)
			if got := string(p[:n]); got != tc.want || err == nil && n == 0 {
				t.Errorf("read %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

// TestShut: a server that takes no streams says so, and takes it back.
func TestShut(t *testing.T) {
	c, server := connect(t, config(), uint32(h2.SettingMaxConcurrentStreams), 0)
	if s := c.State(); !s.Shut || !s.Usable || s.Limit != 1 {
		t.Errorf("state %+v", s)
	}
	if _, _, ok := c.Reserve(); ok {
		t.Error("a place on a connection that takes no streams")
	}
	server.send(h2.FrameSettings, 0, 0, "\x00\x03\x00\x00\x00\x05")
	server.settle()
	if s := c.State(); s.Shut || s.Limit != 5 {
		t.Errorf("state %+v", s)
	}
}

// TestHeaderListSize: requests are measured as RFC 9113 §6.5.2 says, to the
// byte.
func TestHeaderListSize(t *testing.T) {
	cookies := strings.TrimSuffix(strings.Repeat("a=b; ", 300), "; ")
	for _, tc := range []struct {
		name   string
		change func(*h2.RequestHead)
	}{
		{"plain", func(*h2.RequestHead) {}},
		{"fields", func(r *h2.RequestHead) { r.Header = header.New("X-One", "1", "Authorization", "secret", "x-two", "") }},
		{"cookies", func(r *h2.RequestHead) { r.Header = header.New("Cookie", cookies, "cookie", "c=d") }},
		{"of HTTP/1.1", func(r *h2.RequestHead) {
			r.Header = header.New("Host", "b", "Keep-Alive", "1", "X-Hop", strings.Repeat("x", 1000), "Connection", "X-Hop", "TE", "gzip, trailers", "TE", "trailers")
		}},
		{"length", func(r *h2.RequestHead) { r.Length = 12345 }},
		{"trailer", func(r *h2.RequestHead) { r.TrailerNames = []string{"X-Sum", "X-More"} }},
		{"priority", func(r *h2.RequestHead) { r.Priority = "u=1, i" }},
		{"own priority", func(r *h2.RequestHead) { r.Priority, r.Header = "u=1, i", header.New("Priority", "u=7") }},
		{"CONNECT", func(r *h2.RequestHead) { r.Method, r.Path, r.Scheme = "CONNECT", "", "" }},
		{"extended CONNECT", func(r *h2.RequestHead) { r.Method, r.Protocol = "CONNECT", "websocket" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head := func() *h2.RequestHead {
				r := post()
				tc.change(r)
				return r
			}
			c, server := connect(t, config())
			sizes := make(chan int, 1)
			go server.frames(func(h h2.FrameHeader, payload []byte) bool {
				if h.Type == h2.FrameHeaders {
					size := 0
					fields, err := hpack.NewDecoder(4096, nil).DecodeFull(payload)
					if err != nil {
						t.Error(err)
					}
					for _, f := range fields {
						size += int(f.Size())
					}
					sizes <- size
				}
				return true
			})
			s, _, err := openWith(t, c, head(), nil, true)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Release()
			size := waitFor(t, sizes, "no HEADERS")

			c, server = connect(t, config(), uint32(h2.SettingMaxHeaderListSize), uint32(size))
			sink(server)
			if s, _, err = openWith(t, c, head(), nil, true); err != nil {
				t.Errorf("with a bound of %d: %v", size, err)
			}
			s.Release()
			c, server = connect(t, config(), uint32(h2.SettingMaxHeaderListSize), uint32(size-1))
			sink(server)
			s, _, err = openWith(t, c, head(), nil, true)
			if e, ok := errors.AsType[*h2.TooLargeError](err); !ok || e.Size != size || e.Limit != int64(size-1) {
				t.Errorf("with a bound of %d: %+v", size-1, err)
			}
			s.Release()
		})
	}
}

// TestCancelWhileOpening: a stream may be canceled at any moment, on a connection
// that takes none too.
func TestCancelWhileOpening(t *testing.T) {
	c, server := connect(t, config())
	sink(server)
	const streams = 50
	for range streams {
		if _, _, ok := c.Reserve(); !ok {
			t.Fatal("no place")
		}
	}
	c.Retire()
	head := post()
	if err := head.Check(); err != nil {
		t.Fatal(err)
	}
	for range streams {
		s := new(h2.Stream)
		s.Bind(c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Cancel(h2.CodeCancel)
		}()
		if _, err := c.Open(s, head, nil, true); err != h2.ErrUnfit && err != h2.ErrCanceled {
			t.Errorf("error %v", err)
		}
		<-done
		s.Release()
	}
}
