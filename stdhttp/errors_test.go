package stdhttp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/plugins/retry"
	"github.com/godwit-go/godwit/stdhttp"
)

// TestErrorTexts: callers look for the texts of net/http.
func TestErrorTexts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		_, err := rt.RoundTrip(newRequest(t, "GET", "http://"+address, nil))
		if err == nil || !strings.HasPrefix(err.Error(), "dial tcp "+address+": ") {
			t.Errorf("error %q, want the cause alone", err)
		}
		if e, ok := errors.AsType[*godwit.Error](err); !ok || e.Method != "GET" || e.Op != "connect" {
			t.Errorf("error %#v is no *godwit.Error", err)
		}
	})
}

func TestServerWithoutTLS(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		base := strings.Replace(serve(t, func(http.ResponseWriter, *http.Request) {}).URL, "http:", "https:", 1)
		_, err := rt.RoundTrip(newRequest(t, "GET", base, nil))
		if _, ok := err.(tls.RecordHeaderError); !ok {
			t.Errorf("error %v of type %T, want a bare tls.RecordHeaderError", err, err)
		}
		if _, err := (&http.Client{Transport: rt}).Get(base); !errors.Is(err, http.ErrSchemeMismatch) {
			t.Errorf("error %v, want http.ErrSchemeMismatch", err)
		}
	})
}

// TestClosedOnTheLastAttempt: what earlier attempts got does not count.
func TestClosedOnTheLastAttempt(t *testing.T) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			var tries atomic.Int32
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if tries.Add(1) == 1 {
					w.Header().Set("Connection", "close")
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				panic(http.ErrAbortHandler)
			})
			s.Config.ErrorLog = quiet
			c := newClient(t, e, godwit.Install(retry.New(retry.Config{Max: 1, Delay: func(int) time.Duration { return 0 }})))
			_, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", s.URL, nil))
			if err != io.EOF {
				t.Errorf("error %v, want io.EOF itself", err)
			}
		})
	}
}

// TestBodysOwnEOF: an EOF that the request's body fails with is not the server's.
func TestBodysOwnEOF(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
		r := newRequest(t, "POST", s.URL, io.MultiReader(strings.NewReader("he"), failing{io.ErrUnexpectedEOF}))
		if _, err := rt.RoundTrip(r); err == io.EOF || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error %v, want the body's", err)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestGetBodyReturnsNothing(t *testing.T) {
	for _, e := range engines {
		t.Run(e.Name(), func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			c := newClient(t, e, godwit.Install(retry.New(retry.Config{Delay: func(int) time.Duration { return 0 }})))
			r := newRequest(t, "PUT", s.URL, io.MultiReader(strings.NewReader("x")))
			r.GetBody = func() (io.ReadCloser, error) { return nil, nil }
			_, err := stdhttp.Transport(c).RoundTrip(r)
			if err == nil || !strings.Contains(err.Error(), "GetBody") {
				t.Errorf("error %v, want one that names GetBody", err)
			}
		})
	}
}

// TestRequestUsedAgain: its body was read the first time.
func TestRequestUsedAgain(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		var closed atomic.Int32
		r := newRequest(t, "PUT", s.URL, strings.NewReader("hello"))
		whole := r.GetBody
		r.Body = &tracked{strings.NewReader("hello"), &closed, nil}
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := whole()
			return &tracked{body, &closed, nil}, err
		}
		for i := range 2 {
			resp, err := rt.RoundTrip(r)
			if got := mustRead(t, resp, err); got != "hello" {
				t.Errorf("use %d: body %q", i, got)
			}
		}
		if n := closed.Load(); n != 3 { // ours twice, and the new one
			t.Errorf("Close was called %d times", n)
		}
	})
}

// TestFileBody: a file reaches the engine as what it is.
func TestFileBody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	big := strings.Repeat("0123456789", 50_000)
	if err := os.WriteFile(path, []byte(big), 0o600); err != nil {
		t.Fatal(err)
	}
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		r := newRequest(t, "PUT", s.URL, f)
		r.ContentLength = int64(len(big))
		resp, err := rt.RoundTrip(r)
		if got := mustRead(t, resp, err); got != big {
			t.Errorf("%d bytes came back of %d", len(got), len(big))
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("the file was left open: %v", err)
		}
	})
}

func TestCloseInterruptsRead(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		resp, err := rt.RoundTrip(newRequest(t, "GET", streaming(t).URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := resp.Body.Read(make([]byte, 1))
			done <- err
		}()
		select {
		case err := <-done:
			t.Fatalf("Read: %v", err)
		case <-time.After(20 * time.Millisecond): // it waits
		}
		resp.Body.Close()
		if err := within(t, "Read's end", done); err == nil || !strings.Contains(err.Error(), "read on closed response body") {
			t.Errorf("Read: %v", err)
		}
	})
}

