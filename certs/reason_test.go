package certs_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/godwit-go/godwit/certs"
	"github.com/godwit-go/godwit/engine"
)

// scene is a server's certificate and a client's options.
type scene struct {
	t      *testing.T
	ca     *authority
	server *tls.Config
	host   string
	opts   []certs.Option
}

func (s *scene) leaf(mods ...func(*x509.Certificate)) *x509.Certificate {
	c := s.ca.issue(mods...)
	s.server.Certificates = []tls.Certificate{c}
	return c.Leaf
}

func (s *scene) use(opts ...certs.Option) { s.opts = append(s.opts, opts...) }

// staple makes the server send a response that is good and recent, unless change
// makes it another, and signed by the authority, unless signer is another.
func (s *scene) staple(signer *tls.Certificate, change func(*ocsp.Response)) {
	s.t.Helper()
	cert := &s.server.Certificates[0]
	r := ocsp.Response{
		Status: ocsp.Good, SerialNumber: cert.Leaf.SerialNumber,
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(&r)
	}
	responder, key := s.ca.cert, crypto.Signer(s.ca.key)
	if signer != nil {
		responder, key = signer.Leaf, signer.PrivateKey.(crypto.Signer)
		r.Certificate = responder
	}
	var err error
	if cert.OCSPStaple, err = ocsp.CreateResponse(s.ca.cert, responder, r, key); err != nil {
		s.t.Fatal(err)
	}
}

func usage(u x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{u} }
}

func mustStaple(c *x509.Certificate) {
	value, _ := asn1.Marshal([]int{5})
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: value})
}

func revoked(r *ocsp.Response) {
	r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, time.Now().Add(-time.Minute), ocsp.KeyCompromise
}

func old(r *ocsp.Response) { r.NextUpdate = time.Now().Add(-10 * time.Minute) }

// endless makes a response of some time ago that does not tell its end.
func endless(age time.Duration) func(*ocsp.Response) {
	return func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = time.Now().Add(-age), time.Time{} }
}

const otherPin = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func clientCert(c tls.Certificate) certs.Option { return certs.ClientCertificate(c) }

