package pool

import (
	"cmp"
	"slices"
)

// Stats is a snapshot of connections and streams.
type Stats struct {
	// Open counts connections, those being made included, Idle those without a
	// stream, Streams the open streams, Waiting the requests that wait for a place
	// on a connection.
	Open, Idle, Streams, Waiting int
	// Routes are the same figures by route, sorted by its name.
	Routes []RouteStats
}

// RouteStats are the figures of one route.
type RouteStats struct {
	// Route is like "https://example.org:443"; it holds no credentials, and stands
	// for all that differ in those for their proxy.
	Route                        string
	Open, Idle, Streams, Waiting int
}

// Stats returns the figures of this moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Open: p.open}
	for key, r := range p.routes {
		rs := RouteStats{Route: key.String(), Open: r.open, Waiting: len(r.waiters)}
		for _, c := range r.conns {
			state := c.State()
			rs.Streams += state.Streams
			if state.Streams == 0 {
				rs.Idle++
			}
		}
		s.Idle += rs.Idle
		s.Streams += rs.Streams
		s.Waiting += rs.Waiting
		s.Routes = append(s.Routes, rs)
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
			last.Open, last.Idle = last.Open+r.Open, last.Idle+r.Idle
			last.Streams, last.Waiting = last.Streams+r.Streams, last.Waiting+r.Waiting
			continue
		}
		united = append(united, r)
	}
	return united
}
