package exchange

import (
	"errors"
	"strings"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h1"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/transfer"
)

// send sends the request, or starts the goroutine that sends its body.
func (x *Exchange) send() error {
	head := h2.RequestHead{
		Method: x.req.Method, Scheme: x.req.URL.Scheme, Authority: x.authority(), Path: x.path(),
		Header: dial.ForOrigin(x.req.Header), Length: -1,
	}
	if x.options.Priority != nil {
		head.Priority = x.options.Priority(x.req)
	}
	tunnel := x.tunnel(&head)
	length, none := int64(-1), true
	if !tunnel {
		length, head.TrailerNames, none = x.bodyLength()
		if head.Length = length; none && needsLength(x.req.Method) {
			head.Length = 0
		}
	}
	err := head.Check()
	if err == nil && x.req.Header.Has("Host") && x.hosts() > 1 {
		err = &h1.InputError{What: "second field", Input: "Host"}
	}
	if err == nil && tunnel && head.Protocol != "" {
		err = x.awaitExtendedConnect()
	}
	if err != nil {
		x.conn.Unreserve()
		return err
	}
	switch {
	case tunnel:
		return x.open(&head, nil, false)
	case none:
		return x.open(&head, nil, true)
	case header.EqualFold(x.req.Header.Get("Expect"), "100-continue"):
		return x.sendExpecting(&head, length)
	}
	var source *transfer.Source
	data, inMemory := content.BytesOf(x.req.Body)
	if inMemory && length >= 0 {
		if int64(len(data)) != length {
			x.conn.Unreserve()
			return lengthError(int64(len(data)) > length)
		}
		if len(data) <= maxInline {
			return x.sendWhole(&head, data)
		}
	}
	if source, err = x.openBody(); err != nil {
		x.conn.Unreserve()
		return err
	}
	if err := x.open(&head, nil, false); err != nil {
		x.kept = source // for another connection
		return err
	}
	x.startUpload(source, length)
	return nil
}

// maxInline is the largest body in memory that goes out together with the head.
const maxInline = 64 << 10

// needsLength tells for which methods a missing body is announced (RFC 9110
// §8.6).
func needsLength(method string) bool {
	return method == "POST" || method == "PUT" || method == "PATCH"
}

// open sends the head and perhaps a whole body.
func (x *Exchange) open(head *h2.RequestHead, body []byte, end bool) error {
	_, err := x.openWith(head, body, end)
	return err
}

func (x *Exchange) openWith(head *h2.RequestHead, body []byte, end bool) (whole bool, err error) {
	trace := x.req.Trace
	x.stream.KeepInterim = trace != nil && trace.Informational != nil || !end && len(body) == 0
	whole, err = x.conn.Open(&x.stream, head, body, end)
	if err != nil {
		return false, &engine.OpError{Op: engine.OpSend, Err: err}
	}
	x.sent = true
	if x.options.Opened != nil {
		x.options.Opened(x.req, x, head.Priority)
	}
	if x.retires = x.asksToClose(); x.retires {
		x.conn.Retire()
	}
	if trace != nil && trace.WroteHeader != nil {
		trace.WroteHeader()
	}
	if whole {
		if trace != nil && trace.WroteRequest != nil {
			trace.WroteRequest(nil)
		}
		x.clock.Sent()
	}
	return whole, nil
}

// sendWhole sends a body in memory, by a goroutine if the windows are too small
// at the moment.
func (x *Exchange) sendWhole(head *h2.RequestHead, data []byte) error {
	x.opened = true
	whole, err := x.openWith(head, data, true)
	if err == nil && !whole {
		x.startUpload(&transfer.Source{Data: data, InMemory: true}, int64(len(data)))
	}
	return err
}

