package stdhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/stdhttp"
)

// served is what a client sees of a handler, and what the handler noted.
type served struct {
	Err, Status      string
	Header, Trailer  http.Header
	Length           int64
	TransferEncoding []string
	Close            bool
	Body, BodyErr    string
	Noted            string
}

// errText names the errors that a ResponseWriter returns.
func errText(err error) string {
	for _, known := range []error{http.ErrContentLength, http.ErrBodyNotAllowed, http.ErrHijacked, os.ErrDeadlineExceeded} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprint(err)
}

// sends gives a request a body of a size.
func sends(size int, expect bool) func(*http.Request) {
	return func(r *http.Request) {
		r.Method, r.ContentLength = "POST", int64(size)
		r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", size)))
		if expect {
			r.Header.Set("Expect", "100-continue")
		}
	}
}

// reads is a handler's start that reads so much of the body.
func reads(size int64) func(http.ResponseWriter, *http.Request) {
	return func(_ http.ResponseWriter, r *http.Request) { io.CopyN(io.Discard, r.Body, size) }
}

// TestHandlerLikeServer: http.Server is the judge of what a handler can do.
func TestHandlerLikeServer(t *testing.T) {
	set := func(fields ...string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			for i := 0; i < len(fields); i += 2 {
				w.Header()[fields[i]] = append(w.Header()[fields[i]], fields[i+1])
			}
		}
	}
	for _, tc := range []struct {
		name   string
		method string
		fields func(http.ResponseWriter)
		status int
		writes []string
		flush  bool // before each write
		after  func(http.ResponseWriter)

		request func(*http.Request)
		first   func(http.ResponseWriter, *http.Request)
	}{
		{name: "short", writes: []string{"hello"}},
		{name: "flushed", writes: []string{"hello"}, flush: true},
		{name: "length", fields: set("Content-Length", "5"), writes: []string{"hello"}},
		{name: "length exceeded at once", fields: set("Content-Length", "5"), writes: []string{"0123456789"}},
		{name: "length exceeded later", fields: set("Content-Length", "5"), writes: []string{"012", "3456"}},
		{name: "length exceeded after a flush", fields: set("Content-Length", "5"), writes: []string{"012", "3456"}, flush: true},
		{name: "length exceeded and then not", fields: set("Content-Length", "5"), writes: []string{"012", "3456", "34"}},
		{name: "length exceeded behind a whole body", fields: set("Content-Length", "5"), writes: []string{"01234", "5"}},
		{name: "length not reached", fields: set("Content-Length", "5"), writes: []string{"012"}},
		{name: "length and nothing", fields: set("Content-Length", "5")},
		{name: "length is none", fields: set("Content-Length", "five"), writes: []string{"hello"}},
		{name: "length negative", fields: set("Content-Length", "-5"), writes: []string{"hello"}},
		{name: "length with a sign", fields: set("Content-Length", "+5"), writes: []string{"hello"}},
		{name: "length twice", fields: set("Content-Length", "5", "Content-Length", "5"), writes: []string{"hello"}},
		{name: "two lengths", fields: set("Content-Length", "5", "Content-Length", "6"), writes: []string{"hello"}},
		{name: "length and chunks", fields: set("Content-Length", "5", "Transfer-Encoding", "chunked"), writes: []string{"hello"}},
		{name: "chunks", fields: set("Transfer-Encoding", "chunked"), writes: []string{"hello"}},
		{name: "identity", fields: set("Transfer-Encoding", "identity"), writes: []string{"hello"}},
		{name: "304 with a length", status: 304, fields: set("Content-Length", "10", "Content-Type", "text/plain", "Etag", `"x"`)},
		{name: "304 with a body", status: 304, writes: []string{"hello"}},
		{name: "204 with a length", status: 204, fields: set("Content-Length", "10", "Content-Type", "text/plain")},
		{name: "204 with a body", status: 204, writes: []string{"hello"}},
		{name: "head with a length", method: "HEAD", fields: set("Content-Length", "10")},
		{name: "head with a body", method: "HEAD", writes: []string{"hello"}},
		{name: "head exceeds its length", method: "HEAD", fields: set("Content-Length", "3"), writes: []string{"hello"}},
		{name: "head chunked", method: "HEAD", fields: set("Transfer-Encoding", "chunked")},
		{name: "newlines in a value", fields: set("X-A", "1\r\nX-B: 2", "X-C", " 3\n"), writes: []string{"hello"}},
		{name: "names that are none", fields: set("X A", "1", "X\r\nB", "2", "", "3", "X-C", "4"), writes: []string{"hello"}},
		{name: "trailer that frames", fields: set("Trailer", "Content-Length"), writes: []string{"hello"}},
		{name: "trailers", fields: set("Trailer", "X-Sum, Authorization", "Trailer", "x-count"), writes: []string{"hello"},
			after: set("Authorization", "x", "X-Sum", "1\n2", "X-Count", "5", "X-Other", "6", http.TrailerPrefix+"X-Late", "7")},
		{name: "late trailer of a short body", writes: []string{"hello"}, after: set(http.TrailerPrefix+"X-Late", "7")},
		{name: "late trailer of a flushed body", writes: []string{"hello"}, flush: true, after: set(http.TrailerPrefix+"X-Late", "7")},
		{name: "late trailer given before", fields: set(http.TrailerPrefix+"X-Late", "7"), writes: []string{"hello"}},
		{name: "trailer of a body of known length", fields: set("Trailer", "X-Sum", "Content-Length", "5"), writes: []string{"hello"}, after: set("X-Sum", "7")},
		{name: "trailer of no body", fields: set("Trailer", "X-Sum"), after: set("X-Sum", "7")},
		{name: "trailer of a head", method: "HEAD", fields: set("Trailer", "X-Sum"), writes: []string{"hello"}, after: set("X-Sum", "7")},
		{name: "close asked for", request: func(r *http.Request) { r.Close = true }, writes: []string{"hello"}},
		{name: "close asked for by field", request: func(r *http.Request) { r.Header.Set("Connection", "close") }, writes: []string{"hello"}},
		{name: "close by the handler", fields: set("Connection", "close"), writes: []string{"hello"}},
		{name: "little unread", request: sends(100<<10, false), writes: []string{"hello"}},
		{name: "much unread", request: sends(1<<20, false), writes: []string{"hello"}},
		{name: "much unread, flushed", request: sends(1<<20, false), writes: []string{"hello"}, flush: true},
		{name: "much unread of more", request: sends(1<<20, false), first: reads(900 << 10), writes: []string{"hello"}},
		{name: "body read", request: sends(1<<20, false), first: reads(1 << 20), writes: []string{"hello"}},
		{name: "expected and not read", request: sends(5, true), writes: []string{"hello"}},
		{name: "expected and read", request: sends(5, true), first: reads(10), writes: []string{"hello"}},
		{name: "read deadline", request: sends(100<<10, false), first: func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second))
			io.Copy(io.Discard, r.Body)
		}, writes: []string{"hello"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			noted := make(chan string, 1)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var notes []string
				defer func() { noted <- strings.Join(notes, ", ") }()
				if tc.first != nil {
					tc.first(w, r)
				}
				if tc.fields != nil {
					tc.fields(w)
				}
				if tc.status != 0 {
					w.WriteHeader(tc.status)
				}
				for _, s := range tc.writes {
					if tc.flush {
						w.(http.Flusher).Flush()
					}
					n, err := io.WriteString(w, s)
					notes = append(notes, fmt.Sprint(n, " ", errText(err)))
				}
				if tc.after != nil {
					tc.after(w)
				}
			})
			see := func(rt http.RoundTripper, base string) (out served) {
				r := newRequest(t, or(tc.method, "GET"), base, nil)
				r.Header.Set("Accept-Encoding", "identity")
				if tc.request != nil {
					tc.request(r)
				}
				resp, err := rt.RoundTrip(r)
				out.Noted = within(t, "the handler's end", noted)
				if err != nil {
					out.Err = "failed"
					return out
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				resp.Header.Del("Date")
				return served{
					Status: resp.Status, Header: resp.Header, Trailer: resp.Trailer, Length: resp.ContentLength, Close: resp.Close,
					TransferEncoding: resp.TransferEncoding, Body: string(b), BodyErr: class(err), Noted: out.Noted,
				}
			}
			s := httptest.NewUnstartedServer(h)
			s.Config.ErrorLog = quiet
			s.Start()
			defer s.Close()
			std := &http.Transport{ExpectContinueTimeout: patience}
			defer std.CloseIdleConnections()
			want := see(std, s.URL)
			for range 10 {
				// Its client loses an answer, now and then, that comes while it writes.
				if want.Err == "" || tc.request == nil {
					break
				}
				want = see(std, s.URL)
			}
			got := see(stdhttp.Transport(newClient(t, stdhttp.Handler(h))), "http://x/")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("http.Server (-), stdhttp.Handler (+):\n%s", diff)
			}
		})
	}
}

