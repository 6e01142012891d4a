package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/h1"
)

// reach connects to a proxy, by TLS if it is an https one.
func (j *job) reach(ctx context.Context, p *proxy) (net.Conn, error) {
	conn, err := j.tcp(ctx, p.addr)
	if err == nil && p.scheme == "https" {
		var secure *tls.Conn
		if secure, err = j.secure(ctx, conn, j.proxyTLS(p.addr)); err == nil {
			return secure, nil
		}
	}
	return conn, p.blame(ctx, err)
}

// through connects to a proxy and has that connect to addr: where names are looked
// up here, to one of its addresses after the other, by a connection for each.
func (j *job) through(ctx context.Context, p *proxy, addr string) (net.Conn, error) {
	asked, err := j.beyond(ctx, p, addr)
	if err != nil {
		return nil, err
	}
	var refusals []error
	for i := 0; i < mostPlaces && (i < len(asked.known) || asked.late != nil && asked.more(ctx)); i++ {
		conn, err := j.reach(ctx, p)
		if err != nil {
			return nil, err
		}
		if err = j.tunnel(ctx, conn, p, asked.known[i]); err == nil {
			return conn, nil
		}
		j.abandon()
		refusals = append(refusals, err)
		if _, ok := errors.AsType[*unreachable](err); !ok || ctx.Err() != nil {
			break
		}
	}
	return nil, p.blame(ctx, opError(ctx, engine.OpProxy, joined("could be reached", refusals)))
}

// mostPlaces is how many addresses a proxy is asked for, one after the other.
const mostPlaces = 16

// unreachable is a proxy's answer that leaves hope for another address.
type unreachable struct{ error }

// beyond returns what to ask a proxy for.
func (j *job) beyond(ctx context.Context, p *proxy, addr string) (*places, error) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && (p.scheme == "socks4" || p.scheme == "socks5") {
		host, port, err = j.override(addr)
	}
	if a, bad := netip.ParseAddr(host); bad == nil {
		host = a.Unmap().WithZone("").String() // a zone means nothing elsewhere (RFC 4007 §6)
	} else if err == nil && hasBlank(host) {
		err = fmt.Errorf("%q is not the name of a host", host)
	}
	if err != nil {
		return nil, &engine.OpError{Op: engine.OpBuild, Err: err}
	}
	want := anyFamily
	switch p.scheme {
	case "socks4":
		want = ip4
		fallthrough
	case "socks5":
		found, err := j.lookup(ctx, host, port, want)
		if err == nil && len(found.known) == 0 {
			err = &engine.OpError{Op: engine.OpProxy, Err: fmt.Errorf("%s has no IPv4 address, and SOCKS4 knows no other", host)}
		}
		return found, err
	}
	return &places{known: []string{net.JoinHostPort(host, port)}}, nil
}

// tunnel asks the proxy at the other end of conn for a connection to addr, until
// ctx ends.
func (j *job) tunnel(ctx context.Context, conn net.Conn, p *proxy, addr string) error {
	open := j.open // what lies below TLS, whose farewell a proxy may not take
	stop := context.AfterFunc(ctx, func() { open.Close() })
	var err error
	switch p.scheme {
	case "socks4", "socks4a":
		err = socks4(conn, p, addr)
	case "socks5", "socks5h":
		err = socks5(conn, p, addr)
	default:
		err = httpTunnel(conn, p, addr)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// maxProxyHead bounds the head of an answer to CONNECT, all 1xx before it
// included.
const maxProxyHead = 64 << 10

// httpTunnel sends CONNECT (RFC 9110 §9.3.6).
func httpTunnel(conn net.Conn, p *proxy, addr string) error {
	var b strings.Builder
	b.WriteString("CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n")
	if auth := p.authorization(); auth != "" {
		b.WriteString("Proxy-Authorization: " + auth + "\r\n")
	}
	b.WriteString("\r\n")
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return err
	}
	head, err := readProxyHead(conn)
	if err != nil {
		return fmt.Errorf("the answer to CONNECT: %w", err)
	}
	if head.Status/100 == 2 {
		return nil
	}
	text := "CONNECT " + addr + " was refused: " + strconv.Itoa(head.Status)
	if reason := printable(head.Reason); reason != "" {
		text += " " + reason
	}
	switch {
	case head.Status != 407:
	case p.hasUser:
		text += "; it does not take the credentials in its URL"
	default:
		text += "; put credentials into its URL"
	}
	return &engine.ProxyError{Proxy: p.public().String(), Status: head.Status, Header: head.Header, Err: errors.New(text)}
}

// shortestHead is the length of the shortest head there is.
const shortestHead = len("HTTP/1.1 200\n\n")

// readProxyHead returns the head of the first answer that is not interim. Its
// syntax decides about no body, so that proxies may be careless with it. It is read
// to the byte: what follows is the origin's, which may be the first to speak.
func readProxyHead(conn net.Conn) (h1.Head, error) {
	limits := h1.Limits{MaxBytes: 2 * maxProxyHead, MaxFields: maxProxyHead, Lenient: true}
	scan := h1.Scanner{Limits: limits}
	buf := make([]byte, 0, 1024)
	for room := maxProxyHead; room > 0; {
		buf = slices.Grow(buf, shortestHead)
		n, err := conn.Read(buf[len(buf):max(len(buf)+1, shortestHead)])
		if err != nil && n == 0 {
			return h1.Head{}, cutShort(err)
		}
		buf, room = buf[:len(buf)+n], room-n
		end, err := scan.Scan(buf)
		if err != nil {
			return h1.Head{}, err
		}
		if end == 0 {
			continue
		}
		head, err := h1.ParseHead(buf[:end], limits)
		if err == nil && head.Status == 101 {
			err = &engine.ProtocolError{Reason: "101 Switching Protocols to what was not asked for", Section: "RFC 9110 §7.8"}
		}
		if err != nil || head.Status/100 != 1 {
			return head, err
		}
		buf = buf[:0]
		scan.Reset()
	}
	return h1.Head{}, &engine.ProtocolError{Reason: fmt.Sprintf("its head is longer than %d bytes", maxProxyHead)}
}

// printable returns the reason phrase for people: what cannot be printed is left
// out and the rest is cut short.
func printable(reason string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, reason[:min(len(reason), 120)]))
}

// hostAndPort takes addr apart; the port is a number here.
func hostAndPort(addr string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	number, err := net.LookupPort("tcp", service)
	if err != nil {
		return "", 0, err
	}
	if len(host) > 255 {
		return "", 0, errors.New("the origin's host name is longer than the 255 bytes that SOCKS can carry")
	}
	return host, uint16(number), nil
}
