package certs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/certs"
)

// TestPKCS12 reads files that OpenSSL 3 has written.
func TestPKCS12(t *testing.T) {
	cases := []struct {
		file, password string
		chain          int    // certificates
		wrong          string // in the error
	}{
		{"modern.p12", "secret", 2, ""}, // AES-256, SHA-256
		{"mixed.p12", "secret", 2, ""},  // AES-128 and AES-192, SHA-512
		{"legacy.p12", "secret", 2, ""}, // RC2 with 40 bits, 3DES, SHA-1
		{"3des.p12", "secret", 2, ""},   // 3DES, SHA-1 and an RSA key
		{"3des-sha256.p12", "secret", 2, ""},
		{"3des-ed25519.p12", "pässwört€", 2, ""},
		{"3des-empty.p12", "", 2, ""},
		{"descert.p12", "secret", 2, ""}, // certificates in 3DES, the key in AES, SHA-256
		{"plain.p12", "secret", 2, ""},   // not encrypted
		{"unicode.p12", "pässwört€", 2, ""},
		{"empty.p12", "", 1, ""},
		{"modern.p12", "wrong", 0, "password is wrong"},
		{"legacy.p12", "wrong", 0, "password is wrong"},
		{"3des-sha256.p12", "wrong", 0, "password is wrong"},
		{"plain.p12", "wrong", 0, "password is wrong"},
		{"nokey.p12", "secret", 0, "0 private keys"},
		{"nomac.p12", "secret", 0, "no MAC"},
		{"camellia.p12", "secret", 0, "AES in CBC mode"},
	}
	for _, tc := range cases {
		t.Run(tc.file+" "+tc.password, func(t *testing.T) {
			config, err := certs.Config(nil, certs.ClientPKCS12File(filepath.Join("testdata", tc.file), tc.password))
			if tc.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wrong) || !strings.Contains(err.Error(), tc.file) {
					t.Errorf("error %v does not tell %q", err, tc.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := config.Certificates[0]
			if len(c.Certificate) != tc.chain || c.Leaf.Subject.CommonName != "ada" || !bytes.Equal(c.Leaf.Raw, c.Certificate[0]) || c.PrivateKey == nil {
				t.Errorf("%d certificates, the first of %v", len(c.Certificate), c.Leaf.Subject)
			}
		})
	}
}

// FuzzPKCS12: no input makes the reader panic, and what it accepts has a key and
// a certificate.
func FuzzPKCS12(f *testing.F) {
	files, err := filepath.Glob("testdata/*.p12")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d files, %v", len(files), err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "secret")
		f.Add(data[:len(data)/2], "secret")
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		config, err := certs.Config(nil, certs.ClientPKCS12(data, password))
		if err == nil && (config.Certificates[0].PrivateKey == nil || len(config.Certificates[0].Certificate) == 0) {
			t.Error("accepted without a key or a certificate")
		}
	})
}
