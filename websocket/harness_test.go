package websocket_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/leakcheck"
	"github.com/godwit-go/godwit/internal/ws"
	"github.com/godwit-go/godwit/websocket"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// peer is the server's side of a connection, frame by frame.
type peer struct {
	t  testing.TB
	rw io.ReadWriter
	r  *bufio.Reader
	in ws.Receiver
}

func newPeer(t testing.TB, rw io.ReadWriter, r *bufio.Reader) *peer {
	if r == nil {
		r = bufio.NewReader(rw)
	}
	return &peer{t: t, rw: rw, r: r, in: ws.Receiver{Server: true, Deflate: true}}
}

// frame reads the client's next frame; false at the end of the stream.
func (p *peer) frame() (ws.Header, []byte, bool) {
	var head []byte
	for {
		c, err := p.r.ReadByte()
		if err != nil {
			return ws.Header{}, nil, false
		}
		head = append(head, c)
		h, n, err := p.in.Next(head)
		if err != nil {
			p.t.Errorf("the client sent a bad frame: %v", err)
			return h, nil, false
		}
		if n == 0 {
			continue
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(p.r, payload); err != nil {
			return h, nil, false
		}
		ws.Mask(payload, payload, h.Key)
		return h, payload, true
	}
}

// want reads a frame that must be of the given type.
func (p *peer) want(op ws.Opcode) []byte {
	h, payload, ok := p.frame()
	if !ok || h.Opcode != op {
		p.t.Errorf("frame %+v %v, want opcode %d", h, ok, op)
	}
	return payload
}

func (p *peer) send(op ws.Opcode, payload string) { p.part(op, payload, true) }

func (p *peer) part(op ws.Opcode, payload string, final bool) {
	p.raw(string(ws.Header{Final: final, Opcode: op, Length: int64(len(payload))}.Append(nil)) + payload)
}

func (p *peer) raw(s string) { io.WriteString(p.rw, s) }

func (p *peer) close(code int, reason string) {
	p.send(ws.Close, string(ws.AppendClose(nil, code, reason)))
}

// rest reads until the client closes.
func (p *peer) rest() { io.Copy(io.Discard, p.r) }

// echo sends messages back as they came, frame by frame, until a close frame.
func echo(p *peer) {
	for {
		h, payload, ok := p.frame()
		if !ok {
			return
		}
		switch h.Opcode {
		case ws.Ping:
			p.send(ws.Pong, string(payload))
		case ws.Pong:
		case ws.Close:
			p.send(ws.Close, string(payload))
			return
		default:
			h.Masked = false
			p.raw(string(h.Append(nil)) + string(payload))
		}
	}
}

// scene is a server and a client of one engine.
type scene struct {
	t      *testing.T
	engine string
	client *godwit.Client
	url    string
	conns  []*websocket.Conn
}

// dial opens a connection that is closed with the test.
func (s *scene) dial(opts ...websocket.Option) *websocket.Conn {
	s.t.Helper()
	c, err := websocket.Dial(s.t.Context(), s.client, s.url, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.CloseNow() })
	s.conns = append(s.conns, c)
	return c
}

// answer makes the head of the answer to a handshake.
type answer func(r *http.Request) (status int, h http.Header)

// agreeing answers as a server does that agrees, with further fields.
func agreeing(fields ...string) answer {
	return func(r *http.Request) (int, http.Header) {
		h := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
			"Sec-Websocket-Accept": {ws.Accept(r.Header.Get("Sec-WebSocket-Key"))}}
		for i := 0; i < len(fields); i += 2 {
			h.Add(fields[i], fields[i+1])
		}
		return 101, h
	}
}

// deflating answers offers of compression.
func deflating(r *http.Request) (int, http.Header) {
	if _, a := ws.AgreeAsServer(strings.Join(r.Header.Values("Sec-WebSocket-Extensions"), ",")); a != "" {
		return agreeing("Sec-WebSocket-Extensions", a)(r)
	}
	return agreeing()(r)
}

