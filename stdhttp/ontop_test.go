package stdhttp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/plugins/retry"
	"github.com/godwit-go/godwit/stdhttp"
)

func TestHTTPClientOnTop(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/start":
				http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes", Path: "/"})
				http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
			default:
				cookie, _ := r.Cookie("seen")
				b, _ := io.ReadAll(r.Body)
				user, password, _ := r.BasicAuth()
				fmt.Fprintf(w, "%s %v %s %s:%s", r.Method, cookie, b, user, password)
			}
		})
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{Transport: rt, Jar: jar}
		r := newRequest(t, "POST", strings.Replace(s.URL, "//", "//user:secret@", 1)+"/start", strings.NewReader("body"))
		resp, err := c.Do(r)
		if got, want := mustRead(t, resp, err), "POST seen=yes body user:secret"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if resp.Request.URL.Path != "/end" {
			t.Errorf("the response's request is %v", resp.Request.URL)
		}
	})
}

func TestCallPhasesDoNotApply(t *testing.T) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			var got atomic.Pointer[http.Request]
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got.Store(r)
				http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(http.StatusFound)
				io.WriteString(w, strings.Repeat("x", 100))
			})
			c := newClient(t, e, godwit.Header("X-Default", "1"), godwit.UserAgent("own"), godwit.ExpectSuccess(true),
				godwit.BaseURL("http://elsewhere.example/"), godwit.MaxBody(10), godwit.Param("q", "1"))
			resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", s.URL, nil))
			if body := mustRead(t, resp, err); len(body) != 100 || resp.StatusCode != http.StatusFound {
				t.Errorf("status %s, body %q", resp.Status, body)
			}
			r := got.Load()
			if r.Header.Get("X-Default") != "" || r.UserAgent() != "Go-http-client/1.1" || r.URL.RawQuery != "" {
				t.Errorf("the client's defaults were sent: %v %v", r.URL, r.Header)
			}
		})
	}
}

func TestPluginsApply(t *testing.T) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			var tries atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if tries.Add(1) < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				w.Write(b)
			})
			rt := stdhttp.Transport(newClient(t, e, godwit.Install(retry.New(retry.Config{Delay: func(int) time.Duration { return 0 }}))))
			t.Run("GetBody replays", func(t *testing.T) {
				tries.Store(0)
				resp, err := rt.RoundTrip(newRequest(t, "PUT", s.URL, strings.NewReader("again")))
				if got := mustRead(t, resp, err); got != "again" || resp.StatusCode != 200 || tries.Load() != 3 {
					t.Errorf("status %d, body %q after %d tries", resp.StatusCode, got, tries.Load())
				}
			})
			t.Run("no GetBody, no replay", func(t *testing.T) {
				tries.Store(0)
				body := newClosing(strings.NewReader("once"))
				resp, err := rt.RoundTrip(newRequest(t, "PUT", s.URL, body))
				if got := mustRead(t, resp, err); got != "once" || resp.StatusCode != 503 || tries.Load() != 1 {
					t.Errorf("status %d, body %q after %d tries", resp.StatusCode, got, tries.Load())
				}
				body.wantClosed(t)
			})
		})
	}
}

// TestStaleConnection lets the server close the connection between two requests.
// What net/http does then depends on how far it has come.
func TestStaleConnection(t *testing.T) {
	for _, tc := range []struct {
		name      string
		body      func(*http.Request)
		getBodies int32
	}{
		{"in memory", func(*http.Request) {}, 0},
		{"by GetBody", func(r *http.Request) { r.Body = newClosing(r.Body) }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rt := stdhttp.Transport(newClient(t, engines[0]))
			base, done := closingServer(t)
			var getBodies atomic.Int32
			for range 2 {
				r := newRequest(t, "PUT", base, strings.NewReader("hello"))
				again := r.GetBody
				r.GetBody = func() (io.ReadCloser, error) { getBodies.Add(1); return again() }
				tc.body(r)
				resp, err := rt.RoundTrip(r)
				if s := mustRead(t, resp, err); s != "ok" {
					t.Errorf("body %q", s)
				}
			}
			within(t, "the server's end", done)
			if n := getBodies.Load(); n > tc.getBodies {
				t.Errorf("GetBody was called %d times", n)
			}
		})
	}
}

