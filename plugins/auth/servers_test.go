package auth_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/internal/program"
	"github.com/godwit-go/godwit/plugins/auth"
)

// The tests here talk to real servers, with the engines that have a wire.

const (
	user     = "ada"
	password = "pass:wörd"
	realm    = "the realm"
)

// write puts files into dir, which holds a document, too.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		t.Error(err)
	}
	files["www/index.html"] = "in"
	files["www/a b.html"] = "in"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// htpasswd returns a file of users as Apache, nginx and squid read it.
func htpasswd(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(program.Find(t, "htpasswd", "apache2-utils"), "-nbm", user, password).Output()
	if err != nil {
		t.Fatalf("htpasswd: %v", err)
	}
	return string(out)
}

// clients runs f with a client on each engine.
func clients(t *testing.T, shared engine.Config, provider auth.Provider, f func(t *testing.T, c *godwit.Client)) {
	for name, factory := range map[string]engine.Factory{"cio": cio.Config{}, "nethttp": nethttp.Config{}} {
		t.Run(name, func(t *testing.T) {
			c := godwit.New(godwit.WithEngine(factory), godwit.Install(auth.New(provider)), godwit.EngineConfig(func(e *engine.Config) { *e = shared }))
			defer c.Close()
			f(t, c)
		})
	}
}

// direct has no proxy, whatever the environment says.
var direct = engine.Config{Proxy: engine.NoProxy}

func status(r *godwit.Response) godwit.Status {
	if r == nil {
		return 0
	}
	return r.Status
}

// wantSends gets url and checks that it was let in after so many requests.
func wantSends(t *testing.T, c *godwit.Client, url string, sends int, opts ...godwit.Option) {
	t.Helper()
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", url, opts...))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 200 || resp.Text() != "in" || resp.Call().Sends() != sends {
		t.Errorf("%s: %v %q after %d sends, want %d", url, resp.Status, resp.Text(), resp.Call().Sends(), sends)
	}
}

const apacheHead = `ServerName localhost
Listen %s
PidFile %[2]s/pid
ErrorLog /dev/stderr
Mutex posixsem
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authn_file_module /usr/lib/apache2/modules/mod_authn_file.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule auth_basic_module /usr/lib/apache2/modules/mod_auth_basic.so
LoadModule auth_digest_module /usr/lib/apache2/modules/mod_auth_digest.so
DocumentRoot %[2]s/www
<Directory %[2]s/www>
	AuthName "the realm"
	Require valid-user
`

// apache starts apache2 with the given lines for its directory.
func apache(t *testing.T, directory string, files map[string]string) string {
	t.Helper()
	return "http://" + program.Server{Program: "apache2", Package: "apache2", Ports: 1, Args: func(dir string, addrs []string) []string {
		all := map[string]string{"conf": fmt.Sprintf(apacheHead, addrs[0], dir) + strings.ReplaceAll(directory, "DIR", dir) + "</Directory>\n"}
		for name, text := range files {
			all[name] = text
		}
		write(t, dir, all)
		return []string{"-X", "-d", dir, "-f", filepath.Join(dir, "conf")}
	}}.Start(t)[0]
}

func nginx(t *testing.T) string {
	t.Helper()
	const conf = `daemon off; master_process off; pid %[2]s/pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/p; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
	server { listen %[1]s; root %[2]s/www; index index.html; auth_basic "the realm"; auth_basic_user_file %[2]s/users; }
}`
	return "http://" + program.Server{Program: "nginx", Package: "nginx-light", Ports: 1, Args: func(dir string, addrs []string) []string {
		write(t, dir, map[string]string{"conf": fmt.Sprintf(conf, addrs[0], dir), "users": htpasswd(t)})
		return []string{"-p", dir, "-c", filepath.Join(dir, "conf"), "-e", "stderr"}
	}}.Start(t)[0]
}