// sendExpecting sends the head and waits for leave to send the body
// (RFC 9110 §10.1.1). A final answer in place of it is kept as the response.
func (x *Exchange) sendExpecting(head *h2.RequestHead, length int64) error {
	if err := x.open(head, nil, false); err != nil {
		return err
	}
	if t := x.req.Trace; t != nil && t.Wait100 != nil {
		t.Wait100()
	}
	begin := x.clock.start()
	x.clock.Proceed = transfer.In(x.options.ExpectContinueTimeout, time.Now(), transfer.KindContinue).At
	final, err := x.await(begin, true)
	x.clock.Proceed = time.Time{}
	if t, ok := errors.AsType[*engine.TimeoutError](err); ok && t.Kind == transfer.KindContinue {
		err = nil
	}
	if err != nil || final {
		return err
	}
	body, err := x.openBody()
	if err != nil {
		return err
	}
	x.startUpload(body, length)
	return nil
}

// bodyLength returns the body's length, -1 if it is not known, and the names of
// its trailer fields; none tells that there is no body.
func (x *Exchange) bodyLength() (length int64, trailers []string, none bool) {
	body := x.req.Body
	if body == nil {
		return -1, nil, true
	}
	if names := x.trailerNames(); len(names) > 0 {
		return -1, names, false
	}
	n := body.ContentLength()
	if n == 0 {
		// That a body which is not in memory is empty is to be seen first.
		if data, ok := content.BytesOf(body); ok && len(data) == 0 {
			return -1, nil, true
		}
	}
	return max(n, -1), nil, false
}

func (x *Exchange) trailerNames() []string {
	if x.req.Trailer != nil {
		return x.req.TrailerNames
	}
	if t, ok := x.req.Body.(content.Trailerer); ok {
		return t.TrailerNames()
	}
	return nil
}

// trailers returns the trailer fields; the body is at its end.
func (x *Exchange) trailers() header.Header {
	if x.req.Trailer != nil {
		return x.req.Trailer()
	}
	if t, ok := x.req.Body.(content.Trailerer); ok {
		return t.Trailers()
	}
	return header.Header{}
}

// authority returns the value of :authority: that of Host, if it is given.
func (x *Exchange) authority() string {
	host, ok := x.req.Header.Lookup("Host")
	if !ok {
		host = h1.Authority(x.req.URL)
	}
	if x.req.Method != "CONNECT" || x.req.Protocol != "" {
		return host
	}
	// The port is not optional here (RFC 9113 §8.5).
	if i := strings.LastIndexByte(host, ':'); i < 0 || strings.IndexByte(host[i:], ']') >= 0 {
		if x.req.URL.Scheme == "https" {
			return host + ":443"
		}
		return host + ":80"
	}
	return host
}

func (x *Exchange) hosts() int { return len(x.req.Header.Values("Host")) }

// path returns the value of :path.
func (x *Exchange) path() string {
	u := x.req.URL
	if x.req.Method == "OPTIONS" && (u.Path == "*" || u.Opaque == "*") {
		return "*"
	}
	if u.Opaque == "" && u.RawPath == "" && u.RawQuery == "" && !u.ForceQuery && plain(u.Path) {
		return u.Path
	}
	path := u.EscapedPath()
	if u.Opaque != "" {
		path = u.Opaque
		if rest, ok := strings.CutPrefix(path, "//"); ok { // an authority, and the path
			path = rest[strings.IndexByte(rest+"/", '/'):]
		}
	}
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	if u.RawQuery != "" || u.ForceQuery {
		path += "?" + u.RawQuery
	}
	return path
}

// plain reports whether a path needs no escaping.
func plain(path string) bool {
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '/', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return path != "" && path[0] == '/'
}

// asksToClose reports whether the request says Connection: close.
func (x *Exchange) asksToClose() bool {
	h := x.req.Header
	for i := range h.Len() {
		if f := h.At(i); len(f.Name) == len("Connection") && header.EqualFold(f.Name, "Connection") && h1.ListHas(f.Value, "close") {
			return true
		}
	}
	return false
}

// openBody opens the body.
func (x *Exchange) openBody() (*transfer.Source, error) {
	x.opened = true
	if s := x.kept; s != nil {
		x.kept = nil
		return s, nil
	}
	return transfer.Open(x.ctx, x.req.Body, x.clock.Whole, x.options.Start)
}

// lengthError tells that a body is not as long as its ContentLength.
func lengthError(longer bool) error {
	return &engine.OpError{Op: engine.OpSend, Err: transfer.Wrong(longer)}
}
