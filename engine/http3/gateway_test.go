package http3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/testpeer"
)

// gateways makes engines whose requests reach the suite's servers, which speak
// HTTP/1.1 over TCP, by an HTTP/3 gateway before each of them.
type gateways struct{ t *testing.T }

func (gateways) Name() string { return "http3" }

func (g gateways) NewEngine(shared engine.Config) (engine.Engine, error) {
	if shared.TLS == nil {
		shared.TLS = &tls.Config{RootCAs: testpeer.CA(g.t).Pool}
	}
	e, err := http3.Config{}.New(shared)
	if err != nil {
		return nil, err
	}
	return &behindGateways{Engine: e, t: g.t, all: make(map[string]*gateway)}, nil
}

type behindGateways struct {
	*http3.Engine
	t   *testing.T
	mu  sync.Mutex // guards all
	all map[string]*gateway
}

func (b *behindGateways) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if req.URL == nil || req.URL.Scheme != "http" {
		return b.Engine.Execute(ctx, req)
	}
	g, err := b.before(req.URL.Host)
	if err != nil {
		return nil, err
	}
	u := *req.URL
	u.Scheme, u.Host = "https", g.socket.LocalAddr().String()
	moved := *req
	moved.URL = &u
	if !req.Header.Has("Host") {
		moved.Header = req.Header.Clone()
		moved.Header.Add("Host", req.URL.Host)
	}
	resp, err := b.Engine.Execute(ctx, &moved)
	if err == nil {
		resp.Reason = http.StatusText(resp.Status)
	}
	return resp, err
}

func (b *behindGateways) before(host string) (*gateway, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.all[host]; g != nil {
		return g, nil
	}
	g, err := newGateway(b.t, host)
	if err == nil {
		b.all[host] = g
	}
	return g, err
}

func (b *behindGateways) Close() error {
	err := b.Engine.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.all {
		g.close()
	}
	clear(b.all)
	return err
}

// gateway speaks HTTP/3 to clients and HTTP/1.1 to one server.
type gateway struct {
	server *h3.Server
	socket *net.UDPConn
	served chan struct{}
	to     string
	by     *http.Transport
}

func newGateway(t *testing.T, to string) (*gateway, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	g := &gateway{socket: socket, served: make(chan struct{}), to: to, by: &http.Transport{
		DisableCompression: true, MaxResponseHeaderBytes: 1 << 22,
		IdleConnTimeout: time.Second, // it keeps one that it made for a request which ended in the meantime
	}}
	g.server = &h3.Server{
		TLSConfig:  &tls.Config{Certificates: []tls.Certificate{testpeer.CA(t).Issue(t, "127.0.0.1")}},
		QUICConfig: &quic.Config{}, Handler: http.HandlerFunc(g.serve), MaxHeaderBytes: 1 << 22,
	}
	go func() {
		defer close(g.served)
		_ = g.server.Serve(socket)
	}()
	return g, nil
}

func (g *gateway) close() {
	g.server.Close()
	g.socket.Close()
	<-g.served
	g.by.CloseIdleConnections()
}

func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		for name, values := range h {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		clear(w.Header())
		return nil
	}})
	out := &http.Request{Method: r.Method, URL: &url.URL{Scheme: "http", Host: g.to, Opaque: "//" + g.to + r.RequestURI}, Host: r.Host,
		Header: r.Header, Body: r.Body, ContentLength: r.ContentLength, Trailer: r.Trailer, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	out.URL.Opaque = ""
	out.URL.Path, out.URL.RawPath, out.URL.RawQuery, out.URL.ForceQuery = r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery
	if r.RequestURI == "*" {
		out.URL.Path, out.URL.Opaque = "", "*"
	}
	if !hasBody(r) {
		out.Body, out.ContentLength = nil, 0
	} else if out.Body = r.Body; r.Trailer != nil {
		out.Trailer = maps.Clone(r.Trailer)
		out.Body = &trailed{r.Body, r, out}
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header["User-Agent"] = nil
	}
	resp, err := g.by.RoundTrip(out.WithContext(ctx))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	h := w.Header()
	for name, values := range resp.Header {
		h[name] = values
	}
	if len(h["Date"]) == 0 {
		h["Date"] = nil
	}
	announced := make(map[string]bool)
	for name := range resp.Trailer {
		h.Add("Trailer", name)
		announced[name] = true
	}
	w.WriteHeader(resp.StatusCode)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	buf := make([]byte, 32<<10)
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return
			}
			_ = flush.Flush()
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	for name, values := range resp.Trailer {
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// hasBody reports whether the request is not over with its head.
func hasBody(r *http.Request) bool {
	switch {
	case r.ContentLength == 0:
		return false
	case r.ContentLength > 0:
		return true
	case r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		return true
	}
	first := make([]byte, 1)
	if n, _ := io.ReadFull(r.Body, first); n == 0 {
		return false
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(first), r.Body), r.Body}
	return true
}

// trailed hands trailer fields on when the body is at its end.
type trailed struct {
	io.ReadCloser
	from, to *http.Request
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		maps.Copy(b.to.Trailer, b.from.Trailer)
	}
	return n, err
}
