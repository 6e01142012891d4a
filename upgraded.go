package godwit

import (
	"context"
	"errors"
	"io"
	"net"
)

// Detached is an upgraded connection that has outlived its call: see
// [Response.Detach]. It is safe for concurrent use.
type Detached struct {
	conn  io.Closer
	state *clientState

	// The state's mutex guards what follows.
	prev, next *Detached
	err        error         // why it ended
	done       chan struct{} // made by Done
}

// Detach ends the call of an upgraded response and leaves its connection open:
// what the call holds is released, and the connection is the receiver's. It
// remains one of the client's: Client.Cancel closes it and Client.Join waits for
// it. Upgraded is still what reads and writes it. It is an error if nothing was
// upgraded, or if the call has ended.
func (r *Response) Detach() (*Detached, error) {
	if r.Upgraded() == nil || r.call == nil {
		return nil, opError(opBuild, errors.New("Detach: the response has no raw connection"))
	}
	d := &Detached{conn: r.Upgraded(), state: r.call.client.state}
	d.state.adopt(d) // first, so that Cancel finds either of them
	if !r.base.release() {
		d.state.abandon(d, context.Canceled)
		return nil, opError(opBuild, context.Canceled)
	}
	r.Close()
	return d, nil
}

// Close closes the connection and gives it up. Closing again is harmless.
func (d *Detached) Close() error { return d.end(net.ErrClosed) }

func (d *Detached) end(why error) error {
	if !d.state.abandon(d, why) {
		return nil
	}
	return d.conn.Close()
}

// Done returns a channel that is closed when Close or Client.Cancel has ended
// it; that the peer ends the connection does not.
func (d *Detached) Done() <-chan struct{} {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		if d.err != nil {
			close(d.done)
		}
	}
	return d.done
}

// Err returns nil until Done, then net.ErrClosed after Close and
// context.Canceled after Client.Cancel.
func (d *Detached) Err() error {
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	return d.err
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
func (s *clientState) adopt(d *Detached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.next = s.streams; d.next != nil {
		d.next.prev = d
	}
	s.streams = d
}

// abandon takes a connection out and reports whether it was there.
func (s *clientState) abandon(d *Detached, why error) bool {
	s.mu.Lock()
	if d.err != nil {
		s.mu.Unlock()
		return false
	}
	if d.err = why; d.done != nil {
		close(d.done)
	}
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
