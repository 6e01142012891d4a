package interop_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/program"
)

// overHTTP2 runs f with each engine that speaks HTTP/2 as we do it: by TLS, and to
// plain where there is one and the engine can.
func overHTTP2(t *testing.T, id *identity, secure, plain string, f func(t *testing.T, c *godwit.Client, base string)) {
	// One connection at a time, unless the server ends it.
	if secure != "" {
		t.Run("h2 by TLS", func(t *testing.T) { f(t, newClient(t, h2.Config{MaxConnectionsPerRoute: 1}, id), secure) })
		t.Run("cio by TLS", func(t *testing.T) { f(t, newClient(t, cio.Config{MaxConnectionsPerRoute: 1}, id), secure) })
	}
	if plain != "" {
		t.Run("h2 by TCP", func(t *testing.T) { f(t, newClient(t, h2.Config{MaxConnectionsPerRoute: 1}, nil), plain) })
	}
}

// crowded runs 100 requests at once, several times, each with a body of another
// length, and wants send to say what came of one.
func crowded(t *testing.T, send func(n int64) error) {
	t.Run("100 at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				for j := range 3 {
					n := int64(i*j) * 37
					if err := send(n); err != nil {
						t.Errorf("%d bytes: %v", n, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

// startNghttpd starts nghttp2's own server for dir/files, which echoes what is
// sent to it.
func startNghttpd(t *testing.T, id *identity, secure bool, args ...string) string {
	addr := program.Server{Program: "nghttpd", Package: "nghttp2-server", Ports: 1, Args: func(dir string, addrs []string) []string {
		root := filepath.Join(dir, "files")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(pattern(0, large))
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, "large", string(b))
		write(t, root, "small", "small")
		host, port, _ := net.SplitHostPort(addrs[0])
		all := append([]string{"-a", host, "-d", root, "-n", "2", "--echo-upload", "--trailer", "x-sum: 17", "--trailer", "x-more: a"}, args...)
		if !secure {
			return append(all, "--no-tls", port)
		}
		pem := write(t, dir, "pair.pem", string(id.pem))
		return append(all, port, pem, pem)
	}}.Start(t)[0]
	if secure {
		return "https://" + addr
	}
	return "http://" + addr
}

func TestNghttpd(t *testing.T) {
	id := newIdentity(t)
	t.Run("wide", func(t *testing.T) {
		overHTTP2(t, id, startNghttpd(t, id, true), startNghttpd(t, id, false), nghttpd)
	})
	t.Run("narrow", func(t *testing.T) { // few streams, small windows, padding, no tables, no lengths
		args := []string{"-m", "7", "-w", "14", "-W", "16", "-b", "200", "--no-content-length", "-c", "0", "--encoder-header-table-size", "0"}
		overHTTP2(t, id, startNghttpd(t, id, true, args...), startNghttpd(t, id, false, args...), nghttpd)
	})
}

func nghttpd(t *testing.T, c *godwit.Client, base string) {
	t.Run("download", func(t *testing.T) {
		download(t, c, base+"/large", large)
		for i := range 5 {
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/small"))
			if err != nil || resp.Text() != "small" || resp.Proto != "HTTP/2.0" || !resp.Reused() {
				t.Errorf("request %d: %v, %v", i, resp, err)
			}
		}
	})
	t.Run("upload", func(t *testing.T) {
		want := sum(t, pattern(0, large))
		for name, body := range map[string]content.Content{
			"length":  content.Reader(pattern(0, large), "", large),
			"unknown": content.Reader(pattern(0, large), "", -1),
		} {
			req := godwit.NewRequest("POST", base+"/small", godwit.Body(body))
			if err := c.Stream(t.Context(), req, func(r *godwit.Response) error {
				if got := sum(t, r.Body); got != want {
					t.Errorf("%s: what comes back is not what was sent", name)
				}
				return nil
			}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	crowded(t, func(n int64) error {
		want, err := io.ReadAll(pattern(0, n))
		if err != nil {
			return err
		}
		got, err := godwit.Put[[]byte](t.Context(), c, base+"/small", reader(n))
		if err == nil && string(got) != string(want) {
			err = fmt.Errorf("%d bytes come back", len(got))
		}
		return err
	})
	t.Run("trailers", func(t *testing.T) {
		resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/small"))
		if err != nil || resp.Text() != "small" || resp.Trailer().Get("X-Sum") != "17" || resp.Trailer().Get("X-More") != "a" {
			t.Errorf("%v, %v", resp, err)
		}
		sent := content.WithTrailers(content.Reader(pattern(0, 100_000), "", -1), []string{"X-Up"}, func() header.Header { return header.New("X-Up", "9") })
		got, err := godwit.Post[[]byte](t.Context(), c, base+"/small", sent)
		if err != nil || len(got) != 100_000 {
			t.Errorf("sent: %d bytes come back, %v", len(got), err)
		}
	})
	t.Run("no body", func(t *testing.T) {
		resp, err := c.Do(t.Context(), godwit.NewRequest("HEAD", base+"/large"))
		if err != nil || resp.Status != 200 || resp.Text() != "" {
			t.Errorf("HEAD: %v, %v", resp, err)
		}
		resp, err = c.Do(t.Context(), godwit.NewRequest("GET", base+"/missing"))
		if err != nil || resp.Status != 404 {
			t.Errorf("missing: %v, %v", resp, err)
		}
	})
	// It takes 1,000 streams that are reset, and some more for each second; then it
	// sends GOAWAY and closes the connection, to which the next request may be on its
	// way.
	t.Run("GOAWAY", func(t *testing.T) {
		fresh, after := 0, 0
		for i := 0; after < 500; i++ {
			if i == 50_000 {
				t.Fatal("no GOAWAY")
			}
			err := c.Stream(t.Context(), godwit.NewRequest("GET", base+"/large"), func(r *godwit.Response) error {
				if i > 0 && !r.Reused() {
					fresh++
				}
				return nil // the rest is given up
			})
			if err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			if fresh > 0 {
				after++
			}
		}
		if fresh != 1 {
			t.Errorf("%d new connections, want 1", fresh)
		}
	})
}

// reverse is a server in front of an origin.
type reverse struct {
	name string
	// start returns where it speaks HTTP/2 by TLS and by TCP; "" = it does not.
	start func(t *testing.T, id *identity, origin string) (secure, plain string)
	// lengths tells that it takes no POST without a Content-Length.
	lengths bool
}

// nginx starts it with directives of its servers.
func nginx(t *testing.T, id *identity, origin, directives string) (secure, plain string) {
	addrs := program.Server{Program: "nginx", Package: "nginx-light", Ports: 2, Args: func(dir string, addrs []string) []string {
		server := directives + fmt.Sprintf(`client_max_body_size 0;
			location / { proxy_pass %s; proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; proxy_set_header Connection ""; }`, origin)
		return []string{"-e", "stderr", "-p", dir, "-c", write(t, dir, "nginx.conf", fmt.Sprintf(`%[1]s
			daemon off; worker_processes 1; pid %[2]s/pid; error_log stderr warn;
			events { worker_connections 512; }
			http {
				access_log off;
				client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
				server { listen %[3]s ssl http2; ssl_certificate %[6]s; ssl_certificate_key %[6]s; %[5]s }
				server { listen %[4]s http2; %[5]s }
			}`, asRoot("user root;"), dir, addrs[0], addrs[1], server, write(t, dir, "pair.pem", string(id.pem))))}
	}}.Start(t)
	return "https://" + addrs[0], "http://" + addrs[1]
}

var reverses = []reverse{
	{name: "nginx", start: func(t *testing.T, id *identity, origin string) (secure, plain string) {
		return nginx(t, id, origin, "keepalive_requests 100000;")
	}},
	{name: "apache2", start: func(t *testing.T, id *identity, origin string) (secure, plain string) {
		addrs := program.Server{Program: "apache2", Package: "apache2", Ports: 2, Args: func(dir string, addrs []string) []string {
			var modules strings.Builder
			for _, m := range []string{"mpm_event", "authz_core", "proxy", "proxy_http", "ssl", "setenvif", "http2"} {
				fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%[1]s.so\n", m)
			}
			return []string{"-DFOREGROUND", "-f", write(t, dir, "apache.conf", fmt.Sprintf(`%[1]s
%[2]s
ServerRoot %[3]s
ServerName localhost
PidFile %[3]s/pid
DefaultRuntimeDir %[3]s
Mutex pthread
ErrorLog /dev/stderr
LogLevel crit
StartServers 1
MaxKeepAliveRequests 0
Listen %[4]s https
Listen %[5]s
Protocols h2 h2c http/1.1
ProxyPass / %[6]s/
<VirtualHost %[4]s>
	SSLEngine On
	SSLCertificateFile %[7]s
	SSLCertificateKeyFile %[7]s
	ProxyPass / %[6]s/
</VirtualHost>
`, modules.String(), asRoot("User www-data\nGroup www-data"), dir, addrs[0], addrs[1], origin, write(t, dir, "pair.pem", string(id.pem))))}
		}}.Start(t)
		return "https://" + addrs[0], "http://" + addrs[1]
	}},
	{name: "haproxy", start: func(t *testing.T, id *identity, origin string) (secure, plain string) {
		addrs := program.Server{Program: "haproxy", Package: "haproxy", Ports: 2, Args: func(dir string, addrs []string) []string {
			return []string{"-db", "-q", "-f", write(t, dir, "haproxy.conf", fmt.Sprintf(`
defaults
	mode http
	timeout connect 10s
	timeout client 30s
	timeout server 30s
frontend secure
	bind %[1]s ssl crt %[3]s alpn h2
	default_backend origin
frontend plain
	bind %[2]s proto h2
	default_backend origin
backend origin
	server s %[4]s
`, addrs[0], addrs[1], write(t, dir, "pair.pem", string(id.pem)), hostPort(origin)))}
		}}.Start(t)
		return "https://" + addrs[0], "http://" + addrs[1]
	}},
	{name: "h2o", start: func(t *testing.T, id *identity, origin string) (secure, plain string) {
		addrs := program.Server{Program: "h2o", Package: "h2o", Ports: 2, Args: func(dir string, addrs []string) []string {
			pem := write(t, dir, "pair.pem", string(id.pem))
			_, first, _ := net.SplitHostPort(addrs[0])
			_, second, _ := net.SplitHostPort(addrs[1])
			return []string{"-m", "worker", "-c", write(t, dir, "h2o.conf", fmt.Sprintf(`%[1]s
num-threads: 2
temp-buffer-path: %[2]s
error-log: /dev/stderr
listen:
  host: 127.0.0.1
  port: %[3]s
  ssl:
    certificate-file: %[5]s
    key-file: %[5]s
listen:
  host: 127.0.0.1
  port: %[4]s
hosts:
  default:
    paths:
      "/":
        proxy.reverse.url: "%[6]s/"
`, asRoot("user: root"), dir, first, second, pem, origin))}
		}}.Start(t)
		return "https://" + addrs[0], "http://" + addrs[1]
	}},
	{name: "caddy", start: func(t *testing.T, id *identity, origin string) (secure, plain string) {
		addrs := program.Server{Program: "caddy", Package: "caddy", Ports: 2, Args: func(dir string, addrs []string) []string {
			t.Setenv("XDG_CONFIG_HOME", dir) // it keeps its configuration there
			return []string{"run", "--adapter", "caddyfile", "--config", write(t, dir, "Caddyfile", fmt.Sprintf(`{
	admin off
	auto_https off
	storage file_system %[1]s/storage
	default_sni localhost
	servers {
		protocols h1 h2 h2c
	}
	log {
		level ERROR
	}
}
https://%[2]s {
	tls %[4]s %[4]s
	reverse_proxy %[5]s
}
http://%[3]s {
	reverse_proxy %[5]s
}
`, dir, addrs[0], addrs[1], write(t, dir, "pair.pem", string(id.pem)), origin))}
		}}.Start(t)
		return "https://" + addrs[0], "http://" + addrs[1]
	}},
	{name: "lighttpd", lengths: true, start: func(t *testing.T, id *identity, origin string) (secure, plain string) {
		addrs := program.Server{Program: "lighttpd", Package: "lighttpd", Ports: 1, Args: func(dir string, addrs []string) []string {
			_, port, _ := net.SplitHostPort(addrs[0])
			_, to, _ := net.SplitHostPort(hostPort(origin))
			return []string{"-D", "-f", write(t, dir, "lighttpd.conf", fmt.Sprintf(`
server.modules = ("mod_proxy")
server.document-root = "%[1]s"
server.upload-dirs = ("%[1]s")
server.bind = "127.0.0.1"
server.port = %[2]s
server.feature-flags = ("server.h2proto" => "enable", "server.h2c" => "enable")
server.stream-response-body = 2
proxy.server = ("" => (("host" => "127.0.0.1", "port" => %[3]s)))
`, dir, port, to))}
		}}.Start(t)
		return "", "http://" + addrs[0]
	}},
}

// TestHTTP2Servers: whoever speaks HTTP/2 in front of an origin.
func TestHTTP2Servers(t *testing.T) {
	id := newIdentity(t)
	for _, r := range reverses {
		t.Run(r.name, func(t *testing.T) {
			secure, plain := r.start(t, id, newOrigin(t, id).plain.URL)
			overHTTP2(t, id, secure, plain, func(t *testing.T, c *godwit.Client, base string) {
				length := func(int64) int64 { return -1 }
				if r.lengths {
					length = func(n int64) int64 { return n }
					withLengths(t, c, base)
				} else {
					battery(t, c, base)
				}
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/echo"))
				if err != nil || resp.Proto != "HTTP/2.0" {
					t.Fatalf("%v, %v", resp, err)
				}
				crowded(t, func(n int64) error {
					got, err := godwit.Post[string](t.Context(), c, base+"/echo", content.Reader(reader(n), "", length(n)))
					if err == nil && got != echoed(t, "POST", n) {
						err = fmt.Errorf("the server has got %s", got)
					}
					return err
				})
			})
		})
	}
}

// withLengths is a battery without what needs a POST of unknown length.
func withLengths(t *testing.T, c *godwit.Client, base string) {
	for _, length := range []int64{large, -1} {
		got, err := godwit.Put[string](t.Context(), c, base+"/echo", content.Reader(pattern(0, large), "", length))
		if err != nil || got != echoed(t, "PUT", large) {
			t.Errorf("upload with length %d: %q, %v", length, got, err)
		}
	}
	download(t, c, fmt.Sprintf("%s/stream?n=%d", base, large), large)
	noBodies(t, c, base)
}

// TestGoAwayOfNginx: it goes away after some requests, one after the other or at
// once.
func TestGoAwayOfNginx(t *testing.T) {
	id := newIdentity(t)
	const each = 150
	secure, plain := nginx(t, id, newOrigin(t, id).plain.URL, fmt.Sprintf("keepalive_requests %d;", each))
	overHTTP2(t, id, secure, plain, func(t *testing.T, c *godwit.Client, base string) {
		fresh := 0
		for range 3 * each {
			resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/echo"))
			if err != nil || resp.Text() != echoed(t, "GET", 0) {
				t.Fatal(resp, err)
			}
			if !resp.Reused() {
				fresh++
			}
		}
		if fresh != 3 {
			t.Errorf("%d connections for %d requests of which nginx takes %d each", fresh, 3*each, each)
		}
		crowded(t, func(n int64) error {
			got, err := godwit.Post[string](t.Context(), c, base+"/echo", content.Bytes([]byte(strings.Repeat("x", int(n))), ""))
			if err == nil && !strings.HasPrefix(got, fmt.Sprintf("POST %d ", n)) {
				err = fmt.Errorf("the server has got %s", got)
			}
			return err
		})
	})
}
