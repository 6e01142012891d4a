package mock_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/content"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/mock"
	"github.com/godwit-go/godwit/header"
)

type jsonNumber = json.Number

var farFuture = time.Unix(1<<40, 0)

func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		method string
		r      *mock.Response
		length int64
		body   string
		header string
	}{
		{"text", "GET", mock.OK("hé"), 3, "hé", "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"},
		{"JSON", "GET", mock.JSON(201, map[string]int{"a": 1}), 7, `{"a":1}`, "Content-Type: application/json\r\nContent-Length: 7\r\n"},
		{"redirect", "GET", mock.Redirect("/y"), 0, "", "Location: /y\r\nContent-Length: 0\r\n"},
		{"bad request", "GET", mock.BadRequest(), 11, "Bad Request", "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 11\r\n"},
		{"HEAD", "HEAD", mock.Bytes(200, "", []byte("abc")), 3, "", "Content-Length: 3\r\n"},
		{"304", "GET", mock.Status(304).WithHeader("ETag", `"1"`), -1, "", "ETag: \"1\"\r\n"},
		{"304 with a length", "GET", mock.Status(304).WithLength(9), 9, "", "Content-Length: 9\r\n"},
		{"204", "GET", mock.Status(204), 0, "", ""},
		{"unknown length", "GET", mock.Bytes(200, "", []byte("abc")).WithLength(-1), -1, "abc", ""},
		{"too much", "GET", mock.Bytes(200, "", []byte("abcdef")).WithLength(4), 4, "abcd", "Content-Length: 4\r\n"},
		{"length in the header", "GET", mock.Bytes(200, "", []byte("abc")).WithHeader("content-length", "3"), 3, "abc", "content-length: 3\r\n"},
		{"stream", "GET", mock.Stream(func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "a stream")
			return err
		}), -1, "a stream", ""},
		{"stream of known length", "GET", mock.Stream(func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "a stream")
			return err
		}).WithLength(8), 8, "a stream", "Content-Length: 8\r\n"},
		{"reader", "GET", mock.Status(200).WithReader(strings.NewReader("read")), -1, "read", ""},
		{"pace", "GET", mock.Bytes(200, "", []byte("abcde")).WithPace(2, time.Millisecond), 5, "abcde", "Content-Length: 5\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := mock.NewT(t, tc.r)
				resp, text := send(t, e, request(tc.method, "http://a.example/"))
				if resp.ContentLength != tc.length || text != tc.body || resp.Header.String() != tc.header || resp.Proto != "HTTP/1.1" {
					t.Errorf("got length %d, body %q, header %q, proto %s", resp.ContentLength, text, resp.Header, resp.Proto)
				}
			})
		})
	}
}

func TestHeadDetails(t *testing.T) {
	var seen []string
	trace := &engine.Trace{
		PoolWait:      func(route string) { seen = append(seen, "wait "+route) },
		GotConn:       func(engine.GotConn) { seen = append(seen, "conn") },
		WroteHeader:   func() { seen = append(seen, "head") },
		WroteRequest:  func(err error) { seen = append(seen, fmt.Sprint("request ", err)) },
		Wait100:       func() { seen = append(seen, "wait100") },
		Informational: func(s int, h header.Header) error { seen = append(seen, fmt.Sprint(s, " ", h.Get("Link"))); return nil },
		FirstByte:     func() { seen = append(seen, "first") },
		PutIdle:       func(err error) { seen = append(seen, fmt.Sprint("idle ", err)) },
	}
	conn := &engine.Conn{}
	r := mock.OK("x").WithInformational(103, "Link", "</a>").WithReason("Fine").WithProto("HTTP/1.0").WithTrailer("X-T", "1").WithConn(conn, true)
	e := mock.NewT(t, r, r, r, mock.Status(101))
	req := request("POST", "http://a.example/x")
	req.Trace, req.WantRawHead = trace, true
	resp, _ := send(t, e, req)
	if resp.Reason != "Fine" || resp.Proto != "HTTP/1.0" || resp.Trailer().Get("x-t") != "1" || resp.Conn != conn || !resp.Reused {
		t.Errorf("response = %+v", resp)
	}
	if want := "HTTP/1.0 200 Fine\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"; string(resp.RawHead) != want {
		t.Errorf("raw head = %q, want %q", resp.RawHead, want)
	}
	check := func(want string) {
		t.Helper()
		if got := strings.Join(seen, ","); got != want {
			t.Errorf("hooks = %s, want %s", got, want)
		}
		seen = nil
	}
	check("wait http://a.example,conn,head,request <nil>,103 </a>,first,idle <nil>")

	req.Header, req.Body = header.New("Expect", "100-Continue"), bytesBody("b")
	send(t, e, req)
	check("wait http://a.example,conn,head,wait100,100 ,request <nil>,103 </a>,first,idle <nil>")

	stop := errors.New("no hints")
	req.Trace = &engine.Trace{Informational: func(int, header.Header) error { return stop }}
	if _, err := e.Execute(t.Context(), req); !errors.Is(err, stop) {
		t.Errorf("error = %v", err)
	}
	if _, err := e.Execute(t.Context(), get()); !isA[*engine.ProtocolError](err) {
		t.Errorf("error of a 101 unasked = %v", err)
	}
}

