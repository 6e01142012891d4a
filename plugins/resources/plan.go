package resources

import (
	"encoding"
	"errors"
	"iter"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// plan is what reading a type gives: its path in pieces and its query fields, or
// an error.
type plan struct {
	template string
	rooted   bool // the template begins with a slash
	segments []segment
	query    []queryField
	err      error
}

// segment is what stands between two slashes; without parts it is the empty one
// after a slash at the end.
type segment struct {
	kind  kind
	parts []part
}

// kind says what a segment without a value does.
type kind int8

const (
	plain    kind = iota
	optional      // goes, slash and all
	tail          // may be any number of segments
)

// part is literal text, or the field of a parameter.
type part struct {
	text  string
	name  string
	index []int // nil = text
}

type queryField struct {
	name      string
	index     []int
	omitEmpty bool
}

// plans maps a reflect.Type to its *plan: it only saves time, as the same type
// always gives the same.
var plans sync.Map

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	r := &reader{top: t, names: make(map[string]int)}
	r.err = r.resource(t, nil, nil)
	if r.err == nil {
		slices.SortStableFunc(r.query, func(a, b queryField) int { return slices.Compare(a.index, b.index) })
	}
	p, _ := plans.LoadOrStore(t, &r.plan)
	return p.(*plan)
}

// reader makes the plan of one type.
type reader struct {
	plan
	top   reflect.Type
	names map[string]int // of query fields: the depth of each, the outer wins
}

var (
	marker        = reflect.TypeFor[Path]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// candidate is a field that a parameter may name.
type candidate struct {
	field reflect.StructField
	index []int
	used  bool
}

// resource reads a struct that is a resource: the parents' part first.
func (r *reader) resource(t reflect.Type, index []int, inside []reflect.Type) error {
	if slices.Contains(inside, t) {
		return errorf("%v is its own parent", t)
	}
	inside = append(inside, t)
	template, ok := templateOf(t)
	if !ok {
		return errorf("%v has no path: embed resources.Path with a tag `path:\"/…\"`", t)
	}
	var fields []candidate
	var parent reflect.Type
	var parentIndex []int
	for f, at := range ownFields(t, index) {
		switch inner, embedded := structType(f); {
		case f.Type == marker:
		case inner == nil || !isResource(inner):
			fields = append(fields, candidate{field: f, index: at})
		case !embedded:
			return errorf("field %s of %v is a resource: embed it to make it the parent", f.Name, t)
		case parent != nil:
			return errorf("%v has two parents, %v and %v", t, parent, inner)
		default:
			parent, parentIndex = inner, at
		}
	}
	if parent != nil {
		if err := r.resource(parent, parentIndex, inside); err != nil {
			return err
		}
	}
	if err := r.path(t, template, fields); err != nil {
		return err
	}
	return r.queryFields(t, fields)
}

// ownFields iterates over the fields of t and of the structs embedded in it that
// are no resources: theirs count as t's.
func ownFields(t reflect.Type, index []int) iter.Seq2[reflect.StructField, []int] {
	var walk func(t reflect.Type, index []int, seen []reflect.Type, yield func(reflect.StructField, []int) bool) bool
	walk = func(t reflect.Type, index []int, seen []reflect.Type, yield func(reflect.StructField, []int) bool) bool {
		for i := range t.NumField() {
			f := t.Field(i)
			at := append(slices.Clone(index), i)
			inner, embedded := structType(f)
			name, _, _ := strings.Cut(f.Tag.Get("form"), ",")
			promotes := embedded && inner != marker && !isResource(inner) && name == "" && f.Tag.Get("path") == "" && !slices.Contains(seen, inner)
			switch {
			case promotes:
				if !walk(inner, at, append(seen, inner), yield) {
					return false
				}
			case !f.IsExported() && !embedded:
			case !yield(f, at):
				return false
			}
		}
		return true
	}
	return func(yield func(reflect.StructField, []int) bool) {
		walk(t, index, []reflect.Type{t}, yield)
	}
}

// structType returns the struct that a field is or points to, if it is one that
// can't be written as text, and whether it is embedded.
func structType(f reflect.StructField) (reflect.Type, bool) {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
		if !f.IsExported() {
			return nil, false // reflect can't read through it
		}
	}
	if t.Kind() != reflect.Struct || t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler) {
		return nil, false
	}
	return t, f.Anonymous
}

func isResource(t reflect.Type) bool {
	_, ok := templateOf(t)
	return ok
}