// scenes are the ways in which TLS can go wrong, and beside each the like that
// must not. Without a want the call succeeds.
var scenes = []struct {
	name string
	set  func(*scene)
	want certs.Problem
	text string // in the error
}{
	{name: "all is well", set: func(*scene) {}},
	{name: "expired", want: certs.Expired, text: "expired", set: func(s *scene) {
		s.leaf(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	}},
	{name: "not yet valid", want: certs.NotYetValid, text: "is before", set: func(s *scene) {
		s.leaf(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) })
	}},
	{name: "wrong host", want: certs.WrongHost, text: "bad.test", set: func(s *scene) { s.host = "bad.test" }},
	{name: "address", set: func(s *scene) { s.host = "127.0.0.1" }},
	{name: "wrong address", want: certs.WrongHost, text: "127.0.0.1", set: func(s *scene) {
		s.host = "127.0.0.1"
		s.leaf(func(c *x509.Certificate) { c.IPAddresses = nil })
	}},
	{name: "unknown authority", want: certs.UnknownAuthority, text: "unknown authority", set: func(s *scene) { s.use(certs.Roots(newAuthority(s.t).pem())) }},
	{name: "usage", want: certs.Invalid, text: "usage", set: func(s *scene) { s.leaf(usage(x509.ExtKeyUsageClientAuth)) }},

	{name: "signed by SHA-1", want: certs.Invalid, text: "insecure algorithm", set: func(s *scene) {
		s.leaf(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })
	}},
	{name: "issued by no authority", want: certs.Invalid, text: "cannot sign", set: func(s *scene) {
		no := s.ca.issue(named("no CA"))
		s.server.Certificates = []tls.Certificate{(&authority{t: s.t, cert: no.Leaf, key: no.PrivateKey.(*ecdsa.PrivateKey)}).issue()}
	}},
	{name: "authority of the same name", want: certs.UnknownAuthority, text: "unknown authority", set: func(s *scene) {
		double, template := &authority{t: s.t}, *s.ca.cert
		template.PublicKey = nil
		c := double.sign(&template)
		double.cert, double.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
		s.server.Certificates = []tls.Certificate{double.issue()}
	}},
	{name: "key of another", want: certs.Invalid, text: "invalid signature", set: func(s *scene) {
		c := &s.server.Certificates[0]
		c.PrivateKey = impostor{c.PrivateKey.(crypto.Signer), s.ca.key}
	}},

	{name: "revoked", want: certs.Revoked, text: "revoked on " + time.Now().UTC().Format("2006"), set: func(s *scene) { s.staple(nil, revoked); s.use(certs.CheckStaple()) }},
	{name: "revoked long ago", want: certs.Revoked, text: "key compromise", set: func(s *scene) {
		s.staple(nil, func(r *ocsp.Response) { revoked(r); old(r) })
		s.use(certs.CheckStaple())
	}},
	{name: "revoked unseen", set: func(s *scene) { s.staple(nil, revoked) }},
	{name: "staple good", set: func(s *scene) { s.staple(nil, nil); s.use(certs.RequireStaple()) }},
	{name: "staple missing", set: func(s *scene) { s.use(certs.CheckStaple()) }},
	{name: "staple missing, required", want: certs.BadStaple, text: "stapled none", set: func(s *scene) { s.use(certs.RequireStaple()) }},
	{name: "staple missing, promised", want: certs.BadStaple, text: "stapled none", set: func(s *scene) { s.leaf(mustStaple); s.use(certs.CheckStaple()) }},
	{name: "staple promised and there", set: func(s *scene) { s.leaf(mustStaple); s.staple(nil, nil); s.use(certs.CheckStaple()) }},
	{name: "staple old", set: func(s *scene) { s.staple(nil, old); s.use(certs.CheckStaple()) }},
	{name: "staple old, required", want: certs.BadStaple, text: "renewed", set: func(s *scene) { s.staple(nil, old); s.use(certs.RequireStaple()) }},
	{name: "staple without an end", set: func(s *scene) { s.staple(nil, endless(6*24*time.Hour)); s.use(certs.RequireStaple()) }},
	{name: "staple without an end, of long ago", want: certs.BadStaple, text: "renewed", set: func(s *scene) {
		s.staple(nil, endless(8*24*time.Hour))
		s.use(certs.RequireStaple())
	}},
	{name: "staple is an excuse", set: func(s *scene) {
		s.server.Certificates[0].OCSPStaple = ocsp.TryLaterErrorResponse
		s.use(certs.CheckStaple())
	}},
	{name: "staple is an excuse, required", want: certs.BadStaple, text: "try later", set: func(s *scene) {
		s.server.Certificates[0].OCSPStaple = ocsp.TryLaterErrorResponse
		s.use(certs.RequireStaple())
	}},
	{name: "staple from the future", want: certs.BadStaple, text: "future", set: func(s *scene) {
		s.staple(nil, func(r *ocsp.Response) { r.ThisUpdate = time.Now().Add(30 * time.Minute) })
		s.use(certs.RequireStaple())
	}},
	{name: "staple unknown", want: certs.BadStaple, text: "does not know", set: func(s *scene) {
		s.staple(nil, func(r *ocsp.Response) { r.Status = ocsp.Unknown })
		s.use(certs.RequireStaple())
	}},
	{name: "staple of another certificate", want: certs.BadStaple, text: "not for this", set: func(s *scene) {
		s.staple(nil, func(r *ocsp.Response) { r.SerialNumber = big.NewInt(7) })
		s.use(certs.CheckStaple())
	}},
	{name: "staple by a delegate", set: func(s *scene) {
		d := s.ca.issue(usage(x509.ExtKeyUsageOCSPSigning))
		s.staple(&d, nil)
		s.use(certs.RequireStaple())
	}},
	{name: "staple by a customer", want: certs.BadStaple, text: "not one for signing", set: func(s *scene) {
		d := s.ca.issue()
		s.staple(&d, nil)
		s.use(certs.CheckStaple())
	}},
	{name: "staple by another authority", want: certs.BadStaple, text: "not for this", set: func(s *scene) {
		d := newAuthority(s.t).issue(usage(x509.ExtKeyUsageOCSPSigning))
		s.staple(&d, nil)
		s.use(certs.CheckStaple())
	}},
	{name: "staple is noise", want: certs.BadStaple, text: "not for this", set: func(s *scene) {
		s.server.Certificates[0].OCSPStaple = []byte("noise")
		s.use(certs.CheckStaple())
	}},

	{name: "pin", set: func(s *scene) { s.use(certs.Pin("good.test", otherPin, certs.PinOf(s.leaf()))) }},
	{name: "pin of the authority", set: func(s *scene) { s.use(certs.Pin("GOOD.test.", certs.PinOf(s.ca.cert))) }},
	{name: "pin below, of a shorter name", set: func(s *scene) { s.use(certs.Pin("*.test.", certs.PinOf(s.leaf()))) }},
	{name: "pin of an international name", want: certs.PinMismatch, text: "xn--bcher-kva.test", set: func(s *scene) {
		s.host = "xn--bcher-kva.test"
		s.leaf(func(c *x509.Certificate) { c.DNSNames = []string{s.host} })
		s.use(certs.Pin("Bücher.test", otherPin))
	}},
	{name: "pin mismatch", want: certs.PinMismatch, text: "good.test", set: func(s *scene) { s.use(certs.Pin("good.test", otherPin)) }},
	{name: "pins add up", set: func(s *scene) {
		s.use(certs.Pin("*", otherPin), certs.Pin("good.test", certs.PinOf(s.leaf())))
	}},
	{name: "pin of another host", set: func(s *scene) { s.use(certs.Pin("other.test", otherPin), certs.Pin("*.good.test", otherPin)) }},
	{name: "pin below", want: certs.PinMismatch, text: "www.good.test", set: func(s *scene) {
		s.host = "www.good.test"
		s.use(certs.Pin("*.good.test", otherPin))
	}},
	{name: "pin everywhere", want: certs.PinMismatch, text: "the server", set: func(s *scene) {
		s.host = "127.0.0.1"
		s.use(certs.Pin("*", otherPin))
	}},
	{name: "pin of a certificate sent along", want: certs.PinMismatch, set: func(s *scene) {
		pinned := newAuthority(s.t)
		c := &s.server.Certificates[0]
		c.Certificate = append(c.Certificate, pinned.cert.Raw)
		s.use(certs.Pin("good.test", certs.PinOf(pinned.cert)))
	}},

	{name: "client certificate", set: func(s *scene) { s.wantClient(); s.use(clientCert(s.ca.issue())) }},
	{name: "client certificate missing", want: certs.ClientCertificateRequired, text: "certificate required", set: func(s *scene) { s.wantClient() }},
	{name: "client certificate missing, 1.2", want: certs.HandshakeRefused, text: "handshake failure", set: func(s *scene) {
		s.wantClient()
		s.server.MaxVersion = tls.VersionTLS12
	}},
	{name: "client certificate of another authority", want: certs.ClientCertificateRefused, set: func(s *scene) {
		s.wantClient()
		s.use(clientCert(newAuthority(s.t).issue()))
		s.server.ClientCAs = nil
		s.server.ClientAuth = tls.RequireAnyClientCert
		s.server.VerifyConnection = func(tls.ConnectionState) error { return errors.New("refused") }
	}},
	{name: "client certificate expired", want: certs.ClientCertificateRefused, text: "expired", set: func(s *scene) {
		s.wantClient()
		s.use(clientCert(s.ca.issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })))
	}},

	{name: "old protocol", want: certs.OldProtocol, text: "protocol version", set: func(s *scene) {
		s.server.MinVersion, s.server.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	}},
	{name: "protocol below the minimum", want: certs.OldProtocol, text: "protocol version", set: func(s *scene) {
		s.server.MaxVersion = tls.VersionTLS12
		s.use(certs.MinVersion(tls.VersionTLS13))
	}},
	{name: "old protocol wanted", set: func(s *scene) {
		s.server.MinVersion, s.server.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
		s.use(certs.MinVersion(tls.VersionTLS11))
	}},
	{name: "no common protocol above", want: certs.HandshakeRefused, set: func(s *scene) { s.server.NextProtos = []string{"gopher"} }},
}

