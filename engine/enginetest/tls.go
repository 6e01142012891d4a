package enginetest

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func tlsTests() []test {
	const need = engine.TLSConfig
	return []test{
		{name: "TrustedAuthority", needs: need, run: tlsTrusted},
		{name: "Reuse", needs: need, run: tlsReuse},
		{name: "LargeBodies", needs: need, run: tlsBodies},
		{name: "UnknownAuthority", run: tlsUnknown},
		{name: "WrongHost", needs: need, run: tlsWrongHost},
		{name: "Expired", needs: need, run: tlsExpired},
		{name: "InsecureSkipVerify", needs: need, run: tlsInsecure},
		{name: "ServerName", needs: need, run: tlsServerName},
		{name: "ClientCertificate", needs: need, run: tlsClientCert},
		{name: "ClientCertificateMissing", needs: need, run: tlsClientCertMissing},
		{name: "VerifyConnection", needs: need, run: tlsVerify},
		{name: "RandSource", needs: need, run: tlsRand},
		{name: "ConfigIsNotChanged", needs: need, run: tlsConfigKept},
		{name: "ServerSpeaksPlain", run: tlsPlain},
		{name: "ServerClosesInHandshake", run: tlsCloses},
		{name: "ConnectionState", needs: need | engine.ConnectionInfo, run: tlsState},
		{name: "TruncatedRecord", needs: need, run: tlsTruncated},
		{name: "StaleConnection", needs: need, run: tlsStale},
	}
}

func tlsTrusted(t *T) {
	ca := t.authority()
	s := t.secure(ca.valid(), "secret")
	t.get(t.engine(ca.trust()), s.URL, 200, "secret")
	t.get(t.engine(ca.trust()), strings.Replace(s.URL, "127.0.0.1", "localhost", 1), 200, "secret")
}

func tlsReuse(t *T) {
	ca := t.authority()
	s := t.secure(ca.valid(), "secret")
	e := t.engine(ca.trust())
	for range 5 {
		t.get(e, s.URL, 200, "secret")
	}
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	e.Close()
	s.WaitClosed(t)
}

func tlsBodies(t *T) {
	ca := t.authority()
	s := t.scriptTLS(ca.serverConfig(), func(c *conn) {
		for {
			c.respond(c.request().Body)
		}
	})
	e := t.engine(ca.trust())
	for _, size := range sizes {
		want := pattern(size)
		for _, b := range []content.Content{inMemory(want), stream(want), sized(int64(size), want)} {
			t.want(e, t.post(s.URL, b), 200, want)
		}
	}
}

// untrusted checks that a handshake fails, before anything is sent.
func (t *T) untrusted(e engine.Engine, s *server) error {
	t.Helper()
	b := replayable("x")
	_, err := t.execute(e, t.post(s.URL, b))
	if err == nil {
		t.Fatal("the handshake succeeded")
	}
	if oe := t.wantOp(err, engine.OpTLS); oe.Sent {
		t.Error("Sent is true")
	}
	b.wantClosedOnce(t)
	s.WaitClosed(t)
	return err
}

func tlsUnknown(t *T) {
	s := t.secure(t.authority().valid(), "secret")
	err := t.untrusted(t.engine(), s)
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("error %v holds no x509.UnknownAuthorityError", err)
	}
}

func tlsWrongHost(t *T) {
	ca := t.authority()
	s := t.secure(ca.issue(time.Now().Add(time.Hour), "other.test"), "secret")
	err := t.untrusted(t.engine(ca.trust()), s)
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("error %v holds no x509.HostnameError", err)
	}
}

func tlsExpired(t *T) {
	ca := t.authority()
	s := t.secure(ca.issue(time.Now().Add(-time.Minute), names...), "secret")
	err := t.untrusted(t.engine(ca.trust()), s)
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !ok || invalid.Reason != x509.Expired {
		t.Errorf("error %v holds no x509.CertificateInvalidError for Expired", err)
	}
}

func tlsInsecure(t *T) {
	s := t.secure(t.authority().issue(time.Now().Add(-time.Minute), "other.test"), "secret")
	e := t.engine(func(c *engine.Config) { c.TLS = &tls.Config{InsecureSkipVerify: true} })
	t.get(e, s.URL, 200, "secret")
}

func tlsServerName(t *T) {
	ca := t.authority()
	asked := make(chan string, 4)
	cert := ca.issue(time.Now().Add(time.Hour), "named.test")
	s := t.scriptTLS(&tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- h.ServerName
		return &cert, nil
	}}, func(c *conn) { c.request(); c.respond("ok") })
	e := t.engine(ca.trust(func(c *tls.Config) { c.ServerName = "named.test" }))
	t.get(e, s.URL, 200, "ok")
	if name := within(t, "the handshake", asked); name != "named.test" {
		t.Errorf("server name %q", name)
	}
}

