package pool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/internal/dial"
	"github.com/godwit-go/godwit/internal/h2"
	"github.com/godwit-go/godwit/internal/h2/pool"
)

// origin makes connections in memory.
type origin struct {
	t       *testing.T
	streams uint32 // that a connection takes
	once    sync.Once
	mu      sync.Mutex // guards what follows
	dials   int
	fail    error         // of dials from now on
	settled chan struct{} // closed when the first connection's client has dealt with SETTINGS
	servers []*http2.Framer
	ends    []net.Conn
}

func (o *origin) dial() (*dial.Conn, any, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dials++
	if o.fail != nil {
		return nil, nil, o.fail
	}
	near, far := net.Pipe()
	f := http2.NewFramer(far, far)
	o.servers, o.ends = append(o.servers, f), append(o.ends, far)
	go func() {
		f.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: o.streams})
		io.Copy(io.Discard, far)
	}()
	return &dial.Conn{Conn: &watched{Conn: near, o: o}, Info: &engine.Conn{}}, len(o.servers), nil
}

// watched is the client's side of a connection.
type watched struct {
	net.Conn
	o     *origin
	reads int
}

// Read is called again when what came first was dealt with.
func (w *watched) Read(p []byte) (int, error) {
	if w.reads++; w.reads == 2 {
		w.o.once.Do(func() { close(w.o.settled) })
	}
	return w.Conn.Read(p)
}

func (o *origin) failing(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = err
}

func (o *origin) wantDials(want int) {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dials != want {
		o.t.Errorf("%d dials, want %d", o.dials, want)
	}
}

func (o *origin) want() *pool.Want {
	return &pool.Want{Dial: o.dial, Limit: func(bool, time.Duration) (time.Time, error) { return time.Time{}, nil }}
}

var (
	here = dial.Route{Addr: "a.example:443"}
	away = dial.Route{Addr: "b.example:443"}
)

// inBubble runs a test with a pool of its own, in a bubble.
func inBubble(t *testing.T, streams uint32, config pool.Config, run func(t *testing.T, p *pool.Pool, o *origin)) {
	synctest.Test(t, func(t *testing.T) {
		config.MaxConnections, config.MaxPerRoute = max(config.MaxConnections, 10), max(config.MaxPerRoute, 10)
		config.Conn.StreamWindow, config.Conn.MaxHeaderBytes = 1<<16, 1<<16
		p, o := pool.New(config), &origin{t: t, streams: streams, settled: make(chan struct{})}
		run(t, p, o)
		p.CloseIdle(true)
		for _, c := range o.ends {
			c.Close()
		}
		synctest.Wait()
		if s := p.Stats(); s.Open != 0 || s.Waiting != 0 || len(s.Routes) != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

func get(t *testing.T, p *pool.Pool, key dial.Route, o *origin) pool.Got {
	t.Helper()
	got, err := p.Get(t.Context(), key, o.want())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // the server's settings are there
	return got
}

var errDown = errors.New("down")

// TestFailedDial: while there is a connection a further one that cannot be made
// fails nobody, and is tried again after a pause.
func TestFailedDial(t *testing.T) {
	inBubble(t, 2, pool.Config{}, func(t *testing.T, p *pool.Pool, o *origin) {
		held := []pool.Got{get(t, p, here, o), get(t, p, here, o)}
		o.failing(errDown)
		var served atomic.Int32
		for range 4 {
			go func() {
				got, err := p.Get(t.Context(), here, o.want())
				if err != nil {
					t.Error(err)
					return
				}
				served.Add(1)
				<-t.Context().Done()
				got.Unreserve()
			}()
		}
		wantServed := func(want int32) {
			t.Helper()
			synctest.Wait()
			if n := served.Load(); n != want {
				t.Errorf("%d served, want %d", n, want)
			}
		}
		wantServed(0)
		o.wantDials(2)
		held[0].Unreserve()
		wantServed(1)
		o.wantDials(2) // no further one before the pause is over
		time.Sleep(100 * time.Millisecond)
		wantServed(1)
		o.wantDials(3)
		time.Sleep(100 * time.Millisecond)
		wantServed(1)
		o.wantDials(3) // the second pause is longer
		o.failing(nil)
		time.Sleep(100 * time.Millisecond)
		wantServed(4)
		o.wantDials(5)
		held[1].Unreserve()
	})
}

// TestFailedDialFails: all who wait, where there is no connection; and those that
// do not speak HTTP/2 are told at once, connection or not.
func TestFailedDialFails(t *testing.T) {
	for _, tc := range []struct {
		name string
		have bool // a connection, without room
		err  error
	}{
		{"nothing there", false, errDown},
		{"another protocol", false, pool.ErrElsewhere},
		{"another protocol now", true, pool.ErrElsewhere},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, 1, pool.Config{}, func(t *testing.T, p *pool.Pool, o *origin) {
				if tc.have {
					defer get(t, p, here, o).Unreserve()
				}
				release := make(chan struct{})
				w := o.want()
				w.Dial = func() (*dial.Conn, any, error) {
					<-release
					return nil, nil, tc.err
				}
				var failed atomic.Int32
				for range 5 {
					go func() {
						if _, err := p.Get(t.Context(), here, w); err == tc.err {
							failed.Add(1)
						}
					}()
				}
				synctest.Wait()
				close(release)
				synctest.Wait()
				if n := failed.Load(); n != 5 {
					t.Errorf("%d of 5 got the error", n)
				}
			})
		})
	}
}

