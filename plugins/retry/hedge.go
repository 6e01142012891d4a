package retry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/internal/recovered"
)

// Hedge sends further requests when the first is slow, and takes the first good
// answer; the others are aborted. Only idempotent requests with a replayable
// body are hedged. What panics in an interceptor further in is an error here, as
// each request runs in a goroutine of its own.
type Hedge struct {
	// Delay is how long to wait for an answer before another request is sent.
	Delay time.Duration
	// Percentile takes the delay from what the last 128 answers took: 0.95 sends
	// a second request for the slowest 5 %. Until there are 16 answers, Delay
	// holds; if that is 0, nothing is hedged.
	Percentile float64
	// Max is how many further requests there may be; 0 = 1.
	Max int
}

func (h Hedge) on() bool { return h.Delay > 0 || h.Percentile > 0 }

func (h Hedge) check() error {
	if h.Percentile < 0 || h.Percentile >= 1 || h.Delay < 0 {
		return fmt.Errorf("retry: Hedge{Delay: %v, Percentile: %v}: a delay is not negative, a percentile from 0 to below 1", h.Delay, h.Percentile)
	}
	return nil
}

// latencies are the durations of the last answers.
type latencies struct {
	mu   sync.Mutex // guards what follows
	ring [128]time.Duration
	n    int
}

func (l *latencies) note(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%len(l.ring)] = d
	l.n++
}

// percentile returns the wanted percentile once there are enough answers.
func (l *latencies) percentile(p float64) (time.Duration, bool) {
	l.mu.Lock()
	known := slices.Clone(l.ring[:min(l.n, len(l.ring))])
	l.mu.Unlock()
	if len(known) < 16 {
		return 0, false
	}
	slices.Sort(known)
	return known[int(p*float64(len(known)))], true
}

// outcome is how one branch of a hedged attempt ended.
type outcome struct {
	fork *godwit.Call
	resp *godwit.Response
	err  error
}

// hedged sends, and after each delay sends again beside that.
func (l *loop) hedged(ctx context.Context, req *godwit.Request) (*godwit.Response, error) {
	delay := l.plugin.hedgeDelay()
	if delay <= 0 {
		start := time.Now()
		resp, err := l.next(ctx, req)
		if err == nil && l.good(resp) {
			l.plugin.slow.note(time.Since(start))
		}
		return resp, err
	}
	most := min(1+max(1, l.plugin.config.Hedge.Max), max(1, godwit.CallFrom(ctx).SendsLeft(req)))
	own := *l // so that l stays on the stack of calls that are not hedged
	r := &race{loop: &own, req: req, results: make(chan outcome, most), start: time.Now()}
	defer r.endLosers()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	if err := r.send(ctx); err != nil {
		return nil, err
	}
	for {
		select {
		case out := <-r.results:
			r.running--
			good := out.err == nil && l.good(out.resp)
			if good {
				l.plugin.slow.note(time.Since(r.start))
			}
			if good || r.running == 0 {
				return r.take(out)
			}
			out.drop()
		case <-timer.C:
			if len(r.forks) < most && l.plugin.bucket.withdraw() {
				if err := r.send(ctx); err != nil {
					continue // too late for another: those under way decide
				}
				timer.Reset(delay)
			}
		}
	}
}

// hedgeDelay is how long the next attempt may take before it is hedged.
func (p *Plugin) hedgeDelay() time.Duration {
	h := &p.config.Hedge
	if h.Percentile > 0 {
		if d, ok := p.slow.percentile(h.Percentile); ok {
			return d
		}
	}
	return h.Delay
}

// race is the branches of one hedged attempt. Each runs in a goroutine of its
// own, which hands in its outcome or, when the race is over, clears it away
// itself: so nobody waits for a loser that does not notice its end.
type race struct {
	loop    *loop
	req     *godwit.Request
	results chan outcome // has room for all
	start   time.Time
	forks   []*godwit.Call
	running int
	winner  *godwit.Call

	mu   sync.Mutex // guards over, and sending to results
	over bool
}

func (r *race) send(ctx context.Context) error {
	fork, err := godwit.CallFrom(ctx).Fork(ctx)
	if err != nil {
		return err
	}
	r.forks = append(r.forks, fork)
	r.running++
	go r.run(fork)
	return nil
}

// run is a branch. A panic in it is the branch's error: here nobody else could
// recover it, and it would end the program.
func (r *race) run(fork *godwit.Call) {
	out := outcome{fork: fork}
	returned := false
	defer func() {
		if !returned {
			out.err = errExited
			if v := recover(); v != nil {
				out.err = recovered.Error("retry: what a hedged request runs through", v)
			}
		}
		r.mu.Lock()
		over := r.over
		if !over {
			r.results <- out
		}
		r.mu.Unlock()
		if over {
			out.lose()
		}
	}()
	out.resp, out.err = r.loop.next(fork.Context(), r.req)
	returned = true
}

var errExited = errors.New("retry: what a hedged request runs through ended its goroutine (runtime.Goexit)")

// take makes a branch the winner: it lives until its body ends.
func (r *race) take(out outcome) (*godwit.Response, error) {
	if out.err != nil {
		out.fork.End()
		return nil, out.err
	}
	r.winner = out.fork
	fork := out.fork
	out.resp.OnClose(func(error) { fork.End() })
	return out.resp, nil
}

// drop gives up a branch while others run on.
func (o *outcome) drop() {
	if o.resp != nil {
		o.resp.Discard()
	}
	o.fork.End()
}

// lose clears away what came of an aborted branch.
func (o *outcome) lose() {
	if o.resp != nil {
		o.resp.Close()
	}
	o.fork.End()
}

// endLosers aborts the others. They count as running, for Join, until they have
// noticed. One that reads the request's body is waited for: the caller may use
// what the body reads from as soon as the call is over.
func (r *race) endLosers() {
	for _, f := range r.forks {
		if f != r.winner {
			f.Cancel()
		}
	}
	if r.req.Content() != nil {
		for ; r.running > 0; r.running-- {
			out := <-r.results
			out.lose()
		}
	}
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	for {
		select {
		case out := <-r.results:
			out.lose()
		default:
			return
		}
	}
}
