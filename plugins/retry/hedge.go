package retry

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-go/godwit"
)

// Hedge sends further requests when the first is slow, and takes the first good
// answer; the others are aborted. Only idempotent requests with a replayable
// body are hedged.
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
	h := &l.plugin.config.Hedge
	delay := h.Delay
	if h.Percentile > 0 {
		if d, ok := l.plugin.slow.percentile(h.Percentile); ok {
			delay = d
		}
	}
	if delay <= 0 {
		start := time.Now()
		resp, err := l.next(ctx, req)
		if err == nil {
			l.plugin.slow.note(time.Since(start))
		}
		return resp, err
	}
	most := 1 + max(1, h.Max)
	r := &race{loop: l, req: req, results: make(chan outcome, most), start: time.Now()}
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
			good := out.err == nil && !slices.Contains(l.plugin.config.Statuses, int(out.resp.Status))
			if good || r.running == 0 && (len(r.forks) >= most || out.err != nil || !good) {
				return r.take(out)
			}
			r.drop(out)
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

// race is the branches of one hedged attempt.
type race struct {
	loop    *loop
	req     *godwit.Request
	results chan outcome
	start   time.Time
	forks   []*godwit.Call
	running int
	winner  *godwit.Call
}

func (r *race) send(ctx context.Context) error {
	fork, err := godwit.CallFrom(ctx).Fork(ctx)
	if err != nil {
		return err
	}
	r.forks = append(r.forks, fork)
	r.running++
	go func() {
		resp, err := r.loop.next(fork.Context(), r.req)
		r.results <- outcome{fork, resp, err}
	}()
	return nil
}

// take makes a branch the winner: it lives until its body ends.
func (r *race) take(out outcome) (*godwit.Response, error) {
	if out.err != nil {
		return nil, out.err
	}
	r.winner = out.fork
	r.loop.plugin.slow.note(time.Since(r.start))
	fork := out.fork
	out.resp.OnClose(func(error) { fork.End() })
	return out.resp, nil
}

func (r *race) drop(out outcome) {
	if out.resp != nil {
		out.resp.Discard()
	}
	out.fork.End()
}

// endLosers aborts the others and waits for them, so that nothing of the attempt
// runs on when it is over.
func (r *race) endLosers() {
	for _, f := range r.forks {
		if f != r.winner {
			f.End()
		}
	}
	for ; r.running > 0; r.running-- {
		if out := <-r.results; out.resp != nil {
			out.resp.Close()
		}
	}
}
