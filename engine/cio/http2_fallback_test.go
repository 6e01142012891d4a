package cio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/enginetest/frametest"
)

// secured returns the TLS settings of a server, and of a client that trusts it.
func secured(t *testing.T, protos ...string) (server, client *tls.Config) {
	t.Helper()
	s, _, client := counted(t, true, nil)
	return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: protos}, client
}

// http1 answers requests on a connection by HTTP/1.1: an upgrade by 101, another
// one by its body.
func http1(c net.Conn, _ int) {
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") != "" {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			io.Copy(io.Discard, r)
			return
		}
		b, _ := io.ReadAll(req.Body)
		resp := http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(b)), Body: io.NopCloser(strings.NewReader(string(b)))}
		if resp.Write(c) != nil {
			return
		}
	}
}

func post(body content.Content) func(*engine.Request) {
	return func(r *engine.Request) { r.Method, r.Body = "POST", body }
}

// TestHTTP11Required: a request that the server refuses by HTTP_1_1_REQUIRED goes
// by HTTP/1.1, and so do those after it.
func TestHTTP11Required(t *testing.T) {
	reset := func(c *frametest.Conn, id uint32) { c.WriteRSTStream(id, http2.ErrCodeHTTP11Required) }
	goAway := func(c *frametest.Conn, id uint32) { c.WriteGoAway(id-2, http2.ErrCodeHTTP11Required, nil) }
	for _, tc := range []struct {
		name   string
		refuse func(c *frametest.Conn, id uint32)
		config cio.Config
		body   content.Content
		ok     bool
	}{
		{"RST_STREAM", reset, cio.Config{}, content.Text("x"), true},
		{"GOAWAY", goAway, cio.Config{}, content.Text("x"), true},
		{"opened body", reset, cio.Config{}, content.Reader(strings.NewReader("x"), "", 1), false},
		{"NoStaleRetry", reset, cio.Config{NoStaleRetry: true}, content.Text("x"), false},
		{"HTTP/2 only", reset, cio.Config{Protocols: cio.HTTP2}, content.Text("x"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, client := secured(t, "h2", "http/1.1")
			s := frametest.Serve(t, frametest.Config{TLS: server, Other: http1}, func(c *frametest.Conn) {
				id, _ := c.Head()
				if c.Headers(id, true, ":status", "200"); id != 0 {
					id, _ = c.Head()
					tc.refuse(c, id)
				}
				for c.Next() != nil {
				}
			})
			tc.config.TLS = client
			e := newEngine(t, tc.config)
			if resp, _, err := send(t, e, s.URL); err != nil || resp.Proto != "HTTP/2.0" {
				t.Fatal(err)
			}
			resp, got, err := send(t, e, s.URL, post(tc.body))
			if tc.ok {
				if err != nil || got != "x" || resp.Proto != "HTTP/1.1" {
					t.Errorf("%q, %v", got, err)
				}
				if resp, _, err := send(t, e, s.URL); err != nil || resp.Proto != "HTTP/1.1" {
					t.Errorf("the next request: %v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
				t.Errorf("error %v", err)
			}
			eventually(t, "the connection of HTTP/2 is given up", func() bool { return !tc.ok || e.Stats().Open == 1 })
		})
	}
}

// TestServerForgetsHTTP2: a request that was begun by HTTP/2 goes on by HTTP/1.1
// if its body can be opened again, else it fails, and the body is opened once.
func TestServerForgetsHTTP2(t *testing.T) {
	for _, replayable := range []bool{true, false} {
		t.Run(map[bool]string{true: "replayable", false: "once"}[replayable], func(t *testing.T) {
			server, client := secured(t)
			var connections atomic.Int32
			server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				c := server.Clone()
				c.NextProtos = []string{"http/1.1"}
				if connections.Add(1) == 1 {
					c.NextProtos = []string{"h2"}
				}
				return c, nil
			}
			leave := make(chan struct{})
			s := frametest.Serve(t, frametest.Config{TLS: server, Other: http1}, func(c *frametest.Conn) {
				id, _ := c.Head()
				c.Headers(id, true, ":status", "200")
				<-leave
			})
			e := newEngine(t, cio.Config{TLS: client})
			if resp, _, err := send(t, e, s.URL); err != nil || resp.Proto != "HTTP/2.0" {
				t.Fatal(err)
			}
			body := &opening{Content: content.Reader(strings.NewReader("body"), "", 4), replayable: replayable}
			body.open = func() {
				if body.opened == 1 {
					close(leave)
					eventually(t, "the connection ends", func() bool { return e.Stats().Open == 0 })
				}
			}
			_, got, err := send(t, e, s.URL, post(body))
			if replayable {
				if got != "body" || err != nil || body.opened != 2 {
					t.Errorf("%q, %v, opened %d times", got, err, body.opened)
				}
			} else if err == nil || !strings.Contains(err.Error(), "changed from HTTP/2 to HTTP/1.1") || body.opened != 1 || body.closed != 1 {
				t.Errorf("%q, %v, opened %d times, closed %d times", got, err, body.opened, body.closed)
			}
		})
	}
}

// opening is a body that counts how often it is opened and closed.
type opening struct {
	content.Content
	replayable     bool
	opened, closed int
	open           func()
}

func (o *opening) Replayable() bool { return o.replayable }

func (o *opening) Open(context.Context) (io.ReadCloser, error) {
	o.opened++
	o.open()
	return &opened{strings.NewReader("body"), o}, nil
}

type opened struct {
	io.Reader
	of *opening
}

func (o *opened) Close() error { o.of.closed++; return nil }

// TestUpgradeFallsBack: what one connection has announced of extended CONNECT
// does not hold for another one; HTTP/1.1 does it then.
func TestUpgradeFallsBack(t *testing.T) {
	for _, tc := range []struct {
		name     string
		settings []http2.Setting
		goAway   bool
		want     int // connections
	}{
		{"the connection goes away", nil, true, 2},
		{"the connection is full", []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1}}, false, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, client := secured(t, "h2", "http/1.1")
			s := frametest.Serve(t, frametest.Config{TLS: server, Other: http1, Settings: tc.settings}, func(c *frametest.Conn) {
				if c.N == 1 {
					c.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
				}
				if id, _ := c.Head(); id != 0 {
					c.Headers(id, false, ":status", "200")
					if tc.goAway {
						c.WriteGoAway(id, http2.ErrCodeNo, nil)
					}
					c.WriteData(id, false, []byte("x"))
				}
				for c.Next() != nil {
				}
			})
			e := newEngine(t, cio.Config{TLS: client})
			req := &engine.Request{Method: "GET", URL: mustURL(t, s.URL)}
			first, err := e.Execute(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			defer first.Body.Close()
			first.Body.Read(make([]byte, 1)) // GOAWAY came before it
			req.Protocol = "echo"
			resp, err := e.Execute(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Status != 101 || resp.Upgraded == nil {
				t.Errorf("status %d", resp.Status)
			} else {
				resp.Upgraded.Close()
			}
			if got := s.Accepted(); got != tc.want {
				t.Errorf("%d connections, want %d", got, tc.want)
			}
		})
	}
}

