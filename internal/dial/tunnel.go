package dial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

// tunnel asks the proxy at the other end of conn for a connection to addr. On
// failure the caller closes conn; ctx's end has done so already.
func (j *job) tunnel(ctx context.Context, conn net.Conn, p *proxy, addr string) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	var err error
	switch p.scheme {
	case "socks4", "socks4a":
		err = j.socks4(ctx, conn, p, addr)
	case "socks5", "socks5h":
		err = j.socks5(ctx, conn, p, addr)
	default:
		err = httpTunnel(conn, p, addr)
	}
	if !stop() {
		return opError(ctx, engine.OpProxy, err)
	}
	if err != nil {
		return opError(ctx, engine.OpProxy, fmt.Errorf("%s proxy %s: %w", p.scheme, p.addr, err))
	}
	return nil
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
		return err
	}
	status, reason, err := statusLine(head)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("CONNECT %s was refused: %s", addr, strings.TrimSpace(fmt.Sprintf("%d %s", status, reason)))
	}
	return nil
}

// readProxyHead returns the head of the first answer that is not a 1xx one.
//
// The origin speaks only after our ClientHello, so nothing can follow the head
// of a 2xx answer; if something does it is not the origin's.
func readProxyHead(conn net.Conn) ([]byte, error) {
	buf, room := make([]byte, 0, 1024), maxProxyHead
	for {
		end := bytes.Index(buf, []byte("\r\n\r\n"))
		if end >= 0 && bytes.HasPrefix(buf, []byte("HTTP/1.1 1")) {
			buf = append(buf[:0], buf[end+4:]...)
			continue
		}
		if end >= 0 {
			if status, _, _ := statusLine(buf); status/100 == 2 && len(buf) > end+4 {
				return nil, &engine.ProtocolError{Reason: "the proxy sent bytes of its own after the answer to CONNECT", Section: "RFC 9110 §9.3.6"}
			}
			return buf[:end], nil
		}
		if len(buf) >= len("HTTP/") && !bytes.HasPrefix(buf, []byte("HTTP/")) {
			return buf, nil // the status line's error tells what it is
		}
		if room == 0 {
			return nil, &engine.ProtocolError{Reason: fmt.Sprintf("the head of the answer to CONNECT is longer than %d bytes", maxProxyHead)}
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := conn.Read(buf[len(buf):min(cap(buf), len(buf)+room)])
		room -= n
		buf = buf[:len(buf)+n]
		if err != nil && !bytes.Contains(buf, []byte("\r\n\r\n")) {
			return nil, fmt.Errorf("no answer to CONNECT: %w", err)
		}
	}
}

// statusLine takes "HTTP/1.1 407 Reason" apart. The reason is for people only:
// what cannot be printed is left out and the rest is cut short.
func statusLine(head []byte) (status int, reason string, err error) {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	bad := &engine.ProtocolError{
		Reason:  fmt.Sprintf("%.80q is not the status line of an HTTP/1 answer to CONNECT", line),
		Section: "RFC 9112 §4",
	}
	rest, ok := bytes.CutPrefix(line, []byte("HTTP/1."))
	if !ok || len(rest) < 5 || rest[1] != ' ' || (len(rest) > 5 && rest[5] != ' ') {
		return 0, "", bad
	}
	for _, c := range rest[2:5] {
		if c < '0' || c > '9' {
			return 0, "", bad
		}
		status = status*10 + int(c-'0')
	}
	if status < 100 || rest[0] < '0' || rest[0] > '9' {
		return 0, "", bad
	}
	reason = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(rest[5:min(len(rest), 120)]))
	return status, strings.TrimSpace(reason), nil
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
