package cio

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/transfer"
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
// certificate holds for this one. The error is that the request's limits, or its
// context, ended while the address was looked up.
func (x *http2) alias(ctx context.Context, req *engine.Request, own dial.Route) (dial.Route, error) {
	c := &x.engine.config
	if !c.Coalesce || own.Unix != "" || own.Proxy != "" || c.TLS != nil && judgesByName(c.TLS) {
		return own, nil
	}
	host, port, err := net.SplitHostPort(own.Addr)
	if err != nil {
		return own, nil
	}
	if _, placed := x.dialer.Placed(host, port); placed {
		return own, nil
	}
	x.mu.Lock()
	known, ok := x.aliases[own]
	x.mu.Unlock()
	if ok && known.refuse {
		return own, nil
	}
	other, found := x.pool.Find(func(key dial.Route, info *engine.Conn) bool {
		return key == own || covers(key, info, host, port)
	})
	if !found || other == own {
		return own, nil
	}
	if ok && known.route == other {
		return other, nil
	}
	addresses, err := x.lookup(ctx, req, host)
	if err != nil {
		return own, err
	}
	_, same := x.pool.Find(func(key dial.Route, info *engine.Conn) bool {
		a, ok := remote(info)
		return ok && key == other && strconv.Itoa(int(a.Port())) == port && slices.Contains(addresses, a.Addr().Unmap())
	})
	if !same {
		return own, nil
	}
	x.learn(own, alias{route: other})
	return other, nil
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

// remote returns where a connection leads to, if that is an address.
func remote(info *engine.Conn) (netip.AddrPort, bool) {
	if info.Remote == nil {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddrPort(info.Remote.String())
	return addr, err == nil
}

// lookup returns the addresses of host, none if they cannot be found: then it
// has a connection of its own, which will say why. It keeps the request's limits.
func (x *http2) lookup(ctx context.Context, req *engine.Request, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	var k clock
	timeouts := req.Timeouts.Or(x.engine.config.Timeouts)
	k.Init(req, timeouts)
	limit, within := k.Whole.Or(transfer.In(timeouts.Connect, time.Now(), engine.KindConnect)), ctx
	if !limit.At.IsZero() {
		var cancel context.CancelFunc
		within, cancel = context.WithDeadline(ctx, limit.At)
		defer cancel()
	}
	found, err := x.dialer.Lookup(within, host)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, &engine.OpError{Op: engine.OpDNS, Err: ctxerr.Of(ctx)}
	case within.Err() != nil:
		return nil, &engine.OpError{Op: engine.OpDNS, Err: limit.Err()}
	default:
		return nil, nil
	}
	addresses := make([]netip.Addr, len(found))
	for i, a := range found {
		addresses[i] = a.Unmap()
	}
	return addresses, nil
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