// templateOf returns the tag of a struct's own marker.
func templateOf(t reflect.Type) (string, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && f.Type == marker {
			return f.Tag.Get("path"), true
		}
	}
	return "", false
}

// path adds a template's segments to those of the parents.
func (r *reader) path(t reflect.Type, template string, fields []candidate) error {
	text, slash := strings.CutPrefix(template, "/")
	n := len(r.segments)
	switch {
	case r.template == "":
		r.template, r.rooted = template, slash
	case template != "":
		if r.segments[n-1].kind == tail {
			return errorf("%v: nothing can follow {%s...} of its parent", t, r.segments[n-1].parts[0].name)
		}
		if len(r.segments[n-1].parts) == 0 {
			r.segments = r.segments[:n-1]
		}
		r.template = strings.TrimSuffix(r.template, "/") + "/" + text
	}
	if template == "" {
		return nil
	}
	all := strings.Split(text, "/")
	for i, text := range all {
		var s segment
		if err := r.segment(t, &s, text, fields); err != nil {
			return err
		}
		last := i == len(all)-1
		if len(s.parts) == 0 && !last {
			return errorf("%v: template %q has an empty segment", t, r.template)
		}
		if s.kind == tail && !last {
			return errorf("%v: template %q: {%s...} takes the rest of the path and must be the last", t, r.template, s.parts[0].name)
		}
		r.segments = append(r.segments, s)
	}
	return nil
}

// segment reads one segment's literal text and parameters.
func (r *reader) segment(t reflect.Type, s *segment, text string, fields []candidate) error {
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		if err := checkText(before); err != nil {
			return errorf("%v: template %q: %w", t, r.template, err)
		}
		if before != "" {
			s.parts = append(s.parts, part{text: before})
		}
		if !found {
			break
		}
		name, more, closed := strings.Cut(after, "}")
		if !closed {
			return errorf("%v: template %q: no } after {", t, r.template)
		}
		rest = more
		k := plain
		if n, ok := strings.CutSuffix(name, "..."); ok {
			name, k = n, tail
		} else if n, ok := strings.CutSuffix(name, "?"); ok {
			name, k = n, optional
		}
		if k != plain && (before != "" || rest != "" || len(s.parts) > 0) {
			return errorf("%v: template %q: {%s} must be a whole segment", t, r.template, strings.Trim(text, "{}"))
		}
		f, err := parameter(t, r.template, name, fields)
		if err != nil {
			return err
		}
		s.kind = k
		s.parts = append(s.parts, part{name: name, index: f.index})
	}
	return nil
}

func checkText(text string) error {
	if strings.Contains(text, "}") {
		return errors.New("} without {")
	}
	if strings.ContainsAny(text, "?#") {
		return errors.New("it is a path, without query and fragment: the query is made of fields")
	}
	_, err := url.PathUnescape(text)
	return err
}

// parameter finds the field of a parameter.
func parameter(t reflect.Type, template, name string, fields []candidate) (*candidate, error) {
	var found *candidate
	for i := range fields {
		f := &fields[i]
		tag := f.field.Tag.Get("path")
		if tag != name && (tag != "" || !strings.EqualFold(f.field.Name, name)) {
			continue
		}
		if found != nil {
			return nil, errorf("%v: template %q: both %s and %s are {%s}", t, template, found.field.Name, f.field.Name, name)
		}
		found = f
	}
	if found == nil || name == "" {
		return nil, errorf("%v: template %q: no field for {%s}: name one so, or tag it `path:%q`", t, template, name, name)
	}
	if found.used {
		return nil, errorf("%v: template %q: {%s} is there twice", t, template, name)
	}
	found.used = true
	return found, nil
}

// queryFields takes the fields that are no parameters.
func (r *reader) queryFields(t reflect.Type, fields []candidate) error {
	for _, f := range fields {
		tag := f.field.Tag.Get("form")
		if f.used || tag == "-" {
			continue
		}
		if p := f.field.Tag.Get("path"); p != "" {
			return errorf("%v: field %s is tagged `path:%q`, but the template %q has no {%s}", t, f.field.Name, p, r.template, p)
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.field.Name
		}
		q := queryField{name, f.index, slices.Contains(strings.Split(options, ","), "omitempty")}
		if depth, taken := r.names[name]; taken {
			if depth == len(f.index) {
				return errorf("%v has two query fields called %q", t, name)
			}
			if depth < len(f.index) {
				continue
			}
			r.query = slices.DeleteFunc(r.query, func(q queryField) bool { return q.name == name })
		}
		r.names[name] = len(f.index)
		r.query = append(r.query, q)
	}
	return nil
}
