package cio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

// TestBodiesArrive sends bodies of all kinds and sizes to a net/http server,
// plain and over TLS, twice on one connection.
func TestBodiesArrive(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Length", itoa(r.ContentLength))
		w.Write(b)
	})
	dir := t.TempDir()
	for _, secure := range []bool{false, true} {
		s := httptest.NewUnstartedServer(handler)
		config := cio.Config{}
		if secure {
			s.StartTLS()
			config.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig
		} else {
			s.Start()
		}
		defer s.Close()
		e := newEngine(t, config)
		for _, size := range []int{0, 1, 100, 8 << 10, 60 << 10, 100 << 10, 3 << 20} {
			data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
			path := filepath.Join(dir, itoa(int64(size)))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]content.Content{
				"memory":  content.Bytes(data, ""),
				"reader":  streamed(string(data), int64(size)),
				"chunked": streamed(string(data), -1),
				"file":    body{int64(size), true, func() (io.ReadCloser, error) { return os.Open(path) }},
			} {
				for _, idle := range []time.Duration{0, time.Minute} {
					req := &engine.Request{Method: "POST", URL: mustURL(t, s.URL), Body: c, Timeouts: engine.Timeouts{Idle: idle}}
					resp, got := mustFetch(t, e, req)
					if got != string(data) {
						t.Errorf("TLS %v, %s of %d bytes: got %d back", secure, name, size, len(got))
					}
					if want := itoa(c.ContentLength()); resp.Header.Get("Length") != want {
						t.Errorf("%s of %d bytes: Content-Length %s, want %s", name, size, resp.Header.Get("Length"), want)
					}
				}
			}
		}
		if st := e.Stats(); st.Open != 1 {
			t.Errorf("TLS %v: %+v, want one connection for all", secure, st)
		}
	}
}

// TestWireOfRequests compares what goes over the wire byte by byte.
func TestWireOfRequests(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  engine.Request
		want string // without Host
	}{
		{"order and case", engine.Request{Method: "GET", Header: header.New("b", "1", "A", "2", "B", "3")}, "GET /?q HTTP/1.1\r\nb: 1\r\nA: 2\r\nB: 3\r\n\r\n"},
		{"no body", engine.Request{Method: "POST"}, "POST /?q HTTP/1.1\r\nContent-Length: 0\r\n\r\n"},
		{"empty body", engine.Request{Method: "GET", Body: content.Text("")}, "GET /?q HTTP/1.1\r\n\r\n"},
		{"any verb", engine.Request{Method: "PROPFIND", Body: content.Text("x")}, "PROPFIND /?q HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"},
		{"chunks and trailers", engine.Request{Method: "PUT", Body: streamed("hello", -1), TrailerNames: []string{"A"}, Trailer: func() header.Header { return header.New("A", "b") }},
			"PUT /?q HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"},
		{"trailers turn a length into chunks", engine.Request{Method: "PUT", Body: content.Text("hello"), TrailerNames: []string{"A"}, Trailer: func() header.Header { return header.New("A", "b") }},
			"PUT /?q HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := make(chan string, 1)
			p := newPeer(t, func(c *peerConn) {
				var b strings.Builder
				for want := tc.want; b.Len() < len(want)+len("Host: \r\n")+len(c.LocalAddr().String()); {
					one, err := c.ReadByte()
					if err != nil {
						break
					}
					b.WriteByte(one)
				}
				got <- strings.Replace(b.String(), "Host: "+c.LocalAddr().String()+"\r\n", "", 1)
				c.send(ok)
				c.rest()
			})
			tc.req.URL = mustURL(t, p.url.String()+"?q")
			mustFetch(t, newEngine(t, cio.Config{}), &tc.req)
			if wire := within(t, "the request", got); wire != tc.want {
				t.Errorf("got  %q\nwant %q", wire, tc.want)
			}
		})
	}
}

func TestBadRequests(t *testing.T) {
	p := newPeer(t, answering(ok))
	e := newEngine(t, cio.Config{})
	mustFetch(t, e, p.get())
	for name, h := range map[string]header.Header{
		"CR LF": header.New("A", "b\r\nC: d"), "name": header.New("A\n", "b"), "Content-Length": header.New("Content-Length", "3"),
	} {
		req := p.get()
		req.Header = h
		_, err := e.Execute(t.Context(), req)
		if oe, isOp := errors.AsType[*engine.OpError](err); !isOp || oe.Op != engine.OpBuild || oe.Sent {
			t.Errorf("%s: %#v", name, err)
		}
	}
	// The connection is none the worse.
	if resp, _ := mustFetch(t, e, p.get()); !resp.Reused {
		t.Error("the connection was given up")
	}
	_, err := e.Execute(t.Context(), &engine.Request{Method: "GET", URL: p.url, Needs: engine.HTTP3})
	if _, isUnsupported := errors.AsType[*engine.UnsupportedError](err); !isUnsupported {
		t.Errorf("HTTP/3: %v", err)
	}
}

