package godwit_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/header"
)

// hello returns a server that says hello, in plain text.
func hello() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
}

func ExampleNew_noEngine() {
	c := godwit.New() // the first registered engine, else cio
	defer c.Close()

	fmt.Println(c.Engine().Name())
	// Output: cio
}

func ExampleWithEngine() {
	server := hello()
	defer server.Close()
	for _, config := range []engine.Factory{cio.Config{}, nethttp.Config{}} {
		c := godwit.New(godwit.WithEngine(config)) // the client makes, owns and closes the engine
		text, err := godwit.Get[string](ctx, c, server.URL)
		fmt.Println(c.Engine().Name(), text, err)
		c.Close()
	}
	// Output:
	// cio hello <nil>
	// nethttp hello <nil>
}

func ExampleWithEngineInstance() {
	shared, err := cio.Config{}.NewEngine(engine.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shared.Close() // who made it closes it
	one := godwit.New(godwit.WithEngineInstance(shared))
	two := godwit.New(godwit.WithEngineInstance(shared))
	one.Close()
	fmt.Println(two.Engine().Name())
	two.Close()
	// Output: cio
}

func ExampleEngineConfig() {
	// What all engines share, on whichever engine it is.
	c := godwit.New(godwit.EngineConfig(func(e *engine.Config) {
		e.MaxConnections = 1000
		e.MaxConnectionsPerRoute = 100
		e.MaxConcurrent = 8
		e.Proxy = engine.NoProxy
		e.Pipelining = true // advice, for engines that can
		e.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
		e.Timeouts = engine.Timeouts{Connect: 10 * time.Second, Idle: time.Minute}
		e.Go = func(f func()) { go f() }
	}))
	defer c.Close()

	fmt.Println(c.Err())
	// Output: <nil>
}

func ExampleWithEngine_cio() {
	c := godwit.New(godwit.WithEngine(cio.Config{
		MaxConnections:         1000,
		MaxConnectionsPerRoute: 100,
		KeepAlive:              time.Minute,
		ConnectAttempts:        5,
		Timeouts:               engine.Timeouts{Connect: 5 * time.Second},
	}))
	defer c.Close()

	fmt.Println(c.Err())
	// Output: <nil>
}

func ExampleWithEngine_tLS() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.ServerName)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	c := godwit.New(godwit.WithEngine(cio.Config{TLS: &tls.Config{
		ServerName:   "example.com",
		RootCAs:      roots, // whom to trust; VerifyConnection says it in code
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		Rand:         rand.Reader,
		Certificates: nil, // client certificates, from tls.LoadX509KeyPair
	}}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	// Output: example.com <nil>
}

func ExampleWithEngine_insecure() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))
	defer server.Close()

	c := godwit.New(godwit.EngineConfig(func(e *engine.Config) {
		e.TLS = &tls.Config{InsecureSkipVerify: true} // in tests only
	}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	// Output: hello <nil>
}

func ExampleWithEngine_nethttp() {
	server := hello()
	defer server.Close()
	count := func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			fmt.Println("interceptor:", r.Method)
			return next.RoundTrip(r)
		})
	}
	c := godwit.New(godwit.WithEngine(nethttp.Config{
		Protocol:               nethttp.HTTP1,
		FollowRedirects:        true, // by the engine, below godwit's plugins
		MaxRedirects:           50,
		MaxConnections:         1000,
		MaxConnectionsPerRoute: 100,
		Timeouts:               engine.Timeouts{Connect: 10 * time.Second, Idle: 10 * time.Second, Pool: 20 * time.Second},
		CustomizeTransport:     func(t *http.Transport) { t.WriteBufferSize = 64 << 10 },
		CustomizeRequest:       func(r *http.Request) { r.Header.Set("X-Custom", "1") },
		Interceptors:           []func(http.RoundTripper) http.RoundTripper{count},
		NetworkInterceptors:    []func(http.RoundTripper) http.RoundTripper{count},
	}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	// Output:
	// interceptor: GET
	// interceptor: GET
	// hello <nil>
}

// roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func ExampleWithEngine_preconfigured() {
	server := hello()
	defer server.Close()
	transport := &http.Transport{DisableCompression: true} // or the RoundTripper of any library
	c := godwit.New(godwit.WithEngine(nethttp.Config{Preconfigured: transport}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	// Output: hello <nil>
}

func ExampleWithEngine_mock() {
	eng := mock.New(
		mock.When(mock.Method("POST"), mock.Path("/users")).Reply(mock.Status(503), mock.JSON(201, User{7, "Ada"})),
		mock.When(mock.Path("/old")).Reply(mock.Redirect("/users/7")),
		mock.When(mock.Path("/users/*")).Reply(mock.JSON(200, User{7, "Ada"})),
		mock.Always(mock.BadRequest()),
	)
	defer eng.Close()
	c := godwit.New(godwit.WithEngineInstance(eng), godwit.BaseURL("https://example.org"))
	defer c.Close()

	fmt.Println(godwit.Post[godwit.Status](ctx, c, "/users", User{Name: "Ada"}))
	fmt.Println(godwit.Post[User](ctx, c, "/users", User{Name: "Ada"}))
	fmt.Println(godwit.Get[User](ctx, c, "/old"))
	fmt.Println(len(eng.Requests()), eng.Requests()[0].Text(), eng.Responses()[0].Status)
	// Output:
	// 503 Service Unavailable <nil>
	// {7 Ada} <nil>
	// {7 Ada} <nil>
	// 4 {"id":0,"name":"Ada"} 503
}

func ExampleWithEngine_mockFunc() {
	eng := mock.Serve(mock.Func(func(_ context.Context, req *mock.Request) (*mock.Response, error) {
		if req.Header.Get("Authorization") == "" {
			return mock.Text(401, "who are you?"), nil
		}
		return mock.OK("welcome"), nil
	}))
	c := godwit.New(godwit.WithEngineInstance(eng))
	defer c.Close()

	fmt.Println(godwit.Get[godwit.Status](ctx, c, "https://example.org/"))
	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/", godwit.BearerAuth("t")))
	// Output:
	// 401 Unauthorized <nil>
	// welcome <nil>
}

func ExampleWithEngine_mockQueue() {
	eng := mock.New() // nothing yet
	c := godwit.New(godwit.WithEngineInstance(eng))
	defer c.Close()
	eng.Enqueue(mock.OK("one"), mock.OK("two"))
	for range 2 {
		fmt.Println(godwit.Get[string](ctx, c, "https://example.org/"))
	}

	again := godwit.New(godwit.WithEngine(mock.Config{Handlers: []mock.Handler{mock.OK("the same")}, Cycle: true}))
	defer again.Close()
	for range 2 {
		fmt.Println(godwit.Get[string](ctx, again, "https://example.org/"))
	}
	// Output:
	// one <nil>
	// two <nil>
	// the same <nil>
	// the same <nil>
}

func ExampleWithEngine_http2() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	c := godwit.New(godwit.WithEngine(nethttp.Config{Protocol: nethttp.HTTP2, TLS: &tls.Config{RootCAs: roots}}))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	// Output: HTTP/2.0 <nil>
}

func Example_roundTrip() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var user User
		if err := json.NewDecoder(r.Body).Decode(&user); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		user.ID = 7
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(user)
	}))
	defer server.Close()
	c := godwit.New()
	defer c.Close()

	fmt.Println(godwit.Post[User](ctx, c, server.URL, User{Name: "Ada"}))
	// Output: {7 Ada} <nil>
}

