package h2

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	conn "github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/h2/exchange"
	"github.com/godwit-go/godwit/internal/h2/pool"
	"github.com/godwit-go/godwit/internal/h2/priority"
)

// Config makes an [Engine]; it is an engine.Factory. Its zero value is ready to
// use. A field that is set goes before its like in the shared engine.Config;
// the default named here holds where both are unset.
type Config struct {
	// MaxConnections bounds the open connections, those in the cache included;
	// 0 = 1,000, negative = no bound. At the bound an idle connection to somewhere else is closed to
	// make room; if there is none, requests wait in order (Timeouts.Pool).
	MaxConnections int
	// MaxConnectionsPerRoute bounds the open connections to one host and port, by
	// one proxy; 0 = 10, negative = no bound. A further one is made when all streams of the others are
	// in use, one at a time.
	MaxConnectionsPerRoute int
	// MaxStreams bounds the streams, and so the requests, on one connection;
	// 0 = what the server allows (SETTINGS_MAX_CONCURRENT_STREAMS; 100 until it
	// has told).
	MaxStreams int
	// KeepAlive is how long a connection may be idle before it is closed;
	// 0 = 60 s. Negative: it is not used for a request that comes later.
	KeepAlive time.Duration
	// MaxAge is how long a connection is given new requests; 0 = for ever.
	MaxAge time.Duration

	// PingInterval is after what silence of the server a PING asks whether it is
	// still there; 0 = 30 s, negative = never. It is sent while requests run, with
	// PingIdle also on idle connections.
	PingInterval time.Duration
	// PingTimeout is how long to wait for the answer before the connection is
	// given up; 0 = 15 s.
	PingTimeout time.Duration
	// PingIdle keeps idle connections alive by PINGs too.
	PingIdle bool
	// WriteTimeout is how long the server may take no bytes before the
	// connection is given up; 0 = 30 s, negative = for ever.
	WriteTimeout time.Duration

	// StreamWindow is the flow-control window of a stream to start with: how much
	// of a body may wait to be read; 0 = 1 MiB. At most 2³¹-1.
	StreamWindow uint32
	// ConnWindow is the like for all streams of a connection together; 0 = 4 MiB.
	// It bounds what is under way, not what waits: a body that nobody reads does
	// not hold up the others. Below 65,535 it counts as that.
	ConnWindow uint32
	// MaxStreamWindow is what the windows may grow to where the path to the server
	// holds more bytes than they allow, as its round-trip time (by PING) and its
	// bandwidth say; 0 = 16 MiB. Not above StreamWindow = they do not grow.
	MaxStreamWindow uint32

	// HeaderTableSize bounds the table for the fields of responses, which the
	// server fills; 0 = 4,096 bytes. EncoderTableSize bounds the one for those of
	// requests, within what the server allows; 0 = 4,096 bytes.
	HeaderTableSize, EncoderTableSize uint32
	// MaxHeaderBytes and MaxHeaderFields bound a response's head, and its
	// trailer section; 0 = 256 KiB and 1,000 fields. The server is told of the
	// bytes (SETTINGS_MAX_HEADER_LIST_SIZE).
	MaxHeaderBytes, MaxHeaderFields int

	// Priority is the priority of requests that have none of their own, see
	// [PriorityKey]; nil = none is sent.
	Priority *Priority

	// Timeouts of every request, unless it brings its own. Connect: 0 = 10 s;
	// the others: 0 = none. engine.NoTimeout = none.
	Timeouts engine.Timeouts
	// ExpectContinueTimeout is how long a request with Expect: 100-continue
	// waits for an answer before it sends its body; 0 = 1 s.
	ExpectContinueTimeout time.Duration

	// ConnectAttempts is how often to try to connect, within Timeouts.Connect;
	// 0 = once.
	ConnectAttempts int
	// LocalAddr is the address to connect from; zero = any. It is not for
	// connections made by Dial.
	LocalAddr netip.Addr
	// TCPKeepAlive configures the probes of TCP connections; zero = after 15 s,
	// every 15 s, 9 times. Without Enable but with another field set, as in
	// net.KeepAliveConfig{Idle: -1}, there are none. It is not for connections made
	// by Dial.
	TCPKeepAlive net.KeepAliveConfig
	// TCPDelay lets the system hold back small writes until earlier ones are
	// acknowledged (Nagle's algorithm), which it is else told not to do
	// (TCP_NODELAY). It is not for connections made by Dial.
	TCPDelay bool
	// Hosts says where a "host:port" or a "host" is: at an "address:port" or an
	// "address"; nil = no overrides. It holds for proxies too, but not for names
	// that a proxy looks up. NewEngine refuses what is no host or port.
	Hosts map[string]string

	// TLS configures TLS; nil = crypto/tls's defaults, with a session cache.
	TLS *tls.Config
	// Proxy chooses a proxy; nil = by the environment; engine.NoProxy = none. A
	// proxy is always asked for a tunnel (CONNECT or SOCKS), for http URLs too.
	Proxy engine.ProxyFunc
	// Dial opens connections; nil = net.Dialer. LocalAddr, DialControl and the
	// fields for TCP are then its own affair. It must return when its context ends:
	// a request does not wait for it any longer, and the bounds do not count it.
	Dial engine.DialFunc
	// Resolve looks up host names; nil = net.DefaultResolver.
	Resolve engine.ResolveFunc
	// DialControl runs on each socket before it connects; nil = nothing does.
	DialControl func(ctx context.Context, network, address string, conn syscall.RawConn) error
	// Go starts goroutines; nil = the go statement.
	Go func(f func())
	// MaxConcurrent bounds the exchanges that run at once, from Execute to the
	// end of the body; 0 = no bound. Further ones wait in order (Timeouts.Pool).
	MaxConcurrent int
	// NoStaleRetry forbids the silent re-send of a request on another connection,
	// also of one that the server says it has not processed.
	NoStaleRetry bool
}