func TestFaults(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		h    mock.Handler
		op   engine.Op
		sent bool
		is   error
		body string // "" = Execute itself fails
	}{
		{"error", mock.Error(broken), engine.OpReceive, true, broken, ""},
		{"engine's error", mock.Error(&engine.OpError{Op: engine.OpTLS, Err: broken}), engine.OpTLS, false, broken, ""},
		{"refused", mock.Refused(), engine.OpConnect, false, syscall.ECONNREFUSED, ""},
		{"no such host", mock.NoSuchHost(), engine.OpDNS, false, nil, ""},
		{"reset", mock.Reset(), engine.OpReceive, true, syscall.ECONNRESET, ""},
		{"pool timeout", mock.Timeout(engine.KindPool), engine.OpPool, false, context.DeadlineExceeded, ""},
		{"connect timeout", mock.Timeout(engine.KindConnect), engine.OpConnect, false, context.DeadlineExceeded, ""},
		{"nothing", mock.Func(func(context.Context, *mock.Request) (*mock.Response, error) { return nil, nil }), engine.OpReceive, true, nil, ""},
		{"reset body", mock.OK("abcdef").WithReset(3), engine.OpReceive, true, syscall.ECONNRESET, "abc"},
		{"truncated body", mock.OK("abcdef").WithTruncation(3), engine.OpReceive, true, io.ErrUnexpectedEOF, "abc"},
		{"truncated body of unknown length", mock.OK("abcdef").WithLength(-1).WithTruncation(3), engine.OpReceive, true, io.ErrUnexpectedEOF, "abc"},
		{"short body", mock.OK("abc").WithLength(6), engine.OpReceive, true, io.ErrUnexpectedEOF, "abc"},
		{"short stream", mock.Status(200).WithLength(6).WithReader(strings.NewReader("abc")), engine.OpReceive, true, io.ErrUnexpectedEOF, "abc"},
		{"failing body", mock.OK("abcdef").WithFailure(2, broken), engine.OpReceive, true, broken, "ab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mock.NewT(t, tc.h)
			resp, err := e.Execute(t.Context(), get())
			if tc.body != "" {
				if err != nil {
					t.Fatal(err)
				}
				var text []byte
				text, err = io.ReadAll(resp.Body)
				if string(text) != tc.body {
					t.Errorf("body = %q, want %q", text, tc.body)
				}
				if _, again := resp.Body.Read(make([]byte, 1)); again != err {
					t.Errorf("a second read = %v, the first %v", again, err)
				}
			}
			op, ok := errors.AsType[*engine.OpError](err)
			if !ok || op.Op != tc.op || op.Sent != tc.sent || tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("error = %#v (%v)", err, err)
			}
		})
	}
}

