package nethttp

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/recovered"
)

// A panic in a function of the caller's that net/http calls would end the
// program, or leave what net/http holds at that moment behind: most are called in
// its own goroutines. It becomes an error of the exchange.

// caught is to be deferred where such a function belongs to the exchange, which
// ends.
func (x *exchange) caught() {
	v := recover()
	if v == nil {
		return
	}
	err := recovered.Error("a hook of engine.Request.Trace", v)
	x.mu.Lock()
	if x.fault == nil {
		x.fault = &engine.OpError{Op: x.op, Err: err}
	}
	x.mu.Unlock()
	x.cancel(err)
}

// faulted returns the error of a panic that was caught, nil if there was none.
func (x *exchange) faulted() *engine.OpError {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.fault
}

// caught is to be deferred where a function, who, returns an error.
func caught(who string, err *error) {
	if v := recover(); v != nil {
		*err = recovered.Error(who, v)
	}
}

// guarded returns config with functions that don't panic. config may be nil.
func guarded(config *tls.Config) *tls.Config {
	if config == nil {
		return nil
	}
	config = config.Clone()
	if check := config.VerifyConnection; check != nil {
		config.VerifyConnection = func(state tls.ConnectionState) (err error) {
			defer caught("TLS.VerifyConnection", &err)
			return check(state)
		}
	}
	if check := config.VerifyPeerCertificate; check != nil {
		config.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) (err error) {
			defer caught("TLS.VerifyPeerCertificate", &err)
			return check(raw, chains)
		}
	}
	if choose := config.GetClientCertificate; choose != nil {
		config.GetClientCertificate = func(info *tls.CertificateRequestInfo) (c *tls.Certificate, err error) {
			defer caught("TLS.GetClientCertificate", &err)
			return choose(info)
		}
	}
	return config
}
