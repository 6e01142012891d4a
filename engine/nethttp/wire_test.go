package nethttp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
)

// TestHTTP2Settings: what Config.HTTP2 says is what the server is told in the
// first SETTINGS frame (RFC 9113 §6.5).
func TestHTTP2Settings(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	settings, failed := make(chan map[uint16]uint32, 1), make(chan error, 1)
	go func() {
		got, err := firstSettings(l)
		settings <- got
		failed <- err
	}()
	e := newEngine(t, nethttp.Config{Protocol: nethttp.H2C, HTTP2: &http.HTTP2Config{
		MaxReadFrameSize: 20_000, MaxReceiveBufferPerStream: 1 << 17, MaxDecoderHeaderTableSize: 8192,
	}}, engine.Config{})
	if resp, err := e.Execute(t.Context(), request(t, "http://"+l.Addr().String())); err == nil {
		resp.Body.Close()
		t.Error("a server that closes gave a response")
	}
	got := <-settings
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint16]uint32{1: 8192, 4: 1 << 17, 5: 20_000} {
		if got[id] != want {
			t.Errorf("setting %d = %d, want %d", id, got[id], want)
		}
	}
}

// firstSettings reads a client's preface and SETTINGS, and closes.
func firstSettings(l net.Listener) (map[uint16]uint32, error) {
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	head := make([]byte, len(preface)+9)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	frame := head[len(preface):]
	if !bytes.HasPrefix(head, []byte(preface)) || frame[3] != 4 {
		return nil, errors.New("no preface with SETTINGS")
	}
	payload := make([]byte, int(frame[0])<<16|int(frame[1])<<8|int(frame[2]))
	if _, err := io.ReadFull(c, payload); err != nil {
		return nil, err
	}
	settings := make(map[uint16]uint32)
	for ; len(payload) >= 6; payload = payload[6:] {
		settings[binary.BigEndian.Uint16(payload)] = binary.BigEndian.Uint32(payload[2:])
	}
	return settings, nil
}

// TestSOCKS5: the proxy gets the name or its address, by the scheme, and the
// credentials.
func TestSOCKS5(t *testing.T) {
	origin := serve(t, false, nil, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
	for _, tc := range []struct{ name, proxy, seen string }{
		{"socks5", "socks5://", "192.0.2.9:80"},
		{"socks5h", "socks5h://", "origin.invalid:80"},
		{"credentials", "socks5h://u:secret@", "u:secret@origin.invalid:80"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			seen, done := make(chan string, 1), make(chan error, 1)
			go func() { done <- socks5(l, origin.Listener.Addr().String(), seen) }()
			u, err := url.Parse(tc.proxy + l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			e := newEngine(t, nethttp.Config{Proxy: engine.FixedProxy(u), Resolve: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("192.0.2.9")}, nil
			}}, engine.Config{})
			resp, text := send(t, e, request(t, "http://origin.invalid/"))
			if text != "origin.invalid" || resp.Conn.Proxy == nil || resp.Conn.Proxy.String() != u.Scheme+"://"+l.Addr().String() {
				t.Errorf("answer %q by proxy %v", text, resp.Conn.Proxy)
			}
			if got := <-seen; got != tc.seen {
				t.Errorf("the proxy was asked for %q, want %q", got, tc.seen)
			}
			e.Close()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// socks5 is a proxy for one connection that leads to origin (RFC 1928, RFC 1929).
func socks5(l net.Listener, origin string, seen chan<- string) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, e := io.ReadFull(c, b); e != nil && err == nil {
			err = e
		}
		return b
	}
	methods := read(int(read(2)[1]))
	who := ""
	if bytes.IndexByte(methods, 2) >= 0 {
		_, _ = c.Write([]byte{5, 2})
		user := string(read(int(read(2)[1])))
		who = user + ":" + string(read(int(read(1)[0]))) + "@"
		_, _ = c.Write([]byte{1, 0})
	} else {
		_, _ = c.Write([]byte{5, 0})
	}
	host := ""
	switch kind := read(4)[3]; kind {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	default:
		return fmt.Errorf("address type %d", kind)
	}
	port := binary.BigEndian.Uint16(read(2))
	if err != nil {
		return err
	}
	seen <- who + host + ":" + strconv.Itoa(int(port))
	to, err := net.Dial("tcp", origin)
	if err != nil {
		return err
	}
	defer to.Close()
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() { _, _ = io.Copy(c, to); c.Close() }()
	_, _ = io.Copy(to, c)
	return nil
}

// TestDial: connections come from Config.Dial, which goes before the shared one,
// and is told what to connect to.
func TestDial(t *testing.T) {
	s := serve(t, false, nil, ok)
	var dialled atomic.Value
	to := func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Store(network + " " + address)
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.Listener.Addr().String())
	}
	never := func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the shared dialer was asked")
	}
	socket := filepath.Join(t.TempDir(), "s")
	for _, tc := range []struct {
		name         string
		config       nethttp.Config
		shared       engine.Config
		unix, dialed string
	}{
		{"own", nethttp.Config{Dial: to}, engine.Config{Dial: never}, "", "tcp service.invalid:81"},
		{"shared", nethttp.Config{}, engine.Config{Dial: to}, "", "tcp service.invalid:81"},
		{"unix socket", nethttp.Config{Dial: to}, engine.Config{}, socket, "unix " + socket},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, tc.config, tc.shared)
			req := request(t, "http://service.invalid:81/")
			req.UnixSocket = tc.unix
			if _, text := send(t, e, req); text != "ok" || dialled.Load() != tc.dialed {
				t.Errorf("answer %q by dialling %q, want %q", text, dialled.Load(), tc.dialed)
			}
		})
	}
	broken := errors.New("no route")
	e := newEngine(t, nethttp.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, broken }}, engine.Config{})
	if _, err := e.Execute(t.Context(), request(t, "http://service.invalid:81/")); !errors.Is(err, broken) || op(err) != engine.OpConnect {
		t.Errorf("error = %v", err)
	}
}

