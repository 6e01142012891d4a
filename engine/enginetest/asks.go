package enginetest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

// ask is how a capability is asked for: by an option or by a request.
type ask struct {
	config  func(*engine.Config)
	request func(*engine.Request)
}

// asks holds the capabilities that an option or a request asks for by itself.
// Others (field order, 1xx, response trailers) show only in what comes back.
var asks = map[engine.Capabilities]ask{
	engine.Upgrade:         {request: func(r *engine.Request) { r.Protocol = "websocket" }},
	engine.Connect:         {request: func(r *engine.Request) { r.Method = "CONNECT" }},
	engine.RequestTrailers: {request: askTrailers},
	engine.RawHead:         {request: func(r *engine.Request) { r.WantRawHead = true }},
	engine.RequestTimeout:  {request: func(r *engine.Request) { r.Deadline = time.Now().Add(time.Hour) }},
	engine.ConnectTimeout:  {request: func(r *engine.Request) { r.Timeouts.Connect = time.Hour }},
	engine.HeaderTimeout:   {request: func(r *engine.Request) { r.Timeouts.Header = time.Hour }},
	engine.IdleTimeout:     {request: func(r *engine.Request) { r.Timeouts.Idle = time.Hour }},
	engine.PoolTimeout:     {request: func(r *engine.Request) { r.Timeouts.Pool = time.Hour }},
	engine.RequestProxy:    {request: func(r *engine.Request) { r.Proxy = engine.NoProxy }},
	engine.UnixSocket:      {request: func(r *engine.Request) { r.UnixSocket = "/nowhere.sock" }},

	engine.ConnectionLimits: {config: func(c *engine.Config) { c.MaxConnections = 1 }},
	engine.ConcurrencyLimit: {config: func(c *engine.Config) { c.MaxConcurrent = 1 }},
	engine.HeaderLimits:     {config: func(c *engine.Config) { c.MaxHeaderFields = 10 }},
	engine.NoStaleRetry:     {config: func(c *engine.Config) { c.NoStaleRetry = true }},
	engine.TLSConfig:        {config: func(c *engine.Config) { c.TLS = &tls.Config{ServerName: "example.org"} }},
	engine.CustomGo:         {config: func(c *engine.Config) { c.Go = func(f func()) { go f() } }},
	engine.CustomDial: {config: func(c *engine.Config) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("unused") }
	}},
	engine.CustomResolve: {config: func(c *engine.Config) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("unused") }
	}},
	engine.DialControl: {config: func(c *engine.Config) {
		c.DialControl = func(context.Context, string, string, syscall.RawConn) error { return nil }
	}},
	engine.HTTPProxy:   {config: askProxy("http")},
	engine.HTTPSProxy:  {config: askProxy("https")},
	engine.SOCKS4Proxy: {config: askProxy("socks4")},
	engine.SOCKS5Proxy: {config: askProxy("socks5")},
}

func askTrailers(r *engine.Request) {
	r.Method, r.TrailerNames = "POST", []string{"X-Sum"}
	r.Trailer = func() header.Header { return header.New("X-Sum", "1") }
	r.Body = stream("x")
}

func askProxy(scheme string) func(*engine.Config) {
	return func(c *engine.Config) {
		c.Proxy = engine.FixedProxy(&url.URL{Scheme: scheme, Host: "127.0.0.1:9"})
	}
}

// refusesOne makes an engine and a request that ask for one capability. Either
// the engine cannot be made, or the request fails before any I/O.
func (t *T) refusesOne(one engine.Capabilities, a ask) {
	t.Helper()
	origin := t.respond("unused")
	cfg := t.s.base()
	if a.config != nil {
		a.config(&cfg)
	}
	e, err := t.s.make(cfg, nil)
	if err == nil {
		t.onEnd(func() { e.Close() })
		req := t.request("GET", origin.URL)
		if a.request != nil {
			a.request(req)
		}
		_, err = t.execute(e, req)
	}
	refused, ok := errors.AsType[*engine.UnsupportedError](err)
	switch {
	case !ok:
		t.Errorf("lacking %q: got error %v, want *engine.UnsupportedError", one, err)
	case !refused.Capability.Has(one):
		t.Errorf("lacking %q: the error names %q", one, refused.Capability)
	case refused.Engine != t.s.name:
		t.Errorf("the error names engine %q, want %q", refused.Engine, t.s.name)
	}
	if origin.Accepted() > 0 {
		t.Errorf("lacking %q: a connection was opened", one)
	}
}
