package cio_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/header"
)

const sec = time.Second

// Servers for TestTimeouts.
func silent(c *peerConn) { c.head(); c.rest() }

func half(c *peerConn) {
	c.head()
	c.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx")
	c.rest()
}

func slow(c *peerConn) { // a byte every 3 s
	c.head()
	for i := range len(ok) {
		time.Sleep(3 * sec)
		c.send(ok[i : i+1])
	}
	c.rest()
}

func deaf(*peerConn) { time.Sleep(time.Hour) }

// timeoutCase is an exchange that a limit ends, and which.
type timeoutCase struct {
	name     string
	script   func(*peerConn)
	timeouts engine.Timeouts
	deadline time.Duration
	kind     engine.TimeoutKind // of Deadline
	headOnly bool
	post     bool

	want  engine.TimeoutKind // "" = no timeout
	after time.Duration
	body  bool // the error is the body's
}

var timeoutCases = []timeoutCase{
	{name: "deadline, no head", script: silent, deadline: 5 * sec, want: engine.KindRequest, after: 5 * sec},
	{name: "deadline, attempt", script: silent, deadline: 5 * sec, kind: engine.KindAttempt, want: engine.KindAttempt, after: 5 * sec},
	{name: "deadline, body", script: half, deadline: 5 * sec, want: engine.KindRequest, after: 5 * sec, body: true},
	{name: "deadline, write", script: deaf, deadline: 5 * sec, want: engine.KindRequest, after: 5 * sec},
	{name: "deadline, slow", script: slow, deadline: 100 * sec, want: engine.KindRequest, after: 100 * sec},
	{name: "deadline of the head, no head", script: silent, deadline: 5 * sec, headOnly: true, want: engine.KindRequest, after: 5 * sec},
	{name: "deadline of the head, idle body", script: half, deadline: 5 * sec, headOnly: true, timeouts: engine.Timeouts{Idle: 7 * sec}, want: engine.KindIdle, after: 7 * sec, body: true},
	{name: "header", script: silent, timeouts: engine.Timeouts{Header: 4 * sec}, want: engine.KindHeader, after: 4 * sec},
	{name: "header, upload", script: silent, post: true, timeouts: engine.Timeouts{Header: 4 * sec}, want: engine.KindHeader, after: 4 * sec},
	{name: "header, slow", script: slow, timeouts: engine.Timeouts{Header: 40 * sec}, want: engine.KindHeader, after: 40 * sec},
	{name: "header before the deadline", script: silent, deadline: 5 * sec, timeouts: engine.Timeouts{Header: 4 * sec}, want: engine.KindHeader, after: 4 * sec},
	{name: "deadline before header", script: silent, deadline: 3 * sec, timeouts: engine.Timeouts{Header: 4 * sec, Idle: 9 * sec}, want: engine.KindRequest, after: 3 * sec},
	{name: "header is over, body idle", script: half, timeouts: engine.Timeouts{Header: 4 * sec, Idle: 20 * sec}, want: engine.KindIdle, after: 20 * sec, body: true},
	{name: "idle, no head", script: silent, timeouts: engine.Timeouts{Idle: 4 * sec}, want: engine.KindIdle, after: 4 * sec},
	{name: "idle, write", script: deaf, timeouts: engine.Timeouts{Idle: 4 * sec}, want: engine.KindIdle, after: 4 * sec},
	{name: "idle, body", script: half, timeouts: engine.Timeouts{Idle: 4 * sec}, want: engine.KindIdle, after: 4 * sec, body: true},
	{name: "idle is longer than the pauses", script: slow, timeouts: engine.Timeouts{Idle: 4 * sec}},
	{name: "header is no limit for the body", script: half, deadline: 9 * sec, timeouts: engine.Timeouts{Header: 4 * sec}, want: engine.KindRequest, after: 9 * sec, body: true},
}

