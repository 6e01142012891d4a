package godwit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// execute is the end of the Send pipeline: it checks the request as the plugins
// left it, hands it to the engine and makes a Response of the answer.
func (c *Client) execute(ctx context.Context, req *Request) (*Response, error) {
	call := CallFrom(ctx)
	wire := call.wireRequest()
	if err := c.fill(wire, call, req); err != nil {
		return nil, err
	}
	if err := engine.Check(c.engine.Name(), c.engine.Capabilities(), wire.Needs); err != nil {
		return nil, opError(opBuild, err)
	}
	if err := call.checkDoor(wire); err != nil {
		return nil, err
	}
	call.closeOpen()
	if limit := c.builtin.maxSends.For(req); int(call.root().sends.Add(1)) > limit {
		call.root().sends.Add(-1)
		return nil, tooManySends(limit)
	}
	call.last.Store(req)
	emit(ctx, req, Sending{call, req})
	timed := c.builtin.timed.For(req)
	if timed {
		call.measure(wire)
	}
	sent := time.Now()
	answer, err := c.engine.Execute(ctx, wire)
	if err != nil {
		if _, ok := errors.AsType[*engine.UnsupportedError](err); ok {
			call.root().sends.Add(-1) // refused before anything was sent
			return nil, opError(opBuild, unwrapOp(err))
		}
		return nil, call.explain(err)
	}
	resp := call.received(req, answer)
	resp.RequestTime, resp.ResponseTime = sent, sent.Add(time.Since(sent))
	if wire.HeadOnly || answer.Upgraded != nil {
		call.ctx.halt()
	}
	if timed {
		call.stopwatch().headDone(resp)
	}
	emit(ctx, req, Received{call, resp})
	return resp, nil
}

// unwrapOp takes an engine's own phase away.
func unwrapOp(err error) error {
	if oe, ok := err.(*engine.OpError); ok {
		return oe.Err
	}
	return err
}

// checkDoor refuses what a buffered call cannot hand over.
func (c *Call) checkDoor(w *engine.Request) error {
	if c.mode == buffered && (w.Protocol != "" || w.Method == "CONNECT") {
		return buildErrorf("a raw connection comes by Open and Response.Upgraded only")
	}
	return nil
}

// wireRequest returns a blank engine request: the call's own for its first send,
// a new one for later ones, as an engine may still hold the earlier.
func (c *Call) wireRequest() *engine.Request {
	if c.wire.URL == nil && c.Sends() == 0 {
		return &c.wire
	}
	return new(engine.Request)
}

// fill makes req into what goes to the engine.
func (c *Client) fill(w *engine.Request, call *Call, req *Request) error {
	if c.engine == nil {
		return opError(opBuild, ErrNoEngine)
	}
	if err := checkMethod(req.Method); err != nil {
		return err
	}
	if err := checkURL(req.URL); err != nil {
		return err
	}
	body := req.Content()
	if body == nil && req.Body != nil {
		return buildErrorf("body of type %T comes too late to be encoded: after phase CallTransform a body is a content.Content (content.Text, content.Bytes, …)", req.Body)
	}
	h, err := c.builtin.wireHeader(req, body)
	if err != nil {
		return err
	}
	w.Method, w.URL, w.Header, w.Body = req.Method, withoutUser(req.URL), h, body
	w.Attributes = req.Attributes
	if t, ok := body.(content.Trailerer); ok && len(t.TrailerNames()) > 0 {
		checked, err := checkTrailers(t)
		if err != nil {
			return err
		}
		w.Body, w.TrailerNames, w.Trailer = checked, t.TrailerNames(), checked.Trailers
		w.Needs |= engine.RequestTrailers
	}
	if req.Method == "CONNECT" {
		w.Needs |= engine.Connect
	}
	c.builtin.fill(w, req)
	if name, version, versioned := strings.Cut(w.Protocol, "/"); w.Protocol != "" && (!header.IsToken(name) || versioned && !header.IsToken(version)) {
		return buildErrorf("Upgrade: protocol %q is not name or name/version", w.Protocol)
	}
	call.fillDeadline(w, req, c.engine.Capabilities())
	return nil
}

// fillDeadline takes the earlier of the call's and the attempt's deadline. For
// an engine that has no deadlines the call's context keeps the time.
func (c *Call) fillDeadline(w *engine.Request, req *Request, can engine.Capabilities) {
	if c.ctx.timed.Load() {
		c.ctx.mu.Lock()
		c.ctx.goOn()
		if can.Has(engine.RequestTimeout) {
			w.Deadline, w.DeadlineLimit, w.DeadlineKind = c.ctx.deadline.at, c.ctx.deadline.limit, c.ctx.kind()
		} else {
			c.ctx.arm()
		}
		c.ctx.mu.Unlock()
	}
	limit := c.client.builtin.attempt.For(req)
	if !engine.Limited(limit) {
		c.setAttemptEnd(deadline{})
		return
	}
	at := time.Now().Add(limit)
	c.setAttemptEnd(deadline{at, limit})
	if w.Deadline.IsZero() || at.Before(w.Deadline) {
		w.Deadline, w.DeadlineLimit, w.DeadlineKind = at, limit, engine.KindAttempt
	}
}

func checkMethod(method string) error {
	if !header.IsToken(method) {
		return buildErrorf("method %q: only letters, digits and !#$%%&'*+-.^_`|~ are allowed", method)
	}
	return nil
}

