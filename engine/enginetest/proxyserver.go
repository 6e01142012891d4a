package enginetest

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// proxyServer is a scripted proxy that keeps what it was asked for.
type proxyServer struct {
	*server
	// asked gets the request of each client: a head for HTTP, for SOCKS the
	// address, with "user:password@" in front if the client logged in.
	asked chan *received
}

// proxyURL returns the proxy's address with scheme and user info.
func (p *proxyServer) proxyURL(scheme, user, password string) *url.URL {
	u := &url.URL{Scheme: scheme, Host: p.Addr}
	if user != "" {
		u.User = url.UserPassword(user, password)
	}
	return u
}

// httpProxy starts a proxy that tunnels on CONNECT and answers requests in
// absolute-form itself, with "forwarded METHOD target body".
func (t *T) httpProxy() *proxyServer {
	p := &proxyServer{asked: make(chan *received, 16)}
	p.server = t.script(p.serveHTTP)
	return p
}

// httpsProxy is an httpProxy behind TLS.
func (t *T) httpsProxy(cert tls.Certificate) *proxyServer {
	p := &proxyServer{asked: make(chan *received, 16)}
	p.server = t.scriptTLS(&tls.Config{Certificates: []tls.Certificate{cert}}, p.serveHTTP)
	return p
}

func (p *proxyServer) serveHTTP(c *conn) {
	for {
		r := c.head()
		if r.Method == "CONNECT" {
			p.asked <- r
			c.tunnel(r.Target, "HTTP/1.1 200 Connected\r\n\r\n", "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
			return
		}
		c.readBody(r)
		p.asked <- r
		c.respond("forwarded " + r.Method + " " + r.Target + " " + r.Body)
	}
}

// tunnel connects to addr, says yes, and passes bytes on both ways until one
// side ends.
func (c *conn) tunnel(addr, yes, no string) {
	if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(host, ".test") {
		addr = net.JoinHostPort("127.0.0.1", port) // the proxy resolves names
	}
	origin, err := net.Dial("tcp", addr)
	if err != nil {
		c.write(no)
		return
	}
	defer origin.Close()
	if _, err := io.WriteString(c.Conn, yes); err != nil {
		return
	}
	c.srv.wg.Go(func() {
		io.Copy(c.Conn, origin)
		c.closeWrite()
	})
	io.Copy(origin, c.r)
}

// socks5 starts a SOCKS5 proxy (RFC 1928) that demands user and password
// (RFC 1929) if user is not empty. It answers CONNECT with code if that is not
// 0.
func (t *T) socks5(user, password string, code byte) *proxyServer {
	p := &proxyServer{asked: make(chan *received, 16)}
	p.server = t.script(func(c *conn) {
		r := &received{}
		if user != "" {
			r.Line = user + ":" + password + "@"
		}
		if !c.socks5Auth(user, password) {
			return
		}
		request := c.read(4)
		if request[:3] != "\x05\x01\x00" {
			c.t.Errorf("SOCKS5 request %q", request)
		}
		var host string
		switch request[3] {
		case 1:
			host = net.IP(c.read(4)).String()
		case 3:
			host = c.read(int(c.read(1)[0]))
		case 4:
			host = net.IP(c.read(16)).String()
		}
		port := binary.BigEndian.Uint16([]byte(c.read(2)))
		r.Target = net.JoinHostPort(host, strconv.Itoa(int(port)))
		p.asked <- r
		no := "\x05" + string([]byte{max(code, 5)}) + "\x00\x01\x00\x00\x00\x00\x00\x00"
		if code != 0 {
			c.write(no)
			return
		}
		c.tunnel(r.Target, "\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00", no)
	})
	return p
}

func (c *conn) socks5Auth(user, password string) bool {
	hello := c.read(2)
	methods := c.read(int(hello[1]))
	if hello[0] != 5 {
		c.t.Errorf("SOCKS5 greeting %q", hello)
	}
	if user == "" {
		c.write("\x05\x00")
		return true
	}
	if !strings.Contains(methods, "\x02") {
		c.write("\x05\xff")
		return false
	}
	c.write("\x05\x02")
	c.read(1)
	gotUser := c.read(int(c.read(1)[0]))
	gotPassword := c.read(int(c.read(1)[0]))
	if gotUser != user || gotPassword != password {
		c.write("\x01\x01")
		return false
	}
	c.write("\x01\x00")
	return true
}

// socks4 starts a SOCKS4 and 4a proxy.
func (t *T) socks4() *proxyServer {
	p := &proxyServer{asked: make(chan *received, 16)}
	p.server = t.script(func(c *conn) {
		request := c.read(8)
		if request[:2] != "\x04\x01" {
			c.t.Errorf("SOCKS4 request %q", request)
		}
		user := c.until0()
		ip := net.IP(request[4:8])
		host := ip.String()
		if strings.HasPrefix(request[4:8], "\x00\x00\x00") && request[7] != 0 {
			host = c.until0()
		}
		port := binary.BigEndian.Uint16([]byte(request[2:4]))
		r := &received{Line: user, Target: net.JoinHostPort(host, strconv.Itoa(int(port)))}
		p.asked <- r
		c.tunnel(r.Target, "\x00\x5a\x00\x00\x00\x00\x00\x00", "\x00\x5b\x00\x00\x00\x00\x00\x00")
	})
	return p
}

// until0 reads up to a NUL.
func (c *conn) until0() string {
	s, err := c.r.ReadString(0)
	if err != nil {
		c.stop()
	}
	return strings.TrimSuffix(s, "\x00")
}
