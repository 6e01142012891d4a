package godwit

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/godwit-go/godwit/attr"
	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/sharedctx"
)

// Default is the client that a nil *Client stands for: the one to set in main
// before the first call, if the one made by New() on first use does not do. It
// is never closed by this package.
var Default *Client

// fallback is the client made on first use when Default is not set.
var fallback struct {
	once   sync.Once
	client *Client
}

func (c *Client) or() *Client {
	if c != nil && c.config != nil {
		return c
	}
	if Default != nil {
		return Default
	}
	fallback.once.Do(func() { fallback.client = New() })
	return fallback.client
}

// family is what siblings share: the engine and the plugins' resources. It ends
// with its last member.
type family struct {
	engine engine.Engine
	owned  bool

	mu      sync.Mutex // guards what follows
	members int
	closers []io.Closer
}

func newFamily(e engine.Engine, owned bool) *family {
	return &family{engine: e, owned: owned, members: 1}
}

// join adds a member, unless the last one has left.
func (f *family) join() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.members == 0 {
		return false
	}
	f.members++
	return true
}

// closeWith closes x with the family, once however many siblings install it.
func (f *family) closeWith(x io.Closer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, have := range f.closers {
		if same(have, x) {
			return
		}
	}
	f.closers = append(f.closers, x)
}

// same compares closers whose dynamic type may not be comparable.
func same(a, b io.Closer) (equal bool) {
	defer func() { _ = recover() }()
	return a == b
}

func (f *family) leave() error {
	f.mu.Lock()
	f.members--
	last := f.members == 0
	closers := f.closers
	f.mu.Unlock()
	if !last {
		return nil
	}
	var errs []error
	for _, x := range closers {
		errs = append(errs, x.Close())
	}
	if f.owned && f.engine != nil {
		errs = append(errs, f.engine.Close())
	}
	return errors.Join(errs...)
}

// clientState is the part of a client that changes: its running calls. It does
// not refer to the client, so that a forgotten client can be cleaned up.
type clientState struct {
	family   *family
	contexts sharedctx.Watcher // of the callers
	bound    []context.Context // each closes the client when it ends

	mu      sync.Mutex // guards what follows, and the links of calls
	calls   *Call      // doubly linked list of running calls
	streams *Detached  // the same of upgraded connections without a call
	closed  bool
	left    bool
	closing chan struct{} // made by Closing, closed with the client
	idle    chan struct{} // made by Join, closed when no call runs
	release []func()
}

// begin registers a call. One that is part of another, as forks are, may start
// while its client closes, as long as calls still run.
func (s *clientState) begin(c *Call, part bool) error {
	for _, ctx := range s.bound {
		if ctx.Err() != nil && !part { // close is on its way
			return ErrClientClosed
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && (!part || s.left) {
		return ErrClientClosed
	}
	c.next = s.calls
	if s.calls != nil {
		s.calls.prev = c
	}
	s.calls = c
	return nil
}

// end removes a call.
func (s *clientState) end(c *Call) {
	s.mu.Lock()
	if c.prev != nil {
		c.prev.next = c.next
	} else if s.calls == c {
		s.calls = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	leave, idle := s.ended()
	s.mu.Unlock()
	s.tell(leave, idle)
}

// ended is called when something has ended, for what follows; s.mu is held.
func (s *clientState) ended() (leave bool, idle chan struct{}) {
	leave = s.leaving()
	if s.calls == nil && s.streams == nil {
		idle, s.idle = s.idle, nil
	}
	return leave, idle
}

// tell does what follows, without s.mu.
func (s *clientState) tell(leave bool, idle chan struct{}) {
	if leave {
		s.leave()
	}
	if idle != nil {
		close(idle)
	}
}

// leaving reports, once, that the client is closed and its last call has ended;
// s.mu is held.
func (s *clientState) leaving() bool {
	if !s.closed || s.calls != nil || s.streams != nil || s.left {
		return false
	}
	s.left = true
	return true
}

func (s *clientState) leave() error {
	err := s.family.leave()
	s.mu.Lock()
	release := s.release
	s.release = nil
	s.mu.Unlock()
	for _, f := range release {
		f()
	}
	return err
}

// running returns a channel that is closed when no call runs any more; nil if
// none does now.
func (s *clientState) running() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil && s.streams == nil {
		return nil
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	return s.idle
}

func (s *clientState) onRelease(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release = append(s.release, f)
}

func (s *clientState) close() error {
	s.mu.Lock()
	if !s.closed && s.closing != nil {
		close(s.closing)
	}
	s.closed = true
	leave := s.leaving()
	s.mu.Unlock()
	s.contexts.Close()
	if leave {
		return s.leave()
	}
	return nil
}

// cancel aborts the running calls.
func (s *clientState) cancel() {
	s.mu.Lock()
	var running []*Call
	for c := s.calls; c != nil; c = c.next {
		running = append(running, c)
	}
	var streams []*Detached
	for d := s.streams; d != nil; d = d.next {
		streams = append(streams, d)
	}
	s.mu.Unlock()
	for _, d := range streams {
		d.end(context.Canceled)
	}
	for _, c := range running {
		c.Cancel()
	}
	for _, c := range running { // when all know why: forks share a body with their call
		c.abandon()
	}
}

// abandon closes the body of a call whose caller may never come back to it, so
// that Cancel leaves nothing running.
func (c *Call) abandon() {
	if c.mode != buffered {
		c.closeOpen()
	}
}

// Close refuses new calls from now on and returns at once; running calls finish,
// and may still make calls of their own: those by the same client whose context
// comes from the running one's, as in an interceptor or when a token is renewed.
// When the last one has, plugins are closed, and the engine if the client made
// it and no sibling needs it. Closing twice is harmless. Close never waits: see
// [Client.Join] and [Client.Cancel].
func (c *Client) Close() error {
	c = c.or()
	c.cleanup.Stop()
	return c.state.close()
}

// Closing returns a channel that is closed by [Client.Close]: for what waits
// between two calls, and would wait for a call that is refused.
func (c *Client) Closing() <-chan struct{} {
	s := c.or().state
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing == nil {
		s.closing = make(chan struct{})
		if s.closed {
			close(s.closing)
		}
	}
	return s.closing
}

// Attributes returns the attributes that the client gives to each request.
func (c *Client) Attributes() attr.Attributes { return c.or().config.defaults.Attributes }

// Join waits until no call of the client runs, or until ctx ends, whose error it
// returns. Usually [Client.Close] comes first, so that none can start.
func (c *Client) Join(ctx context.Context) error {
	idle := c.or().state.running()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Cancel aborts the client's running calls, those of siblings not; they return
// context.Canceled. New calls are still possible unless the client is closed.
func (c *Client) Cancel() { c.or().state.cancel() }