// server is a handler that answers handshakes and plays the script after them.
func server(t testing.TB, a answer, script func(*peer)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status, h := a(r)
		for name, values := range h {
			w.Header()[name] = values
		}
		if status != 101 {
			w.WriteHeader(status)
			io.WriteString(w, "refused")
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n")
		h.Write(conn)
		io.WriteString(conn, "\r\n")
		script(newPeer(t, conn, buf.Reader))
	}
}

// mocked is the same as a handler of the mock engine.
func mocked(t testing.TB, a answer, script func(*peer)) mock.Handler {
	return mock.Func(func(ctx context.Context, r *mock.Request) (*mock.Response, error) {
		hr := httptest.NewRequestWithContext(ctx, r.Method, r.URL.String(), nil)
		for name, v := range r.Header.All() {
			hr.Header.Add(name, v)
		}
		status, h := a(hr)
		resp := mock.Text(status, "refused")
		if status == 101 {
			resp = mock.Bytes(101, "", nil).WithUpgrade(func(rw io.ReadWriteCloser) { script(newPeer(t, rw, nil)) })
		}
		for name, values := range h {
			for _, v := range values {
				resp.WithHeader(name, v)
			}
		}
		return resp, nil
	})
}

// everywhere runs f on each engine, and on those of the network over TLS, too.
func everywhere(t *testing.T, a answer, script func(*peer), f func(s *scene), opts ...godwit.ClientOption) {
	t.Helper()
	for _, row := range []struct {
		name   string
		engine func() godwit.ClientOption
		tls    bool
	}{
		{"cio", func() godwit.ClientOption { return godwit.WithEngine(cio.Config{}) }, false},
		{"cio-tls", func() godwit.ClientOption { return godwit.WithEngine(cio.Config{}) }, true},
		{"nethttp", func() godwit.ClientOption { return godwit.WithEngine(nethttp.Config{}) }, false},
		{"nethttp-tls", func() godwit.ClientOption { return godwit.WithEngine(nethttp.Config{}) }, true},
		{"mock", nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			leakcheck.Goroutines(t)
			s := &scene{t: t, engine: row.name}
			all := opts
			if row.engine == nil {
				s.url = "ws://mock.test/feed"
				all = append(all[:len(all):len(all)], godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mocked(t, a, script))}}))
			} else {
				var srv *httptest.Server
				if row.tls {
					srv = httptest.NewTLSServer(server(t, a, script))
					all = append(all[:len(all):len(all)], trusting(srv))
				} else {
					srv = httptest.NewServer(server(t, a, script))
				}
				t.Cleanup(srv.Close)
				s.url = strings.Replace(srv.URL, "http", "ws", 1) + "/feed"
				all = append(all[:len(all):len(all)], row.engine())
			}
			s.client = godwit.New(all...)
			t.Cleanup(func() {
				s.client.Close()
				ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
				defer cancel()
				if err := s.client.Join(ctx); err != nil {
					t.Errorf("a call still runs: %v", err)
				}
			})
			f(s)
		})
	}
}

// onMock runs f on the mock engine alone.
func onMock(t *testing.T, script func(*peer), f func(s *scene), opts ...godwit.ClientOption) {
	t.Helper()
	s := &scene{t: t, engine: "mock", url: "ws://mock.test/"}
	s.client = godwit.New(append(opts, godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.Always(mocked(t, agreeing(), script))}}))...)
	defer s.client.Join(context.WithoutCancel(t.Context()))
	defer s.client.Close()
	f(s)
	for _, c := range s.conns {
		c.CloseNow()
	}
}

func poolOf(cert *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// trusting makes a client trust the server.
func trusting(srv *httptest.Server) godwit.ClientOption {
	return godwit.EngineConfig(func(c *engine.Config) { c.TLS = &tls.Config{RootCAs: poolOf(srv.Certificate())} })
}
