package cio

import (
	"cmp"
	"slices"

	"github.com/godwit-go/godwit/internal/dial"
)

// Stats is a snapshot of an engine's connections.
type Stats struct {
	// Open counts connections, those being made included, Idle the unused among
	// them, Waiting the requests that wait for one.
	Open, Idle, Waiting int
	// Routes are the same figures by route, sorted by its name.
	Routes []RouteStats
}

// RouteStats are the figures of one route.
type RouteStats struct {
	// Route is like "https://example.org:443"; it holds no credentials, and stands
	// for all that differ in those for their proxy.
	Route               string
	Open, Idle, Waiting int
}

// count adds the idle connections that speak HTTP/2, and the requests that wait
// for one; the open ones have slots in the pool and are counted there.
func (x *http2) count(s *Stats) {
	h := x.pool.Stats()
	s.Idle += h.Idle
	s.Waiting += h.Waiting
	for _, from := range h.Routes {
		i := slices.IndexFunc(s.Routes, func(r RouteStats) bool { return r.Route == from.Route })
		if i >= 0 {
			s.Routes[i].Idle += from.Idle
			s.Routes[i].Waiting += from.Waiting
		}
	}
}

func (p *pool) stats() Stats {
	p.mu.Lock()
	s := Stats{Open: p.open, Idle: p.idle, Waiting: p.waiting}
	keys := make([]dial.Route, 0, len(p.routes))
	for key, r := range p.routes {
		keys = append(keys, key)
		s.Routes = append(s.Routes, RouteStats{Open: r.open, Idle: len(r.idle), Waiting: len(r.waiters)})
	}
	p.mu.Unlock()
	for i, key := range keys {
		s.Routes[i].Route = key.String()
	}
	slices.SortFunc(s.Routes, func(a, b RouteStats) int { return cmp.Compare(a.Route, b.Route) })
	s.Routes = unite(s.Routes)
	return s
}

// unite adds up what has the same name: routes may differ in the credentials for
// their proxy alone. They are sorted.
func unite(routes []RouteStats) []RouteStats {
	united := routes[:0]
	for _, r := range routes {
		if n := len(united); n > 0 && united[n-1].Route == r.Route {
			last := &united[n-1]
			last.Open, last.Idle, last.Waiting = last.Open+r.Open, last.Idle+r.Idle, last.Waiting+r.Waiting
			continue
		}
		united = append(united, r)
	}
	return united
}
