package auto

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go"

	"github.com/godwit-go/godwit/engine"
)

func TestParseAltSvc(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	at := func(authority string, age time.Duration, persist bool) Alternative {
		return Alternative{Authority: authority, Expires: now.Add(age), Persist: persist}
	}
	day := 24 * time.Hour
	for _, row := range []struct {
		name, value string
		want        []Alternative
		clear       bool
		fails       string // part of the error
	}{
		{name: "same host", value: `h3=":443"`, want: []Alternative{at("origin.test:443", day, false)}},
		{name: "other host", value: `h3="Alt.Test:8443"; ma=60`, want: []Alternative{at("alt.test:8443", time.Minute, false)}},
		{name: "persist", value: `h3=":443"; ma=60; persist=1`, want: []Alternative{at("origin.test:443", time.Minute, true)}},
		{name: "persist must be 1", value: `h3=":443"; persist=2`, want: []Alternative{at("origin.test:443", day, false)}},
		{name: "several", value: `h3=":1", h3="b.test:2";ma=5 , h2=":3"`, want: []Alternative{at("origin.test:1", day, false), at("b.test:2", 5*time.Second, false)}},
		{name: "other protocols", value: `h2=":443", h3-29=":443", w%3Dx="y:1"`},
		{name: "quoted parameters", value: `h3=":443"; ma="7"; x="a,b;c\"d"`, want: []Alternative{at("origin.test:443", 7*time.Second, false)}},
		{name: "names of parameters have no case", value: `h3=":443"; MA=7`, want: []Alternative{at("origin.test:443", 7*time.Second, false)}},
		{name: "IPv6", value: `h3="[2001:db8::1]:443"`, want: []Alternative{at("[2001:db8::1]:443", day, false)}},
		{name: "empty elements", value: `, ,h3=":443" ,,`, want: []Alternative{at("origin.test:443", day, false)}},
		{name: "huge age", value: `h3=":443"; ma=99999999999999999999`, want: []Alternative{at("origin.test:443", longestMaxAge, false)}},
		{name: "no age", value: `h3=":443"; ma=0`, want: []Alternative{at("origin.test:443", 0, false)}},
		{name: "empty", value: ""},
		{name: "clear", value: " clear ", clear: true},
		{name: "clear twice", value: "clear, clear", clear: true},
		{name: "port with zeros", value: `h3=":0443"`, want: []Alternative{at("origin.test:443", day, false)}},
		{name: "clear has a case", value: "Clear", fails: "="},
		{name: "clear is alone", value: `clear, h3=":443"`, fails: "="},
		{name: "not quoted", value: `h3=:443`, fails: "quotation"},
		{name: "no end", value: `h3=":443`, fails: "end"},
		{name: "no port", value: `h3="alt.test"`, fails: "host:port"},
		{name: "port 0", value: `h3=":0"`, fails: "port"},
		{name: "large port", value: `h3=":65536"`, fails: "port"},
		{name: "no host", value: `h3="a b:443"`, fails: "host"},
		{name: "user info", value: `h3="u@a.test:443"`, fails: "host"},
		{name: "zone", value: `h3="[fe80::1%eth0]:443"`, fails: "host"},
		{name: "negative age", value: `h3=":443"; ma=-1`, fails: "ma"},
		{name: "no comma", value: `h3=":443" h3=":444"`, fails: "comma"},
		{name: "no parameter", value: `h3=":443";`, fails: "token"},
		{name: "parameter without value", value: `h3=":443"; ma`, fails: "="},
		{name: "no protocol", value: `=":443"`, fails: "token"},
		{name: "long", value: strings.Repeat("x", maxFieldBytes+1), fails: "bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, clear, err := parseAltSvc(row.value, "origin.test", now)
			if row.fails != "" {
				if err == nil || !strings.Contains(err.Error(), row.fails) || got != nil || clear {
					t.Fatalf("%v, %v, %v; want an error with %q", got, clear, err, row.fails)
				}
				return
			}
			if diff := cmp.Diff(row.want, got); diff != "" || clear != row.clear || err != nil {
				t.Errorf("%s clear %v, %v", diff, clear, err)
			}
		})
	}
	many, _, err := parseAltSvc(strings.Repeat(`h3=":443",`, 100), "o.test", now)
	if len(many) != maxAlternatives || err != nil {
		t.Errorf("%d alternatives, %v", len(many), err)
	}
}

