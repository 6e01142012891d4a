package nethttp

import (
	"slices"
	"testing"
	"testing/synctest"
)

// TestGate: who comes first goes in first, and who gives up takes no place with
// him.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		waits := 0
		g.waiting = func() { waits++ }
		if !g.enter(nil) || waits != 0 {
			t.Fatal("the first one has to wait")
		}
		var order []int
		quit := make(chan struct{})
		for i := range 4 {
			go func() {
				done := quit
				if i != 1 {
					done = nil
				}
				if g.enter(done) {
					order = append(order, i)
					g.leave()
				}
			}()
			synctest.Wait()
		}
		if !g.crowded() || waits != 4 {
			t.Errorf("crowded = %v, waits = %d", g.crowded(), waits)
		}
		close(quit)
		synctest.Wait()
		g.leave()
		synctest.Wait()
		if !slices.Equal(order, []int{0, 2, 3}) || g.crowded() {
			t.Errorf("order = %v", order)
		}
		if !g.enter(nil) {
			t.Error("a place was lost")
		}
		unbounded := newGate(0)
		for range 1000 {
			if !unbounded.enter(nil) {
				t.Fatal("an unbounded gate is closed")
			}
		}
	})
}
