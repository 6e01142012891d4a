package hopeless_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/hopeless"
)

func TestError(t *testing.T) {
	call := func(op engine.Op, err error) error {
		return &godwit.Error{Op: op, Err: &engine.OpError{Op: op, Err: err}}
	}
	for name, row := range map[string]struct {
		err  error
		want bool
	}{
		"not of a call":     {io.ErrUnexpectedEOF, false},
		"lost":              {call(engine.OpReceive, io.ErrUnexpectedEOF), false},
		"no connection":     {call(engine.OpConnect, errors.New("refused")), false},
		"timeout":           {&godwit.Error{Err: &engine.TimeoutError{}}, false},
		"timeout in build":  {call(engine.OpBuild, &engine.TimeoutError{}), false},
		"build":             {call(engine.OpBuild, errors.New("no URL")), true},
		"an interceptor":    {&godwit.Error{Err: errors.New("mine")}, true},
		"a login's network": {&godwit.Error{Err: fmt.Errorf("login: %w", &net.OpError{Op: "dial", Err: io.EOF})}, false},
		"a login's time":    {&godwit.Error{Err: fmt.Errorf("login: %w", context.DeadlineExceeded)}, false},
		"redirects":         {call(engine.OpSend, godwit.ErrTooManyRedirects), true},
		"sends":             {call(engine.OpSend, godwit.ErrTooManySends), true},
		"no engine":         {godwit.ErrNoEngine, true},
		"closed":            {godwit.ErrClientClosed, true},
		"engine closed":     {call(engine.OpPool, engine.ErrClosed), true},
		"proxy denies":      {call(engine.OpProxy, &engine.ProxyError{Status: 407, Err: io.EOF}), true},
		"proxy is broken":   {call(engine.OpProxy, &engine.ProxyError{Status: 502, Err: io.EOF}), false},
		"unsupported":       {&engine.UnsupportedError{}, true},
		"certificate":       {call(engine.OpTLS, &tls.CertificateVerificationError{Err: io.EOF}), true},
		"unknown authority": {call(engine.OpTLS, x509.UnknownAuthorityError{}), true},
		"another host's":    {call(engine.OpTLS, x509.HostnameError{Certificate: new(x509.Certificate)}), true},
		"expired":           {call(engine.OpTLS, x509.CertificateInvalidError{Reason: x509.Expired}), true},
	} {
		if got := hopeless.Error(row.err); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