// FuzzAltSvc: what is read can be used as an address, and is bounded.
func FuzzAltSvc(f *testing.F) {
	f.Add(`h3=":443"; ma=60; persist=1, h2="a.test:1"`)
	f.Add(`clear`)
	f.Add(`h3="[::1]:443";x="\"",`)
	now := time.Unix(1_700_000_000, 0)
	f.Fuzz(func(t *testing.T, value string) {
		got, clear, err := parseAltSvc(value, "origin.test", now)
		if (err != nil || clear) && got != nil || len(got) > maxAlternatives {
			t.Fatalf("%v, %v, %v", got, clear, err)
		}
		for _, a := range got {
			if again, err := completeAuthority(a.Authority, ""); err != nil || again != a.Authority {
				t.Errorf("authority %q: %q, %v", a.Authority, again, err)
			}
			if a.Expires.Before(now) || a.Expires.After(now.Add(longestMaxAge)) {
				t.Errorf("expires %v", a.Expires)
			}
		}
	})
}

func TestCacheExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(10, time.Minute, time.Hour)
		found, _, _ := parseAltSvc(`h3=":1"; ma=10, h3=":2"; ma=20`, "o.test", time.Now())
		c.store("o.test:443", found, time.Now())
		for _, want := range []int{2, 1, 0} {
			if got := c.lookup("o.test:443", time.Now()); len(got) != want {
				t.Errorf("%v: %q, want %d", time.Now(), got, want)
			}
			time.Sleep(10 * time.Second)
		}
		if s := c.snapshot(time.Now()); len(s.Services) > 0 {
			t.Errorf("snapshot %+v", s)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(3, time.Minute, time.Hour)
	now := time.Now()
	for i := range 10 {
		origin := fmt.Sprintf("o%d.test:443", i)
		c.store(origin, []Alternative{{Authority: "a.test:1", Expires: now.Add(time.Hour)}}, now)
		c.fail(route{origin, "a.test:1"}, now.Add(time.Duration(i)))
		c.lookup("o0.test:443", now) // in use: it stays
	}
	var origins []string
	s := c.snapshot(now)
	for _, one := range s.Services {
		origins = append(origins, one.Origin)
	}
	if diff := cmp.Diff([]string{"o0.test:443", "o8.test:443", "o9.test:443"}, origins); diff != "" || len(s.Broken) != 3 {
		t.Errorf("%s; %d broken", diff, len(s.Broken))
	}
}

// TestBrokenBackoff: five minutes, doubling, up to two days.
func TestBrokenBackoff(t *testing.T) {
	c := newCache(10, 5*time.Minute, 48*time.Hour)
	r := route{"o.test:443", "a.test:1"}
	now := time.Now()
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 2880, 2880} {
		if got := c.fail(r, now).Sub(now); got != want*time.Minute {
			t.Errorf("failure %d: %v, want %v", i+1, got, want*time.Minute)
		}
	}
	for range 100 { // no overflow
		if got := c.fail(r, now).Sub(now); got != 48*time.Hour {
			t.Fatalf("%v", got)
		}
	}
	if !c.work(r) || c.work(r) {
		t.Error("the mark is not taken away once")
	}
	if got := c.fail(r, now).Sub(now); got != 5*time.Minute {
		t.Errorf("after it worked: %v", got)
	}
}