// TestOwnLimit: a dial that ended because of the one request fails that alone.
func TestOwnLimit(t *testing.T) {
	inBubble(t, 1, pool.Config{}, func(t *testing.T, p *pool.Pool, o *origin) {
		defer get(t, p, here, o).Unreserve()
		ctx, cancel := context.WithCancel(t.Context())
		w := o.want()
		w.Dial = func() (*dial.Conn, any, error) { cancel(); return nil, nil, context.Canceled }
		if _, err := p.Get(ctx, here, w); err != context.Canceled {
			t.Errorf("error %v", err)
		}
		get(t, p, here, o).Unreserve() // there is no pause
		o.wantDials(2)
	})
}

// TestShut: while a server takes no streams nobody makes further connections to
// it, and no request fails; quick tells that it says so before the first one.
func TestShut(t *testing.T) {
	for _, quick := range []bool{false, true} {
		t.Run(map[bool]string{true: "at once", false: "later"}[quick], func(t *testing.T) {
			var o *origin
			var begun atomic.Bool
			var reserved chan struct{} // closed when the settings may be read
			config := pool.Config{Conn: h2.Config{Go: func(f func()) {
				reader := !begun.Swap(true) // before it starts something itself
				go func() {
					if reader {
						<-reserved
					}
					f()
				}()
				if quick && reader {
					<-o.settled
				}
			}}}
			inBubble(t, 0, config, func(t *testing.T, p *pool.Pool, its *origin) {
				o, reserved = its, make(chan struct{})
				if !quick { // the first stream comes before the settings that forbid it
					defer get(t, p, here, o).Unreserve()
				}
				close(reserved)
				synctest.Wait()
				var served atomic.Int32
				for range 3 {
					go func() {
						got, err := p.Get(t.Context(), here, o.want())
						if err != nil {
							t.Error(err)
							return
						}
						served.Add(1)
						got.Unreserve()
					}()
					synctest.Wait()
				}
				if n := served.Load(); n != 0 {
					t.Errorf("%d served by a server that takes none", n)
				}
				o.wantDials(1)
				o.servers[0].WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 10})
				synctest.Wait()
				if n := served.Load(); n != 3 {
					t.Errorf("%d of 3 served", n)
				}
				o.wantDials(1)
			})
		})
	}
}

// TestShutLater: a server that takes no more streams for a while keeps those who
// wait, not those who have given up, and is not dialed again meanwhile.
func TestShutLater(t *testing.T) {
	inBubble(t, 2, pool.Config{}, func(t *testing.T, p *pool.Pool, o *origin) {
		held := []pool.Got{get(t, p, here, o), get(t, p, here, o)}
		bound := func(n uint32) {
			o.servers[0].WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: n})
			synctest.Wait()
		}
		bound(0)
		var served atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 10 {
			wait := ctx
			if i == 4 || i == 9 {
				wait = t.Context()
			}
			go func() {
				got, err := p.Get(wait, here, o.want())
				if err == nil {
					served.Add(1)
					got.Unreserve()
				} else if wait != ctx || !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		for _, got := range held {
			got.Unreserve()
		}
		cancel()
		synctest.Wait()
		if s := p.Stats(); s.Waiting != 2 || served.Load() != 0 {
			t.Errorf("%d served, stats %+v", served.Load(), s)
		}
		bound(2)
		if s := p.Stats(); s.Waiting != 0 || served.Load() != 2 {
			t.Errorf("%d of 2 served, stats %+v", served.Load(), s)
		}
		o.wantDials(1)
	})
}

// TestClaimed: a connection that becomes idle is closed if somebody claims what
// its owner has, and another one is not.
func TestClaimed(t *testing.T) {
	var claims any
	var ended []any
	config := pool.Config{
		Claimed: func(owner any) bool { return owner == claims },
		Ended:   func(owner any) { ended = append(ended, owner) },
	}
	inBubble(t, 1, config, func(t *testing.T, p *pool.Pool, o *origin) {
		a, b := get(t, p, here, o), get(t, p, away, o)
		claims = 2
		a.Unreserve()
		if len(ended) != 0 {
			t.Errorf("ended: %v, want none", ended)
		}
		b.Unreserve()
		if len(ended) != 1 || ended[0] != 2 {
			t.Errorf("ended: %v, want [2]", ended)
		}
	})
}

