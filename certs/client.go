package certs

import (
	"crypto/tls"
	"fmt"
	"os"
)

// ClientCertificate offers c to servers that ask for a certificate. Of several,
// the first that a server accepts is used.
func ClientCertificate(c tls.Certificate) Option {
	return func(b *builder) error {
		b.config.Certificates = append(b.config.Certificates[:len(b.config.Certificates):len(b.config.Certificates)], c)
		return nil
	}
}

// ClientPEM is [ClientCertificate] of a chain, leaf first, and its private key,
// both in PEM. One text that holds both may be given twice. The key must not be
// encrypted.
func ClientPEM(chain, key []byte) Option {
	return func(b *builder) error {
		c, err := tls.X509KeyPair(chain, key)
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
		c, err := tls.LoadX509KeyPair(chainFile, keyFile)
		if err != nil {
			return fmt.Errorf("client certificate in %s and %s: %w", chainFile, keyFile, err)
		}
		return ClientCertificate(c)(b)
	}
}

// ClientPKCS12 is [ClientCertificate] of a PKCS#12 file's content (.p12, .pfx;
// RFC 7292). It must hold one private key and the certificate for it; further
// certificates are sent along as its chain.
//
// Read are files encrypted by PBES2 with AES in CBC mode, which is what OpenSSL
// 3 and Java since 16 write, by the older 3DES and 40-bit RC2, or not encrypted.
// The integrity of the file is always checked by its password.
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