// TestRestore: what a file cannot rightly hold is left out or cut.
func TestRestore(t *testing.T) {
	c := newCache(10, time.Minute, time.Hour)
	now := time.Now()
	good := Alternative{Authority: "a.test:1", Expires: now.Add(time.Hour)}
	c.restore(Snapshot{
		Services: []Service{
			{"gone.test:443", []Alternative{{Authority: "a.test:1", Expires: now.Add(-1)}}},
			{"bad.test:443", []Alternative{{Authority: "no port", Expires: now.Add(time.Hour)}}},
			{"good.test:443", []Alternative{{Authority: "::", Expires: now.Add(time.Hour)}, good}},
			{"far.test:443", []Alternative{{Authority: "a.test:1", Expires: now.Add(10 * longestMaxAge)}}},
		},
		Broken: []Broken{{"good.test:443", "a.test:1", now.Add(1000 * time.Hour), 2}, {"x.test:443", "a.test:1", now, 0}},
	}, now)
	want := Snapshot{
		Services: []Service{
			{"far.test:443", []Alternative{{Authority: "a.test:1", Expires: now.Add(longestMaxAge)}}},
			{"good.test:443", []Alternative{good}},
		},
		Broken: []Broken{{"good.test:443", "a.test:1", now.Add(time.Hour), 2}},
	}
	if diff := cmp.Diff(want, c.snapshot(now)); diff != "" {
		t.Error(diff)
	}
	c.networkChanged()
	if s := c.snapshot(now); len(s.Services)+len(s.Broken) > 0 {
		t.Errorf("after a change of the network: %+v", s)
	}
}

// TestBlame: what speaks against an alternative.
func TestBlame(t *testing.T) {
	op := func(op engine.Op, err error) error { return &engine.OpError{Op: op, Err: err} }
	for _, row := range []struct {
		name string
		err  error
		want bool
	}{
		{"nothing", nil, false},
		{"no such host", op(engine.OpDNS, errors.New("no such host")), true},
		{"port closed", op(engine.OpConnect, syscall.ECONNREFUSED), true},
		{"silence", op(engine.OpConnect, &engine.TimeoutError{Kind: engine.KindConnect}), true},
		{"certificate", op(engine.OpTLS, errors.New("unknown authority")), true},
		{"broken protocol", op(engine.OpReceive, &engine.ProtocolError{Reason: "nonsense"}), true},
		{"connection lost", op(engine.OpReceive, &quic.IdleTimeoutError{}), true},
		{"orderly end", op(engine.OpReceive, &quic.ApplicationError{ErrorCode: 0x100}), false},
		{"bound of connections", op(engine.OpPool, &engine.TimeoutError{Kind: engine.KindPool}), false},
		{"bound of connections, in a handshake", op(engine.OpConnect, &engine.TimeoutError{Kind: engine.KindPool}), false},
		{"slow server", op(engine.OpReceive, &engine.TimeoutError{Kind: engine.KindHeader}), false},
		{"the request's time", op(engine.OpConnect, &engine.TimeoutError{Kind: engine.KindRequest}), false},
		{"cancelled", op(engine.OpConnect, context.Canceled), false},
		{"the caller's deadline", op(engine.OpConnect, context.DeadlineExceeded), false},
		{"cancelled, with a reason", op(engine.OpTLS, fmt.Errorf("%w: %w", context.Canceled, errors.New("own"))), false},
		{"closed", op(engine.OpConnect, engine.ErrClosed), false},
		{"bad request", op(engine.OpBuild, errors.New("no host")), false},
		{"body", op(engine.OpSend, errors.New("the file is gone")), false},
		{"of no phase", errors.New("anything"), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := (&Engine{}).blame(row.err); got != row.want {
				t.Errorf("%v, want %v", got, row.want)
			}
		})
	}
}

