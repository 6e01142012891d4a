package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
)

// dialer makes one QUIC connection: it looks the host up, and tries the addresses
// in turn, each with a head start before the next (RFC 8305). What wins is the
// first complete handshake, not the first packet.
type dialer struct {
	*Engine
	to    target
	host  string // what is looked up
	port  uint16
	trace *engine.Trace
}

// dialled is what a dial has made.
type dialled struct {
	conn      *quic.Conn
	transport *quic.Transport
	socket    *net.UDPConn
	addr      netip.AddrPort
}

// close closes the connection and its socket; the connection may be nil.
func (d *dialled) close() {
	if d.conn != nil {
		d.conn.CloseWithError(0x100, "") // H3_NO_ERROR
	}
	d.transport.Close()
	d.socket.Close()
}

// dial connects to to; with early it may return before the handshake is complete.
func (e *Engine) dial(ctx context.Context, to target, early bool, trace *engine.Trace) (*dialled, error) {
	d := &dialer{Engine: e, to: to, trace: trace}
	if err := d.locate(); err != nil {
		return nil, &engine.OpError{Op: engine.OpConnect, Err: err}
	}
	addrs, err := d.lookup(ctx)
	if err != nil {
		return nil, opError(ctx, engine.OpDNS, err)
	}
	if good, ok := e.pool.lastGood(to); early && ok && good.Port() == d.port {
		for _, a := range addrs {
			if a == good.Addr() {
				return d.one(ctx, good, true)
			}
		}
	}
	return d.race(ctx, addrs)
}

// locate applies Hosts to the target.
func (d *dialer) locate() error {
	addr := d.to.addr()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	to, ok := d.config.Hosts[addr]
	if !ok {
		to, ok = d.config.Hosts[host]
	}
	if ok {
		if h, p, err := net.SplitHostPort(to); err == nil {
			host, port = h, p
		} else if host = strings.TrimSuffix(strings.TrimPrefix(to, "["), "]"); host == "" {
			return fmt.Errorf("the host override for %s is empty", addr)
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("the port of %s is not a number from 1 to 65535", addr)
	}
	d.host, d.port = host, uint16(n)
	return nil
}

// lookup returns the host's addresses in the order to try them, at least one.
func (d *dialer) lookup(ctx context.Context) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(d.host); err == nil {
		return d.reachable([]netip.Addr{a.Unmap()})
	}
	if d.trace.DNSStart != nil {
		d.trace.DNSStart(d.host)
	}
	resolve := d.config.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := await(ctx, func() ([]netip.Addr, error) { return resolve(ctx, d.host) })
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("the resolver knows no address of %s", d.host)
	}
	if d.trace.DNSDone != nil {
		texts := make([]string, len(addrs))
		for i, a := range addrs {
			texts[i] = a.String()
		}
		d.trace.DNSDone(texts, err)
	}
	if err != nil {
		return nil, err
	}
	return d.reachable(interleave(addrs))
}

// await runs f and does not wait for it any longer than ctx lasts.
func await(ctx context.Context, f func() ([]netip.Addr, error)) ([]netip.Addr, error) {
	type result struct {
		addrs []netip.Addr
		err   error
	}
	done := make(chan result, 1)
	go func() {
		addrs, err := f()
		done <- result{addrs, err}
	}()
	select {
	case r := <-done:
		return r.addrs, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// interleave lets the families take turns, beginning with that of the first
// address (RFC 8305 §4).
func interleave(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, a := range addrs {
		i := 0
		if a = a.Unmap(); a.Is4() != addrs[0].Unmap().Is4() {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	mixed := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				mixed = append(mixed, family[i])
			}
		}
	}
	return mixed
}

// reachable keeps the addresses that can be reached from LocalAddr.
func (d *dialer) reachable(addrs []netip.Addr) ([]netip.Addr, error) {
	local := d.config.LocalAddr.Unmap()
	if !local.IsValid() {
		return addrs, nil
	}
	var kept []netip.Addr
	for _, a := range addrs {
		if a.Is4() == local.Is4() {
			kept = append(kept, a)
		}
	}
	if len(kept) == 0 {
		return nil, &engine.OpError{Op: engine.OpConnect,
			Err: fmt.Errorf("no address of %s is of the family of the local address %s", d.host, local)}
	}
	return kept, nil
}

// race tries the addresses and returns the first complete handshake. When it
// returns, the other attempts are over.
func (d *dialer) race(ctx context.Context, addrs []netip.Addr) (*dialled, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	type result struct {
		made *dialled
		err  error
	}
	results := make(chan result, len(addrs))
	var attempts sync.WaitGroup
	defer func() {
		cancel(nil)
		attempts.Wait()
		for len(results) > 0 {
			if late := <-results; late.made != nil {
				late.made.close()
			}
		}
	}()
	next, running := 0, 0
	head := time.NewTimer(0)
	defer head.Stop()
	var failure error
	for {
		select {
		case <-head.C:
			addr := netip.AddrPortFrom(addrs[next], d.port)
			next++
			running++
			attempts.Go(func() {
				made, err := d.one(ctx, addr, false)
				results <- result{made, err}
			})
			if next < len(addrs) {
				head.Reset(d.config.FallbackDelay)
			}
		case r := <-results:
			running--
			if r.err == nil {
				return r.made, nil
			}
			failure = first(failure, r.err)
			_, final := errors.AsType[*refusedError](r.err)
			if final || ctx.Err() != nil || running == 0 && next == len(addrs) {
				return nil, failure
			}
			if next < len(addrs) {
				head.Reset(0)
			}
		}
	}
}

// refusedError is what DialControl said.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// one connects to one address.
func (d *dialer) one(ctx context.Context, addr netip.AddrPort, early bool) (*dialled, error) {
	network := "udp4"
	if addr.Addr().Is6() {
		network = "udp6"
	}
	if d.trace.ConnectStart != nil {
		d.trace.ConnectStart(network, addr.String())
	}
	made, err := d.open(ctx, network, addr)
	if err == nil {
		err = d.handshake(ctx, made, early)
	}
	if d.trace.ConnectDone != nil {
		d.trace.ConnectDone(network, addr.String(), err)
	}
	if err != nil {
		return nil, err
	}
	return made, nil
}

// open makes the socket and shows it to DialControl.
func (d *dialer) open(ctx context.Context, network string, addr netip.AddrPort) (*dialled, error) {
	fail := func(err error) error { return &engine.OpError{Op: engine.OpConnect, Err: err} }
	var local *net.UDPAddr
	if l := d.config.LocalAddr; l.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.Unmap(), 0))
	}
	socket, err := net.ListenUDP(network, local)
	if err != nil {
		return nil, fail(err)
	}
	if d.config.DialControl != nil {
		raw, err := socket.SyscallConn()
		if err == nil {
			err = d.config.DialControl(ctx, network, addr.String(), raw)
		}
		if err != nil {
			socket.Close()
			return nil, fail(&refusedError{err})
		}
	}
	reportRefusals(socket, true)
	return &dialled{transport: &quic.Transport{Conn: socket}, socket: socket, addr: addr}, nil
}

