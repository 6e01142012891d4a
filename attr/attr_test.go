package attr_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/godwit-go/godwit/attr"
)

func ExampleKey() {
	tenant := attr.NewKey[string]("tenant")
	var bag attr.Attributes
	tenant.Set(&bag, "acme")
	name, ok := tenant.Get(&bag)
	fmt.Println(name, ok, bag.String())
	// Output: acme true [tenant]
}

// bags runs a test on both kinds of bag.
func bags(t *testing.T, f func(t *testing.T, b attr.Bag)) {
	t.Run("Attributes", func(t *testing.T) { f(t, &attr.Attributes{}) })
	t.Run("Shared", func(t *testing.T) { f(t, &attr.Shared{}) })
}

func TestKey(t *testing.T) {
	bags(t, func(t *testing.T, b attr.Bag) {
		number, text := attr.NewKey[int]("n"), attr.NewKey[string]("s")
		if v, ok := number.Get(b); v != 0 || ok {
			t.Errorf("Get of none: %v, %v", v, ok)
		}
		if v := number.Or(b, 7); v != 7 {
			t.Errorf("Or of none: %v", v)
		}
		if v, ok := number.Take(b); v != 0 || ok {
			t.Errorf("Take of none: %v, %v", v, ok)
		}
		number.Delete(b)
		number.Set(b, 1)
		text.Set(b, "x")
		number.Set(b, 0)
		if v, ok := number.Get(b); v != 0 || !ok {
			t.Errorf("Get of a zero value: %v, %v", v, ok)
		}
		if v := number.Or(b, 7); v != 0 {
			t.Errorf("Or of a zero value: %v", v)
		}
		if v, ok := text.Take(b); v != "x" || !ok {
			t.Errorf("Take: %v, %v", v, ok)
		}
		if _, ok := text.Get(b); ok {
			t.Error("Take left the value")
		}
		number.Delete(b)
		if _, ok := number.Get(b); ok {
			t.Error("Delete left the value")
		}
		if number.String() != "n" {
			t.Errorf("String: %q", number)
		}
	})
}

func TestKeysOfOneNameDiffer(t *testing.T) {
	bags(t, func(t *testing.T, b attr.Bag) {
		one, two := attr.NewKey[int]("x"), attr.NewKey[int]("x")
		one.Set(b, 1)
		if v, ok := two.Get(b); ok {
			t.Errorf("the other key reads %v", v)
		}
	})
}

func TestGetOrSet(t *testing.T) {
	bags(t, func(t *testing.T, b attr.Bag) {
		key := attr.NewKey[int]("x")
		made := 0
		next := func() int { made++; return made }
		if first, second := key.GetOrSet(b, next), key.GetOrSet(b, next); first != 1 || second != 1 || made != 1 {
			t.Errorf("%d, %d, made %d", first, second, made)
		}
	})
}

func TestCopyIsASnapshot(t *testing.T) {
	a, b, c := attr.NewKey[int]("a"), attr.NewKey[int]("b"), attr.NewKey[int]("c")
	var first attr.Attributes
	a.Set(&first, 1)
	b.Set(&first, 1)
	c.Set(&first, 1)
	second := first
	a.Set(&second, 2)
	b.Delete(&second)
	c.Set(&first, 3)
	if a.Or(&first, 0) != 1 || b.Or(&first, 0) != 1 || c.Or(&first, 0) != 3 || first.Len() != 3 {
		t.Errorf("the original changed: %v", &first)
	}
	if a.Or(&second, 0) != 2 || b.Or(&second, 0) != 0 || c.Or(&second, 0) != 1 || second.Len() != 2 {
		t.Errorf("the copy: %v", &second)
	}
}

func TestMerge(t *testing.T) {
	a, b, c := attr.NewKey[int]("a"), attr.NewKey[int]("b"), attr.NewKey[int]("c")
	var into, from, empty attr.Attributes
	a.Set(&into, 1)
	b.Set(&into, 1)
	b.Set(&from, 2)
	c.Set(&from, 2)
	into.Merge(&from)
	if a.Or(&into, 0) != 1 || b.Or(&into, 0) != 1 || c.Or(&into, 0) != 2 || into.Len() != 3 {
		t.Errorf("merged: %v", &into)
	}
	if from.Len() != 2 || b.Or(&from, 0) != 2 {
		t.Errorf("Merge changed its argument: %v", &from)
	}
	into.Merge(&empty)
	if into.Len() != 3 {
		t.Errorf("merged with nothing: %v", &into)
	}
	empty.Merge(&from)
	b.Set(&empty, 5)
	if b.Or(&from, 0) != 2 || b.Or(&empty, 0) != 5 || empty.Len() != 2 {
		t.Errorf("merged into nothing: %v, %v", &empty, &from)
	}
}

func TestStringHidesValues(t *testing.T) {
	var b attr.Attributes
	if b.String() != "[]" {
		t.Errorf("empty: %s", &b)
	}
	attr.NewKey[string]("user").Set(&b, "ada")
	attr.NewKey[string]("password").Set(&b, "secret")
	if got := b.String(); got != "[password user]" {
		t.Errorf("got %s", got)
	}
}

func TestSharedConcurrently(t *testing.T) {
	var b attr.Shared
	once, own := attr.NewKey[*int]("once"), attr.NewKey[int]("own")
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	seen := map[*int]bool{}
	for i := range 32 {
		wg.Go(func() {
			p := once.GetOrSet(&b, func() *int { made++; return new(int) })
			own.Set(&b, i)
			own.Or(&b, 0)
			snap := b.Snapshot()
			if got, ok := once.Get(&snap); !ok || got != p {
				t.Errorf("snapshot has %p, %v, want %p", got, ok, p)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[p] = true
		})
	}
	wg.Wait()
	if made != 1 || len(seen) != 1 {
		t.Errorf("made %d times, %d values seen", made, len(seen))
	}
	snap := b.Snapshot()
	own.Delete(&b)
	if _, ok := own.Get(&snap); !ok {
		t.Error("a snapshot changed")
	}
}

func TestNoAllocationsToRead(t *testing.T) {
	key := attr.NewKey[int]("x")
	var b attr.Attributes
	key.Set(&b, 1)
	if n := testing.AllocsPerRun(100, func() {
		if v, ok := key.Get(&b); v != 1 || !ok {
			t.Error("lost")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReplace(t *testing.T) {
	a, b := attr.NewKey[int]("a"), attr.NewKey[int]("b")
	var shared attr.Shared
	a.Set(&shared, 1)
	var set attr.Attributes
	b.Set(&set, 2)
	shared.Replace(set)
	if _, ok := a.Get(&shared); ok || b.Or(&shared, 0) != 2 {
		t.Errorf("after Replace: %v", shared.Snapshot())
	}
	b.Set(&shared, 3)
	if b.Or(&set, 0) != 2 {
		t.Error("a change went through to what was given to Replace")
	}
}