// TestRaceContext: until there is a connection the context ends with the first
// handshake that is complete; then it is the caller's.
func TestRaceContext(t *testing.T) {
	type key struct{}
	begin := func(t *testing.T) (caller context.Context, cancel context.CancelCauseFunc, a, b *attempt, r *race) {
		caller, cancel = context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		a, b = &attempt{}, &attempt{}
		a.over, a.end = context.WithCancel(t.Context())
		b.over, b.end = context.WithCancel(t.Context())
		return caller, cancel, a, b, newRace(caller, []*attempt{a, b})
	}
	t.Run("a handshake fails, another one wins", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, cancel, a, b, r := begin(t)
			defer cancel(nil)
			defer r.end()
			child, stop := context.WithTimeout(r, time.Hour)
			defer stop()
			a.err = errors.New("failed")
			a.end()
			synctest.Wait()
			if child.Err() != nil || r.Err() != nil {
				t.Fatalf("%v, %v", child.Err(), r.Err())
			}
			b.end()
			synctest.Wait()
			if child.Err() == nil || context.Cause(child) != errOvertaken || r.winner.Load() != b {
				t.Errorf("%v, %v", child.Err(), context.Cause(child))
			}
		})
	})
	t.Run("TCP has a connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			caller, cancel, a, b, r := begin(t)
			var told bool
			entry := r.entry(&engine.Request{Trace: &engine.Trace{GotConn: func(engine.GotConn) { told = true }}})
			entry.Trace.GotConn(engine.GotConn{})
			token := r.AddAborter(aborted(func(error) { t.Error("aborted") }))
			child, stop := context.WithCancel(r)
			defer stop()
			a.end()
			b.end()
			synctest.Wait()
			r.end()
			if child.Err() != nil || r.Err() != nil || r.Done() != caller.Done() || r.Value(key{}) != "value" || !told {
				t.Errorf("%v, %v, %v", child.Err(), r.Err(), told)
			}
			if !r.RemoveAborter(token) {
				t.Error("the aborter was called")
			}
			causes := make(chan error, 1)
			r.AddAborter(aborted(func(cause error) { causes <- cause }))
			own := errors.New("own")
			cancel(own)
			synctest.Wait()
			if child.Err() == nil || context.Cause(r) != own || len(causes) != 1 || <-causes != own {
				t.Errorf("%v, %v", child.Err(), context.Cause(r))
			}
			if r.RemoveAborter(r.AddAborter(aborted(func(error) { causes <- nil }))) || len(causes) != 1 {
				t.Error("too late to register")
			}
		})
	})
	t.Run("all have failed before", func(t *testing.T) {
		_, cancel, a, b, r := begin(t)
		defer cancel(nil)
		r.end()
		a.err, b.err = errors.New("failed"), errors.New("failed")
		a.end()
		b.end()
		if newRace(t.Context(), []*attempt{a, b}) != nil {
			t.Error("there is nothing to race with")
		}
	})
}

type aborted func(cause error)

func (f aborted) Abort(cause error) { f(cause) }

// TestServicesAreBounded: lookups of many origins, running or not.
func TestServicesAreBounded(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := services{limit: 3, known: make(map[string]*lookup), resolver: ResolverFunc(func(context.Context, string) ([]Record, error) {
		<-release
		return nil, nil
	})}
	for i := range 10 {
		s.of(t.Context(), fmt.Sprintf("o%d.test:443", i))
		if len(s.known) > 3 {
			t.Fatalf("%d lookups are kept", len(s.known))
		}
	}
}

// TestSuspectsAreBounded: one for each origin, and no more than that of origins.
func TestSuspectsAreBounded(t *testing.T) {
	e := &Engine{config: Config{MaxOrigins: 3}, suspects: make(map[string]suspicion)}
	for i := range 10 {
		e.suspect(route{fmt.Sprintf("o%d.test:443", i), "a.test:1"}, errors.New("failed"))
		if len(e.suspects) > 3 {
			t.Fatalf("%d suspects", len(e.suspects))
		}
	}
}