func (t *T) needsClientCert(ca *authority) *server {
	return t.scriptTLS(&tls.Config{
		Certificates: []tls.Certificate{ca.valid()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool,
	}, func(c *conn) {
		c.request()
		c.respond(c.secured().ConnectionState().PeerCertificates[0].Subject.CommonName)
	})
}

func tlsClientCert(t *T) {
	ca := t.authority()
	s := t.needsClientCert(ca)
	client := ca.issue(time.Now().Add(time.Hour), "ada.client")
	t.get(t.engine(ca.trust(func(c *tls.Config) { c.Certificates = []tls.Certificate{client} })), s.URL, 200, "ada.client")
}

// tlsClientCertMissing: with TLS 1.3 the server's refusal comes after the
// handshake, so the error may be one of receiving.
func tlsClientCertMissing(t *T) {
	ca := t.authority()
	s := t.needsClientCert(ca)
	_, err := t.execute(t.engine(ca.trust()), t.request("GET", s.URL))
	t.wantOp(err, engine.OpTLS, engine.OpReceive, engine.OpSend)
}

func tlsVerify(t *T) {
	ca := t.authority()
	refusal := errors.New("not pinned")
	var calls atomic.Int32
	s := t.secure(ca.valid(), "secret")
	e := t.engine(ca.trust(func(c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error { calls.Add(1); return nil }
	}))
	t.get(e, s.URL, 200, "secret")
	if calls.Load() != 1 {
		t.Errorf("VerifyConnection was called %d times", calls.Load())
	}
	e.Close()
	s.WaitClosed(t)
	e = t.engine(ca.trust(func(c *tls.Config) {
		c.VerifyConnection = func(tls.ConnectionState) error { return refusal }
	}))
	t.wantIs(t.untrusted(e, s), refusal)
}

type countingReader struct {
	io.Reader
	n atomic.Int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	r.n.Add(1)
	return r.Reader.Read(p)
}

func tlsRand(t *T) {
	ca := t.authority()
	s := t.secure(ca.valid(), "secret")
	source := &countingReader{Reader: rand.Reader}
	t.get(t.engine(ca.trust(func(c *tls.Config) { c.Rand = source })), s.URL, 200, "secret")
	if source.n.Load() == 0 {
		t.Error("the random source was not read")
	}
}

func tlsConfigKept(t *T) {
	ca := t.authority()
	s := t.secure(ca.valid(), "secret")
	cfg := &tls.Config{RootCAs: ca.pool}
	t.get(t.engine(func(c *engine.Config) { c.TLS = cfg }), s.URL, 200, "secret")
	if cfg.ServerName != "" || cfg.NextProtos != nil || cfg.ClientSessionCache != nil || cfg.RootCAs != ca.pool {
		t.Errorf("the engine changed the configuration: server name %q, protocols %q", cfg.ServerName, cfg.NextProtos)
	}
}

func tlsPlain(t *T) {
	s := t.script(func(c *conn) { c.read(1); c.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") })
	s.URL = strings.Replace(s.URL, "http:", "https:", 1)
	t.untrusted(t.engine(), s)
}

func tlsCloses(t *T) {
	s := t.script(func(c *conn) { c.read(1); c.end() })
	s.URL = strings.Replace(s.URL, "http:", "https:", 1)
	t.untrusted(t.engine(), s)
}

func tlsState(t *T) {
	ca := t.authority()
	s := t.secure(ca.valid(), "secret")
	resp := t.get(t.engine(ca.trust()), s.URL, 200, "secret")
	if resp.Conn == nil || resp.Conn.TLS == nil || len(resp.Conn.TLS.PeerCertificates) != 1 || !resp.Conn.TLS.HandshakeComplete {
		t.Errorf("Conn is %+v", resp.Conn)
	}
}

// cutConn closes the connection in the middle of the next write once it is
// armed.
type cutConn struct {
	net.Conn
	armed atomic.Bool
}

func (c *cutConn) Write(p []byte) (int, error) {
	if !c.armed.Load() {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:len(p)/2])
	c.Conn.Close()
	return n, net.ErrClosed
}

type cutListener struct{ net.Listener }

func (l cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cutConn{Conn: c}, nil
}

// tlsTruncated: a body until close that ends in the middle of a TLS record was
// cut by someone on the way. (crypto/tls takes an end between two records for
// an orderly one, close_notify or not.)
func tlsTruncated(t *T) {
	ca := t.authority()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := t.scriptOn(tls.NewListener(cutListener{l}, ca.serverConfig()), func(c *conn) {
		c.request()
		c.write(closeBody("part"))
		leakcheck.Unwrap(c.Conn).(*tls.Conn).NetConn().(*cutConn).armed.Store(true)
		c.write(pattern(1000))
	})
	s.URL = "https://" + s.Addr
	err = t.fails(t.engine(ca.trust()), t.request("GET", s.URL))
	t.wantIs(err, io.ErrUnexpectedEOF)
	t.wantOp(err, engine.OpReceive)
}

func tlsStale(t *T) {
	ca := t.authority()
	closed := make(chan struct{}, 4)
	s := t.scriptTLS(ca.serverConfig(), func(c *conn) {
		c.request()
		c.respond("ok")
		c.end()
		closed <- struct{}{}
	})
	e := t.engine(ca.trust())
	for range 3 {
		t.get(e, s.URL, 200, "ok")
		within(t, "the server's close", closed)
	}
}