// TestOnlyHTTP2: a server that refuses HTTP/2 by a TLS alert is an error that
// says so.
func TestOnlyHTTP2(t *testing.T) {
	for _, proto := range []string{"http/1.1", ""} {
		server, client := secured(t)
		if proto != "" {
			server.NextProtos = []string{proto}
		}
		s := frametest.Serve(t, frametest.Config{TLS: server}, nil)
		e := newEngine(t, cio.Config{TLS: client, Protocols: cio.HTTP2})
		_, _, err := send(t, e, s.URL)
		oe, ok := errors.AsType[*engine.OpError](err)
		if _, protocol := errors.AsType[*engine.ProtocolError](err); !ok || !protocol || oe.Op != engine.OpTLS || !strings.Contains(err.Error(), "does not speak HTTP/2") {
			t.Errorf("a server with %q: error %v", proto, err)
		}
	}
}

// TestNextProtos: a configuration of TLS that leaves HTTP/2 out is believed.
func TestNextProtos(t *testing.T) {
	s, _, client := counted(t, true, echoProto)
	for _, tc := range []struct {
		name   string
		protos []string
		set    cio.Protocols
		want   string
	}{
		{"without h2", []string{"http/1.1"}, 0, "HTTP/1.1"},
		{"both", []string{"http/1.1", "h2"}, 0, "HTTP/2.0"},
		{"HTTP/2 only", []string{"http/1.1"}, cio.HTTP2, "HTTP/2.0"},
		{"HTTP/1.1 only", []string{"h2"}, cio.HTTP1, "HTTP/1.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config := client.Clone()
			config.NextProtos = tc.protos
			e := newEngine(t, cio.Config{TLS: config, Protocols: tc.set})
			if _, got, err := send(t, e, s.URL); got != tc.want || err != nil {
				t.Errorf("%q, %v, want %s", got, err, tc.want)
			}
		})
	}
}
