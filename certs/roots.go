package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Roots trusts the certificates in a PEM text, and no longer the system's or
// those of options before this one. It is an error behind a root option of
// [Reload], which it would undo.
func Roots(text []byte) Option {
	return func(b *builder) error {
		pool, err := b.fresh()
		if err != nil {
			return err
		}
		return b.trust(pool, text)
	}
}

// RootFiles is [Roots] of PEM files. They are read once; [Reload.Roots] reads them
// again when they change.
func RootFiles(files ...string) Option {
	return func(b *builder) error {
		pool, err := b.fresh()
		if err != nil {
			return err
		}
		return b.trustFiles(pool, files)
	}
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

// fresh returns a pool to trust instead of all before.
func (b *builder) fresh() (*x509.CertPool, error) {
	if b.roots != nil {
		return nil, errors.New("roots: this option replaces the reloaded roots before it; put it first, and then Reload.MoreRoots")
	}
	return x509.NewCertPool(), nil
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

// addPEM is AppendCertsFromPEM, but for passing over what it cannot read.
func addPEM(pool *x509.CertPool, text []byte) error {
	broken, added := bytes.Count(text, []byte("-----BEGIN CERTIFICATE")), false
	for {
		block, rest := pem.Decode(text) // passes over broken blocks, too
		if block == nil {
			break
		}
		text = rest
		if strings.HasPrefix(block.Type, "CERTIFICATE") {
			broken--
		}
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
	case broken > 0:
		return errors.New("a PEM block is broken or cut short")
	case !added:
		return errors.New(`there is no certificate in PEM ("-----BEGIN CERTIFICATE-----")`)
	}
	return nil
}
