package gate_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/godwit-go/godwit/internal/gate"
)

// TestOrder: who comes first goes in first, and who gives up takes no place with
// him.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waits := 0
		g := gate.New(1, func() { waits++ })
		if !g.Enter(nil) || waits != 0 {
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
				if g.Enter(done) {
					order = append(order, i)
					g.Leave()
				}
			}()
			synctest.Wait()
		}
		if !g.Crowded() || waits != 4 {
			t.Errorf("crowded = %v, waits = %d", g.Crowded(), waits)
		}
		close(quit)
		synctest.Wait()
		g.Leave()
		synctest.Wait()
		if !slices.Equal(order, []int{0, 2, 3}) || g.Crowded() {
			t.Errorf("order = %v", order)
		}
		if !g.Enter(nil) {
			t.Error("a place was lost")
		}
	})
}

// TestClose: who waits is sent away, and who comes; who is in leaves in peace.
func TestClose(t *testing.T) {
	for _, bound := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			g := gate.New(bound, nil)
			if !g.Enter(nil) {
				t.Fatal("the first one has to wait")
			}
			var refused atomic.Int32
			for range 3 * bound {
				go func() {
					if !g.Enter(nil) {
						refused.Add(1)
					}
				}()
			}
			synctest.Wait()
			g.Close()
			g.Close()
			synctest.Wait()
			if n := refused.Load(); int(n) != 3*bound || g.Crowded() {
				t.Errorf("%d were sent away, want %d", n, 3*bound)
			}
			if g.Enter(nil) {
				t.Error("it is open")
			}
			g.Leave()
			if g.Enter(nil) {
				t.Error("it is open after Leave")
			}
		})
	}
}

func TestUnbounded(t *testing.T) {
	g := gate.New(0, func() { t.Error("somebody waits") })
	for range 1000 {
		if !g.Enter(nil) {
			t.Fatal("closed")
		}
	}
	g.Leave()
	if !g.Enter(nil) {
		t.Error("closed after Leave")
	}
}

// TestTurnAndEndAtOnce: a place given to one who gives up at the same moment is
// not lost.
func TestTurnAndEndAtOnce(t *testing.T) {
	g := gate.New(1, nil)
	for range 1000 {
		if !g.Enter(nil) {
			t.Fatal("a place was lost")
		}
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if g.Enter(done) {
				g.Leave()
			}
		})
		wg.Go(func() { close(done) })
		wg.Go(g.Leave)
		wg.Wait()
	}
}

// TestBound: never more than n are in.
func TestBound(t *testing.T) {
	const n = 3
	g := gate.New(n, nil)
	var in, most atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			g.Enter(nil)
			defer g.Leave()
			now := in.Add(1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			in.Add(-1)
		})
	}
	wg.Wait()
	if most.Load() > n {
		t.Errorf("%d were in at once, want %d at most", most.Load(), n)
	}
}
