package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// Roots trusts the certificates in a PEM text, and no longer the system's.
func Roots(text []byte) Option {
	return func(b *builder) error { return b.trust(x509.NewCertPool(), text) }
}

// RootFiles trusts the certificates in PEM files, and no longer the system's. The
// files are read once; [Reload.Roots] reads them again when they change.
func RootFiles(files ...string) Option {
	return func(b *builder) error { return b.trustFiles(x509.NewCertPool(), files) }
}

// MoreRoots trusts the certificates in a PEM text as well as those that are
// trusted already: by base, by options before this one, or by the system.
func MoreRoots(text []byte) Option {
	return func(b *builder) error {
		pool, err := b.trusted()
		if err != nil {
			return err
		}
		return b.trust(pool, text)
	}
}

// MoreRootFiles is [MoreRoots] of PEM files.
func MoreRootFiles(files ...string) Option {
	return func(b *builder) error {
		pool, err := b.trusted()
		if err != nil {
			return err
		}
		return b.trustFiles(pool, files)
	}
}

// trusted returns a copy of what is trusted so far.
func (b *builder) trusted() (*x509.CertPool, error) {
	if b.config.RootCAs != nil {
		return b.config.RootCAs.Clone(), nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's roots: %w", err)
	}
	return pool, nil
}

func (b *builder) trust(pool *x509.CertPool, text []byte) error {
	if err := addPEM(pool, text); err != nil {
		return fmt.Errorf("roots: %w", err)
	}
	b.config.RootCAs = pool
	return nil
}

func (b *builder) trustFiles(pool *x509.CertPool, files []string) error {
	if err := addFiles(pool, files); err != nil {
		return err
	}
	b.config.RootCAs = pool
	return nil
}

func addFiles(pool *x509.CertPool, files []string) error {
	if len(files) == 0 {
		return errors.New("roots: no files were named")
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("roots: %w", err)
		}
		if err := addPEM(pool, text); err != nil {
			return fmt.Errorf("roots in %s: %w", name, err)
		}
	}
	return nil
}

// addPEM is AppendCertsFromPEM, which passes over what it cannot read.
func addPEM(pool *x509.CertPool, text []byte) error {
	added := false
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		pool.AddCert(c)
		added = true
	}
	switch {
	case bytes.Contains(text, []byte("-----BEGIN CERTIFICATE")):
		return errors.New("a PEM block is broken or cut short")
	case !added:
		return errors.New(`there is no certificate in PEM ("-----BEGIN CERTIFICATE-----")`)
	}
	return nil
}
