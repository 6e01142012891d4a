// Package hopeless tells the errors of calls that another attempt would meet
// again, for those who make long-lived connections again.
package hopeless

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
)

// Error reports whether another attempt would meet err again: a request that
// cannot be sent, too many redirects, a proxy that denies it, a certificate, what
// the engine cannot do, what an interceptor or a validator said. Timeouts are none
// of these, and neither is an interceptor's own trouble with the network, such as
// that of a login.
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
	if oe, ok := errors.AsType[*engine.OpError](err); ok {
		return oe.Op == engine.OpBuild || ge.Op == engine.OpBuild
	}
	// Without a phase it is not from the engine: an interceptor's or a
	// validator's.
	_, network := errors.AsType[net.Error](ge.Err)
	return !network && !errors.Is(err, context.DeadlineExceeded)
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
