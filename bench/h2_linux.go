package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/h2"
)

// The HTTP/2 cells: requests as streams of one TLS connection. Their server is
// nginx where it is installed; for bodies it is net/http's.
const (
	kindH2Get      kind = "h2-get"
	kindH2Download kind = "h2-download"
	kindH2Upload   kind = "h2-upload"
)

func (k kind) isH2() bool { return strings.HasPrefix(string(k), "h2-") }

// plainKind is what a request of an HTTP/2 cell does.
func (k kind) plainKind() kind { return kind(strings.TrimPrefix(string(k), "h2-")) }

var h2Contenders = []contender{
	{"h2-godwit", "the engine h2, cancellable context, deadline on the request", makeH2, false},
	{"h2-nethttp", "net/http's HTTP/2, cancellable context", makeH2Std, false},
	{"h2-xnet", "x/net/http2's Transport, cancellable context", makeH2XNet, false},
}

var h2Cells = []cell{
	{"h2-get-1", "GET 100 B, HTTP/2 over TLS, one at a time", kindH2Get, true, 1, false},
	{"h2-get-10", "GET 100 B, HTTP/2 over TLS, 10 streams", kindH2Get, true, 10, false},
	{"h2-get-100", "GET 100 B, HTTP/2 over TLS, 100 streams", kindH2Get, true, 100, false},
	{"h2-nginx-get-1", "GET 100 B from nginx, HTTP/2 over TLS, one at a time", kindH2Get, true, 1, true},
	{"h2-nginx-get-100", "GET 100 B from nginx, HTTP/2 over TLS, 100 streams", kindH2Get, true, 100, true},
	{"h2-download", "Download, HTTP/2 over TLS, reads of 64 KiB", kindH2Download, true, 1, false},
	{"h2-upload", "Upload of a reader, HTTP/2 over TLS", kindH2Upload, true, 1, false},
}

var h2Targets = []target{
	{"HTTP/2, 100 streams: CPU", "h2-get-100", "h2-godwit", cpu, "h2-nethttp", 0.5},
	{"HTTP/2, 100 streams, nginx: CPU", "h2-nginx-get-100", "h2-godwit", cpu, "h2-nethttp", 0.5},
	{"HTTP/2, one at a time: CPU", "h2-get-1", "h2-godwit", cpu, "h2-nethttp", 0.75},
	{"HTTP/2, one at a time, nginx: CPU", "h2-nginx-get-1", "h2-godwit", cpu, "h2-nethttp", 0.75},
	{"HTTP/2, download: CPU/MiB", "h2-download", "h2-godwit", cpu, "h2-nethttp", 0.9},
	{"HTTP/2, 100 streams: allocations", "h2-get-100", "h2-godwit", allocs, "", 15},
}

// h2Env is what the plain kinds' helpers work with.
func h2Env(e *env) *env {
	plain := *e
	plain.Kind = e.Kind.plainKind()
	return &plain
}

func makeH2(e *env) (func() task, error) {
	e = h2Env(e)
	eng, err := h2.Config{TLS: e.tlsConfig(), Proxy: engine.NoProxy, MaxConnectionsPerRoute: 1}.New(engine.Config{})
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(e.url())
	if err != nil {
		return nil, err
	}
	return func() task {
		c, err := newConsumer(e)
		req := &engine.Request{Method: e.method(), URL: u}
		return func(ctx context.Context) error {
			if err != nil {
				return err
			}
			if req.Body, req.Header, err = cioBody(e); err != nil {
				return err
			}
			req.Deadline = time.Now().Add(timeout)
			resp, err := eng.Execute(ctx, req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if err := checkStatus(resp.Status); err != nil {
				return err
			}
			return c.take(resp.Body)
		}
	}, nil
}

func makeH2Std(e *env) (func() task, error) {
	t := &http.Transport{TLSClientConfig: e.tlsConfig(), ForceAttemptHTTP2: true}
	return h2Tasks(h2Env(e), t)
}

func makeH2XNet(e *env) (func() task, error) {
	return h2Tasks(h2Env(e), &http2.Transport{TLSClientConfig: e.tlsConfig()})
}

func h2Tasks(e *env, transport http.RoundTripper) (func() task, error) {
	client := &http.Client{Transport: transport}
	u, method := e.url(), e.method()
	return func() task {
		c, err := newConsumer(e)
		return func(ctx context.Context) error {
			if err != nil {
				return err
			}
			body, length, err := e.payload()
			if err != nil {
				return err
			}
			req, err := http.NewRequestWithContext(ctx, method, u, nil)
			if err != nil {
				return err
			}
			if body != nil {
				req.Body, req.ContentLength = body, length
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.ProtoMajor != 2 {
				return errors.New("the answer came by " + resp.Proto)
			}
			if err := checkStatus(resp.StatusCode); err != nil {
				return err
			}
			return c.take(resp.Body)
		}
	}, nil
}

// h2Server is net/http's server with the pages that HTTP/2 cells ask for.
type h2Server struct {
	listener net.Listener
	server   *http.Server
}

// newH2Server makes one with the certificate of s.
func newH2Server(s *tlsServer) (*h2Server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	small := []byte(strings.Repeat("x", smallSize))
	handler := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == pathUpload:
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		case strings.HasPrefix(r.URL.Path, pathStream):
			left, _ := strconv.ParseInt(r.URL.Path[len(pathStream):], 10, 64)
			for ; left > 0; left -= min(left, int64(len(zeros))) {
				if _, err := w.Write(zeros[:min(left, int64(len(zeros)))]); err != nil {
					return
				}
			}
		default:
			w.Write(small)
		}
	}
	return &h2Server{ln, &http.Server{
		Handler:   http.HandlerFunc(handler),
		TLSConfig: &tls.Config{Certificates: s.certificates},
		HTTP2:     &http.HTTP2Config{MaxReceiveBufferPerConnection: 16 << 20, MaxReceiveBufferPerStream: 8 << 20},
	}}, nil
}

func (s *h2Server) run() error { return s.server.ServeTLS(s.listener, "", "") }

const nginxH2 = `server {
		listen %[1]s ssl http2;
		ssl_certificate %[2]s;
		ssl_certificate_key %[2]s;
		http2_max_concurrent_streams 1000;
		location = %[3]s { default_type text/plain; return 200 "%[4]s"; }
	}
`

// nginxH2Server is the part of nginx's configuration for HTTP/2, at addr.
func (h *harness) nginxH2Server(addr string) (string, error) {
	file := filepath.Join(h.dir, "pair.pem")
	if err := os.WriteFile(file, append(h.hello.Roots, h.hello.Key...), 0o600); err != nil {
		return "", err
	}
	return fmt.Sprintf(nginxH2, addr, file, pathSmall, strings.Repeat("x", smallSize)), nil
}

// keyPEM is the key of a certificate, for a server of others.
func keyPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
