package h2_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/internal/program"
)

// pair writes a certificate for the loopback address and its key to dir.
func pair(t *testing.T, dir string) (file string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	file = write(t, dir, "pair.pem", string(certificate)+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return file, roots
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

const fileSize = 3 << 20

func files(t *testing.T, dir string) string {
	t.Helper()
	root := filepath.Join(dir, "files")
	if err := os.Mkdir(root, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, root, "large", strings.Repeat("0123456789abcdef", fileSize/16))
	write(t, root, "small", "small")
	return root
}

// battery asks a real server for what every server has.
func battery(t *testing.T, e *h2.Engine, base string, upload bool) {
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 5 {
				resp, err := e.Execute(t.Context(), request(t, "GET", base+"/small"))
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil || string(b) != "small" || resp.Proto != "HTTP/2.0" {
					t.Errorf("%s %q, %v", resp.Proto, b, err)
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	for range 2 {
		resp, err := e.Execute(t.Context(), request(t, "GET", base+"/large"))
		if got := read(t, resp, err); len(got) != fileSize || resp.ContentLength != fileSize {
			t.Errorf("%d bytes, announced %d", len(got), resp.ContentLength)
		}
		resp, err = e.Execute(t.Context(), request(t, "GET", base+"/large"))
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(resp.Body, make([]byte, 1000))
		resp.Body.Close() // the rest is given up
	}
	resp, err := e.Execute(t.Context(), request(t, "HEAD", base+"/large"))
	if got := read(t, resp, err); got != "" || resp.ContentLength != fileSize {
		t.Errorf("HEAD: %d bytes, announced %d", len(got), resp.ContentLength)
	}
	resp, err = e.Execute(t.Context(), request(t, "GET", base+"/missing"))
	if read(t, resp, err); resp.Status != 404 {
		t.Errorf("status %d, want 404", resp.Status)
	}
	if upload {
		req := request(t, "PUT", base+"/up")
		req.Body = content.Bytes([]byte(strings.Repeat("x", fileSize)), "")
		resp, err = e.Execute(t.Context(), req)
		if read(t, resp, err); resp.Status/100 != 2 {
			t.Errorf("PUT: status %d", resp.Status)
		}
		resp, err = e.Execute(t.Context(), request(t, "GET", base+"/up"))
		if got := read(t, resp, err); len(got) != fileSize {
			t.Errorf("what was put has %d bytes", len(got))
		}
	}
	if s := e.Stats(); s.Open != 1 || s.Streams != 0 {
		t.Errorf("stats %+v", s)
	}
}

func asRoot(line string) string {
	if os.Getuid() == 0 {
		return line
	}
	return ""
}

func TestNginx(t *testing.T) {
	var roots *x509.CertPool
	addrs := program.Server{Program: "nginx", Package: "nginx-light", Ports: 1, Args: func(dir string, addrs []string) []string {
		var file string
		file, roots = pair(t, dir)
		conf := write(t, dir, "nginx.conf", fmt.Sprintf(`%[1]s
			daemon off; worker_processes 1; pid %[2]s/pid; error_log stderr warn;
			events { worker_connections 512; }
			http {
				access_log off; client_max_body_size 0;
				client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/p; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
				server {
					listen %[3]s ssl http2; ssl_certificate %[4]s; ssl_certificate_key %[4]s; http2_max_concurrent_streams 20;
					root %[5]s; location / { dav_methods PUT; }
				}
			}`, asRoot("user root;"), dir, addrs[0], file, files(t, dir)))
		return []string{"-e", "stderr", "-p", dir, "-c", conf}
	}}.Start(t)
	// With 20 streams on each of at most one connection, requests wait for one another.
	battery(t, newEngine(t, h2.Config{TLS: &tls.Config{RootCAs: roots}, MaxConnectionsPerRoute: 1}, nil), "https://"+addrs[0], true)
}

func TestApache(t *testing.T) {
	var roots *x509.CertPool
	addrs := program.Server{Program: "apache2", Package: "apache2", Ports: 2, Args: func(dir string, addrs []string) []string {
		var file string
		file, roots = pair(t, dir)
		var modules strings.Builder
		for _, m := range []string{"mpm_event", "authz_core", "ssl", "setenvif", "http2"} {
			fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
		}
		conf := write(t, dir, "apache.conf", fmt.Sprintf(`%[1]s
ServerRoot %[2]s
ServerName localhost
PidFile %[2]s/pid
DefaultRuntimeDir %[2]s
Mutex pthread
ErrorLog /dev/stderr
LogLevel crit
StartServers 1
Listen %[3]s
Listen %[4]s https
DocumentRoot %[5]s
Protocols h2 h2c http/1.1
<VirtualHost %[4]s>
	SSLEngine on
	SSLCertificateFile %[6]s
	SSLCertificateKeyFile %[6]s
	Protocols h2 http/1.1
	DocumentRoot %[5]s
</VirtualHost>
`, modules.String(), dir, addrs[0], addrs[1], files(t, dir), file))
		return []string{"-X", "-f", conf}
	}}.Start(t)
	t.Run("TLS", func(t *testing.T) {
		battery(t, newEngine(t, h2.Config{TLS: &tls.Config{RootCAs: roots}, MaxConnectionsPerRoute: 1}, nil), "https://"+addrs[1], false)
	})
	t.Run("h2c", func(t *testing.T) {
		battery(t, newEngine(t, h2.Config{MaxConnectionsPerRoute: 1}, nil), "http://"+addrs[0], false)
	})
}
