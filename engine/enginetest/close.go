package enginetest

import (
	"errors"

	"github.com/godwit-go/godwit/engine"
)

func closeTests() []test {
	return []test{
		{name: "IdleConnectionsAtOnce", run: closeIdle},
		{name: "RunningExchangeFinishes", run: closeRunning},
		{name: "BeforeTheHead", run: closeBeforeHead},
		{name: "NewRequestsAreRefused", run: closeRefuses},
		{name: "WaitersAreRefused", needs: engine.ConnectionLimits, run: closeWaiters},
		{name: "WaitersForTheirTurnAreRefused", needs: engine.ConcurrencyLimit, run: closeAtTheGate},
		{name: "Twice", run: closeTwice},
		{name: "ManyEngines", run: closeMany},
	}
}

func closeIdle(t *T) {
	e := t.engine()
	s := t.respond("ok")
	t.get(e, s.URL, 200, "ok")
	s.WaitOpen(t, 1)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	s.WaitClosed(t)
}

func closeRunning(t *T) {
	e := t.engine()
	s, release := t.holding()
	resp := t.must(e, t.request("GET", s.URL+"/hold"))
	t.quick("Close while an exchange runs", func() { e.Close() })
	if n := s.Open(); n != 1 {
		t.Errorf("%d connections open, want 1", n)
	}
	close(release)
	if got := t.read(resp); got != "held" {
		t.Errorf("body %q", got)
	}
	s.WaitClosed(t)
}

func closeBeforeHead(t *T) {
	e := t.engine()
	asked, release := make(chan struct{}), make(chan struct{})
	s := t.script(func(c *conn) {
		c.request()
		close(asked)
		c.wait(release)
		c.respond("late")
	})
	done := t.start(t.ctx, e, t.request("GET", s.URL))
	within(t, "the request", asked)
	e.Close()
	close(release)
	r := within(t, "the running request", done)
	if r.err != nil {
		t.Fatalf("the running request fails: %v", r.err)
	}
	if got := t.read(r.resp); got != "late" {
		t.Errorf("body %q", got)
	}
	s.WaitClosed(t)
}

func closeRefuses(t *T) {
	e := t.engine()
	s := t.respond("ok")
	t.get(e, s.URL, 200, "ok")
	e.Close()
	b := replayable("x")
	_, err := t.execute(e, t.post(s.URL, b))
	t.wantIs(err, engine.ErrClosed)
	b.wantClosedOnce(t)
	if n := s.Accepted(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// closeWaiters: who waits for a slot when the engine is closed either fails
// with ErrClosed or is served; nobody hangs.
func closeWaiters(t *T) {
	e := t.engine(perRoute(1))
	s, release, held, done := t.waitingBehind(e)
	e.Close()
	close(release)
	t.read(held)
	for _, d := range done {
		if r := within(t, "a waiter after Close", d); r.err != nil && !errors.Is(r.err, engine.ErrClosed) {
			t.Errorf("waiter: %v, want engine.ErrClosed", r.err)
		}
	}
	s.WaitClosed(t)
}

// waitingBehind has three requests wait for the end of one that is held.
func (t *T) waitingBehind(e engine.Engine) (s *server, release chan struct{}, held *engine.Response, done []<-chan result) {
	s, release = t.holding()
	held = t.must(e, t.request("GET", s.URL+"/hold"))
	for range 3 {
		done = append(done, t.startReading(e, t.request("GET", s.URL)))
	}
	t.wantWaiting(3)
	return s, release, held, done
}

// closeAtTheGate: who waits because of MaxConcurrent is refused at once, and does not
// wait for those who run.
func closeAtTheGate(t *T) {
	e := t.engine(func(c *engine.Config) { c.MaxConcurrent = 1 })
	s, release, held, done := t.waitingBehind(e)
	e.Close()
	for _, d := range done {
		if r := within(t, "a waiter after Close", d); !errors.Is(r.err, engine.ErrClosed) {
			t.Errorf("waiter: %v, want engine.ErrClosed", r.err)
		}
	}
	close(release)
	t.read(held)
	s.WaitClosed(t)
}

func closeTwice(t *T) {
	e := t.engine()
	for range 3 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func closeMany(t *T) {
	s := t.respond("ok")
	for range 100 {
		e := t.engine()
		t.get(e, s.URL, 200, "ok")
		e.Close()
	}
	s.WaitClosed(t)
	if n := s.Accepted(); n != 100 {
		t.Errorf("%d connections for 100 engines", n)
	}
}
