package resources

import (
	"encoding"
	"net/url"
	"reflect"
	"strings"

	"github.com/godwit-go/godwit/content"
)

// structOf returns the struct that a resource is, in a form whose fields can be
// addressed.
func structOf(resource any) (reflect.Value, error) {
	v := reflect.ValueOf(resource)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return v, errorf("a resource is a struct or a pointer to one, not %T%s", resource, map[bool]string{true: " that is nil"}[v.Kind() == reflect.Pointer])
	}
	if !v.CanAddr() { // a MarshalText on the pointer can be called on a copy only
		p := reflect.New(v.Type()).Elem()
		p.Set(v)
		v = p
	}
	return v, nil
}

// expand returns a resource's URL and template.
func expand(resource any) (href, template string, err error) {
	v, err := structOf(resource)
	if err != nil {
		return "", "", err
	}
	p := planOf(v.Type())
	if p.err != nil {
		return "", "", p.err
	}
	path, err := p.writePath(v)
	if err != nil {
		return "", "", err
	}
	query, err := p.writeQuery(v)
	if err != nil {
		return "", "", err
	}
	if query != "" {
		path += "?" + query
	}
	return path, p.template, nil
}

func (p *plan) writePath(v reflect.Value) (string, error) {
	var texts []string
	for i := range p.segments {
		s := &p.segments[i]
		var err error
		if s.kind == plain {
			texts, err = s.appendPlain(texts, v)
		} else {
			texts, err = s.appendOptional(texts, v)
		}
		if err != nil {
			return "", err
		}
	}
	path := strings.Join(texts, "/")
	if p.rooted {
		return "/" + path, nil
	}
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ":") {
		path = strings.Replace(path, first, strings.ReplaceAll(first, ":", "%3A"), 1) // it is no scheme
	}
	return path, nil
}

func (s *segment) appendPlain(texts []string, v reflect.Value) ([]string, error) {
	var escaped, raw string
	for _, p := range s.parts {
		if p.index == nil {
			text, _ := url.PathUnescape(p.text) // checked by the reader
			escaped, raw = escaped+p.text, raw+text
			continue
		}
		values, err := textsOf(v, p.name, p.index)
		if err != nil {
			return nil, err
		}
		if len(values) != 1 {
			return nil, errorf("{%s} of %v is %d values, where one is wanted", p.name, v.Type(), len(values))
		}
		if values[0] == "" {
			return nil, errorf("{%s} of %v is empty", p.name, v.Type())
		}
		escaped, raw = escaped+url.PathEscape(values[0]), raw+values[0]
	}
	if raw == "." || raw == ".." {
		return nil, errorf("segment %q of %v would climb the path", raw, v.Type())
	}
	return append(texts, escaped), nil
}

// appendOptional appends what stands for {p?} or {p...}, which may be nothing.
func (s *segment) appendOptional(texts []string, v reflect.Value) ([]string, error) {
	p := s.parts[0]
	f, err := v.FieldByIndexErr(p.index)
	if err != nil || f.IsZero() {
		return texts, nil // err: in an embedded pointer that is nil
	}
	values, err := textsOf(v, p.name, p.index)
	if err != nil {
		return nil, err
	}
	k := f.Kind()
	single := k != reflect.Slice && k != reflect.Array && len(values) == 1
	switch {
	case single && values[0] == "": // a pointer to ""
		return texts, nil
	case s.kind == optional:
		return s.appendPlain(texts, v)
	case single:
		values = strings.Split(values[0], "/")
	}
	for i, text := range values {
		switch {
		case text == "." || text == "..":
			return nil, errorf("{%s...} of %v: segment %q would climb the path", p.name, v.Type(), text)
		case text == "" && (i == 0 || i < len(values)-1):
			return nil, errorf("{%s...} of %v has an empty segment: %q", p.name, v.Type(), strings.Join(values, "/"))
		}
		texts = append(texts, url.PathEscape(text))
	}
	return texts, nil
}

func (p *plan) writeQuery(v reflect.Value) (string, error) {
	var b strings.Builder
	for _, q := range p.query {
		f, err := v.FieldByIndexErr(q.index)
		if err != nil || q.omitEmpty && isEmpty(f) {
			continue
		}
		values, err := textsOf(v, q.name, q.index)
		if err != nil {
			return "", err
		}
		for _, text := range values {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(url.QueryEscape(q.name) + "=" + url.QueryEscape(text))
		}
	}
	return b.String(), nil
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return v.Len() == 0
	}
	return v.IsZero()
}

// textsOf returns the text of a field, or those of its elements, as forms have
// them.
func textsOf(v reflect.Value, name string, index []int) ([]string, error) {
	f, err := v.FieldByIndexErr(index)
	if err != nil {
		return nil, errorf("{%s} of %v: %w", name, v.Type(), err)
	}
	if f.Kind() == reflect.String {
		if _, marshals := f.Addr().Interface().(encoding.TextMarshaler); !marshals {
			return []string{f.String()}, nil
		}
	}
	values, err := content.EncodeValues(map[string]any{name: f.Addr().Interface()})
	if err != nil {
		return nil, errorf("%v: %w", v.Type(), err)
	}
	return values[name], nil
}
