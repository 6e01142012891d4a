package retry

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
)

// permanent reports errors that another attempt would meet again, or that end
// the call.
func permanent(err error) bool {
	if te, ok := errors.AsType[*engine.TimeoutError](err); ok {
		return te.Kind == engine.KindRequest
	}
	for _, is := range []error{
		context.Canceled, context.DeadlineExceeded, godwit.ErrBodyTooLarge, godwit.ErrTooManySends,
		godwit.ErrClientClosed, godwit.ErrNotReplayable, engine.ErrClosed, engine.ErrProxyDenied,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*engine.UnsupportedError](err); ok {
		return true
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return true
	}
	oe, ok := errors.AsType[*engine.OpError](err)
	return !ok || oe.Op == engine.OpBuild // not from the engine: an interceptor's own error
}

// unsent reports errors of requests of which nothing reached a server, so that
// any method can be repeated.
func unsent(err error) bool {
	oe, ok := errors.AsType[*engine.OpError](err)
	if !ok || oe.Sent {
		return false
	}
	switch oe.Op {
	case engine.OpPool, engine.OpDNS, engine.OpConnect, engine.OpProxy, engine.OpTLS:
		return true
	}
	return false
}

func newKey() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
