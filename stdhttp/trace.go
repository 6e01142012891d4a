package stdhttp

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// watched returns the option that tells x whether an answer began.
func (x *exchange) watched() godwit.Option { return godwit.Trace(x.watching(&engine.Trace{})) }

// watching puts that before the hooks of t.
func (x *exchange) watching(t *engine.Trace) *engine.Trace {
	asked, got, began := t.PoolWait, t.GotConn, t.FirstByte
	t.PoolWait = func(route string) { // another attempt
		x.answering.Store(false)
		x.again()
		if asked != nil {
			asked(route)
		}
	}
	t.GotConn = func(g engine.GotConn) {
		x.connected.Store(true)
		if got != nil {
			got(g)
		}
	}
	t.FirstByte = func() {
		x.answering.Store(true)
		if began != nil {
			began()
		}
	}
	return t
}

// traced returns the options that let an engine's events call net/http's hooks.
func (x *exchange) traced(h *httptrace.ClientTrace, c *godwit.Client) []godwit.Option {
	t := &engine.Trace{
		TLSStart:     h.TLSHandshakeStart,
		TLSDone:      h.TLSHandshakeDone,
		ConnectStart: h.ConnectStart,
		ConnectDone:  h.ConnectDone,
		FirstByte:    h.GotFirstResponseByte,
		Wait100:      h.Wait100Continue,
		WroteHeader:  h.WroteHeaders,
	}
	if h.PutIdleConn != nil {
		t.PutIdle = func(err error) {
			if err == nil { // net/http says nothing of a connection that was not to be kept
				x.wentIdle(h.PutIdleConn)
			}
		}
	}
	if h.GetConn != nil {
		address := x.request.URL
		t.PoolWait = func(string) { h.GetConn(hostPort(address)) }
	}
	t.GotConn = func(g engine.GotConn) {
		x.writing.Store(true)
		if h.GotConn != nil {
			h.GotConn(httptrace.GotConnInfo{Conn: addresses{g.Local, g.Remote}, Reused: g.Reused, WasIdle: g.Reused, IdleTime: g.Idle})
		}
	}
	if h.DNSStart != nil {
		t.DNSStart = func(host string) { h.DNSStart(httptrace.DNSStartInfo{Host: host}) }
	}
	if h.DNSDone != nil {
		t.DNSDone = func(addrs []string, err error) {
			h.DNSDone(httptrace.DNSDoneInfo{Addrs: ipAddrs(addrs), Err: err})
		}
	}
	if h.WroteRequest != nil {
		t.WroteRequest = func(err error) {
			if x.writing.Swap(false) {
				h.WroteRequest(httptrace.WroteRequestInfo{Err: err})
			}
		}
	}
	if (h.Got1xxResponse != nil || h.Got100Continue != nil) && c.Supports(engine.Informational) {
		t.Informational = x.informational(h)
	}
	opts := []godwit.Option{godwit.Trace(x.watching(t))}
	if h.WroteHeaderField != nil {
		opts = append(opts, godwit.On(x.noteSent))
		t.WroteHeader = func() {
			x.tellFields(h.WroteHeaderField)
			if h.WroteHeaders != nil {
				h.WroteHeaders()
			}
		}
	}
	return opts
}