func ExampleClient_Supports() {
	c := godwit.New(godwit.WithEngineInstance(mock.New()))
	defer c.Close()

	fmt.Println(c.Supports(engine.Upgrade | engine.ResponseTrailers))
	// Output: true
}

func ExampleUnsupportedError() {
	c := godwit.New(godwit.WithEngine(mock.Config{Capabilities: engine.HTTP1, EngineName: "simple"}))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/", godwit.UnixSocket("/run/app.sock"))
	missing, _ := errors.AsType[*godwit.UnsupportedError](err)
	fmt.Println(missing)
	// Output: engine simple does not support unix sockets
}

func ExampleProxy() {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the proxy was asked for %s", r.URL)
	}))
	defer proxy.Close()
	c := godwit.New(godwit.Proxy(proxy.URL)) // or socks5://user:password@host:1080; "direct" for none
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "http://example.org/page"))
	// Output: the proxy was asked for http://example.org/page <nil>
}

func ExampleProxyBy() {
	inside := func(u *url.URL) (*url.URL, error) {
		if u.Hostname() == "127.0.0.1" {
			return nil, nil // directly
		}
		return url.Parse("http://proxy.example:3128")
	}
	server := hello()
	defer server.Close()
	c := godwit.New(godwit.ProxyBy(inside))
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	// Output: hello <nil>
}

