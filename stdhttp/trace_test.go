package stdhttp_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/stdhttp"
)

var quiet = log.New(io.Discard, "", 0)

// events are the hooks that were called, in order.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, fmt.Sprintf(format, args...))
}

func (e *events) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.list
	e.list = nil
	return list
}

func (e *events) trace(port string) *httptrace.ClientTrace {
	hide := strings.NewReplacer(port, "PORT", "[::1]", "IP", "127.0.0.1", "IP").Replace
	return &httptrace.ClientTrace{
		GetConn: func(hostPort string) { e.add("GetConn %s", hide(hostPort)) },
		GotConn: func(i httptrace.GotConnInfo) {
			e.add("GotConn reused %t idle %t to %s", i.Reused, i.WasIdle, hide(i.Conn.RemoteAddr().String()))
		},
		PutIdleConn:          func(err error) { e.add("PutIdleConn %v", err) },
		GotFirstResponseByte: func() { e.add("GotFirstResponseByte") },
		Got100Continue:       func() { e.add("Got100Continue") },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			e.add("Got1xxResponse %d %s", code, h.Get("Link"))
			return nil
		},
		DNSStart:          func(i httptrace.DNSStartInfo) { e.add("DNSStart %s", i.Host) },
		DNSDone:           func(i httptrace.DNSDoneInfo) { e.add("DNSDone %t %v", len(i.Addrs) > 0, i.Err) },
		ConnectStart:      func(network, addr string) { e.add("ConnectStart %s %s", network, hide(addr)) },
		ConnectDone:       func(network, addr string, err error) { e.add("ConnectDone %s %s %v", network, hide(addr), err) },
		TLSHandshakeStart: func() { e.add("TLSHandshakeStart") },
		TLSHandshakeDone:  func(s tls.ConnectionState, err error) { e.add("TLSHandshakeDone %t %v", s.HandshakeComplete, err) },
		WroteHeaderField: func(key string, values []string) {
			e.add("WroteHeaderField %s: %s", key, hide(strings.Join(values, "|")))
		},
		WroteHeaders:    func() { e.add("WroteHeaders") },
		Wait100Continue: func() { e.add("Wait100Continue") },
		WroteRequest:    func(i httptrace.WroteRequestInfo) { e.add("WroteRequest %v", i.Err) },
	}
}

// normal sorts what has no order: the fields, and the writer's events among the
// reader's.
func normal(list []string) []string {
	var fields, writer, reader []string
	for _, e := range list {
		switch name, _, _ := strings.Cut(e, " "); name {
		case "WroteHeaderField":
			fields = append(fields, e)
		case "WroteHeaders", "Wait100Continue", "WroteRequest":
			writer = append(writer, e)
		default:
			reader = append(reader, e)
		}
	}
	slices.Sort(fields)
	return slices.Concat(fields, []string{"-"}, writer, []string{"-"}, reader)
}

func TestHooks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tls    bool
		times  int
		change func(*http.Request)
	}{
		{"plain", false, 1, nil},
		{"by name", false, 1, func(r *http.Request) { r.URL.Host = strings.Replace(r.URL.Host, "127.0.0.1", "localhost", 1) }},
		{"reused", false, 2, nil},
		{"tls", true, 1, nil},
		{"fields", false, 1, func(r *http.Request) { r.Header["X-Two"] = []string{"1", "2"}; r.Host = "other.example" }},
		{"post", false, 1, func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("hello")), 5
		}},
		{"chunked", false, 1, func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("hello")), -1
		}},
		{"100", false, 1, func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("hello")), 5
			r.Header.Set("Expect", "100-continue")
		}},
		{"1xx", false, 1, func(r *http.Request) { r.URL.Path = "/hints" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := hintingServer(t, tc.tls)
			trust := s.Client().Transport.(*http.Transport).TLSClientConfig
			std := &http.Transport{ExpectContinueTimeout: patience, TLSClientConfig: trust}
			defer std.CloseIdleConnections()
			want := hooksOf(t, std, s.URL, tc.times, tc.change)
			for _, e := range engines {
				t.Run(e.Name(), func(t *testing.T) {
					rt := stdhttp.Transport(newClient(t, e, godwit.EngineConfig(func(c *engine.Config) { c.TLS = trust })))
					if diff := cmp.Diff(want, hooksOf(t, rt, s.URL, tc.times, tc.change)); diff != "" {
						t.Errorf("net/http (-), stdhttp on %s (+):\n%s", e.Name(), diff)
					}
				})
			}
		})
	}
}

func hintingServer(t *testing.T, secure bool) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/hints" {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(w, "ok")
	}))
	s.Config.ErrorLog = quiet
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// hooksOf returns the events of the last of several requests.
func hooksOf(t *testing.T, rt http.RoundTripper, url string, times int, change func(*http.Request)) []string {
	var seen events
	for range times {
		seen.take()
		r := newRequest(t, "GET", url, nil)
		if change != nil {
			change(r)
		}
		put, sent := make(chan struct{}, 1), make(chan struct{}, 1)
		trace := seen.trace(r.URL.Port())
		noted, wrote := trace.PutIdleConn, trace.WroteRequest
		trace.PutIdleConn = func(err error) { noted(err); put <- struct{}{} }
		trace.WroteRequest = func(i httptrace.WroteRequestInfo) { wrote(i); sent <- struct{}{} }
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
		resp, err := rt.RoundTrip(r)
		if err == nil { // the answer can be there before the writer has told of its end
			within(t, "WroteRequest", sent)
		}
		mustRead(t, resp, err)
		within(t, "PutIdleConn", put)
	}
	return normal(seen.take())
}

func TestGot1xxErrorAborts(t *testing.T) {
	enough := errors.New("enough")
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		s := hintingServer(t, false)
		r := newRequest(t, "GET", s.URL+"/hints", nil)
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { return enough },
		}))
		if _, err := rt.RoundTrip(r); !errors.Is(err, enough) {
			t.Errorf("error %v, want the hook's", err)
		}
	})
}

func TestShownConnIsNotToBeUsed(t *testing.T) {
	onEngines(t, func(t *testing.T, rt http.RoundTripper) {
		var conn net.Conn
		r := newRequest(t, "GET", hintingServer(t, false).URL, nil)
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { conn = i.Conn },
		}))
		resp, err := rt.RoundTrip(r)
		mustRead(t, resp, err)
		_, readErr := conn.Read(nil)
		_, writeErr := conn.Write(nil)
		for _, err := range []error{readErr, writeErr, conn.Close(), conn.SetDeadline(time.Time{}), conn.SetReadDeadline(time.Time{}), conn.SetWriteDeadline(time.Time{})} {
			if err == nil {
				t.Error("the connection that a hook was shown can be used")
			}
		}
		if conn.LocalAddr().String() == "" || conn.RemoteAddr().String() == "" {
			t.Errorf("addresses %v, %v", conn.LocalAddr(), conn.RemoteAddr())
		}
	})
}
