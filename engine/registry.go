package engine

import (
	"fmt"
	"slices"
	"sync"
)

var registry struct {
	mu        sync.Mutex // guards factories
	factories []Factory  // sorted by name
}

// Register makes a factory available to clients that name no engine: they take
// the first in alphabetical order of the names. The packages
// engine/<name>/register call it when they are imported; importing an engine
// itself registers nothing. A second registration of a name panics, which is a
// programmer's error. It is safe for concurrent use.
func Register(f Factory) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	i, found := slices.BinarySearchFunc(registry.factories, f.Name(), func(f Factory, name string) int {
		switch {
		case f.Name() < name:
			return -1
		case f.Name() > name:
			return 1
		}
		return 0
	})
	if found {
		panic(fmt.Sprintf("engine.Register: %q is registered already", f.Name()))
	}
	registry.factories = slices.Insert(registry.factories, i, f)
}

// Unregister takes a registration back and reports whether there was one.
func Unregister(name string) bool {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	before := len(registry.factories)
	registry.factories = slices.DeleteFunc(registry.factories, func(f Factory) bool { return f.Name() == name })
	return len(registry.factories) < before
}

// Registered returns the registered factories in alphabetical order.
func Registered() []Factory {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	return slices.Clone(registry.factories)
}
