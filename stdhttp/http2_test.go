package stdhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/h2"
	"github.com/godwit-go/godwit/engine/nethttp"
	"github.com/godwit-go/godwit/stdhttp"
)

// http2Engines are those that speak HTTP/2 to a server that can.
var http2Engines = []engine.Factory{h2.Config{}, cio.Config{}, nethttp.Config{}}

// exchange2 is what both sides see of an exchange on HTTP/2.
type exchange2 struct {
	Seen             string // by the handler
	Err              string
	Status, Proto    string
	Header, Trailer  http.Header
	Announced        []string
	Length           int64
	TransferEncoding []string
	Close            bool
	Uncompressed     bool
	Body, BodyErr    string
}

// TestLikeNetHTTP2 lets net/http judge exchanges on HTTP/2.
func TestLikeNetHTTP2(t *testing.T) {
	body := func(method, s string, length int64) func(*http.Request) {
		return func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = method, io.NopCloser(strings.NewReader(s)), length
		}
	}
	for _, tc := range []struct {
		name    string
		request func(*http.Request)
		handle  func(w http.ResponseWriter, r *http.Request)
	}{
		{name: "get"},
		{name: "head", request: func(r *http.Request) { r.Method = "HEAD" }},
		{name: "head with a length", request: func(r *http.Request) { r.Method = "HEAD" }, handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
		}},
		{name: "fields", request: func(r *http.Request) {
			r.Header["X-Two"] = []string{"b", "a"}
			r.Header.Set("Connection", "keep-alive")
			r.Header.Set("Te", "trailers")
			r.Host = "other.example"
		}},
		{name: "post", request: body("POST", "hello", 5)},
		{name: "post of unknown length", request: body("POST", "hello", -1)},
		{name: "post of nothing", request: body("POST", "", -1)},
		{name: "post without a body", request: func(r *http.Request) { r.Method = "POST" }},
		{name: "get with a body", request: body("GET", "hello", 0)},
		{name: "request trailers", request: func(r *http.Request) {
			body("POST", "hello", -1)(r)
			r.Trailer = http.Header{"X-Sum": {"1"}}
		}},
		{name: "empty", handle: func(w http.ResponseWriter, r *http.Request) {}},
		{name: "204", handle: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{name: "304", handle: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotModified) }},
		{name: "404", handle: http.NotFound},
		{name: "status unknown", handle: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(799) }},
		{name: "stream", handle: func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, "later")
		}},
		{name: "trailers", handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum, X-None")
			io.WriteString(w, "ok")
			w.Header().Set("X-Sum", "7")
		}},
		{name: "trailers not announced", handle: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "ok")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
		}},
		{name: "trailers of an empty body", handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			w.(http.Flusher).Flush()
			w.Header().Set("X-Sum", "7")
		}},
		{name: "gzip", handle: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, zipped("plain"))
		}},
		{name: "reset", handle: func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "reset within the body", handle: func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			seen := make(chan string, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				h := r.Header.Clone()
				h.Del("User-Agent") // see TestUserAgentOverHTTP2
				seen <- strings.ReplaceAll(fmt.Sprint(r.Method, r.Host, r.URL, r.Proto, r.ContentLength, r.TransferEncoding, h, r.Trailer, string(b)), r.Context().Value(http.LocalAddrContextKey).(fmt.Stringer).String(), "HOST")
				if tc.handle == nil {
					io.WriteString(w, "ok")
					return
				}
				tc.handle(w, r)
			}))
			s.Config.ErrorLog = quiet
			s.EnableHTTP2 = true
			s.StartTLS()
			defer s.Close()
			see := func(rt http.RoundTripper) (out exchange2) {
				r := newRequest(t, "GET", s.URL+"/path?q=1", nil)
				if tc.request != nil {
					tc.request(r)
				}
				resp, err := rt.RoundTrip(r)
				out.Seen = within(t, "the request", seen)
				if out.Err = reset(err); err != nil {
					return out
				}
				defer resp.Body.Close()
				out.Status, out.Proto, out.Header, out.Length, out.Close = resp.Status, resp.Proto, resp.Header, resp.ContentLength, resp.Close
				out.TransferEncoding, out.Uncompressed = resp.TransferEncoding, resp.Uncompressed
				out.Announced = slices.Sorted(mapsKeys(resp.Trailer))
				b, err := io.ReadAll(resp.Body)
				out.Body, out.BodyErr, out.Trailer = string(b), reset(err), resp.Trailer
				out.Header.Del("Date")
				return out
			}
			trust := s.Client().Transport.(*http.Transport).TLSClientConfig
			std := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
			defer std.CloseIdleConnections()
			want := see(std)
			for _, e := range http2Engines {
				t.Run(e.Name(), func(t *testing.T) {
					c := newClient(t, e, godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust }))
					if diff := cmp.Diff(want, see(stdhttp.Transport(c))); diff != "" {
						t.Errorf("net/http (-), stdhttp on %s (+):\n%s", e.Name(), diff)
					}
				})
			}
		})
	}
}

// reset is class with the code of a reset stream, by net/http's text.
func reset(err error) string {
	if err == nil || !strings.HasPrefix(err.Error(), "stream error: ") {
		return class(err)
	}
	return "reset" + err.Error()[strings.Index(err.Error(), ";"):]
}

// TestUserAgentOverHTTP2: the protocol is not known yet when the fields are
// written, so it is that of HTTP/1.1.
func TestUserAgentOverHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Proto+" "+r.UserAgent())
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for _, e := range http2Engines {
		c := newClient(t, e, godwit.EngineConfig(func(c *engine.Config) { c.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig }))
		resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", s.URL, nil))
		if got := mustRead(t, resp, err); got != "HTTP/2.0 Go-http-client/1.1" {
			t.Errorf("%s: %s", e.Name(), got)
		}
	}
}

// TestResetIsAnError: a reset stream keeps the client's error inside.
func TestResetIsAnError(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }))
	s.Config.ErrorLog = quiet
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	c := newClient(t, h2.Config{}, godwit.EngineConfig(func(c *engine.Config) { c.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig }))
	_, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", s.URL, nil))
	if e, ok := errors.AsType[*godwit.Error](err); !ok || e.Op != engine.OpReceive {
		t.Errorf("error %v is no *godwit.Error of the receiving", err)
	}
}

// TestTrailerBesideALengthOverHTTP2: HTTP/2 has room for both, which only an engine
// without HTTP/1 can tell before it has a connection.
func TestTrailerBesideALengthOverHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", b, r.Trailer.Get("X-Sum"))
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	trust := s.Client().Transport.(*http.Transport).TLSClientConfig
	std := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
	defer std.CloseIdleConnections()
	c := newClient(t, h2.Config{}, godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust }))
	for _, rt := range []http.RoundTripper{std, stdhttp.Transport(c)} {
		r := newRequest(t, "POST", s.URL, strings.NewReader("hi"))
		r.Trailer = http.Header{"X-Sum": {"7"}}
		resp, err := rt.RoundTrip(r)
		if got := mustRead(t, resp, err); got != "hi 7" {
			t.Errorf("%T: the server got %q", rt, got)
		}
	}
}

// TestConnectWithoutABodyOverHTTP2: nothing will be sent, and the server is told.
func TestConnectWithoutABodyOverHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %q %v", r.Method, b, err)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	trust := s.Client().Transport.(*http.Transport).TLSClientConfig
	c := newClient(t, h2.Config{}, godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust }))
	resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "CONNECT", s.URL, nil))
	if got, want := mustRead(t, resp, err), `CONNECT "" <nil>`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
