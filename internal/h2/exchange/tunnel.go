package exchange

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/ctxerr"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/transfer"
)

// tunnel makes a CONNECT of the head if the request asks for a raw stream, and
// reports whether it does.
func (x *Exchange) tunnel(head *h2.RequestHead) bool {
	if x.req.Protocol != "" {
		head.Method, head.Protocol = "CONNECT", x.req.Protocol
	}
	return tunnels(x.req)
}

// awaitExtendedConnect waits for the server's settings, which say whether it
// takes a :protocol (RFC 8441 §3).
func (x *Exchange) awaitExtendedConnect() error {
	limit := x.clock.Whole.Or(transfer.In(x.clock.Header, time.Now(), engine.KindHeader))
	var expired <-chan time.Time
	if !limit.At.IsZero() {
		timer := time.NewTimer(time.Until(limit.At))
		defer timer.Stop()
		expired = timer.C
	}
	x.conn.Greet()
	select {
	case <-x.conn.Settled():
	case <-x.ctx.Done():
		return &engine.OpError{Op: engine.OpConnect, Err: ctxerr.Of(x.ctx)}
	case <-expired:
		return &engine.OpError{Op: engine.OpConnect, Err: limit.Err()}
	}
	if err := x.conn.Err(); err != nil {
		return h2.ErrUnfit
	}
	if !x.conn.ExtendedConnect() {
		return &engine.OpError{Op: engine.OpBuild, Err: &engine.UnsupportedError{
			Engine: x.options.Engine, Capability: engine.Upgrade,
			Detail: "the server has not set SETTINGS_ENABLE_CONNECT_PROTOCOL, without which HTTP/2 has no " + x.req.Protocol,
		}}
	}
	return nil
}

// upgrade hands the stream over to the receiver.
func (x *Exchange) upgrade() error {
	if !x.reg.Stop() {
		return x.ctxError()
	}
	x.use.Release()
	x.over()
	x.end = io.EOF
	x.ContentLength = 0
	x.Upgraded = &tunnel{stream: &x.stream, info: x.conn.Info}
	return nil
}

// tunnel is a stream after a 2xx answer to CONNECT. It is a net.Conn. Like any
// of these it may be read and written by two goroutines at once.
type tunnel struct {
	stream *h2.Stream
	info   *engine.Conn

	reading, writing sync.Mutex // one reader, one writer
	mu               sync.Mutex // guards what follows
	readBy, writeBy  time.Time
	closed           bool
}

var _ net.Conn = (*tunnel)(nil)

// deadline returns the limit of a wait as it stands.
func (t *tunnel) deadline(of *time.Time) func(time.Time) transfer.Due {
	return func(time.Time) transfer.Due {
		t.mu.Lock()
		defer t.mu.Unlock()
		return transfer.Due{At: *of}
	}
}

func (t *tunnel) over(of *time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return net.ErrClosed
	case !of.IsZero() && !time.Now().Before(*of):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// Read reads what the server sends; io.EOF tells that it has ended its side.
func (t *tunnel) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	for {
		if err := t.over(&t.readBy); err != nil || len(p) == 0 {
			return 0, err
		}
		n, err := t.stream.Read(p)
		if n > 0 || err != nil {
			return n, t.explain(err)
		}
		wait(t.stream.Wake(), t.deadline(&t.readBy), time.Time{})
	}
}

// Write sends p. Like that of a socket it returns when the bytes are on their way,
// which the server may not have read yet.
func (t *tunnel) Write(p []byte) (int, error) {
	return t.send(p, false)
}

// CloseWrite tells the server that nothing more will be written.
func (t *tunnel) CloseWrite() error {
	_, err := t.send(nil, true)
	return err
}

func (t *tunnel) send(p []byte, end bool) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.stream.Upload()
	defer t.stream.EndUpload()
	total := 0
	for {
		if err := t.over(&t.writeBy); err != nil {
			return total, err
		}
		n, err := t.stream.Offer(p[total:], end) // Send would not keep the deadline
		total += n
		if err != nil {
			return total, t.explain(err)
		}
		if total == len(p) {
			return total, nil
		}
		if n > 0 {
			continue // Room is told of to who got none
		}
		wait(t.stream.Room(), t.deadline(&t.writeBy), time.Time{})
	}
}

func (t *tunnel) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && err != io.EOF && t.closed {
		return net.ErrClosed
	}
	return err
}

// Close ends the stream; the connection goes on. If the server has ended its
// side, and we ours, that is all; else it is told by RST_STREAM.
func (t *tunnel) Close() error {
	t.mu.Lock()
	again := t.closed
	t.closed = true
	t.mu.Unlock()
	if again {
		return nil
	}
	t.stream.Cancel(h2.CodeCancel)
	t.reading.Lock() // its reader has seen the end
	defer t.reading.Unlock()
	t.stream.Release()
	return nil
}

func (t *tunnel) LocalAddr() net.Addr  { return t.info.Local }
func (t *tunnel) RemoteAddr() net.Addr { return t.info.Remote }

func (t *tunnel) SetDeadline(at time.Time) error {
	return t.set(at, &t.readBy, &t.writeBy)
}

func (t *tunnel) SetReadDeadline(at time.Time) error  { return t.set(at, &t.readBy) }
func (t *tunnel) SetWriteDeadline(at time.Time) error { return t.set(at, &t.writeBy) }

func (t *tunnel) set(at time.Time, deadlines ...*time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return net.ErrClosed
	}
	for _, d := range deadlines {
		*d = at
	}
	t.stream.Nudge() // who waits looks again
	return nil
}
