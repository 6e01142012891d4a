package http3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/http3"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

// outcome is how an exchange with a hostile server ends.
type outcome struct {
	body     string // what was read of it
	err      bool
	protocol bool // *engine.ProtocolError
	cut      bool // io.ErrUnexpectedEOF
}

func outcomeOf(resp *engine.Response, err error) (outcome, error) {
	var text []byte
	if err == nil {
		defer resp.Body.Close()
		text, err = io.ReadAll(resp.Body)
	}
	_, protocol := errors.AsType[*engine.ProtocolError](err)
	return outcome{string(text), err != nil, protocol, errors.Is(err, io.ErrUnexpectedEOF)}, err
}

// TestHostile: whatever a server sends, the exchange ends with an error that says
// what it is, or with the right answer, and nothing is held afterwards.
func TestHostile(t *testing.T) {
	whatever := func(s *quic.Stream, parts ...[]byte) {
		put(s, parts...)
		s.Close()
	}
	for _, row := range []struct {
		name   string
		method string
		play   func(c *scripted, s *quic.Stream)
		want   outcome
	}{
		{name: "frames of unknown types", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, frame(0x21, []byte("grease")), head("200"), frame(0x40, nil), frame(0, []byte("ok")), frame(0x5f, make([]byte, 100_000)))
		}, want: outcome{body: "ok"}},
		{name: "empty frames", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200"), bytes.Repeat(frame(0, nil), 2000), frame(0, []byte("ok")), frame(0, nil))
		}, want: outcome{body: "ok"}},
		{name: "empty frames without end", play: func(c *scripted, s *quic.Stream) {
			put(s, head("200"))
			for c.Context().Err() == nil {
				if _, err := s.Write(bytes.Repeat(frame(0, nil), 1000)); err != nil {
					return
				}
			}
		}, want: outcome{err: true, protocol: true}},
		{name: "longer than announced", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200", "content-length", "2"), frame(0, []byte("ok, and more")))
		}, want: outcome{body: "ok", err: true, protocol: true}},
		{name: "longer in another frame", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200", "content-length", "2"), frame(0, []byte("ok")), frame(0, []byte("more")))
		}, want: outcome{body: "ok", err: true, protocol: true}},
		{name: "shorter than announced", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200", "content-length", "5"), frame(0, []byte("ok")))
		}, want: outcome{body: "ok", err: true, cut: true}},
		{name: "cut in a frame of announced length", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200", "content-length", "5"), frame(0, []byte("ok..."))[:4])
		}, want: outcome{body: "ok", err: true, cut: true}},
		{name: "cut in a frame", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200"), frame(0, []byte("ok..."))[:4])
		}, want: outcome{body: "ok", err: true, cut: true}},
		{name: "cut in trailers", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200"), frame(0, []byte("ok")), frame(1, section("a", "b"))[:5])
		}, want: outcome{body: "ok", err: true, cut: true}},
		{name: "body with 204", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("204"), frame(0, []byte("ok")))
		}, want: outcome{err: true, protocol: true}},
		{name: "body with HEAD", method: "HEAD", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200", "content-length", "2"), frame(0, []byte("ok")))
		}, want: outcome{err: true, protocol: true}},
		{name: "contradicting lengths", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200", "content-length", "2", "content-length", "3"), frame(0, []byte("ok")))
		}, want: outcome{err: true, protocol: true}},
		{name: "field of a connection", play: func(_ *scripted, s *quic.Stream) { whatever(s, head("200", "connection", "close")) }, want: outcome{err: true, protocol: true}},
		{name: "upper case", play: func(_ *scripted, s *quic.Stream) { whatever(s, head("200", "X-A", "b")) }, want: outcome{err: true, protocol: true}},
		{name: "line feed in a value", play: func(_ *scripted, s *quic.Stream) { whatever(s, head("200", "a", "b\nc")) }, want: outcome{err: true, protocol: true}},
		{name: "broken field section", play: func(_ *scripted, s *quic.Stream) { whatever(s, frame(1, []byte{0, 0, 0xff, 0xff, 0xff})) }, want: outcome{err: true, protocol: true}},
		{name: "no status", play: func(_ *scripted, s *quic.Stream) { whatever(s, frame(1, section("a", "b"))) }, want: outcome{err: true, protocol: true}},
		{name: "body first", play: func(_ *scripted, s *quic.Stream) { whatever(s, frame(0, []byte("ok"))) }, want: outcome{err: true, protocol: true}},
		{name: "settings first", play: func(_ *scripted, s *quic.Stream) { whatever(s, frame(4, nil)) }, want: outcome{err: true, protocol: true}},
		{name: "settings in the body", play: func(_ *scripted, s *quic.Stream) { whatever(s, head("200"), frame(4, nil)) }, want: outcome{err: true, protocol: true}},
		{name: "frame of HTTP/2", play: func(_ *scripted, s *quic.Stream) { whatever(s, frame(8, []byte("wind"))) }, want: outcome{err: true, protocol: true}},
		{name: "huge announced head", play: func(_ *scripted, s *quic.Stream) { put(s, []byte{1, 0xbf, 0xff, 0xff, 0xff}) }, want: outcome{err: true, protocol: true}},
		{name: "trailers twice", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200"), frame(0, []byte("ok")), frame(1, section("a", "b")), frame(1, section("c", "d")))
		}, want: outcome{body: "ok", err: true, protocol: true}},
		{name: "body after trailers", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200"), frame(0, []byte("ok")), frame(1, section("a", "b")), frame(0, []byte("more")))
		}, want: outcome{body: "ok", err: true, protocol: true}},
		{name: "status in trailers", play: func(_ *scripted, s *quic.Stream) {
			whatever(s, head("200"), frame(0, []byte("ok")), frame(1, section(":status", "200")))
		}, want: outcome{body: "ok", err: true, protocol: true}},
		{name: "huge announced trailers", play: func(_ *scripted, s *quic.Stream) {
			put(s, head("200"), frame(0, []byte("ok")), []byte{1, 0xbf, 0xff, 0xff, 0xff})
		}, want: outcome{body: "ok", err: true, protocol: true}},
		{name: "no answer", play: func(_ *scripted, s *quic.Stream) { s.Close() }, want: outcome{err: true, cut: true}},
		{name: "head cut short", play: func(_ *scripted, s *quic.Stream) { whatever(s, head("200", "a", "b")[:6]) }, want: outcome{err: true, cut: true}},
		{name: "1xx and no more", play: func(_ *scripted, s *quic.Stream) { whatever(s, head("103")) }, want: outcome{err: true, cut: true}},
		{name: "reset before the head", play: func(_ *scripted, s *quic.Stream) { reset(s, h3.ErrCodeInternalError) }, want: outcome{err: true, cut: true}},
		{name: "reset after 1xx", play: func(_ *scripted, s *quic.Stream) { put(s, head("103")); reset(s, h3.ErrCodeInternalError) }, want: outcome{err: true, cut: true}},
		{name: "connection closed before the head", play: func(c *scripted, _ *quic.Stream) { c.quit(h3.ErrCodeInternalError) }, want: outcome{err: true, cut: true}},
		{name: "connection closed in order before the head", play: func(c *scripted, _ *quic.Stream) { c.quit(h3.ErrCodeNoError) }, want: outcome{err: true, cut: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			leakcheck.Goroutines(t)
			s := play(t, nil, func(n int, c *scripted, s *quic.Stream) {
				if n > 0 {
					whole(s)
					answer(s, "fine")
					return
				}
				row.play(c, s)
			})
			e := newEngine(t, http3.Config{MaxConcurrent: 1, KeepAlive: -1})
			method := "POST" // nobody may send it again
			if row.method != "" {
				method = row.method
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := outcomeOf(e.Execute(ctx, request(t, method, s.URL)))
			if got != row.want || ctx.Err() != nil {
				t.Errorf("%+v, want %+v: %v", got, row.want, err)
			}
			if _, body := get(t, e, s.URL); body != "fine" { // the only place is free again
				t.Errorf("then %q", body)
			}
		})
	}
}