func TestEvictFrom(t *testing.T) {
	inBubble(t, 1, pool.Config{}, func(t *testing.T, p *pool.Pool, o *origin) {
		get(t, p, here, o).Unreserve()
		time.Sleep(time.Second)
		get(t, p, away, o).Unreserve()
		p.EvictFrom(away)
		p.EvictFrom(dial.Route{Addr: "c.example:443"})
		if s := p.Stats(); len(s.Routes) != 1 || s.Routes[0].Route != here.String() {
			t.Errorf("stats %+v", s)
		}
		p.Evict()
		if s := p.Stats(); s.Open != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestEndOfWait: who waits for a connection that another makes is told that it could
// not be connected to, and by which proxy; who waits for leave to make one is not.
func TestEndOfWait(t *testing.T) {
	late, reason := &engine.TimeoutError{Kind: engine.KindRequest, Limit: time.Second}, errors.New("own reason")
	byProxy := here
	byProxy.Proxy = "http://user:secret@p.example:8080"
	for _, key := range []dial.Route{here, byProxy} {
		for _, tc := range []struct {
			name  string
			end   func(ctx context.Context) (context.Context, context.CancelFunc)
			cause error
		}{
			{"limit", func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }, late},
			{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, time.Second, reason)
			}, reason},
			{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(time.Second, func() { cancel(context.Canceled) })
				return ctx, func() {}
			}, context.Canceled},
		} {
			for _, before := range []struct {
				what       string
				slot, dial time.Duration // that those before take
				op         engine.Op
			}{
				{"dial", 0, time.Minute, engine.OpConnect},
				{"dial and the next one's slot", time.Minute, 900 * time.Millisecond, engine.OpConnect},
				{"slot", time.Minute, 0, engine.OpPool},
			} {
				t.Run(fmt.Sprintf("%s, %s, proxy %v", tc.name, before.what, key.Proxy != ""), func(t *testing.T) {
					inBubble(t, 1, pool.Config{}, func(t *testing.T, p *pool.Pool, o *origin) {
						first, begin := o.want(), time.Now()
						first.Dial = func() (*dial.Conn, any, error) {
							time.Sleep(before.dial)
							return nil, nil, late // it was that request's own limit
						}
						next := o.want()
						next.Slot = func() error { time.Sleep(before.slot); return errDown }
						if before.dial == 0 {
							first.Slot = next.Slot
						}
						var others sync.WaitGroup
						for _, w := range []*pool.Want{first, next} {
							others.Go(func() { p.Get(t.Context(), key, w) })
							synctest.Wait()
						}
						w := o.want()
						ctx, cancel := tc.end(t.Context())
						defer cancel()
						if tc.cause == late {
							w.Limit = func(bool, time.Duration) (time.Time, error) { return begin.Add(time.Second), late }
						}
						_, err := p.Get(ctx, key, w)
						if e, ok := err.(*engine.OpError); !ok || e.Op != before.op || !errors.Is(err, tc.cause) || time.Since(begin) != time.Second {
							t.Errorf("got %v after %v, want Op %s and %v", err, time.Since(begin), before.op, tc.cause)
						}
						blamed, ok := errors.AsType[*engine.ProxyError](err)
						if want := before.op == engine.OpConnect && key == byProxy && tc.cause != context.Canceled; ok != want || ok && blamed.Proxy != "http://p.example:8080" {
							t.Errorf("got %v, want the proxy in it: %v", err, want)
						}
						others.Wait()
					})
				})
			}
		}
	}
}

// TestLimits: who waits is asked for its limit anew when the dial that it waits for
// has its slot, and when that is over; each wait has its own time.
func TestLimits(t *testing.T) {
	inBubble(t, 1, pool.Config{}, func(t *testing.T, p *pool.Pool, o *origin) {
		begin := time.Now()
		slow := o.want()
		slow.Slot = func() error { time.Sleep(300 * time.Millisecond); return nil }
		slow.Dial = func() (*dial.Conn, any, error) {
			time.Sleep(time.Second)
			return nil, nil, &engine.TimeoutError{Kind: engine.KindRequest} // it is about that request only
		}
		go p.Get(t.Context(), here, slow)
		synctest.Wait()
		next := o.want()
		next.Slot, next.Dial = slow.Slot, slow.Dial
		go p.Get(t.Context(), here, next)
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		var asked []string
		last := o.want()
		last.Limit = func(dialing bool, waited time.Duration) (time.Time, error) {
			asked = append(asked, fmt.Sprintf("%v %v %v", time.Since(begin), dialing, waited))
			return time.Time{}, nil
		}
		got, err := p.Get(t.Context(), here, last)
		if err != nil {
			t.Fatal(err)
		}
		got.Unreserve()
		want := []string{"100ms false 0s", "300ms true 0s", "1.3s false 200ms", "1.6s true 1s"}
		if !slices.Equal(asked[:min(len(asked), len(want))], want) { // the last end may come with the right to dial
			t.Errorf("asked for limits %q, want %q", asked, want)
		}
	})
}
