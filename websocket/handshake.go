package websocket

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/ws"
)

const (
	keyField        = "Sec-WebSocket-Key"
	acceptField     = "Sec-WebSocket-Accept"
	versionField    = "Sec-WebSocket-Version"
	protocolField   = "Sec-WebSocket-Protocol"
	extensionsField = "Sec-WebSocket-Extensions"
)

// request makes the request that opens a handshake.
func request(rawURL string, opts []Option) (*godwit.Request, error) {
	req, err := newRequest(rawURL, opts)
	if err != nil {
		return nil, &argumentError{err}
	}
	return req, nil
}

func newRequest(rawURL string, opts []Option) (*godwit.Request, error) {
	target, err := httpURL(rawURL)
	if err != nil {
		return nil, err
	}
	var random [16]byte
	crand.Read(random[:])
	req := godwit.NewRequest("GET", target, godwit.Upgrade("websocket"),
		godwit.Header(versionField, "13"), godwit.Header(keyField, ws.Key(random)))
	// A refusal's status and body tell why, and agree judges it.
	req.With(opts...).With(godwit.DropBody(false), godwit.ExpectSuccess(false))
	if err := req.Err(); err != nil {
		return nil, err
	}
	if err := badKey.Or(&req.Attributes, nil); err != nil {
		return nil, err
	}
	if req.Method != "GET" || req.Body != nil {
		return nil, fmt.Errorf("websocket: a handshake is a GET without a body (RFC 6455 §4.1)")
	}
	return req, nil
}

// httpURL maps ws to http and wss to https; what has no scheme is relative to
// the client's BaseURL.
func httpURL(raw string) (string, error) {
	raw = strings.Trim(raw, " \t")
	if strings.Contains(raw, "#") {
		return "", fmt.Errorf("websocket: URL %q has a fragment, which WebSocket URLs have not (RFC 6455 §3)", redacted(raw))
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		if scheme, _, _ := strings.Cut(strings.ToLower(raw), ":"); scheme == "ws" || scheme == "wss" {
			return "", fmt.Errorf("websocket: the URL begins with %q and no //; write %[1]s//host/path", scheme+":")
		}
		return raw, nil
	}
	switch strings.ToLower(scheme) {
	case "ws", "http":
		return "http://" + rest, nil
	case "wss", "https":
		return "https://" + rest, nil
	}
	if strings.ContainsAny(scheme, "/?{") {
		return raw, nil
	}
	return "", fmt.Errorf("websocket: URL %q: scheme %q is none of ws, wss, http, https", redacted(raw), scheme)
}

// redacted takes the user info out.
func redacted(raw string) string {
	if scheme, rest, ok := strings.Cut(raw, "://"); ok {
		if at := strings.LastIndexByte(rest[:strings.IndexAny(rest+"/", "/?")], '@'); at >= 0 {
			return scheme + "://…" + rest[at:]
		}
	}
	return raw
}

// connect opens a connection; ctx is that of the handshake alone.
func connect(ctx context.Context, client *godwit.Client, rawURL string, opts []Option) (wire, *godwit.Response, error) {
	if ctx == nil {
		return nil, nil, &argumentError{errors.New("websocket: the context is nil")}
	}
	req, err := request(rawURL, opts)
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, context.Cause(ctx)
	}
	call, stop := ctx, func() bool { return true }
	if ctx.Done() != nil {
		call, stop = untilStopped(ctx)
	}
	var deadline time.Time
	req.With(godwit.On(func(ctx context.Context, _ godwit.Sending) { deadline, _ = ctx.Deadline() }))
	resp, err := client.Open(call, req)
	if err != nil {
		stop()
		return nil, nil, notSwitched(req, err)
	}
	attributes := resp.Call().Attributes().Snapshot()
	agreed, err := agree(resp, deadline)
	if bad := badKey.Or(&attributes, nil); err == nil && bad != nil {
		err = &argumentError{bad}
	}
	if !stop() && err == nil { // else what the server said is worth more
		err = context.Cause(ctx)
	}
	var w wire
	if err == nil {
		w, err = newWire(resp, agreed, settingsOf(client, &attributes))
	}
	if err != nil {
		resp.Close()
		return nil, nil, err
	}
	return w, resp, nil
}

// handshaking is a context that ends with another one until that is stopped, and has
// its deadline until then: plugins do not wait for what comes too late.
type handshaking struct {
	context.Context
	until   context.Context
	stopped atomic.Bool
}

// untilStopped returns one, and what stops it: false if ctx has ended it already.
func untilStopped(ctx context.Context) (context.Context, func() bool) {
	detached, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	h := &handshaking{Context: detached, until: ctx}
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return h, func() bool {
		h.stopped.Store(true)
		return stop()
	}
}

