package enginetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/header"
)

func contractOpenFails(t *T) {
	e, u := t.contract(always(Reply{}))
	b := &body{length: -1, open: func(context.Context) (io.Reader, error) { return nil, errBroken }}
	_, err := t.execute(e, t.post(u, b))
	t.wantIs(err, errBroken)
	t.wantOp(err, engine.OpSend, engine.OpBuild)
}

// contractOpensSlowly: nothing waits for a body that does not look at its context
// while it is opened; when it is open at last, it is closed.
func contractOpensSlowly(t *T) {
	e, u := t.contract(always(Reply{}))
	run := func(what string, check func(err error), ctx func() (context.Context, context.CancelFunc), change func(*engine.Request)) {
		began, open := make(chan struct{}), make(chan struct{})
		b := &body{length: -1, open: func(context.Context) (io.Reader, error) {
			close(began)
			<-open
			return strings.NewReader("late"), nil
		}}
		req := t.post(u, b)
		change(req)
		in, cancel := ctx()
		defer cancel()
		go func() {
			<-began
			time.AfterFunc(short, cancel)
		}()
		var err error
		t.quick(what, func() { _, err = t.executeIn(in, e, req) })
		check(err)
		close(open)
		b.wantClosedOnce(t)
	}
	run("a cancel while the body is opened", func(err error) { t.wantIs(err, context.Canceled) },
		func() (context.Context, context.CancelFunc) { return context.WithCancel(t.ctx) }, func(*engine.Request) {})
	if e.Capabilities().Has(engine.RequestTimeout) {
		run("a deadline while the body is opened", func(err error) { t.wantTimeout(err, engine.KindAttempt) },
			func() (context.Context, context.CancelFunc) { return t.ctx, func() {} },
			func(r *engine.Request) { r.Deadline, r.DeadlineKind = time.Now().Add(4*short), engine.KindAttempt })
	}
}

func contractReadFails(t *T) {
	e, u := t.contract(always(Reply{}))
	b := reading(&pieces{parts: []string{"part"}, err: errBroken})
	_, err := t.execute(e, t.post(u, b))
	t.wantIs(err, errBroken)
	t.wantOp(err, engine.OpSend)
	b.wantClosedOnce(t)
}

// contractNoBytes: a body that announces no bytes is held to that, too.
func contractNoBytes(t *T) {
	e, u := t.contract(always(Reply{Body: "x"}))
	b := sized(0, "more")
	t.fails(e, t.post(u, b))
	b.wantClosedOnce(t)
	open := &body{length: 0, open: func(context.Context) (io.Reader, error) { return nil, errBroken }}
	t.wantIs(t.fails(e, t.post(u, open)), errBroken)
	e, u = t.contract(always(Reply{Body: "x"})) // what failed may still cost its connection
	read := sized(0, "")
	t.want(e, t.post(u, read), 200, "x")
	read.wantClosedOnce(t)
}

func contractRequestTrailers(t *T) {
	got := make(chan string, 1)
	e, u := t.contract(func(r *engine.Request) Reply {
		if r.Trailer == nil {
			got <- "none"
		} else {
			h := r.Trailer()
			got <- h.Get("X-Sum")
		}
		return Reply{}
	})
	req := t.post(u, stream("body"))
	req.TrailerNames = []string{"X-Sum"}
	req.Trailer = func() header.Header { return header.New("X-Sum", "42") }
	t.want(e, req, 200, "")
	if sum := within(t, "the request", got); sum != "42" {
		t.Errorf("the server got trailer X-Sum %q", sum)
	}
}

// stalled asks for a body whose second half does not come before release is
// closed, and reads the first half.
func (t *T) stalled(ctx context.Context, change func(*engine.Request)) (resp *engine.Response, release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	e, u := t.contract(always(Reply{Body: "1234567890", Stall: release}))
	req := t.request("GET", u)
	if change != nil {
		change(req)
	}
	r := within(t, "Execute when only the head is there", t.start(ctx, e, req))
	if r.err != nil {
		t.Fatal(r.err)
	}
	half := make([]byte, 5)
	if _, err := io.ReadFull(r.resp.Body, half); err != nil || string(half) != "12345" {
		t.Fatalf("first half %q, %v", half, err)
	}
	return r.resp, release
}

func contractHeadFirst(t *T) {
	resp, release := t.stalled(t.ctx, nil)
	close(release)
	if got := t.read(resp); got != "67890" {
		t.Errorf("second half %q", got)
	}
}

