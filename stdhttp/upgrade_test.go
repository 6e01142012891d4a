package stdhttp_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/stdhttp"
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
	if want, sent := "target.example:443 through the tunnel", within(t, "the tunnel's end", got); sent != want {
		t.Errorf("the server got %q, want %q", sent, want)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "welcome" {
		t.Errorf("body %q, %v", b, err)
	}
	body.wantClosed(t)
}
