package leakcheck

import (
	"fmt"
	"net"
	"sync"
	"testing"
)

// Listener counts the connections that a server has accepted and not yet
// closed. It is safe for concurrent use. A server closes a connection when its
// peer does, so what stays open after a client is done is what the client left.
type Listener struct {
	net.Listener

	mu       sync.Mutex // guards what follows
	accepted int
	open     map[*conn]struct{}
}

// Listen wraps l.
func Listen(l net.Listener) *Listener {
	return &Listener{Listener: l, open: make(map[*conn]struct{})}
}

// Accept waits for the next connection and counts it.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	counted := &conn{Conn: c, listener: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted++
	l.open[counted] = struct{}{}
	return counted, nil
}

// Accepted returns the number of connections accepted so far.
func (l *Listener) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// Open returns the number of connections that the server has not closed.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// WaitOpen waits until exactly n connections are open and fails t if that
// takes too long.
func (l *Listener) WaitOpen(t testing.TB, n int) {
	t.Helper()
	left := poll(func() []string {
		if open := l.Open(); open != n {
			return []string{fmt.Sprintf("%d connections open, want %d", open, n)}
		}
		return nil
	})
	for _, complaint := range left {
		t.Errorf("leakcheck: %v: %s", l.Addr(), complaint)
	}
}

// WaitClosed waits until no connection is open and fails t if that takes too
// long.
func (l *Listener) WaitClosed(t testing.TB) {
	t.Helper()
	l.WaitOpen(t, 0)
}

// CloseConns closes the connections that are still open, and returns how many
// there were.
func (l *Listener) CloseConns() int {
	l.mu.Lock()
	var open []*conn
	for c := range l.open {
		open = append(open, c)
	}
	l.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	return len(open)
}

type conn struct {
	net.Conn
	listener *Listener
}

// Close closes the connection and takes it out of the count.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// Unwrap returns the connection under c if a Listener counts it, else c.
func Unwrap(c net.Conn) net.Conn {
	if counted, ok := c.(*conn); ok {
		return counted.Conn
	}
	return c
}
