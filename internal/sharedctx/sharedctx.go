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
	// few is how many places a table has at first, and many once it is too small.
	// Each is for two contexts, and a context has one place where it can be, so that
	// it is found at once.
	few, many = 128, 4096
	// patience is how many contexts are pushed out of their places while one of
	// them is looked out for. If it comes back so many times as returns says, the
	// places are too few; one that is done with after a call or two does not.
	patience = 1 << 14
	returns  = 4
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
	places []place // a power of two of them

	awaited atomic.Uint64 // hash of a context that was pushed out
	came    atomic.Uint32 // how often it has come since
	pushed  atomic.Uint32 // how many were pushed out since
}

func (t *table) at(hash uint64) *place { return &t.places[hash&uint64(len(t.places)-1)] }

// crowded reports whether contexts push one another out of their places that come
// again and again. The one of hash takes the place of the one of pushed.
func (t *table) crowded(hash, pushed uint64) bool {
	if len(t.places) == many {
		return false
	}
	if t.awaited.Load() == hash {
		return t.came.Add(1) >= returns
	}
	if t.pushed.Add(1)%patience == 1 {
		t.awaited.Store(pushed)
		t.came.Store(0)
	}
	return false
}

// place is where two contexts are kept that come often, and another is counted.
type place struct {
	kept  [2]atomic.Pointer[shared]
	last  atomic.Uint64 // hash of the context that came last and is not kept
	times atomic.Uint32 // that it came without those that are kept
}

// of returns the context of done, if it is kept.
func (at *place) of(done <-chan struct{}) *shared {
	for i := range at.kept {
		if s := at.kept[i].Load(); s != nil && s.done == done {
			return s
		}
	}
	return nil
}

// keep puts s into the place, if need be for the one that has been there longer,
// which it returns. Watcher.mu is held.
func (at *place) keep(s *shared) (old *shared) {
	s.place.Store(at)
	switch {
	case at.kept[0].Load() == nil:
		at.kept[0].Store(s)
	case at.kept[1].Load() == nil:
		at.kept[1].Store(s)
	default:
		old = at.kept[0].Load()
		younger := at.kept[1].Load()
		at.kept[0].Store(younger)
		at.kept[1].Store(s)
		younger.stay()
	}
	s.stay()
	return old
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
			w.table.CompareAndSwap(nil, &table{seed: maphash.MakeSeed(), places: make([]place, few)})
		}
		return ctx
	}
	hash := maphash.Comparable(t.seed, done)
	at := t.at(hash)
	if s := at.of(done); s != nil {
		if at.times.Load() != 0 {
			at.times.Store(0)
		}
		return s
	}
	if last := at.last.Load(); last != hash {
		at.last.Store(hash)
		at.times.Store(0)
		if t.crowded(hash, last) {
			w.grow()
		}
	}
	if at.times.Add(1) < often {
		return ctx
	}
	return w.keep(ctx, hash)
}

// grow makes room for many contexts.
func (w *Watcher) grow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.table.Load()
	if w.closed || len(old.places) == many {
		return
	}
	t := &table{seed: old.seed, places: make([]place, many)}
	for i := range old.places {
		for j := range old.places[i].kept {
			if s := old.places[i].kept[j].Load(); s != nil {
				t.at(s.hash).keep(s)
			}
		}
	}
	w.table.Store(t)
}

// keep begins to watch ctx.
func (w *Watcher) keep(ctx context.Context, hash uint64) context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || ctx.Err() != nil {
		return ctx
	}
	at := w.table.Load().at(hash)
	if s := at.of(ctx.Done()); s != nil {
		return s // another goroutine was here
	}
	s := &shared{Context: ctx, hash: hash, done: ctx.Done()}
	if old := at.keep(s); old != nil {
		old.retire()
	}
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
			for j := range t.places[i].kept {
				if old := t.places[i].kept[j].Swap(nil); old != nil {
					old.retire()
				}
			}
		}
	}
}

// shared is a context that is watched for many. With a thousand of them, each
// line of the cache that a call touches is one to wait for, so the fields that a
// call needs stand together: most contexts have one call at a time.
type shared struct {
	done <-chan struct{}

	mu      sync.Mutex // guards what follows, to more
	over    bool       // the context has ended
	retired bool       // few will come from now on
	used    int
	first   slot
	stop    func() bool // nil = it is not watched
	more    *slots      // for calls beside the first

	context.Context
	hash  uint64
	place atomic.Pointer[place]
}

// slot is a place for an aborter. Its turn counts the aborters that it has had:
// so an old token fits nobody else's.
type slot struct {
	abort engine.Aborter
	turn  uint32
}

// slots are places for aborters, and which of them are not in use.
type slots struct {
	all  []slot
	free []uint32
}

var _ engine.AbortContext = (*shared)(nil)

// stay gives up the place that it has just got, if it has ended: end may have
// looked for it where it was before.
func (s *shared) stay() {
	if s.Err() != nil {
		s.leave()
	}
}

func (s *shared) leave() {
	at := s.place.Load()
	for i := range at.kept {
		at.kept[i].CompareAndSwap(s, nil)
	}
}

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
	if s.first.abort == nil {
		return s.first.take(a, 0)
	}
	if s.more == nil {
		s.more = new(slots)
	}
	return s.more.take(a)
}

// take registers a in slot i and returns the token.
func (at *slot) take(a engine.Aborter, i int) uint64 {
	at.abort = a
	at.turn++
	return token(i, at.turn)
}

func (s *slots) take(a engine.Aborter) uint64 {
	if len(s.free) == 0 {
		s.all = append(s.all, slot{})
		return s.all[len(s.all)-1].take(a, len(s.all))
	}
	i := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return s.all[i].take(a, int(i)+1)
}

// token is never 0, which stands for no registration.
func token(i int, turn uint32) uint64 { return uint64(turn)<<32 | uint64(i) + 1 }

// RemoveAborter implements [engine.AbortContext].
func (s *shared) RemoveAborter(token uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, turn := uint32(token)-1, uint32(token>>32)
	if s.over || token == 0 {
		return false
	}
	at := &s.first
	if i > 0 {
		at = &s.more.all[i-1]
	}
	if at.turn != turn || at.abort == nil {
		return false
	}
	at.abort = nil
	if i > 0 {
		s.more.free = append(s.more.free, i-1)
	}
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
	aborters := []slot{s.first}
	if s.more != nil {
		aborters = append(aborters, s.more.all...)
	}
	s.first, s.more = slot{}, nil
	s.mu.Unlock()
	s.leave()
	cause := context.Cause(s.Context)
	for _, at := range aborters {
		if at.abort != nil {
			at.abort.Abort(cause)
		}
	}
}