// TestEnds: whatever ends a call, it does so at its time, as itself, and leaves
// nothing.
func TestEnds(t *testing.T) {
	own := errors.New("own reason")
	blocked := body{func() io.ReadCloser {
		r, _ := io.Pipe()
		return r
	}, -1}
	stuck := mock.Func(func(context.Context, *mock.Request) (*mock.Response, error) {
		time.Sleep(time.Hour) // does not look at its context
		return mock.OK("late"), nil
	})
	deadline := func(r *engine.Request) {
		r.Deadline, r.DeadlineLimit, r.DeadlineKind = time.Now().Add(time.Second), time.Second, engine.KindAttempt
	}
	idle := func(r *engine.Request) { r.Timeouts.Idle = 2 * time.Second }
	slow := content.Writer(func(_ context.Context, w io.Writer) error {
		for _, part := range []string{"a", "b", "c"} { // each after longer than the limit, but the server waits for us
			time.Sleep(2500 * time.Millisecond)
			io.WriteString(w, part)
		}
		return nil
	}, "text/plain", -1)
	reads := mock.Streaming(mock.Func(func(_ context.Context, r *mock.Request) (*mock.Response, error) {
		data, err := io.ReadAll(r.Reader())
		return mock.Text(200, string(data)), err
	}))
	hangs := mock.Streaming(mock.Func(func(ctx context.Context, r *mock.Request) (*mock.Response, error) {
		io.Copy(io.Discard, r.Reader())
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	upload := func(r *engine.Request) { r.Method, r.Body = "POST", blocked }
	for _, tc := range []struct {
		name   string
		h      mock.Handler
		change func(*engine.Request)
		cancel bool // after one second, with a cause
		took   time.Duration
		kind   engine.TimeoutKind
		op     engine.Op
		body   string
	}{
		{"hang, deadline", mock.Hang(), deadline, false, time.Second, engine.KindAttempt, engine.OpReceive, ""},
		{"hang, cancelled", mock.Hang(), nil, true, time.Second, "", engine.OpReceive, ""},
		{"hang, header timeout", mock.Hang(), func(r *engine.Request) { r.Timeouts.Header = 2 * time.Second }, false, 2 * time.Second, engine.KindHeader, engine.OpReceive, ""},
		{"hang, idle timeout", mock.Hang(), idle, false, 2 * time.Second, engine.KindIdle, engine.OpReceive, ""},
		{"delay, idle timeout", mock.Delay(time.Minute, mock.OK("late")), idle, false, 2 * time.Second, engine.KindIdle, engine.OpReceive, ""},
		{"slow source within the idle timeout", reads, func(r *engine.Request) { idle(r); r.Method, r.Body = "POST", slow }, false, 7500 * time.Millisecond, "", "", "abc"},
		{"slow source, then idle", hangs, func(r *engine.Request) { idle(r); r.Method, r.Body = "POST", slow }, false, 9500 * time.Millisecond, engine.KindIdle, engine.OpReceive, ""},
		{"stuck handler, cancelled", stuck, nil, true, time.Second, "", engine.OpReceive, ""},
		{"delay, deadline", mock.Delay(time.Minute, mock.OK("late")), deadline, false, time.Second, engine.KindAttempt, engine.OpReceive, ""},
		{"delay in time", mock.Delay(time.Second/2, mock.OK("here")), deadline, false, time.Second / 2, "", "", "here"},
		{"blocked upload, deadline", mock.OK("x"), func(r *engine.Request) { upload(r); deadline(r) }, false, time.Second, engine.KindAttempt, engine.OpSend, ""},
		{"blocked upload, cancelled", mock.OK("x"), upload, true, time.Second, "", engine.OpSend, ""},
		{"stalled body, deadline", mock.OK("abc").WithStall(2), deadline, false, time.Second, engine.KindAttempt, engine.OpReceive, "ab"},
		{"stalled body, cancelled", mock.OK("abc").WithStall(2), nil, true, time.Second, "", engine.OpReceive, "ab"},
		{"stalled body, idle timeout", mock.OK("abc").WithStall(2), func(r *engine.Request) { r.Timeouts.Idle = 3 * time.Second }, false, 3 * time.Second, engine.KindIdle, engine.OpReceive, "ab"},
		{"slow body within the idle timeout", mock.OK("abc").WithPace(1, time.Second), func(r *engine.Request) { r.Timeouts.Idle = 2 * time.Second }, false, 3 * time.Second, "", "", "abc"},
		{"slow body, deadline", mock.OK("abc").WithPace(1, 400*time.Millisecond), deadline, false, time.Second, engine.KindAttempt, engine.OpReceive, "ab"},
		{"slow body, deadline of the head", mock.OK("abc").WithPace(1, time.Second), func(r *engine.Request) { deadline(r); r.HeadOnly = true }, false, 3 * time.Second, "", "", "abc"},
		{"timeout of the request", mock.Timeout(engine.KindAttempt), deadline, false, time.Second, engine.KindAttempt, engine.OpReceive, ""},
		{"timeout of the pool", mock.Timeout(engine.KindPool), func(r *engine.Request) { r.Timeouts.Pool = time.Minute }, false, time.Minute, engine.KindPool, engine.OpPool, ""},
		{"timeout of the header", mock.Timeout(engine.KindHeader), func(r *engine.Request) { r.Timeouts.Header = time.Minute }, false, time.Minute, engine.KindHeader, engine.OpReceive, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := mock.NewT(t, tc.h)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tc.cancel {
					time.AfterFunc(time.Second, func() { cancel(own) })
				}
				req := get()
				if tc.change != nil {
					tc.change(req)
				}
				began := time.Now()
				var text []byte
				resp, err := e.Execute(ctx, req)
				if err == nil {
					text, err = io.ReadAll(resp.Body)
				}
				if took := time.Since(began); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				if string(text) != tc.body {
					t.Errorf("body = %q, want %q", text, tc.body)
				}
				op, _ := errors.AsType[*engine.OpError](err)
				timeout, _ := errors.AsType[*engine.TimeoutError](err)
				switch {
				case tc.op == "":
					if err != nil {
						t.Errorf("error = %v", err)
					}
				case op == nil || op.Op != tc.op:
					t.Errorf("error = %#v, want Op %s", err, tc.op)
				case tc.cancel:
					if !errors.Is(err, context.Canceled) || !errors.Is(err, own) {
						t.Errorf("error = %v, want the cause and context.Canceled", err)
					}
				case timeout == nil || timeout.Kind != tc.kind || timeout.Limit != tc.took && timeout.Limit != req.Timeouts.Idle:
					t.Errorf("error = %v, want %s timeout", err, tc.kind)
				}
				time.Sleep(2 * time.Hour) // virtual: the stuck handler returns
			})
		})
	}
}

