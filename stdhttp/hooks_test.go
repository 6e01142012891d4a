package stdhttp_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/stdhttp"
)

// TestWroteRequestOfAnEarlyAnswer: the hook is called, once, also if the body is
// not sent to its end, or not at all.
func TestWroteRequestOfAnEarlyAnswer(t *testing.T) {
	for _, tc := range []struct {
		name, reply string
		expect      bool
		body        func() (io.Reader, func())
		fails       bool
	}{
		{"expect refused", "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", true,
			func() (io.Reader, func()) { return strings.NewReader("hello"), func() {} }, false},
		{"expect refused, reader unknown", "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", true,
			func() (io.Reader, func()) { return io.MultiReader(strings.NewReader("hello")), func() {} }, false},
		{"body goes on", "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false,
			func() (io.Reader, func()) { r, w := io.Pipe(); return r, func() { w.Close() } }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			see := func(t *testing.T, rt http.RoundTripper) {
				s := serveScript(t, &scripted{early: true, reply: tc.reply})
				body, end := tc.body()
				defer end()
				r := newRequest(t, "POST", "http://"+s.Addr().String(), body)
				if tc.expect {
					r.ContentLength = 5
					r.Header.Set("Expect", "100-continue")
				}
				wrote := make(chan error, 10)
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
					WroteRequest: func(i httptrace.WroteRequestInfo) { wrote <- i.Err },
				}))
				resp, err := rt.RoundTrip(r)
				mustRead(t, resp, err)
				end()                            // net/http waits for the read that runs
				_, judge := rt.(*http.Transport) // which may get to send the end
				if err := within(t, "WroteRequest", wrote); (err != nil) != tc.fails && !(judge && tc.fails) {
					t.Errorf("WroteRequest: %v, want an error: %t", err, tc.fails)
				}
				if len(wrote) > 0 {
					t.Error("WroteRequest was called twice")
				}
			}
			std := &http.Transport{ExpectContinueTimeout: patience}
			defer std.CloseIdleConnections()
			see(t, std)
			onEngines(t, see)
		})
	}
}

// TestPutIdleConn: like net/http's it tells of connections of HTTP/1 that go back,
// and of nothing else.
func TestPutIdleConn(t *testing.T) {
	for _, tc := range []struct {
		name, path, method string
		http2, want        bool
	}{
		{"kept", "/", "GET", false, true},
		{"kept, no body", "/", "HEAD", false, true},
		{"closed", "/close", "GET", false, false},
		{"kept, body later", "/later", "GET", false, true},
		{"http2", "/", "GET", true, false},
		{"http2, body later", "/later", "GET", true, false},
		{"http2, no body", "/", "HEAD", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			later := make(chan struct{}, 10)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/close":
					w.Header().Set("Connection", "close")
				case "/later":
					w.(http.Flusher).Flush()
					<-later
				}
				io.WriteString(w, "ok")
			}))
			s.EnableHTTP2 = tc.http2
			s.StartTLS()
			defer s.Close()
			trust := s.Client().Transport.(*http.Transport).TLSClientConfig
			see := func(t *testing.T, rt http.RoundTripper, whenDone func()) {
				put := make(chan error, 10)
				r := newRequest(t, tc.method, s.URL+tc.path, nil)
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{PutIdleConn: func(err error) { put <- err }}))
				resp, err := rt.RoundTrip(r)
				later <- struct{}{}
				mustRead(t, resp, err)
				if tc.want {
					if err := within(t, "PutIdleConn", put); err != nil {
						t.Errorf("PutIdleConn: %v", err)
					}
				}
				whenDone()
				if len(put) > 0 {
					t.Errorf("PutIdleConn was called: %v", <-put)
				}
			}
			std := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: tc.http2}
			see(t, std, std.CloseIdleConnections)
			list := engines
			if tc.http2 {
				list = http2Engines
			}
			for _, e := range slices.Clone(list) {
				t.Run(e.Name(), func(t *testing.T) {
					c := newClient(t, e, godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust }))
					see(t, stdhttp.Transport(c), func() {
						if err := errors.Join(c.Close(), c.Join(t.Context())); err != nil {
							t.Error(err)
						}
					})
				})
			}
		})
	}
}