var errSource = errors.New("the source broke")

// TestBodyErrors: what cannot be sent as announced is an error of the send, and
// the server does not see a whole request.
func TestBodyErrors(t *testing.T) {
	failing := func(length int64) body {
		return body{length, true, func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("hello"), errReader{})), nil
		}}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened := func() (io.ReadCloser, error) { return os.Open(file) }
	for _, tc := range []struct {
		name string
		body body
		text string
		is   error
	}{
		{"open fails", body{5, true, func() (io.ReadCloser, error) { return nil, errSource }}, "", errSource},
		{"read fails", failing(10), "", errSource},
		{"read fails, chunked", failing(-1), "", errSource},
		{"shorter", streamed("hello", 6), "shorter", nil},
		{"longer", streamed("hello", 4), "longer", nil},
		{"longer than nothing", streamed("hello", 0), "longer", nil},
		{"file is shorter", body{6, true, opened}, "shorter", nil},
		{"file is longer", body{4, true, opened}, "longer", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPeer(t, func(c *peerConn) { c.rest() })
			e := newEngine(t, cio.Config{})
			_, err := e.Execute(t.Context(), p.post(tc.body))
			oe, isOp := errors.AsType[*engine.OpError](err)
			if !isOp || oe.Op != engine.OpSend || !strings.Contains(err.Error(), tc.text) || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error = %#v", err)
			}
			eventually(t, "the connection is closed", func() bool { return p.open.Load() == 0 })
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errSource }

// tracked is a source that knows who reads it.
type tracked struct {
	io.Reader
	closed atomic.Int32
	reads  atomic.Int32
}

func (s *tracked) Read(p []byte) (int, error) { s.reads.Add(1); return s.Reader.Read(p) }
func (s *tracked) Close() error               { s.closed.Add(1); return nil }

// endless never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestEarlyResponse: the answer is seen while the body is still being sent, and
// when the exchange ends the body is read no further.
func TestEarlyResponse(t *testing.T) {
	for name, status := range map[string]string{"refused": "413 Too Large", "accepted": "200 OK"} {
		for _, length := range []int64{-1, 1 << 40} {
			t.Run(name+"/"+itoa(length), func(t *testing.T) {
				p := newPeer(t, func(c *peerConn) {
					c.head()
					c.take(1000)
					c.send("HTTP/1.1 " + status + "\r\nContent-Length: 2\r\n\r\nno")
					c.rest()
				})
				e := newEngine(t, cio.Config{})
				source := &tracked{Reader: endless{}}
				resp, got := mustFetch(t, e, p.post(body{length, false, func() (io.ReadCloser, error) { return source, nil }}))
				if itoa(int64(resp.Status)) != status[:3] || got != "no" {
					t.Errorf("%d %q", resp.Status, got)
				}
				reads := source.reads.Load()
				if source.closed.Load() != 1 {
					t.Errorf("source closed %d times", source.closed.Load())
				}
				eventually(t, "the connection is closed", func() bool { return p.open.Load() == 0 })
				if source.reads.Load() != reads {
					t.Error("the source is still being read")
				}
			})
		}
	}
}

// TestResponseBeforeReset: a server that answers, closes and resets is heard.
func TestResponseBeforeReset(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.send("HTTP/1.1 413 x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		c.Conn.(*net.TCPConn).CloseWrite()
		c.take(1 << 20)
	})
	e := newEngine(t, cio.Config{})
	resp, got := mustFetch(t, e, p.post(streamed(strings.Repeat("x", 8<<20), 8<<20)))
	if resp.Status != 413 || got != "no" {
		t.Errorf("%d %q", resp.Status, got)
	}
}

// TestDuplex exchanges messages both ways within one exchange.
func TestDuplex(t *testing.T) {
	p := newPeer(t, func(c *peerConn) {
		c.head()
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3 {
			c.send(c.take(len("2\r\nxx\r\n")))
		}
		c.take(len("0\r\n\r\n"))
		c.send("0\r\n\r\n")
		c.rest()
	})
	e := newEngine(t, cio.Config{})
	r, w := io.Pipe()
	resp, err := e.Execute(t.Context(), p.post(body{-1, false, func() (io.ReadCloser, error) { return r, nil }}))
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{"ab", "cd", "ef"} {
		io.WriteString(w, message)
		b := make([]byte, 2)
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != message {
			t.Fatalf("%q, %v", b, err)
		}
	}
	w.Close()
	if b, err := io.ReadAll(resp.Body); len(b) != 0 || err != nil {
		t.Fatalf("%q, %v", b, err)
	}
	resp.Body.Close()
	if s := e.Stats(); s.Idle != 1 {
		t.Errorf("%+v", s)
	}
}

