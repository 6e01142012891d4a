package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/testpeer"
)

// TestConformance runs the group Contract over a real HTTP/3 server, which gives
// the suite's answers.
func TestConformance(t *testing.T) {
	newEngine := func(shared engine.Config, answer func(*engine.Request) enginetest.Reply) (engine.Engine, error) {
		shared.TLS = first(shared.TLS, &tls.Config{RootCAs: testpeer.CA(t).Pool})
		if shared.Proxy == nil {
			shared.Proxy = engine.NoProxy
		}
		e, err := http3.Config{}.NewEngine(shared)
		if err != nil {
			return nil, err
		}
		return newBridge(t, e, answer)
	}
	enginetest.Run(t, nil,
		enginetest.Canned("the suite's other servers speak HTTP/1.1 over TCP; HTTP/3 has tests of its own", newEngine))
}

func first[T comparable](a, b T) T {
	var unset T
	if a != unset {
		return a
	}
	return b
}

// bridge sends the suite's requests, which go to an http URL, to an HTTP/3 server.
type bridge struct {
	engine.Engine
	server *h3.Server
	socket net.PacketConn
	served chan struct{}
}

func newBridge(t *testing.T, e engine.Engine, answer func(*engine.Request) enginetest.Reply) (engine.Engine, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	b := &bridge{Engine: e, socket: socket, served: make(chan struct{})}
	b.server = &h3.Server{
		TLSConfig:  &tls.Config{Certificates: []tls.Certificate{testpeer.CA(t).Issue(t, "127.0.0.1")}},
		QUICConfig: &quic.Config{},
		Handler:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply(w, r, answer) }),
	}
	go func() {
		defer close(b.served)
		_ = b.server.Serve(socket)
	}()
	return b, nil
}

func (b *bridge) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if req.URL.Host != "canned.example" {
		return b.Engine.Execute(ctx, req)
	}
	u := *req.URL
	u.Scheme, u.Host = "https", b.socket.LocalAddr().String()
	moved := *req
	moved.URL = &u
	resp, err := b.Engine.Execute(ctx, &moved)
	if err == nil {
		// HTTP/3 has neither reason phrases nor 101: a 2xx to an extended CONNECT
		// is what the suite knows as 101.
		resp.Reason = http.StatusText(resp.Status)
		if req.Protocol != "" && resp.Status == 200 {
			resp.Status = 101
		}
	}
	return resp, err
}

func (b *bridge) Close() error {
	err := b.Engine.Close()
	b.server.Close()
	b.socket.Close()
	<-b.served
	return err
}

// reply gives the suite's answer.
func reply(w http.ResponseWriter, r *http.Request, answer func(*engine.Request) enginetest.Reply) {
	a := answer(received(r))
	for _, info := range a.Informational {
		for name, value := range info.Header.All() {
			w.Header().Add(name, value)
		}
		w.WriteHeader(info.Status)
		clear(w.Header())
	}
	for name, value := range a.Header.All() {
		w.Header().Add(name, value)
	}
	w.Header()["Date"] = nil
	hang := func(until <-chan struct{}) bool {
		_ = http.NewResponseController(w).Flush()
		select {
		case <-until:
			return true
		case <-r.Context().Done():
			return false
		}
	}
	if a.Hang != nil {
		select {
		case <-a.Hang:
		case <-r.Context().Done():
			return
		}
	}
	status := first(a.Status, 200)
	if a.Upgrade != nil {
		w.WriteHeader(200)
		if stream, err := w.(h3.HTTPStreamer).HTTPStream(); err == nil {
			a.Upgrade(stream)
			stream.Close()
		}
		return
	}
	for name := range a.Trailer.All() {
		w.Header().Set("Trailer", name)
	}
	if a.Trailer.Len() == 0 && status != 204 && status != 304 {
		w.Header().Set("Content-Length", itoa(len(a.Body)))
	}
	w.WriteHeader(status)
	half := len(a.Body) / 2
	switch {
	case r.Method == http.MethodHead:
	case a.Truncate:
		if stream, err := w.(h3.HTTPStreamer).HTTPStream(); err == nil {
			_, _ = io.WriteString(stream, a.Body[:half])
			stream.Close()
		}
	case a.Stall != nil:
		_, _ = io.WriteString(w, a.Body[:half])
		if hang(a.Stall) {
			_, _ = io.WriteString(w, a.Body[half:])
		}
	default:
		_, _ = io.WriteString(w, a.Body)
		_ = http.NewResponseController(w).Flush() // else the server adds the length of a body with trailers
	}
	for name, value := range a.Trailer.All() {
		w.Header().Add(name, value)
	}
}

