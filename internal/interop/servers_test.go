package interop_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/certs"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/program"
)

// front is a web server in front of an origin; /old/ leads to one that speaks
// HTTP/1.0.
type front struct {
	plain, secure string
	dir           string // of its own files
}

func hostPort(base string) string { return base[strings.LastIndex(base, "/")+1:] }

// asRoot returns line if the programs started here would give up root's rights,
// with which their files were made.
func asRoot(line string) string {
	if os.Getuid() == 0 {
		return line
	}
	return ""
}

func startNginx(t *testing.T, id *identity) front {
	o, old := newOrigin(t, id), newOldOrigin(t)
	f := front{}
	addrs := program.Server{Program: "nginx", Package: "nginx-light", Ports: 2, Args: func(dir string, addrs []string) []string {
		f.dir = dir
		pem := write(t, dir, "pair.pem", string(id.pem))
		server := fmt.Sprintf(`
			client_max_body_size 0;
			keepalive_requests 1000;
			root %[1]s/files;
			location / { proxy_pass %[2]s; proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_set_header Connection ""; }
			location /old/ { proxy_pass http://%[3]s; proxy_http_version 1.0; proxy_buffering off; }
			location /text { proxy_pass %[2]s; gzip on; gzip_types text/plain; gzip_proxied any; }
			location /files/ { alias %[1]s/files/; dav_methods PUT DELETE; }
			location /small/ { client_max_body_size 1k; dav_methods PUT; }
			location /short { keepalive_requests 5; proxy_pass %[2]s/echo; }
			location /limited/ { alias %[1]s/files/; limit_rate 0; }`, dir, o.plain.URL, old)
		if err := os.Mkdir(filepath.Join(dir, "files"), 0o755); err != nil {
			t.Fatal(err)
		}
		conf := write(t, dir, "nginx.conf", fmt.Sprintf(`
			%[1]s
			daemon off; worker_processes 2; pid %[2]s/pid; error_log stderr warn;
			events { worker_connections 512; }
			http {
				access_log off; sendfile on;
				client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
				server { listen %[3]s; %[5]s }
				server { listen %[4]s ssl; ssl_certificate %[6]s; ssl_certificate_key %[6]s; ssl_protocols TLSv1.2 TLSv1.3; %[5]s }
			}`, asRoot("user root;"), dir, addrs[0], addrs[1], server, pem))
		return []string{"-e", "stderr", "-p", dir, "-c", conf}
	}}.Start(t)
	f.plain, f.secure = "http://"+addrs[0], "https://"+addrs[1]
	return f
}

func startApache(t *testing.T, id *identity) front {
	o, old := newOrigin(t, id), newOldOrigin(t)
	f := front{}
	addrs := program.Server{Program: "apache2", Package: "apache2", Ports: 2, Args: func(dir string, addrs []string) []string {
		f.dir = dir
		pem := write(t, dir, "pair.pem", string(id.pem))
		if err := os.Mkdir(filepath.Join(dir, "files"), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "files"), 0o777); err != nil {
			t.Fatal(err)
		}
		var modules strings.Builder
		for _, m := range []string{"mpm_event", "authz_core", "dav", "dav_fs", "deflate", "filter", "proxy", "proxy_http", "alias", "ssl", "setenvif"} {
			fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
		}
		conf := write(t, dir, "apache.conf", fmt.Sprintf(`%[1]s
%[2]s
ServerRoot %[3]s
ServerName localhost
PidFile %[3]s/pid
DefaultRuntimeDir %[3]s
Mutex pthread
ErrorLog /dev/stderr
LogLevel crit
StartServers 1
KeepAlive On
MaxKeepAliveRequests 1000
Listen %[4]s
Listen %[5]s https
DavLockDB %[3]s/files/.lock
AliasMatch ^/files/(.*)$ %[3]s/files/$1
<Directory %[3]s/files>
	Dav On
	EnableSendfile On
</Directory>
ProxyPass /files/ !
ProxyPass /old/ http://%[6]s/old/
ProxyPass / %[7]s/
SetEnvIf Request_URI ^/(stream|echo|refuse) proxy-sendchunked=1
<Location /text>
	SetOutputFilter DEFLATE
</Location>
<VirtualHost %[5]s>
	SSLEngine On
	SSLCertificateFile %[8]s
	SSLCertificateKeyFile %[8]s
</VirtualHost>
`, modules.String(), asRoot("User www-data\nGroup www-data"), dir, addrs[0], addrs[1], old, o.plain.URL, pem))
		return []string{"-DFOREGROUND", "-f", conf}
	}}.Start(t)
	f.plain, f.secure = "http://"+addrs[0], "https://"+addrs[1]
	return f
}

func startHAProxy(t *testing.T, id *identity) (front, []string) {
	o, old := newOrigin(t, id), newOldOrigin(t)
	addrs := program.Server{Program: "haproxy", Package: "haproxy", Ports: 4, Args: func(dir string, addrs []string) []string {
		pem := write(t, dir, "pair.pem", string(id.pem))
		conf := write(t, dir, "haproxy.conf", fmt.Sprintf(`
defaults
	mode http
	timeout connect 10s
	timeout client 30s
	timeout server 30s
	timeout queue 30s
frontend plain
	bind %[1]s
	use_backend old if { path_beg /old/ }
	default_backend origin
frontend secure
	bind %[2]s ssl crt %[5]s
	use_backend old if { path_beg /old/ }
	default_backend origin
frontend narrow
	bind %[3]s
	maxconn 2
	default_backend origin
frontend authenticated
	bind %[4]s ssl crt %[5]s ca-file %[5]s verify required ssl-max-ver TLSv1.2
	default_backend origin
backend origin
	compression algo gzip
	compression type text/plain
	server s %[6]s
backend old
	server s %[7]s
`, addrs[0], addrs[1], addrs[2], addrs[3], pem, hostPort(o.plain.URL), old))
		return []string{"-db", "-q", "-f", conf}
	}}.Start(t)
	return front{plain: "http://" + addrs[0], secure: "https://" + addrs[1]}, addrs[2:]
}

