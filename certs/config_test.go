package certs_test

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/certs"
)

// TestBadOptions: each is an error that names what is wrong.
func TestBadOptions(t *testing.T) {
	ca := newAuthority(t)
	leaf, other := ca.issue(), ca.issue()
	cert, key := certPEM(leaf.Leaf), keyPEM(t, leaf.PrivateKey)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	broken := file(t, []byte("-----BEGIN CERTIFICATE-----\nnonsense"))
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	oldEncrypted := file(t, pem.EncodeToMemory(&pem.Block{
		Type: "EC PRIVATE KEY", Bytes: []byte("x"), Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"},
	}))
	cases := []struct {
		name string
		opts []certs.Option
		want string
	}{
		{"key of another certificate", []certs.Option{certs.ClientPEM(cert, keyPEM(t, other.PrivateKey))}, "does not match"},
		{"no key", []certs.Option{certs.ClientPEM(cert, cert)}, "client certificate"},
		{"client file missing", []certs.Option{certs.ClientFiles(missing, missing)}, missing},
		{"client file missing, reloaded", []certs.Option{certs.Reload{}.Client(missing, missing)}, missing},
		{"encrypted key", []certs.Option{certs.ClientPEM(cert, encrypted)}, "openssl pkey"},
		{"encrypted key, old form", []certs.Option{certs.ClientFiles(file(t, cert), oldEncrypted)}, oldEncrypted},
		{"encrypted key, old form, reloaded", []certs.Option{certs.Reload{}.Client(file(t, cert), oldEncrypted)}, "the private key is encrypted"},
		{"client file broken, reloaded", []certs.Option{certs.Reload{}.Client(broken, broken)}, broken},
		{"PKCS12 file missing", []certs.Option{certs.ClientPKCS12File(missing, "")}, missing},
		{"PKCS12 file broken", []certs.Option{certs.ClientPKCS12File(broken, "")}, broken},
		{"no roots", []certs.Option{certs.Roots(key)}, "no certificate"},
		{"broken roots", []certs.Option{certs.Roots(append(ca.pem(), "-----BEGIN CERTIFICATE-----\nnonsense"...))}, "cut short"},
		{"broken roots first", []certs.Option{certs.Roots(append([]byte("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"), ca.pem()...))}, "broken"},
		{"malformed roots", []certs.Option{certs.Roots([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))}, "roots"},
		{"root file missing", []certs.Option{certs.RootFiles(missing)}, missing},
		{"root file broken", []certs.Option{certs.MoreRootFiles(broken)}, broken},
		{"no root files", []certs.Option{certs.RootFiles()}, "no files"},
		{"no root files, reloaded", []certs.Option{certs.Reload{}.Roots()}, "no files"},
		{"root file missing, reloaded", []certs.Option{certs.Reload{}.MoreRoots(missing)}, missing},
		{"roots reloaded twice", []certs.Option{certs.Reload{}.Roots(file(t, ca.pem())), certs.Reload{}.Roots(file(t, ca.pem()))}, "two options"},
		{"roots after reloaded ones", []certs.Option{certs.Reload{}.MoreRoots(file(t, ca.pem())), certs.Roots(ca.pem())}, "put it first"},
		{"root files after reloaded ones", []certs.Option{certs.Reload{}.Roots(file(t, ca.pem())), certs.RootFiles(file(t, ca.pem()))}, "put it first"},
		{"pin without prefix", []certs.Option{certs.Pin("a.test", "AAAA")}, `"sha256/"`},
		{"pin too short", []certs.Option{certs.Pin("a.test", "sha256/AAAA")}, "32 bytes"},
		{"pin no base64", []certs.Option{certs.Pin("a.test", "sha256/"+strings.Repeat("-", 44))}, "base64"},
		{"pin of nobody", []certs.Option{certs.Pin("", otherPin)}, "neither"},
		{"pin of a strange pattern", []certs.Option{certs.Pin("a.*.test", otherPin)}, "neither"},
		{"pin of an address", []certs.Option{certs.Pin("127.0.0.1", otherPin)}, "address"},
		{"pin of an IPv6 address", []certs.Option{certs.Pin("[::1]", otherPin)}, "address"},
		{"pin of an IPv6 address and port", []certs.Option{certs.Pin("[::1]:443", otherPin)}, "port"},
		{"pin of a host and port", []certs.Option{certs.Pin("good.test:443", otherPin)}, "port"},
		{"pin of a URL", []certs.Option{certs.Pin("https://good.test", otherPin)}, "scheme"},
		{"pin of a path", []certs.Option{certs.Pin("good.test/", otherPin)}, "path"},
		{"pin of a user", []certs.Option{certs.Pin("me@good.test", otherPin)}, "a name"},
		{"pin of a space", []certs.Option{certs.Pin("good.test ", otherPin)}, "a name"},
		{"pin of all below nothing", []certs.Option{certs.Pin("*.", otherPin)}, "a name"},
		{"pin of no label", []certs.Option{certs.Pin("good..test", otherPin)}, "a name"},
		{"pin of no international name", []certs.Option{certs.Pin("b\u2028.test", otherPin)}, "a name"},
		{"host without pins", []certs.Option{certs.Pin("a.test")}, "no pins"},
		{"version", []certs.Option{certs.MinVersion(3)}, "0x0003"},
		{"key log", []certs.Option{certs.KeyLogFile(filepath.Join(missing, "log"))}, "key log"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			config, err := certs.Config(nil, tc.opts...)
			if err == nil || config != nil || !strings.HasPrefix(err.Error(), "certs: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v does not tell %q", err, tc.want)
			}
		})
	}
	insecure := &tls.Config{InsecureSkipVerify: true}
	for name, o := range map[string]certs.Option{"staple": certs.CheckStaple(), "roots": certs.Reload{}.Roots(file(t, ca.pem()))} {
		if _, err := certs.Config(insecure, o); err == nil {
			t.Errorf("%s: InsecureSkipVerify is accepted", name)
		}
	}
}

