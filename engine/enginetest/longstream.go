package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// longStreamTests are about bodies that have no end: server-sent events, long
// polls, feeds.
func longStreamTests() []test {
	return []test{
		{name: "EventByEvent", run: longEventByEvent},
		{name: "ManyEventsAtOnce", run: longManyAtOnce},
		{name: "AnswersPost", run: longAnswersPost},
		{name: "HeadOnly", needs: engine.RequestTimeout, run: longHeadOnly},
		{name: "IdleTimeout", needs: engine.IdleTimeout, run: longIdle},
		{name: "IdleTimeoutAfterHeadOnly", needs: engine.IdleTimeout | engine.RequestTimeout, run: longIdleHeadOnly},
		{name: "CloseReleases", run: func(t *T) { t.released(func(_ context.CancelFunc, resp *engine.Response) { resp.Body.Close() }) }},
		{name: "CancelReleases", run: func(t *T) { t.released(func(cancel context.CancelFunc, _ *engine.Response) { cancel() }) }},
		{name: "CloseWhileFlooded", run: func(t *T) { t.flooded(func(_ context.CancelFunc, resp *engine.Response) { resp.Body.Close() }) }},
		{name: "CancelWhileFlooded", run: func(t *T) { t.flooded(func(cancel context.CancelFunc, _ *engine.Response) { cancel() }) }},
	}
}

// The heads of streams, by the two framings that need no length.
var streamHeads = map[string]string{
	"Chunked":    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
	"UntilClose": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
}

// event writes one piece of a stream in its framing.
func (c *conn) event(framing, data string) {
	if framing == "Chunked" {
		data = fmt.Sprintf("%x\r\n%s\r\n", len(data), data)
	}
	c.write(data)
}

// streams runs f for each framing.
func (t *T) streams(f func(t *T, framing string)) {
	for framing := range streamHeads {
		t.row(framing, func(t *T) { f(t, framing) })
	}
}

// expect reads exactly want from the body.
func (t *T) expect(body io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	t.quick("an event that was sent", func() {
		if n, err := io.ReadFull(body, got); err != nil {
			t.Errorf("after %d of %d bytes: %v", n, len(want), err)
		}
	})
	if string(got) != want {
		t.Fatalf("read %s, want %s", cut(string(got)), cut(want))
	}
}

// longEventByEvent: each event is there when it was sent, and waits for no other;
// a read with a large buffer returns what there is.
func longEventByEvent(t *T) {
	t.streams(func(t *T, framing string) {
		next := make(chan struct{})
		s := t.script(func(c *conn) {
			c.request()
			c.write(streamHeads[framing])
			for i := range 50 {
				c.event(framing, fmt.Sprintf("data: %d\n\n", i))
				c.wait(next)
			}
			c.untilClosed()
		})
		resp := t.must(t.engine(), t.request("GET", s.URL, "Accept", "text/event-stream"))
		large := make([]byte, 64<<10)
		for i := range 50 {
			want := fmt.Sprintf("data: %d\n\n", i)
			if i%2 == 0 {
				t.expect(resp.Body, want)
			} else {
				var got []byte
				t.quick("an event that was sent", func() {
					for len(got) < len(want) {
						n, err := resp.Body.Read(large)
						if got = append(got, large[:n]...); err != nil {
							t.Errorf("event %d: %v", i, err)
							return
						}
					}
				})
				if string(got) != want {
					t.Fatalf("read %q, want %q", got, want)
				}
			}
			select {
			case next <- struct{}{}:
			case <-t.ctx.Done():
				t.Fatal("the server is gone")
			}
		}
		resp.Body.Close()
		s.WaitClosed(t)
	})
}

// longManyAtOnce: events that come together are all there, in order.
func longManyAtOnce(t *T) {
	t.streams(func(t *T, framing string) {
		const events = 20_000
		var all bytes.Buffer
		for i := range events {
			fmt.Fprintf(&all, "id: %d\ndata: %s\n\n", i, strings.Repeat("x", i%97))
		}
		s := t.script(func(c *conn) {
			c.request()
			c.write(streamHeads[framing])
			for rest := all.Bytes(); len(rest) > 0; {
				n := min(len(rest), 1+len(rest)%5000)
				c.event(framing, string(rest[:n]))
				rest = rest[n:]
			}
			c.untilClosed()
		})
		resp := t.must(t.engine(), t.request("GET", s.URL))
		t.expect(resp.Body, all.String())
		resp.Body.Close()
		s.WaitClosed(t)
	})
}