// served runs what each of the three servers must carry.
func served(t *testing.T, e engine.Factory, id *identity, f front) {
	for name, base := range map[string]string{"plain": f.plain, "TLS": f.secure} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, e, id)
			battery(t, c, base)
			t.Run("HTTP/1.0 behind", func(t *testing.T) { download(t, c, fmt.Sprintf("%s/old/%d", base, large), large) })
			t.Run("gzip", func(t *testing.T) {
				want := strings.Repeat("compress me ", 1000)
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/text"))
				if err != nil || resp.Text() != want || len(resp.Decoded) != 1 {
					t.Errorf("%v, %v", resp, err)
				}
				resp, err = c.Do(t.Context(), godwit.NewRequest("GET", base+"/text", godwit.Header("Accept-Encoding", "identity")))
				if err != nil || resp.Text() != want || len(resp.Decoded) != 0 {
					t.Errorf("identity: %v, %v", resp, err)
				}
			})
		})
	}
}

// files uploads a file, reads it back, and looks at it on the disk.
func files(t *testing.T, c *godwit.Client, f front) {
	source := filepath.Join(t.TempDir(), "source")
	out, err := os.Create(source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.Copy(out, pattern(0, large)); err != nil || out.Close() != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]content.Content{
		"file":    content.File(source),
		"chunked": content.Reader(pattern(0, large), "", -1),
	} {
		for _, base := range []string{f.plain, f.secure} {
			url := base + "/files/" + name
			if _, err := godwit.Put[godwit.None](t.Context(), c, url, body); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			stored, err := os.Open(filepath.Join(f.dir, "files", name))
			if err != nil {
				t.Fatal(err)
			}
			if sum(t, stored) != sum(t, pattern(0, large)) {
				t.Errorf("%s is not what was sent", name)
			}
			stored.Close()
			download(t, c, url, large)
			part, err := godwit.Get[[]byte](t.Context(), c, url, godwit.Header("Range", "bytes=1000000-1000999"))
			if want, _ := io.ReadAll(pattern(1_000_000, 1000)); err != nil || string(part) != string(want) {
				t.Errorf("range: %d bytes, %v", len(part), err)
			}
			if _, err := godwit.Delete[godwit.None](t.Context(), c, url); err != nil {
				t.Error(err)
			}
			if name == "chunked" {
				body = content.Reader(pattern(0, large), "", -1)
			}
		}
	}
}

func TestNginx(t *testing.T) {
	id := newIdentity(t)
	f := startNginx(t, id)
	onEngines(t, func(t *testing.T, e engine.Factory) {
		served(t, e, id, f)
		c := newClient(t, e, id)
		t.Run("files", func(t *testing.T) { files(t, c, f) })
		t.Run("connections that end", func(t *testing.T) {
			fresh := 0
			for range 20 {
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", f.plain+"/short"))
				if err != nil || resp.Text() != echoed(t, "GET", 0) {
					t.Fatal(resp, err)
				}
				if !resp.Reused() {
					fresh++
				}
			}
			if fresh < 3 || fresh > 5 {
				t.Errorf("%d connections for 20 requests of which nginx takes 5 each", fresh)
			}
		})
		t.Run("body too large", func(t *testing.T) {
			for name, opts := range map[string][]godwit.Option{"": nil, "expect": {godwit.Header("Expect", "100-continue")}} {
				resp, err := godwit.Put[*godwit.Response](t.Context(), c, f.plain+"/small/x", content.Reader(pattern(0, large), "", large), opts...)
				if err != nil || resp.Status != 413 {
					t.Errorf("%s: %v, %v", name, resp, err)
				}
			}
		})
	})
}

func TestApache(t *testing.T) {
	id := newIdentity(t)
	f := startApache(t, id)
	onEngines(t, func(t *testing.T, e engine.Factory) {
		served(t, e, id, f)
		t.Run("files", func(t *testing.T) { files(t, newClient(t, e, id), f) })
	})
}

func TestHAProxy(t *testing.T) {
	id := newIdentity(t)
	f, more := startHAProxy(t, id)
	onEngines(t, func(t *testing.T, e engine.Factory) {
		served(t, e, id, f)
		t.Run("two connections at most", func(t *testing.T) {
			limit := godwit.EngineConfig(func(c *engine.Config) { c.MaxConnectionsPerRoute = 2 })
			battery(t, newClient(t, e, nil, limit), "http://"+more[0])
		})
		t.Run("client certificate", func(t *testing.T) {
			config, err := certs.Config(nil, certs.Roots(id.pem), certs.ClientPEM(id.pem, id.pem))
			if err != nil {
				t.Fatal(err)
			}
			use := godwit.EngineConfig(func(c *engine.Config) { c.TLS = config })
			got, err := godwit.Get[string](t.Context(), newClient(t, e, nil, use), "https://"+more[1]+"/echo")
			if err != nil || got != echoed(t, "GET", 0) {
				t.Errorf("%q, %v", got, err)
			}
			_, err = godwit.Get[string](t.Context(), newClient(t, e, id), "https://"+more[1]+"/echo")
			if got := certs.Reason(err); got != certs.HandshakeRefused { // all that TLS 1.2 tells
				t.Errorf("without a certificate: %q, %v", got, err)
			}
		})
	})
}