func TestHostileStatus(t *testing.T) {
	var status atomic.Value
	s := play(t, []byte{8, 1}, func(_ int, _ *scripted, s *quic.Stream) {
		put(s, head(status.Load().(string)))
		s.Close()
	})
	e := newEngine(t, http3.Config{})
	for _, bad := range []string{"000", "099", "1", "20", "2000", "0200", "+200", "-20", "99999999999999999999", "2x0", "101"} {
		status.Store(bad)
		for _, protocol := range []string{"", "websocket"} {
			req := request(t, "GET", s.URL)
			req.Protocol = protocol
			resp, err := e.Execute(t.Context(), req)
			if err == nil {
				resp.Body.Close()
			}
			if _, ok := errors.AsType[*engine.ProtocolError](err); !ok {
				t.Errorf("%q, protocol %q: %v", bad, protocol, err)
			}
		}
	}
	for _, good := range []int{200, 204, 599, 600, 999} {
		status.Store(itoa(good))
		if resp, _ := get(t, e, s.URL); resp.Status != good {
			t.Errorf("%d became %d", good, resp.Status)
		}
	}
}

// TestInformationalToConnect: a tunnel has a bound of its own.
func TestInformationalToConnect(t *testing.T) {
	s := play(t, []byte{8, 1}, func(_ int, c *scripted, s *quic.Stream) {
		for c.Context().Err() == nil {
			if _, err := s.Write(head("103")); err != nil {
				return
			}
		}
	})
	req := request(t, "GET", s.URL)
	req.Protocol = "websocket"
	_, err := newEngine(t, http3.Config{}).Execute(t.Context(), req)
	if _, ok := errors.AsType[*engine.ProtocolError](err); !ok || !strings.Contains(err.Error(), "1xx") {
		t.Errorf("%v", err)
	}
}

