// Package enginetest is the contract of package engine in executable form: a
// suite that every engine passes, exported for the authors of engines.
//
//	func TestConformance(t *testing.T) { enginetest.Run(t, myengine.Config{}) }
//
// The suite starts real servers on the loopback interface: scripted ones that
// send exact bytes, HTTP and SOCKS proxies, TLS servers with a CA made for the
// test, unix sockets. After each test it closes the engine and then demands that
// no goroutine is left and that every connection was closed by the engine.
//
// A test that needs a capability which the engine lacks checks instead that the
// engine refuses with *engine.UnsupportedError naming the capability, wherever
// the capability can be asked for. Other deviations need [Skip] with a reason.
//
// An engine that has no wire, such as a mock, runs the group Contract alone; see
// [Canned].
package enginetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine"
)

// test is one behaviour.
type test struct {
	name string
	// needs are the capabilities without which run makes no sense.
	needs engine.Capabilities
	run   func(t *T)
}

// group is a list of behaviours about one matter.
type group struct {
	name  string
	tests func() []test
}

// groups returns the suite. Only Contract runs without a wire.
func groups() []group {
	return []group{
		{contractGroup, contractTests},
		{"Methods", methodTests},
		{"RequestHead", requestHeadTests},
		{"RequestBody", requestBodyTests},
		{"Expect", expectTests},
		{"ResponseHead", responseHeadTests},
		{"ResponseBody", responseBodyTests},
		{"Truncation", truncationTests},
		{"Framing", framingTests},
		{"Connections", connectionTests},
		{"Stale", staleTests},
		{"Limits", limitTests},
		{"Close", closeTests},
		{"Timeouts", timeoutTests},
		{"Cancel", cancelTests},
		{"TLS", tlsTests},
		{"Proxy", proxyTests},
		{"Hooks", hookTests},
		{"Upgrade", upgradeTests},
		{"LongStream", longStreamTests},
		{"Stress", stressTests},
	}
}

const contractGroup = "Contract"

// Names returns the names of all tests, "Group/Name", in the order in which
// they run.
func Names() []string {
	var names []string
	for _, g := range groups() {
		for _, tt := range g.tests() {
			names = append(names, g.name+"/"+tt.name)
		}
	}
	return names
}

// Option changes what Run does.
type Option func(*suite)

// Skip leaves the test "Group/Name" out and shows the reason, which must not be
// empty. A name that does not exist fails the run, as does one given twice.
func Skip(name, reason string) Option {
	return func(s *suite) {
		if _, twice := s.skips[name]; twice {
			s.complaints = append(s.complaints, fmt.Sprintf("Skip(%q) is given twice", name))
		}
		if reason == "" {
			s.complaints = append(s.complaints, fmt.Sprintf("Skip(%q) gives no reason", name))
		}
		s.skips[name] = reason
	}
}

// Canned runs the group Contract alone, with answers that come from a function
// in place of a server: for engines that have no wire. newEngine makes an engine
// whose every response is what answer returns for the request; it reports
// options that the engine refuses. reason says why the other groups do not
// apply.
func Canned(reason string, newEngine func(shared engine.Config, answer func(*engine.Request) Reply) (engine.Engine, error)) Option {
	return func(s *suite) {
		s.canned = newEngine
		s.noWire = reason
		if reason == "" {
			s.complaints = append(s.complaints, "Canned gives no reason")
		}
	}
}

// suite is one run.
type suite struct {
	factory    engine.Factory
	skips      map[string]string
	canned     func(engine.Config, func(*engine.Request) Reply) (engine.Engine, error)
	noWire     string
	complaints []string
	caps       engine.Capabilities
	name       string
}

// Run runs the suite as subtests "Group/Name" of t. factory makes the engines,
// with the settings that a test needs in its shared Config; with [Canned] it
// may be nil.
func Run(t *testing.T, factory engine.Factory, opts ...Option) {
	s := &suite{factory: factory, skips: make(map[string]string)}
	for _, opt := range opts {
		opt(s)
	}
	names := Names()
	for _, name := range slices.Sorted(maps.Keys(s.skips)) {
		if !slices.Contains(names, name) {
			s.complaints = append(s.complaints, fmt.Sprintf("Skip(%q): there is no such test", name))
		}
	}
	for _, c := range s.complaints {
		t.Errorf("enginetest: %s", c)
	}
	if t.Failed() {
		return
	}
	s.inspect(t)
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			if s.canned != nil && g.name != contractGroup {
				t.Skip("not applicable: " + s.noWire)
			}
			for _, tt := range g.tests() {
				t.Run(tt.name, func(t *testing.T) { s.runOne(t, g.name, tt) })
			}
		})
	}
}

// inspect asks an engine of default settings for its constants.
func (s *suite) inspect(t *testing.T) {
	e, err := s.make(s.base(), func(*engine.Request) Reply { return Reply{} })
	if err != nil {
		t.Fatalf("an engine of default settings cannot be made: %v", err)
	}
	defer e.Close()
	s.caps, s.name = e.Capabilities(), e.Name()
}

// base is the shared configuration that tests start from: the environment's
// proxies must not matter.
func (s *suite) base() engine.Config {
	if s.canned != nil {
		return engine.Config{}
	}
	return engine.Config{Proxy: engine.NoProxy}
}

func (s *suite) make(shared engine.Config, answer func(*engine.Request) Reply) (engine.Engine, error) {
	if s.canned != nil {
		return s.canned(shared, answer)
	}
	return s.factory.NewEngine(shared)
}

func (s *suite) runOne(t *testing.T, group string, tt test) {
	if reason, skip := s.skips[group+"/"+tt.name]; skip {
		t.Skip("skipped: " + reason)
	}
	if s.bridged() {
		if reason := withoutHTTP1(group, tt.name); reason != "" {
			t.Skip("the engine has no HTTP/1.1: " + reason)
		}
	}
	h := newT(t, s)
	if missing := tt.needs &^ s.caps; missing != 0 {
		h.refuses(missing)
		return
	}
	tt.run(h)
}

// refuses checks that the engine says no to what it cannot do.
func (t *T) refuses(missing engine.Capabilities) {
	var unasked []string
	for _, one := range missing.Each() {
		ask, ok := asks[one]
		if !ok {
			unasked = append(unasked, one.String())
			continue
		}
		t.refusesOne(one, ask)
	}
	if len(unasked) > 0 && !t.Failed() {
		t.Skipf("the engine lacks %s, which no single request or option asks for", strings.Join(unasked, ", "))
	}
}