func TestContextEndsAnUpgrade(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s, entered := hanging(t)
		r := newRequest(t, "GET", s.URL, nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "shout")
		ctx, cancel := context.WithCancel(r.Context())
		done := make(chan error, 1)
		go func() {
			_, err := rt.RoundTrip(r.WithContext(ctx))
			done <- err
		}()
		within(t, "the request", entered)
		cancel()
		if err := within(t, "RoundTrip's end", done); err != context.Canceled {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}

// TestDefaultPortInHost: a port that is given is sent, though an engine would
// leave it out.
func TestDefaultPortInHost(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })
	for _, e := range engines {
		c := newClient(t, e, godwit.EngineConfig(func(c *engine.Config) {
			c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
			}
		}))
		for _, host := range []string{"x.example:80", "x.example"} {
			resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", "http://"+host, nil))
			if got := mustRead(t, resp, err); got != host {
				t.Errorf("%s: Host %q, want %q", e.Name(), got, host)
			}
		}
	}
}

// TestFailedHooks: WroteRequest follows GotConn, whatever comes between. Those of
// engine nethttp are net/http's own, which waits for the body.
func TestFailedHooks(t *testing.T) {
	for _, length := range []int64{0, 5} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			onEngines(t, func(t *testing.T, rt http.RoundTripper) {
				if strings.HasSuffix(t.Name(), "/nethttp") && length > 0 {
					return
				}
				s := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
						c.Close()
					}
				})
				reader, writer := io.Pipe() // nobody writes
				defer writer.Close()
				r := newRequest(t, "POST", s.URL, nil)
				if length > 0 {
					r.Body, r.ContentLength = reader, length
				}
				wrote := make(chan error, 10)
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
					WroteRequest: func(i httptrace.WroteRequestInfo) { wrote <- i.Err },
				}))
				if _, err := rt.RoundTrip(r); err == nil {
					t.Error("no error")
				}
				if err := within(t, "WroteRequest", wrote); (err != nil) != (length > 0) {
					t.Errorf("WroteRequest: %v", err)
				}
				if len(wrote) > 0 {
					t.Error("WroteRequest was called twice")
				}
			})
		})
	}
}

// TestFailedDialIsAnOpError: callers look for *net.OpError, and for the text.
func TestFailedDialIsAnOpError(t *testing.T) {
	for _, tc := range []struct{ name, url string }{
		{"lookup", "http://no-such.invalid/"},
		{"port", "http://127.0.0.1:70000/"},
		{"refused", "http://127.0.0.1:1/"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			std := &http.Transport{}
			_, want := std.RoundTrip(newRequest(t, "GET", tc.url, nil))
			onEngines(t, func(t *testing.T, rt http.RoundTripper) {
				_, err := rt.RoundTrip(newRequest(t, "GET", tc.url, nil))
				oe, ok := errors.AsType[*net.OpError](err)
				if !ok || oe.Op != "dial" || oe.Net != "tcp" {
					t.Fatalf("error %v (%#v), want a *net.OpError of dial", err, oe)
				}
				if err.Error() != want.Error() {
					t.Errorf("error %q, net/http's is %q", err, want)
				}
				if _, ok := errors.AsType[*godwit.Error](err); !ok && tc.name != "port" { // which is refused before the client sees it
					t.Errorf("error %v has no *godwit.Error in it", err)
				}
				_, wantDNS := errors.AsType[*net.DNSError](want)
				if _, ok := errors.AsType[*net.DNSError](err); ok != wantDNS {
					t.Errorf("a *net.DNSError in it: %t, want %t", ok, wantDNS)
				}
			})
		})
	}
}

// TestResetIsAStreamError: callers look for the code of golang.org/x/net/http2.
func TestResetIsAStreamError(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	s.Config.ErrorLog = quiet
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for _, e := range http2Engines {
		t.Run(e.Name(), func(t *testing.T) {
			c := newClient(t, e, godwit.EngineConfig(func(c *engine.Config) { c.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig }))
			for _, path := range []string{"/", "/body"} {
				resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", s.URL+path, nil))
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				se, ok := errors.AsType[http2.StreamError](err)
				if !ok || se.Code != http2.ErrCodeInternal {
					t.Errorf("%s: error %v, %+v; want a StreamError of INTERNAL_ERROR", path, err, se)
				}
				if _, ok := errors.AsType[http2.ConnectionError](err); ok {
					t.Errorf("%s: error %v is a ConnectionError", path, err)
				}
			}
		})
	}
}