// TestCancelWhileTheSourceWaits: the end of ctx ends Execute though the source
// has nothing to read, closes the source, and does not leave it being read.
func TestCancelWhileTheSourceWaits(t *testing.T) {
	p := newPeer(t, func(c *peerConn) { c.rest() })
	e := newEngine(t, cio.Config{})
	r, w := io.Pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("own reason")
	go func() {
		io.WriteString(w, "x")
		cancel(cause)
	}()
	_, err := e.Execute(ctx, p.post(body{-1, false, func() (io.ReadCloser, error) { return r, nil }}))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
		t.Errorf("error = %v", err)
	}
	if _, err := io.WriteString(w, "y"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write to the source: %v", err)
	}
}

// TestHeaderTimeoutStartsLate: the body's goroutine is held up where it starts the
// header timeout, which sets a deadline. That must not be the next exchange's.
func TestHeaderTimeoutStartsLate(t *testing.T) {
	for name, tc := range map[string]struct {
		length int64
		wire   string
	}{
		"known":   {5, "hello"},
		"chunked": {-1, "5\r\nhello\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				proceed, reply := make(chan struct{}), make(chan struct{})
				d := newPipes(t, func(c *peerConn) {
					for {
						switch head := c.head(); {
						case head == "":
							return
						case strings.HasPrefix(head, "POST"):
							c.take(len(tc.wire))
						default:
							<-reply
						}
						c.send(ok)
					}
				})
				dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
					c, err := d.dial(ctx, network, addr)
					return &heldUp{Conn: c, proceed: proceed}, err
				}
				e := newEngine(t, cio.Config{Dial: dial})
				req := d.get()
				req.Method, req.Body, req.Timeouts.Header = "POST", streamed("hello", tc.length), time.Minute
				mustFetch(t, e, req)
				result := make(chan error)
				go func() {
					_, _, err := fetch(t.Context(), e, d.get())
					result <- err
				}()
				synctest.Wait() // the next request waits for its answer
				close(proceed)
				synctest.Wait()
				close(reply)
				if err := <-result; err != nil {
					t.Errorf("the next request: %v", err)
				}
			})
		})
	}
}

// heldUp is a connection on which it takes its time to set a deadline that is over.
type heldUp struct {
	net.Conn
	proceed <-chan struct{}
}

func (c *heldUp) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && at.Before(time.Now()) {
		<-c.proceed
	}
	return c.Conn.SetReadDeadline(at)
}

func TestExpectContinue(t *testing.T) {
	for _, tc := range []struct {
		name, answer string // to the head
		config       cio.Config
		status       int
		sent         bool // the body was sent
		kept         bool
	}{
		{"100", "HTTP/1.1 100 Continue\r\n\r\n", cio.Config{ExpectContinueTimeout: time.Hour}, 200, true, true},
		{"103 and 100", "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", cio.Config{ExpectContinueTimeout: time.Hour}, 200, true, true},
		{"silence", "", cio.Config{ExpectContinueTimeout: time.Millisecond}, 200, true, true},
		{"417", "HTTP/1.1 417 no\r\nContent-Length: 0\r\n\r\n", cio.Config{ExpectContinueTimeout: time.Hour}, 417, false, false},
		{"401 with a body", "HTTP/1.1 401 no\r\nContent-Length: 1\r\n\r\nx", cio.Config{ExpectContinueTimeout: time.Hour}, 401, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPeer(t, func(c *peerConn) {
				c.head()
				c.send(tc.answer)
				if !tc.sent {
					if rest := c.rest(); rest != "" {
						t.Errorf("the client sent %q all the same", rest)
					}
					return
				}
				if got := c.take(5); got != "hello" {
					t.Errorf("body %q", got)
				}
				c.send(ok)
				c.rest()
			})
			e := newEngine(t, tc.config)
			source := &tracked{Reader: strings.NewReader("hello")}
			waits, informational := 0, 0
			req := p.post(body{5, false, func() (io.ReadCloser, error) { return source, nil }})
			req.Header = header.New("expect", "100-Continue")
			req.Trace = &engine.Trace{
				Wait100:       func() { waits++ },
				Informational: func(int, header.Header) error { informational++; return nil },
			}
			resp, err := e.Execute(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.Status != tc.status || (source.reads.Load() > 0) != tc.sent || waits != 1 || informational != strings.Count(tc.answer, "/1.1 1") {
				t.Errorf("status %d, %d reads, %d waits, %d interim responses", resp.Status, source.reads.Load(), waits, informational)
			}
			if s := e.Stats(); (s.Idle == 1) != tc.kept {
				t.Errorf("%+v", s)
			}
		})
	}
}
