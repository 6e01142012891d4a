package stdhttp_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/stdhttp"
	"github.com/godwit-go/godwit/websocket"
)

// echoing switches to a protocol that sends back what it gets, in upper case.
func echoing(t *testing.T) *httptest.Server {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "shout" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		b, _ := io.ReadAll(r.Body)
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nHI "+string(b)+"\n")
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				io.WriteString(c, "BYE")
				return
			}
			io.WriteString(c, strings.ToUpper(line))
		}
	})
}

func TestSwitchingProtocols(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		r := newRequest(t, "POST", echoing(t).URL, strings.NewReader("body"))
		ctx, cancel := context.WithCancel(r.Context())
		r = r.WithContext(ctx)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "shout")
		resp, err := rt.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 101 || resp.Status != "101 Switching Protocols" || resp.Header.Get("Upgrade") != "shout" || resp.ContentLength != 0 {
			t.Errorf("%s %v, length %d", resp.Status, resp.Header, resp.ContentLength)
		}
		stream, ok := resp.Body.(io.ReadWriteCloser)
		if !ok {
			t.Fatalf("body of type %T", resp.Body)
		}
		defer stream.Close()
		cancel() // the stream outlives its request
		in := bufio.NewReader(stream)
		if line, err := in.ReadString('\n'); err != nil || line != "HI body\n" {
			t.Fatalf("greeting %q, %v", line, err)
		}
		if _, err := io.WriteString(stream, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); err != nil || line != "HELLO\n" {
			t.Fatalf("line %q, %v", line, err)
		}
		if err := stream.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(in); err != nil || string(rest) != "BYE" {
			t.Errorf("rest %q, %v", rest, err)
		}
	})
}

func TestUpgradeRefused(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		r := newRequest(t, "GET", echoing(t).URL, nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "whisper")
		resp, err := rt.RoundTrip(r)
		if got := mustRead(t, resp, err); got != "no\n" || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %q", resp.Status, got)
		}
	})
}

// TestConnect needs an engine with CONNECT, which nethttp is not.
func TestConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\nwelcome")
		b, _ := io.ReadAll(c)
		got <- r.Host + " " + string(b)
	}()
	rt := stdhttp.Transport(newClient(t, cio.Config{}))
	body := newClosing(strings.NewReader("through the tunnel"))
	r := newRequest(t, "CONNECT", "http://"+l.Addr().String(), body)
	r.Host = "target.example:443"
	resp, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if !resp.Close || resp.ContentLength != -1 { // as net/http has it
		t.Errorf("Close %t, length %d; want true and -1", resp.Close, resp.ContentLength)
	}
	if want, sent := "target.example:443 through the tunnel", within(t, "the tunnel's end", got); sent != want {
		t.Errorf("the server got %q, want %q", sent, want)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "welcome" {
		t.Errorf("body %q, %v", b, err)
	}
	body.wantClosed(t)
}

// TestHandlerUpgradeOutlivesItsContext: what a handler has hijacked goes on when
// the exchange is over, as it must for a WebSocket.
func TestHandlerUpgradeOutlivesItsContext(t *testing.T) {
	e, err := stdhttp.Handler(echoing(t).Config.Handler).NewEngine(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := e.Execute(ctx, &engine.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "x", Path: "/"}, Protocol: "shout"})
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Upgraded.Close()
	in := bufio.NewReader(resp.Upgraded)
	if line, err := in.ReadString('\n'); err != nil || line != "HI \n" {
		t.Fatalf("greeting %q, %v", line, err)
	}
	for range 3 {
		if _, err := io.WriteString(resp.Upgraded, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); err != nil || line != "HELLO\n" {
			t.Fatalf("line %q, %v", line, err)
		}
	}
}

func TestHandlerWebSocket(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			acceptOf(r.Header.Get("Sec-Websocket-Key")))
		frame := make([]byte, 6) // a masked text of up to 125 bytes
		if _, err := io.ReadFull(rw, frame); err != nil {
			return
		}
		payload := make([]byte, frame[1]&0x7f)
		if _, err := io.ReadFull(rw, payload); err != nil {
			return
		}
		for i := range payload {
			payload[i] ^= frame[2+i%4]
		}
		conn.Write(append([]byte{0x81, byte(len(payload))}, payload...))
		io.Copy(io.Discard, rw)
	})
	ws, err := websocket.Dial(t.Context(), c, "ws://x/")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if err := ws.Write(t.Context(), websocket.Text, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := ws.Read(t.Context()); err != nil || string(got.Data) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
}

// acceptOf is the server's answer to a key (RFC 6455 §4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
