package negotiate

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/godwit-go/godwit"
	"github.com/godwit-go/godwit/content"
)

// Form is the codec for application/x-www-form-urlencoded. It writes structs and
// maps as content.EncodeValues does and reads them by the same `form` tags; an
// any becomes url.Values. A parameter that is there several times goes into a
// slice; into anything else goes the first.
type Form struct {
	// Unknown says what becomes of parameters without a field; zero = ignored.
	Unknown Unknown
	// MaxBytes limits what is decoded; 0 = by the client alone.
	MaxBytes int64
}

var _ godwit.Codec = Form{}

// MediaTypes implements [godwit.Codec].
func (Form) MediaTypes() []string { return []string{"application/x-www-form-urlencoded"} }

// Marshal implements [godwit.Codec]: a struct's fields in the order of their
// declaration.
func (Form) Marshal(v any) ([]byte, error) {
	c, err := content.FormOf(v)
	if err != nil {
		return nil, err
	}
	data, ok := content.BytesOf(c)
	if !ok {
		return nil, fmt.Errorf("the form of a %T is not in memory", v)
	}
	return data, nil
}

// Unmarshal implements [godwit.Codec].
func (f Form) Unmarshal(data []byte, v any) error {
	if err := checkSize(data, f.MaxBytes); err != nil {
		return err
	}
	values, err := url.ParseQuery(string(data))
	if err != nil {
		return err
	}
	rv, err := target(v)
	if err != nil {
		return err
	}
	return setValues(rv, values, "form", f.Unknown == RefuseUnknown)
}

// setValues fills a struct or a map with named values.
func setValues(v reflect.Value, values url.Values, tag string, refuse bool) error {
	switch {
	case v.Kind() == reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := setValues(p.Elem(), values, tag, refuse); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case v.Kind() == reflect.Interface && v.NumMethod() == 0:
		v.Set(reflect.ValueOf(values))
		return nil
	case v.Kind() == reflect.Map && v.Type().Key().Kind() == reflect.String:
		return setMap(v, values, tag)
	case v.Kind() != reflect.Struct:
		return fmt.Errorf("%v is no struct and no map with string keys", v.Type())
	}
	fields := namesOf(v.Type(), tag)
	for name, texts := range values {
		index, ok := fields[name]
		if !ok {
			index, ok = fields[strings.ToLower(name)]
		}
		if !ok {
			if refuse {
				return fmt.Errorf("unknown parameter %q", name)
			}
			continue
		}
		if err := setTexts(fieldAt(v, index), texts, tag); err != nil {
			return fmt.Errorf("parameter %q: %w", name, err)
		}
	}
	return nil
}

func setMap(m reflect.Value, values url.Values, tag string) error {
	out := reflect.MakeMapWithSize(m.Type(), len(values))
	for name, texts := range values {
		e := reflect.New(m.Type().Elem()).Elem()
		if err := setTexts(e, texts, tag); err != nil {
			return fmt.Errorf("parameter %q: %w", name, err)
		}
		out.SetMapIndex(reflect.ValueOf(name).Convert(m.Type().Key()), e)
	}
	m.Set(out)
	return nil
}

// setTexts sets a value from the texts of one name. In a table an empty cell is
// how a value that is not there is written.
func setTexts(v reflect.Value, texts []string, tag string) error {
	t := v.Type()
	if tag == csvTag && t.Kind() == reflect.Pointer && len(texts) > 0 && texts[0] == "" {
		return nil
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && !reflect.PointerTo(t).Implements(textUnmarshaler) {
		s := reflect.MakeSlice(t, len(texts), len(texts))
		for i, text := range texts {
			if err := setText(s.Index(i), text); err != nil {
				return err
			}
		}
		v.Set(s)
		return nil
	}
	if len(texts) == 0 {
		return nil
	}
	return setText(v, texts[0])
}

// fieldAt returns a field, making the embedded structs on the way.
func fieldAt(v reflect.Value, index []int) reflect.Value {
	for i, at := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return v
}

// fieldNames caches namesOf: the same type and tag always give the same.
var fieldNames sync.Map

type namesKey struct {
	t   reflect.Type
	tag string
}

// namesOf returns the fields of a struct by their names, and by their names in
// lower case where that leaves no doubt.
func namesOf(t reflect.Type, tag string) map[string][]int {
	key := namesKey{t, tag}
	if m, ok := fieldNames.Load(key); ok {
		return m.(map[string][]int)
	}
	names := make(map[string][]int)
	addNames(names, t, tag, nil, []reflect.Type{t})
	folded := maps.Clone(names)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if low := strings.ToLower(name); folded[low] == nil {
			folded[low] = names[name]
		}
	}
	m, _ := fieldNames.LoadOrStore(key, folded)
	return m.(map[string][]int)
}

// addNames adds the fields of t and of the structs embedded in it; on a clash the
// outer one wins.
func addNames(names map[string][]int, t reflect.Type, tag string, index []int, seen []reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		name, _, _ := strings.Cut(f.Tag.Get(tag), ",")
		if f.Tag.Get(tag) == "-" {
			continue
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer && f.IsExported() {
			inner = inner.Elem()
		}
		if f.Anonymous && name == "" && inner.Kind() == reflect.Struct && !reflect.PointerTo(inner).Implements(textUnmarshaler) {
			if !slices.Contains(seen, inner) {
				addNames(names, inner, tag, at, append(slices.Clone(seen), inner))
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if have, taken := names[name]; !taken || len(at) < len(have) {
			names[name] = at
		}
	}
}