// TestHandlerUnderReverseProxy: a proxy whose upstream is cut off must not make a
// whole answer of it.
func TestHandlerUnderReverseProxy(t *testing.T) {
	upstream := serveScript(t, &scripted{reply: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"})
	u, err := url.Parse("http://" + upstream.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	own := &http.Transport{}
	defer own.CloseIdleConnections()
	proxy.Transport, proxy.ErrorLog = own, quiet
	proxy.ModifyResponse = func(r *http.Response) error { // so that no length tells
		r.Header.Del("Content-Length")
		r.ContentLength = -1
		return nil
	}
	resp, err := stdhttp.Transport(newClient(t, stdhttp.Handler(proxy))).RoundTrip(newRequest(t, "GET", "http://x/", nil))
	if err != nil {
		if err != io.EOF { // the head was not out yet
			t.Errorf("error %v", err)
		}
		return
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF {
		t.Errorf("body %q, error %v; want io.ErrUnexpectedEOF", b, err)
	}
}

func TestHandlerContextValues(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
		_, addr := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		fmt.Fprint(w, s != nil && s.Handler != nil, addr)
	})
	resp, err := newClient(t, stdhttp.Handler(h)).Do(t.Context(), godwit.NewRequest("GET", "http://x/"))
	if err != nil || resp.Text() != "true true" {
		t.Errorf("%v, %v; want a server and an address", resp, err)
	}
}

// TestHijackedBody: what is unread of the request follows on the connection.
func TestHijackedBody(t *testing.T) {
	for _, tc := range []struct {
		name   string
		length int64
		expect bool
		first  int // read before Hijack
		want   string
	}{
		{name: "length", length: 5, want: "hello"},
		{name: "length, begun", length: 5, first: 2, want: "llo"},
		{name: "chunked", length: -1, want: "5\r\nhello\r\n0\r\n\r\n"},
		{name: "expected", length: 5, expect: true, want: "hello"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := handled(t, func(w http.ResponseWriter, r *http.Request) {
				io.CopyN(io.Discard, r.Body, int64(tc.first))
				conn, rw, err := w.(http.Hijacker).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				if tc.expect {
					io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
				}
				b := make([]byte, len(tc.want))
				conn.SetReadDeadline(time.Now().Add(patience))
				n, err := io.ReadFull(rw, b)
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s %v", b[:n], err)
			})
			r := newRequest(t, "POST", "http://x/", strings.NewReader("hello"))
			r.ContentLength = tc.length
			if tc.expect {
				r.Header.Set("Expect", "100-continue")
			}
			continued := 0
			r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued++ }}))
			resp, err := stdhttp.Transport(c).RoundTrip(r)
			if got := mustRead(t, resp, err); got != tc.want+" <nil>" {
				t.Errorf("the handler read %q, want %q", got, tc.want)
			}
			if want := map[bool]int{true: 1}[tc.expect]; continued != want {
				t.Errorf("100 Continue came %d times, want %d", continued, want)
			}
		})
	}
}

