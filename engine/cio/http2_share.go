package cio

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
)

// alias is what is known of an origin that may share the connection of another
// one (RFC 9113 §9.1.1).
type alias struct {
	route  dial.Route
	refuse bool // it was tried, and answered by 421
}

// misdirected is the status of an answer to a request that should have gone by
// another connection (RFC 9110 §15.5.20).
const misdirected = 421

// alias returns the route whose connection serves for an origin: its own, or with
// Config.Coalesce that of another origin at the same address and port whose
// certificate holds for this one.
func (x *http2) alias(ctx context.Context, own dial.Route) dial.Route {
	c := &x.engine.config
	if !c.Coalesce || own.Unix != "" || own.Proxy != "" || c.TLS != nil && judgesByName(c.TLS) {
		return own
	}
	host, port, err := net.SplitHostPort(own.Addr)
	if err != nil {
		return own
	}
	x.mu.Lock()
	known, ok := x.aliases[own]
	x.mu.Unlock()
	if ok && known.refuse {
		return own
	}
	other, found := x.pool.Find(func(key dial.Route, info *engine.Conn) bool {
		return key == own || covers(key, info, host, port)
	})
	if !found || other == own {
		return own
	}
	if ok && known.route == other {
		return other
	}
	addresses := x.lookup(ctx, host)
	_, same := x.pool.Find(func(key dial.Route, info *engine.Conn) bool {
		return key == other && slices.Contains(addresses, remote(info))
	})
	if !same {
		return own
	}
	x.learn(own, alias{route: other})
	return other
}

// judgesByName reports whether a connection may be right for one name only: the
// config names one, or has checks of its own, such as pins, that saw another.
func judgesByName(c *tls.Config) bool {
	return c.ServerName != "" || c.InsecureSkipVerify || c.VerifyConnection != nil || c.VerifyPeerCertificate != nil
}

// covers reports whether a connection is to the same port and its certificate
// holds for host.
func covers(key dial.Route, info *engine.Conn, host, port string) bool {
	if key.Unix != "" || key.Proxy != "" || info.TLS == nil || len(info.TLS.VerifiedChains) == 0 {
		return false
	}
	_, p, err := net.SplitHostPort(key.Addr)
	return err == nil && p == port && info.TLS.PeerCertificates[0].VerifyHostname(host) == nil
}

func remote(info *engine.Conn) netip.Addr {
	addr, err := netip.ParseAddrPort(info.Remote.String())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Addr().Unmap()
}

// lookup returns the addresses of host, none if they cannot be found: then it
// has a connection of its own, which will say why.
func (x *http2) lookup(ctx context.Context, host string) []netip.Addr {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}
	}
	resolve := x.engine.config.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	found, err := resolve(ctx, host)
	if err != nil {
		return nil
	}
	addresses := make([]netip.Addr, len(found))
	for i, a := range found {
		addresses[i] = a.Unmap()
	}
	return addresses
}

// misdirected remembers that an origin does not share a connection.
func (x *http2) misdirected(own dial.Route) { x.learn(own, alias{refuse: true}) }

func (x *http2) learn(own dial.Route, a alias) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.aliases) >= maxKnown {
		clear(x.aliases)
	}
	x.aliases[own] = a
}