var _ engine.Factory = Config{}

// The defaults of Config.
const (
	defaultMaxConnections         = 1000
	defaultMaxConnectionsPerRoute = 10
	defaultKeepAlive              = 60 * time.Second
	defaultConnectTimeout         = 10 * time.Second
	defaultExpectContinueTimeout  = time.Second
)

// Name returns "h2".
func (Config) Name() string { return name }

// NewEngine makes an engine. It fails on windows that HTTP/2 does not have, and on
// Hosts that are none.
func (c Config) NewEngine(shared engine.Config) (engine.Engine, error) {
	e, err := c.New(shared)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// New is NewEngine with the concrete type, which has statistics and CloseIdle.
func (c Config) New(shared engine.Config) (*Engine, error) {
	hosts, err := dial.CanonicalHosts(c.Hosts)
	if err != nil {
		return nil, fmt.Errorf("h2: Hosts: %w", err)
	}
	c = c.over(shared)
	for _, w := range []struct {
		field string
		value uint32
	}{{"StreamWindow", c.StreamWindow}, {"ConnWindow", c.ConnWindow}, {"MaxStreamWindow", c.MaxStreamWindow}} {
		if w.value > 1<<31-1 {
			return nil, fmt.Errorf("h2: Config.%s is %d, above 2³¹-1, which is the largest window of HTTP/2", w.field, w.value)
		}
	}
	e := &Engine{
		config: c,
		dialer: &dial.Dialer{
			Engine:     name,
			TLS:        c.TLS,
			NextProtos: []string{"h2"},
			Tunnel:     true,
			Proxy:      c.Proxy,
			Dial:       c.Dial,
			Resolve:    c.Resolve,
			Control:    c.DialControl,
			Go:         c.Go,
			Attempts:   c.ConnectAttempts,
			LocalAddr:  c.LocalAddr,
			KeepAlive:  c.TCPKeepAlive,
			Delay:      c.TCPDelay,
			Hosts:      hosts,
		},
		pool: pool.New(pool.Config{
			MaxConnections: c.MaxConnections, MaxPerRoute: c.MaxConnectionsPerRoute,
			KeepAlive: c.KeepAlive, MaxAge: c.MaxAge, Conn: c.connection(),
		}),
		closed: make(chan struct{}),
	}
	e.options = exchange.Options{
		Engine: name, Timeouts: c.Timeouts, ExpectContinueTimeout: c.ExpectContinueTimeout,
		NoStaleRetry: c.NoStaleRetry, Priority: e.priority, Opened: priority.Opened, Start: e.start, Contexts: &e.contexts,
	}
	if c.MaxConcurrent > 0 {
		e.gate = make(chan struct{}, c.MaxConcurrent)
		e.leave = func() { <-e.gate }
	}
	return e, nil
}

func (c Config) connection() conn.Config {
	return conn.Config{
		StreamWindow: c.StreamWindow, ConnWindow: c.ConnWindow, MaxStreamWindow: c.MaxStreamWindow,
		HeaderTable: c.HeaderTableSize, EncoderTable: c.EncoderTableSize,
		MaxHeaderBytes: c.MaxHeaderBytes, MaxHeaderFields: c.MaxHeaderFields,
		MaxStreams:   c.MaxStreams,
		PingInterval: max(c.PingInterval, 0), PingTimeout: c.PingTimeout, PingIdle: c.PingIdle,
		WriteTimeout: max(c.WriteTimeout, 0),
		Go:           c.Go,
	}
}

// over returns c with its unset fields taken from shared, then from the defaults.
func (c Config) over(shared engine.Config) Config {
	d := conn.Defaults()
	c.MaxConnections = cmp.Or(c.MaxConnections, shared.MaxConnections, defaultMaxConnections)
	c.MaxConnectionsPerRoute = cmp.Or(c.MaxConnectionsPerRoute, shared.MaxConnectionsPerRoute, defaultMaxConnectionsPerRoute)
	c.MaxConnections, c.MaxConnectionsPerRoute = engine.Bound(c.MaxConnections), engine.Bound(c.MaxConnectionsPerRoute)
	c.MaxConcurrent = cmp.Or(c.MaxConcurrent, shared.MaxConcurrent)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, shared.MaxHeaderBytes, d.MaxHeaderBytes)
	c.MaxHeaderFields = cmp.Or(c.MaxHeaderFields, shared.MaxHeaderFields, d.MaxHeaderFields)
	c.KeepAlive = cmp.Or(c.KeepAlive, defaultKeepAlive)
	c.PingInterval = cmp.Or(c.PingInterval, d.PingInterval)
	c.PingTimeout = cmp.Or(c.PingTimeout, d.PingTimeout)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, d.WriteTimeout)
	c.StreamWindow = cmp.Or(c.StreamWindow, d.StreamWindow)
	c.ConnWindow = cmp.Or(c.ConnWindow, d.ConnWindow)
	c.MaxStreamWindow = cmp.Or(c.MaxStreamWindow, d.MaxStreamWindow)
	c.HeaderTableSize = cmp.Or(c.HeaderTableSize, d.HeaderTable)
	c.EncoderTableSize = cmp.Or(c.EncoderTableSize, d.EncoderTable)
	c.ExpectContinueTimeout = cmp.Or(c.ExpectContinueTimeout, defaultExpectContinueTimeout)
	c.Timeouts = c.Timeouts.Or(shared.Timeouts).Or(engine.Timeouts{Connect: defaultConnectTimeout})
	c.NoStaleRetry = c.NoStaleRetry || shared.NoStaleRetry
	c.TLS = cmp.Or(c.TLS, shared.TLS)
	if c.Proxy == nil {
		c.Proxy = shared.Proxy
	}
	if c.Dial == nil {
		c.Dial = shared.Dial
	}
	if c.Resolve == nil {
		c.Resolve = shared.Resolve
	}
	if c.DialControl == nil {
		c.DialControl = shared.DialControl
	}
	if c.Go == nil {
		c.Go = shared.Go
	}
	return c
}
