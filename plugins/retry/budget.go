package retry

import (
	"sync"
	"time"
)

// Budget is a token bucket: each call puts in a part of a token, each repetition
// takes one out. Without tokens failures are returned as they are, so that
// clients do not multiply the load of a server that fails.
type Budget struct {
	// Ratio is how many repetitions there may be for each call in the long run;
	// 0 = 0.2, negative = no budget at all: repeat without bound.
	Ratio float64
	// PerSecond is how many there may be beside that; 0 = 10, negative = none.
	PerSecond float64
	// Burst is the most that can be saved up, and what there is at the start;
	// 0 = 100.
	Burst float64
}

type bucket struct {
	budget Budget

	mu     sync.Mutex // guards what follows
	tokens float64
	last   time.Time
}

func newBucket(b Budget) bucket {
	if b.Ratio == 0 {
		b.Ratio = 0.2
	}
	switch {
	case b.PerSecond == 0:
		b.PerSecond = 10
	case b.PerSecond < 0:
		b.PerSecond = 0
	}
	if b.Burst <= 0 {
		b.Burst = 100
	}
	return bucket{budget: b, tokens: b.Burst}
}

func (b *bucket) deposit() {
	if b.budget.Ratio < 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(b.budget.Ratio)
}

// withdraw takes a token, if there is one.
func (b *bucket) withdraw() bool {
	if b.budget.Ratio < 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !b.last.IsZero() {
		b.add(now.Sub(b.last).Seconds() * b.budget.PerSecond)
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *bucket) add(tokens float64) { b.tokens = min(b.budget.Burst, b.tokens+tokens) }