// TestTimeouts lets each limit be reached first, in a bubble whose clock is
// exact.
func TestTimeouts(t *testing.T) {
	for _, tc := range timeoutCases {
		t.Run(tc.name, func(t *testing.T) { bothWays(t, tc.script, tc.test) })
	}
}

func (tc *timeoutCase) test(t *testing.T, d *pipes, e *cio.Engine) {
	req := d.get()
	req.Timeouts = tc.timeouts
	if tc.post {
		req.Method, req.Body = "POST", streamed("", -1)
	}
	begin := time.Now()
	if tc.deadline > 0 {
		req.Deadline, req.DeadlineKind, req.DeadlineLimit, req.HeadOnly = begin.Add(tc.deadline), tc.kind, tc.deadline, tc.headOnly
	}
	resp, err := e.Execute(t.Context(), req)
	if err != nil && tc.body {
		t.Fatal(err)
	}
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if tc.want == "" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	te, isTimeout := errors.AsType[*engine.TimeoutError](err)
	if !isTimeout || te.Kind != tc.want || te.Limit != tc.after || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v, want %s after %v", err, tc.want, tc.after)
	}
	if took := time.Since(begin); took != tc.after {
		t.Errorf("after %v, want %v", took, tc.after)
	}
	if s := e.Stats(); s.Open != 0 {
		t.Errorf("the connection is still open: %+v", s)
	}
}

// TestIdleCountsBothWays: a read may wait for longer than the idle timeout while
// the request is still going out.
func TestIdleCountsBothWays(t *testing.T) {
	bothWays(t, func(c *peerConn) {
		c.head()
		c.take(len("1\r\nx\r\n")*9 + len("0\r\n\r\n"))
		c.send(ok)
		c.rest()
	}, func(t *testing.T, d *pipes, e *cio.Engine) {
		r, w := io.Pipe()
		go func() {
			for range 9 {
				time.Sleep(3 * time.Second)
				io.WriteString(w, "x")
			}
			w.Close()
		}()
		req := d.get()
		req.Method, req.Body = "POST", body{-1, false, func() (io.ReadCloser, error) { return r, nil }}
		req.Timeouts.Idle = 4 * time.Second
		if _, got := mustFetch(t, e, req); got != "ok" {
			t.Errorf("%q", got)
		}
	})
}

// TestIdleWrite: a part of a write that goes out before the peer stops reading makes
// the idle timeout late by a tenth at most.
func TestIdleWrite(t *testing.T) {
	for name, length := range map[string]int64{"known": 1 << 20, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newPipes(t, func(c *peerConn) {
					c.head()
					for range 2 {
						time.Sleep(3 * time.Second)
						c.take(5000)
					}
					time.Sleep(time.Minute)
				})
				e := newEngine(t, cio.Config{Dial: d.dial})
				req := d.get()
				req.Method, req.Body = "POST", streamed(strings.Repeat("x", 1<<20), length)
				req.Timeouts.Idle = 4 * time.Second
				begin := time.Now()
				_, err := e.Execute(t.Context(), req)
				if te, ok := errors.AsType[*engine.TimeoutError](err); !ok || te.Kind != engine.KindIdle {
					t.Errorf("error = %v", err)
				}
				if after := time.Since(begin) - 6*time.Second; after < 4*time.Second || after > 4400*time.Millisecond {
					t.Errorf("%v after the last byte", after)
				}
			})
		})
	}
}

