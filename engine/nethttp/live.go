package nethttp

import (
	"maps"
	"net/http"
	"sync"
)

// live knows the engine's connections and running exchanges. When an engine is
// closed and its last exchange is over, it closes what is left: net/http may
// still be finishing a handshake that nobody waits for, and would keep the
// connection that comes of it.
type live struct {
	mu         sync.Mutex // guards what follows
	conns      map[*conn]struct{}
	transports map[*http.Transport]int // how many of conns each has
	running    int
	closed     bool
}

// begin and end count an exchange.
func (l *live) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running++
}

func (l *live) end() {
	l.mu.Lock()
	l.running--
	left := l.leftovers()
	l.mu.Unlock()
	closeAll(left)
}

// close is told when the engine is closed.
func (l *live) close() {
	l.mu.Lock()
	l.closed = true
	left := l.leftovers()
	l.mu.Unlock()
	closeAll(left)
}

// add takes a new connection and reports whether anybody can still want it.
func (l *live) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed && l.running == 0 {
		return false
	}
	if l.conns == nil {
		l.conns = make(map[*conn]struct{})
		l.transports = make(map[*http.Transport]int)
	}
	l.conns[c] = struct{}{}
	l.transports[c.transport]++
	return true
}

func (l *live) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.conns[c]; !ok {
		return
	}
	delete(l.conns, c)
	if l.transports[c.transport]--; l.transports[c.transport] == 0 {
		delete(l.transports, c.transport)
	}
}

// inUse returns the transports that have connections, forgotten ones too.
func (l *live) inUse() map[*http.Transport]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.transports)
}

// leftovers returns what is to be closed, upgraded connections not: they belong
// to their receivers. l.mu is held.
func (l *live) leftovers() []*conn {
	if !l.closed || l.running > 0 {
		return nil
	}
	var left []*conn
	for c := range l.conns {
		if !c.upgraded.Load() {
			left = append(left, c)
		}
	}
	return left
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.Close()
	}
}
