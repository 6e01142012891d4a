package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// pins are the pins of hosts that match a pattern.
type pins struct {
	host string
	keys [][sha256.Size]byte
}

// Pin accepts a host only if a key in its chain has one of the given pins, on
// top of all other checks. A pin is "sha256/" and the base64 of the SHA-256 of
// the certificate's public key (its SubjectPublicKeyInfo), as [PinOf] gives it;
// curl's form with two slashes is read too. Name at least two, one of them of a
// key in reserve: who loses a single pinned key locks itself out.
//
// host is a name without scheme, port or path, "*.example.org" for the names one
// label below, or "*" for all hosts, https proxies included; anything else is an
// error. International names may be in either form (RFC 5890). The pins of all
// options that match add up. A host that nothing matches is not pinned. Names are
// those that TLS asks for: Config.ServerName if it is set, else the URL's host; an
// https proxy has its own. As crypto/tls does not tell addresses, a host must not be
// one.
//
// The chain is the verified one. With InsecureSkipVerify there is none, and only
// the server's own key counts. Resumed sessions are checked like new ones.
func Pin(host string, keys ...string) Option {
	return func(b *builder) error {
		if _, err := netip.ParseAddr(strings.Trim(host, "[].")); err == nil {
			return fmt.Errorf(`pin for host %q: an address cannot be pinned by itself, as crypto/tls does not tell it; use "*"`, host)
		}
		p := pins{host: host}
		if name, below := strings.CutPrefix(host, "*."); host != "*" {
			ascii, ok := hostName(name)
			if !ok {
				return fmt.Errorf(`pin for host %q: it is neither a name (without scheme, port or path), nor "*.name", nor "*"`, host)
			}
			if p.host = ascii; below {
				p.host = "*." + ascii
			}
		}
		if len(keys) == 0 {
			return fmt.Errorf("pin for host %q: there are no pins", host)
		}
		for _, text := range keys {
			key, err := parsePin(text)
			if err != nil {
				return fmt.Errorf("pin for host %q: %w", host, err)
			}
			p.keys = append(p.keys, key)
		}
		b.pins = append(b.pins, p)
		return nil
	}
}

// PinOf returns the pin of a certificate's public key: "sha256/…".
func PinOf(c *x509.Certificate) string { return formatPin(sha256.Sum256(c.RawSubjectPublicKeyInfo)) }

const pinPrefix = "sha256/"

func formatPin(key [sha256.Size]byte) string {
	return pinPrefix + base64.StdEncoding.EncodeToString(key[:])
}

func parsePin(text string) (key [sha256.Size]byte, err error) {
	encoded, ok := strings.CutPrefix(text, pinPrefix)
	if !ok {
		return key, fmt.Errorf("%q does not start with %q", text, pinPrefix)
	}
	if len(encoded) == 45 { // base64 may itself begin with a slash
		encoded = strings.TrimPrefix(encoded, "/")
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil && len(encoded) == 44 {
		return key, fmt.Errorf("%q is no base64: %w", text, err)
	}
	if len(raw) != len(key) {
		return key, fmt.Errorf("%q does not hold the %d bytes of a SHA-256 in base64", text, len(key))
	}
	return [sha256.Size]byte(raw), nil
}

// PinError tells that no key in a server's chain is among its pins.
type PinError struct {
	// Host is the name that TLS asked for; "" if it was the address of an origin.
	Host string
	// Want are the pins, Seen those of the chain's keys, the server's own first.
	Want, Seen []string
}

func (e *PinError) Error() string {
	host := e.Host
	if host == "" {
		host = "the server"
	}
	return fmt.Sprintf("no key of %s is pinned: its chain has %s, pinned is %s",
		host, strings.Join(e.Seen, ", "), strings.Join(e.Want, " or "))
}

var errNoCertificate = errors.New("the server sent no certificate to compare with its pins")

func checkPins(all []pins, state *tls.ConnectionState) error {
	host, _ := hostName(state.ServerName) // else "", which "*" matches
	var want [][sha256.Size]byte
	for _, p := range all {
		if p.matches(host) {
			want = append(want, p.keys...)
		}
	}
	if want == nil {
		return nil
	}
	if len(state.PeerCertificates) == 0 {
		return errNoCertificate
	}
	e := &PinError{Host: state.ServerName}
	for _, c := range chainKeys(state) {
		key := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		if slices.ContainsFunc(want, func(w [sha256.Size]byte) bool { return bytes.Equal(w[:], key[:]) }) {
			return nil
		}
		if pin := formatPin(key); !slices.Contains(e.Seen, pin) {
			e.Seen = append(e.Seen, pin)
		}
	}
	for _, key := range want {
		e.Want = append(e.Want, formatPin(key))
	}
	return e
}

// chainKeys returns the certificates whose keys count. What a server sends
// beside a chain that was verified proves nothing: anybody can send a copy of the
// pinned certificate along.
func chainKeys(state *tls.ConnectionState) []*x509.Certificate {
	if len(state.VerifiedChains) == 0 {
		return state.PeerCertificates[:1]
	}
	return slices.Concat(state.VerifiedChains...)
}

// hostName returns a name as it is compared: in ASCII and lower case, without the
// final dot. It reports false for what is no name.
func hostName(name string) (string, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", false
		}
		name = ascii
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}
	return name, true
}

func (p *pins) matches(host string) bool {
	if p.host == "*" || p.host == host {
		return true
	}
	parent, ok := strings.CutPrefix(p.host, "*.")
	label, rest, _ := strings.Cut(host, ".")
	return ok && label != "" && rest == parent
}
