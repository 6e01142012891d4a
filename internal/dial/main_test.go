package dial_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// serve answers each connection in a goroutine of its own and closes it after
// that. When the test ends, no connection may be left that the client has not
// closed.
func serve(t *testing.T, l net.Listener, handle func(net.Conn)) *leakcheck.Listener {
	t.Helper()
	counted := leakcheck.Listen(l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := counted.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	t.Cleanup(func() {
		counted.WaitClosed(t)
		counted.Close()
		<-done
	})
	return counted
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// echo sends back what it reads until the peer closes.
func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

// silent reads and never answers.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// certificates returns a server's configuration, for example.com and 127.0.0.1,
// and the matching client's one.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	server = &tls.Config{Certificates: s.TLS.Certificates}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	client = &tls.Config{RootCAs: roots}
	return server, client
}

func route(t *testing.T, d *dial.Dialer, rawURL string) dial.Route {
	t.Helper()
	r, err := d.Route(&engine.Request{Method: "GET", URL: parse(t, rawURL)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// connect connects to rawURL and closes the connection when the test ends.
func connect(t *testing.T, d *dial.Dialer, rawURL string) *dial.Conn {
	t.Helper()
	c, err := d.Connect(t.Context(), route(t, d, rawURL), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pong checks that there is an echo at the other end of c.
func pong(t *testing.T, c io.ReadWriter) {
	t.Helper()
	if _, err := io.WriteString(c, "ping"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
		t.Fatalf("echo = %q, %v", got, err)
	}
}

// tryConnect closes an unexpected connection and returns the error.
func tryConnect(ctx context.Context, t *testing.T, d *dial.Dialer, rawURL string) error {
	t.Helper()
	c, err := d.Connect(ctx, route(t, d, rawURL), 0, nil)
	if err == nil {
		c.Close()
		t.Fatal("Connect succeeded")
	}
	return err
}
