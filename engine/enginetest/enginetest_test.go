package enginetest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/engine"
	"github.com/godwit-go/godwit/engine/cio"
	"github.com/godwit-go/godwit/engine/enginetest"
	"github.com/godwit-go/godwit/internal/leakcheck"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

// mutants are broken engines, and broken uses of the suite: each must fail the
// one test that is run, with a text that says why.
var mutants = []struct {
	name    string
	test    string // "" = none is reached
	opts    []enginetest.Option
	engine  func(engine.Engine) engine.Engine
	message string
}{
	{name: "sound engine", test: "Contract/RequestIsNotChanged"},
	{
		name: "unknown skip", opts: []enginetest.Option{enginetest.Skip("Contract/NoSuchThing", "because")},
		message: `Skip("Contract/NoSuchThing"): there is no such test`,
	},
	{
		name: "skip without a reason", opts: []enginetest.Option{enginetest.Skip("Contract/Response", "")},
		message: `Skip("Contract/Response") gives no reason`,
	},
	{
		name: "skip twice", opts: []enginetest.Option{enginetest.Skip("Contract/Response", "a"), enginetest.Skip("Contract/Response", "b")},
		message: `Skip("Contract/Response") is given twice`,
	},
	{name: "changes the request", test: "Contract/RequestIsNotChanged", engine: onRequest(func(r *engine.Request) { r.Header.Add("X-Mine", "1") }), message: "the request changed"},
	{name: "adds a field", test: "RequestHead/NothingIsAdded", engine: onCopy(func(r *engine.Request) { r.Header.Add("X-Mine", "1") }), message: "the engine added X-Mine"},
	{name: "hides truncation", test: "Truncation/InBody", engine: onBody(func(_ int, err error) error { return hide(err) }), message: "succeeded"},
	{name: "claims too little", test: "Contract/UnsupportedIsRefused", engine: without(engine.UnixSocket), message: "*engine.UnsupportedError"},
	{name: "claims too much", test: "Contract/Constants", engine: with(1 << 63), message: "unknown bits"},
	{name: "ignores cancellation", test: "Cancel/BeforeStart", engine: onContext(context.WithoutCancel), message: "context canceled"},
	{name: "leaks connections", test: "Close/NewRequestsAreRefused", engine: func(e engine.Engine) engine.Engine { return unclosable{e} }, message: "connections open, want 0"},
	{name: "breaks requests", test: "Timeouts/DeadlineOfOneRequestOnly", engine: onCopy(func(r *engine.Request) { r.Body = errorBody{} }), message: "broken on purpose"},
}

const mutantVariable = "ENGINETEST_MUTANT"

// TestMutant is what TestSuiteFindsMutants runs in another process.
func TestMutant(t *testing.T) {
	name := os.Getenv(mutantVariable)
	if name == "" {
		t.Skip("run by TestSuiteFindsMutants")
	}
	for _, m := range mutants {
		if m.name == name {
			enginetest.Run(t, mutated{m.engine}, m.opts...)
			return
		}
	}
	t.Fatalf("no mutant %q", name)
}

func TestSuiteFindsMutants(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Skipf("the test binary cannot be run again: %v", err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			run := "^TestMutant$"
			if m.test != "" {
				run += "/^" + strings.ReplaceAll(m.test, "/", "$/^") + "$"
			}
			cmd := exec.CommandContext(t.Context(), self, "-test.run", run, "-test.count=1")
			cmd.Env = append(os.Environ(), mutantVariable+"="+m.name)
			out, err := cmd.CombinedOutput()
			if m.message == "" {
				if err != nil {
					t.Errorf("the suite fails a sound engine: %v\n%s", err, out)
				}
				return
			}
			if err == nil || !strings.Contains(string(out), m.message) {
				t.Errorf("error %v, and the output has no %q:\n%s", err, m.message, out)
			}
		})
	}
}

