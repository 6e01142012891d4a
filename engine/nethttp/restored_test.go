package nethttp_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/nethttp"
)

// TestRestoredFields: fields that net/http takes out of the header are there.
func TestRestoredFields(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/trailer":
			w.Header().Set("Trailer", "X-B, X-A")
			io.WriteString(w, "body")
			w.Header().Set("X-A", "1")
		case "/close":
			w.Header().Set("Connection", "close")
			io.WriteString(w, "body")
		case "/until-close":
			conn, _, _ := http.NewResponseController(w).Hijack()
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nbody")
			conn.Close()
		case "/head-close":
			w.Header().Set("Connection", "close")
		}
	}))
	defer server.Close()
	e := newEngine(t, nethttp.Config{}, engine.Config{})
	for path, want := range map[string][2]string{
		"/trailer": {"X-A, X-B", ""}, "/close": {"", "close"}, "/until-close": {"", ""}, "/head": {"", ""}, "/head-close": {"", "close"},
	} {
		req, wantBody := request(t, server.URL+path), "body"
		if strings.HasPrefix(path, "/head") { // without a length, which tells nothing here
			req.Method, wantBody = "HEAD", ""
		}
		resp, err := e.Execute(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{resp.Header.Get("Trailer"), resp.Header.Get("Connection")}; got != want {
			t.Errorf("%s: Trailer and Connection %q, want %q", path, got, want)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != wantBody {
			t.Errorf("%s: %q, %v", path, body, err)
		}
		resp.Body.Close()
	}
}

// TestEmptyBodyOfUnknownLength: it is sent chunked also with GET, where net/http
// would look first whether there is something.
func TestEmptyBodyOfUnknownLength(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Join(r.TransferEncoding, ","))
	}))
	defer server.Close()
	e := newEngine(t, nethttp.Config{}, engine.Config{})
	req := request(t, server.URL)
	req.Body = content.Reader(io.MultiReader(), "", -1)
	resp, err := e.Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "chunked" {
		t.Errorf("Transfer-Encoding %q, %v", got, err)
	}
}

// roundTrip is a RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// closeCounter counts how often a body is closed.
type closeCounter struct {
	io.Reader
	closed *atomic.Int32
}

func (c closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

// TestBodyClosedOnce: a RoundTripper's body is closed once, whatever comes first.
func TestBodyClosedOnce(t *testing.T) {
	broken := errors.New("broken")
	for name, source := range map[string]io.Reader{
		"read":   strings.NewReader("body"),
		"failed": io.MultiReader(bytes.NewReader([]byte("bo")), failing{broken}),
	} {
		var closed atomic.Int32
		e := newEngine(t, nethttp.Config{Preconfigured: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1, Body: closeCounter{source, &closed}, Request: r}, nil
		})}, engine.Config{})
		resp, err := e.Execute(t.Context(), request(t, "http://example.org/"))
		if err != nil {
			t.Fatal(err)
		}
		io.ReadAll(resp.Body)
		resp.Body.Close()
		resp.Body.Close()
		if n := closed.Load(); n != 1 {
			t.Errorf("%s: closed %d times", name, n)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestUpgradeKeepsConnectionTokens: Upgrade joins what Connection names already.
func TestUpgradeKeepsConnectionTokens(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Join(r.Header.Values("Connection"), "|"))
	}))
	defer server.Close()
	e := newEngine(t, nethttp.Config{}, engine.Config{})
	for given, want := range map[string]string{"": "Upgrade", "keep-alive": "keep-alive, Upgrade"} {
		req := request(t, server.URL)
		req.Protocol = "echo"
		if given != "" {
			req.Header.Add("Connection", given)
		}
		resp, err := e.Execute(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != want {
			t.Errorf("Connection %q, want %q (%v)", got, want, err)
		}
		resp.Body.Close()
	}
}
