package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-go/godwit/pipeline"
)

type phase string

type line = *pipeline.Pipeline[phase, string, string]

func newLine(phases ...phase) line { return pipeline.New[phase, string, string](phases...) }

// mark is an interceptor that shows on the way in and on the way out.
func mark(s string) pipeline.Interceptor[string, string] {
	return func(ctx context.Context, in string, next pipeline.Handler[string, string]) (string, error) {
		out, err := next(ctx, in+s+">")
		return out + "<" + s, err
	}
}

func end(_ context.Context, in string) (string, error) { return in + "!", nil }

func add(t *testing.T, p line, at phase, name, s string) {
	t.Helper()
	if err := p.Intercept(at, name, mark(s)); err != nil {
		t.Fatal(err)
	}
}

func Example() {
	p := newLine("Outer", "Inner")
	log := func(ctx context.Context, in string, next pipeline.Handler[string, string]) (string, error) {
		fmt.Println("before", in)
		out, err := next(ctx, in)
		fmt.Println("after", out)
		return out, err
	}
	if err := p.Intercept("Inner", "log", log); err != nil {
		fmt.Println(err)
	}
	fmt.Println(p)
	run := p.Then(func(_ context.Context, in string) (string, error) { return strings.ToUpper(in), nil })
	fmt.Println(run(context.Background(), "hello"))
	// Output:
	// Outer Inner[log]
	// before hello
	// after HELLO
	// HELLO <nil>
}

func TestOrder(t *testing.T) {
	tests := []struct {
		name      string
		build     func(t *testing.T, p line)
		text, run string
	}{
		{"empty", func(*testing.T, line) {}, "A B C", "!"},
		{"phases, not order of adding", func(t *testing.T, p line) {
			add(t, p, "C", "x", "c")
			add(t, p, "A", "x", "a")
			add(t, p, "B", "x", "b")
		}, "A[x] B[x] C[x]", "a>b>c>!<c<b<a"},
		{"by name in a phase, unnamed last in order", func(t *testing.T, p line) {
			add(t, p, "B", "", "2")
			add(t, p, "B", "zoo", "z")
			add(t, p, "B", "", "1")
			add(t, p, "B", "ant", "a")
		}, "A B[ant zoo · ·] C", "a>z>2>1>!<1<2<z<a"},
		{"same name keeps the order", func(t *testing.T, p line) {
			add(t, p, "B", "x", "1")
			add(t, p, "B", "x", "2")
		}, "A B[x x] C", "1>2>!<2<1"},
		{"custom phases", func(t *testing.T, p line) {
			for _, err := range []error{p.InsertBefore("A", "Start"), p.InsertAfter("C", "End"), p.InsertAfter("A", "Mid"),
				p.InsertBefore("B", "Mid2"), p.InsertAfter("Mid", "Mid3")} {
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, at := range []phase{"End", "Start", "Mid", "Mid3", "Mid2"} {
				add(t, p, at, "x", string(at))
			}
		}, "Start[x] A Mid[x] Mid3[x] Mid2[x] B C End[x]", "Start>Mid>Mid3>Mid2>End>!<End<Mid2<Mid3<Mid<Start"},
		{"a custom phase shared", func(t *testing.T, p line) {
			if err := errors.Join(p.InsertAfter("A", "X"), p.InsertAfter("A", "X")); err != nil {
				t.Fatal(err)
			}
		}, "A X B C", "!"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newLine("A", "B", "C")
			tt.build(t, p)
			if got := p.String(); got != tt.text {
				t.Errorf("String %q, want %q", got, tt.text)
			}
			if got, err := p.Then(end)(t.Context(), ""); got != tt.run || err != nil {
				t.Errorf("ran %q, %v, want %q", got, err, tt.run)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	p := newLine("A", "B")
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"unknown phase", p.Intercept("X", "mine", mark("x")), []string{`"mine"`, `"X"`, "A, B"}},
		{"nil interceptor", p.Intercept("A", "mine", nil), []string{`"mine"`, "nil"}},
		{"nil layer", p.Wrap("A", "mine", nil), []string{`"mine"`, "nil"}},
		{"unknown anchor", p.InsertAfter("X", "Y"), []string{`"X"`, `"Y"`, "A, B"}},
		{"built-in name", p.InsertBefore("A", "B"), []string{`"B"`, "exists"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err == nil {
				t.Fatal("no error")
			}
			for _, s := range tt.want {
				if !strings.Contains(tt.err.Error(), s) {
					t.Errorf("%q does not tell %s", tt.err, s)
				}
			}
		})
	}
	if got := p.String(); got != "A B" {
		t.Errorf("what failed left traces: %q", got)
	}
}

func TestFrozen(t *testing.T) {
	p := newLine("A")
	run := p.Then(end)
	if p.Intercept("A", "late", mark("x")) == nil || p.InsertAfter("A", "Late") == nil || p.InsertBefore("A", "Late") == nil {
		t.Error("a built pipeline can be changed")
	}
	if got, err := run(t.Context(), ""); got != "!" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPhaseNamedTwice(t *testing.T) {
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), `"A"`) {
			t.Errorf("recovered %v", p)
		}
	}()
	newLine("A", "B", "A")
}

