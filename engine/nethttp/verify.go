package nethttp

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// verify sends r by rt and looks at what comes back: net/http accepts responses that RFC
// 9112 would have refused, and a foreign RoundTripper may return anything. What
// can be seen on the finished response is refused here, and its connection is
// closed. Not to be seen any more are folded lines, bare LF, and the
// Transfer-Encoding of HTTP/1.0 and the Content-Length beside chunked, which
// net/http takes out of the header.
func (e *Engine) verify(r *http.Request, rt http.RoundTripper) (*http.Response, error) {
	resp, err := complete(rt.RoundTrip(r))
	if err != nil {
		return nil, err
	}
	var c net.Conn
	var own *conn
	if x := exchangeOf(r.Context()); x != nil {
		x.mu.Lock()
		c, own = x.conn, x.own
		x.mu.Unlock()
	}
	major := e.version(c)
	fault := doubtful(resp)
	if fault == nil {
		fault = wrongVersion(resp.Proto, major)
	}
	if fault == nil {
		return resp, nil
	}
	resp.Body.Close()
	if own != nil && (major == 1 || resp.ProtoMajor == 1) { // net/http keeps it if there was no body
		own.Close()
	}
	return nil, &engine.OpError{Op: engine.OpReceive, Err: fault}
}

var (
	errNoResponse = errors.New("nethttp: the RoundTripper (Config.Preconfigured or an interceptor) returned neither a response nor an error")
	errNoBody     = errors.New("nethttp: the RoundTripper (Config.Preconfigured or an interceptor) returned a response that announces a body and has none")
)

// complete makes what a RoundTripper returned safe to use.
func complete(resp *http.Response, err error) (*http.Response, error) {
	switch {
	case err != nil:
		return nil, err
	case resp == nil:
		return nil, &engine.OpError{Op: engine.OpReceive, Err: errNoResponse}
	case resp.Body != nil:
		return resp, nil
	case resp.ContentLength > 0 && (resp.Request == nil || resp.Request.Method != http.MethodHead) && resp.StatusCode != http.StatusNotModified:
		return nil, &engine.OpError{Op: engine.OpReceive, Err: errNoBody}
	}
	resp.Body = http.NoBody
	return resp, nil
}

// doubtful returns why resp cannot be trusted, nil if it can.
func doubtful(resp *http.Response) error {
	if resp.StatusCode < 100 || resp.StatusCode > 999 {
		return &engine.ProtocolError{Reason: fmt.Sprintf("status code %03d is not from 100 to 999", resp.StatusCode), Section: "RFC 9110 §15"}
	}
	for i := 0; i < len(resp.Status); i++ {
		if c := resp.Status[i]; c < ' ' && c != '\t' || c == 0x7f {
			return &engine.ProtocolError{Reason: "control character in the reason phrase " + quoted(resp.Status), Section: "RFC 9112 §4"}
		}
	}
	for name := range resp.Header {
		if !header.IsToken(name) {
			return &engine.ProtocolError{Reason: "field name " + quoted(name) + " is not a token", Section: "RFC 9112 §5.1"}
		}
	}
	if len(resp.TransferEncoding) == 0 {
		return nil
	}
	switch {
	case resp.Proto == "HTTP/1.0":
		return &engine.ProtocolError{Reason: "Transfer-Encoding on HTTP/1.0", Section: "RFC 9112 §6.1"}
	case len(resp.Header["Content-Length"]) > 0:
		return &engine.ProtocolError{Reason: "Content-Length and Transfer-Encoding in one message", Section: "RFC 9112 §6.3"}
	}
	return nil
}

// maxQuoted bounds what an error quotes of a response.
const maxQuoted = 60

func quoted(s string) string { return strconv.Quote(s[:min(len(s), maxQuoted)]) }

// wrongVersion checks the protocol that the response names. major is the one that
// its connection speaks, 0 if that is not known.
func wrongVersion(proto string, major int) error {
	ok := false
	switch proto {
	case "HTTP/1.0", "HTTP/1.1":
		ok = major < 2
	case "HTTP/2.0":
		ok = major != 1
	case "HTTP/3.0", "": // of a foreign RoundTripper
		ok = major == 0
	}
	if ok {
		return nil
	}
	return &engine.ProtocolError{Reason: "HTTP version " + quoted(proto) + " is not what the connection speaks", Section: "RFC 9112 §2.3"}
}

// version returns the major version of HTTP that the engine's transport speaks on
// c, 0 if there is no telling: others than the engine may have added protocols.
func (e *Engine) version(c net.Conn) int {
	if c == nil || e.main == nil || e.config.CustomizeTransport != nil {
		return 0
	}
	if _, multiplexed := unwrap(c); multiplexed || e.config.Protocol == H2C {
		return 2
	}
	return 1
}