// impostor has one key and signs with another.
type impostor struct {
	crypto.Signer
	key crypto.Signer
}

func (i impostor) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return i.key.Sign(r, digest, o)
}

func (s *scene) wantClient() {
	s.server.ClientAuth, s.server.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	s.server.ClientCAs.AddCert(s.ca.cert)
}

func TestReason(t *testing.T) {
	ca := newAuthority(t)
	for _, f := range engines {
		for _, tc := range scenes {
			t.Run(f.Name()+"/"+tc.name, func(t *testing.T) {
				s := &scene{t: t, ca: ca, host: "good.test", server: &tls.Config{}}
				s.leaf()
				s.use(certs.Roots(ca.pem()))
				tc.set(s)
				config, err := certs.Config(nil, s.opts...)
				if err != nil {
					t.Fatal(err)
				}
				_, err = get(t, newEngine(t, f, config), serve(t, s.server), s.host)
				if got := certs.Reason(err); got != tc.want || (err == nil) != (tc.want == certs.None) {
					t.Fatalf("reason %q, want %q: %v", got, tc.want, err)
				}
				if err == nil {
					return
				}
				if !strings.Contains(err.Error(), tc.text) {
					t.Errorf("error %q does not tell %q", err, tc.text)
				}
				oe, ok := errors.AsType[*engine.OpError](err)
				after := strings.HasPrefix(string(tc.want), "client certificate") // with TLS 1.3 it comes after the handshake
				if !ok || oe.Op != engine.OpTLS && !after {
					t.Errorf("%T %v: want an OpError in phase tls", err, err)
				}
			})
		}
	}
}