// TestQuickBodyEnds: bytes in memory obey the context and the deadline too.
func TestQuickBodyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mock.NewT(t, mock.Always(mock.OK("abcdef")))
		for _, cancelled := range []bool{true, false} {
			ctx, cancel := context.WithCancel(t.Context())
			req := get()
			req.Deadline, req.DeadlineLimit = time.Now().Add(time.Second), time.Second
			resp, err := e.Execute(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := resp.Body.Read(make([]byte, 2)); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			want := context.DeadlineExceeded
			if cancelled {
				cancel()
				want = context.Canceled
			} else {
				time.Sleep(time.Second)
			}
			if n, err := resp.Body.Read(make([]byte, 2)); n != 0 || !errors.Is(err, want) {
				t.Errorf("read = %d, %v; want %v", n, err, want)
			}
			if _, err := e.Execute(ctx, req); !errors.Is(err, want) {
				t.Errorf("Execute = %v, want %v", err, want)
			}
			cancel()
		}
	})
}

func TestOpenBodies(t *testing.T) {
	rec := &record{TB: t}
	e := mock.New(mock.Always(mock.OK("abc")))
	a, err := e.Execute(t.Context(), get())
	if err != nil {
		t.Fatal(err)
	}
	send(t, e, get())
	if n := e.OpenBodies(); n != 1 {
		t.Errorf("%d bodies open, want 1", n)
	}
	e.AssertBodiesClosed(rec)
	for range 2 {
		a.Body.Close()
	}
	e.AssertBodiesClosed(t)
	if len(rec.errors) != 1 {
		t.Errorf("reports = %q", rec.errors)
	}
	if _, err := a.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read after Close = %v", err)
	}
}

func TestCloseWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mock.NewT(t, mock.OK("abc").WithStall(0))
		resp, err := e.Execute(t.Context(), get())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := resp.Body.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		resp.Body.Close()
		if err := <-done; err == nil || err == io.EOF {
			t.Errorf("read = %v, want an error", err)
		}
	})
}

