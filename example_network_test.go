package godwit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"syscall"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
)

func ExampleProxyError() {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="office"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	c := godwit.New(godwit.Proxy(proxy.URL))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/")
	if failed, ok := errors.AsType[*godwit.ProxyError](err); ok {
		fmt.Println(failed.Status, failed.Header.Get("Proxy-Authenticate"))
	}
	// Output: 407 Basic realm="office"
}

func ExampleProxy_oneRequest() {
	server := hello()
	defer server.Close()
	c := godwit.New(godwit.Proxy("http://proxy.example:3128"))
	defer c.Close()

	text, err := godwit.Get[string](ctx, c, server.URL, godwit.Proxy("direct"))
	fmt.Println(text, err)
	// Output: hello <nil>
}

func ExampleEngineConfig_resolve() {
	server := hello()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	lookup := map[string]netip.Addr{"app.internal": netip.MustParseAddr("127.0.0.1")}

	c := godwit.New(godwit.EngineConfig(func(e *engine.Config) {
		e.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			if a, ok := lookup[host]; ok {
				return []netip.Addr{a}, nil
			}
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "http://app.internal:"+port))
	// Output: hello <nil>
}

func ExampleEngineConfig_dialControl() {
	server := hello()
	defer server.Close()

	c := godwit.New(godwit.EngineConfig(func(e *engine.Config) {
		e.DialControl = func(_ context.Context, network, address string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(address); err == nil && !to.Addr().IsGlobalUnicast() {
				return fmt.Errorf("%s is not for this program", to.Addr())
			}
			return nil
		}
	}))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, server.URL)
	fmt.Println(err != nil)
	// Output: true
}

func ExampleEngineConfig_dial() {
	server := hello()
	defer server.Close()
	gateway := server.Listener.Addr().String()

	c := godwit.New(godwit.EngineConfig(func(e *engine.Config) {
		e.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", gateway) // address is "example.org:80"
		}
	}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "http://example.org/"))
	// Output: hello <nil>
}

func ExampleWithEngine_network() {
	server := hello()
	defer server.Close()
	there := server.Listener.Addr().String()

	c := godwit.New(godwit.WithEngine(cio.Config{
		Hosts:        map[string]string{"api.example.org:80": there}, // as curl --resolve
		LocalAddr:    netip.MustParseAddr("127.0.0.1"),
		TCPKeepAlive: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second},
	}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "http://api.example.org/"))
	// Output: hello <nil>
}

func ExampleWithEngineInstance_stats() {
	server := hello()
	defer server.Close()

	e := cio.Config{MaxConnectionsPerRoute: 20, MaxAge: 5 * time.Minute}.New(engine.Config{})
	defer e.Close()
	c := godwit.New(godwit.WithEngineInstance(e))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	s := e.Stats()
	fmt.Println(s.Open, s.Idle, s.Waiting, len(s.Routes))
	e.CloseIdle()
	fmt.Println(e.Stats().Open)
	// Output:
	// hello <nil>
	// 1 1 0 1
	// 0
}