func ExampleUnixSocket() {
	dir, err := os.MkdirTemp("", "godwit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })}
	go server.Serve(listener)
	defer server.Close()
	c := godwit.New()
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, "http://app/status", godwit.UnixSocket(path)))
	// Output: app <nil>
}

func ExampleTrace() {
	server := hello()
	defer server.Close()
	c := godwit.New()
	defer c.Close()

	trace := &engine.Trace{GotConn: func(conn engine.GotConn) { fmt.Println("reused:", conn.Reused) }}
	for range 2 {
		_, err := godwit.Get[string](ctx, c, server.URL, godwit.Trace(trace))
		fmt.Println(err)
	}
	// Output:
	// reused: false
	// <nil>
	// reused: true
	// <nil>
}

func ExampleTrace_informational() {
	eng := mock.Serve(mock.OK("page").WithInformational(103, "Link", "</style.css>; rel=preload"))
	c := godwit.New(godwit.WithEngineInstance(eng))
	defer c.Close()

	hints := &engine.Trace{Informational: func(status int, h header.Header) error {
		fmt.Println(status, h.Get("Link"))
		return nil
	}}
	fmt.Println(godwit.Get[string](ctx, c, "https://example.org/", godwit.Trace(hints)))
	// Output:
	// 103 </style.css>; rel=preload
	// page <nil>
}

func ExampleUpgrade() {
	shout := mock.Status(101).WithUpgrade(func(peer io.ReadWriteCloser) {
		line, _ := bufio.NewReader(peer).ReadString('\n')
		fmt.Fprint(peer, "you said ", line)
	})
	c := godwit.New(godwit.WithEngineInstance(mock.Serve(shout)))
	defer c.Close()

	resp, err := c.Open(ctx, godwit.NewRequest("GET", "https://example.org/", godwit.Upgrade("shout")))
	if err != nil {
		fmt.Println(err)
		return
	}
	conn := resp.Upgraded() // nil if the server did not agree
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	fmt.Println(bufio.NewReader(conn).ReadString('\n'))
	// Output:
	// you said hello
	//  <nil>
}

func ExampleRawHead() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	c := godwit.New()
	defer c.Close()

	resp, err := godwit.Get[*godwit.Response](ctx, c, server.URL, godwit.RawHead())
	fmt.Printf("%q %v\n", resp.RawHead(), err)
	// Output: "HTTP/1.1 204 No Content\r\n\r\n" <nil>
}

func ExampleNoStaleRetry() {
	server := hello()
	defer server.Close()
	c := godwit.New(godwit.NoStaleRetry()) // a dead connection is an error, not a silent second try
	defer c.Close()

	fmt.Println(godwit.Get[string](ctx, c, server.URL))
	// Output: hello <nil>
}

func ExampleMaxSends() {
	c := godwit.New(godwit.WithEngineInstance(moved()), godwit.MaxSends(1))
	defer c.Close()

	_, err := godwit.Get[string](ctx, c, "https://example.org/old")
	fmt.Println(errors.Is(err, godwit.ErrTooManySends))
	// Output: true
}

func ExampleMaxDecodeRatio() {
	c := godwit.New(godwit.WithEngineInstance(ada()), godwit.MaxDecodeRatio(50)) // stricter than 200
	defer c.Close()

	fmt.Println(godwit.Get[User](ctx, c, "https://example.org/users/7"))
	// Output: {7 Ada} <nil>
}

func ExampleClient_RoundTrip() {
	c := godwit.New(godwit.WithEngineInstance(moved()))
	defer c.Close()

	// The door for adapters: no redirects, no defaults, nothing buffered.
	resp, err := c.RoundTrip(ctx, godwit.NewRequest("GET", "https://example.org/old"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Close()
	fmt.Println(resp.Status)
	// Output: 307 Temporary Redirect
}
