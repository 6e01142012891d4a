package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
)

// Problem is what was wrong with TLS.
type Problem string

// The problems that [Reason] knows.
const (
	// None: the error is not about TLS, or there is no error.
	None Problem = ""

	Expired          Problem = "certificate expired"
	NotYetValid      Problem = "certificate not yet valid"
	WrongHost        Problem = "certificate for another host"
	UnknownAuthority Problem = "certificate of an unknown authority"
	Revoked          Problem = "certificate revoked"
	BadStaple        Problem = "stapled OCSP response missing or bad"
	PinMismatch      Problem = "no pinned key"
	Invalid          Problem = "certificate invalid" // another fault: usage, constraints, signature

	// ClientCertificateRequired: the server wants a certificate and got none. A
	// TLS 1.2 server tells no more than [HandshakeRefused].
	ClientCertificateRequired Problem = "client certificate required"
	// ClientCertificateRefused: the server does not like ours.
	ClientCertificateRefused Problem = "client certificate refused"

	OldProtocol      Problem = "protocol version not supported by one side" // mostly: the server's is too old
	HandshakeRefused Problem = "handshake refused by the server"            // no common cipher suite, curve, …; or the server told no more
	NotTLS           Problem = "the server does not speak TLS"
)

// Reason tells what an error of a call says about TLS; it works on whatever
// wraps the error, and with every engine. With TLS 1.3 a server looks at the
// client's certificate after the handshake: then the call fails while it sends or
// receives, and if the connection is reset before the server's alert is read
// there is nothing that tells why. On net/http's engine that is frequent.
func Reason(err error) Problem {
	if err == nil {
		return None
	}
	if p := own(err); p != None {
		return p
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch {
		case e.Reason != x509.Expired:
			return Invalid
		case strings.Contains(e.Detail, "is before"): // the only difference there is
			return NotYetValid
		}
		return Expired
	}
	if is[x509.HostnameError](err) {
		return WrongHost
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok && unfit(e) {
		return Invalid
	}
	if is[x509.UnknownAuthorityError](err) || is[x509.SystemRootsError](err) {
		return UnknownAuthority
	}
	if is[tls.RecordHeaderError](err) {
		return NotTLS
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return alert(e.Err)
	}
	if strings.Contains(err.Error(), "tls: server selected unsupported protocol version") {
		return OldProtocol
	}
	if is[*tls.CertificateVerificationError](err) || strings.Contains(err.Error(), "tls: invalid signature by the server certificate") {
		return Invalid
	}
	return None
}

// own finds the errors of this package.
func own(err error) Problem {
	switch {
	case is[*PinError](err), errors.Is(err, errNoCertificate):
		return PinMismatch
	case is[*RevokedError](err):
		return Revoked
	case is[*StapleError](err):
		return BadStaple
	}
	return None
}

// unfit reports whether x509 knows the authority, but does not take its signature:
// it was made with SHA-1, say, or by a certificate that may not sign others. Only
// the text tells.
func unfit(e x509.UnknownAuthorityError) bool {
	text := e.Error()
	return strings.Contains(text, "x509: cannot verify signature") || strings.Contains(text, x509.ConstraintViolationError{}.Error())
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// alerts are those of RFC 8446 §6.2 that a client can get for what it sent.
var alerts = map[tls.AlertError]Problem{
	40:  HandshakeRefused,          // handshake_failure
	42:  ClientCertificateRefused,  // bad_certificate
	43:  ClientCertificateRefused,  // unsupported_certificate
	44:  ClientCertificateRefused,  // certificate_revoked
	45:  ClientCertificateRefused,  // certificate_expired
	46:  ClientCertificateRefused,  // certificate_unknown
	48:  ClientCertificateRefused,  // unknown_ca
	49:  ClientCertificateRefused,  // access_denied
	70:  OldProtocol,               // protocol_version
	71:  HandshakeRefused,          // insufficient_security
	112: HandshakeRefused,          // unrecognized_name
	116: ClientCertificateRequired, // certificate_required
	120: HandshakeRefused,          // no_application_protocol
}

// alert classifies an alert from the server. crypto/tls does not export the type
// that it wraps, but AlertError has the same texts.
func alert(err error) Problem {
	for code, p := range alerts {
		if err.Error() == code.Error() {
			return p
		}
	}
	return None
}