// TestEndInBody: a body that is cut by a reset, the connection's end, a
// cancellation or a deadline is an error that says which.
func TestEndInBody(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(c *scripted, s *quic.Stream, cancel context.CancelFunc)
		is   error
		kind engine.TimeoutKind
	}{
		{"reset", func(_ *scripted, s *quic.Stream, _ context.CancelFunc) { reset(s, h3.ErrCodeInternalError) }, io.ErrUnexpectedEOF, ""},
		{"reset without a fault", func(_ *scripted, s *quic.Stream, _ context.CancelFunc) { reset(s, h3.ErrCodeNoError) }, io.ErrUnexpectedEOF, ""},
		{"rejected", func(_ *scripted, s *quic.Stream, _ context.CancelFunc) { reset(s, h3.ErrCodeRequestRejected) }, io.ErrUnexpectedEOF, ""},
		{"connection", func(c *scripted, _ *quic.Stream, _ context.CancelFunc) { c.quit(h3.ErrCodeNoError) }, io.ErrUnexpectedEOF, ""},
		{"cancel", func(_ *scripted, _ *quic.Stream, cancel context.CancelFunc) { cancel() }, context.Canceled, ""},
		{"idle", func(*scripted, *quic.Stream, context.CancelFunc) {}, context.DeadlineExceeded, engine.KindIdle},
	} {
		t.Run(row.name, func(t *testing.T) {
			leakcheck.Goroutines(t)
			began, ended := make(chan struct{}), make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := play(t, nil, func(n int, c *scripted, s *quic.Stream) {
				if n > 0 {
					answer(s, "fine")
					return
				}
				put(s, head("200"), frame(0, []byte("part")))
				<-began
				row.end(c, s, cancel)
				whole(s) // until the client gives up
				<-s.Context().Done()
				close(ended)
			})
			e := newEngine(t, http3.Config{MaxConcurrent: 1})
			req := request(t, "GET", s.URL)
			req.Timeouts.Idle = time.Hour
			if row.kind == engine.KindIdle {
				req.Timeouts.Idle = 50 * time.Millisecond
			}
			resp, err := e.Execute(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			text := make([]byte, 4)
			if _, err := io.ReadFull(resp.Body, text); string(text) != "part" || err != nil {
				t.Fatalf("%q, %v", text, err)
			}
			close(began)
			n, err := resp.Body.Read(text)
			if n != 0 || !errors.Is(err, row.is) || kind(err) != row.kind || op(err) != engine.OpReceive {
				t.Errorf("%d bytes, %v", n, err)
			}
			if _, again := resp.Body.Read(text); again != err {
				t.Errorf("the next Read returns %v", again)
			}
			within(t, "the stream's end", ended)
			if _, body := get(t, e, s.URL); body != "fine" {
				t.Errorf("then %q", body)
			}
		})
	}
}

// TestEarlyResponse: a server that answers in full and wants no more of the
// request says so (RFC 9114 §4.1); its answer counts.
func TestEarlyResponse(t *testing.T) {
	leakcheck.Goroutines(t)
	s := play(t, nil, func(n int, _ *scripted, s *quic.Stream) {
		answer(s, "enough")
		s.CancelRead(quic.StreamErrorCode(h3.ErrCodeNoError))
	})
	e := newEngine(t, http3.Config{MaxConcurrent: 1})
	for range 3 {
		req := request(t, "POST", s.URL)
		closed := make(chan struct{})
		req.Body = content.Reader(&endless{closed: closed}, "", -1)
		if resp, body := send(t, e, req); resp.Status != 200 || body != "enough" {
			t.Errorf("%d %q", resp.Status, body)
		}
		within(t, "the body's Close", closed)
	}
	if n := len(s.conns); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestHeaderTimeoutEndsWithTheHead: a request that is sent to its end after the
// answer has begun has no header timeout left.
func TestHeaderTimeoutEndsWithTheHead(t *testing.T) {
	const limit = 50 * time.Millisecond
	sent := make(chan struct{})
	s := play(t, nil, func(_ int, _ *scripted, s *quic.Stream) {
		put(s, head("200"))
		whole(s)
		<-time.After(4 * limit)
		put(s, frame(0, []byte("late")))
		s.Close()
	})
	in, out := io.Pipe()
	req := request(t, "POST", s.URL)
	req.Body, req.Timeouts.Header = content.Reader(in, "", -1), limit
	req.Trace = &engine.Trace{WroteRequest: func(error) { close(sent) }}
	resp, err := newEngine(t, http3.Config{}).Execute(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out.Close()
	within(t, "the request", sent)
	if text, err := io.ReadAll(resp.Body); string(text) != "late" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