// TestHijackedBodyBeforeStream: what the client writes after a 101 comes behind
// the request's body.
func TestHijackedBodyBeforeStream(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		b, _ := io.ReadAll(conn)
		conn.Write(b)
	})
	reader, writer := io.Pipe()
	r := newRequest(t, "POST", "http://x/", reader)
	r.ContentLength = 4
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "x")
	resp, err := stdhttp.Transport(c).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wrote := make(chan error, 1)
	go func() {
		_, err := io.WriteString(resp.Body.(io.Writer), " and stream")
		wrote <- err
	}()
	select {
	case <-wrote:
		t.Error("the stream overtook the request's body")
	case <-time.After(20 * time.Millisecond):
	}
	io.WriteString(writer, "body")
	writer.Close()
	if err := within(t, "Write", wrote); err != nil {
		t.Error(err)
	}
	resp.Body.(interface{ CloseWrite() error }).CloseWrite()
	if b, err := io.ReadAll(resp.Body); string(b) != "body and stream" || err != nil {
		t.Errorf("the handler read %q, %v", b, err)
	}
}

// TestHijackUnread: nothing waits for a handler that reads nothing.
func TestHijackUnread(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("Write after Hijack: %v", err)
		}
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("second Hijack: %v", err)
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	body := newClosing(strings.NewReader(strings.Repeat("x", 1<<20)))
	r := newRequest(t, "POST", "http://x/", body)
	r.ContentLength = 1 << 20
	resp, err := stdhttp.Transport(c).RoundTrip(r)
	if got := mustRead(t, resp, err); got != "ok" {
		t.Errorf("body %q", got)
	}
	body.wantClosed(t)
}

