package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
)

// target is what a socket connects to.
type target struct{ network, address string }

// dial connects to one of targets, in at most Attempts rounds.
func (j *job) dial(ctx context.Context, targets []target) (net.Conn, error) {
	limit := j.AttemptTimeout
	if limit <= 0 && j.timeout > 0 && j.Attempts > 1 {
		limit = j.timeout / time.Duration(j.Attempts)
	}
	for attempt := 1; ; attempt++ {
		last := attempt >= j.Attempts
		if last {
			limit = 0 // what is left of the timeout is the limit
		}
		conn, err := j.attempt(ctx, targets, limit)
		if err == nil {
			return conn, nil
		}
		if _, refused := errors.AsType[*controlError](err); last || refused || !sleep(ctx, j.delay()) {
			return nil, opError(ctx, engine.OpConnect, err)
		}
	}
}

// sleep waits and reports whether ctx has not ended meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt runs one race within limit; 0 = no limit of its own.
func (j *job) attempt(ctx context.Context, targets []target, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if limit > 0 {
		timer := time.AfterFunc(limit, func() {
			cancel(&engine.TimeoutError{Kind: engine.KindConnect, Limit: limit})
		})
		defer timer.Stop()
	}
	r := &race{job: j, targets: targets, results: make(chan result, len(targets))}
	return r.run(ctx)
}

// race is one round of connecting to several addresses: each gets a head start
// of FallbackDelay, or until those before it have failed (RFC 8305 §5). The
// first connection wins, all others are closed.
type race struct {
	*job
	targets []target
	results chan result // has room for all

	mu      sync.Mutex // guards what follows and serialises the hooks
	running []target
	over    bool
}

type result struct {
	conn net.Conn
	err  error
}

func (r *race) run(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.finish()
	var failures []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := 0; len(failures) < len(r.targets); {
		select {
		case <-timer.C:
			if next < len(r.targets) {
				r.launch(ctx, r.targets[next])
				next++
				timer.Reset(r.delay())
			}
		case res := <-r.results:
			if res.err == nil {
				return res.conn, nil
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			failures = append(failures, res.err)
			timer.Reset(0)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	return nil, fmt.Errorf("none of %d addresses could be connected to, the first: %w", len(failures), failures[0])
}

// launch connects to t in another goroutine.
func (r *race) launch(ctx context.Context, t target) {
	r.mu.Lock()
	r.running = append(r.running, t)
	if r.trace.ConnectStart != nil {
		r.trace.ConnectStart(t.network, t.address)
	}
	r.mu.Unlock()
	r.start(func() {
		conn, err := r.socket(ctx, t)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.over {
			if err == nil {
				conn.Close()
			}
			return
		}
		r.ended(t, err)
		r.results <- result{conn, err}
	})
}

// ended is called with mu held.
func (r *race) ended(t target, err error) {
	for i, other := range r.running {
		if other == t {
			r.running = append(r.running[:i], r.running[i+1:]...)
			break
		}
	}
	if r.trace.ConnectDone != nil {
		r.trace.ConnectDone(t.network, t.address, err)
	}
}

// finish gives up what still runs: its hooks are called now, since they must
// not be later, and its connections are closed when they are there.
func (r *race) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for len(r.running) > 0 {
		r.ended(r.running[0], context.Canceled)
	}
	for {
		select {
		case res := <-r.results:
			if res.err == nil {
				res.conn.Close()
			}
		default:
			return
		}
	}
}

// socket makes one connection.
func (d *Dialer) socket(ctx context.Context, t target) (net.Conn, error) {
	if d.Dial != nil {
		conn, err := d.Dial(ctx, t.network, t.address)
		if err == nil && conn == nil {
			err = fmt.Errorf("the custom dialer returned no connection to %s", t.address)
		}
		return conn, err
	}
	nd := net.Dialer{KeepAliveConfig: d.KeepAlive}
	if d.LocalAddr.IsValid() && t.network != "unix" {
		local := d.LocalAddr.Unmap()
		nd.LocalAddr = &net.TCPAddr{IP: local.AsSlice(), Zone: local.Zone()}
	}
	if d.Control != nil {
		nd.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
			if err := d.Control(ctx, network, address, c); err != nil {
				return &controlError{err}
			}
			return nil
		}
	}
	return nd.DialContext(ctx, t.network, t.address)
}

// controlError marks a refusal by Control.
type controlError struct{ err error }

func (e *controlError) Error() string { return e.err.Error() }
func (e *controlError) Unwrap() error { return e.err }