// handshake makes made's connection; on failure made is closed.
func (d *dialer) handshake(ctx context.Context, made *dialled, early bool) error {
	dial := made.transport.Dial
	if early {
		dial = made.transport.DialEarly
	}
	if d.trace.TLSStart != nil {
		d.trace.TLSStart()
	}
	conn, err := dial(ctx, net.UDPAddrFromAddrPort(made.addr), d.tlsFor(), d.quic)
	var state tls.ConnectionState
	if err != nil {
		made.close()
		err = d.explain(ctx, made.addr, err)
	} else {
		made.conn = conn
		reportRefusals(made.socket, false) // from now on a lost packet is just that
		if !early {
			state = conn.ConnectionState().TLS // waits for the handshake
		}
	}
	if d.trace.TLSDone != nil {
		d.trace.TLSDone(state, err)
	}
	return err
}

// tlsFor returns the configuration for the origin, whoever the alternative is
// (RFC 7838 §2.1).
func (d *dialer) tlsFor() *tls.Config {
	c := d.tls.Clone()
	if c.ServerName == "" {
		host, _, _ := net.SplitHostPort(d.to.origin)
		if strings.Contains(host, ":") {
			host, _, _ = strings.Cut(host, "%")
		}
		c.ServerName = host
	}
	return c
}

// explain makes of a failed handshake what engines return.
func (d *dialer) explain(ctx context.Context, addr netip.AddrPort, err error) error {
	if ctx.Err() != nil {
		return opError(ctx, engine.OpConnect, err)
	}
	if t, ok := errors.AsType[*quic.TransportError](err); ok && t.ErrorCode.IsCryptoError() {
		err = withAlert(err)
		if t.ErrorCode == noApplicationProtocol {
			err = fmt.Errorf("%s speaks QUIC at %s, but not HTTP/3: %w", d.to.origin, addr, err)
		} else {
			err = fmt.Errorf("handshake with %s: %w", d.to.origin, err)
		}
		return &engine.OpError{Op: engine.OpTLS, Err: err}
	}
	switch {
	case engine.IsTimeout(err):
		err = silence(d.to.addr(), &engine.TimeoutError{Kind: engine.KindConnect, Limit: d.quic.HandshakeIdleTimeout})
	case errors.Is(err, syscall.ECONNREFUSED):
		err = fmt.Errorf("nothing answers QUIC at %s (%s), so there is no HTTP/3: %w", d.to.addr(), addr, err)
	default:
		err = fmt.Errorf("QUIC connection to %s (%s): %w", d.to.addr(), addr, err)
	}
	return &engine.OpError{Op: engine.OpConnect, Err: err}
}

// noApplicationProtocol is the TLS alert of a server that ALPN failed at
// (RFC 9001 §8.1).
const noApplicationProtocol quic.TransportErrorCode = 0x100 + 120

// silence says what a connect timeout means over UDP.
func silence(addr string, err error) error {
	return fmt.Errorf("no answer over QUIC from %s: it may have no HTTP/3, or UDP is blocked on the way: %w", addr, err)
}

// opError wraps err in the phase in which it arose. If ctx has ended, that is
// what made err.
func opError(ctx context.Context, op engine.Op, err error) error {
	if ended := ctxerr.Of(ctx); ended != nil {
		err = ended
	}
	if e, ok := errors.AsType[*engine.OpError](err); ok {
		return e
	}
	return &engine.OpError{Op: op, Err: err}
}
