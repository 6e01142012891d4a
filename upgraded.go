package godwit

import (
	"context"
	"errors"
	"io"
)

// Detach ends the call of an upgraded response and leaves its connection open:
// what the call holds is released, and the connection is the receiver's. It
// remains one of the client's: Client.Cancel closes it and Client.Join waits for
// it. Closing what Detach returns closes the connection; Upgraded is still what
// reads and writes it. It is an error if nothing was upgraded, or if the call
// has ended.
func (r *Response) Detach() (io.Closer, error) {
	if r.upgraded == nil || r.call == nil {
		return nil, opError(opBuild, errors.New("Detach: the response has no raw connection"))
	}
	d := &detached{conn: r.upgraded, state: r.call.client.state}
	d.state.adopt(d) // first, so that Cancel finds either of them
	if !r.base.release() {
		d.state.abandon(d)
		return nil, opError(opBuild, context.Canceled)
	}
	r.Close()
	return d, nil
}

// detached is an upgraded connection without its call.
type detached struct {
	conn       io.Closer
	state      *clientState
	prev, next *detached // guarded by the state's mutex
	ended      bool      // as well
}

// Close closes the connection, once.
func (d *detached) Close() error {
	if !d.state.abandon(d) {
		return nil
	}
	return d.conn.Close()
}

// release lets the end of the body leave the upgraded connection open; false
// means that it has ended already.
func (b *baseBody) release() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fired || b.closed.Load() {
		return false
	}
	b.released = true
	return true
}

// adopt registers a connection whose call is about to end.
func (s *clientState) adopt(d *detached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.next = s.streams; d.next != nil {
		d.next.prev = d
	}
	s.streams = d
}

// abandon takes a connection out and reports whether it was there.
func (s *clientState) abandon(d *detached) bool {
	s.mu.Lock()
	if d.ended {
		s.mu.Unlock()
		return false
	}
	d.ended = true
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		s.streams = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
	leave, idle := s.ended()
	s.mu.Unlock()
	s.tell(leave, idle)
	return true
}
