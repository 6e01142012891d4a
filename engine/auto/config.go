package auto

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/http3"
)

// Config makes an [Engine]; it is an engine.Factory. Its zero value is ready to
// use: it learns of HTTP/3 by Alt-Svc, and remembers it as long as the engine
// lives.
type Config struct {
	// TCP configures cio, the engine for all that does not go by HTTP/3. Which
	// versions of HTTP it speaks, and how it chooses between them, is its affair.
	// What the two have in common, the guard DialControl above all, holds for
	// HTTP/3 too where HTTP3 does not set it.
	TCP cio.Config
	// HTTP3 configures the engine for HTTP/3. Its EarlyData has no effect, since
	// a request is sent only when a handshake is complete.
	HTTP3 http3.Config

	// Resolver looks up HTTPS records (RFC 9460), which tell of HTTP/3 before the
	// first response; nil = nobody does. See [DNS].
	Resolver Resolver
	// DNSWait is how long after its beginning a lookup is waited for, if nothing is
	// known from an earlier one; 0 = 50 ms, negative = not at all. What comes later
	// is for later requests.
	DNSWait time.Duration

	// HeadStart is how long a request waits for the QUIC handshake before TCP
	// connects, too; 0 = 300 ms, negative = not at all. From then on the request
	// goes by what is connected first; a handshake that comes later is for later
	// requests. There is no head start where TCP has a connection to the origin, nor
	// for an alternative that failed the last time. It is no longer than
	// Timeouts.Connect, which for TCP counts from when TCP begins.
	HeadStart time.Duration
	// BrokenFor is how long an alternative that failed is not tried; 0 = 5 min.
	// With each further failure, until a request has gone by it, the time doubles, up
	// to LongestBroken; 0 = 48 h.
	BrokenFor, LongestBroken time.Duration

	// MaxOrigins bounds the origins that are remembered; 0 = 1,000.
	MaxOrigins int
	// Storage keeps what is remembered from one run to the next; nil = nothing
	// does. See [File].
	Storage Storage

	// OnEvent is told why an engine was chosen, and what the engine learns. It
	// runs on the goroutines of requests and of the engine, also in parallel, and
	// must neither block nor close the engine; nil = nobody is told.
	OnEvent func(Event)
}

var _ engine.Factory = Config{}

// The defaults of Config.
const (
	defaultDNSWait       = 50 * time.Millisecond
	defaultHeadStart     = 300 * time.Millisecond
	defaultBrokenFor     = 5 * time.Minute
	defaultLongestBroken = 48 * time.Hour
	defaultMaxOrigins    = 1000
)

// Name returns "auto".
func (Config) Name() string { return name }

// NewEngine makes an engine and loads what Storage has; that this fails is an
// Event. Go, of shared and of TCP, is *engine.UnsupportedError. With Dial, or with
// TLS.MaxVersion below TLS 1.3, all requests go by TCP. MaxConnections and
// MaxConcurrent hold for each of the two engines.
func (c Config) NewEngine(shared engine.Config) (engine.Engine, error) {
	e, err := c.New(shared)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// New is NewEngine with the concrete type, which has NetworkChanged and Snapshot.
func (c Config) New(shared engine.Config) (*Engine, error) {
	if shared.Go != nil || c.TCP.Go != nil {
		return nil, &engine.UnsupportedError{Engine: name, Capability: engine.CustomGo, Detail: "quic-go starts its goroutines itself"}
	}
	c = c.complete()
	tcp := c.TCP.New(shared)
	shared = c.common(shared)
	e := &Engine{config: c, tcp: tcp, attempts: make(map[route]*attempt), suspects: make(map[string]suspicion),
		timeouts: shared.Timeouts, proxies: []engine.ProxyFunc{shared.Proxy},
		cache:    newCache(c.MaxOrigins, c.BrokenFor, c.LongestBroken),
		services: services{resolver: c.Resolver, limit: c.MaxOrigins, known: make(map[string]*lookup)}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	switch config := first(c.HTTP3.TLS, shared.TLS); {
	case shared.Dial != nil:
		e.unusable = NotAvailable
	case config != nil && config.MaxVersion != 0 && config.MaxVersion < tls.VersionTLS13:
		e.unusable = TooOldTLS
	default:
		quic := c.HTTP3
		if quic.Proxy != nil {
			e.proxies = append(e.proxies, quic.Proxy)
		}
		quic.Proxy = engine.NoProxy // they are asked here, before
		quic.LocalAddr = first(quic.LocalAddr, c.TCP.LocalAddr)
		if quic.Hosts == nil {
			quic.Hosts = c.TCP.Hosts
		}
		h3, err := quic.New(shared)
		if err != nil {
			e.cancel()
			tcp.Close()
			return nil, err
		}
		e.h3 = h3
	}
	e.unverified = unverified(first(c.HTTP3.TLS, shared.TLS))
	if c.Storage != nil {
		// What cannot be read is lost, and replaced by the next Save.
		if snapshot, err := c.Storage.Load(e.ctx); err != nil {
			e.tell(Event{Kind: Trouble, Err: fmt.Errorf("auto: loading what Storage has: %w", err)})
		} else {
			e.cache.restore(snapshot, time.Now())
		}
	}
	return e, nil
}

// common returns shared with what TCP sets of it.
func (c Config) common(shared engine.Config) engine.Config {
	own := c.TCP
	shared.TLS = first(own.TLS, shared.TLS)
	shared.Timeouts = own.Timeouts.Or(shared.Timeouts)
	shared.MaxConnections = first(own.MaxConnections, shared.MaxConnections)
	shared.MaxConcurrent = first(own.MaxConcurrent, shared.MaxConcurrent)
	shared.MaxHeaderBytes = first(own.MaxHeaderBytes, shared.MaxHeaderBytes)
	shared.MaxHeaderFields = first(own.MaxHeaderFields, shared.MaxHeaderFields)
	shared.NoStaleRetry = own.NoStaleRetry || shared.NoStaleRetry
	if own.Proxy != nil {
		shared.Proxy = own.Proxy
	}
	if own.Dial != nil {
		shared.Dial = own.Dial
	}
	if own.Resolve != nil {
		shared.Resolve = own.Resolve
	}
	if own.DialControl != nil {
		shared.DialControl = own.DialControl
	}
	return shared
}

// unverified reports whether nobody looks at certificates. An alternative on
// another host could then be anybody (RFC 7838 §2.1).
func unverified(c *tls.Config) bool {
	return c != nil && c.InsecureSkipVerify && c.VerifyConnection == nil && c.VerifyPeerCertificate == nil
}

func (c Config) complete() Config {
	c.DNSWait = first(c.DNSWait, defaultDNSWait)
	c.HeadStart = first(c.HeadStart, defaultHeadStart)
	c.BrokenFor = first(c.BrokenFor, defaultBrokenFor)
	c.LongestBroken = max(first(c.LongestBroken, defaultLongestBroken), c.BrokenFor)
	c.MaxOrigins = first(c.MaxOrigins, defaultMaxOrigins)
	return c
}

// first returns the first value that is set.
func first[T comparable](values ...T) T {
	var unset T
	for _, v := range values {
		if v != unset {
			return v
		}
	}
	return unset
}