// TestDeadlineOfTheHead: it does not reach the body of the response, nor that of
// the request, which may go on for longer.
func TestDeadlineOfTheHead(t *testing.T) {
	for name, timeouts := range map[string]engine.Timeouts{"alone": {}, "header": {Header: 2 * sec}, "idle": {Idle: 5 * sec}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newPipes(t, func(c *peerConn) {
					c.head()
					c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
					for range 9 {
						c.send(c.take(len("1\r\nx\r\n")))
					}
					c.take(len("0\r\n\r\n"))
					c.send("0\r\n\r\n")
					c.rest()
				})
				e := newEngine(t, cio.Config{Dial: d.dial})
				r, w := io.Pipe()
				go func() {
					for range 9 {
						time.Sleep(3 * sec)
						io.WriteString(w, "x")
					}
					w.Close()
				}()
				req := d.get()
				req.Method, req.Body = "POST", body{-1, false, func() (io.ReadCloser, error) { return r, nil }}
				req.Deadline, req.HeadOnly, req.Timeouts = time.Now().Add(10*sec), true, timeouts
				if _, got := mustFetch(t, e, req); got != "xxxxxxxxx" {
					t.Errorf("%q", got)
				}
				if s := e.Stats(); s.Idle != 1 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestDeadlineDoesNotOutliveItsRequest: the next request on the connection has
// none.
func TestDeadlineDoesNotOutliveItsRequest(t *testing.T) {
	bothWays(t, answering(ok), func(t *testing.T, d *pipes, e *cio.Engine) {
		for _, timeouts := range []engine.Timeouts{{}, {Idle: time.Second}, {Header: time.Second}} {
			req := d.get()
			req.Deadline = time.Now().Add(time.Second)
			req.Timeouts = timeouts
			mustFetch(t, e, req)
			time.Sleep(2 * time.Second)
			if resp, _ := mustFetch(t, e, d.get()); !resp.Reused {
				t.Errorf("%+v: the connection was not reused", timeouts)
			}
		}
	})
}

func TestExpectTimeoutIsNoLimitForTheAnswer(t *testing.T) {
	bothWays(t, func(c *peerConn) {
		c.head()
		c.take(5)
		time.Sleep(time.Minute)
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		time.Sleep(time.Minute)
		c.send("ok")
		c.rest()
	}, func(t *testing.T, d *pipes, e *cio.Engine) {
		req := d.get()
		req.Method, req.Body, req.Header = "POST", streamed("hello", 5), header.New("Expect", "100-continue")
		begin := time.Now()
		if _, got := mustFetch(t, e, req); got != "ok" || time.Since(begin) != 2*time.Minute+time.Second {
			t.Errorf("%q after %v", got, time.Since(begin))
		}
	})
}

func TestCancel(t *testing.T) {
	for name, tc := range map[string]struct {
		script func(*peerConn)
		body   bool
	}{
		"no head":   {func(c *peerConn) { c.head(); c.rest() }, false},
		"in a body": {func(c *peerConn) { c.head(); c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"); c.rest() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, tc.script, func(t *testing.T, d *pipes, e *cio.Engine) {
				ctx, cancel := context.WithCancelCause(t.Context())
				cause := errors.New("own reason")
				time.AfterFunc(time.Second, func() { cancel(cause) })
				begin := time.Now()
				resp, err := e.Execute(ctx, d.get())
				if err == nil {
					_, err = io.ReadAll(resp.Body)
				}
				oe, isOp := errors.AsType[*engine.OpError](err)
				if !isOp || oe.Op != engine.OpReceive || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || time.Since(begin) != time.Second {
					t.Errorf("error = %v after %v", err, time.Since(begin))
				}
				// The slot is free without a Close of the body.
				if s := e.Stats(); s.Open != 0 {
					t.Errorf("%+v", s)
				}
				if resp != nil {
					resp.Body.Close()
				}
			})
		})
	}
}

// TestCloseWhileReading: Close ends a Read that waits, in another goroutine.
func TestCloseWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newPipes(t, func(c *peerConn) { c.head(); c.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"); c.rest() })
		e := newEngine(t, cio.Config{Dial: d.dial})
		resp, err := e.Execute(t.Context(), d.get())
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			_, err := resp.Body.Read(make([]byte, 9))
			done <- err
		}()
		synctest.Wait()
		resp.Body.Close()
		if err := <-done; err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Read returned %v", err)
		}
	})
}