// closingServer answers two requests, each on a connection that it closes though
// it does not say so.
func closingServer(t *testing.T) (base string, done chan struct{}) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	done = make(chan struct{})
	go func() {
		defer close(done)
		for answered := 0; answered < 2; {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.Copy(io.Discard, r.Body)
				io.WriteString(c, ok)
				answered++
			}
			c.Close()
		}
	}()
	return "http://" + l.Addr().String(), done
}

func TestDuplex(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			for lines := bufio.NewScanner(r.Body); lines.Scan(); {
				fmt.Fprintf(w, "echo %s\n", lines.Text())
				w.(http.Flusher).Flush()
			}
		})
		reader, writer := io.Pipe()
		resp, err := rt.RoundTrip(newRequest(t, "POST", s.URL, reader))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		in := bufio.NewReader(resp.Body)
		for i := range 5 {
			fmt.Fprintf(writer, "%d\n", i)
			if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("echo %d\n", i) {
				t.Fatalf("line %q, %v", line, err)
			}
		}
		writer.Close()
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("rest %q, %v", rest, err)
		}
	})
}

func TestResponseFirst(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusUnauthorized)
		})
		reader, writer := io.Pipe() // nobody writes
		defer writer.Close()
		body := newClosing(reader)
		resp, err := rt.RoundTrip(newRequest(t, "POST", s.URL, body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %s", resp.Status)
		}
		body.wantClosed(t)
	})
}

func TestCloseIdleConnections(t *testing.T) {
	for _, e := range append(slices.Clone(engines), named{nethttp.Config{}}) {
		t.Run(fmt.Sprintf("%T", e), func(t *testing.T) {
			var open atomic.Int32
			gone := make(chan struct{}, 10)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					open.Add(1)
				case http.StateClosed:
					open.Add(-1)
					gone <- struct{}{}
				}
			}
			s.Start()
			defer s.Close()
			c := stdhttp.Client(newClient(t, e))
			resp, err := c.Get(s.URL)
			mustRead(t, resp, err)
			if open.Load() != 1 {
				t.Fatalf("%d connections are open", open.Load())
			}
			c.CloseIdleConnections()
			within(t, "the end of the idle connection", gone)
		})
	}
}

// named makes engines whose method has net/http's name.
type named struct{ engine.Factory }

func (f named) NewEngine(c engine.Config) (engine.Engine, error) {
	e, err := f.Factory.NewEngine(c)
	return namedEngine{e}, err
}

type namedEngine struct{ engine.Engine }

func (e namedEngine) CloseIdleConnections() { e.Engine.(interface{ CloseIdle() }).CloseIdle() }

func TestUnixSocketAsHost(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.Host+r.URL.Path)
		})}}
		s.Start()
		defer s.Close()
		r := newRequest(t, "GET", "http://x/v1", nil)
		r.URL.Host, r.Host = path, "api.moby.localhost"
		resp, err := rt.RoundTrip(r)
		if got := mustRead(t, resp, err); got != "api.moby.localhost/v1" {
			t.Errorf("body %q", got)
		}
	})
}

func TestNilClientIsDefault(t *testing.T) {
	c := newClient(t, engines[0])
	old := godwit.Default
	godwit.Default = c
	defer func() { godwit.Default = old }()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hi") })
	resp, err := stdhttp.Client(nil).Get(s.URL)
	if got := mustRead(t, resp, err); got != "hi" {
		t.Errorf("body %q", got)
	}
}