func checkURL(u *url.URL) error {
	switch {
	case u == nil:
		return buildErrorf("request has no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		if u.Scheme == "" {
			return buildErrorf("URL %q is relative: give it a scheme and a host, or the client a BaseURL", shownURL(u))
		}
		return buildErrorf("URL %q: scheme %q is not http or https", shownURL(u), u.Scheme)
	case u.Opaque != "":
		return buildErrorf("URL %q has no //", shownURL(u))
	case u.Host == "":
		return buildErrorf("URL %q has no host; to take that of the BaseURL leave out the scheme, too", shownURL(u))
	}
	if err := checkHostPort(u); err != nil {
		return buildErrorf("URL %q: %w", shownURL(u), err)
	}
	for i := 0; i < len(u.RawQuery); i++ {
		if c := u.RawQuery[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return buildErrorf("URL query: character %q is not allowed; escape it", c)
		}
	}
	if u.Path != "" && u.Path[0] != '/' && (u.Path != "*" || u.Host == "") {
		return buildErrorf("URL path %q does not begin with a slash", u.Path)
	}
	return nil
}

func checkHostPort(u *url.URL) error {
	if strings.IndexByte(u.Host, '@') >= 0 {
		return errors.New("user info in the host; give it in URL.User, or by godwit.UserInfo")
	}
	if strings.IndexByte(u.Host, ':') < 0 {
		return checkHost(u.Host)
	}
	if err := checkHost(u.Hostname()); err != nil {
		return err
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("port %s is not between 1 and 65535", port)
		}
	}
	return nil
}

// wireHeader checks the fields and takes out what is the engine's to write.
func (b *builtins) wireHeader(req *Request, body content.Content) (header.Header, error) {
	h := req.Header.View()
	hosts, lengths := 0, false
	for i := range h.Len() {
		f := h.At(i)
		if i < b.plainOK && f == b.plain.At(i) {
			continue // checked when the client was made
		}
		if err := checkField(f.Name, f.Value); err != nil {
			return h, opError(opBuild, err)
		}
		switch len(f.Name) {
		case 4:
			if header.EqualFold(f.Name, "Host") {
				hosts++
				if f.Value == "" || !validHostField(f.Value) {
					return h, buildErrorf("field Host: %q is no host", redactRaw(f.Value))
				}
			}
		case 7:
			if header.EqualFold(f.Name, "Upgrade") {
				return h, buildErrorf("field Upgrade is the engine's: ask with godwit.Upgrade")
			}
			if header.EqualFold(f.Name, "Trailer") {
				return h, buildErrorf("field Trailer is the engine's: give the body content.WithTrailers")
			}
		case 14:
			lengths = lengths || header.EqualFold(f.Name, "Content-Length")
		case 17:
			if header.EqualFold(f.Name, "Transfer-Encoding") {
				return h, buildErrorf("field Transfer-Encoding is the engine's: a body of unknown length is sent chunked")
			}
		}
	}
	if hosts > 1 {
		return h, buildErrorf("field Host is given %d times", hosts)
	}
	if lengths {
		if err := checkLength(h, body); err != nil {
			return h, err
		}
		h.Del("Content-Length")
	}
	if req.URL.User != nil && !h.Has("Authorization") {
		if strings.ContainsRune(req.URL.User.Username(), ':') {
			return h, buildErrorf("user info: user name with a colon, which Basic credentials cannot hold")
		}
		password, _ := req.URL.User.Password()
		h.Set("Authorization", basicCredentials(req.URL.User.Username(), password))
	}
	return h, nil
}

// checkLength compares a Content-Length given by hand with the body's own.
func checkLength(h header.Header, body content.Content) error {
	given, _, err := header.ContentLength(h)
	if err != nil {
		return buildErrorf("field Content-Length: %w", err)
	}
	have := int64(0)
	if body != nil {
		have = body.ContentLength()
	}
	if given != have {
		return buildErrorf("field Content-Length is %d but the body's length is %s", given, lengthText(have))
	}
	return nil
}

func lengthText(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

func validHostField(s string) bool {
	u := url.URL{Host: s}
	return checkHost(u.Hostname()) == nil
}

// received makes a Response of the engine's, in the call's own storage if it is
// buffered and this is the first.
func (c *Call) received(req *Request, answer *engine.Response) *Response {
	var resp *Response
	var base *baseBody
	if c.mode == buffered && c.base.answer == nil {
		resp, base = &c.response, &c.base
	} else {
		resp, base = new(Response), new(baseBody)
	}
	base.answer, base.empty = answer, bodiless(req.Method, Status(answer.Status))
	// Field by field: the memory is fresh, and copying a whole Response costs
	// more than what it holds.
	resp.Status, resp.Reason, resp.Proto = Status(answer.Status), answer.Reason, answer.Proto
	resp.Header, resp.ContentLength, resp.Body = answer.Header.View(), answer.ContentLength, base
	if resp.Status == StatusNoContent {
		resp.ContentLength = 0 // which nobody needs to announce
	}
	resp.call, resp.request, resp.base = c, req, base
	if conn := answer.Upgraded; conn != nil {
		base.onEnd(func(error) {
			if !base.released { // by Detach, before the hooks run
				conn.Close()
			}
		})
	}
	c.head.Store(base)
	if c.ctx.over.Load() { // ended while the head came in
		base.Close()
	}
	return resp
}

// bodiless reports whether a response has no body whatever its header says (RFC
// 9112 §6.3).
func bodiless(method string, status Status) bool {
	return method == "HEAD" || status == 204 || status == 304 || status.IsInformational()
}

// errNoContent is the cause when a value is wanted of an empty body.
var errNoContent = errors.New("the body is empty")
