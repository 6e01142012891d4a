package stdhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/header"
	"github.com/godwit-go/godwit/stdhttp"
)

func TestHandlerConformance(t *testing.T) {
	enginetest.Run(t, nil, enginetest.Canned("a handler in process has no wire, so nothing of connections, bytes and addresses can be seen", canned))
}

// canned makes an engine of a handler that gives the suite's answers.
func canned(shared engine.Config, answer func(*engine.Request) enginetest.Reply) (engine.Engine, error) {
	return stdhttp.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		reply(w, r, answer(seen(r, body)))
	})).NewEngine(shared)
}

// seen is the request as the suite wants it.
func seen(r *http.Request, body []byte) *engine.Request {
	req := &engine.Request{Method: r.Method, URL: r.URL, Protocol: r.Header.Get("Upgrade")}
	for name, values := range r.Header {
		req.Header.AddAll(name, values...)
	}
	if len(body) > 0 {
		req.Body = enginetest.Text(string(body))
	}
	if len(r.Trailer) > 0 {
		var trailer header.Header
		for name, values := range r.Trailer {
			trailer.AddAll(name, values...)
		}
		req.Trailer = func() header.Header { return trailer }
	}
	return req
}

func reply(w http.ResponseWriter, r *http.Request, a enginetest.Reply) {
	for _, info := range a.Informational {
		for name, v := range info.Header.All() {
			w.Header().Set(name, v)
		}
		w.WriteHeader(info.Status)
		clear(w.Header())
	}
	wait := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		case <-r.Context().Done():
			return false
		}
	}
	if a.Hang != nil && !wait(a.Hang) {
		return
	}
	status := or(a.Status, 200)
	if a.Upgrade != nil {
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintf(c, "HTTP/1.1 %d %s\r\n%s", status, a.Reason, a.Header.String())
		if status == 101 {
			fmt.Fprintf(c, "Connection: Upgrade\r\nUpgrade: %s\r\n", r.Header.Get("Upgrade"))
		}
		io.WriteString(c, "\r\n")
		a.Upgrade(struct {
			io.Reader
			io.Writer
		}{rw, c})
		return
	}
	for name, v := range a.Header.All() {
		w.Header().Add(name, v)
	}
	for _, name := range a.Trailer.Names() {
		w.Header().Add("Trailer", name)
	}
	half := len(a.Body) / 2
	if a.Truncate || a.Stall != nil {
		w.Header().Set("Content-Length", fmt.Sprint(len(a.Body)))
	}
	w.WriteHeader(status)
	switch {
	case a.Truncate:
		io.WriteString(w, a.Body[:half])
	case a.Stall != nil:
		io.WriteString(w, a.Body[:half])
		w.(http.Flusher).Flush()
		if wait(a.Stall) {
			io.WriteString(w, a.Body[half:])
		}
	default:
		io.WriteString(w, a.Body)
	}
	for _, name := range a.Trailer.Names() {
		for _, v := range a.Trailer.Values(name) {
			w.Header().Add(name, v)
		}
	}
}

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// handled makes a client whose requests h answers.
func handled(t *testing.T, h http.HandlerFunc, opts ...godwit.ClientOption) *godwit.Client {
	return newClient(t, stdhttp.Handler(h), opts...)
}

func TestHandler(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %d %v %s", r.Method, r.Host, r.RequestURI, r.ContentLength, r.TLS != nil, r.RemoteAddr))
		fmt.Fprintf(w, "<p>%s</p>", b)
	})
	resp, err := c.Do(t.Context(), godwit.NewRequest("POST", "https://any.example/a%2Fb?q=1#f", godwit.Body("hello")))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := resp.Header.Get("X-Seen"), "POST any.example /a%2Fb?q=1 5 true 127.0.0.1:0"; got != want {
		t.Errorf("the handler saw %q, want %q", got, want)
	}
	if resp.Text() != "<p>hello</p>" || resp.ContentLength != 12 || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" || !resp.Header.Has("Date") {
		t.Errorf("%q\n%v", resp.Text(), resp.Header)
	}
}

func TestHandlerPanics(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name  string
		with  any
		after bool
		want  error
	}{
		{"before the answer", boom, false, boom},
		{"after the head", boom, true, io.ErrUnexpectedEOF},
		{"abort", http.ErrAbortHandler, false, io.ErrUnexpectedEOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := handled(t, func(w http.ResponseWriter, r *http.Request) {
				if tc.after {
					io.WriteString(w, "part")
					w.(http.Flusher).Flush()
				}
				panic(tc.with)
			})
			_, err := c.Do(t.Context(), godwit.NewRequest("GET", "http://x/"))
			if !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

func TestHandlerContext(t *testing.T) {
	type key struct{}
	began, ended := make(chan any, 1), make(chan error, 1)
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		began <- r.Context().Value(key{})
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "the caller's"))
	done := make(chan error, 1)
	go func() {
		_, err := c.Do(ctx, godwit.NewRequest("GET", "http://x/"))
		done <- err
	}()
	if v := within(t, "the handler's start", began); v != nil {
		t.Errorf("the handler sees the caller's value %v", v)
	}
	cancel()
	if err := within(t, "Do", done); !errors.Is(err, context.Canceled) {
		t.Errorf("Do: %v", err)
	}
	if err := within(t, "the end of the handler's context", ended); err != context.Canceled {
		t.Errorf("the handler's context: %v", err)
	}
}