// TestLayer: a layer stands where an interceptor would.
func TestLayer(t *testing.T) {
	p := newLine("A")
	add(t, p, "A", "b", "b")
	layer := func(next pipeline.Handler[string, string]) pipeline.Handler[string, string] {
		return func(ctx context.Context, in string) (string, error) { return next(ctx, in+"layer>") }
	}
	if err := p.Wrap("A", "a", layer); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Then(end)(t.Context(), ""); got != "layer>b>!<b" || err != nil || p.String() != "A[a b]" {
		t.Errorf("%s ran %q, %v", p, got, err)
	}
}

func TestInterceptorsMayStopAndRepeat(t *testing.T) {
	broken := errors.New("broken")
	p := newLine("A", "B")
	calls := 0
	twice := func(ctx context.Context, in string, next pipeline.Handler[string, string]) (string, error) {
		if _, err := next(ctx, in+"1"); !errors.Is(err, broken) {
			t.Errorf("first try: %v", err)
		}
		return next(ctx, in+"2")
	}
	gate := func(ctx context.Context, in string, next pipeline.Handler[string, string]) (string, error) {
		if calls++; calls == 1 {
			return "", broken
		}
		return next(ctx, in)
	}
	if err := errors.Join(p.Intercept("A", "twice", twice), p.Intercept("B", "gate", gate)); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Then(end)(t.Context(), "in"); got != "in2!" || err != nil || calls != 2 {
		t.Errorf("%q, %v, %d calls", got, err, calls)
	}
}

func TestContextPasses(t *testing.T) {
	type key struct{}
	p := newLine("A")
	err := p.Intercept("A", "", func(ctx context.Context, in string, next pipeline.Handler[string, string]) (string, error) {
		return next(context.WithValue(ctx, key{}, "value"), in)
	})
	if err != nil {
		t.Fatal(err)
	}
	run := p.Then(func(ctx context.Context, _ string) (string, error) { return fmt.Sprint(ctx.Value(key{})), nil })
	if got, _ := run(t.Context(), ""); got != "value" {
		t.Errorf("got %q", got)
	}
}

func TestRunningAllocatesNothing(t *testing.T) {
	p := newLine("A", "B")
	pass := func(ctx context.Context, in string, next pipeline.Handler[string, string]) (string, error) {
		return next(ctx, in)
	}
	for range 10 {
		if err := p.Intercept("B", "", pass); err != nil {
			t.Fatal(err)
		}
	}
	run := p.Then(func(_ context.Context, in string) (string, error) { return in, nil })
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if got, err := run(ctx, "x"); got != "x" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestThenWithout(t *testing.T) {
	p := newLine("A", "B", "C")
	for _, at := range []phase{"A", "B", "C"} {
		add(t, p, at, "x", string(at))
	}
	for want, run := range map[string]pipeline.Handler[string, string]{
		"A>B>C>!<C<B<A": p.Then(end),
		"A>C>!<C<A":     p.Then(end, "B"),
		"B>!<B":         p.Then(end, "C", "A", "none such"),
	} {
		if got, err := run(t.Context(), ""); got != want || err != nil {
			t.Errorf("ran %q, %v, want %q", got, err, want)
		}
	}
}