func TestBasicOnApacheAndNginx(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) string{
		"apache2": func(t *testing.T) string {
			return apache(t, "AuthType Basic\nAuthBasicProvider file\nAuthUserFile DIR/users\n", map[string]string{"users": htpasswd(t)})
		},
		"nginx": nginx,
	} {
		t.Run(name, func(t *testing.T) {
			base := start(t)
			clients(t, direct, auth.Basic{User: user, Password: password, Realm: realm}, func(t *testing.T, c *godwit.Client) {
				wantSends(t, c, base+"/index.html", 2)
				wantSends(t, c, base+"/index.html", 1)
				if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/index.html", auth.Off())); err != nil || resp.Status != 401 {
					t.Errorf("without credentials: %v, %v", status(resp), err)
				}
			})
			clients(t, direct, auth.Basic{User: user, Password: password, Preemptive: true}, func(t *testing.T, c *godwit.Client) {
				wantSends(t, c, base+"/index.html", 1)
			})
			clients(t, direct, auth.Basic{User: user, Password: "wrong"}, func(t *testing.T, c *godwit.Client) {
				if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/index.html")); err != nil || resp.Status != 401 || resp.Call().Sends() != 2 {
					t.Errorf("wrong password: %v, %v", status(resp), err)
				}
			})
		})
	}
}

// useDigest is what any Digest server is asked.
func useDigest(t *testing.T, base string) {
	clients(t, direct, auth.Digest{User: user, Password: password}, func(t *testing.T, c *godwit.Client) {
		wantSends(t, c, base+"/index.html", 2)
		wantSends(t, c, base+"/index.html", 1)
		wantSends(t, c, base+"/a%20b.html?q=%2F&r", 1)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/index.html")); err != nil || resp.Status != 200 {
						t.Errorf("%v, %v", status(resp), err)
					}
				}
			})
		}
		wg.Wait()
	})
	clients(t, direct, auth.Digest{User: user, Password: "wrong"}, func(t *testing.T, c *godwit.Client) {
		if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/index.html")); err != nil || resp.Status != 401 || resp.Call().Sends() != 2 {
			t.Errorf("wrong password: %v, %v", status(resp), err)
		}
	})
}

// TestDigestOnApache: MD5, the users as htdigest writes them.
func TestDigestOnApache(t *testing.T) {
	tool := program.Find(t, "htdigest", "apache2-utils")
	users := filepath.Join(t.TempDir(), "users")
	cmd := exec.Command(tool, "-c", users, realm, user)
	cmd.Stdin = strings.NewReader(password + "\n" + password + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("htdigest: %v\n%s", err, out)
	}
	text, err := os.ReadFile(users)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"users": string(text)}
	useDigest(t, apache(t, "AuthType Digest\nAuthDigestProvider file\nAuthDigestDomain /\nAuthUserFile DIR/users\n", files))
	t.Run("nextnonce", func(t *testing.T) {
		// Within 30 seconds of a nonce's end Apache gives the next one.
		base := apache(t, "AuthType Digest\nAuthDigestProvider file\nAuthDigestNonceLifetime 20\nAuthUserFile DIR/users\n", files)
		clients(t, direct, auth.Digest{User: user, Password: password}, func(t *testing.T, c *godwit.Client) {
			for i := range 4 {
				resp, err := c.Do(t.Context(), godwit.NewRequest("GET", base+"/index.html"))
				if err != nil || resp.Status != 200 || resp.Call().Sends() != max(1, 2-i) || !strings.Contains(resp.Header.Get("Authentication-Info"), "nextnonce") {
					t.Fatalf("request %d: %v, %v", i, status(resp), err)
				}
				if nc := param(t, resp.Request().Header.Get("Authorization"), "nc"); nc != "00000001" {
					t.Errorf("request %d: nc %s", i, nc)
				}
			}
		})
	})
}

