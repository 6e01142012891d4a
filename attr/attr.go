// Package attr attaches typed values to requests, calls and clients.
//
// A [Key] is created once, usually as a package variable, and names one kind of
// value. Its methods read and write that value in a [Bag]:
//
//	var tenant = attr.NewKey[string]("tenant")
//
//	tenant.Set(&req.Attributes, "acme")
//	name, ok := tenant.Get(&req.Attributes)
package attr

import (
	"fmt"
	"sync"
)

// Key is the name and type of one attribute. Keys compare by identity: two keys
// of the same name are two keys. A Key is safe for concurrent use.
type Key[T any] struct{ name string }

// NewKey returns a new key; name shows in debugging output only.
func NewKey[T any](name string) *Key[T] { return &Key[T]{name} }

// String returns the key's name.
func (k *Key[T]) String() string { return k.name }

// Get returns the value stored in b and whether there is one.
func (k *Key[T]) Get(b Bag) (T, bool) {
	v, ok := b.load(k)
	t, _ := v.(T) // a nil of an interface type has no dynamic type
	return t, ok
}

// Or returns the value stored in b, or fallback.
func (k *Key[T]) Or(b Bag, fallback T) T {
	if v, ok := k.Get(b); ok {
		return v
	}
	return fallback
}

// Set stores v in b in place of any earlier value.
func (k *Key[T]) Set(b Bag, v T) { b.store(k, v) }

// Delete removes the value from b.
func (k *Key[T]) Delete(b Bag) { b.remove(k) }

// Take removes the value from b and returns it.
func (k *Key[T]) Take(b Bag) (T, bool) {
	v, ok := b.take(k)
	t, _ := v.(T)
	return t, ok
}

// GetOrSet returns the value stored in b; if there is none it stores and
// returns what make returns. On a [Shared] bag the whole step is atomic, and
// make must not use the same bag.
func (k *Key[T]) GetOrSet(b Bag, make func() T) T {
	v, _ := b.loadOrStore(k, func() any { return make() }).(T)
	return v
}

// Bag is a store of attributes: [*Attributes] or [*Shared].
type Bag interface {
	load(key any) (any, bool)
	store(key, value any)
	remove(key any)
	take(key any) (any, bool)
	loadOrStore(key any, make func() any) any
}

// Attributes is a set of attributes. The zero value is empty and ready to use.
// It is a persistent list: a plain copy of the struct is an independent
// snapshot and costs nothing. It is not safe for concurrent change.
type Attributes struct{ head *node }

type node struct {
	key, value any
	next       *node
}

// Empty reports whether there are no attributes.
func (a *Attributes) Empty() bool { return a.head == nil }

// Len returns the number of attributes.
func (a *Attributes) Len() int {
	n := 0
	for e := a.head; e != nil; e = e.next {
		n++
	}
	return n
}

// Merge adds from's attributes for keys that a does not have.
func (a *Attributes) Merge(from *Attributes) {
	if a.head == nil {
		a.head = from.head
		return
	}
	for e := from.head; e != nil; e = e.next {
		if _, ok := a.load(e.key); !ok {
			a.head = &node{e.key, e.value, a.head}
		}
	}
}

// String lists the keys' names, newest first; values are left out, as they may
// be secrets.
func (a *Attributes) String() string {
	s := "["
	for e := a.head; e != nil; e = e.next {
		if e != a.head {
			s += " "
		}
		s += fmt.Sprint(e.key)
	}
	return s + "]"
}

func (a *Attributes) load(key any) (any, bool) {
	for e := a.head; e != nil; e = e.next {
		if e.key == key {
			return e.value, true
		}
	}
	return nil, false
}

func (a *Attributes) store(key, value any) {
	a.remove(key)
	a.head = &node{key, value, a.head}
}

// remove copies the nodes before the removed one, since other snapshots may
// share them.
func (a *Attributes) remove(key any) {
	if _, ok := a.load(key); !ok {
		return
	}
	a.head = without(a.head, key)
}

func (a *Attributes) take(key any) (any, bool) {
	v, ok := a.load(key)
	a.remove(key)
	return v, ok
}

func without(n *node, key any) *node {
	if n.key == key {
		return n.next
	}
	return &node{n.key, n.value, without(n.next, key)}
}

func (a *Attributes) loadOrStore(key any, make func() any) any {
	if v, ok := a.load(key); ok {
		return v
	}
	v := make()
	a.store(key, v)
	return v
}

// Shared is a set of attributes that is safe for concurrent use. The zero value
// is empty and ready to use; it must not be copied.
type Shared struct {
	mu  sync.Mutex // guards set
	set Attributes
}

// Snapshot returns a copy of the attributes as they are now.
func (s *Shared) Snapshot() Attributes {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set
}

func (s *Shared) load(key any) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set.load(key)
}

func (s *Shared) store(key, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set.store(key, value)
}

func (s *Shared) remove(key any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set.remove(key)
}

func (s *Shared) take(key any) (any, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set.take(key)
}

func (s *Shared) loadOrStore(key any, make func() any) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set.loadOrStore(key, make)
}

// Replace makes a the whole set.
func (s *Shared) Replace(a Attributes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = a
}