func TestNamesAreUnique(t *testing.T) {
	names := enginetest.Names()
	sorted := slices.Sorted(slices.Values(names))
	if len(slices.Compact(sorted)) != len(names) {
		t.Error("two tests have the same name")
	}
	for _, name := range names {
		if strings.Count(name, "/") != 1 || strings.ContainsAny(name, " \t") {
			t.Errorf("name %q is not of the form Group/Name", name)
		}
	}
}

// mutated is a factory of engines that were tampered with.
type mutated struct {
	change func(engine.Engine) engine.Engine
}

func (mutated) Name() string { return "cio" }

func (m mutated) NewEngine(shared engine.Config) (engine.Engine, error) {
	e, err := cio.Config{}.NewEngine(shared)
	if err == nil && m.change != nil {
		e = m.change(e)
	}
	return e, err
}

// mutant overrides parts of an engine.
type mutant struct {
	engine.Engine
	execute func(ctx context.Context, req *engine.Request) (*engine.Response, error)
	caps    func(engine.Capabilities) engine.Capabilities
}

func (m mutant) Execute(ctx context.Context, req *engine.Request) (*engine.Response, error) {
	if m.execute == nil {
		return m.Engine.Execute(ctx, req)
	}
	return m.execute(ctx, req)
}

func (m mutant) Capabilities() engine.Capabilities {
	if m.caps == nil {
		return m.Engine.Capabilities()
	}
	return m.caps(m.Engine.Capabilities())
}

// unclosable keeps its connections.
type unclosable struct{ engine.Engine }

func (unclosable) Close() error { return nil }

func onRequest(f func(*engine.Request)) func(engine.Engine) engine.Engine {
	return func(e engine.Engine) engine.Engine {
		return mutant{Engine: e, execute: func(ctx context.Context, req *engine.Request) (*engine.Response, error) {
			f(req)
			return e.Execute(ctx, req)
		}}
	}
}

func onCopy(f func(*engine.Request)) func(engine.Engine) engine.Engine {
	return func(e engine.Engine) engine.Engine {
		return mutant{Engine: e, execute: func(ctx context.Context, req *engine.Request) (*engine.Response, error) {
			c := *req
			c.Header = req.Header.Clone()
			f(&c)
			return e.Execute(ctx, &c)
		}}
	}
}

func onContext(f func(context.Context) context.Context) func(engine.Engine) engine.Engine {
	return func(e engine.Engine) engine.Engine {
		return mutant{Engine: e, execute: func(ctx context.Context, req *engine.Request) (*engine.Response, error) {
			return e.Execute(f(ctx), req)
		}}
	}
}

func onBody(f func(n int, err error) error) func(engine.Engine) engine.Engine {
	return func(e engine.Engine) engine.Engine {
		return mutant{Engine: e, execute: func(ctx context.Context, req *engine.Request) (*engine.Response, error) {
			resp, err := e.Execute(ctx, req)
			if err == nil {
				resp.Body = tampered{resp.Body, f}
			}
			return resp, err
		}}
	}
}

func without(c engine.Capabilities) func(engine.Engine) engine.Engine {
	return func(e engine.Engine) engine.Engine {
		return mutant{Engine: e, caps: func(all engine.Capabilities) engine.Capabilities { return all &^ c }}
	}
}

func with(c engine.Capabilities) func(engine.Engine) engine.Engine {
	return func(e engine.Engine) engine.Engine {
		return mutant{Engine: e, caps: func(all engine.Capabilities) engine.Capabilities { return all | c }}
	}
}

type tampered struct {
	io.ReadCloser
	f func(int, error) error
}

func (t tampered) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	return n, t.f(n, err)
}

// hide turns an early end into an ordinary one.
func hide(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}

// errorBody is a request body that fails.
type errorBody struct{}

func (errorBody) ContentType() string  { return "" }
func (errorBody) ContentLength() int64 { return -1 }
func (errorBody) Replayable() bool     { return false }
func (errorBody) Open(context.Context) (io.ReadCloser, error) {
	return nil, errors.New("broken on purpose")
}