// TestUnopenedBodies: a body that cannot be opened is refused before a
// connection is asked for, and one that may be refused is opened when it is due.
func TestUnopenedBodies(t *testing.T) {
	s := serve(t, false, nil, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusExpectationFailed) })
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tc := range []struct {
		name string
		body content.Content
		text string
	}{
		{"missing file", content.File(missing), missing},
		{"part without a name", content.Multipart(content.Part{Body: content.Text("x")}), "part 1 has no name"},
		{"writer without function", content.Writer(nil, "", 5), "no function"},
		{"panic", content.Opener(func(context.Context) (io.ReadCloser, error) { panic("boom") }, "", -1), "panicked: boom"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, nethttp.Config{}, engine.Config{})
			req := request(t, s.URL)
			req.Method, req.Body = "POST", tc.body
			_, err := e.Execute(t.Context(), req)
			fault, _ := errors.AsType[*engine.OpError](err)
			if fault == nil || fault.Op != engine.OpSend || fault.Sent || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error = %#v, want %q of Op send, not sent", err, tc.text)
			}
		})
	}
	if n := s.conns.Accepted(); n != 0 {
		t.Errorf("%d connections for bodies that cannot be opened", n)
	}
	opened := false
	e := newEngine(t, nethttp.Config{}, engine.Config{})
	req := request(t, s.URL)
	req.Method, req.Header = "POST", header.New("Expect", "100-continue")
	req.Body = content.Opener(func(context.Context) (io.ReadCloser, error) {
		opened = true
		return http.NoBody, nil
	}, "", -1)
	if resp, _ := send(t, e, req); resp.Status != 417 || opened {
		t.Errorf("status %d, opened = %v", resp.Status, opened)
	}
}

// TestBodyOpenStops: a body whose opening hangs ends with the exchange, and is
// closed when it is there at last.
func TestBodyOpenStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, closed := make(chan bool), make(chan bool)
		e := newEngine(t, nethttp.Config{}, engine.Config{})
		req := request(t, "http://a.invalid/")
		req.Method, req.Deadline, req.DeadlineKind = "POST", time.Now().Add(time.Second), engine.KindAttempt
		req.Body = content.Opener(func(context.Context) (io.ReadCloser, error) {
			<-release
			return closing{strings.NewReader("x"), closed}, nil
		}, "", -1)
		if _, err := e.Execute(t.Context(), req); kind(err) != engine.KindAttempt || op(err) != engine.OpSend {
			t.Errorf("error = %v, want the deadline's", err)
		}
		close(release)
		<-closed
	})
}

type closing struct {
	io.Reader
	closed chan bool
}

func (c closing) Close() error { close(c.closed); return nil }
