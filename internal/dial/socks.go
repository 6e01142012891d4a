package dial

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

// SOCKS, as a client. The messages are read to the byte, so that nothing of the
// origin's is swallowed.
//
//	socks4   CONNECT to an IPv4 address, looked up here
//	socks4a  the same, names are looked up by the proxy
//	socks5   RFC 1928 with an address looked up here
//	socks5h  the same, names are looked up by the proxy
//
// Version 4 knows a user id, version 5 a user and a password (RFC 1929).

// socks4 asks for a connection to addr by version 4 or 4a.
func socks4(conn net.Conn, p *proxy, addr string) error {
	if p.password != "" {
		return errors.New("SOCKS4 knows no password; use socks5, or leave it out of the proxy's URL")
	}
	if strings.ContainsRune(p.user, 0) {
		return errors.New("the user in the proxy's URL holds a NUL")
	}
	host, port, err := hostAndPort(addr)
	if err != nil {
		return err
	}
	name := ""
	ip, err := netip.ParseAddr(host)
	if err != nil {
		ip, name = netip.AddrFrom4([4]byte{0, 0, 0, 1}), host // version 4a: a name follows
	}
	if !ip.Is4() {
		return fmt.Errorf("%s is not an IPv4 address, and SOCKS4 knows no other", ip)
	}
	msg := []byte{4, 1, byte(port >> 8), byte(port)}
	msg = append(msg, ip.AsSlice()...)
	msg = append(msg, p.user...)
	msg = append(msg, 0)
	if name != "" {
		msg = append(msg, name...)
		msg = append(msg, 0)
	}
	var reply [8]byte
	if err := exchange(conn, msg, reply[:]); err != nil {
		return err
	}
	switch {
	case reply[0] != 0:
		return notSOCKS(4, reply[:])
	case reply[1] == 90:
		return nil
	}
	reason := "unknown code"
	switch reply[1] {
	case 91:
		reason = "request rejected or failed"
	case 92:
		reason = "no identd at the client"
	case 93:
		reason = "identd gives another user"
	}
	err = fmt.Errorf("connection to %s was refused: %s (%d)", addr, reason, reply[1])
	if reply[1] == 91 {
		return &unreachable{err}
	}
	return &denied{err}
}

// denied is a refusal that asking again does not change.
type denied struct{ error }

func (*denied) Is(target error) bool { return target == engine.ErrProxyDenied }

// socks5 asks for a connection to addr by version 5.
func socks5(conn net.Conn, p *proxy, addr string) error {
	if len(p.user) > 255 || len(p.password) > 255 {
		return errors.New("user or password in the proxy's URL are longer than the 255 bytes that SOCKS5 can carry")
	}
	host, port, err := hostAndPort(addr)
	if err != nil {
		return err
	}
	if err := socks5Hello(conn, p); err != nil {
		return err
	}
	msg := []byte{5, 1, 0}
	switch ip, err := netip.ParseAddr(host); {
	case err != nil:
		msg = append(append(msg, 3, byte(len(host))), host...)
	case ip.Is4():
		msg = append(append(msg, 1), ip.AsSlice()...)
	default:
		msg = append(append(msg, 4), ip.AsSlice()...)
	}
	var reply [4]byte
	if err := exchange(conn, append(msg, byte(port>>8), byte(port)), reply[:]); err != nil {
		return err
	}
	if reply[0] != 5 {
		return notSOCKS(5, reply[:])
	}
	if reply[1] != 0 {
		err = fmt.Errorf("connection to %s was refused: %s (%d)", addr, socks5Reason(reply[1]), reply[1])
		switch reply[1] {
		case 2:
			return &denied{err}
		case 3, 4, 5, 6, 8:
			return &unreachable{err}
		}
		return err
	}
	return skipBound(conn, reply[3])
}

// socks5Hello agrees on a method of authentication and carries it out.
func socks5Hello(conn net.Conn, p *proxy) error {
	hello := []byte{5, 1, 0}
	if p.hasUser {
		hello = []byte{5, 2, 0, 2}
	}
	var choice [2]byte
	if err := exchange(conn, hello, choice[:]); err != nil {
		return err
	}
	switch {
	case choice[0] != 5:
		return notSOCKS(5, choice[:])
	case choice[1] == 0:
		return nil
	case choice[1] == 2 && p.hasUser:
		msg := append([]byte{1, byte(len(p.user))}, p.user...)
		msg = append(append(msg, byte(len(p.password))), p.password...)
		var status [2]byte
		if err := exchange(conn, msg, status[:]); err != nil {
			return err
		}
		if status[0] != 1 {
			return &engine.ProtocolError{Reason: fmt.Sprintf("%q is not an answer to user and password", status), Section: "RFC 1929 §2"}
		}
		if status[1] != 0 {
			return &denied{errors.New("the proxy refused user or password")}
		}
		return nil
	case choice[1] == 0xff && !p.hasUser:
		return &denied{errors.New("the proxy wants authentication; put user and password into its URL")}
	case choice[1] == 0xff:
		return &denied{errors.New("the proxy accepts neither no authentication nor user and password")}
	}
	return fmt.Errorf("the proxy chose authentication method %d, which was not offered", choice[1])
}

// skipBound reads the address that the proxy's own socket is bound to.
func skipBound(conn net.Conn, kind byte) error {
	size := 0
	switch kind {
	case 1:
		size = 4
	case 4:
		size = 16
	case 3:
		var n [1]byte
		if _, err := io.ReadFull(conn, n[:]); err != nil {
			return cutShort(err)
		}
		size = int(n[0])
	default:
		return &engine.ProtocolError{Reason: fmt.Sprintf("SOCKS5 address type %d is unknown", kind), Section: "RFC 1928 §5"}
	}
	if _, err := io.ReadFull(conn, make([]byte, size+2)); err != nil {
		return cutShort(err)
	}
	return nil
}

// exchange sends msg and fills reply.
func exchange(conn net.Conn, msg, reply []byte) error {
	if _, err := conn.Write(msg); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, reply); err != nil {
		return cutShort(err)
	}
	return nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the proxy closed the connection during the handshake: %w", io.ErrUnexpectedEOF)
	}
	return err
}

func notSOCKS(version int, reply []byte) error {
	return &engine.ProtocolError{Reason: fmt.Sprintf("%q is not a SOCKS%d reply", reply, version)}
}

// socks5Reason is the text for a reply code (RFC 1928 §6).
func socks5Reason(code byte) string {
	reasons := [...]string{
		1: "general failure", 2: "not allowed by the rules", 3: "network unreachable", 4: "host unreachable",
		5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address type not supported",
	}
	if int(code) < len(reasons) {
		return reasons[code]
	}
	return "unknown code"
}