// received makes the suite's request of the server's.
func received(r *http.Request) *engine.Request {
	req := &engine.Request{Method: r.Method, URL: &url.URL{Host: r.Host}}
	if r.URL != nil {
		req.URL = r.URL
	}
	for name, values := range r.Header {
		req.Header.AddAll(name, values...)
	}
	if r.Method == http.MethodConnect {
		if !strings.HasPrefix(r.Proto, "HTTP/") {
			req.Protocol = r.Proto
		}
		return req
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			return req
		}
	}
	if len(text) > 0 {
		req.Body = content.Bytes(text, "")
	}
	if len(r.Trailer) > 0 {
		req.Trailer = func() header.Header {
			var h header.Header
			for name, values := range r.Trailer {
				h.AddAll(name, values...)
			}
			return h
		}
	}
	return req
}

func itoa(n int) string { return strconv.Itoa(n) }

// TestConformanceByGateway runs what of the suite is not about HTTP/1.1 or about
// TCP connections.
func TestConformanceByGateway(t *testing.T) {
	var options []enginetest.Option
	for _, name := range enginetest.Names() {
		group, _, _ := strings.Cut(name, "/")
		if reason := first(elsewhere[group], artefacts[name]); reason != "" {
			options = append(options, enginetest.Skip(name, reason))
		}
	}
	enginetest.Run(t, gateways{t}, options...)
}

// elsewhere are the groups of the suite that a gateway cannot carry.
var elsewhere = map[string]string{
	"Contract":    "TestConformance runs it",
	"Framing":     "it is about the framing of HTTP/1.1, which the gateway reads",
	"Truncation":  "it is about the framing of HTTP/1.1, which the gateway reads",
	"Connections": "it counts TCP connections, which are the gateway's",
	"Stale":       "it is about TCP connections, which are the gateway's",
	"Limits":      "it counts TCP connections, which are the gateway's",
	"Close":       "it counts TCP connections, which are the gateway's",
	"TLS":         "its servers speak TLS over TCP",
	"Proxy":       "HTTP/3 goes by no proxy",
	"Hooks":       "it is about TCP connections, which are the gateway's",
	"Upgrade":     "the Upgrade field is HTTP/1.1's",
}

const (
	ofTCP     = "it waits for the end of a TCP connection, which is the gateway's"
	ofHTTP1   = "it is about what HTTP/1.1 alone has"
	ofGateway = "the gateway's own client refuses what the server sends"
	ofTLS     = "its server speaks TLS over TCP"
)

// artefacts are the tests of the other groups that the gateway stands in the way
// of.
var artefacts = map[string]string{
	"RequestHead/ConnectionClose":              ofHTTP1,
	"RequestBody/LongerThanAnnounced":          ofTCP,
	"RequestBody/ReadPanics":                   ofTCP,
	"RequestBody/ClosedWhenConnectFails":       ofTCP,
	"ResponseHead/ReasonPhrases":               ofHTTP1,
	"ResponseHead/HTTP10":                      ofHTTP1,
	"ResponseHead/HeadOverLimit":               ofTCP + "; TestHeaderLimits",
	"ResponseHead/HeadOverOwnLimit":            ofTCP + "; TestHeaderLimits",
	"ResponseHead/StatusLineOverLimit":         ofHTTP1,
	"ResponseHead/FieldsOverLimit":             ofTCP + "; TestHeaderLimits",
	"ResponseHead/EndlessHead":                 ofGateway,
	"ResponseHead/InformationalRefusedByTrace": ofTCP + "; Contract/Informational",
	"ResponseHead/EndlessInformational":        ofGateway + "; TestInformationalWithoutEnd",
	"ResponseHead/SwitchingUnasked":            ofHTTP1,
	"ResponseHead/ConnectionInfo":              ofTCP + "; TestExchange",
	"ResponseBody/TrailersOverLimit":           ofGateway,
	"Timeouts/ConnectInTLSHandshake":           ofTLS + "; TestTimeouts",
	"Cancel/WhileResolving":                    "the gateway's address is numeric; TestSharedDial",
	"Cancel/InTLSHandshake":                    ofTLS + "; TestCancelledDial",
	"Cancel/WaitingForPool":                    "requests to one server share a connection; TestPoolTimeouts",
	"Stress/NoMixupsTLS":                       ofTLS,
}
