package cio

import (
	"cmp"
	"slices"

	"github.com/godwit-go/godwit/internal/dial"
)

// Stats is a snapshot of an engine's connections. Its part for pipelining is taken a
// moment earlier than the rest, that for HTTP/2 a moment later: under load what
// changes just then may be missing, or be counted as it was and as it is.
type Stats struct {
	// Open counts connections, those being made included, Idle the unused among
	// them, Waiting the requests that wait for one.
	Open, Idle, Waiting int
	// Routes are the same figures by route, sorted by its name; they add up to
	// those above.
	Routes []RouteStats
}

// RouteStats are the figures of one route.
type RouteStats struct {
	// Route is like "https://example.org:443"; it holds no credentials, and stands
	// for all that differ in those for their proxy.
	Route               string
	Open, Idle, Waiting int
}

// Stats returns the figures of the engine's connections at this moment.
func (e *Engine) Stats() Stats {
	routes := e.lanes.stats() // who finds no connection goes from the pool's queue to a lane's
	routes = append(routes, e.pool.stats()...)
	routes = append(routes, e.http2.stats()...)
	slices.SortFunc(routes, func(a, b RouteStats) int { return cmp.Compare(a.Route, b.Route) })
	s := Stats{Routes: unite(routes)}
	for _, r := range s.Routes {
		s.Open, s.Idle, s.Waiting = s.Open+r.Open, s.Idle+r.Idle, s.Waiting+r.Waiting
	}
	return s
}

// stats returns the idle connections that speak HTTP/2, and the requests that wait
// for one; the open ones have slots in the pool and are counted there.
func (x *http2) stats() (routes []RouteStats) {
	if x == nil {
		return nil
	}
	for _, r := range x.pool.Stats().Routes {
		if r.Idle > 0 || r.Waiting > 0 {
			routes = append(routes, RouteStats{Route: r.Route, Idle: r.Idle, Waiting: r.Waiting})
		}
	}
	return routes
}

func (p *pool) stats() (routes []RouteStats) {
	p.mu.Lock()
	keys := make([]dial.Route, 0, len(p.routes))
	for key, r := range p.routes {
		keys = append(keys, key)
		routes = append(routes, RouteStats{Open: r.open, Idle: len(r.idle), Waiting: len(r.waiters)})
	}
	p.mu.Unlock()
	for i, key := range keys {
		routes[i].Route = key.String()
	}
	return routes
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
