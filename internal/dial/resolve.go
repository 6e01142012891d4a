package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/recovered"
)

// resolutionDelay is how long IPv4 addresses wait for IPv6 ones (RFC 8305 §3).
const resolutionDelay = 50 * time.Millisecond

// places are addresses to connect to, "host:port" or a path, the best first.
type places struct {
	known []string
	port  string
	late  <-chan answer // the other family's addresses, still awaited; nil = none
}

// answer is what a lookup came to.
type answer struct {
	addrs []netip.Addr
	err   error
}

// add puts the late addresses among those that were not tried yet.
func (p *places) add(a answer, tried int) {
	p.late = nil
	p.known = append(p.known[:tried:tried], alternate(p.at(a.addrs), p.known[tried:])...)
}

func (p *places) at(addrs []netip.Addr) []string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = net.JoinHostPort(a.String(), p.port)
	}
	return texts
}

// more waits for the late addresses and reports whether there are any.
func (p *places) more(ctx context.Context) bool {
	select {
	case a := <-p.late:
		n := len(p.known)
		p.add(a, n)
		return len(p.known) > n
	case <-ctx.Done():
		return false
	}
}

// tcp connects to addr, a host:port.
func (j *job) tcp(ctx context.Context, addr string) (net.Conn, error) {
	host, port, err := j.override(addr)
	if err != nil {
		return nil, &engine.OpError{Op: engine.OpConnect, Err: err}
	}
	if j.Dial != nil && j.Resolve == nil {
		return j.dial(ctx, "tcp", &places{known: []string{net.JoinHostPort(host, port)}})
	}
	want := anyFamily
	if j.LocalAddr.IsValid() && j.Dial == nil {
		want = familyOf(j.LocalAddr)
	}
	p, err := j.lookup(ctx, host, port, want)
	if err != nil {
		return nil, err
	}
	if len(p.known) == 0 {
		return nil, &engine.OpError{
			Op:  engine.OpConnect,
			Err: fmt.Errorf("no address of %s is of the family of the local address %s", host, j.LocalAddr),
		}
	}
	return j.dial(ctx, "tcp", p)
}

// Placed returns what Hosts says of an origin. Its keys are names without a final
// dot, and addresses in their shortest form.
func (d *Dialer) Placed(host, port string) (to string, ok bool) {
	key := strings.TrimSuffix(host, ".")
	if a, err := netip.ParseAddr(host); err == nil {
		key = a.Unmap().String()
	}
	if to, ok = d.Hosts[net.JoinHostPort(key, port)]; !ok {
		to, ok = d.Hosts[key]
	}
	return to, ok
}

// override applies Hosts to addr and takes it apart.
func (d *Dialer) override(addr string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(addr)
	if err != nil || len(d.Hosts) == 0 {
		return host, port, err
	}
	to, ok := d.Placed(host, port)
	if !ok {
		return host, port, nil
	}
	host, other, err := splitPlace(to)
	if err != nil {
		return "", "", fmt.Errorf("the host override for %s: %w", addr, err)
	}
	if other != "" {
		port = other
	}
	return host, port, nil
}

// family is an address family, or any.
type family string

const (
	anyFamily family = ""
	ip4       family = "ip4"
	ip6       family = "ip6"
)

func familyOf(a netip.Addr) family {
	if a.Unmap().Is4() {
		return ip4
	}
	return ip6
}

// lookup returns the addresses of host that are of the family wanted, with port.
// A literal address needs no resolver and leaves no trace. Errors are an
// *engine.OpError.
func (j *job) lookup(ctx context.Context, host, port string, want family) (*places, error) {
	p := &places{port: port}
	addrs, late, err := j.addresses(ctx, host, want)
	if err != nil {
		return nil, opError(ctx, engine.OpDNS, err)
	}
	p.known, p.late = p.at(addrs), late
	return p, nil
}

// Lookup returns the addresses of host as Connect finds them, those left out that
// a slow name server has not sent yet.
func (d *Dialer) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j := &job{Dialer: d, trace: noTrace}
	addrs, _, err := j.addresses(ctx, host, anyFamily)
	return addrs, err
}