// TestDigestOnLighttpd: SHA-256.
func TestDigestOnLighttpd(t *testing.T) {
	const conf = `server.port = %[1]s
server.bind = "127.0.0.1"
server.document-root = "%[2]s/www"
server.errorlog = "/dev/stderr"
server.modules = ("mod_auth", "mod_authn_file")
index-file.names = ("index.html")
mimetype.assign = (".html" => "text/html")
auth.backend = "htdigest"
auth.backend.htdigest.userfile = "%[2]s/users"
auth.require = ("/" => ("method" => "digest", "realm" => "the realm", "require" => "valid-user", "algorithm" => "SHA-256"))
`
	addr := program.Server{Program: "lighttpd", Package: "lighttpd", Ports: 1, Args: func(dir string, addrs []string) []string {
		sum := sha256.Sum256([]byte(user + ":" + realm + ":" + password))
		_, port, _ := strings.Cut(addrs[0], ":")
		write(t, dir, map[string]string{"conf": fmt.Sprintf(conf, port, dir), "users": user + ":" + realm + ":" + hex.EncodeToString(sum[:]) + "\n"})
		return []string{"-D", "-f", filepath.Join(dir, "conf")}
	}}.Start(t)[0]
	useDigest(t, "http://"+addr)
}

// squid starts a proxy with the given lines about authentication.
func squid(t *testing.T, lines string, files map[string]string) string {
	t.Helper()
	return program.Server{Program: "squid", Package: "squid-openssl", Ports: 1, Args: func(dir string, addrs []string) []string {
		conf := fmt.Sprintf(`http_port %s
pid_filename none
cache deny all
access_log none
cache_log /dev/stderr
cache_store_log none
coredump_dir %s
pinger_enable off
shutdown_lifetime 0 seconds
%s
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
`, addrs[0], dir, strings.ReplaceAll(lines, "DIR", dir))
		all := map[string]string{"conf": conf}
		for name, text := range files {
			all[name] = text
		}
		write(t, dir, all)
		return []string{"-N", "-f", filepath.Join(dir, "conf")}
	}}.Start(t)[0]
}

// useProxy sends by a proxy that wants credentials.
func useProxy(t *testing.T, proxy, origin string, provider func(password string) auth.Provider, second int) {
	shared := engine.Config{Proxy: nil}
	by := godwit.Proxy("http://" + proxy)
	clients(t, shared, provider(password), func(t *testing.T, c *godwit.Client) {
		wantSends(t, c, origin+"/index.html", 2, by)
		wantSends(t, c, origin+"/index.html", second, by)
		wantSends(t, c, origin+"/a%20b.html?q=%2F", second, by)
	})
	clients(t, shared, provider("wrong"), func(t *testing.T, c *godwit.Client) {
		if resp, err := c.Do(t.Context(), godwit.NewRequest("GET", origin+"/index.html", by)); err != nil || resp.Status != 407 || resp.Call().Sends() != 2 {
			t.Errorf("wrong password: %v, %v", status(resp), err)
		}
	})
}

// origin is a server that lets everybody in, for what is behind the proxies.
func origin(t *testing.T) string {
	t.Helper()
	return apache(t, "Require all granted\n", nil)
}

func TestBasicOnSquid(t *testing.T) {
	proxy := squid(t, `auth_param basic program /usr/lib/squid/basic_ncsa_auth DIR/users
auth_param basic realm the realm`, map[string]string{"users": htpasswd(t)})
	useProxy(t, proxy, origin(t), func(password string) auth.Provider {
		return auth.Basic{User: user, Password: password, Proxy: proxy}
	}, 2)
}

func TestDigestOnSquid(t *testing.T) {
	proxy := squid(t, `auth_param digest program /usr/lib/squid/digest_file_auth -c DIR/users
auth_param digest realm the realm
auth_param digest check_nonce_count on
auth_param digest nonce_strictness on`, map[string]string{"users": user + ":" + realm + ":" + md5Hex(user+":"+realm+":"+password) + "\n"})
	useProxy(t, proxy, origin(t), func(password string) auth.Provider {
		return auth.Digest{User: user, Password: password, Proxy: proxy}
	}, 1)
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
