package cio_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

// responses are bytes of a server and what comes of them.
var responses = []struct {
	name, wire string
	method     string // "" = GET
	close      bool   // the peer closes after the response
	want       string // status, length and body
	headError  string // text of the ProtocolError of Execute
	bodyError  string // text of the error of Read
	kept       bool   // the connection is idle afterwards
	config     cio.Config
}{
	{name: "length", wire: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "200 5 hello", kept: true},
	{name: "no content", wire: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: "200 0 ", kept: true},
	{name: "chunked", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", want: "200 -1 hello", kept: true},
	{name: "until close", wire: "HTTP/1.1 200 OK\r\n\r\nhello", close: true, want: "200 -1 hello"},
	{name: "1.0", wire: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: "200 5 hello"},
	{name: "1.0 keep-alive", wire: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello", want: "200 5 hello", kept: true},
	{name: "close", wire: "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello", want: "200 5 hello"},
	{name: "HEAD", method: "HEAD", wire: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", want: "200 5 ", kept: true},
	{name: "204", wire: "HTTP/1.1 204 No\r\n\r\n", want: "204 -1 ", kept: true},
	{name: "304", wire: "HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", want: "304 7 ", kept: true},
	{name: "interim responses", wire: "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: "200 2 ok", kept: true},
	{name: "status 500", wire: "HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\nok", want: "500 2 ok", kept: true},
	{name: "garbage behind the body", wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", want: "200 2 ok"},
	{name: "garbage behind no body", method: "HEAD", wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", want: "200 2 "},
	{name: "garbage behind chunks", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nx", want: "200 -1 ok"},

	{name: "short body", wire: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", close: true, want: "200 6 hello", bodyError: "unexpected EOF"},
	{name: "chunk cut off", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", close: true, want: "200 -1 hel", bodyError: "unexpected EOF"},
	{name: "no last chunk", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", close: true, want: "200 -1 hello", bodyError: "unexpected EOF"},
	{name: "trailer cut off", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", close: true, want: "200 -1 ", bodyError: "unexpected EOF"},
	{name: "bad chunk size", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\n", want: "200 -1 ok", bodyError: "bad chunk size"},
	{name: "chunk longer than its size", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", want: "200 -1 ok", bodyError: "longer than its size"},

	{name: "two lengths", wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", headError: "Content-Length"},
	{name: "length and chunks", wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", headError: "both"},
	{name: "unknown coding", wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", headError: "coding"},
	{name: "bare LF", wire: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", headError: "bare LF"},
	{name: "obs-fold", wire: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", headError: "folded"},
	{name: "NUL", wire: "HTTP/1.1 200 OK\r\nA: b\x00\r\n\r\n", headError: "NUL"},
	{name: "HTTP/5.6", wire: "HTTP/5.6 200 OK\r\n\r\n", headError: "version"},
	{name: "not HTTP", wire: "220 smtp ready\r\n", headError: "not an HTTP response"},
	{name: "101 unasked", wire: "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", headError: "not asked for"},
	{name: "endless 1xx", wire: strings.Repeat("HTTP/1.1 100 C\r\n\r\n", 200), headError: "interim"},
	{name: "large head", wire: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 2000), headError: "MaxHeaderBytes", config: cio.Config{MaxHeaderBytes: 1000}},
	{name: "many fields", wire: "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 30), headError: "MaxHeaderFields", config: cio.Config{MaxHeaderFields: 20}},
	{name: "a head larger than the buffer", wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: " + strings.Repeat("b", 20000) + "\r\n\r\nok", want: "200 2 ok", kept: true},

	{name: "lenient: bare LF", wire: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", want: "200 2 ok", kept: true, config: cio.Config{Lenient: true}},
	{name: "lenient: length and chunks", wire: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", want: "200 -1 ok", config: cio.Config{Lenient: true}},
}

// TestResponses sends each response whole, byte by byte and followed by the
// close of the connection.
func TestResponses(t *testing.T) {
	for _, tc := range responses {
		if tc.method == "" {
			tc.method = "GET"
		}
		for _, way := range []string{"whole", "bytes"} {
			t.Run(tc.name+"/"+way, func(t *testing.T) {
				p := newPeer(t, func(c *peerConn) {
					for c.head() != "" {
						if way == "whole" {
							c.send(tc.wire)
						} else {
							c.drip(tc.wire)
						}
						if tc.close {
							return
						}
					}
				})
				e := newEngine(t, tc.config)
				resp, err := e.Execute(t.Context(), &engine.Request{Method: tc.method, URL: p.url})
				if tc.headError != "" {
					pe, ok := errors.AsType[*engine.ProtocolError](err)
					if !ok || !strings.Contains(pe.Reason, tc.headError) {
						t.Fatalf("error = %v, want a ProtocolError with %q", err, tc.headError)
					}
					if oe, ok := errors.AsType[*engine.OpError](err); !ok || oe.Op != engine.OpReceive {
						t.Errorf("%#v is no OpError of receive", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				if got := sprint(resp, b); got != tc.want {
					t.Errorf("got %q, want %q", got, tc.want)
				}
				if tc.bodyError == "" && err != nil || tc.bodyError != "" && (err == nil || !strings.Contains(err.Error(), tc.bodyError)) {
					t.Errorf("body error = %v, want %q", err, tc.bodyError)
				}
				if tc.bodyError == "unexpected EOF" && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%v is not io.ErrUnexpectedEOF", err)
				}
				resp.Body.Close()
				// When the bytes come one by one the garbage may not be here yet.
				if way == "bytes" && strings.HasPrefix(tc.name, "garbage") {
					return
				}
				if idle := e.Stats().Idle == 1; idle != tc.kept {
					t.Errorf("kept = %v, want %v: %+v", idle, tc.kept, e.Stats())
				}
			})
		}
	}
}

func sprint(resp *engine.Response, body []byte) string {
	return strings.Join([]string{itoa(int64(resp.Status)), itoa(resp.ContentLength), string(body)}, " ")
}

func TestTrailers(t *testing.T) {
	p := newPeer(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n"))
	resp, body := mustFetch(t, newEngine(t, cio.Config{}), p.get())
	if resp.Trailer == nil || body != "ok" {
		t.Fatalf("trailer %v, body %q", resp.Trailer != nil, body)
	}
	if got := resp.Trailer(); !got.Equal(header.New("A", "b")) {
		t.Errorf("trailer = %v", got)
	}
}

func TestRawHead(t *testing.T) {
	const head = "HTTP/1.1 200  two\r\nb:1\r\nB:  2\r\nContent-Length: 0\r\n\r\n"
	p := newPeer(t, answering(head))
	e := newEngine(t, cio.Config{})
	req := p.get()
	req.WantRawHead = true
	resp, _ := mustFetch(t, e, req)
	if string(resp.RawHead) != head || resp.Reason != " two" {
		t.Errorf("raw head = %q, reason %q", resp.RawHead, resp.Reason)
	}
	if resp, _ := mustFetch(t, e, p.get()); resp.RawHead != nil {
		t.Errorf("raw head without asking: %q", resp.RawHead)
	}
}

// TestBodyReads reads bodies in several ways, and by pieces of several sizes.
func TestBodyReads(t *testing.T) {
	data := strings.Repeat("0123456789abcdef", 40<<10/16) // larger than the small buffer
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for rest, n := data, 1; rest != ""; n = n*3 + 1 {
		piece := rest[:min(n, len(rest))]
		rest = rest[len(piece):]
		chunked += hex(len(piece)) + "\r\n" + piece + "\r\n"
	}
	for name, wire := range map[string]string{
		"length":      "HTTP/1.1 200 OK\r\nContent-Length: " + itoa(int64(len(data))) + "\r\n\r\n" + data,
		"chunked":     chunked + "0\r\n\r\n",
		"until close": "HTTP/1.1 200 OK\r\n\r\n" + data,
	} {
		for way, read := range map[string]func(r io.Reader) ([]byte, error){
			"ReadAll": io.ReadAll,
			"WriteTo": func(r io.Reader) ([]byte, error) {
				var b strings.Builder
				_, err := io.Copy(&b, r)
				return []byte(b.String()), err
			},
			"small":    func(r io.Reader) ([]byte, error) { return readBy(r, 7) },
			"large":    func(r io.Reader) ([]byte, error) { return readBy(r, 100<<10) },
			"exactly":  func(r io.Reader) ([]byte, error) { return readBy(r, len(data)) },
			"one more": func(r io.Reader) ([]byte, error) { return readBy(r, len(data)+1) },
		} {
			t.Run(name+"/"+way, func(t *testing.T) {
				p := newPeer(t, func(c *peerConn) {
					for c.head() != "" {
						c.send(wire)
						if name == "until close" {
							return
						}
					}
				})
				e := newEngine(t, cio.Config{})
				for range 2 {
					resp, err := e.Execute(t.Context(), p.get())
					if err != nil {
						t.Fatal(err)
					}
					if b, err := read(resp.Body); err != nil || string(b) != data {
						t.Fatalf("read %d bytes of %d, %v", len(b), len(data), err)
					}
					// The connection went back before Close.
					if s := e.Stats(); s.Idle != s.Open {
						t.Errorf("at the end of the body: %+v", s)
					}
					if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("Read after the end: %d, %v", n, err)
					}
					resp.Body.Close()
					if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
						t.Errorf("Read after Close: %v", err)
					}
				}
			})
		}
	}
}

// readBy reads by pieces of n bytes.
func readBy(r io.Reader, n int) ([]byte, error) {
	var all []byte
	for p := make([]byte, n); ; {
		n, err := r.Read(p)
		all = append(all, p[:n]...)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}
