package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/ocsp"
)

type stapleMode int

const (
	stapleIgnored stapleMode = iota
	stapleChecked
	stapleRequired
)

// CheckStaple checks the OCSP response (RFC 6960) that a server staples to its
// certificate: a revoked one is a *[RevokedError], a response that was not signed
// for this certificate a *[StapleError]. A server that staples nothing, something
// out of date, or its responder's excuse ("try later"), is accepted unless its
// certificate promises a response (must-staple, RFC 7633). Nobody is asked: godwit fetches no responses or lists.
//
// A resumed session brings the response of its first handshake; its age does not
// matter then.
func CheckStaple() Option {
	return func(b *builder) error { b.staple = max(b.staple, stapleChecked); return nil }
}

// RequireStaple is [CheckStaple], but a server without a good and recent
// response is refused: one whose NextUpdate is not over, or which is up to seven
// days old if it has none (RFC 6960 §3.2). A certificate that is a trust root itself has none.
func RequireStaple() Option {
	return func(b *builder) error { b.staple = stapleRequired; return nil }
}

// RevokedError tells that a server's certificate was revoked, by the response
// that the server itself has stapled to it.
type RevokedError struct {
	// Host is the name that TLS asked for; "" if it was the address of an origin.
	Host   string
	Serial *big.Int
	At     time.Time
	// Reason is the code of RFC 5280 §5.3.1; 0 = unspecified.
	Reason int
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("the certificate %x of %s was revoked on %s (%s)", e.Serial, named(e.Host), e.At.UTC().Format(time.DateOnly), revocationReason(e.Reason))
}

func revocationReason(code int) string {
	reasons := map[int]string{
		ocsp.Unspecified: "no reason given", ocsp.KeyCompromise: "key compromise", ocsp.CACompromise: "CA compromise",
		ocsp.AffiliationChanged: "affiliation changed", ocsp.Superseded: "superseded", ocsp.CessationOfOperation: "cessation of operation",
		ocsp.CertificateHold: "on hold", ocsp.RemoveFromCRL: "removed from the list", ocsp.PrivilegeWithdrawn: "privilege withdrawn",
		ocsp.AACompromise: "AA compromise",
	}
	if text, ok := reasons[code]; ok {
		return text
	}
	return fmt.Sprintf("reason %d", code)
}

// StapleError tells that a stapled OCSP response is missing or worth nothing.
type StapleError struct {
	// Host is the name that TLS asked for; "" if it was the address of an origin.
	Host   string
	Reason string
	Err    error // the cause; may be nil
}

func (e *StapleError) Error() string {
	s := "OCSP response of " + named(e.Host) + ": " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *StapleError) Unwrap() error { return e.Err }

func named(host string) string {
	if host == "" {
		return "the server"
	}
	return host
}

const (
	skew     = 5 * time.Minute    // what clocks may differ by
	lifetime = 7 * 24 * time.Hour // that of a response that does not tell it
)

func (mode stapleMode) check(state *tls.ConnectionState, now time.Time) error {
	if mode == stapleIgnored || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) < 2 {
		return nil
	}
	leaf, issuer := state.VerifiedChains[0][0], state.VerifiedChains[0][1]
	bad := func(reason string, err error) error {
		return &StapleError{Host: state.ServerName, Reason: reason, Err: err}
	}
	required := mode == stapleRequired || mustStaple(leaf)
	if len(state.OCSPResponse) == 0 {
		if required {
			return bad("the server stapled none", nil)
		}
		return nil
	}
	r, err := ocsp.ParseResponseForCert(state.OCSPResponse, leaf, issuer)
	if excuse, ok := errors.AsType[ocsp.ResponseError](err); ok {
		if required {
			return bad("it is none, but its responder's excuse", excuse)
		}
		return nil
	}
	if err != nil {
		return bad("it is not for this certificate", err)
	}
	if err := checkResponder(r, issuer, now); err != nil {
		return bad("its signer may not sign it", err)
	}
	renewal := r.NextUpdate
	if renewal.IsZero() {
		renewal = r.ThisUpdate.Add(lifetime)
	}
	switch {
	case r.Status == ocsp.Revoked:
		return &RevokedError{Host: state.ServerName, Serial: leaf.SerialNumber, At: r.RevokedAt, Reason: r.RevocationReason}
	case !required:
		return nil
	case r.Status != ocsp.Good:
		return bad("the authority does not know the certificate", nil)
	case now.After(renewal.Add(skew)) && !state.DidResume:
		return bad("it was to be renewed by "+renewal.UTC().Format(time.DateTime), nil)
	case r.ThisUpdate.After(now.Add(skew)):
		return bad("it is from the future, "+r.ThisUpdate.UTC().Format(time.DateTime), nil)
	}
	return nil
}

// checkResponder looks at who signed: package ocsp accepts any certificate of
// the issuer's, hence one of its customers' too (RFC 6960 §4.2.2.2).
func checkResponder(r *ocsp.Response, issuer *x509.Certificate, now time.Time) error {
	c := r.Certificate
	switch {
	case c == nil || bytes.Equal(c.Raw, issuer.Raw):
		return nil
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("the certificate of %q is not one for signing OCSP responses", c.Subject)
	case r.ProducedAt.Before(c.NotBefore.Add(-skew)) || r.ProducedAt.After(c.NotAfter.Add(skew)):
		return fmt.Errorf("the certificate of %q was not valid then", c.Subject)
	}
	return nil
}

// mustStaple reports whether the certificate has the TLS feature extension with
// status_request (RFC 7633).
func mustStaple(c *x509.Certificate) bool {
	for _, e := range c.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) {
			continue
		}
		var features []int
		if _, err := asn1.Unmarshal(e.Value, &features); err == nil && slices.Contains(features, 5) {
			return true
		}
	}
	return false
}
