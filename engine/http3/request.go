package http3

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// send runs the exchange on its connection.
func (x *exchange) send() (*engine.Response, error) {
	x.startIdle()
	x.engine.pool.use(x.got.conn)
	if header.HasToken(x.req.Header, "Connection", "close") {
		x.engine.pool.giveUp(x.got.conn)
	}
	if tunnels(x.req) {
		return x.tunnel()
	}
	c := x.got.conn
	early := x.early && !c.complete()
	resp, err := c.h3.RoundTrip(x.request(early))
	if err == nil && early && resp.StatusCode == http.StatusTooEarly {
		resp.Body.Close()
		if resp, err = x.late(c); err != nil {
			return nil, err
		}
	}
	x.headArrived()
	if err != nil {
		return nil, err
	}
	if x.ctx.Err() != nil { // a hook or a limit ended it at the same moment
		resp.Body.Close()
		return nil, x.failure(nil)
	}
	return x.response(resp, resp.Body)
}

// late sends what was too early again, as soon as it is not (RFC 8470 §5.2).
func (x *exchange) late(c *conn) (*http.Response, error) {
	select {
	case <-c.conn.HandshakeComplete():
	case <-c.conn.Context().Done():
	case <-x.ctx.Done():
		return nil, x.failure(nil)
	}
	x.stopTimers(&x.header)
	return c.h3.RoundTrip(x.request(false))
}

// headArrived ends the limits of time that end with the response's head, and the
// wait for 100 Continue.
func (x *exchange) headArrived() {
	x.mu.Lock()
	x.headed = true
	x.stopLocked(&x.pool, &x.connect, &x.header, &x.idle)
	if x.req.HeadOnly {
		x.stopLocked(&x.deadline)
	}
	x.mu.Unlock()
	x.proceed(false)
}

// proceed ends the wait for 100 Continue.
func (x *exchange) proceed(continued bool) {
	if !x.expects {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	select {
	case <-x.answered:
	default:
		x.refused = !continued
		close(x.answered)
	}
}

// request makes quic-go's request.
func (x *exchange) request(early bool) *http.Request {
	r := x.head()
	if early {
		r.Method = map[string]string{http.MethodGet: h3.MethodGet0RTT, http.MethodHead: h3.MethodHead0RTT}[r.Method]
	}
	u := x.upload
	if u == nil {
		if x.req.Body != nil {
			r.Body = http.NoBody
		}
		return r.WithContext(x.traced())
	}
	r.Body, r.ContentLength = u, u.announced()
	if u.trailer != nil {
		r.ContentLength = -1
		r.Trailer = u.into
	}
	return r.WithContext(x.traced())
}

// head makes a request of all but the body.
func (x *exchange) head() *http.Request {
	req := x.req
	u := *req.URL
	u.Fragment, u.RawFragment, u.User = "", "", nil
	r := &http.Request{Method: req.Method, URL: &u, Host: authority(&u), Proto: "HTTP/3.0", ProtoMajor: 3,
		Header: make(http.Header, req.Header.Len()+1)}
	if req.Method == http.MethodConnect {
		r.Proto = "" // anything else would make it an extended one
	}
	named := header.SplitList(req.Header.Joined("Connection"))
	for name, value := range req.Header.All() {
		switch {
		case header.EqualFold(name, "Host"):
			r.Host = value
		case header.EqualFold(name, "TE") && !strings.EqualFold(value, "trailers"), // RFC 9114 §4.2
			slices.ContainsFunc(named, func(n string) bool { return header.EqualFold(n, name) }):
		default:
			r.Header.Add(name, value)
		}
	}
	if !req.Header.Has("User-Agent") {
		r.Header["User-Agent"] = nil // else quic-go sends its own
	}
	return r
}

// authority returns u's host without the scheme's own port (RFC 9110 §4.2.3).
func authority(u *url.URL) string {
	if u.Port() == "443" {
		return strings.TrimSuffix(u.Host, ":443")
	}
	return u.Host
}

// response makes the engine's response of quic-go's.
func (x *exchange) response(resp *http.Response, from interface{ Close() error }) (*engine.Response, error) {
	limit := x.engine.config.MaxHeaderFields
	if n := count(resp.Header); n > limit {
		from.Close()
		return nil, tooManyFields(n, limit)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		from.Close()
		return nil, &engine.ProtocolError{Reason: "status 101, which HTTP/3 does not have", Section: "RFC 9114 §4.5"}
	}
	b := &body{x: x, resp: resp}
	out := &engine.Response{
		Status: resp.StatusCode, Proto: "HTTP/3.0", Header: fields(resp), ContentLength: resp.ContentLength,
		Body: b, Trailer: b.trailer,
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	state := x.got.conn.conn.ConnectionState().TLS
	out.Conn = &engine.Conn{Local: x.got.conn.conn.LocalAddr(), Remote: x.got.conn.conn.RemoteAddr(), TLS: &state}
	out.Reused = x.got.reused
	x.op = engine.OpReceive
	return out, nil
}

// fields returns the fields of a response with the one that quic-go takes out.
func fields(resp *http.Response) header.Header {
	h := convert(resp.Header)
	names := make([]string, 0, len(resp.Trailer))
	for name := range resp.Trailer {
		names = append(names, name)
	}
	if len(names) > 0 {
		h.Add("Trailer", strings.Join(sorted(names), ", "))
	}
	return h
}

// cancelled is the code of streams that nobody wants any more.
const cancelled = quic.StreamErrorCode(h3.ErrCodeRequestCanceled)
