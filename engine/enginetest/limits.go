package enginetest

import (
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-go/godwit/engine"
)

func limitTests() []test {
	const need = engine.ConnectionLimits
	return []test{
		{name: "Route", needs: need, run: limitRoute},
		{name: "Total", needs: need, run: limitTotal},
		{name: "NegativeIsNone", needs: need, run: limitNegative},
		{name: "TotalEvictsIdle", needs: need, run: limitEvicts},
		{name: "WaitersAreServedInOrder", needs: need, run: limitFIFO},
		{name: "PoolTimeout", needs: need | engine.PoolTimeout, run: limitPoolTimeout},
		{name: "DeadlineWhileWaiting", needs: need | engine.RequestTimeout, run: limitDeadline},
		{name: "CancelledWaiterLosesNoSlot", needs: need, run: limitCancelled},
		{name: "SlotSurvivesFailures", needs: need, run: limitFailures},
		{name: "Concurrent", needs: engine.ConcurrencyLimit, run: limitConcurrent},
		{name: "ConcurrentPoolTimeout", needs: engine.ConcurrencyLimit | engine.PoolTimeout, run: limitConcurrentTimeout},
		{name: "ConcurrentReleasedByClose", needs: engine.ConcurrencyLimit, run: limitConcurrentClose},
	}
}

func perRoute(n int) func(*engine.Config) {
	return func(c *engine.Config) { c.MaxConnectionsPerRoute = n }
}

// waiting counts the goroutines in executeIn that wait for something other
// than the network: for a slot. What waits in the state semacquire wants to start
// the collector, which runtime.Stack keeps it from.
func waiting() int {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	n := 0
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		head, rest, _ := strings.Cut(g, "\n")
		_, state, _ := strings.Cut(head, " [")
		parked := slices.ContainsFunc([]string{"select", "chan receive", "sync.Cond.Wait", "sync.WaitGroup.Wait"},
			func(s string) bool { return strings.HasPrefix(state, s) })
		if parked && strings.Contains(rest, "(*T).executeIn(") {
			n++
		}
	}
	return n
}

// waiting counts the requests of this test that wait for a slot; those that a
// failed test before it has left do not count.
func (t *T) waiting() int { return waiting() - t.waitingBefore }

// wantWaiting waits until n requests wait for a slot.
func (t *T) wantWaiting(n int) {
	t.Helper()
	if !t.eventually(func() bool { return t.waiting() == n }) {
		t.Fatalf("%d requests wait for a slot, want %d", t.waiting(), n)
	}
}

// holding starts a server whose target "/hold" answers with a head and then
// gives the body when release is closed; any other answers "ok".
func (t *T) holding() (s *server, release chan struct{}) {
	release = make(chan struct{})
	s = t.script(func(c *conn) {
		for {
			if r := c.request(); r.Target != "/hold" {
				c.respond("ok")
				continue
			}
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			c.wait(release)
			c.write("held")
		}
	})
	return s, release
}