func TestBaseIsKept(t *testing.T) {
	ca := newAuthority(t)
	refusal := errors.New("not today")
	base := &tls.Config{ServerName: "good.test", VerifyConnection: func(tls.ConnectionState) error { return refusal }}
	leaf := ca.issue()
	config, err := certs.Config(base, certs.Roots(ca.pem()), certs.Pin("*", certs.PinOf(leaf.Leaf)), certs.MinVersion(tls.VersionTLS13))
	if err != nil {
		t.Fatal(err)
	}
	if base.RootCAs != nil || base.MinVersion != 0 {
		t.Error("base was changed")
	}
	_, err = get(t, newEngine(t, engines[0], config), serve(t, &tls.Config{Certificates: []tls.Certificate{leaf}}), "other.test")
	if !errors.Is(err, refusal) {
		t.Errorf("the VerifyConnection of base was not called: %v", err)
	}
}

// TestInsecurePin: without a verified chain only the server's own key counts.
func TestInsecurePin(t *testing.T) {
	ca := newAuthority(t)
	leaf := ca.issue()
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{leaf}})
	for pin, want := range map[string]certs.Problem{certs.PinOf(leaf.Leaf): certs.None, certs.PinOf(ca.cert): certs.PinMismatch} {
		config, err := certs.Config(&tls.Config{InsecureSkipVerify: true}, certs.Pin("*", pin))
		if err != nil {
			t.Fatal(err)
		}
		_, err = get(t, newEngine(t, engines[0], config), s, "any.test")
		if got := certs.Reason(err); got != want || (err == nil) != (want == certs.None) {
			t.Errorf("%s: %v, want %q", pin, err, want)
		}
	}
}

