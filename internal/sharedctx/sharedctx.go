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
	// often is how many times a context has to come. A context for a handful of
	// calls is better off without.
	often = 4
	// few is how many places a table has at first, and growth times as many, up to
	// many, whenever it is too small.
	few, growth, many = 128, 8, 4096
	// ways is how many contexts a place is for. A context has one place where it can
	// be, so that it is found at once.
	ways = 3
	// patience is how many others come to a place in a row before a context that is
	// counted there makes room for one of them.
	patience = 64
	// presses is how many contexts in a row find no room before there is more of it.
	presses = 4
)

// Watcher counts how often contexts come, and keeps watching those that come
// often: until they end, one that comes oftener needs the place, or Close. It may
// be used by several goroutines.
type Watcher struct {
	seen  atomic.Uint32 // few calls are not worth the table
	table atomic.Pointer[table]

	mu      sync.Mutex // guards what follows, and making and replacing what is kept
	closed  bool
	pressed int // contexts in a row that found no room
}

type table struct {
	seed   maphash.Seed
	places []place // a power of two of them
}

func newTable(seed maphash.Seed, n int) *table { return &table{seed: seed, places: make([]place, n)} }

func (t *table) at(hash uint64) *place { return &t.places[hash&uint64(len(t.places)-1)] }

// place is where contexts are kept that come often, and one more is counted. It
// is half a line of the cache.
type place struct {
	kept [ways]atomic.Pointer[shared]
	// counted is a context's hash but for the lowest bits, which count how often it
	// has come, and how often others have since then. That a turn may be lost
	// between goroutines does no harm.
	counted atomic.Uint64
}

// The counts in place.counted.
const (
	other = 1
	turn  = 1 << 8
	tag   = ^uint64(turn<<8 - 1)
)

// of returns the context of done, if it is kept.
func (at *place) of(done <-chan struct{}) *shared {
	for i := range at.kept {
		if s := at.kept[i].Load(); s != nil && s.done == done {
			return s
		}
	}
	return nil
}

// count takes notice of a context that is not kept, and reports whether it has
// come often.
func (at *place) count(hash uint64) bool {
	c := at.counted.Load()
	switch {
	case (c^hash)&tag == 0:
		c = c&^(turn-1) + turn
	case c&^tag%turn < patience && c != 0:
		c += other
	default:
		c = hash&tag | turn
	}
	come := c &^ tag / turn
	if come >= often {
		c = 0
	}
	at.counted.Store(c)
	return come >= often
}

// keep puts s into the place, if need be for one that did not come lately, which
// it returns. It reports false if there is none. Watcher.mu is held.
func (at *place) keep(s *shared) (old *shared, ok bool) {
	i := at.room()
	if i < 0 {
		return nil, false
	}
	s.place.Store(at)
	old = at.kept[i].Swap(s)
	s.stay()
	return old, true
}

// room returns a way that is free, or whose context did not come since room was
// last called; -1 if there is none.
func (at *place) room() int {
	for i := range at.kept {
		if at.kept[i].Load() == nil {
			return i
		}
	}
	for i := range at.kept {
		if s := at.kept[i].Load(); s == nil || !s.lately.Swap(false) {
			return i
		}
	}
	return -1
}

// Of returns ctx or, if that comes often, a context that ends with it and keeps
// aborters itself. It is for [engine.OnAbort] alone: contexts that end together are
// one here, whatever values each of them has. Of a nil Watcher returns ctx.
func (w *Watcher) Of(ctx context.Context) context.Context {
	if w == nil {
		return ctx
	}
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
			w.table.CompareAndSwap(nil, newTable(maphash.MakeSeed(), few))
		}
		return ctx
	}
	hash := maphash.Comparable(t.seed, done)
	at := t.at(hash)
	if s := at.of(done); s != nil {
		if !s.lately.Load() {
			s.lately.Store(true)
		}
		return s
	}
	if !at.count(hash) {
		return ctx
	}
	return w.keep(ctx, hash)
}

// keep begins to watch ctx, if there is room.
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
	s.lately.Store(true)
	old, ok := at.keep(s)
	if !ok {
		if w.pressed++; w.pressed >= presses {
			w.pressed = 0
			w.grow()
		}
		return ctx
	}
	w.pressed = 0
	if old != nil {
		old.retire()
	}
	return s
}

// grow makes more room; mu is held.
func (w *Watcher) grow() {
	old := w.table.Load()
	n := min(len(old.places)*growth, many)
	if n == len(old.places) {
		return
	}
	t := newTable(old.seed, n)
	for i := range old.places {
		for j := range old.places[i].kept {
			if s := old.places[i].kept[j].Load(); s != nil {
				t.at(s.hash).keep(s) // more places than before: there is room
			}
		}
	}
	w.table.Store(t)
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
	done   <-chan struct{}
	lately atomic.Bool // it came since somebody looked for room

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
