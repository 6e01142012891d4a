package auto

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// cache is what the engine remembers of origins: their alternatives, and which of
// these are broken. It is safe for concurrent use.
type cache struct {
	limit   int
	pause   time.Duration // after the first failure
	longest time.Duration

	mu      sync.Mutex // guards what follows
	origins map[string]*entry
	broken  map[route]*mark
	lost    map[route]struct{} // whose last request lost its connection
	clock   uint64
}

// route leads to an origin by an alternative.
type route struct{ origin, authority string }

type entry struct {
	alternatives []Alternative
	used         uint64 // when, in the cache's own time
}

// mark is a broken alternative.
type mark struct {
	until    time.Time
	failures int
}

func newCache(limit int, pause, longest time.Duration) *cache {
	return &cache{limit: limit, pause: pause, longest: longest, origins: make(map[string]*entry), broken: make(map[route]*mark),
		lost: make(map[route]struct{})}
}

// lookup returns the authorities that hold for origin at now.
func (c *cache) lookup(origin string, now time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.origins[origin]
	if e == nil {
		return nil
	}
	e.alternatives = slices.DeleteFunc(e.alternatives, func(a Alternative) bool { return !now.Before(a.Expires) })
	if len(e.alternatives) == 0 {
		delete(c.origins, origin)
		return nil
	}
	c.clock++
	e.used = c.clock
	found := make([]string, len(e.alternatives))
	for i, a := range e.alternatives {
		found[i] = a.Authority
	}
	return found
}

// store replaces the alternatives of origin and reports whether that is worth
// saving: their renewal alone is so only when a good part of their time is over.
func (c *cache) store(origin string, alternatives []Alternative, now time.Time) (changed bool) {
	alternatives = slices.DeleteFunc(slices.Clone(alternatives), func(a Alternative) bool { return !now.Before(a.Expires) })
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.origins[origin]
	if len(alternatives) == 0 {
		delete(c.origins, origin)
		return old != nil
	}
	if old != nil && sameButFor(old.alternatives, alternatives, now) {
		return false
	}
	c.clock++
	if old == nil && len(c.origins) >= c.limit {
		c.evict()
	}
	c.origins[origin] = &entry{alternatives: alternatives, used: c.clock}
	return true
}

// sameButFor reports whether b is a, a little later.
func sameButFor(a, b []Alternative, now time.Time) bool {
	return slices.EqualFunc(a, b, func(a, b Alternative) bool {
		gained, left := b.Expires.Sub(a.Expires), b.Expires.Sub(now)
		return a.Authority == b.Authority && a.Persist == b.Persist && gained >= 0 && gained < left/10
	})
}

// evict forgets the origin that was used least recently. c.mu is held.
func (c *cache) evict() {
	oldest, found := "", false
	for origin, e := range c.origins {
		if !found || e.used < c.origins[oldest].used {
			oldest, found = origin, true
		}
	}
	delete(c.origins, oldest)
}

// drop takes one alternative away.
func (c *cache) drop(r route) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.origins[r.origin]
	if e == nil {
		return false
	}
	before := len(e.alternatives)
	e.alternatives = slices.DeleteFunc(e.alternatives, func(a Alternative) bool { return a.Authority == r.authority })
	if len(e.alternatives) == 0 {
		delete(c.origins, r.origin)
	}
	return len(e.alternatives) < before
}

// state tells until when r is broken, and how often it has failed since it last
// worked.
func (c *cache) state(r route) (until time.Time, failures int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.broken[r]; m != nil {
		return m.until, m.failures
	}
	return time.Time{}, 0
}

// fail marks r as broken, each time for twice as long as before.
func (c *cache) fail(r route, now time.Time) (until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.broken[r]
	if m == nil {
		if len(c.broken) >= c.limit {
			c.evictBroken()
		}
		m = &mark{}
		c.broken[r] = m
	}
	pause := c.longest
	if m.failures < 30 {
		if p := c.pause << m.failures; p>>m.failures == c.pause {
			pause = min(p, c.longest)
		}
	}
	m.failures++
	m.until = now.Add(pause)
	return m.until
}

// evictBroken forgets the mark that ends first. c.mu is held.
func (c *cache) evictBroken() {
	var first route
	found := false
	for r, m := range c.broken {
		if !found || m.until.Before(c.broken[first].until) {
			first, found = r, true
		}
	}
	delete(c.broken, first)
}

// work notes that a request by r has worked: it takes r's mark away, and reports
// whether there was one.
func (c *cache) work(r route) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, was := c.broken[r]
	delete(c.broken, r)
	delete(c.lost, r)
	return was
}

// lose notes that a request by r has lost its connection, and reports whether the
// one before has, too.
func (c *cache) lose(r route) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, again := c.lost[r]; again {
		return true
	}
	if len(c.lost) >= c.limit {
		clear(c.lost)
	}
	c.lost[r] = struct{}{}
	return false
}

// networkChanged forgets what held for the old network.
func (c *cache) networkChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.broken)
	clear(c.lost)
	for origin, e := range c.origins {
		e.alternatives = slices.DeleteFunc(e.alternatives, func(a Alternative) bool { return !a.Persist })
		if len(e.alternatives) == 0 {
			delete(c.origins, origin)
		}
	}
}

// snapshot returns all that holds at now, in a fixed order.
func (c *cache) snapshot(now time.Time) Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	var s Snapshot
	for origin, e := range c.origins {
		held := slices.DeleteFunc(slices.Clone(e.alternatives), func(a Alternative) bool { return !now.Before(a.Expires) })
		if len(held) > 0 {
			s.Services = append(s.Services, Service{origin, held})
		}
	}
	for r, m := range c.broken {
		s.Broken = append(s.Broken, Broken{r.origin, r.authority, m.until, m.failures})
	}
	slices.SortFunc(s.Services, func(a, b Service) int { return cmp.Compare(a.Origin, b.Origin) })
	slices.SortFunc(s.Broken, func(a, b Broken) int {
		return cmp.Or(cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Authority, b.Authority))
	})
	return s
}

// restore takes a snapshot in; what cannot be right is left out.
func (c *cache) restore(s Snapshot, now time.Time) {
	for _, service := range s.Services {
		var good []Alternative
		for _, a := range service.Alternatives {
			if at, err := completeAuthority(a.Authority, ""); err == nil && len(good) < maxAlternatives {
				a.Authority = at
				a.Expires = earlier(a.Expires, now.Add(longestMaxAge))
				good = append(good, a)
			}
		}
		c.store(service.Origin, good, now)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range s.Broken {
		if b.Failures > 0 && len(c.broken) < c.limit {
			c.broken[route{b.Origin, b.Authority}] = &mark{until: earlier(b.Until, now.Add(c.longest)), failures: b.Failures}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