func TestUpgrade(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		change func(*engine.Request)
	}{
		{"websocket", 101, func(r *engine.Request) { r.Protocol = "websocket" }},
		{"connect", 200, func(r *engine.Request) { r.Method = "CONNECT" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := mock.NewT(t, mock.Status(tc.status).WithUpgrade(func(c io.ReadWriteCloser) {
				buf := make([]byte, 4)
				_, _ = io.ReadFull(c, buf)
				_, _ = c.Write(bytes.ToUpper(buf))
			}))
			req := get()
			tc.change(req)
			resp, err := e.Execute(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("body = %d, %v", n, err)
			}
			if e.OpenBodies() != 1 {
				t.Error("the stream does not count as open")
			}
			_, _ = io.WriteString(resp.Upgraded, "ping")
			if text, err := io.ReadAll(resp.Upgraded); string(text) != "PING" || err != nil {
				t.Errorf("answer = %q, %v", text, err)
			}
			resp.Upgraded.Close()
			if _, err := resp.Upgraded.Write([]byte("x")); err == nil {
				t.Error("write after Close succeeded")
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		e := mock.NewT(t, mock.Text(403, "no"))
		req := get()
		req.Protocol = "websocket"
		if resp, text := send(t, e, req); resp.Upgraded != nil || text != "no" {
			t.Errorf("response = %+v %q", resp, text)
		}
	})
}

func TestUpgradedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mock.NewT(t, mock.Status(101).WithUpgrade(func(c io.ReadWriteCloser) { _, _ = io.Copy(io.Discard, c) }))
		req := get()
		req.Protocol = "x"
		resp, err := e.Execute(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Upgraded.Close()
		c := resp.Upgraded.(interface{ SetReadDeadline(time.Time) error })
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := resp.Upgraded.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read = %v", err)
		}
	})
}

func TestStreaming(t *testing.T) {
	t.Run("early answer", func(t *testing.T) {
		e := mock.NewT(t, mock.Streaming(mock.Status(413)))
		req := request("POST", "http://a.example/")
		req.Header = header.New("Expect", "100-continue")
		opened := false
		req.Body = body{func() io.ReadCloser { opened = true; return io.NopCloser(strings.NewReader("x")) }, 1}
		if resp, _ := send(t, e, req); resp.Status != 413 || opened {
			t.Errorf("status %d, body opened: %v", resp.Status, opened)
		}
	})
	t.Run("duplex", func(t *testing.T) {
		e := mock.NewT(t, mock.Streaming(mock.Func(func(_ context.Context, req *mock.Request) (*mock.Response, error) {
			return mock.Stream(func(_ context.Context, w io.Writer) error {
				_, err := io.Copy(w, req.Reader())
				return err
			}), nil
		})))
		r, w := io.Pipe()
		req := request("POST", "http://a.example/")
		req.Body = body{func() io.ReadCloser { return r }, -1}
		resp, err := e.Execute(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"one", "two"} {
			_, _ = io.WriteString(w, part)
			got := make([]byte, 3)
			if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != part {
				t.Fatalf("echo of %s = %q, %v", part, got, err)
			}
		}
		resp.Body.Close()
		if _, err := io.WriteString(w, "three"); err == nil {
			t.Error("the request's body is still read after the response's was closed")
		}
		if got := e.Requests()[0].Text(); got != "onetwo" {
			t.Errorf("recorded %q", got)
		}
	})
}

func TestUploadFaults(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, tc := range []struct {
		name string
		body body
		want string
	}{
		{"error", body{func() io.ReadCloser { return io.NopCloser(io.MultiReader(strings.NewReader("ab"), errReader{broken})) }, -1}, "send: disk on fire"},
		{"too short", body{func() io.ReadCloser { return io.NopCloser(strings.NewReader("ab")) }, 3}, "send: the request's Content announces 3 bytes and yields 2"},
		{"too long", body{func() io.ReadCloser { return io.NopCloser(strings.NewReader("abcd")) }, 3}, "send: the request's Content announces 3 bytes and yields 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := request("POST", "http://a.example/")
			req.Body = tc.body
			if _, err := mock.New(mock.OK("")).Execute(t.Context(), req); err == nil || err.Error() != tc.want {
				t.Errorf("error = %v, want %s", err, tc.want)
			}
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestPanicsAndGoexit(t *testing.T) {
	e := mock.Serve(mock.Func(func(context.Context, *mock.Request) (*mock.Response, error) { panic("handler's panic") }))
	func() {
		defer func() {
			if got := recover(); got != "handler's panic" {
				t.Errorf("recovered %v", got)
			}
		}()
		_, _ = e.Execute(t.Context(), get())
	}()
	e = mock.Serve(mock.Func(func(context.Context, *mock.Request) (*mock.Response, error) {
		runtime.Goexit() // as t.FailNow does
		return nil, nil
	}))
	t.Run("goexit", func(t *testing.T) {
		returned := make(chan bool, 1)
		go func() {
			defer close(returned)
			_, _ = e.Execute(t.Context(), get())
			returned <- true
		}()
		if <-returned {
			t.Error("Execute returned to a goroutine that was to end")
		}
	})
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
