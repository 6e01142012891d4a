package http3_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/header"
)

// takeOver answers 200 and hands the stream to f.
func takeOver(f func(*h3.Stream)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			ok(w, r)
			return
		}
		w.Header().Set("X-Protocol", r.Proto)
		w.WriteHeader(http.StatusOK)
		stream, err := w.(h3.HTTPStreamer).HTTPStream()
		if err != nil {
			return
		}
		defer stream.Close()
		f(stream)
	}
}

func upgrade(t *testing.T, e engine.Engine, rawURL string) (*engine.Response, *http3.Stream) {
	t.Helper()
	req := request(t, "GET", rawURL)
	req.Protocol = "websocket"
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Upgraded == nil {
		t.Fatalf("status %d, Upgraded is nil", resp.Status)
	}
	t.Cleanup(func() { resp.Upgraded.Close() })
	return resp, resp.Upgraded.(*http3.Stream)
}

func TestExtendedConnect(t *testing.T) {
	s := serve(t, takeOver(func(stream *h3.Stream) { _, _ = io.Copy(stream, stream) }))
	e := newEngine(t, http3.Config{})
	resp, stream := upgrade(t, e, s.URL)
	if resp.Status != 200 || resp.Header.Get("X-Protocol") != "websocket" || resp.Proto != "HTTP/3.0" {
		t.Errorf("%d %s %s", resp.Status, resp.Proto, &resp.Header)
	}
	if stream.RemoteAddr().String() != s.Addr || stream.LocalAddr() == nil || stream.QUIC() == nil {
		t.Errorf("addresses %v, %v", stream.LocalAddr(), stream.RemoteAddr())
	}
	if _, err := io.WriteString(stream, "there and back"); err != nil {
		t.Fatal(err)
	}
	get(t, e, s.URL) // other requests share the connection
	_ = stream.CloseWrite()
	if text, err := io.ReadAll(stream); string(text) != "there and back" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	_ = stream.Close()
	_ = stream.Close()
	if _, err := stream.Write([]byte("x")); err == nil {
		t.Error("Write after Close succeeds")
	}
	if stream.QUIC() != nil {
		t.Error("QUIC after Close")
	}
}

func TestStreamDeadlineAndClose(t *testing.T) {
	s := serve(t, takeOver(func(stream *h3.Stream) { _, _ = io.Copy(io.Discard, stream) }))
	_, stream := upgrade(t, newEngine(t, http3.Config{}), s.URL)
	_ = stream.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := stream.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read after its deadline: %v", err)
	}
	_ = stream.SetReadDeadline(time.Time{})
	done, reading := make(chan error, 1), make(chan struct{})
	go func() {
		close(reading)
		_, err := stream.Read(make([]byte, 1))
		done <- err
	}()
	<-reading
	_ = stream.Close()
	if err := within(t, "Read after Close", done); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

// TestStreamCloseEndsWrite: also one that waits for a server that does not read.
func TestStreamCloseEndsWrite(t *testing.T) {
	wrote := make(chan struct{})
	s := serve(t, takeOver(func(stream *h3.Stream) {
		_, _ = io.ReadFull(stream, make([]byte, 1))
		close(wrote)
		<-stream.Context().Done()
	}), func(s *h3.Server) {
		s.QUICConfig.InitialStreamReceiveWindow, s.QUICConfig.MaxStreamReceiveWindow = 5000, 5000
	})
	_, stream := upgrade(t, newEngine(t, http3.Config{}), s.URL)
	done := make(chan error, 1)
	go func() {
		_, err := stream.Write(make([]byte, 1<<20))
		done <- err
	}()
	within(t, "the first byte", wrote)
	_ = stream.Close()
	if err := within(t, "Write after Close", done); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
}