func contractCloseUnblocks(t *T) {
	resp, _ := t.stalled(t.ctx, nil)
	done, reading := make(chan error, 1), make(chan struct{})
	go func() {
		close(reading)
		_, err := resp.Body.Read(make([]byte, 5))
		done <- err
	}()
	<-reading
	t.quick("Close during a Read", func() { resp.Body.Close() })
	if err := within(t, "Read after Close", done); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read after Close: %v", err)
	}
}

func contractCancelBody(t *T) {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	resp, _ := t.stalled(ctx, nil)
	cancel()
	var err error
	t.quick("Read after cancel", func() { _, err = resp.Body.Read(make([]byte, 5)) })
	t.wantIs(err, context.Canceled)
	t.wantOp(err, engine.OpReceive)
}

func contractDeadlineBody(t *T) {
	resp, _ := t.stalled(t.ctx, func(r *engine.Request) {
		r.Deadline, r.DeadlineKind = time.Now().Add(4*short), engine.KindAttempt
	})
	var err error
	t.quick("Read after the deadline", func() { _, err = io.ReadAll(resp.Body) })
	t.wantTimeout(err, engine.KindAttempt)
	t.wantOp(err, engine.OpReceive)
}

func contractHeadOnly(t *T) {
	deadline := time.Now().Add(4 * short)
	resp, release := t.stalled(t.ctx, func(r *engine.Request) {
		r.Deadline, r.DeadlineKind, r.HeadOnly = deadline, engine.KindRequest, true
	})
	time.AfterFunc(time.Until(deadline)+short, func() { close(release) })
	if got := t.read(resp); got != "67890" {
		t.Errorf("second half %q", got)
	}
}

func contractHeaderTimeout(t *T) {
	e, u := t.contract(always(Reply{Hang: make(chan struct{})}))
	req := t.request("GET", u)
	req.Timeouts.Header = short
	t.timesOut(e, req, engine.KindHeader)
}

func contractIdleTimeout(t *T) {
	resp, _ := t.stalled(t.ctx, func(r *engine.Request) { r.Timeouts.Idle = 4 * short })
	var err error
	t.quick("Read after the idle timeout", func() { _, err = io.ReadAll(resp.Body) })
	t.wantTimeout(err, engine.KindIdle)
}

func contractTruncated(t *T) {
	e, u := t.contract(always(Reply{Body: "1234567890", Truncate: true}))
	resp := t.must(e, t.request("GET", u))
	if resp.ContentLength != 10 {
		t.Errorf("ContentLength %d, want 10", resp.ContentLength)
	}
	b, err := io.ReadAll(resp.Body)
	if string(b) != "12345" {
		t.Errorf("body %q before the error", b)
	}
	t.wantIs(err, io.ErrUnexpectedEOF)
	t.wantOp(err, engine.OpReceive)
}

func contractRawHead(t *T) {
	e, u := t.contract(always(Reply{Status: 202, Reason: "Fine", Header: header.New("x-ODD", "1"), Body: "ok"}))
	req := t.request("GET", u)
	req.WantRawHead = true
	raw := string(t.want(e, req, 202, "ok").RawHead)
	if !strings.HasPrefix(raw, "HTTP/1.1 202 Fine\r\n") || !strings.Contains(raw, "x-ODD: 1\r\n") || !strings.HasSuffix(raw, "\r\n\r\n") {
		t.Errorf("RawHead %q", raw)
	}
}

// copyBack is a peer that sends back what it gets.
func copyBack(rw io.ReadWriter) { io.Copy(rw, rw) }

func contractUpgrade(t *T) {
	e, u := t.contract(func(r *engine.Request) Reply {
		if r.Protocol != "x-echo" {
			t.Errorf("Protocol %q", r.Protocol)
		}
		return Reply{Status: 101, Upgrade: copyBack}
	})
	rw := t.upgraded(e, t.upgrading(u, "x-echo"))
	t.echoed(rw)
	if err := rw.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func contractUpgradeRefused(t *T) {
	e, u := t.contract(always(Reply{Status: 426, Body: "no"}))
	if resp := t.want(e, t.upgrading(u, "x-echo"), 426, "no"); resp.Upgraded != nil {
		t.Error("Upgraded is set on a refusal")
	}
}

func contractConnect(t *T) {
	e, u := t.contract(always(Reply{Upgrade: copyBack}))
	resp := t.must(e, t.request("CONNECT", u))
	if resp.Status != 200 || resp.Upgraded == nil {
		t.Fatalf("status %d, Upgraded %v", resp.Status, resp.Upgraded)
	}
	t.echoed(resp.Upgraded)
	resp.Upgraded.Close()
}
