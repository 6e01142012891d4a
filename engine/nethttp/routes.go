package nethttp

import (
	"sync"

	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/gate"
)

// routes bounds the connections of each route beside net/http, which forgets
// those that an upgrade took over, and counts HTTP/1.1 and HTTP/2 apart. Routes
// without connections are forgotten.
type routes struct {
	limit   int    // 0 = no bound
	waiting func() // as in gate.New

	mu    sync.Mutex // guards gates and their users
	gates map[dial.Route]*routeGate
}

type routeGate struct {
	*gate.Gate
	users int // inside or waiting
}

// enter waits for a connection slot of the route; the returned function gives it
// back. It returns nil if done was closed before.
func (r *routes) enter(route dial.Route, done <-chan struct{}) (leave func()) {
	if r.limit <= 0 {
		return func() {}
	}
	r.mu.Lock()
	g := r.gates[route]
	if g == nil {
		g = &routeGate{Gate: gate.New(r.limit, r.waiting)}
		if r.gates == nil {
			r.gates = make(map[dial.Route]*routeGate)
		}
		r.gates[route] = g
	}
	g.users++
	r.mu.Unlock()
	if !g.Enter(done) {
		r.forget(route, g)
		return nil
	}
	return func() {
		g.Leave()
		r.forget(route, g)
	}
}

func (r *routes) forget(route dial.Route, g *routeGate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.users--; g.users == 0 {
		delete(r.gates, route)
	}
}

// crowded reports whether somebody waits.
func (r *routes) crowded() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.gates {
		if g.Crowded() {
			return true
		}
	}
	return false
}
