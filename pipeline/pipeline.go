// Package pipeline composes interceptors, ordered by named phases, into one
// function.
//
// A [Pipeline] is built once and then frozen by [Pipeline.Then]: running the
// result looks nothing up, takes no lock and allocates nothing.
package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Handler turns an In into an Out.
type Handler[In, Out any] func(ctx context.Context, in In) (Out, error)

// Interceptor stands around a Handler: it may change what goes in and what
// comes out, call next several times, or not at all.
type Interceptor[In, Out any] func(ctx context.Context, in In, next Handler[In, Out]) (Out, error)

// Layer builds the Handler that stands around next: what an Interceptor is once
// it is bound, and one call less. It runs once, when the pipeline is composed.
type Layer[In, Out any] func(next Handler[In, Out]) Handler[In, Out]

// Pipeline is a list of phases, outermost first, each with interceptors. P is
// the string type of its phase names, so that the phases of one pipeline do not
// fit another. A Pipeline is not safe for concurrent use; what Then returns is.
type Pipeline[P ~string, In, Out any] struct {
	phases []*phase[P, In, Out]
	frozen bool
}

type phase[P ~string, In, Out any] struct {
	name  P
	place place[P] // of a custom phase
	steps []step[In, Out]
}

// place is where a custom phase was put; its zero value is a phase from New.
type place[P ~string] struct {
	anchor P
	side   int // -1 = before the anchor, 1 = after it
}

type step[In, Out any] struct {
	name string // "" = the user's own, after all named ones
	wrap Layer[In, Out]
}

// New returns a pipeline with the given phases, outermost first. It panics if a
// phase is named twice, which is a programmer's error.
func New[P ~string, In, Out any](phases ...P) *Pipeline[P, In, Out] {
	p := &Pipeline[P, In, Out]{}
	for i, name := range phases {
		if slices.Contains(phases[:i], name) {
			panic(fmt.Sprintf("pipeline.New: phase %q named twice", name))
		}
		p.phases = append(p.phases, &phase[P, In, Out]{name: name})
	}
	return p
}

// InsertBefore adds a phase just outside anchor. Several phases beside one
// anchor stand in the order of their names, so that the order of adding does not
// matter; adding one again at the same place is no error: plugins may share it.
func (p *Pipeline[P, In, Out]) InsertBefore(anchor, name P) error {
	return p.insert(name, place[P]{anchor, -1})
}

// InsertAfter adds a phase just inside anchor: see [Pipeline.InsertBefore].
func (p *Pipeline[P, In, Out]) InsertAfter(anchor, name P) error {
	return p.insert(name, place[P]{anchor, 1})
}

func (p *Pipeline[P, In, Out]) insert(name P, at place[P]) error {
	if p.frozen {
		return fmt.Errorf("pipeline: phase %q comes too late: the pipeline is built", name)
	}
	anchor := p.index(at.anchor)
	if anchor < 0 {
		return fmt.Errorf("pipeline: no phase %q to put %q beside; there are: %s", at.anchor, name, p.names())
	}
	if i := p.index(name); i >= 0 {
		if p.phases[i].place != at {
			return fmt.Errorf("pipeline: phase %q exists already, at another place", name)
		}
		return nil
	}
	i := anchor
	if at.side > 0 {
		i++
		for i < len(p.phases) && p.phases[i].place == at && p.phases[i].name < name {
			i++
		}
	} else {
		for i > 0 && p.phases[i-1].place == at && p.phases[i-1].name > name {
			i--
		}
	}
	p.phases = slices.Insert(p.phases, i, &phase[P, In, Out]{name: name, place: at})
	return nil
}

// Intercept adds f to a phase. Within a phase the named interceptors run in the
// order of their names, so that the order of adding does not matter; then the
// unnamed ones run in the order of adding.
func (p *Pipeline[P, In, Out]) Intercept(at P, name string, f Interceptor[In, Out]) error {
	if f == nil {
		return p.Wrap(at, name, nil)
	}
	return p.Wrap(at, name, func(next Handler[In, Out]) Handler[In, Out] {
		return func(ctx context.Context, in In) (Out, error) { return f(ctx, in, next) }
	})
}

// Wrap is [Pipeline.Intercept] for a Layer.
func (p *Pipeline[P, In, Out]) Wrap(at P, name string, l Layer[In, Out]) error {
	if p.frozen {
		return fmt.Errorf("pipeline: interceptor %q comes too late: the pipeline is built", name)
	}
	i := p.index(at)
	if i < 0 {
		return fmt.Errorf("pipeline: interceptor %q wants phase %q; there are: %s", name, at, p.names())
	}
	if l == nil {
		return fmt.Errorf("pipeline: interceptor %q in phase %q is nil", name, at)
	}
	p.phases[i].steps = append(p.phases[i].steps, step[In, Out]{name, l})
	return nil
}

// Then composes everything around terminal into one function and freezes the
// pipeline. Phases named in without are left out.
func (p *Pipeline[P, In, Out]) Then(terminal Handler[In, Out], without ...P) Handler[In, Out] {
	p.frozen = true
	h := terminal
	for _, ph := range slices.Backward(p.phases) {
		if slices.Contains(without, ph.name) {
			continue
		}
		for _, s := range slices.Backward(ph.ordered()) {
			h = s.wrap(h)
		}
	}
	return h
}

// String prints the phases and their interceptors in running order:
// "Follow[redirect] Retry Auth[auth ·]", where · is an unnamed one.
func (p *Pipeline[P, In, Out]) String() string {
	var b strings.Builder
	for i, ph := range p.phases {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(ph.name))
		if len(ph.steps) == 0 {
			continue
		}
		b.WriteByte('[')
		for j, s := range ph.ordered() {
			if j > 0 {
				b.WriteByte(' ')
			}
			if s.name == "" {
				s.name = "·"
			}
			b.WriteString(s.name)
		}
		b.WriteByte(']')
	}
	return b.String()
}

func (ph *phase[P, In, Out]) ordered() []step[In, Out] {
	steps := slices.Clone(ph.steps)
	slices.SortStableFunc(steps, func(a, b step[In, Out]) int {
		switch {
		case a.name == b.name:
			return 0
		case a.name == "":
			return 1
		case b.name == "":
			return -1
		}
		return strings.Compare(a.name, b.name)
	})
	return steps
}

func (p *Pipeline[P, In, Out]) index(name P) int {
	return slices.IndexFunc(p.phases, func(ph *phase[P, In, Out]) bool { return ph.name == name })
}

func (p *Pipeline[P, In, Out]) names() string {
	var names []string
	for _, ph := range p.phases {
		names = append(names, string(ph.name))
	}
	return strings.Join(names, ", ")
}
