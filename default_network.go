package godwit

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/godwit-go/godwit/engine"
)

var (
	noStaleRetry = NewSetting("NoStaleRetry", false)
	wantRawHead  = NewSetting("RawHead", false)
	proxySetting = NewSetting[engine.ProxyFunc]("Proxy", nil)
	unixSocket   = NewSetting("UnixSocket", "")
	traceSetting = NewSetting[*engine.Trace]("Trace", nil)
	upgradeTo    = NewSetting("Upgrade", "")
)

// NoStaleRetry forbids the engine to send a request again by itself when a
// connection that it used again turns out to be dead.
func NoStaleRetry(on ...bool) Option { return noStaleRetry.Set(switchedOn(on)) }

// RawHead asks for the bytes of the response's head: [Response.RawHead].
func RawHead(on ...bool) Option { return wantRawHead.Set(switchedOn(on)) }

// Proxy sends by a proxy, "http://user:password@host:port" or with scheme https,
// socks4, socks4a, socks5, socks5h; "" or "direct" means none. It goes before
// the engine's configuration and the environment.
func Proxy(proxy string) Option {
	if proxy == "" || proxy == "direct" {
		return ProxyBy(engine.NoProxy)
	}
	u, err := url.Parse(proxy)
	switch {
	case err != nil:
		return failing(fmt.Errorf("Proxy: %q is no URL", redactRaw(proxy)))
	case u.Host == "":
		return failing(fmt.Errorf("Proxy: %q has no host; write it as http://host:port", redactRaw(proxy)))
	case !slices.Contains([]string{"http", "https", "socks4", "socks4a", "socks5", "socks5h"}, u.Scheme):
		return failing(fmt.Errorf("Proxy: scheme %q is none of http, https, socks4, socks4a, socks5, socks5h", u.Scheme))
	}
	return ProxyBy(engine.FixedProxy(u))
}

// ProxyBy chooses a proxy by the request's URL.
func ProxyBy(choose engine.ProxyFunc) Option { return proxySetting.Set(choose) }

// UnixSocket connects to a unix socket in place of the URL's host.
func UnixSocket(path string) Option { return unixSocket.Set(path) }

// Trace shows the engine's events of each send: connections, DNS, TLS, 1xx
// responses. That of a request comes on top of the client's.
func Trace(t *engine.Trace) Option { return traceSetting.Set(t) }

// Upgrade asks the server to switch to another protocol (RFC 9110 §7.8); use it
// with Open: [Response.Upgraded] is the raw connection if the server agreed.
// Timeout ends with the head.
func Upgrade(protocol string) Option { return All(upgradeTo.Set(protocol), TimeoutToHead()) }

// wireSettings are the settings that engines understand, in their form.
type wireSettings struct {
	timeouts                       engine.Timeouts
	headOnly, noStale, wantRawHead bool
	proxy                          engine.ProxyFunc
	unixSocket, protocol           string
	trace                          *engine.Trace
	needs                          engine.Capabilities
}

// fill copies them: the client's as a whole unless the request has its own.
func (b *builtins) fill(w *engine.Request, req *Request) {
	s := &b.wire
	if req.marks&b.wireMarks != 0 {
		own := b.wireSettings(req)
		s = &own
	}
	w.Timeouts, w.HeadOnly, w.NoStaleRetry, w.WantRawHead = s.timeouts, s.headOnly, s.noStale, s.wantRawHead
	w.Proxy, w.UnixSocket, w.Trace, w.Protocol = s.proxy, s.unixSocket, s.trace, s.protocol
	w.Needs |= s.needs
	if w.Header.Has("Expect") {
		w.Needs |= engine.ExpectContinue
	}
}

func (b *builtins) wireSettings(req *Request) (s wireSettings) {
	s.timeouts = engine.Timeouts{
		Pool: b.pool.For(req), Connect: b.connect.For(req), Header: b.header.For(req), Idle: b.idle.For(req),
	}
	s.headOnly, s.noStale, s.wantRawHead = b.toHead.For(req), b.noStale.For(req), b.rawHead.For(req)
	s.proxy, s.unixSocket, s.protocol = b.proxy.For(req), b.unix.For(req), b.upgrade.For(req)
	s.trace = b.trace.client
	if own, ok := b.trace.ForRequest(req); ok {
		s.trace = joinTraces(s.trace, own)
	}
	need := func(when bool, c engine.Capabilities) {
		if when {
			s.needs |= c
		}
	}
	need(engine.Limited(s.timeouts.Pool), engine.PoolTimeout)
	need(engine.Limited(s.timeouts.Connect), engine.ConnectTimeout)
	need(engine.Limited(s.timeouts.Header), engine.HeaderTimeout)
	need(engine.Limited(s.timeouts.Idle), engine.IdleTimeout)
	need(engine.Limited(b.attempt.For(req)), engine.RequestTimeout)
	need(s.noStale, engine.NoStaleRetry)
	need(s.wantRawHead, engine.RawHead)
	need(s.proxy != nil, engine.RequestProxy)
	need(s.unixSocket != "", engine.UnixSocket)
	need(s.protocol != "", engine.Upgrade)
	need(s.trace != nil && s.trace.Informational != nil, engine.Informational)
	return s
}
