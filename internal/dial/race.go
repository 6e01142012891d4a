package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/recovered"
	"github.com/godwit-go/godwit/internal/socket"
)

// dial connects to one of places, in at most Attempts rounds.
func (j *job) dial(ctx context.Context, network string, p *places) (net.Conn, error) {
	limit := j.AttemptTimeout
	if limit <= 0 && j.timeout > 0 && j.Attempts > 1 {
		limit = j.timeout / time.Duration(j.Attempts)
	}
	for attempt := 1; ; attempt++ {
		last := attempt >= j.Attempts
		if last {
			limit = 0 // what is left of the timeout is the limit
		}
		conn, err := j.attempt(ctx, network, p, limit)
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
func (j *job) attempt(ctx context.Context, network string, p *places, limit time.Duration) (net.Conn, error) {
	if limit > 0 {
		limited, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		timer := time.AfterFunc(limit, func() {
			cancel(&engine.TimeoutError{Kind: engine.KindConnect, Limit: limit})
		})
		defer timer.Stop()
		ctx = limited
	}
	if len(p.known) == 1 && p.late == nil && j.Dial == nil && j.Control == nil {
		return j.alone(ctx, network, p.known[0])
	}
	r := &race{job: j, network: network, places: p, results: make(chan result), over: make(chan struct{})}
	return r.run(ctx)
}

// alone connects to the only address there is, without a goroutine for it: package
// net, unlike what callers bring, returns when ctx ends.
func (j *job) alone(ctx context.Context, network, address string) (net.Conn, error) {
	if j.trace.ConnectStart != nil {
		j.trace.ConnectStart(network, address)
	}
	conn, err := j.socket(ctx, network, address)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	j.open = conn
	if j.trace.ConnectDone != nil {
		j.trace.ConnectDone(network, address, err)
	}
	return conn, err
}

// race is one round of connecting to several addresses: each gets a head start
// of FallbackDelay, or until those before it have failed (RFC 8305 §5). The
// first connection wins, all others are closed.
//
// The goroutines that connect send what came of it to the caller's one, which
// calls the hooks; when that listens no more they close what they have.
type race struct {
	*job
	network string
	places  *places
	results chan result
	over    chan struct{} // closed at the end
	running []string
}

type result struct {
	address string
	conn    net.Conn
	err     error
}

func (r *race) run(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer r.finish()
	var failures []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	idle := false // there was nothing to launch when it was time
	for next := 0; len(failures) < len(r.places.known) || r.places.late != nil; {
		select {
		case <-timer.C:
			if idle = next == len(r.places.known); !idle {
				r.launch(ctx, r.places.known[next])
				next++
				timer.Reset(r.delay())
			}
		case a := <-r.places.late:
			r.places.add(a, next)
			if idle {
				timer.Reset(0)
			}
		case res := <-r.results:
			r.open = res.conn
			r.ended(res.address, res.err)
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
	return nil, joined("could be connected to", failures)
}

// joined makes one error of those of all addresses.
func joined(what string, failures []error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	args := []any{len(failures), what}
	shown := min(len(failures), 5)
	for _, err := range failures[:shown] {
		args = append(args, err)
	}
	format := "none of %d addresses %s: %w" + strings.Repeat("; %w", shown-1)
	if shown < len(failures) {
		format += "; …"
	}
	return fmt.Errorf(format, args...)
}

// launch connects to address in another goroutine.
func (r *race) launch(ctx context.Context, address string) {
	if r.trace.ConnectStart != nil {
		r.trace.ConnectStart(r.network, address)
	}
	r.running = append(r.running, address)
	r.start(func() {
		res := result{address: address, err: errExited}
		defer func() {
			if p := recover(); p != nil {
				res.err = recovered.Error("the custom dialer", p)
			}
			select {
			case r.results <- res:
			case <-r.over:
				if res.conn != nil {
					res.conn.Close()
				}
			}
		}()
		res.conn, res.err = r.socket(ctx, r.network, address)
	})
}

func (r *race) ended(address string, err error) {
	if i := slices.Index(r.running, address); i >= 0 {
		r.running = slices.Delete(r.running, i, i+1)
	}
	if r.trace.ConnectDone != nil {
		r.trace.ConnectDone(r.network, address, err)
	}
}

// finish gives up what still runs: its hooks are called now, since they must
// not be later.
func (r *race) finish() {
	close(r.over)
	for len(r.running) > 0 {
		r.ended(r.running[0], context.Canceled)
	}
}

// socket makes one connection; there is none with an error.
func (d *Dialer) socket(ctx context.Context, network, address string) (net.Conn, error) {
	if d.Dial != nil {
		conn, err := d.Dial(ctx, network, address)
		switch {
		case err != nil:
			return nil, err
		case conn == nil:
			return nil, fmt.Errorf("the custom dialer returned no connection to %s", address)
		}
		return socket.Of(conn), nil
	}
	nd := net.Dialer{KeepAliveConfig: d.KeepAlive}
	if !d.KeepAlive.Enable && d.KeepAlive != (net.KeepAliveConfig{}) {
		nd.KeepAlive = -1
	}
	if d.LocalAddr.IsValid() && network != "unix" {
		local := d.LocalAddr.Unmap()
		nd.LocalAddr = &net.TCPAddr{IP: local.AsSlice(), Zone: local.Zone()}
	}
	if d.Control != nil {
		nd.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) (err error) {
			defer func() {
				if p := recover(); p != nil {
					err = &controlError{recovered.Error("DialControl", p)}
				}
			}()
			if err := d.Control(ctx, network, address, c); err != nil {
				return &controlError{err}
			}
			return nil
		}
	}
	conn, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok && d.Delay {
		// It is net that turned it on. A connection that is over already will say so
		// by its first use.
		_ = tcp.SetNoDelay(false)
	}
	return socket.Of(conn), nil
}

// controlError marks a refusal by Control.
type controlError struct{ err error }

func (e *controlError) Error() string { return e.err.Error() }
func (e *controlError) Unwrap() error { return e.err }