// longAnswersPost: a stream can answer a request with a body.
func longAnswersPost(t *T) {
	t.streams(func(t *T, framing string) {
		s := t.script(func(c *conn) {
			r := c.request()
			c.write(streamHeads[framing])
			c.event(framing, "data: "+string(r.Body)+"\n\n")
			c.untilClosed()
		})
		b := replayable("prompt")
		resp := t.must(t.engine(), t.post(s.URL, b))
		t.expect(resp.Body, "data: prompt\n\n")
		resp.Body.Close()
		b.wantClosedOnce(t)
		s.WaitClosed(t)
	})
}

// longHeadOnly: a deadline that ends with the head does not end the stream, read
// or not.
func longHeadOnly(t *T) {
	t.streams(func(t *T, framing string) {
		passed := make(chan struct{})
		s := t.script(func(c *conn) {
			c.request()
			c.write(streamHeads[framing])
			c.event(framing, "data: early\n\n")
			c.wait(passed)
			c.event(framing, "data: late\n\n")
			c.untilClosed()
		})
		req := t.deadline(s.URL)
		req.HeadOnly, req.Deadline = true, time.Now().Add(4*short)
		resp := t.must(t.engine(), req)
		t.expect(resp.Body, "data: early\n\n")
		time.AfterFunc(time.Until(req.Deadline)+short, func() { close(passed) })
		t.expect(resp.Body, "data: late\n\n")
		resp.Body.Close()
		s.WaitClosed(t)
	})
}

func longIdle(t *T) {
	t.streams(func(t *T, framing string) { t.goesQuiet(framing, func(*engine.Request) {}) })
}

// longIdleHeadOnly: the idle timeout stays when the deadline has gone.
func longIdleHeadOnly(t *T) {
	t.goesQuiet("Chunked", func(req *engine.Request) {
		req.HeadOnly, req.Deadline, req.DeadlineKind = true, time.Now().Add(long), engine.KindRequest
	})
}

// goesQuiet: the idle timeout counts from the last event, and ends the stream.
func (t *T) goesQuiet(framing string, change func(*engine.Request)) {
	const events, limit = 12, 8 * short
	s := t.script(func(c *conn) {
		c.request()
		c.write(streamHeads[framing])
		tick := time.NewTicker(short)
		defer tick.Stop()
		for range events {
			<-tick.C
			c.event(framing, "data: x\n\n")
		}
		c.untilClosed()
	})
	req := t.request("GET", s.URL)
	req.Timeouts.Idle = limit
	change(req)
	resp := t.must(t.engine(), req)
	t.expect(resp.Body, strings.Repeat("data: x\n\n", events))
	var err error
	t.quick("the idle timeout of a stream", func() { _, err = resp.Body.Read(make([]byte, 1)) })
	t.wantTimeout(err, engine.KindIdle)
	t.wantOp(err, engine.OpReceive)
	s.WaitClosed(t)
}

// released: a stream that waits for its next event gives its connection back as
// soon as leave is called, and the reader returns.
func (t *T) released(leave func(context.CancelFunc, *engine.Response)) {
	t.streams(func(t *T, framing string) {
		s := t.script(func(c *conn) {
			c.request()
			c.write(streamHeads[framing])
			c.event(framing, "data: x\n\n")
			c.untilClosed()
		})
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		resp, err := t.executeIn(ctx, t.engine(), t.request("GET", s.URL))
		if err != nil {
			t.Fatal(err)
		}
		t.expect(resp.Body, "data: x\n\n")
		reader := make(chan error, 1)
		go func() {
			_, err := resp.Body.Read(make([]byte, 100))
			reader <- err
		}()
		leave(cancel, resp)
		if err := within(t, "the reader of a stream that was left", reader); err == nil {
			t.Error("Read of a stream that was left succeeded")
		}
		s.WaitClosed(t)
	})
}

// flooded: so it does when the server sends faster than anybody reads, and nobody
// reads.
func (t *T) flooded(leave func(context.CancelFunc, *engine.Response)) {
	t.streams(func(t *T, framing string) {
		s := t.script(func(c *conn) {
			c.request()
			c.write(streamHeads[framing])
			for {
				c.event(framing, strings.Repeat("data: x\n\n", 1000))
			}
		})
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		resp, err := t.executeIn(ctx, t.engine(), t.request("GET", s.URL))
		if err != nil {
			t.Fatal(err)
		}
		t.expect(resp.Body, "data: x\n\n")
		t.quick("leaving a stream", func() { leave(cancel, resp) })
		s.WaitClosed(t)
	})
}
