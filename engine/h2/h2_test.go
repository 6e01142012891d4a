package h2_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// serve starts net/http's server: over TLS, or h2c.
func serve(t testing.TB, secure bool, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.EnableHTTP2 = true
	if secure {
		s.StartTLS()
	} else {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func newEngine(t testing.TB, c h2.Config, s *httptest.Server) *h2.Engine {
	t.Helper()
	if c.Proxy == nil {
		c.Proxy = engine.NoProxy
	}
	if s != nil && s.TLS != nil {
		c.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		c.TLS.NextProtos = nil
	}
	e, err := c.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func request(t testing.TB, method, rawURL string, fields ...string) *engine.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return &engine.Request{Method: method, URL: u, Header: header.New(fields...)}
}

func read(t testing.TB, resp *engine.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(b), err)
	}
	resp.Body.Close()
	return string(b)
}

// both runs a test over TLS and over h2c.
func both(t *testing.T, handler http.HandlerFunc, run func(t *testing.T, e *h2.Engine, base string)) {
	for _, secure := range []bool{true, false} {
		t.Run(map[bool]string{true: "TLS", false: "h2c"}[secure], func(t *testing.T) {
			s := serve(t, secure, handler)
			run(t, newEngine(t, h2.Config{}, s), s.URL)
		})
	}
}

func TestGet(t *testing.T) {
	both(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Got", r.Proto+" "+r.Method+" "+r.Host+" "+r.RequestURI+" "+r.Header.Get("X-A"))
		fmt.Fprint(w, "hello")
	}, func(t *testing.T, e *h2.Engine, base string) {
		for i := range 3 {
			resp, err := e.Execute(t.Context(), request(t, "GET", base+"/a%20b?c=d", "X-A", "1"))
			if got := read(t, resp, err); got != "hello" {
				t.Errorf("body %q", got)
			}
			host := base[strings.Index(base, "://")+3:]
			want := "HTTP/2.0 GET " + host + " /a%20b?c=d 1"
			if got := resp.Header.Get("X-Got"); got != want || resp.Status != 200 || resp.Proto != "HTTP/2.0" || resp.ContentLength != 5 {
				t.Errorf("%d %s %d: the server got %q, want %q", resp.Status, resp.Proto, resp.ContentLength, got, want)
			}
			if resp.Reused != (i > 0) {
				t.Errorf("request %d: Reused is %v", i, resp.Reused)
			}
		}
		if s := e.Stats(); s.Open != 1 || s.Idle != 1 || s.Streams != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestBodies(t *testing.T) {
	both(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		for name, values := range r.Trailer {
			w.Header().Set("Got-"+name, values[0])
		}
		w.Header().Set("Trailer", "X-End")
		w.Write(b)
		w.Header().Set("X-End", "yes")
	}, func(t *testing.T, e *h2.Engine, base string) {
		for _, size := range []int{0, 1, 100, 16 << 10, 70_000, 3 << 20} {
			data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			for name, body := range map[string]content.Content{
				"bytes":  content.Bytes(data, ""),
				"reader": content.Opener(func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, "", -1),
			} {
				req := request(t, "POST", base)
				req.Body = body
				if name == "reader" {
					req.TrailerNames = []string{"X-Sum"}
					req.Trailer = func() header.Header { return header.New("X-Sum", "17") }
				}
				resp, err := e.Execute(t.Context(), req)
				if got := read(t, resp, err); got != string(data) {
					t.Errorf("%s, %d bytes: got %d back", name, size, len(got))
				}
				if got := resp.Trailer().Get("X-End"); got != "yes" {
					t.Errorf("%s, %d bytes: trailer %q", name, size, got)
				}
				if got := resp.Header.Get("Got-X-Sum"); name == "reader" && got != "17" {
					t.Errorf("%d bytes: the server got the trailer %q", size, got)
				}
			}
		}
	})
}

func TestParallel(t *testing.T) {
	both(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }, func(t *testing.T, e *h2.Engine, base string) {
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() {
				for j := range 10 {
					path := fmt.Sprintf("/%d/%d", i, j)
					resp, err := e.Execute(t.Context(), request(t, "GET", base+path))
					if err != nil {
						t.Error(err)
						return
					}
					b, err := io.ReadAll(resp.Body)
					if err != nil || string(b) != path {
						t.Errorf("%s: %q, %v", path, b, err)
					}
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
	})
}

// TestOldServer: a server that speaks HTTP/1 only is an error that says so.
func TestOldServer(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, tc := range []struct {
		name, url, text string
		op              engine.Op
	}{
		{"TLS", s.URL, "does not speak HTTP/2", engine.OpTLS},
		{"plain", plain.URL, "the server speaks HTTP/1, not HTTP/2", engine.OpReceive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEngine(t, h2.Config{}, nil)
			if tc.name == "TLS" {
				e = newEngine(t, h2.Config{TLS: &tls.Config{InsecureSkipVerify: true}}, nil)
			}
			_, err := e.Execute(t.Context(), request(t, "GET", tc.url))
			oe, ok := errors.AsType[*engine.OpError](err)
			if _, protocol := errors.AsType[*engine.ProtocolError](err); !ok || !protocol || oe.Op != tc.op || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestUpgradeField: a field that HTTP/2 has not is refused, not dropped.
func TestUpgradeField(t *testing.T) {
	e, err := h2.Config{}.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	req := &engine.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "127.0.0.1:1"}, Header: header.New("Upgrade", "websocket")}
	_, err = e.Execute(t.Context(), req)
	if u, ok := errors.AsType[*engine.UnsupportedError](err); !ok || u.Capability != engine.HTTP1 {
		t.Errorf("%v, want *engine.UnsupportedError of HTTP/1.1", err)
	}
}

// TestCloseAtTheBound: a closed engine refuses at once, even where MaxConcurrent
// would have a request wait; what runs goes on.
func TestCloseAtTheBound(t *testing.T) {
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-held
		fmt.Fprint(w, "hello")
	})
	e := newEngine(t, h2.Config{MaxConcurrent: 1, Timeouts: engine.Timeouts{Pool: 5 * time.Second}}, s)
	first, err := e.Execute(t.Context(), request(t, "GET", s.URL))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e.Close()
		if _, err := e.Execute(t.Context(), request(t, "GET", s.URL)); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("error %v, want ErrClosed", err)
		}
	}
	release()
	if got := read(t, first, nil); got != "hello" {
		t.Errorf("body %q", got)
	}
}

// TestHosts: keys are names as people write them, and what is no place is refused.
func TestHosts(t *testing.T) {
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	e := newEngine(t, h2.Config{Hosts: map[string]string{"Bücher.example": s.Listener.Addr().String()}}, nil)
	resp, err := e.Execute(t.Context(), request(t, "GET", "http://xn--bcher-kva.example/"))
	if got := read(t, resp, err); got != "xn--bcher-kva.example" {
		t.Errorf("the server saw %q", got)
	}
	if _, err := (h2.Config{Hosts: map[string]string{"a.example": "http://b.example"}}).New(engine.Config{}); err == nil || !strings.Contains(err.Error(), "a.example") {
		t.Errorf("an override that is a URL: %v", err)
	}
}