func TestHandlerReadDeadline(t *testing.T) {
	for _, tc := range []struct {
		name string
		at   func() time.Time
	}{
		{"passed", func() time.Time { return time.Now().Add(-time.Second) }},
		{"while it reads", func() time.Time { return time.Now().Add(20 * time.Millisecond) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := handled(t, func(w http.ResponseWriter, r *http.Request) {
				control := http.NewResponseController(w)
				if err := errors.Join(control.SetReadDeadline(time.Now().Add(time.Hour)), control.SetReadDeadline(tc.at())); err != nil {
					t.Error(err)
				}
				_, err := io.ReadAll(r.Body)
				w.WriteHeader(http.StatusRequestTimeout)
				fmt.Fprint(w, errors.Is(err, os.ErrDeadlineExceeded))
			})
			reader, writer := io.Pipe() // nobody writes
			defer writer.Close()
			resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "POST", "http://x/", reader))
			if got := mustRead(t, resp, err); got != "true" || resp.StatusCode != http.StatusRequestTimeout {
				t.Errorf("%s: a deadline was seen: %s", resp.Status, got)
			}
		})
	}
}

func TestHandlerWriteDeadline(t *testing.T) {
	wrote := make(chan error, 1)
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		w.WriteHeader(http.StatusOK)
		if err := errors.Join(control.Flush(), control.SetWriteDeadline(time.Now().Add(20*time.Millisecond))); err != nil {
			t.Error(err)
		}
		_, err := w.Write(make([]byte, 1<<20)) // more than is taken
		wrote <- err
	})
	resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", "http://x/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := within(t, "the deadline", wrote); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write: %v", err)
	}
	if _, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF {
		t.Errorf("the body ended by %v, want io.ErrUnexpectedEOF", err)
	}
}

func TestHandlerWriteDeadlineBeforeTheHead(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second))
		io.WriteString(w, "late")
	})
	if resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "GET", "http://x/", nil)); err != io.EOF {
		t.Errorf("%v, %v; want io.EOF", resp, err)
	}
}

func TestHandlerReadsFrom(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		if n, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("hello")); n != 5 || err != nil {
			t.Errorf("ReadFrom: %d, %v", n, err)
		}
	})
	resp, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://x/"))
	if err != nil || resp.Text() != "hello" || resp.ContentLength != 5 {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestHandlerBadStatus(t *testing.T) {
	for _, status := range []int{-1, 0, 99, 1000} {
		c := handled(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) })
		_, err := c.Do(context.Background(), godwit.NewRequest("GET", "http://x/"))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("invalid WriteHeader code %d", status)) {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

// TestHandlerMethod: a request without a body has a length only where one is
// usual.
func TestHandlerMethod(t *testing.T) {
	for method, want := range map[string]string{"POST": "0", "P": "", "GET": ""} {
		c := handled(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("Content-Length")) })
		resp, err := c.Do(t.Context(), godwit.NewRequest(method, "http://x/"))
		if err != nil || resp.Text() != want {
			t.Errorf("%s: Content-Length %v, %v; want %q", method, resp, err, want)
		}
	}
}