// TestReasonOfOtherServers is about servers that crypto/tls cannot play.
func TestReasonOfOtherServers(t *testing.T) {
	cases := []struct {
		name, answer string
		want         certs.Problem
	}{
		{"plain HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", certs.NotTLS},
		{"something else", "220 mail.test ESMTP\r\n", certs.NotTLS},
		// A ServerHello that chooses TLS 1.0.
		{"old", "\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01" + strings.Repeat("r", 32) + "\x00\xc0\x13\x00", certs.OldProtocol},
		{"alert", "\x15\x03\x03\x00\x02\x02\x47", certs.HandshakeRefused},
		{"other alert", "\x15\x03\x03\x00\x02\x02\x50", certs.None},
		{"nothing", "", certs.None},
	}
	for _, f := range engines {
		for _, tc := range cases {
			t.Run(f.Name()+"/"+tc.name, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				done := make(chan struct{})
				go func() {
					defer close(done)
					c, err := l.Accept()
					if err != nil {
						return
					}
					defer c.Close()
					c.Read(make([]byte, 1))
					io.WriteString(c, tc.answer)
					c.(*net.TCPConn).CloseWrite()
					io.Copy(io.Discard, c)
				}()
				_, port, _ := net.SplitHostPort(l.Addr().String())
				_, err = get(t, newEngine(t, f, nil), &server{port: port}, "127.0.0.1")
				if got := certs.Reason(err); err == nil || got != tc.want {
					t.Errorf("reason %q, want %q: %v", got, tc.want, err)
				}
				<-done
			})
		}
	}
	if got := certs.Reason(nil); got != certs.None {
		t.Errorf("no error has reason %q", got)
	}
}

// TestTypedErrors: programs get more than a text.
func TestTypedErrors(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.issue()
	config, err := certs.Config(nil, certs.Roots(ca.pem()), certs.Pin("good.test", otherPin))
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(t, newEngine(t, engines[0], config), serve(t, &tls.Config{Certificates: []tls.Certificate{leaf}}), "good.test")
	pin, ok := errors.AsType[*certs.PinError](err)
	if !ok {
		t.Fatal(err)
	}
	if pin.Host != "good.test" || len(pin.Want) != 1 || pin.Want[0] != otherPin ||
		len(pin.Seen) != 2 || pin.Seen[0] != certs.PinOf(leaf.Leaf) || pin.Seen[1] != certs.PinOf(ca.cert) {
		t.Errorf("%+v", pin)
	}
}
