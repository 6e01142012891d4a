package enginetest

//lint:file-ignore SA1019 ServeConn serves one connection, which was looked at before; http.Server has nothing like it.

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

// Scripts speak HTTP/1.1. For an engine that speaks HTTP/2 only, a bridge stands
// before them: it takes HTTP/2 from the engine and runs the script at the other
// end of a socket, as a gateway in front of an old server would. A connection
// takes one stream at a time, so that it is to the script what it is to the
// engine, and parallel requests need connections of their own.
//
// What a script does to its connection the bridge does to the engine's: when the
// script ends it in the middle of a response the connection is cut, after a whole
// one it is shut down in order. A stream that the engine cancels ends both.

// bridged reports whether the engine needs the bridge.
func (s *suite) bridged() bool { return s.caps.Has(engine.HTTP2) && !s.caps.Has(engine.HTTP1) }

// bridge serves one connection of the engine.
type bridge struct {
	near net.Conn // to the script
	r    *bufio.Reader
	nc   net.Conn // to the engine
}

// serveBridged runs a script behind a bridge if the connection begins as HTTP/2
// does; what does not is a proxy's.
func (s *server) serveBridged(nc net.Conn, n int, run script) {
	nc.SetDeadline(time.Now().Add(3 * patience))
	first := bufio.NewReader(nc)
	begin, _ := first.Peek(len("PRI"))
	nc = &peeked{nc, first}
	if string(begin) != "PRI" {
		s.serve(nc, n, run)
		return
	}
	near, far := sockets()
	far = &behind{far.(*net.TCPConn), nc}
	b := &bridge{near: near, r: bufio.NewReader(near), nc: nc}
	front := &http2.Server{MaxReadFrameSize: 1 << 20, MaxConcurrentStreams: 1}
	base := &http.Server{ErrorLog: quietLog(), MaxHeaderBytes: 1 << 20}
	if err := http2.ConfigureServer(base, front); err != nil {
		panic(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer base.Shutdown(context.Background()) // with GOAWAY, after a stream that is open
		s.serve(far, n, run)
	}()
	front.ServeConn(nc, &http2.ServeConnOpts{Handler: http.HandlerFunc(b.stream), BaseConfig: base})
	near.Close()
	nc.Close()
	<-ended
}

// peeked is a connection of which the beginning was looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// behind is the script's end of a bridge.
type behind struct {
	*net.TCPConn
	front net.Conn // to the engine
}

// secured returns the TLS connection with the engine.
func (c *conn) secured() *tls.Conn {
	for nc := c.Conn; ; {
		switch under := leakcheck.Unwrap(nc).(type) {
		case *tls.Conn:
			return under
		case *behind:
			nc = under.front
		case *peeked:
			nc = under.Conn
		default:
			panic("the connection has no TLS")
		}
	}
}

// sockets is a pair of connected sockets.
func sockets() (near, far net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		panic(err)
	}
	if far, err = l.Accept(); err != nil {
		panic(err)
	}
	return near, far
}

// stream serves one stream.
func (b *bridge) stream(w http.ResponseWriter, r *http.Request) {
	x := &bridged{bridge: b, w: w, req: r, proceed: make(chan struct{}), sent: make(chan struct{}), over: make(chan struct{})}
	defer x.end()
	go func() { // a canceled stream ends the connections
		select {
		case <-r.Context().Done():
			select {
			case <-x.over:
			default:
				b.near.Close()
				b.nc.Close()
			}
		case <-x.over:
		}
	}()
	io.WriteString(b.near, requestText(r))
	go func() {
		defer close(x.sent)
		select {
		case <-x.proceed:
		case <-r.Context().Done():
			return
		}
		sendBody(b.near, r)
	}()
	close(x.proceed)
	if !x.answer() {
		b.near.Close() // the script ends, and with it the connection
		if !x.begun {
			b.nc.Close()
		}
		panic(http.ErrAbortHandler)
	}
}

// bridged is a request on its way over the bridge.
type bridged struct {
	*bridge
	w       http.ResponseWriter
	req     *http.Request
	proceed chan struct{} // closed when the body may be read
	sent    chan struct{} // closed when it was
	over    chan struct{} // closed when the answer is complete
	once    sync.Once
	begun   bool // the final head was sent
}

func (x *bridged) end() { x.once.Do(func() { close(x.over) }) }

// requestText is the head of r as HTTP/1.1 has it.
func requestText(r *http.Request) string {
	var t strings.Builder
	t.WriteString(r.Method + " " + target(r) + " HTTP/1.1\r\nHost: " + r.Host + "\r\n")
	for _, name := range slices.Sorted(mapKeys(r.Header)) {
		for _, v := range r.Header[name] {
			t.WriteString(name + ": " + v + "\r\n")
		}
	}
	if hasBody(r) && r.ContentLength < 0 && r.Method != "CONNECT" {
		t.WriteString("Transfer-Encoding: chunked\r\n")
		for name := range r.Trailer {
			t.WriteString("Trailer: " + name + "\r\n")
		}
	}
	return t.String() + "\r\n"
}

func target(r *http.Request) string {
	if r.Method == "CONNECT" {
		return r.Host
	}
	return r.RequestURI
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

func mapKeys(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range h {
			if !yield(name) {
				return
			}
		}
	}
}

