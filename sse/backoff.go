package sse

import (
	"math/rand/v2"
	"time"
)

// backoff is the first wait and the longest one.
type backoff struct{ first, longest time.Duration }

// least is the shortest wait, unless Backoff says that the first one may be none;
// then it is what doubling starts from.
const least = 100 * time.Millisecond

// most is far more than any wait, and far less than a Duration holds.
const most = 10 * 365 * 24 * time.Hour

// wait returns how long to wait before attempt n, from 1, where first may be the
// server's word. The server's is never cut short; one that asks for none, and ends
// each stream at once, is not to be flooded either.
func (b backoff) wait(n int, first time.Duration) time.Duration {
	d := first
	if b.first > 0 {
		d = max(d, least)
	}
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
