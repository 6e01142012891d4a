package http3

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/h1"
)

// send runs the exchange on its connection.
func (x *exchange) send() (*engine.Response, error) {
	if err := x.awaitHandshake(x.got); err != nil {
		return nil, err
	}
	x.timers.StartIdle()
	x.timers.Start(engine.KindPool) // the wait for a free stream begins
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
	if err != nil {
		return nil, err
	}
	x.headArrived()
	if x.ctx.Err() != nil { // a hook or a limit ended it at the same moment
		resp.Body.Close()
		return nil, x.failure(nil)
	}
	return x.response(resp, resp.Body)
}

// awaitHandshake waits until the connection can carry the request: one that may
// go early does not wait for the handshake, but is bound by its limit too.
func (x *exchange) awaitHandshake(g *got) error {
	if g.complete() {
		x.timers.Stop(engine.KindConnect)
		x.setOp(engine.OpSend)
		return nil
	}
	x.timers.Stop(engine.KindPool)
	x.timers.Start(engine.KindConnect)
	if x.early {
		x.setOp(engine.OpSend)
		go func() {
			select {
			case <-g.conn.conn.HandshakeComplete():
				if x.connection() == g.conn {
					x.timers.Stop(engine.KindConnect)
				}
			case <-g.conn.conn.Context().Done():
			case <-x.ctx.Done():
			}
		}()
		return nil
	}
	x.setOp(engine.OpConnect)
	select {
	case <-g.conn.conn.HandshakeComplete():
		x.timers.Stop(engine.KindConnect)
		x.setOp(engine.OpSend)
		return nil
	case <-g.conn.conn.Context().Done(): // HandshakeComplete stays open then
		return context.Cause(g.conn.conn.Context())
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}

// late sends what was too early again, as soon as it is not (RFC 8470 §5.2).
func (x *exchange) late(c *conn) (*http.Response, error) {
	select {
	case <-c.conn.HandshakeComplete():
	case <-c.conn.Context().Done():
		return nil, context.Cause(c.conn.Context())
	case <-x.ctx.Done():
		return nil, x.failure(nil)
	}
	x.timers.Stop(engine.KindHeader)
	return c.h3.RoundTrip(x.request(false))
}

// headArrived ends the limits of time that end with the response's head, and the
// wait for 100 Continue.
func (x *exchange) headArrived() {
	x.timers.Head()
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
	if u == nil || empty(x.req) { // which openBody has looked at
		if x.req.Body != nil {
			r.Body = http.NoBody
		}
		return r.WithContext(x.traced())
	}
	r.Body, r.ContentLength = u, u.Length()
	if u.trailer != nil {
		r.ContentLength = -1
		r.Trailer = u.trailer.Fields
	}
	return r.WithContext(x.traced())
}

// head makes a request of all but the body.
func (x *exchange) head() *http.Request {
	req := x.req
	u := *req.URL
	u.Fragment, u.RawFragment, u.User = "", "", nil
	r := &http.Request{Method: req.Method, URL: &u, Host: h1.Authority(&u), Proto: "HTTP/3.0", ProtoMajor: 3,
		Header: make(http.Header, req.Header.Len()+1)}
	named := header.SplitList(req.Header.Joined("Connection"))
	for name, value := range req.Header.All() {
		switch {
		case header.EqualFold(name, "Host"):
			r.Host = value
		case header.EqualFold(name, "TE"): // RFC 9114 §4.2
			if header.HasToken(req.Header, "TE", "trailers") {
				r.Header.Set("TE", "trailers")
			}
		case slices.ContainsFunc(named, func(n string) bool { return header.EqualFold(n, name) }):
		default:
			r.Header.Add(name, value)
		}
	}
	if !req.Header.Has("User-Agent") {
		r.Header["User-Agent"] = nil // else quic-go sends its own
	}
	if req.Method == http.MethodConnect && req.Protocol == "" {
		r.Proto = "" // anything else would make it an extended one
		if (&url.URL{Host: r.Host}).Port() == "" {
			r.Host += ":443" // the port is not optional here (RFC 9114 §4.4)
		}
	}
	return r
}

// response makes the engine's response of quic-go's.
func (x *exchange) response(resp *http.Response, from interface{ Close() error }) (*engine.Response, error) {
	limit := x.engine.config.MaxHeaderFields
	if n := count(resp.Header); n > limit {
		from.Close()
		return nil, tooManyFields(n, limit)
	}
	if err := checkStatus(resp); err != nil {
		from.Close()
		return nil, err
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

// checkStatus refuses what is no status of a final response: quic-go takes any
// number.
func checkStatus(resp *http.Response) error {
	status, _, _ := strings.Cut(resp.Status, " ")
	switch {
	case len(status) != 3 || resp.StatusCode < 100:
		return &engine.ProtocolError{Reason: fmt.Sprintf("status %.20q, which is not three digits from 100 on", status), Section: "RFC 9110 §15"}
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return &engine.ProtocolError{Reason: "status 101, which HTTP/3 does not have", Section: "RFC 9114 §4.5"}
	}
	return nil
}

// fields returns the fields of a response with the one that quic-go takes out.
func fields(resp *http.Response) header.Header {
	h := convert(resp.Header)
	if len(resp.Trailer) > 0 {
		h.Add("Trailer", strings.Join(slices.Sorted(maps.Keys(resp.Trailer)), ", "))
	}
	return h
}

// cancelled is the code of streams that nobody wants any more.
const cancelled = quic.StreamErrorCode(h3.ErrCodeRequestCanceled)
