// Package hopeless tells the errors of calls that another attempt would meet
// again, for those who make long-lived connections again.
package hopeless

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
)

// Error reports whether another attempt would meet err again: a request that
// cannot be sent, too many redirects, a proxy that denies it, a certificate, what
// the engine cannot do, what an interceptor or a validator said. Timeouts are none
// of these.
func Error(err error) bool {
	if _, ok := errors.AsType[*engine.TimeoutError](err); ok {
		return false
	}
	for _, is := range []error{
		godwit.ErrTooManyRedirects, godwit.ErrTooManySends, godwit.ErrNoEngine, godwit.ErrClientClosed, engine.ErrClosed,
		engine.ErrProxyDenied,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	if _, ok := errors.AsType[*engine.UnsupportedError](err); ok || badCertificate(err) {
		return true
	}
	ge, ok := errors.AsType[*godwit.Error](err)
	if !ok {
		return false // not of a call
	}
	// Without a phase it is not from the engine: an interceptor's or a
	// validator's.
	oe, ok := errors.AsType[*engine.OpError](err)
	return !ok || oe.Op == engine.OpBuild || ge.Op == engine.OpBuild
}

func badCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}
