package nethttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// TestBadRoundTripper: a foreign RoundTripper may return what net/http never
// does.
func TestBadRoundTripper(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer *http.Response
		err    string // "" = 200 with an empty body
	}{
		{"nothing", nil, "returned neither a response nor an error"},
		{"no body", &http.Response{StatusCode: 200}, ""},
		{"no body, length 0", &http.Response{StatusCode: 200, Proto: "HTTP/3.0", Header: http.Header{"Content-Length": {"0"}}}, ""},
		{"no body, length 5", &http.Response{StatusCode: 200, ContentLength: 5}, "announces a body and has none"},
		{"zero value", &http.Response{}, "status code 000"},
		{"status 1000", &http.Response{StatusCode: 1000}, "status code 1000"},
		{"unknown version", &http.Response{StatusCode: 200, Proto: "HTTP/5.6"}, `HTTP version "HTTP/5.6"`},
		{"bad name", &http.Response{StatusCode: 200, Header: http.Header{"A b": {"1"}}}, `field name "A b"`},
		{"HTTP/1.0 with chunks", &http.Response{StatusCode: 200, Proto: "HTTP/1.0", TransferEncoding: []string{"chunked"}}, "Transfer-Encoding on HTTP/1.0"},
		{"two lengths", &http.Response{StatusCode: 200, Proto: "HTTP/1.1", Header: http.Header{"Content-Length": {"5"}}, TransferEncoding: []string{"chunked"}}, "Content-Length and Transfer-Encoding"},
	} {
		returns := roundTripper(func(*http.Request) (*http.Response, error) {
			if tc.answer == nil {
				return nil, nil
			}
			answer := *tc.answer // each attempt its own: a missing body is filled in
			return &answer, nil
		})
		for place, config := range map[string]nethttp.Config{
			"preconfigured":       {Preconfigured: returns},
			"with redirects":      {Preconfigured: returns, FollowRedirects: true},
			"with an interceptor": {Preconfigured: returns, Interceptors: []func(http.RoundTripper) http.RoundTripper{looksInside}},
		} {
			t.Run(tc.name+"/"+place, func(t *testing.T) {
				e := newEngine(t, config, engine.Config{})
				resp, err := e.Execute(t.Context(), request(t, "http://a.invalid/"))
				if tc.err != "" {
					if err == nil || !strings.Contains(err.Error(), tc.err) || op(err) != engine.OpReceive {
						t.Errorf("error = %v, want %q of Op receive", err, tc.err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if text, err := io.ReadAll(resp.Body); resp.Status != 200 || len(text) > 0 || err != nil || !strings.HasPrefix(resp.Proto, "HTTP/") {
					t.Errorf("status %d, proto %q, body %q, %v", resp.Status, resp.Proto, text, err)
				}
			})
		}
	}
}

// looksInside is an interceptor that relies on the rules of http.RoundTripper.
func looksInside(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if err == nil {
			_, _ = resp.Body.Read(nil)
		}
		return resp, err
	})
}

// TestInterceptorReturnsNothing: nothing stands between it and the engine.
func TestInterceptorReturnsNothing(t *testing.T) {
	nothing := func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(*http.Request) (*http.Response, error) { return nil, nil })
	}
	e := newEngine(t, nethttp.Config{Interceptors: []func(http.RoundTripper) http.RoundTripper{nothing}}, engine.Config{})
	_, err := e.Execute(t.Context(), request(t, "http://a.invalid/"))
	if op(err) != engine.OpReceive || !strings.Contains(err.Error(), "neither a response nor an error") {
		t.Errorf("error = %v", err)
	}
}

// TestRefusedResponses: net/http accepts them, and keeps a connection whose
// response has no body.
func TestRefusedResponses(t *testing.T) {
	for _, tc := range []struct{ name, answer string }{
		{"status 000", "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n"},
		{"status 099", "HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello"},
		{"HTTP/5.6", "HTTP/5.6 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"HTTP/3.0", "HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"HTTP/2.0 on HTTP/1", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"control in the reason", "HTTP/1.1 200 O\x7fK\r\nContent-Length: 0\r\n\r\n"},
		{"space in a name", "HTTP/1.1 200 OK\r\nA b: 1\r\nContent-Length: 0\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ended := make(chan error, 1)
			go func() { ended <- answerOnce(l, tc.answer) }()
			e := newEngine(t, nethttp.Config{}, engine.Config{})
			_, err = e.Execute(t.Context(), request(t, "http://"+l.Addr().String()))
			if _, refused := errors.AsType[*engine.ProtocolError](err); !refused || op(err) != engine.OpReceive {
				t.Errorf("error = %v, want a protocol error", err)
			}
			if err := <-ended; err != io.EOF {
				t.Errorf("the connection stays open: %v", err)
			}
		})
	}
}

// answerOnce serves one connection and returns how it ended.
func answerOnce(l net.Listener, answer string) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if _, err := http.ReadRequest(r); err != nil {
		return err
	}
	if _, err := io.WriteString(c, answer); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err = r.ReadByte()
	if err != nil && strings.Contains(err.Error(), "reset") { // reset if it was left unread
		return io.EOF
	}
	return err
}

// TestPoolTimeoutOfUnknownRoundTripper: it gives no sign of its connections, so
// its work is not counted as waiting for one.
func TestPoolTimeoutOfUnknownRoundTripper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-time.After(time.Minute):
			}
			return &http.Response{StatusCode: 204}, nil
		})
		e := newEngine(t, nethttp.Config{Preconfigured: slow}, engine.Config{})
		req := request(t, "http://a.invalid/")
		req.Timeouts.Pool = time.Second
		if resp, _ := send(t, e, req); resp.Status != 204 {
			t.Errorf("status = %d", resp.Status)
		}
	})
}

// TestCancelledByAnother: net/http may close a connection for the end of a
// request that had it before. The request that has it now was not cancelled.
func TestCancelledByAnother(t *testing.T) {
	for name, foreign := range map[string]error{"bare": context.Canceled, "wrapped": &url.Error{Op: "Get", URL: "/", Err: fmt.Errorf("round trip: %w", context.Canceled)}} {
		e := newEngine(t, nethttp.Config{Preconfigured: roundTripper(func(*http.Request) (*http.Response, error) { return nil, foreign })}, engine.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		_, err := e.Execute(ctx, request(t, "http://a.invalid/"))
		if errors.Is(err, context.Canceled) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if _, err := e.Execute(ctx, request(t, "http://a.invalid/")); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, its own: %v", name, err)
		}
	}
}