// unwritten calls the hook WroteRequest, which net/http always does, if the
// exchange ended by err before the engine told of the end of the request.
func (x *exchange) unwritten(err error) {
	h := httptrace.ContextClientTrace(x.request.Context())
	if h != nil && h.WroteRequest != nil && x.writing.Swap(false) {
		h.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

var errStopped = errors.New("stdhttp: the answer came before all of the request's body was sent")

// abandoned tells the hook WroteRequest that the body was given up because the
// answer is there. Of other reasons the engine tells, or the error of the exchange.
func (x *exchange) abandoned() {
	if x.answering.Load() {
		x.unwritten(errStopped)
	}
}

// refused tells it so of a body that the server did not want, which is no error.
func (x *exchange) refused() {
	if x.upload != nil && expecting(x.request) && x.upload.untouched() {
		x.unwritten(nil)
	}
}

// idling is what is known for the hook PutIdleConn, which net/http calls on
// HTTP/1 alone.
type idling struct {
	mu      sync.Mutex
	major   int         // of the answer's protocol, 0 = not known yet
	waiting func(error) // the hook, called before that
}

// wentIdle calls the hook, or keeps it until told.
func (x *exchange) wentIdle(hook func(error)) {
	x.idle.mu.Lock()
	major := x.idle.major
	if major == 0 {
		x.idle.waiting = hook
	}
	x.idle.mu.Unlock()
	if major == 1 {
		hook(nil)
	}
}

// told notes the protocol of the answer.
func (x *exchange) told(proto string) {
	major, _, _ := http.ParseHTTPVersion(proto)
	x.idle.mu.Lock()
	hook := x.idle.waiting
	x.idle.major, x.idle.waiting = major, nil
	x.idle.mu.Unlock()
	if hook != nil && major == 1 {
		hook(nil)
	}
}

// again is told, of another attempt than the one whose connection went idle. On
// TLS that may have been HTTP/2.
func (x *exchange) again() {
	x.told(map[string]string{"http": "HTTP/1.1"}[x.request.URL.Scheme])
	x.idle.mu.Lock()
	x.idle.major = 0
	x.idle.mu.Unlock()
}

// informational calls the hooks of a 1xx response.
func (x *exchange) informational(h *httptrace.ClientTrace) func(int, header.Header) error {
	expecting := x.request.Body != nil && expecting(x.request)
	return func(status int, fields header.Header) error {
		if status == 100 && expecting && h.Got100Continue != nil {
			h.Got100Continue()
		}
		if h.Got1xxResponse == nil {
			return nil
		}
		return h.Got1xxResponse(status, textproto.MIMEHeader(canonical(fields)))
	}
}

func expecting(r *http.Request) bool { return httpHas(r.Header["Expect"], "100-continue") }

func httpHas(values []string, token string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(strings.TrimSpace(v), token) })
}

// tellFields calls the hook for each field of the request that was sent, in
// net/http's order.
func (x *exchange) tellFields(hook func(string, []string)) {
	head := x.sent.Load()
	if head == nil {
		return
	}
	first := func(name, value string) {
		if value != "" {
			hook(name, []string{value})
		}
	}
	host, _ := hostOf(x.request)
	first("Host", or(head.header.Get("Host"), host))
	first("User-Agent", head.header.Get("User-Agent"))
	switch {
	case head.length < 0:
		first("Transfer-Encoding", "chunked")
	case head.length > 0 || slices.Contains([]string{"POST", "PUT", "PATCH"}, x.request.Method):
		first("Content-Length", strconv.FormatInt(head.length, 10))
	}
	if len(head.names) > 0 {
		hook("Trailer", head.names)
	}
	if protocol := upgradeOf(x.request.Header); protocol != "" {
		first("Connection", "Upgrade")
		first("Upgrade", protocol)
	}
	for _, name := range head.header.Names() {
		if !header.EqualFold(name, "Host") && !header.EqualFold(name, "User-Agent") {
			hook(name, head.header.Values(name))
		}
	}
}

func ipAddrs(texts []string) []net.IPAddr {
	addrs := make([]net.IPAddr, 0, len(texts))
	for _, text := range texts {
		ip, zone, _ := strings.Cut(text, "%")
		addrs = append(addrs, net.IPAddr{IP: net.ParseIP(ip), Zone: zone})
	}
	return addrs
}

// addresses is the net.Conn that a hook is shown. Hooks must neither read, write
// nor close it, so it only knows where it leads.
type addresses struct{ local, remote net.Addr }

var errNotYours = errors.New("stdhttp: the connection belongs to the engine")

func (c addresses) LocalAddr() net.Addr              { return known(c.local) }
func (c addresses) RemoteAddr() net.Addr             { return known(c.remote) }
func (addresses) Read([]byte) (int, error)           { return 0, errNotYours }
func (addresses) Write([]byte) (int, error)          { return 0, errNotYours }
func (addresses) Close() error                       { return errNotYours }
func (addresses) SetDeadline(time.Time) error        { return errNotYours }
func (addresses) SetReadDeadline(time.Time) error    { return errNotYours }
func (addresses) SetWriteDeadline(t time.Time) error { return errNotYours }

// known lets hooks ask for the text of an address that the engine does not know.
func known(a net.Addr) net.Addr {
	if a == nil {
		return &net.UnixAddr{}
	}
	return a
}