// TestConnectAuthority: the port of a CONNECT is not optional.
func TestConnectAuthority(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Authority", r.Host)
		w.WriteHeader(http.StatusForbidden)
	})
	e := newEngine(t, http3.Config{Hosts: map[string]string{"example.test": s.Addr}})
	for _, row := range []struct{ method, host, want string }{
		{"CONNECT", "", "example.test:443"},
		{"CONNECT", "elsewhere.test", "elsewhere.test:443"},
		{"CONNECT", "elsewhere.test:80", "elsewhere.test:80"},
		{"CONNECT", "[::1]", "[::1]:443"},
		{"GET", "", "example.test"},
	} {
		req := request(t, row.method, "https://example.test/")
		if row.host != "" {
			req.Header = header.New("Host", row.host)
		}
		if resp, _ := send(t, e, req); resp.Header.Get("X-Authority") != row.want {
			t.Errorf("%s with Host %q: :authority %q, want %q", row.method, row.host, resp.Header.Get("X-Authority"), row.want)
		}
	}
}

// TestStreamOutlivesRequest: neither the context nor the deadline of the request
// reach an upgraded stream.
func TestStreamOutlivesRequest(t *testing.T) {
	s := serve(t, takeOver(func(stream *h3.Stream) { _, _ = io.Copy(stream, stream) }))
	ctx, cancel := context.WithCancel(t.Context())
	req := request(t, "GET", s.URL)
	req.Protocol, req.Deadline = "websocket", time.Now().Add(time.Hour)
	resp, err := newEngine(t, http3.Config{}).Execute(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Upgraded.Close()
	cancel()
	if _, err := io.WriteString(resp.Upgraded, "x"); err != nil {
		t.Errorf("Write: %v", err)
	}
	if _, err := io.ReadFull(resp.Upgraded, make([]byte, 1)); err != nil {
		t.Errorf("Read: %v", err)
	}
}

func TestExtendedConnectHangs(t *testing.T) {
	began := make(chan struct{}, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-r.Context().Done()
	})
	e := newEngine(t, http3.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	req := request(t, "GET", s.URL)
	req.Protocol = "websocket"
	done := make(chan error, 1)
	go func() {
		_, err := e.Execute(ctx, req)
		done <- err
	}()
	within(t, "the request", began)
	cancel()
	if err := within(t, "Execute after cancel", done); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	req.Timeouts.Header = 30 * time.Millisecond
	if _, err := e.Execute(t.Context(), req); kind(err) != engine.KindHeader {
		t.Errorf("%v", err)
	}
}

func TestDatagrams(t *testing.T) {
	echo := takeOver(func(stream *h3.Stream) {
		for {
			b, err := stream.ReceiveDatagram(stream.Context())
			if err != nil {
				return
			}
			_ = stream.SendDatagram(append(b, '!'))
		}
	})
	s := serve(t, echo, func(s *h3.Server) { s.EnableDatagrams, s.QUICConfig.EnableDatagrams = true, true })
	_, stream := upgrade(t, newEngine(t, http3.Config{Datagrams: true}), s.URL)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	answers := make(chan string, 100)
	go func() {
		for {
			b, err := stream.ReceiveDatagram(ctx)
			if err != nil {
				close(answers)
				return
			}
			answers <- string(b)
		}
	}()
	if err := stream.SendDatagram([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if got := within(t, "the answer", answers); got != "ping!" {
		t.Errorf("%q", got)
	}
	if err := stream.SendDatagram(make([]byte, 1<<20)); err == nil {
		t.Error("a datagram of 1 MiB was sent")
	}
	stream.Close()
	within(t, "the end of ReceiveDatagram", answers)

	_, off := upgrade(t, newEngine(t, http3.Config{}), s.URL)
	if err := off.SendDatagram([]byte("x")); err == nil {
		t.Error("datagrams are off, and SendDatagram succeeds")
	}
	plain := serve(t, echo)
	_, refused := upgrade(t, newEngine(t, http3.Config{Datagrams: true}), plain.URL)
	if _, err := refused.ReceiveDatagram(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the server has no datagrams, and ReceiveDatagram returns %v", err)
	}
}

// TestClient: the client runs on this engine as on any other.
func TestClient(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		ok(w, r)
	})
	e := newEngine(t, http3.Config{})
	c := godwit.New(godwit.WithEngineInstance(e))
	defer c.Close()
	resp, err := godwit.Get[*godwit.Response](t.Context(), c, s.URL+"/moved")
	if err != nil {
		t.Fatal(err)
	}
	if text := resp.Text(); resp.Proto != "HTTP/3.0" || text != "ok" {
		t.Errorf("%s %q", resp.Proto, text)
	}
}
