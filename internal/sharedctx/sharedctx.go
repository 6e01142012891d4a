// Package sharedctx watches a context once for all the calls that come with it.
//
// To be told of a context's end by context.AfterFunc takes three allocations and
// two turns of the context's lock and map, as much as parsing an answer. A
// worker that makes call after call with one context pays that each time. Here a
// context that comes often in a row is watched once, and calls hang themselves in
// a list that costs next to nothing (see [engine.AbortContext]).
package sharedctx

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/godwit-go/godwit/engine"
)

const (
	// often is how many times in a row a context has to come. A context for a
	// handful of calls is better off without.
	often = 8
	// places is how many contexts may be watched; each has one place where it can
	// be, so that it is found at once.
	places = 256
)

// Watcher counts how often contexts come, and keeps watching those that come
// often: until they end, one that comes oftener needs the place, or Close. It may
// be used by several goroutines.
type Watcher struct {
	seen  atomic.Uint32 // few calls are not worth the table
	table atomic.Pointer[table]

	mu     sync.Mutex // guards making and replacing what is kept
	closed bool
}

type table struct {
	seed   maphash.Seed
	places [places]place
}

// place is where a context is kept that comes often, and another is counted.
type place struct {
	kept  atomic.Pointer[shared]
	last  atomic.Uint64 // hash of the context that came last and is not kept
	times atomic.Uint32 // that it came without the one that is kept
}

// Of returns ctx or, if that comes often, a context like it that keeps aborters
// itself.
func (w *Watcher) Of(ctx context.Context) context.Context {
	if _, ok := ctx.(engine.AbortContext); ok {
		return ctx // it does so already
	}
	done := ctx.Done()
	if done == nil {
		return ctx
	}
	t := w.table.Load()
	if t == nil {
		if w.seen.Add(1) >= often {
			w.table.CompareAndSwap(nil, &table{seed: maphash.MakeSeed()})
		}
		return ctx
	}
	hash := maphash.Comparable(t.seed, done)
	at := &t.places[hash%places]
	if s := at.kept.Load(); s != nil && s.done == done {
		if at.times.Load() != 0 {
			at.times.Store(0)
		}
		return s
	}
	if at.last.Load() != hash {
		at.last.Store(hash)
		at.times.Store(0)
	}
	if at.times.Add(1) < often {
		return ctx
	}
	return w.keep(ctx, at)
}

// keep begins to watch ctx.
func (w *Watcher) keep(ctx context.Context, at *place) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || ctx.Err() != nil {
		return ctx
	}
	s := &shared{Context: ctx, place: at, done: ctx.Done()}
	if old := at.kept.Load(); old != nil {
		if old.done == s.done {
			return old // another goroutine was here
		}
		old.retire()
	}
	at.kept.Store(s)
	at.times.Store(0)
	return s
}

// Close stops watching. What Of returned before stays as good as ever.
func (w *Watcher) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if t := w.table.Load(); t != nil {
		for i := range t.places {
			if old := t.places[i].kept.Swap(nil); old != nil {
				old.retire()
			}
		}
	}
}

// shared is a context that is watched for many.
type shared struct {
	context.Context
	place *place
	done  <-chan struct{}

	mu      sync.Mutex  // guards what follows
	stop    func() bool // nil = it is not watched
	over    bool        // the context has ended
	retired bool        // few will come from now on
	used    int
	slots   []slot
	free    []uint32 // slots that are not in use
}

// slot is a place for an aborter. Its turn counts the aborters that it has had:
// so an old token fits nobody else's.
type slot struct {
	abort engine.Aborter
	turn  uint32
}

var _ engine.AbortContext = (*shared)(nil)

// AddAborter implements [engine.AbortContext].
func (s *shared) AddAborter(a engine.Aborter) uint64 {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		a.Abort(context.Cause(s.Context))
		return 0
	}
	defer s.mu.Unlock()
	if s.stop == nil {
		s.stop = context.AfterFunc(s.Context, s.end)
	}
	s.used++
	if len(s.free) == 0 {
		s.slots = append(s.slots, slot{a, 1})
		return token(len(s.slots)-1, 1)
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	at := &s.slots[i]
	at.abort = a
	at.turn++
	return token(int(i), at.turn)
}

// token is never 0, which stands for no registration.
func token(i int, turn uint32) uint64 { return uint64(turn)<<32 | uint64(i) + 1 }

// RemoveAborter implements [engine.AbortContext].
func (s *shared) RemoveAborter(token uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, turn := uint32(token)-1, uint32(token>>32)
	if s.over || token == 0 || s.slots[i].turn != turn || s.slots[i].abort == nil {
		return false
	}
	s.slots[i].abort = nil
	s.free = append(s.free, i)
	s.used--
	s.rest()
	return true
}

// retire makes it stop watching whenever nobody needs that.
func (s *shared) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	s.rest()
}

// rest stops watching if nobody needs it; mu is held.
func (s *shared) rest() {
	if s.retired && s.used == 0 && s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// end is called when the context has ended.
func (s *shared) end() {
	s.mu.Lock()
	s.over = true
	slots := s.slots
	s.slots, s.free = nil, nil
	s.mu.Unlock()
	s.place.kept.CompareAndSwap(s, nil)
	cause := context.Cause(s.Context)
	for _, at := range slots {
		if at.abort != nil {
			at.abort.Abort(cause)
		}
	}
}
