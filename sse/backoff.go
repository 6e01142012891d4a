package sse

import (
	"math/rand/v2"
	"time"
)

// backoff is the first wait and the longest one.
type backoff struct{ first, longest time.Duration }

// least is what doubling starts from when the first wait is none: who asks to be
// reconnected at once does not ask for a flood of attempts that fail.
const least = 100 * time.Millisecond

// most is far more than any wait, and far less than a Duration holds.
const most = 10 * 365 * 24 * time.Hour

// wait returns how long to wait before attempt n, from 1, where first may be the
// server's word. The server's is never cut short.
func (b backoff) wait(n int, first time.Duration) time.Duration {
	d := first
	if n > 1 {
		longest := max(first, b.longest)
		d = min(max(first, least), longest)
		for ; n > 1 && d < longest; n-- {
			d += min(d, longest-d)
		}
	}
	d = min(d, most)
	return d + rand.N(d/4+1)
}
