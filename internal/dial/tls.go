package dial

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/godwit-go/godwit/engine"
)

// originTLS returns the configuration for the origin at addr.
func (d *Dialer) originTLS(addr string) *tls.Config {
	c := d.baseTLS()
	c.NextProtos = d.NextProtos
	if c.NextProtos == nil {
		c.NextProtos = []string{"http/1.1"}
	}
	if c.ServerName == "" {
		c.ServerName = serverName(addr)
	}
	return c
}

// proxyTLS returns the configuration for an https proxy at addr.
func (d *Dialer) proxyTLS(addr string) *tls.Config {
	c := d.baseTLS()
	c.NextProtos = []string{"http/1.1"}
	c.ServerName = serverName(addr)
	if verify := c.VerifyConnection; verify != nil {
		// crypto/tls does not tell an address, and who knows the ServerName of origins
		// could take that for the name of the proxy.
		c.VerifyConnection = func(state tls.ConnectionState) error {
			state.ServerName = cmp.Or(state.ServerName, c.ServerName)
			return verify(state)
		}
	}
	return c
}

func (d *Dialer) baseTLS() *tls.Config {
	c := &tls.Config{}
	if d.TLS != nil {
		c = d.TLS.Clone()
	}
	if c.ClientSessionCache == nil {
		c.ClientSessionCache = d.Sessions
	}
	if c.ClientSessionCache == nil {
		d.once.sessions.Do(func() { d.sessions = tls.NewLRUClientSessionCache(0) })
		c.ClientSessionCache = d.sessions
	}
	// A cache that wants to know of which connection a session is, as package certs makes.
	if s, ok := c.ClientSessionCache.(interface{ ForConnection() tls.ClientSessionCache }); ok {
		c.ClientSessionCache = s.ForConnection()
	}
	return c
}

// serverName returns the host in addr, an IPv6 address without its zone.
func serverName(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if strings.Contains(host, ":") {
		host, _, _ = strings.Cut(host, "%")
	}
	return host
}

// secure runs the TLS handshake on conn.
func (j *job) secure(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	if j.trace.TLSStart != nil {
		j.trace.TLSStart()
	}
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(ctx)
	if err != nil {
		err = opError(ctx, engine.OpTLS, explainTLS(err, conn, config))
	}
	if j.trace.TLSDone != nil {
		var state tls.ConnectionState
		if err == nil {
			state = secure.ConnectionState()
		}
		j.trace.TLSDone(state, err)
	}
	if err != nil {
		return nil, err
	}
	return secure, nil
}

// explainTLS says what crypto/tls's most puzzling error means. The other ones
// name the certificate's fault already.
func explainTLS(err error, conn net.Conn, config *tls.Config) error {
	record, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok {
		return fmt.Errorf("handshake with %s: %w", config.ServerName, err)
	}
	who := config.ServerName
	if addr := conn.RemoteAddr(); addr != nil { // what a Dial returns may not know
		who += " at " + addr.String()
	}
	if string(record.RecordHeader[:]) == "HTTP/" {
		return fmt.Errorf("%s answers in plain HTTP, not TLS: %w", who, err)
	}
	return fmt.Errorf("%s does not speak TLS: %w", who, err)
}