// addresses is lookup without ports.
func (j *job) addresses(ctx context.Context, host string, want family) (addrs []netip.Addr, late <-chan answer, err error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return only(want, []netip.Addr{a.Unmap()}), nil, nil
	}
	if j.trace.DNSStart != nil {
		j.trace.DNSStart(host)
	}
	if j.Resolve != nil {
		addrs, err = j.resolved(ctx, host)
	} else {
		addrs, late, err = j.asked(ctx, host, want)
	}
	if j.trace.DNSDone != nil {
		texts := make([]string, len(addrs))
		for i, a := range addrs {
			texts[i] = a.String()
		}
		j.trace.DNSDone(texts, err)
	}
	return only(want, addrs), late, err
}

// only keeps the addresses of the family wanted.
func only(want family, addrs []netip.Addr) []netip.Addr {
	if want == anyFamily {
		return addrs
	}
	var kept []netip.Addr
	for _, a := range addrs {
		if familyOf(a) == want {
			kept = append(kept, a)
		}
	}
	return kept
}

// resolved asks Resolve. It may be slow to see that ctx has ended, and is not
// waited for any longer than ctx lasts.
func (j *job) resolved(ctx context.Context, host string) ([]netip.Addr, error) {
	select {
	case a := <-j.ask(func() ([]netip.Addr, error) { return j.Resolve(ctx, host) }):
		switch {
		case a.err != nil:
			return nil, a.err
		case len(a.addrs) == 0:
			return nil, fmt.Errorf("the resolver knows no address of %s", host)
		}
		for _, addr := range a.addrs {
			if !addr.IsValid() {
				return nil, fmt.Errorf("the resolver returned the zero netip.Addr among %d for %s", len(a.addrs), host)
			}
		}
		return interleave(a.addrs), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ask runs f in another goroutine.
func (d *Dialer) ask(f func() ([]netip.Addr, error)) <-chan answer {
	done := make(chan answer, 1)
	d.start(func() {
		a := answer{err: errExited}
		defer func() {
			if p := recover(); p != nil {
				a.err = recovered.Error("the custom resolver", p)
			}
			done <- a
		}()
		a.addrs, a.err = f()
	})
	return done
}

// asked asks net.DefaultResolver for both families at once, since name servers
// are met that never answer for one of them. IPv6 addresses are used as soon as
// they are there, IPv4 ones after resolutionDelay (RFC 8305 §3).
func (j *job) asked(ctx context.Context, host string, want family) ([]netip.Addr, <-chan answer, error) {
	begin := func(f family) <-chan answer {
		return j.ask(func() ([]netip.Addr, error) {
			addrs, err := net.DefaultResolver.LookupNetIP(ctx, string(f), host)
			for i := range addrs {
				addrs[i] = addrs[i].Unmap()
			}
			return addrs, err
		})
	}
	if want != anyFamily {
		select {
		case a := <-begin(want):
			return a.addrs, nil, a.err
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
	six, four := begin(ip6), begin(ip4)
	first, second := six, four
	var a, b answer
	select {
	case a = <-six:
	case a = <-four:
		first, second = four, six
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	var patience <-chan time.Time
	if a.err == nil {
		if first == six && goesFirst(a.addrs[0]) {
			return a.addrs, second, nil
		}
		timer := time.NewTimer(resolutionDelay)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case b = <-second:
	case <-patience:
		return a.addrs, second, nil
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	if first == four {
		a, b = b, a
	}
	switch {
	case a.err != nil && b.err != nil && unknown(b.err):
		return nil, nil, a.err // it may tell more
	case a.err != nil && b.err != nil:
		return nil, nil, b.err
	case a.err == nil && b.err == nil && !goesFirst(a.addrs[0]):
		a, b = b, a
	}
	return alternate(a.addrs, b.addrs), nil, nil
}

// unknown reports whether err only says that there are no such addresses.
func unknown(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return !ok || e.IsNotFound
}

// goesFirst reports whether an IPv6 address goes before IPv4 ones (RFC 6724 §5,
// rules 1 and 5): there is a way to it, from an address that is as private. No
// byte is sent to find that out.
func goesFirst(a netip.Addr) bool {
	conn, err := net.Dial("udp6", netip.AddrPortFrom(a, 9).String())
	if err != nil {
		return false
	}
	defer conn.Close()
	from, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return err == nil && from.Addr().IsPrivate() == a.IsPrivate()
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
	return alternate(first, second)
}

// alternate takes from a and b in turn.
func alternate[T any](a, b []T) []T {
	mixed := make([]T, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			mixed = append(mixed, a[i])
		}
		if i < len(b) {
			mixed = append(mixed, b[i])
		}
	}
	return mixed
}