func (h *handshaking) Deadline() (time.Time, bool) {
	if h.stopped.Load() {
		return time.Time{}, false
	}
	return h.until.Deadline()
}

// notSwitched makes a HandshakeError of what engines say to a 101 that does not
// name the protocol; other errors stay as they are.
func notSwitched(req *godwit.Request, err error) error {
	e, ok := errors.AsType[*godwit.ProtocolError](err)
	if !ok || e.Section != "RFC 9110 §7.8" {
		return err
	}
	return &HandshakeError{Reason: e.Reason, Response: godwit.NewResponse(req, 101, header.Header{}, nil)}
}

// agree checks the response (RFC 6455 §4.1) and returns what compression was
// agreed. If it is a refusal it is closed; its body is read until deadline, if
// there is one.
func agree(resp *godwit.Response, deadline time.Time) (*ws.Deflate, error) {
	refuse := func(format string, args ...any) (*ws.Deflate, error) {
		limit := controlTime
		if !deadline.IsZero() {
			limit = min(limit, time.Until(deadline))
		}
		return nil, refused(resp, limit, fmt.Sprintf(format, args...))
	}
	sent := resp.Request().Header
	_, messages := resp.Upgraded().(engine.MessageConn)
	switch {
	case resp.Upgraded() == nil && resp.Status == 426 && resp.Header.Has(versionField): // RFC 6455 §4.2.2
		return refuse("the server answered 426, and wants Upgrade: %s with %s: %s, where 13 was sent",
			resp.Header.Joined("Upgrade"), versionField, resp.Header.Joined(versionField))
	case resp.Upgraded() == nil && resp.Status == 426:
		return refuse("the server wants another protocol: Upgrade: %s", resp.Header.Joined("Upgrade"))
	case resp.Upgraded() == nil:
		return refuse("the server answered %d where 101 was expected", int(resp.Status))
	case messages:
		return nil, nil
	case resp.Status == 101:
		want := ws.Accept(sent.Get(keyField))
		switch got := resp.Header.Values(acceptField); {
		case !strings.EqualFold(resp.Header.Joined("Upgrade"), "websocket"):
			return refuse("Upgrade is %q where websocket was expected", resp.Header.Joined("Upgrade"))
		case !hasToken(resp.Header.Joined("Connection"), "upgrade"):
			return refuse("Connection is %q where upgrade was expected", resp.Header.Joined("Connection"))
		case len(got) != 1 || got[0] != want:
			return refuse("%s is %q where %q was expected", acceptField, strings.Join(got, ", "), want)
		}
	case !multiplexed(resp.Proto) || !resp.Status.IsSuccess():
		return refuse("the server answered %d where 101 was expected", int(resp.Status))
	}
	if chosen := resp.Header.Values(protocolField); len(chosen) > 0 && (len(chosen) > 1 || !listed(sent.Joined(protocolField), chosen[0])) {
		return refuse("the server chose sub-protocol %q, which was not offered", strings.Join(chosen, ", "))
	}
	agreed, err := ws.Agree(sent.Joined(extensionsField), resp.Header.Joined(extensionsField))
	if err != nil {
		return refuse("%v", err)
	}
	return agreed, nil
}

// multiplexed reports whether the protocol has extended CONNECT (RFC 8441, RFC
// 9220), which is answered by 2xx and needs no key.
func multiplexed(proto string) bool {
	return strings.HasPrefix(proto, "HTTP/2") || strings.HasPrefix(proto, "HTTP/3")
}

// hasToken reports whether a list has an element, whatever its case.
func hasToken(list, token string) bool {
	for _, e := range header.SplitList(list) {
		if strings.EqualFold(e, token) {
			return true
		}
	}
	return false
}

func listed(list, name string) bool {
	for _, e := range header.SplitList(list) {
		if e == name {
			return true
		}
	}
	return false
}

// refusalBody is how much of a refusal's body is kept.
const refusalBody = 64 << 10

// refused closes the response and returns the error that has it.
func refused(resp *godwit.Response, limit time.Duration, reason string) error {
	var body []byte
	if resp.Upgraded() == nil {
		slow := time.AfterFunc(limit, func() { resp.Close() })
		defer slow.Stop()
		body, _ = io.ReadAll(io.LimitReader(resp.Body, refusalBody))
	}
	resp.Close()
	kept := godwit.NewResponse(resp.Request(), resp.Status, resp.Header, body)
	kept.Reason, kept.Proto, kept.RequestTime, kept.ResponseTime = resp.Reason, resp.Proto, resp.RequestTime, resp.ResponseTime
	return &HandshakeError{Reason: reason, Response: kept}
}