// sendBody copies r's body to the script.
func sendBody(p net.Conn, r *http.Request) {
	if !hasBody(r) {
		return
	}
	if r.ContentLength >= 0 || r.Method == "CONNECT" {
		io.Copy(p, r.Body)
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			io.WriteString(p, strconv.FormatInt(int64(n), 16)+"\r\n"+string(buf[:n])+"\r\n")
		}
		if err == io.EOF {
			io.WriteString(p, "0\r\n")
			for name, values := range r.Trailer {
				for _, v := range values {
					io.WriteString(p, name+": "+v+"\r\n")
				}
			}
			io.WriteString(p, "\r\n")
			return
		}
		if err != nil {
			p.Close()
			return
		}
	}
}

// answer copies the script's answer to the stream, and reports whether it came to
// its end.
func (x *bridged) answer() bool {
	w := x.w
	for {
		resp, err := http.ReadResponse(x.r, x.req)
		if err != nil {
			return false
		}
		if resp.StatusCode >= 200 || resp.StatusCode == 101 {
			return x.deliver(resp)
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		if x.req.Context().Err() != nil {
			return false // the fields may still be read
		}
		clear(w.Header())
	}
}

// deliver sends the final response.
func (x *bridged) deliver(resp *http.Response) bool {
	w, r := x.w, x.req
	w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
	for name, values := range resp.Header {
		if name != "Transfer-Encoding" && name != "Keep-Alive" {
			w.Header()[name] = values
		}
	}
	if resp.Close {
		w.Header().Set("Connection", "close")
	}
	tunnel := r.Method == "CONNECT" && resp.StatusCode/100 == 2
	if resp.Body == http.NoBody && !tunnel {
		x.end()
	}
	x.begun = true
	w.WriteHeader(resp.StatusCode)
	rc := http.NewResponseController(w)
	if resp.ContentLength != 0 || tunnel {
		rc.Flush()
	}
	var body io.Reader = resp.Body
	if tunnel {
		body = x.r
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return false
			}
			rc.Flush()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return false
		}
	}
	for name, values := range resp.Trailer {
		for _, v := range values {
			w.Header().Add(http.TrailerPrefix+name, v)
		}
	}
	return true
}

// withoutHTTP1 says why a test cannot be run over the bridge, "" if it can.
func withoutHTTP1(group, name string) string {
	switch group {
	case "Framing":
		return "it is about the bytes of HTTP/1.1"
	case "Upgrade":
		if !strings.HasPrefix(name, "Connect") {
			return "101 is of HTTP/1.1; extended CONNECT is tested by group HTTP2"
		}
	}
	return ofHTTP1[group+"/"+name]
}

const (
	stays      = "HTTP/2 gives up the stream, and the connection stays"
	asksTunnel = "HTTP/2 asks proxies for tunnels, and does not have requests forwarded"
)

// ofHTTP1 are the tests that look at HTTP/1.1 itself, or at what a gateway does
// not pass on.
var ofHTTP1 = map[string]string{
	"Contract/Response":                        "HTTP/2 has no reason phrases",
	"Contract/Upgrade":                         "101 is of HTTP/1.1",
	"Contract/UpgradeRefused":                  "101 is of HTTP/1.1",
	"Proxy/UpgradeByTunnel":                    "101 is of HTTP/1.1",
	"RequestHead/ConnectionClose":              "Connection is of HTTP/1.1",
	"Expect/ContinueThenFinal":                 "the gateway answers Expect itself",
	"Expect/FinalAtOnce":                       "the gateway answers Expect itself",
	"Expect/ExpectationFailed":                 "the gateway answers Expect itself",
	"ResponseHead/ReasonPhrases":               "HTTP/2 has no reason phrases",
	"ResponseHead/HTTP10":                      "it is about HTTP/1.0",
	"ResponseHead/StatusLineOverLimit":         "HTTP/2 has no status line",
	"ResponseHead/EndlessHead":                 "the gateway waits for the end of the head; CONTINUATION without end is tested by group HTTP2",
	"ResponseBody/Chunked":                     "HTTP/2 tells that a body is empty with its head",
	"ResponseBody/UntilClose":                  "HTTP/2 tells that a body is empty with its head",
	"Connections/NoReuseAfterProtocolError":    "it is about the bytes of HTTP/1.1",
	"ResponseHead/HeadOverOwnLimit":            stays,
	"ResponseHead/FieldsOverLimit":             stays,
	"ResponseHead/InformationalRefusedByTrace": stays,
	"ResponseHead/SwitchingUnasked":            stays,
	"ResponseBody/TrailersOverLimit":           "the gateway has a limit of its own; group HTTP2 tests the engine's",
	"TLS/TruncatedRecord":                      "its server chooses no protocol",
	"Stale/AnswerBegunIsNotRetried":            "the gateway passes on whole heads only",
	"Proxy/Forward":                            asksTunnel,
	"Proxy/ForwardWithBody":                    asksTunnel,
	"Proxy/ForwardAuthorization":               asksTunnel,
	"Proxy/ForwardAuthorizationField":          asksTunnel,
	"Proxy/ForwardHost":                        asksTunnel,
	"Proxy/HTTPSProxy":                         asksTunnel,
	"Proxy/RequestProxy":                       asksTunnel,
	"Proxy/RequestNoProxy":                     asksTunnel,
	"Proxy/Environment":                        asksTunnel,
	"Proxy/ExplicitBeatsEnvironment":           asksTunnel,
	"Proxy/ForwardErrorStatus":                 asksTunnel,
}