func TestCopyOfABody(t *testing.T) {
	big := strings.Repeat("0123456789", 100_000)
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, big)
			w.Header().Set("X-Sum", "7")
		})
		resp, err := rt.RoundTrip(newRequest(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if n, err := io.Copy(&b, resp.Body); err != nil || n != int64(len(big)) || b.String() != big {
			t.Errorf("copied %d bytes, %v", n, err)
		}
		if resp.Trailer.Get("X-Sum") != "7" {
			t.Errorf("trailer %v", resp.Trailer)
		}
		if n, err := io.Copy(&b, resp.Body); n != 0 || err != nil {
			t.Errorf("copy after the end: %d, %v", n, err)
		}
	})
}

func TestTLSState(t *testing.T) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			defer s.Close()
			trust := s.Client().Transport.(*http.Transport).TLSClientConfig
			c := newClient(t, e, godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust }))
			resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", s.URL, nil))
			mustRead(t, resp, err)
			if resp.TLS == nil || len(resp.TLS.PeerCertificates) == 0 {
				t.Errorf("TLS %v", resp.TLS)
			}
		})
	}
}

func TestQueryBytesAreEscaped(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.RawQuery) })
		r := newRequest(t, "GET", s.URL, nil)
		r.URL = &url.URL{Scheme: "http", Host: r.URL.Host, RawQuery: "q=ä b&r=%41"}
		resp, err := rt.RoundTrip(r)
		if got := mustRead(t, resp, err); got != "q=%C3%A4%20b&r=%41" {
			t.Errorf("query %q", got)
		}
	})
}

// TestReverseProxy: a proxy made by net/http shows all that a transport can.
func TestReverseProxy(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("Link", "</a>")
			w.WriteHeader(http.StatusEarlyHints)
			fmt.Fprintf(w, "%s %q %s", b, r.UserAgent(), r.Header.Get("X-Forwarded-Host"))
			w.(http.Flusher).Flush()
			w.Header().Set("X-Sum", "7")
		})
		proxyTo := func(target string) *httptest.Server {
			u, err := url.Parse(target)
			if err != nil {
				t.Fatal(err)
			}
			p := &httputil.ReverseProxy{Transport: rt, ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(u)
				r.SetXForwarded()
			}}
			return serve(t, p.ServeHTTP)
		}
		front := proxyTo(backend.URL)
		hints := 0
		r := newRequest(t, "POST", front.URL, io.MultiReader(strings.NewReader("body")))
		r.Header.Set("User-Agent", "")
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil },
		}))
		resp, err := front.Client().Transport.RoundTrip(r)
		if got, want := mustRead(t, resp, err), `body "" `+strings.TrimPrefix(front.URL, "http://"); got != want {
			t.Errorf("body %q, want %q", got, want)
		}
		if resp.Trailer.Get("X-Sum") != "7" || hints != 1 {
			t.Errorf("trailer %v, %d hints", resp.Trailer, hints)
		}
		front = proxyTo(echoing(t).URL)
		c, err := net.Dial("tcp", front.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n")
		in := bufio.NewReader(c)
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
			t.Fatalf("%v, %v", resp, err)
		}
		io.WriteString(c, "hello\n")
		for _, want := range []string{"HI \n", "HELLO\n"} {
			if line, err := in.ReadString('\n'); line != want {
				t.Errorf("line %q, %v; want %q", line, err, want)
			}
		}
	})
}

func TestPanicOfAnInterceptor(t *testing.T) {
	c := newClient(t, engines[0], godwit.Intercept(godwit.SendAttempt, func(context.Context, *godwit.Request, godwit.Handler) (*godwit.Response, error) {
		panic("boom")
	}))
	body := newClosing(strings.NewReader("x"))
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				t.Errorf("recovered %v", v)
			}
		}()
		stdhttp.Transport(c).RoundTrip(newRequest(t, "POST", "http://127.0.0.1:1", body))
	}()
	body.wantClosed(t)
}
