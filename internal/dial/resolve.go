package dial

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

// tcp connects to addr, a host:port.
func (j *job) tcp(ctx context.Context, addr string) (net.Conn, error) {
	host, port, err := j.override(addr)
	if err != nil {
		return nil, &engine.OpError{Op: engine.OpConnect, Err: err}
	}
	if j.Dial != nil && j.Resolve == nil {
		return j.dial(ctx, []target{{"tcp", net.JoinHostPort(host, port)}})
	}
	addrs, err := j.lookup(ctx, host)
	if err != nil {
		return nil, opError(ctx, engine.OpDNS, err)
	}
	if addrs = j.reachable(interleave(addrs)); len(addrs) == 0 {
		return nil, &engine.OpError{
			Op:  engine.OpConnect,
			Err: fmt.Errorf("no address of %s is of the family of the local address %s", host, j.LocalAddr),
		}
	}
	targets := make([]target, len(addrs))
	for i, a := range addrs {
		targets[i] = target{"tcp", net.JoinHostPort(a.String(), port)}
	}
	return j.dial(ctx, targets)
}

// override applies Hosts to addr and takes it apart.
func (d *Dialer) override(addr string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(addr)
	if err != nil {
		return "", "", err
	}
	to, ok := d.Hosts[addr]
	if !ok {
		if to, ok = d.Hosts[host]; !ok {
			return host, port, nil
		}
	}
	if _, err := netip.ParseAddr(to); err == nil {
		return to, port, nil
	}
	if h, p, err := net.SplitHostPort(to); err == nil {
		return h, p, nil
	}
	if to = strings.TrimSuffix(strings.TrimPrefix(to, "["), "]"); to == "" {
		return "", "", fmt.Errorf("the host override for %s is empty", addr)
	}
	return to, port, nil
}

// lookup returns the addresses of host, at least one. A literal address needs
// no resolver and leaves no trace.
func (j *job) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	if j.trace.DNSStart != nil {
		j.trace.DNSStart(host)
	}
	resolve := j.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := j.await(ctx, func() ([]netip.Addr, error) { return resolve(ctx, host) })
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("the resolver knows no address of %s", host)
	}
	if j.trace.DNSDone != nil {
		texts := make([]string, len(addrs))
		for i, a := range addrs {
			texts[i] = a.String()
		}
		j.trace.DNSDone(texts, err)
	}
	return addrs, err
}

// await runs f, which may be slow to see that ctx has ended, and does not wait
// for it any longer than ctx lasts.
func (d *Dialer) await(ctx context.Context, f func() ([]netip.Addr, error)) ([]netip.Addr, error) {
	type result struct {
		addrs []netip.Addr
		err   error
	}
	done := make(chan result, 1)
	d.start(func() {
		addrs, err := f()
		done <- result{addrs, err}
	})
	select {
	case r := <-done:
		return r.addrs, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// interleave orders addresses for happy eyeballs: the families take turns,
// beginning with that of the first address (RFC 8305 §4).
func interleave(addrs []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() == addrs[0].Unmap().Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	mixed := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			mixed = append(mixed, first[i])
		}
		if i < len(second) {
			mixed = append(mixed, second[i])
		}
	}
	return mixed
}

// reachable keeps the addresses that can be reached from LocalAddr.
func (d *Dialer) reachable(addrs []netip.Addr) []netip.Addr {
	if !d.LocalAddr.IsValid() || d.Dial != nil {
		return addrs
	}
	var kept []netip.Addr
	for _, a := range addrs {
		if a.Is4() == d.LocalAddr.Unmap().Is4() {
			kept = append(kept, a)
		}
	}
	return kept
}