func limitRoute(t *T) {
	e := t.engine(perRoute(2))
	s, release := t.holding()
	a, b := t.must(e, t.request("GET", s.URL+"/hold")), t.must(e, t.request("GET", s.URL+"/hold"))
	var done []<-chan result
	for range 4 {
		done = append(done, t.startReading(e, t.request("GET", s.URL)))
	}
	t.wantWaiting(4)
	if n := s.Accepted(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	close(release)
	t.read(a)
	t.read(b)
	for _, d := range done {
		if r := within(t, "waiters", d); r.err != nil {
			t.Error(r.err)
		}
	}
	if n := s.Accepted(); n != 2 {
		t.Errorf("%d connections in all, want 2", n)
	}
}

func limitTotal(t *T) {
	e := t.engine(func(c *engine.Config) { c.MaxConnections = 2 })
	a, release := t.holding()
	b := t.respond("b")
	first, second := t.must(e, t.request("GET", a.URL+"/hold")), t.must(e, t.request("GET", a.URL+"/hold"))
	done := t.start(t.ctx, e, t.request("GET", b.URL))
	t.wantWaiting(1)
	if n := b.Accepted(); n != 0 {
		t.Errorf("a third connection was opened")
	}
	close(release)
	t.read(first)
	t.read(second)
	r := within(t, "the waiter", done)
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.read(r.resp)
}

// limitEvicts: an idle connection to one server must not lock out another.
// limitNegative: a negative bound is none.
func limitNegative(t *T) {
	e := t.engine(perRoute(-1), func(c *engine.Config) { c.MaxConnections = -1 })
	s := t.respond("ok")
	t.quick("a request without bounds", func() { t.get(e, s.URL, 200, "ok") })
}

func limitEvicts(t *T) {
	e := t.engine(func(c *engine.Config) { c.MaxConnections = 1 })
	a, b := t.respond("a"), t.respond("b")
	for range 3 {
		t.quick("a request while another server's connection is idle", func() {
			t.get(e, a.URL, 200, "a")
			t.get(e, b.URL, 200, "b")
		})
	}
	t.eventually(func() bool { return a.Open()+b.Open() <= 1 })
	if n := a.Open() + b.Open(); n > 1 {
		t.Errorf("%d connections open, want at most 1", n)
	}
}

func limitFIFO(t *T) {
	e := t.engine(perRoute(1))
	order := make(chan string, 16)
	release := make(chan struct{})
	s := t.script(func(c *conn) {
		for {
			r := c.request()
			if r.Target != "/hold" {
				order <- r.Target
				c.respond("ok")
				continue
			}
			c.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
			c.wait(release)
			c.write("held")
		}
	})
	held := t.must(e, t.request("GET", s.URL+"/hold"))
	var done []<-chan result
	const n = 8
	for i := range n {
		done = append(done, t.startReading(e, t.request("GET", s.URL+"/"+itoa(i))))
		t.wantWaiting(i + 1)
	}
	close(release)
	t.read(held)
	for i := range n {
		if got := within(t, "a waiter's request", order); got != "/"+itoa(i) {
			t.Errorf("place %d has %s", i, got)
		}
	}
	for _, d := range done {
		if r := within(t, "the waiters", d); r.err != nil {
			t.Error(r.err)
		}
	}
}

// startReading sends req in another goroutine and reads the body there too.
func (t *T) startReading(e engine.Engine, req *engine.Request) <-chan result {
	done := make(chan result, 1)
	go func() {
		resp, err := t.executeIn(t.ctx, e, req)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		done <- result{resp, err}
	}()
	return done
}

func limitPoolTimeout(t *T) {
	e := t.engine(perRoute(1), func(c *engine.Config) { c.Timeouts.Pool = long })
	s, release := t.holding()
	held := t.must(e, t.request("GET", s.URL+"/hold"))
	b := replayable("x")
	req := t.post(s.URL, b)
	req.Timeouts.Pool = short
	t.quick("a request with a pool timeout", func() {
		_, err := t.execute(e, req)
		t.wantTimeout(err, engine.KindPool)
		if oe := t.wantOp(err, engine.OpPool); oe.Sent {
			t.Error("Sent is true")
		}
	})
	b.wantClosedOnce(t)
	close(release)
	t.read(held)
	t.get(e, s.URL, 200, "ok")
}

func limitDeadline(t *T) {
	e := t.engine(perRoute(1))
	s, release := t.holding()
	held := t.must(e, t.request("GET", s.URL+"/hold"))
	req := t.request("GET", s.URL)
	req.Deadline, req.DeadlineKind = time.Now().Add(short), engine.KindRequest
	t.quick("a request with a deadline that waits for a slot", func() {
		_, err := t.execute(e, req)
		t.wantTimeout(err, engine.KindRequest)
	})
	close(release)
	t.read(held)
	t.get(e, s.URL, 200, "ok")
}

func limitCancelled(t *T) {
	e := t.engine(perRoute(1))
	for range 10 {
		s, release := t.holding()
		held := t.must(e, t.request("GET", s.URL+"/hold"))
		ctx, cancel := context.WithCancel(t.ctx)
		defer cancel()
		var gone []<-chan result
		for range 3 {
			gone = append(gone, t.start(ctx, e, t.request("GET", s.URL)))
		}
		t.wantWaiting(3)
		stays := t.start(t.ctx, e, t.request("GET", s.URL))
		t.wantWaiting(4)
		// The slot becomes free while the waiters before go away.
		go cancel()
		close(release)
		t.read(held)
		for _, d := range gone {
			if r := within(t, "a cancelled waiter", d); r.err != nil {
				t.wantIs(r.err, context.Canceled)
			} else {
				r.resp.Body.Close()
			}
		}
		r := within(t, "the waiter that stays", stays)
		if r.err != nil {
			t.Fatal(r.err)
		}
		t.read(r.resp)
		t.get(e, s.URL, 200, "ok")
	}
}

// limitFailures: with one slot, each kind of failure must give it back.
func limitFailures(t *T) {
	e := t.engine(perRoute(1), func(c *engine.Config) { c.MaxConnections = 1 })
	good := t.respond("ok")
	for name, answer := range map[string]string{
		"nothing":   "",
		"nonsense":  "nonsense\r\n\r\n",
		"truncated": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1",
		"bad chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"101":       "HTTP/1.1 101 Switching Protocols\r\n\r\n",
	} {
		s := t.raw(answer)
		t.fails(e, t.request("GET", s.URL))
		t.quick("a request after failure: "+name, func() { t.get(e, good.URL, 200, "ok") })
	}
	fail := func(name string, req *engine.Request) {
		t.fails(e, req)
		t.quick("a request after failure: "+name, func() { t.get(e, good.URL, 200, "ok") })
	}
	fail("refused", t.request("GET", "http://"+t.refusing()))
	fail("body", t.post(good.URL, reading(&pieces{err: errBroken})))
	fail("open", t.post(good.URL, &body{length: -1, open: func(context.Context) (io.Reader, error) { return nil, errBroken }}))
	s, release := t.holding()
	defer close(release)
	for range 3 {
		t.must(e, t.request("GET", s.URL+"/hold")).Body.Close()
		ctx, cancel := context.WithCancel(t.ctx)
		resp, err := t.executeIn(ctx, e, t.request("GET", s.URL+"/hold"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_, err = io.ReadAll(resp.Body)
		t.wantIs(err, context.Canceled)
		resp.Body.Close()
		t.quick("a request after a cancelled body", func() { t.get(e, good.URL, 200, "ok") })
	}
}

func limitConcurrent(t *T) {
	e := t.engine(func(c *engine.Config) { c.MaxConcurrent = 2 })
	var active, most atomic.Int32
	s := t.script(func(c *conn) {
		for {
			c.request()
			now := active.Add(1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			runtime.Gosched()
			active.Add(-1)
			c.respond("ok")
		}
	})
	var done []<-chan result
	for range 20 {
		done = append(done, t.startReading(e, t.request("GET", s.URL)))
	}
	for _, d := range done {
		if r := within(t, "concurrent requests", d); r.err != nil {
			t.Error(r.err)
		}
	}
	if n := most.Load(); n > 2 {
		t.Errorf("%d exchanges at once, want at most 2", n)
	}
}

func limitConcurrentTimeout(t *T) {
	e := t.engine(func(c *engine.Config) { c.MaxConcurrent = 1 })
	s, release := t.holding()
	other := t.respond("other")
	held := t.must(e, t.request("GET", s.URL+"/hold"))
	req := t.request("GET", other.URL)
	req.Timeouts.Pool = short
	t.quick("a request with a pool timeout", func() {
		_, err := t.execute(e, req)
		t.wantTimeout(err, engine.KindPool)
	})
	close(release)
	t.read(held)
	t.get(e, other.URL, 200, "other")
}

func limitConcurrentClose(t *T) {
	e := t.engine(func(c *engine.Config) { c.MaxConcurrent = 1 })
	s, release := t.holding()
	defer close(release)
	for range 3 {
		t.must(e, t.request("GET", s.URL+"/hold")).Body.Close()
		t.fails(e, t.request("GET", "http://"+t.refusing()))
		t.quick("a request after failures", func() { t.get(e, s.URL, 200, "ok") })
	}
}
