package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// nginx is a server that others have written, for a cell that shows whether
// prebaked answers flatter anybody. It takes part where it is installed.
type nginx struct {
	cmd  *exec.Cmd
	addr string
}

func hasNginx() bool {
	_, err := exec.LookPath("nginx")
	return err == nil
}

const nginxConfig = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	keepalive_requests 100000000;
	server {
		listen %[2]s;
		location = %[3]s { default_type text/plain; return 200 "%[4]s"; }
	}
	%[5]s
}
`

// startNginx starts it where the harness's own server runs.
func (h *harness) startNginx(c cell) (*nginx, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &nginx{addr: ln.Addr().String()}
	ln.Close()
	file := filepath.Join(h.dir, "nginx.conf")
	more := ""
	if plain := n.addr; c.kind.isH2() {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		n.addr = ln.Addr().String()
		ln.Close()
		if more, err = h.nginxH2Server(n.addr); err != nil {
			return nil, err
		}
		defer func(secure string) { n.addr = secure }(n.addr)
		n.addr = plain
	}
	config := fmt.Sprintf(nginxConfig, h.dir, n.addr, pathSmall, strings.Repeat("x", smallSize), more)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	n.cmd = exec.Command("nginx", "-p", h.dir, "-c", file)
	n.cmd.Stderr = os.Stderr
	if err := h.pinned(0, n.cmd.Start); err != nil {
		return nil, err
	}
	for range 100 {
		c, err := net.Dial("tcp", n.addr)
		if err == nil {
			c.Close()
			return n, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	n.stop()
	return nil, errors.New("nginx does not listen")
}

func (n *nginx) stop() {
	n.cmd.Process.Kill()
	n.cmd.Wait()
}
