package http3_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/program"
	"github.com/godwit-go/godwit/internal/testpeer"
)

// TestNginx: another implementation than quic-go's own. Debian's nginx has HTTP/3
// from 1.26 on (trixie).
func TestNginx(t *testing.T) {
	version, err := exec.Command(program.Find(t, "nginx", "nginx-light"), "-V").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(version), "http_v3_module") {
		t.Skip("this nginx is built without HTTP/3 (--with-http_v3_module), which Debian's has from 1.26 on")
	}
	pair := testpeer.CA(t).Issue(t, "127.0.0.1")
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	large := strings.Repeat("nginx", 1<<20)
	addr := program.Server{Program: "nginx", Package: "nginx-light", Ports: 1, Args: func(dir string, addrs []string) []string {
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			return path
		}
		user := ""
		if os.Getuid() == 0 {
			user = "user root;"
		}
		certificate := write("pair.pem", string(text))
		write("large", large)
		return []string{"-e", "stderr", "-p", dir, "-c", write("nginx.conf", fmt.Sprintf(`%[1]s
			daemon off; pid %[2]s/pid; error_log stderr warn;
			events {}
			http {
				access_log off; client_body_temp_path %[2]s/body;
				server {
					listen %[3]s ssl; listen %[3]s quic; ssl_certificate %[4]s; ssl_certificate_key %[4]s;
					root %[2]s; client_max_body_size 0;
					location /small { return 200 "ok"; }
				}
			}`, user, dir, addrs[0], certificate))}
	}}.Start(t)[0]
	e := newEngine(t, http3.Config{})
	for range 3 {
		if resp, body := get(t, e, "https://"+addr+"/small"); body != "ok" || resp.Proto != "HTTP/3.0" {
			t.Errorf("%s %q", resp.Proto, body)
		}
	}
	if _, body := get(t, e, "https://"+addr+"/large"); body != large {
		t.Errorf("%d bytes of %d", len(body), len(large))
	}
	req := request(t, "POST", "https://"+addr+"/small")
	req.Body = content.Reader(io.LimitReader(strings.NewReader(large), 1<<20), "", -1)
	if resp, _ := send(t, e, req); resp.Status != 200 && resp.Status != 405 {
		t.Errorf("POST: status %d", resp.Status)
	}
	if resp, _ := get(t, e, "https://"+addr+"/nothing"); resp.Status != 404 {
		t.Errorf("status %d", resp.Status)
	}
}