// TestPinOfResumedSession: a pin that is no longer right ends resumption too.
func TestPinOfResumedSession(t *testing.T) {
	for _, f := range engines {
		t.Run(f.Name(), func(t *testing.T) {
			ca := newAuthority(t)
			leaf := ca.issue()
			cache := tls.NewLRUClientSessionCache(0)
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{leaf}})
			fetch := func(pin string) (string, error) {
				config, err := certs.Config(&tls.Config{ClientSessionCache: cache}, certs.Roots(ca.pem()), certs.Pin("good.test", pin))
				if err != nil {
					t.Fatal(err)
				}
				return get(t, newEngine(t, f, config), s, "good.test")
			}
			for _, want := range []string{"resumed false", "resumed true"} {
				if got, err := fetch(certs.PinOf(leaf.Leaf)); got != want || err != nil {
					t.Fatalf("%q, %v; want %q", got, err, want)
				}
			}
			if _, err := fetch(otherPin); certs.Reason(err) != certs.PinMismatch {
				t.Errorf("resumed with a key that is not pinned: %v", err)
			}
		})
	}
}

// TestPinForms: the base64 of a pin may begin with a slash, and curl writes one
// before it.
func TestPinForms(t *testing.T) {
	const key = "aetFjCAX/uZeFSmP+FWuOFI5HcvsI0HTgXMG4rwCIEE="
	for _, pin := range []string{"sha256/" + key, "sha256//" + key, "sha256//" + key[1:], "sha256///" + key[1:]} {
		if _, err := certs.Config(nil, certs.Pin("good.test", pin)); err != nil {
			t.Error(err)
		}
	}
}

func TestMoreRoots(t *testing.T) {
	one, two, three, ca := newAuthority(t), newAuthority(t), newAuthority(t), newAuthority(t)
	for name, opts := range map[string][]certs.Option{
		"text":     {certs.Roots(one.pem()), certs.MoreRoots(append(two.pem(), keyPEM(t, two.key)...))},
		"files":    {certs.RootFiles(file(t, one.pem())), certs.MoreRootFiles(file(t, two.pem()))},
		"one file": {certs.RootFiles(file(t, append(one.pem(), two.pem()...)))},
		"reloaded": {certs.Roots(one.pem()), certs.Reload{}.MoreRoots(file(t, two.pem()))},
		// What goes behind reloaded roots is added, too.
		"text behind reloaded":  {certs.Reload{}.Roots(file(t, one.pem())), certs.MoreRoots(two.pem())},
		"files behind reloaded": {certs.Roots(one.pem()), certs.Reload{}.MoreRoots(file(t, ca.pem())), nil, certs.MoreRootFiles(file(t, two.pem()))},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := certs.Config(nil, opts...)
			if err != nil {
				t.Fatal(err)
			}
			e := newEngine(t, engines[0], config)
			for ca, want := range map[*authority]certs.Problem{one: certs.None, two: certs.None, three: certs.UnknownAuthority} {
				_, err := get(t, e, serve(t, &tls.Config{Certificates: []tls.Certificate{ca.issue()}}), "good.test")
				if got := certs.Reason(err); got != want || (err == nil) != (want == certs.None) {
					t.Errorf("%v, want %q", err, want)
				}
			}
		})
	}
}

func TestKeyLog(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{ca.issue()}})
	var buf bytes.Buffer
	name := filepath.Join(t.TempDir(), "keys.log")
	t.Setenv("SSLKEYLOGFILE", name)
	for _, o := range []certs.Option{certs.KeyLog(&buf), certs.KeyLogFile(name), certs.KeyLogEnvironment()} {
		config, err := certs.Config(nil, certs.Roots(ca.pem()), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := get(t, newEngine(t, engines[0], config), s, "good.test"); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const line = "CLIENT_TRAFFIC_SECRET_0 "
	if n := strings.Count(buf.String(), line); n != 1 {
		t.Errorf("%d lines %s in\n%s", n, line, &buf)
	}
	if n := strings.Count(string(log), line); n != 2 {
		t.Errorf("%d lines %s in\n%s", n, line, log)
	}
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: others can read it", info.Mode(), err)
	}
	t.Setenv("SSLKEYLOGFILE", "")
	if config, err := certs.Config(nil, certs.KeyLogEnvironment()); err != nil || config.KeyLogWriter != nil {
		t.Errorf("key log without a file, %v", err)
	}
}