func TestHandlerStreams(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for lines := bufio.NewScanner(r.Body); lines.Scan(); {
			fmt.Fprintf(w, "echo %s\n", lines.Text())
			w.(http.Flusher).Flush()
		}
	})
	reader, writer := io.Pipe()
	resp, err := stdhttp.Transport(c).RoundTrip(newRequest(t, "POST", "http://x/", reader))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if len(resp.TransferEncoding) != 1 || resp.ContentLength != -1 {
		t.Errorf("transfer encoding %q, length %d", resp.TransferEncoding, resp.ContentLength)
	}
	in := bufio.NewReader(resp.Body)
	for i := range 3 {
		fmt.Fprintf(writer, "%d\n", i)
		if line, err := in.ReadString('\n'); err != nil || line != fmt.Sprintf("echo %d\n", i) {
			t.Fatalf("line %q, %v", line, err)
		}
	}
	writer.Close()
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("rest %q, %v", rest, err)
	}
}

func TestHandlerIsHeldUp(t *testing.T) {
	wrote := make(chan error, 1)
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := w.Write(make([]byte, 1<<20))
		wrote <- err
	})
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", "http://x/"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-wrote:
		t.Errorf("a megabyte was taken though nobody read it: %v", err)
	default:
	}
	resp.Close()
	if err := within(t, "Write after Close", wrote); err == nil {
		t.Error("Write succeeded though nobody read")
	}
}

func TestHandlerRefuses(t *testing.T) {
	if _, err := stdhttp.Handler(nil).NewEngine(engine.Config{}); err == nil {
		t.Error("Handler(nil) makes an engine")
	}
	c := handled(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(101) })
	_, err := c.Open(t.Context(), godwit.NewRequest("GET", "http://x/", godwit.Upgrade("websocket")))
	if err == nil || !strings.Contains(err.Error(), "without Hijack") {
		t.Errorf("101 without Hijack: %v", err)
	}
}

func TestHijackAfterWriteHeader(t *testing.T) {
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "shout")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HI")
	})
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", "http://x/", godwit.Upgrade("shout")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	if b, err := io.ReadAll(resp.Upgraded()); string(b) != "HI" || err != nil {
		t.Errorf("stream %q, %v", b, err)
	}
}

func TestHandlerExpect(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reads  bool
		status godwit.Status
		opened int32
		events string
	}{
		{"continue", true, 200, 1, "wait 100 wrote"},
		{"refused", false, 417, 0, "wait"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var events []string
			var opened atomic.Int32
			c := handled(t, func(w http.ResponseWriter, r *http.Request) {
				if !tc.reads {
					w.WriteHeader(http.StatusExpectationFailed)
					return
				}
				io.Copy(w, r.Body)
			})
			body := content.Opener(func(context.Context) (io.ReadCloser, error) {
				opened.Add(1)
				return io.NopCloser(strings.NewReader("hello")), nil
			}, "text/plain", 5)
			trace := &engine.Trace{
				Wait100:       func() { events = append(events, "wait") },
				Informational: func(status int, _ header.Header) error { events = append(events, fmt.Sprint(status)); return nil },
				WroteRequest: func(err error) {
					if err == nil {
						events = append(events, "wrote")
					}
				},
			}
			resp, err := c.Do(t.Context(), godwit.NewRequest("PUT", "http://x/", godwit.Body(body), godwit.Header("Expect", "100-continue"), godwit.Trace(trace)))
			if err != nil || resp.Status != tc.status || opened.Load() != tc.opened {
				t.Errorf("%v, %v; opened %d times", resp, err, opened.Load())
			}
			if tc.reads && resp.Text() != "hello" {
				t.Errorf("body %q", resp.Text())
			}
			if got := strings.Join(events, " "); got != tc.events {
				t.Errorf("events %q, want %q", got, tc.events)
			}
		})
	}
}

func TestHijackedDeadlines(t *testing.T) {
	errs := make(chan [2]error, 1)
	c := handled(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		conn.SetDeadline(time.Now().Add(30 * time.Millisecond))
		_, readErr := conn.Read(make([]byte, 1))
		_, writeErr := conn.Write(make([]byte, 1<<20)) // more than is taken
		errs <- [2]error{readErr, writeErr}
	})
	resp, err := c.Open(t.Context(), godwit.NewRequest("GET", "http://x/", godwit.Upgrade("x")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	for _, err := range within(t, "the deadline", errs) {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v, want os.ErrDeadlineExceeded", err)
		}
	}
}
