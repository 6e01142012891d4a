package certs

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ClientCertificate offers c to servers that ask for a certificate. Of several,
// the first that a server accepts is used; a GetClientCertificate of the base
// configuration is asked if it accepts none.
func ClientCertificate(c tls.Certificate) Option {
	return func(b *builder) error {
		b.config.Certificates = append(b.config.Certificates[:len(b.config.Certificates):len(b.config.Certificates)], c)
		return nil
	}
}

// ClientPEM is [ClientCertificate] of a chain, leaf first, and its private key,
// both in PEM. One text that holds both may be given twice. A key that is
// encrypted is an error.
func ClientPEM(chain, key []byte) Option {
	return func(b *builder) error {
		c, err := keyPair(chain, key)
		if err != nil {
			return fmt.Errorf("client certificate: %w", err)
		}
		return ClientCertificate(c)(b)
	}
}

// ClientFiles is [ClientPEM] of files, which are read once; [Reload.Client]
// reads them again when they change.
func ClientFiles(chainFile, keyFile string) Option {
	return func(b *builder) error {
		c, err := loadKeyPair(chainFile, keyFile)
		if err != nil {
			return err
		}
		return ClientCertificate(c)(b)
	}
}

func loadKeyPair(chainFile, keyFile string) (tls.Certificate, error) {
	chain, err := os.ReadFile(chainFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("client certificate: %w", err)
	}
	c, err := keyPair(chain, key)
	if err != nil {
		return c, fmt.Errorf("client certificate in %s and %s: %w", chainFile, keyFile, err)
	}
	return c, nil
}

// keyPair is X509KeyPair, which does not tell an encrypted key from a broken one.
func keyPair(chain, key []byte) (tls.Certificate, error) {
	c, err := tls.X509KeyPair(chain, key)
	if err != nil && isEncrypted(key) {
		err = errors.New("the private key is encrypted (openssl pkey -in FILE writes it without a password; ClientPKCS12 reads keys with one)")
	}
	return c, err
}

// isEncrypted reports whether the first private key of a PEM text is encrypted,
// by RFC 5958 or in OpenSSL's old way (RFC 1421 §4.6.1.1).
func isEncrypted(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block.Type == "ENCRYPTED PRIVATE KEY" || strings.HasSuffix(block.Headers["Proc-Type"], "ENCRYPTED")
		}
	}
	return false
}

// offer makes the one GetClientCertificate, where crypto/tls would not choose as
// the options say: it asks GetClientCertificate or looks at Certificates.
func (b *builder) offer() {
	config, own := b.config, b.config.GetClientCertificate
	fixed := config.Certificates
	if own != nil {
		fixed = fixed[b.given:] // base's are not used beside it
	}
	if len(b.clients) == 0 && (own == nil || len(fixed) == 0) {
		return
	}
	config.GetClientCertificate = func(ask *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		for _, f := range slices.Backward(b.clients) {
			if c := f.current(); ask.SupportsCertificate(c) == nil {
				return c, nil
			}
		}
		for i := range fixed {
			if ask.SupportsCertificate(&fixed[i]) == nil {
				return &fixed[i], nil
			}
		}
		if own != nil {
			return own(ask)
		}
		return &tls.Certificate{}, nil // none, as crypto/tls does it
	}
}

// ClientPKCS12 is [ClientCertificate] of a PKCS#12 file's content (.p12, .pfx;
// RFC 7292). It must hold one private key and the certificate for it; further
// certificates are sent along as its chain.
//
// Read are files encrypted by PBES2 with AES in CBC mode, which is what OpenSSL
// 3 and Java since 16 write, by the older 3DES, or not encrypted, with a MAC by
// SHA-1 or SHA-2; and by 40-bit RC2 with SHA-1 and an RSA or ECDSA key. The
// integrity of the file is always checked by its password.
func ClientPKCS12(data []byte, password string) Option {
	return func(b *builder) error {
		c, err := decodePKCS12(data, password)
		if err != nil {
			return fmt.Errorf("client certificate in PKCS#12: %w", err)
		}
		return ClientCertificate(c)(b)
	}
}

// ClientPKCS12File is [ClientPKCS12] of a file.
func ClientPKCS12File(file, password string) Option {
	return func(b *builder) error {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("client certificate: %w", err)
		}
		c, err := decodePKCS12(data, password)
		if err != nil {
			return fmt.Errorf("client certificate in %s: %w", file, err)
		}
		return ClientCertificate(c)(b)
	}
}
